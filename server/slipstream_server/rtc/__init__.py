"""WebRTC connections.

* `peer_connection.py`: one connection: offer and answer, data channels, its end.
* `video_transceiver.py`: its video both ways, on one transceiver.
* `data_channel_limits.py`: how much its data channels may bring.
"""
