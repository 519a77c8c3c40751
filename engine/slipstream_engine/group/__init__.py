"""A group of ranks as one engine: a model over several devices, by a plan of `parallel/`.

`pipeline.py` is the leader's side, the same interface as one device's pipeline, with `stream.py`
for each stream and `passes.py` for what is under way. `rank.py` is what a rank does, in a thread of
the leader for the first one and in a process of its own for each further one (`workers.py` starts
them, `rank_process.py` is one). `messages.py` is what they say to each other, `paths.py` who talks
to whom.
"""
