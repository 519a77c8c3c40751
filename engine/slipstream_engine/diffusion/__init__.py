"""The real pipeline: from camera frames to diffused frames, by a rectified flow in latent space.

From the outside in: `pipeline.py` opens streams, `stream.py` is one of them with its stages, its
host's half in `stream_host.py`;
`chunk.py` carries one chunk from pixels through its denoising steps to pixels, `batched_step.py`
runs one step of several chunks in a forward pass (in smaller ones, by `pass_splitter.py`, where
memory is short; their prompts are in `shared_conditioning.py`), `denoise.py` is that step.
`stream_batch.py` is the paper's order of steps, for files.

What a stream owns: `state.py`, its cache rows in `step_cache.py`, its lane from `lane_pool.py`.
Numbers: `flow_matching.py` (timesteps, sigmas), `noise.py`, `noise_controller.py`. Start-up and
speed: `warm_up.py` with `shared_warm_up.py`, `step_limit.py`, `memory_admission.py`,
`cuda_graphs.py`.
"""
