"""Frames and chunks.

* `chunker.py`: camera frames into chunks for the engine.
* `size_choice.py`: the size of a stream's pictures, by its camera's shape and its level.
* `playout.py`: generated chunks into frames, each at its time.
"""
