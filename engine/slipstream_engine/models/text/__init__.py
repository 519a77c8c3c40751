"""The text encoders: umT5, and the embedded model's vocabulary."""
