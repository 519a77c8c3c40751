"""The causal Wan diffusion transformer.

`transformer.py` is the whole model, `blocks.py` its layers, `fused_blocks.py` the same in few
launches, `attention_context.py` what its
self-attention attends to (a KV cache, or a training clip), `attention.py` the attention call,
`rope.py` rotary positions, `linear.py` linear layers that are fast on a CPU.
"""
