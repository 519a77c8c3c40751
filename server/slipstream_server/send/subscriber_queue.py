"""The send queue of one subscriber to a picture that is encoded once for many. Pure.

What is encoded cannot be made smaller for one subscriber, and no frame between two key frames can
be left out alone. So a subscriber whose link carries less than the picture, or whose frames are not
fetched, gets no more until the next key frame. The others notice nothing but that key frame, and
one subscriber can cause one only every two seconds.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from slipstream_protocol.clock import NS_PER_S

from slipstream_server.send.pacer import LeakyBucket

MAX_FRAMES = 30
KEY_SPACING_NS = 2 * NS_PER_S  # of the key frames that one subscriber may cause
_MAX_BACKLOG_S = 1.0  # of the link's time, before frames are left out
_LINK_SHARE = 1.25  # encoders overshoot, and the bitrate leaves room on the link

T = TypeVar("T")


class SubscriberQueue(Generic[T]):
    """A bounded queue of frames, which says when its subscriber needs a key frame.

    Drops are counted by cause: `unfetched` where the queue was full, `link` where the subscriber's
    link carries less than the picture, `keyless` those before a key frame that is waited for.

    Args:
        max_frames: that may wait.
    """

    def __init__(self, *, max_frames: int = MAX_FRAMES) -> None:
        if max_frames < 1:
            raise ValueError(f"max_frames is {max_frames}, it must be at least 1")
        self._max_frames = max_frames
        self._frames: deque[T] = deque()
        self._drops: Counter[str] = Counter()
        self._is_decodable = False  # whether the next frame can be decoded
        self._needs_key = True
        self._caused_key_ns: int | None = None
        self._backlog_bits = LeakyBucket()  # sent, and not yet carried by the link
        self._is_congested = False  # no key frame is requested until the backlog is empty

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def request_key(self) -> None:
        """The subscriber cannot go on without a key frame."""
        self._needs_key = True

    def wants_key(self, now_ns: int) -> bool:
        """Whether to encode a key frame for this subscriber now."""
        if not self._needs_key or self._is_congested:
            return False
        return self._caused_key_ns is None or now_ns - self._caused_key_ns >= KEY_SPACING_NS

    def push(self, frame: T, *, size_bytes: int, is_key: bool, link_bps: int, now_ns: int) -> None:
        """Take in a frame, or drop it.

        Args:
            is_key: whether it can be decoded by itself.
            link_bps: what the subscriber's link carries at present.
        """
        self._drain_backlog(link_bps, now_ns)
        if self._backlog_bits.level > _MAX_BACKLOG_S * link_bps:
            self._is_congested = True
            self._drop("link", 1)
            return
        if len(self._frames) >= self._max_frames:
            self._drop("unfetched", len(self._frames))
            self._frames.clear()
        if is_key:
            if self._needs_key:
                self._caused_key_ns = now_ns
            self._needs_key = self._is_congested = False
            self._is_decodable = True
        if not self._is_decodable:
            self._drops["keyless"] += 1
            return
        self._frames.append(frame)
        self._backlog_bits.add(8 * size_bytes)

    def pop(self) -> T | None:
        """The next frame to send."""
        return self._frames.popleft() if self._frames else None

    def _drop(self, cause: str, frames: int) -> None:
        self._drops[cause] += frames
        self._is_decodable = False
        self._needs_key = True

    def _drain_backlog(self, link_bps: int, now_ns: int) -> None:
        self._backlog_bits.drain(link_bps * _LINK_SHARE, now_ns)
        self._is_congested = self._is_congested and self._backlog_bits.level > 0
