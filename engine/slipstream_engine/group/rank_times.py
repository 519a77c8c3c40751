"""What each rank took for a chunk, put together from the reports of its passes. Pure."""

from slipstream_engine.group.passes import GroupPass
from slipstream_engine.parallel.block_scheduler import ChunkTimes


class RankTimes:
    """See the module."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._blocks_ms: dict[tuple[int, int], list[float]] = {}  # by stream and chunk
        self._codec_ms: dict[tuple[int, int], list[float]] = {}

    def passed(self, ended: GroupPass) -> ChunkTimes | None:
        """A pass has ended; returns the times of its chunk if that was the last.

        The first chunk of an epoch is no measure: it takes all steps on every path.
        """
        part = ended.part
        if part.is_first:
            return None
        key = part.stream, part.chunk
        kind_ms = self._codec_ms if part.is_codec else self._blocks_ms
        times_ms = kind_ms.setdefault(key, [0.0] * self._ranks)
        for rank, busy_ns in ended.busy_ns.items():
            times_ms[rank] += busy_ns / 1e6
        if not part.is_last:
            return None
        blocks_ms, codec_ms = self._blocks_ms.pop(key, None), self._codec_ms.pop(key)
        if blocks_ms is None:
            return None
        return ChunkTimes(
            epoch=part.epoch,
            steps=part.steps,
            blocks_ms=tuple(blocks_ms),
            codec_ms=tuple(codec_ms),
        )

    def forget(self, stream: int) -> None:
        """A stream is closed, with its chunks under way."""
        for kind_ms in (self._blocks_ms, self._codec_ms):
            for key in [key for key in kind_ms if key[0] == stream]:
                del kind_ms[key]
