"""Sound beside the picture: it waits until the picture that was captured with it goes out. Pure.

* `delay_line.py`: the packets that wait, and when each leaves.
"""
