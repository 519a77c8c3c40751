"""The engine process at work: how it starts, its loop, and what it needs of a pipeline.

`startup.py` brings a pipeline up, with `calibration.py` (what passes take) and `resolution.py`
(which size to serve). `loop.py` serves: it opens streams by `admission.py`, keeps each in a
`stream_slot.py`, lets the scheduler choose passes, gives them to the device by `executor.py` and
ends them in order (`submitted_passes.py`), and counts its time in `stats.py`.
`pipeline_protocol.py` is the interface of pipelines, `echo.py` the smallest one, with
`step_time.py` for one that is as slow as a model, `ready.py` the first message to the server.
"""
