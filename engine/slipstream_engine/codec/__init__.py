"""Between pictures and latents: what the pipeline needs of a codec."""
