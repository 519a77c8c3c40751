"""Errors that more than one package raises; their texts say what to do.

Exception
+-- AdmissionError: no capacity for another stream now
+-- DeviceLostError: the device does nothing any more in this process
+-- ValueError
|   +-- CheckpointError: weights that cannot be used
+-- ImportError
    +-- MissingExtraError: a package of an extra is not installed
"""


class AdmissionError(Exception):
    """A stream cannot be opened now, but may be later; the text gives the reason.

    Args:
        fits_without: it could once so many of the streams that may be closed for it are closed.
    """

    def __init__(self, reason: str, *, fits_without: int = 0) -> None:
        super().__init__(reason)
        self.fits_without = fits_without


class DeviceLostError(Exception):
    """Every call of the device fails from now on, so the process must end; the text says why."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the text names it, the reason and what to do."""


class MissingExtraError(ImportError):
    """A package is not installed; the text names the extra that installs it."""
