"""Pictures to latents and back.

`protocol.py` is the interface of every codec; the codecs themselves are in `models/vae/`.
`hybrid.py` encodes with one codec and decodes with another, `absent.py` stands for one on another
device, `color.py` converts between I420 and RGB.
"""
