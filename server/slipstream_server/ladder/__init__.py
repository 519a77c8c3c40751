"""The quality ladder: which level each stream is generated at, so that its promises hold.

A level is a number of denoising steps and a frame rate (`slipstream_protocol/levels.py`).

promise.py         what a stream promises, and what keeps it at another level (pure)
chunk_meter.py     what the newest chunks say of a stream (pure)
belief.py          when a run of signs is believed (pure)
settings.py        what an operator has set (pure)
climbs.py          when the next climb may be tried (pure)
hasty_fall.py      a fall for the sake of one chunk, which the next ones may take back (pure)
ladder.py          one stream's level: when it falls, asks, climbs (pure)
moves.py           a change of level and its reason, in words (pure)
device_share.py    who shares the device, who is held for the others, who comes back (pure)
"""
