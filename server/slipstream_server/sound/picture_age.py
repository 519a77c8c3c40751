"""How long a picture takes from its capture until it is due, smoothed. Pure."""

_SHARE = 8  # a new picture moves the mean by one part in so many


class PictureAge:
    """Follows the age of a stream's pictures."""

    def __init__(self) -> None:
        self._mean_ns: int | None = None

    def observed(self, age_ns: int) -> int:
        """The mean, once a picture was due so long after the moment that it shows."""
        mean_ns = self._mean_ns
        self._mean_ns = age_ns if mean_ns is None else mean_ns + (age_ns - mean_ns) // _SHARE
        return self._mean_ns
