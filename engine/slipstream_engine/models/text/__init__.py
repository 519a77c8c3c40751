"""The text encoders: `umt5.py` for real checkpoints, `tiny_text.py` for the embedded model."""
