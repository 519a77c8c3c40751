"""A device in virtual time: a stream that computes, one for copies each way, and a host.

Work on a stream begins when the stream has ended what it was given and not before it is submitted;
an event is the time at which all before it has ended. Only `synchronize` moves the host's clock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class VirtualClock:
    """The host's."""

    now_ms: float = 0.0


@dataclass(kw_only=True)
class VirtualStream:
    """Args:
    copy_ms: what a copy takes that an event is recorded behind; 0 where no copies are made.
    """

    clock: VirtualClock
    copy_ms: float = 0.0
    free_ms: float = 0.0

    def run(self, took_ms: float) -> None:
        self.free_ms = max(self.free_ms, self.clock.now_ms) + took_ms

    def wait_event(self, event: "VirtualEvent") -> None:
        self.free_ms = max(self.free_ms, event.at_ms)


@dataclass(kw_only=True)
class VirtualEvent:
    clock: VirtualClock
    at_ms: float = 0.0

    def record(self, stream: VirtualStream) -> None:
        stream.run(stream.copy_ms)
        self.at_ms = stream.free_ms

    def synchronize(self) -> None:
        self.clock.now_ms = max(self.clock.now_ms, self.at_ms)


@dataclass(kw_only=True)
class VirtualStreams:
    """`CopyStreams` of one direction; both share what computes."""

    clock: VirtualClock
    compute: VirtualStream
    copy_ms: float
    is_asynchronous: bool = True
    copies: Any = field(init=False)

    def __post_init__(self) -> None:
        self.copies = VirtualStream(clock=self.clock, copy_ms=self.copy_ms)

    def current(self) -> Any:
        return self.compute

    def event(self) -> Any:
        return VirtualEvent(clock=self.clock)

    @contextmanager
    def on_copies(self) -> Iterator[None]:
        yield
