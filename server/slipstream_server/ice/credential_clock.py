"""The time by which TURN credentials expire, on a machine whose clock may be set. Pure."""


class CredentialClock:
    """The wall clock, but that it never goes back.

    A TURN server compares the expiry in a credential with its own clock. Credentials made by a
    clock that was set back would have expired already, and no call that needs the relay would
    connect. Where the clock was ahead, credentials live longer by so much until the server is
    started again.

    Times are arguments, in seconds.
    """

    def __init__(self) -> None:
        self._ahead_s = float("-inf")

    def now_s(self, *, wall_s: float, boot_s: float) -> float:
        """The time now.

        Args:
            wall_s: since 1970, as the machine's clock says.
            boot_s: since the machine was started, which nobody sets.
        """
        self._ahead_s = max(self._ahead_s, wall_s - boot_s)
        return boot_s + self._ahead_s
