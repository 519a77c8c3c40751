"""How often a stream is owed a chunk: one rule for admission and for the quality ladder. Pure.

A stream is owed the pictures that its camera sends, at the rate of its level, but none beyond those
that its model is made for, nor beyond those that the device makes of the stream alone at the lowest
quality that it may come down to. What was reckoned with when it was admitted is what its level is
held to later. Another question is how many of the pictures that could be shown now are shown: that
is the service level `rate` of the server, `observability/shown_rate.py`.
"""


def owed_period_ns(*, filling_ns: float, usual_ns: float = 0.0, alone_ns: float = 0.0) -> float:
    """From one chunk to the next, at the most.

    Args:
        filling_ns: in which the camera, or the rate of a level, fills a chunk.
        usual_ns: in which it would be filled at the rate that the model is made for; 0 where that
            does not count.
        alone_ns: that the device takes for one, with nothing beside; 0 where nobody knows.
    """
    return max(filling_ns, usual_ns, alone_ns)
