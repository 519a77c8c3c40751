"""The host's half of a stream: what its viewer asked for, and what each next chunk is to be.

It decides all about a chunk that does not depend on pixels, as a `ChunkOrder`; whatever holds the
model carries it out, on one device or on several.
"""

import logging
from dataclasses import dataclass

from msgspec import UNSET
from slipstream_protocol.frames import FrameSize
from slipstream_protocol.parameters import Parameters, Prompts
from torch import Tensor

from slipstream_engine.conditioning.prompts import (
    Interpolation,
    PromptChange,
    PromptEmbeddings,
    PromptTrack,
)
from slipstream_engine.conditioning.worker import TextBusyError
from slipstream_engine.config import CHUNK_FRAMES, CHUNK_LATENTS, Preset
from slipstream_engine.diffusion.state import StreamSettings
from slipstream_engine.kv_cache.positions import CachePosition, position_of
from slipstream_engine.scheduling.types import ChunkShape, level_at

logger = logging.getLogger(__name__)

# levels of a `ChunkShape`, each at a size: chunks whose tensors differ run in separate passes
FIRST, RESTART, FILLING, STEADY = "first", "restart", "filling", "steady"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkOrder:
    """What a chunk is to be.

    Args:
        number: counted from 0 for the whole stream.
        is_first: of its epoch; all its steps then use one cache row.
        resets_cache: the cache is emptied before it.
        position: in the cache rows of all its steps.
        settings: the viewer's.
        prompt_TE: the embedding of its prompts; None for that of the chunk before.
        new_size: of frames, at which the stream begins anew with it; None where it goes on.
    """

    number: int
    is_first: bool
    resets_cache: bool
    position: CachePosition
    settings: StreamSettings
    prompt_TE: Tensor | None
    new_size: FrameSize | None = None


class StreamHost:
    """One stream, without any of its numbers on a device.

    Args:
        embeddings: of prompts, which all streams share.
        default_prompt: what it begins with, encoded already; the viewer's may take time.
        size: of the frames that it begins with.

    Attributes:
        settings: of the next chunk.
        track: its prompts.
        size: of the next chunk's frames.
        next_chunk: number of the next chunk.
        past_frames: latent frames of the cache's epoch so far; 0 makes the next chunk a first one.
        needs_reset: the next chunk begins a new epoch.
    """

    def __init__(
        self,
        preset: Preset,
        embeddings: PromptEmbeddings,
        default_prompt: PromptTrack,
        size: FrameSize,
    ) -> None:
        self._preset = preset
        self._embeddings = embeddings
        self._prompt_change: PromptChange | None = None  # its embedding may not be computed yet
        self.settings = StreamSettings.of(preset.schedule)
        self.track = default_prompt
        self.size = size
        self._held_size = size  # that its memory is for
        self.next_chunk = 0
        self.past_frames = 0
        self.needs_reset = False

    @property
    def prompts(self) -> Prompts:
        """In force, or those that a transition leads to."""
        change = self._prompt_change
        return self.track.prompts if change is None else change.mixture.prompts

    def apply(self, parameters: Parameters) -> None:
        """Change what `parameters` names, from the next chunk on.

        New prompts take effect once they are encoded; no chunk waits for that. `paused` is for the
        caller, who sends no chunks meanwhile.

        Raises:
            ValueError: if a value is out of the model's range; nothing has changed then.
        """
        settings = self.settings.changed(parameters, self._preset.schedule)
        change = self._change_of(parameters)
        self.settings = settings
        if change is not None:
            self._prompt_change = change
        if parameters.reset_cache is True:
            self.needs_reset = True

    def resize(self, size: FrameSize) -> None:
        """Have frames of that size from the next chunk on; if it is another, with a first chunk."""
        self.size = size

    def begin(self) -> Tensor:
        """The embedding of the first chunk's prompts: the viewer's where they are encoded already
        and come at once, else the preset's."""
        if self._prompt_change is not None and self._prompt_change.chunks <= 1:
            self._adopt_prompts()
            self.track.advance()
        return self.track.embedding_TE

    def await_prompts(self) -> None:
        """Wait until new prompts are encoded: for files, where no viewer waits.

        Raises:
            Exception: whatever encoding them raised.
        """
        if self._prompt_change is not None:
            self._prompt_change.mixture.result()

    @property
    def shape(self) -> ChunkShape:
        """Of the next chunk."""
        # while a cache fills, each chunk attends to more than the one before: no graph serves it
        is_full = self.past_frames + CHUNK_LATENTS >= self._preset.cache.slots
        level = STEADY if is_full else FILLING
        if self.begins_size:
            level = FIRST
        elif self.needs_reset:
            level = RESTART
        # the first chunk of an epoch empties the cache, so no chunk before it may still need it
        return ChunkShape(
            level=level_at(level, self.size),
            steps=len(self.settings.step_list),
            alone=level in (FIRST, RESTART),
        )

    @property
    def begins_size(self) -> bool:
        """Whether the next chunk is the first of its size, and as long as a stream's first."""
        return not self.next_chunk or self.size != self._held_size

    @property
    def steady_shape(self) -> ChunkShape:
        """Of its chunks after the first."""
        return ChunkShape(level=level_at(STEADY, self.size), steps=len(self.settings.step_list))

    def order(self, frames: int) -> ChunkOrder:
        """The next chunk, of so many frames; the stream moves on by it."""
        self._adopt_prompts()
        new_size = self.size if self.size != self._held_size else None
        resets_cache, self.needs_reset = self.needs_reset, False
        if new_size is not None or resets_cache:
            self.past_frames = 0
        self._held_size = self.size
        has_new_prompt = self.track.advance()
        latents = -(-frames // CHUNK_FRAMES)  # the first frame of a stream has one of its own
        order = ChunkOrder(
            number=self.next_chunk,
            is_first=self.past_frames == 0,
            resets_cache=resets_cache,
            position=position_of(self._preset.cache, past_frames=self.past_frames, frames=latents),
            settings=self.settings,
            prompt_TE=self.track.embedding_TE if has_new_prompt else None,
            new_size=new_size,
        )
        self.past_frames += latents
        self.next_chunk += 1
        return order

    def _change_of(self, parameters: Parameters) -> PromptChange | None:
        target, transition = parameters.target, parameters.transition
        if target is UNSET:
            return None
        try:
            mixture = self._embeddings.mixture(target)
        except TextBusyError as error:
            raise ValueError(str(error)) from error
        if transition is UNSET:
            return PromptChange(mixture=mixture)
        method = Interpolation(transition.temporal_interpolation_method)
        return PromptChange(mixture=mixture, chunks=transition.num_steps, method=method)

    def _adopt_prompts(self) -> None:
        """Start the change to new prompts once they are encoded; drop them if that failed."""
        change = self._prompt_change
        if change is None or not change.mixture.is_ready:
            return
        self._prompt_change = None
        try:
            self.track.start_change(change)
        except Exception:  # whatever the encoder raises, the stream goes on with its old prompts
            logger.exception("prompts could not be encoded: %s", change.mixture.prompts)
