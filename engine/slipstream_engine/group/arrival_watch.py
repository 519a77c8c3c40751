"""Notices that what other ranks have sent is there, while the rank computes or waits for orders."""

import contextlib
import os
import threading
from collections.abc import Callable, Hashable
from queue import SimpleQueue

from slipstream_engine.parallel.links import Arrival

_END_S = 1.0

_Expected = tuple[Arrival, Callable[[], None] | None]


class ArrivalWatch:
    """A thread for each source, as the host can wait for one transfer only; call `close`."""

    def __init__(self) -> None:
        self._expected: dict[Hashable, SimpleQueue[_Expected | None]] = {}
        self._threads: list[threading.Thread] = []
        self._wake_fd, self._ring_fd = os.pipe()
        for descriptor in (self._wake_fd, self._ring_fd):
            os.set_blocking(descriptor, False)
        self._users = 1  # of the descriptors: this object until it is closed, and each thread
        self._leaving = threading.Lock()
        self._is_closed = False

    @property
    def wakes(self) -> tuple[int, ...]:
        """A descriptor that can be read from when something has come since `heard`."""
        return (self._wake_fd,)

    def heard(self) -> None:
        """All that has come is known."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_fd, 1 << 16)

    def watch(
        self, source: Hashable, arrival: Arrival, then: Callable[[], None] | None = None
    ) -> None:
        """Wait for an arrival; those of one source come in order.

        Args:
            then: called in the thread that waits, once it is there; not if it never will be.
        """
        if source not in self._expected:
            self._expected[source] = expected = SimpleQueue[_Expected | None]()
            thread = threading.Thread(
                target=self._serve, args=(expected,), name=f"arrivals of {source}", daemon=True
            )
            self._threads.append(thread)
            self._users += 1
            thread.start()
        self._expected[source].put((arrival, then))

    def close(self) -> None:
        """Nothing more is expected, and nothing done about what still comes. A thread that waits
        for a rank that hangs is left behind; it ends with its wait."""
        self._is_closed = True
        for expected in self._expected.values():
            expected.put(None)
        for thread in self._threads:
            thread.join(_END_S)
        self._leave()

    def _serve(self, expected: SimpleQueue[_Expected | None]) -> None:
        try:
            self._await(expected)
        finally:
            self._leave()

    def _await(self, expected: SimpleQueue[_Expected | None]) -> None:
        while entry := expected.get():
            arrival, then = entry
            arrival.await_transfer()
            if self._is_closed:
                return
            if then is not None and arrival.is_sound:
                then()
            with contextlib.suppress(BlockingIOError):  # then it can be read from already
                os.write(self._ring_fd, b"\0")

    def _leave(self) -> None:
        """Whoever is the last to leave closes the descriptors."""
        with self._leaving:
            self._users -= 1
            is_last = not self._users
        if is_last:
            os.close(self._wake_fd)
            os.close(self._ring_fd)
