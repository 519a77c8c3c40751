"""The rolling key-value cache: sinks, ring, and where a chunk stands in it."""
