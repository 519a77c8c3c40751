"""The causal Wan diffusion transformer."""
