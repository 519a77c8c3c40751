"""Recordings: a stream's picture and sound in files of MP4, of what is encoded anyway.

* `timeline.py`: which part of a recording a packet is in, and when (pure).
* `mp4_writer.py`: writes the parts, in a thread, in fragments that a crash leaves whole.
* `recording.py`: takes a stream's packets as they go out.
* `input_recording.py`: encodes the pictures that it is made of, for a file beside it.
* `plan.py`: where one goes, and how far it may (pure).
* `folder.py`: where recordings are, what they are called, and how much there may be.
"""
