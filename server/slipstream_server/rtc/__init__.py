"""One peer connection: its tracks, its channels, their limits."""
