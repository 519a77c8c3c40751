"""The streaming video autoencoders: Wan 2.1's, and the small TAEHV class."""
