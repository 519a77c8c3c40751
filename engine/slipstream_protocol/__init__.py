"""The contract between the server and the engine.

`messages.py` is all they can say to each other, `parameters.py` what a viewer may change,
`frames.py` and `arena.py` how pixels lie in shared memory. `framing.py` turns messages into bytes,
`channel.py` and `async_channel.py` carry them, blocking and not. `clock.py` is the time both agree
on, `turnover.py` when a lane may become free, `inspection.py` what the command `inspect` prints.
"""
