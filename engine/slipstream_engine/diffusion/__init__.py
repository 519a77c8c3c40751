"""A stream's chunks through the model: encode, noise, denoising steps, decode."""
