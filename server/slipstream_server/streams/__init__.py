"""Streams: what outlives a call, from its chunks to its figures.

registry.py        all streams by id: opened, found, resumed, given up for a new one
stream.py          one stream: its publisher, its engine, its events, its end
lifecycle.py       which state it is in (pure)
publisher_slot.py  the place of its publisher, kept for a while when empty
resume_tokens.py   bring a publisher back to its stream, also at the next server
engine_lease.py    its lane on the engine, and its parameters there, across restarts
chunk_pipe.py      frames to the engine in chunks, generated frames to the outputs
submitted_chunk.py a chunk that the engine has: whose frames they are, what becomes of them (pure)
quality_control.py keeps it at the level of its quality ladder
sound_pipe.py      its sound, by the delay of its pictures, to every receiver
recorder.py        its recording, one at a time
telemetry.py       its figures
newest_picture.py  its newest picture, small or as a still
media_context.py   what all calls and streams share
ports.py           what a stream needs of the engine's provider and of a publisher
"""
