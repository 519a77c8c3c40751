"""How long nothing has come from a peer, told by looks at a count of its packets. Pure.

What counts is how often nothing new was found, not the clock, so that a stall of our own is not
taken for the other's silence.
"""

LOOK_S = 0.5
SILENT_S = 4.0  # a peer that sends nothing at all for so long has vanished


class LivenessCheck:
    """Of one peer."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._received = -1

    def look(self, received: int) -> None:
        """Look at the count again, `LOOK_S` after the last time."""
        self.seconds = self.seconds + LOOK_S if received == self._received else 0.0
        self._received = received
