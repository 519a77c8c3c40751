"""What one call's media have come to so far. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStats:
    """Totals since the call began, but for the bitrate.

    Args:
        received: of the camera: packets asked for again (`nack`), key frames asked for (`pli`),
            packets and frames that came to nothing, by cause.
        sent: of the picture: frames `sent`, `key` frames among them, `bytes`, key frames `asked`
            for by the viewer, times an encoder was `opened`, frames left out by cause.
        bitrate_bps: that the picture is encoded for at present; None where none is sent.
        paced_ns: for which packets of large frames were held back.
        dropped_timings: messages with stamps that found their channel full.
    """

    received: Mapping[str, int]
    sent: Mapping[str, int]
    bitrate_bps: int | None
    paced_ns: int
    dropped_timings: int

    def summary(self) -> str:
        """All of it in a line."""
        sent = {**self.sent, "kbps": (self.bitrate_bps or 0) // 1000}
        return ", ".join(
            f"{direction} {cause} {count}"
            for direction, counts in (("out", sent), ("in", self.received))
            for cause, count in counts.items()
            if count
        )
