"""Frames into chunks, chunks into frames at their times. Pure."""
