"""The passes that a device has been given and has not ended, oldest first."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from slipstream_engine.scheduling.types import Batch
from slipstream_engine.serving.executor import (
    PassExecutor,
    PassItems,
    PassResult,
    SubmittedPass,
)
from slipstream_engine.serving.pipeline_protocol import RankCompletion, RankGroup
from slipstream_engine.serving.stream_slot import StreamSlot

ChunkT = TypeVar("ChunkT")

# one that runs and one behind it: the device never waits, and what is chosen is chosen late
MOST_PASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Waiting(Generic[ChunkT]):
    batch: Batch
    given: SubmittedPass[ChunkT]
    expected_ns: int

    @property
    def has_ended(self) -> bool:
        """Of a pass of ranks."""
        end = self.given.completion
        return end is None or bool(self.given.failures) or cast(RankCompletion, end).query()


class SubmittedPasses(Generic[ChunkT]):
    """Gives passes to a device and ends them in order::

        passes.submit(batch, items, expected_ns)
        while passes.is_due(is_idle=False):
            batch, given, result = passes.complete(is_open)

    Args:
        executor: gives and ends them.
        ranks: that run passes at once, which then end in any order; None for one device.
    """

    def __init__(self, executor: PassExecutor[ChunkT], ranks: RankGroup | None = None) -> None:
        self._executor = executor
        self._ranks = ranks
        self._waiting: deque[_Waiting[ChunkT]] = deque()
        self._ended: _Waiting[ChunkT] | None = None  # the oldest that ranks have ended

    def free_ns(self, now_ns: int) -> int:
        """When the device is expected to have ended all that it was given; now, if it has."""
        if self._ranks is not None:
            return now_ns  # one of them may be free
        at_ns = 0
        for waiting in self._waiting:
            at_ns = max(at_ns, waiting.given.submitted_ns) + waiting.expected_ns
        return max(now_ns, at_ns)

    def submit(self, batch: Batch, items: PassItems[ChunkT], expected_ns: int) -> set[int]:
        """Give the device a pass that is expected to take so long.

        Returns:
            The lanes of the streams that it failed for already.
        """
        given = self._executor.submit(batch.kind.stage, items)
        self._waiting.append(_Waiting(batch=batch, given=given, expected_ns=expected_ns))
        return set(given.failures)

    def is_due(self, *, is_idle: bool) -> bool:
        """Whether the oldest pass is to be completed before another one is chosen.

        Args:
            is_idle: there is no other one to choose.
        """
        if not self._waiting:
            return False
        if self._ranks is not None:
            self._ended = next((one for one in self._waiting if one.has_ended), None)
            return self._ended is not None
        has_failed = any(waiting.given.failures for waiting in self._waiting)
        has_ended = self._waiting[0].given.completion is None
        return is_idle or has_failed or has_ended or len(self._waiting) >= MOST_PASSES

    def ranked(self) -> Iterator[tuple[int, RankCompletion]]:
        """The numbers and ends of those that ranks have been given."""
        for waiting in self._waiting:
            if waiting.given.completion is not None:
                yield waiting.batch.number, cast(RankCompletion, waiting.given.completion)

    def complete(
        self, is_open: Callable[[StreamSlot[ChunkT]], bool]
    ) -> tuple[Batch, SubmittedPass[ChunkT], PassResult]:
        """Wait for the end of a pass that is due; see `PassExecutor.complete`."""
        waiting = self._ended if self._ranks is not None else self._waiting[0]
        assert waiting is not None, "a pass is due"
        self._waiting.remove(waiting)
        return waiting.batch, waiting.given, self._executor.complete(waiting.given, is_open)
