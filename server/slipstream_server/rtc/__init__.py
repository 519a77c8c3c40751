"""WebRTC connections.

* `peer_connection.py`: one connection: offer and answer, data channels, its end.
* `video_transceiver.py`: its video both ways, on one transceiver.
* `sound_transceiver.py`: its sound, on another.
* `connecting.py`: certificates, and why a connection could not be made.
* `data_channel_limits.py`: how much its data channels may bring; `sctp_costs.py`: for how much a
  datagram counts.
* `late_datagrams.py`: what these send after the end.
* `event_channel.py`: what the page is told on one, unless it does not read.
"""
