"""Sessions: one call each, from offer to close.

registry.py      all sessions by id: found, closed
opener.py        opens them within the limits, each with its stream
turns.py         in whose turn calls are opened; waiting_line.py: who waits (pure)
cpu_budget.py    whether the processor has room for another (pure); cpu_meter.py measures it
uplink_budget.py whether the line has room for another picture (pure)
joining.py       calls that are being answered, and how many there may be
owner_proofs.py  that a session is the caller's own (pure)
session.py       what both kinds have in common: the peer connection, candidates, liveness, the end
publisher.py     the call that sends a stream's camera
subscriber.py    a call that only watches a stream
drain.py         from the request to stop until calls are ended (pure)
"""
