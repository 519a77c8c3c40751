"""Video and sound on their way in.

* `receiver.py`: one incoming track; drives all of the following but the camera.
* `layers.py`: which of several streams is decoded; `incoming_stream.py`: what is kept of each.
* `aiortc_receiver.py`: the private names of aiortc's receiver, and its two queues.
* `jitter_buffer.py`: packets into whole frames; `frame_search.py`: which frames they make up;
  `loss_feedback.py`: which packets and key frames to request.
* `transport_feedback.py`: transport-cc reports of arrival times.
* `capture_time.py`: when a frame was captured, and when its first packet arrived.
* `decoder.py`: decodes, with few threads; `picture_limits.py`: how large a picture may be.
* `sound_receiver.py`: packets of sound, never decoded; `sound_times.py`: when they were captured.
* `camera.py`: decoded pictures scaled to the engine's size.
"""
