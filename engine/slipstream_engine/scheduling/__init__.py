"""Which micro-step runs next, without a clock, a device or threads. Pure.

`types.py` has the vocabulary. `scheduler.py` decides, over `backlog.py` (all streams) and
`queues.py` (one stream's chunks), by `deadline_check.py` (what is in time), `batching.py` (what
shares a pass), `capacity.py` (how full the device is) and `promises.py` (how full it may become),
all by the times that `latency_model.py` has learnt. `flow_control.py` says beside it when a stream
may send its next chunk, with the credits of `input_credits.py`, and when it is held;
`policy.py` is what the scheduler and those it is compared with have in common.
"""
