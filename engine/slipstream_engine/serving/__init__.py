"""The engine process: its loop, its start, and the seam to a pipeline."""
