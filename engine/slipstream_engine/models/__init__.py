"""The networks, without streams or scheduling: the same classes for every preset.

`dit` is the diffusion transformer, `vae` the codecs' networks (Wan's and TAEHV), `text` the text
encoders; `norms.py` serves all three.
"""
