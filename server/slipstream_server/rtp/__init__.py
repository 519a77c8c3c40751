"""SDP, RTP payloads, and the private names of aiortc.

* `sdp.py`: offers, candidates and answers as text.
* `depacketize.py`: what an RTP payload says of its frame.
* `aiortc_internals.py`: how private names of aiortc are used, and those of a connection.
"""
