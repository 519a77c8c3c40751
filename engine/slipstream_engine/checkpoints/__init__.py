"""Checkpoint files.

checkpoint.py            opens safetensors and torch.save files without loading them
loader.py                fills a module from a checkpoint
safetensors_writer.py    converts a checkpoint to one safetensors file
"""
