"""Video and sound on their way out.

* `output_track.py`: one viewer's picture, each frame at its time; `fanout.py`: one picture for many
  subscribers, each with a `subscriber_queue.py`.
* `adaptive_encoder.py`: encodes at the bitrate and frame rate of the link; `h264.py`, `vp8.py`: the
  encoders; `encoder_context.py`: what they share; `keyframes.py`: when to encode a key frame.
* `bandwidth.py`: bitrate and frame spacing, changed by feedback some times a second;
  `link_estimator.py`: what the link carries; `delay_trend.py`: whether a queue grows on it;
  `send_history.py`: packets on their way, joined with the reports of their arrival; `pacer.py`:
  waits of milliseconds between the packets of one frame, and a leaky bucket; `playout_delay.py`:
  how long the viewer keeps frames where packets are lost.
* `aiortc_sender.py`: the private names of aiortc's sender; `outgoing_packets.py`: numbers and
  waits of the packets between it and its transport; `retransmit.py`: which packets to send
  again.
* `opus_track.py`: one receiver's sound; `sender_reports.py`: when sound and picture
  are due, for the receiver to put them together.
* `frame_timing.py`: the times of each frame, for the page; `still_image.py`: one picture by
  itself.
"""
