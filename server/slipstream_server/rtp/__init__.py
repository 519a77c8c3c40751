"""SDP, RTP payloads, and the private names of aiortc.

* `sdp.py`: offers, candidates and answers as text; `sdp_bounds.py`: how much an offer may hold.
* `media_sections.py`: which sections of an offer are taken, and the answer's place for the others.
* `picture_size.py`: the size of a picture, before it is decoded.
* `depacketize.py`: what an RTP payload says of its frame.
* `h264_units.py`: sizes of pictures, and parameter sets that are kept.
* `ice_lite.py`: offers and answers of a side that sends no connectivity checks.
* `transport_report.py`: when the packets sent have arrived, as the viewer's side reports it.
* `header_extension.py`: one header extension more than aiortc's own.
* `colour_extension.py`: what a sender says of its colours beside the picture.
* `ntp.py`: the times in RTCP.
* `simulcast.py`: the layers that a sender offers, and their acceptance.
* `aiortc_internals.py`: how private names of aiortc are used, and those of a connection.
"""
