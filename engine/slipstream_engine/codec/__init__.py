"""Between pictures and latents: the interface of every codec, and the one of two codecs.

`protocol.py` is the interface; the codecs themselves are in `models/vae`. `hybrid.py` encodes with
one and decodes with another, `color.py` converts between I420 and RGB.
"""
