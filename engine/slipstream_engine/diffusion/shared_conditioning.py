"""The prompts' conditioning of a pass that streams share, at fixed addresses."""

import weakref
from collections.abc import Sequence

from slipstream_engine.models.dit.blocks import Conditioning


class SharedConditioning:
    """Memory for the conditioning of every sample of a pass; all passes use the same.

    Recorded graphs of any batch size read it, so it is neither copied into the inputs of each nor
    joined for every pass: a sample is copied only where another one lay in its place before.

    Args:
        samples: the most that a pass has.
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._room: Conditioning | None = None
        self._sources: list[weakref.ref[Conditioning] | None] = [None] * samples

    def load(self, conditionings: Sequence[Conditioning]) -> Conditioning:
        """Those of a pass's samples in order; a single one for all samples that share it."""
        first = conditionings[0]
        if all(each is first for each in conditionings):
            conditionings = [first]
        if self._room is None:
            self._room = first.room_for(self._samples)
        for place, conditioning in enumerate(conditionings):
            source = self._sources[place]
            if source is None or source() is not conditioning:
                self._room.samples(place, place + 1).copy_from(conditioning)
                self._sources[place] = weakref.ref(conditioning)
        return self._room.samples(0, len(conditionings))

    def clear(self) -> None:
        """Overwrite it with zeros."""
        if self._room is not None:
            self._room.zero_()
        self._sources = [None] * self._samples
