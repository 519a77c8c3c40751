"""One viewer's part of a picture that is encoded once for many. Pure.

What is encoded cannot be made smaller for one viewer, and no frame between two key frames can be
left out alone. So a viewer whose link carries less than the picture, or whose packets are not
fetched, gets no more until the next key frame; the others notice nothing but that key frame, which
one viewer can cause only so often.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

BOUND_FRAMES = 30
KEY_SPACING_NS = 2 * NS_PER_S  # of the key frames that one viewer may cause
_BEHIND_S = 1.0  # of its link's time the viewer may owe before frames are left out
_LINK_SHARE = 1.25  # encoders overshoot, and the rate leaves room

T = TypeVar("T")


class SubscriberQueue(Generic[T]):
    """A queue of frames with a bound, and when its viewer needs a key frame.

    Drops are counted by cause: `unfetched` where the queue was full, `link` where the viewer's
    link carries less than the picture, `keyless` those that came before a key frame it waits for.

    Args:
        bound_frames: that may wait.
    """

    def __init__(self, *, bound_frames: int = BOUND_FRAMES) -> None:
        if bound_frames < 1:
            raise ValueError(f"bound_frames is {bound_frames}, it must be at least 1")
        self._bound_frames = bound_frames
        self._waiting: deque[T] = deque()
        self._drops: Counter[str] = Counter()
        self._synced = False  # whether the next frame can be decoded
        self._wanted = True
        self._caused_ns: int | None = None
        self._owed_bits = 0.0
        self._behind = False  # nothing is asked for until all is paid
        self._at_ns: int | None = None

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def request_key(self) -> None:
        """The viewer cannot go on without a key frame."""
        self._wanted = True

    def wants_key(self, now_ns: int) -> bool:
        """Whether a key frame shall be made for this viewer now."""
        if not self._wanted or self._behind:
            return False
        return self._caused_ns is None or now_ns - self._caused_ns >= KEY_SPACING_NS

    def put(self, frame: T, *, size_bytes: int, key: bool, link_bps: int, now_ns: int) -> None:
        """Take in a frame, or leave it out.

        Args:
            key: whether it can be decoded by itself.
            link_bps: what the viewer's link carries at present.
        """
        self._pay_off(link_bps, now_ns)
        if self._owed_bits > _BEHIND_S * link_bps:
            self._behind = True
            self._lose("link", 1)
            return
        if len(self._waiting) >= self._bound_frames:
            self._lose("unfetched", len(self._waiting))
            self._waiting.clear()
        if key:
            if self._wanted:
                self._caused_ns = now_ns
            self._wanted = self._behind = False
            self._synced = True
        if not self._synced:
            self._drops["keyless"] += 1
            return
        self._waiting.append(frame)
        self._owed_bits += size_bytes * 8

    def pop(self) -> T | None:
        """The next frame to send."""
        return self._waiting.popleft() if self._waiting else None

    def _lose(self, cause: str, frames: int) -> None:
        self._drops[cause] += frames
        self._synced = False
        self._wanted = True

    def _pay_off(self, link_bps: int, now_ns: int) -> None:
        if self._at_ns is not None:
            paid_bits = link_bps * _LINK_SHARE * (now_ns - self._at_ns) / NS_PER_S
            self._owed_bits = max(0.0, self._owed_bits - paid_bits)
        self._at_ns = now_ns
        self._behind = self._behind and self._owed_bits > 0
