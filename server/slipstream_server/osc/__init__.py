"""Control surfaces over UDP: Open Sound Control 1.0 (opensoundcontrol.org, specification 1.0).

* `surface_controls.py`: the names, and what their values mean (pure).
* `port.py`: the UDP port, bounded in size and rate.
"""
