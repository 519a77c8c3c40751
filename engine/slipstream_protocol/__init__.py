"""The contract between the server and the engine.

`messages.py` has all messages between them, `parameters.py` the parameters that a viewer may
change, `levels.py` the quality that is chosen for them, `frames.py` and `arena.py` the layout of
pixels in shared memory, `colours.py` what colours they have. `framing.py` turns messages into
bytes; `channel.py` (blocking) and `async_channel.py` send them. `clock.py` is the clock of both
processes. `owed_rate.py` is the rate that a stream is owed, `turnover.py` estimates when a lane
becomes free, `inspection.py` is what the command `inspect` prints.
"""
