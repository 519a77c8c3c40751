"""A group of ranks as one engine: a model over several devices, by a plan of `parallel/`.

`pipeline.py` is the leader's side, the same interface as one device's pipeline, with `stream.py`
for each stream and `chunk.py` for each of its chunks, `leader.py` for what it says and hears,
`passes.py` for what is under way and `staging.py` for frames.
`rank.py` is what a rank does, in the order of `order_queue.py`, with its streams
(`rank_streams.py`) and reports (`rank_reports.py`): in a thread of the leader for the first one and
in a process of its own for each further one (`workers.py` starts them). `serve_rank.py` makes
either one, with its connections in `mail.py`, and `arrival_watch.py` that notices what comes over
them.
`block_moves.py` says what ranks are told while blocks move between them, by what `rank_times.py`
puts together. `fingerprint.py` shows that all have the same code and weights, `messages.py` is what
they say to each other, `paths.py` who talks to whom.

A pass of a group holds one chunk, where one device batches the steps of several streams and chunks
(`diffusion/batched_step.py`). A batch of another size is summed in another order, and which chunks
would share a pass follows from when they come to which rank, so frames would depend on the plan;
as it is, any plan gives the bits of one process that runs each step alone. Ranks are kept busy by
chunks that follow each other. What it costs is the part of a pass that its members would share,
such as reading the weights.
"""
