"""Streams: what outlives a call, from its chunks to its figures."""
