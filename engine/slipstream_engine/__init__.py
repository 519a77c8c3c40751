"""The streaming video diffusion engine."""
