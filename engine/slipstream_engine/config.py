"""Every size and every policy of a model, as data; `presets.py` has the values."""

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from slipstream_protocol.frames import FrameSize
from slipstream_protocol.levels import DEFAULT_LEVELS, Levels
from slipstream_protocol.messages import DEFAULT_FPS
from slipstream_protocol.parameters import MAX_STEPS

# frames and latent frames of the first chunk, and of every later one; the same for every codec
FIRST_CHUNK_FRAMES = 5
CHUNK_FRAMES = 4
FIRST_CHUNK_LATENTS = 2
CHUNK_LATENTS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DitParams:
    """The shape of a causal Wan diffusion transformer (`spec/01` section 1).

    Args:
        dim, heads, layers, ffn_dim: as in the checkpoint's config.json.
        latent_channels: channels of the latents, in and out.
        patch: (frames, rows, columns) of latents in a token; frames must be 1.
        text_dim, text_len: columns and rows of a prompt embedding.
        freq_dim: width of the sinusoidal timestep embedding.
        eps: of every LayerNorm and RMSNorm.
        positions: rows of the rotary table; no frame, row or column may have a larger number.
        pooled_text: add the mean of the prompt's rows, padding left out, to the timestep embedding.
            Real checkpoints do not; a small model follows its prompt much better with it.

    Raises:
        ValueError: if the heads do not divide the width evenly, or a token spans more than one
            latent frame.
    """

    dim: int
    heads: int
    layers: int
    ffn_dim: int
    latent_channels: int = 16
    patch: tuple[int, int, int] = (1, 2, 2)
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    eps: float = 1e-6
    positions: int = 1024
    pooled_text: bool = False

    def __post_init__(self) -> None:
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise ValueError(
                f"dim {self.dim} over {self.heads} heads is not an even width, choose other heads"
            )
        if self.patch[0] != 1:
            raise ValueError(
                f"patch is {self.patch}, its first number must be 1, a token is one frame deep"
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def patch_values(self) -> int:
        """Numbers in one token's patch of latents."""
        frames, rows, columns = self.patch
        return self.latent_channels * frames * rows * columns


class Pinning(StrEnum):
    """Which slots are never overwritten in turn."""

    REFERENCE = "reference"  # max(sinks, 2 * frames of chunk 0 - frames of a chunk)
    SINKS = "sinks"  # exactly the sinks


class Positions(StrEnum):
    """Which temporal positions cached keys have in the rotary embedding."""

    REFERENCE = "reference"  # absolute, rotated when written; go back at `refresh_frames`
    RELATIVE = "relative"  # by age in the cache, rotated when read; good for endless streams


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheParams:
    """The rolling key-value cache (`spec/02`), counted in latent frames.

    Args:
        slots: frames a cache row holds.
        sinks: frames at its front that stay, unless the adaptive test refreshes them.
        sink_threshold: similarity below which a sink is refreshed; None turns the test off.
        pinning, positions: policies; `REFERENCE` is what real checkpoints were tuned with.
        count_unwritten_sinks: let a sink slot that was never written score 0, as the reference does
            (its zero-slot quirk).
        refresh_frames: position at which `Positions.REFERENCE` goes back to the end of the window.

    Raises:
        ValueError: if no slot is left for the ring, or a refresh would come before the cache is
            full.
    """

    slots: int
    sinks: int
    sink_threshold: float | None = None
    pinning: Pinning = Pinning.REFERENCE
    positions: Positions = Positions.REFERENCE
    count_unwritten_sinks: bool = True
    refresh_frames: int = 50

    def __post_init__(self) -> None:
        if self.sinks < 0 or self.pinned_slots >= self.slots:
            raise ValueError(
                f"a cache of {self.slots} slots with {self.sinks} sinks pins {self.pinned_slots}, "
                "at least one must be left for the ring"
            )
        if self.refresh_frames < self.slots:
            raise ValueError(
                f"refresh_frames is {self.refresh_frames}, it must be at least {self.slots} slots: "
                "the cache must be full before positions go back"
            )

    @property
    def pinned_slots(self) -> int:
        """Slots at the front that the ring never overwrites."""
        if self.pinning is Pinning.SINKS:
            return self.sinks
        return max(self.sinks, 2 * FIRST_CHUNK_LATENTS - CHUNK_LATENTS)

    @property
    def adapts(self) -> bool:
        """Whether sinks are ever refreshed."""
        return self.sink_threshold is not None and self.sinks > 0

    @property
    def ring_slots(self) -> int:
        """Slots that are overwritten in turn."""
        return self.slots - self.pinned_slots


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleParams:
    """The flow-matching schedule (`spec/03`).

    Args:
        step_list: every timestep the model was trained for, falling; n steps are its first n.
        steps: how many of them a new stream runs.
        noise_scale: share of noise in a chunk's input, for a new stream.
        noise_scale_range: the smallest and the largest share of noise the model can start from.
        shift, entries: of the sigma table.
        timestep_offset: the first timestep of a chunk is int(1000 * noise_scale) + offset. Every
            sigma is looked up by the timestep fed to the model, so the offset applies to it, too.
        renoise_offset: between steps a chunk is noised to sigma(t - offset), t being the next
            step's timestep.
        first_chunk_from_scale: take the first chunk's first timestep from the noise scale, too,
            instead of from the list.

    Raises:
        ValueError: if the list does not fall, or the noise scale lies outside its range.
    """

    step_list: tuple[int, ...]
    steps: int
    noise_scale: float = 0.8
    noise_scale_range: tuple[float, float] = (0.0, 1.0)
    shift: float = 8.0
    entries: int = 1000
    timestep_offset: int = -100
    renoise_offset: int = 0
    first_chunk_from_scale: bool = False

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.step_list, self.step_list[1:], strict=False))
        if not falling or not 1 <= len(self.step_list) <= MAX_STEPS:
            raise ValueError(
                f"step_list is {list(self.step_list)}, it must fall and hold 1 to {MAX_STEPS} steps"
            )
        if not 1 <= self.steps <= len(self.step_list):
            raise ValueError(f"steps is {self.steps}, the list has {len(self.step_list)}")
        low, high = self.noise_scale_range
        if not 0.0 <= low <= self.noise_scale <= high <= 1.0:
            raise ValueError(
                f"noise_scale is {self.noise_scale}, it must lie in {low} to {high}, in 0 to 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionParams:
    """The motion-aware noise controller (`spec/03` section 7).

    Args:
        full_motion: root mean square difference of frames, in [-1, 1] units, that counts as full
            motion.
        noise_drop: how much full motion takes off the noise scale.
        inertia: share of the last chunk's noise scale in the next one.
    """

    full_motion: float = 0.2
    noise_drop: float = 0.1
    inertia: float = 0.1


class NoiseMode(StrEnum):
    """Which noise is mixed into a chunk."""

    FRESH = "fresh"  # every chunk its own
    FIXED = "fixed"  # the same for every frame of a stream: a still picture stays still


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """A model that can be served: its parts, sizes and policies.

    Args:
        codec: names the codec, or that of each side: `wan+taehv` encodes with Wan's.
        text: name of the text encoder.
        width_px, height_px: default size of its frames.
        smaller_sizes_px: widths and heights, falling, for machines on which it would not keep `fps`
            at its default size, and for streams of a lower level.
        aspects: width to height of the other frames that it generates, see `frame_sizes.py`.
        fps: the least frame rate that a viewer should get.
        levels: of quality at which its streams may be generated, the best first.
        prompt: of a new stream.
        note: one line on what this model is, for people.
        reduced_precision: the model was trained with rounded matrix products, see
            `device/precision.py`.
        embedded: its weights are part of the package, so nothing has to be downloaded.
    """

    name: str
    dit: DitParams
    cache: CacheParams
    schedule: ScheduleParams
    motion: MotionParams = MotionParams()
    noise: NoiseMode = NoiseMode.FRESH
    codec: str
    text: str
    width_px: int
    height_px: int
    prompt: str
    note: str
    smaller_sizes_px: tuple[tuple[int, int], ...] = ()
    aspects: tuple[tuple[int, int], ...] = ()
    fps: float = DEFAULT_FPS
    levels: Levels = DEFAULT_LEVELS
    reduced_precision: bool = False
    embedded: bool = False

    @property
    def scales(self) -> tuple[FrameSize, ...]:
        """Its own size at each of its scales, the largest first."""
        sizes_px = ((self.width_px, self.height_px), *self.smaller_sizes_px)
        return tuple(FrameSize(*size_px) for size_px in sizes_px)

    def at_one_size(self, width_px: int, height_px: int) -> "Preset":
        """The same for frames of that size only."""
        return replace(
            self,
            width_px=width_px,
            height_px=height_px,
            smaller_sizes_px=(),
            aspects=(),
            levels=self.levels.without_sizes(),
        )

    def timesteps(self, steps: int) -> tuple[int, ...]:
        """The timesteps of a chunk that is denoised in `steps` steps.

        Raises:
            ValueError: if the model was not trained for that many.
        """
        step_list = self.schedule.step_list
        if steps > len(step_list):
            raise ValueError(f"steps is {steps}, preset {self.name} takes 1 to {len(step_list)}")
        return step_list[:steps]


class Compilation(StrEnum):
    """How the model's many small kernels are made cheaper; see `diffusion/cuda_graphs.py`."""

    NONE = "none"
    GRAPH = "graph"  # CUDA graphs


@dataclass(frozen=True, slots=True, kw_only=True)
class RankShare:
    """What one rank of a group holds of a model.

    Args:
        blocks: of the transformer, rising.
        steps: whose cache rows it has, rising.
        codes: whether it encodes or decodes.
        leads: whether it encodes prompts.
    """

    blocks: tuple[int, ...]
    steps: tuple[int, ...]
    codes: bool
    leads: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What to serve and where.

    Args:
        device: a torch device, e.g. `cpu` or `cuda:0`.
        dtype: name of the torch dtype of weights and activations, e.g. `float32`.
        max_streams: streams that may be open at once.
        cpu_batch: most micro-steps of one pass on a CPU. There a pass of two takes twice as long as
            one and rounds differently; with 1 a stream's frames do not depend on other streams.
        compilation: falls back to eager code where it does not work.
        checkpoint: file of the transformer's weights, in place of the preset's own.
        max_steps: most denoising steps of a stream, each of which takes memory for its cache; None
            for as many as there is memory for.
        share: of the model, if a group of ranks runs it; None for all of it.
    """

    preset: Preset
    device: str = "cpu"
    dtype: str = "float32"
    max_streams: int = 1
    cpu_batch: int = 1
    compilation: Compilation = Compilation.NONE
    checkpoint: Path | None = None
    max_steps: int | None = None
    share: RankShare | None = None
