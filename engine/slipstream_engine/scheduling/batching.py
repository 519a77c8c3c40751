"""Which chunks share a pass: as many as make no chunk late that a smaller pass would not. Pure.

Throughout, `slack_ns` of a chunk is the time until its deadline less what it still takes alone,
with caution. A pass may visit several ranks: its members wait for it on all of them, other chunks
on one at a time, so for those the rank on which it takes longest counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slipstream_engine.scheduling.deadline_check import Forecast
from slipstream_engine.scheduling.queues import QueuedChunk
from slipstream_engine.scheduling.types import PassKind, Stage

_LEAST_SHARING_GAIN = 0.05  # share of a lone pass that joining another must save
_NO_LIMIT_NS = 1e20  # beyond any deadline


@dataclass(frozen=True, slots=True)
class _PassTime:
    """What a pass takes, with caution: on all ranks, and on the one where it takes longest."""

    whole_ns: float
    longest_hop_ns: float


class Batcher:
    """Chooses the members of a pass.

    Args:
        forecast: of the times of passes.
        max_batch: most micro-steps the device can take in one pass.
    """

    def __init__(self, forecast: Forecast, *, max_batch: int) -> None:
        self._forecast = forecast
        self._max_batch = max_batch

    def is_worthwhile(self, kind: PassKind) -> bool:
        """Whether passes of this kind gain enough by being shared."""
        return self._forecast.sharing_gain(kind) >= _LEAST_SHARING_GAIN

    def fill(
        self, head: QueuedChunk, chunks: Sequence[QueuedChunk], ready: Iterable[QueuedChunk]
    ) -> list[QueuedChunk]:
        """The head, and as many ready chunks of its kind as cost no deadline that fewer keep.

        Args:
            chunks: all there are, for their deadlines.
        """
        kind = head.kind
        peers = [chunk for chunk in ready if chunk.kind is kind and chunk is not head]
        if not peers or not self.is_worthwhile(kind):
            return [head]
        peers.sort(key=urgency)
        batch = [head, *peers[: self._most_items(head, chunks) - 1]]
        lone = self._pass_time(head, 1)
        while len(batch) > 1:
            allowed = _longest_pass(chunks, batch, lone)
            if _fits(self._pass_time(head, len(batch)), allowed):
                break
            batch.pop()
        return batch

    def encode_first(
        self, head: QueuedChunk, chunks: Sequence[QueuedChunk], ready: Sequence[QueuedChunk]
    ) -> list[QueuedChunk]:
        """Chunks to encode before the head's next step, so that they take that step with it.

        Encoding the most urgent k of those that wait and then running one pass of the head, its
        peers and those k takes `k encodings + L(1 + peers + k)`. As many are chosen as keep this
        within what a pass of the head alone may take without costing a deadline.

        Args:
            chunks: all there are, for their deadlines.

        Returns:
            the members of the encoding pass; empty where the head should run alone.
        """
        step_kind = head.kind
        if step_kind.stage is not Stage.DENOISE or is_starving(head):
            return []
        candidates = [chunk for chunk in ready if _could_join(chunk, head)]
        if not candidates or not self.is_worthwhile(step_kind):
            return []
        allowed = _longest_pass(chunks, [head], self._pass_time(head, 1))
        items = sum(chunk.kind is step_kind for chunk in ready)
        encodings_ns = 0.0
        joiners: list[QueuedChunk] = []
        for chunk in sorted(candidates, key=urgency):
            items += 1
            encodings_ns += self._forecast.pass_ns(chunk.kind, 1)
            if items > self._max_batch:
                break
            if not _fits(self._pass_time(head, items), allowed, after_ns=encodings_ns):
                break
            joiners.append(chunk)
        return self.fill(joiners[0], chunks, joiners) if joiners else []

    def _most_items(self, head: QueuedChunk, chunks: Iterable[QueuedChunk]) -> int:
        """As many as leave about one pass for each rank of the path: with fewer and fuller passes
        the ranks would wait for each other."""
        ranks = len(head.pass_kinds)
        if ranks == 1:
            return self._max_batch
        stepping = sum(chunk.is_begun and chunk.kind.path == head.kind.path for chunk in chunks)
        return min(self._max_batch, max(1, round(stepping / ranks)))

    def _pass_time(self, head: QueuedChunk, items: int) -> _PassTime:
        hops_ns = [self._forecast.pass_ns(kind, items) for kind in head.pass_kinds]
        return _PassTime(sum(hops_ns), max(hops_ns))


def urgency(chunk: QueuedChunk) -> int:
    """A chunk's place in the order of service, the smallest first."""
    return chunk.urgency_ns


def is_starving(chunk: QueuedChunk) -> bool:
    """Whether its stream has been passed over so often that it goes first."""
    return chunk.urgency_ns < 0


def _could_join(chunk: QueuedChunk, head: QueuedChunk) -> bool:
    """Whether encoding the chunk would bring it to where it can share a pass with the head."""
    is_encoded = chunk.position > 0
    if is_encoded or not chunk.shape.steps or chunk.shape.level != head.shape.level:
        return False
    return chunk.queue.is_first_step_free


def _fits(duration: _PassTime, allowed: _PassTime, *, after_ns: float = 0.0) -> bool:
    """Whether a pass that begins after so long is short enough for members and for others."""
    return (
        after_ns + duration.whole_ns <= allowed.whole_ns
        and after_ns + duration.longest_hop_ns <= allowed.longest_hop_ns
    )


def _longest_pass(
    chunks: Iterable[QueuedChunk], batch: Sequence[QueuedChunk], lone: _PassTime
) -> _PassTime:
    """How long a pass of `batch` may take without costing a deadline that a smaller one keeps.

    A pass leaves a chunk in time as long as

    * it takes at most `slack_ns` and the lone pass, if the chunk is in the batch: the pass does its
      next stage, which the slack has counted so;
    * its longest hop takes at most `slack_ns`, if it is not: all its own stages are still to be
      run.

    A chunk that is late already (`slack_ns < 0`), or that even the shortest pass would make late
    (outside the batch and `slack_ns` below its longest hop), sets no limit.
    """
    whole_ns = longest_hop_ns = _NO_LIMIT_NS
    for chunk in chunks:
        if chunk.slack_ns < 0:
            continue
        if chunk in batch:
            whole_ns = min(whole_ns, chunk.slack_ns + lone.whole_ns)
        elif chunk.slack_ns >= lone.longest_hop_ns:
            longest_hop_ns = min(longest_hop_ns, chunk.slack_ns)
    return _PassTime(whole_ns, longest_hop_ns)
