"""The data channel: parameter updates in, typed events out."""
