"""Checkpoint files.

checkpoint.py            opens checkpoints without loading them
tensor_file.py           one file of tensors, safetensors or torch.save
naming.py                names of tensors, whoever wrote the file
other_names.py           names of diffusers and transformers, as the original has them
quantisation.py          which tensors are quantised, and their scales
loader.py                fills a module from a checkpoint
safetensors_writer.py    converts a checkpoint to one safetensors file
"""
