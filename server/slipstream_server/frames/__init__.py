"""Frames and chunks.

* `chunker.py`: camera frames into chunks for the engine.
* `playout.py`: generated chunks into frames, each at its time.
"""
