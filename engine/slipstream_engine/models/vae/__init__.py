"""Streaming video autoencoders, each a `Codec` (`codec/protocol.py`).

`wan_vae.py` is Wan 2.1's, over `wan_vae_blocks.py` and `causal_conv.py`; `taehv.py` is the small
TAEHV class, over `taehv_config.py` and `taehv_layers.py`; both use `upsample.py`. `guided_taehv.py`
is the embedded default's: TAEHV's encoder, and a decoder that sees the camera, `camera_decoder.py`
over `camera_measures.py`.
"""
