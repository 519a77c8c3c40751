"""What a user asks for when a model is to be loaded; imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from slipstream_engine.config import Compilation
from slipstream_engine.presets import DEFAULT_PRESET


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model by its preset, with what differs from the preset.

    Args:
        preset: name of a preset.
        size_px: width and height of a frame; None for the preset's own.
        device: a torch device; None for a GPU where there is one.
        devices: that share the model, or `auto` for all GPUs; empty for one device.
        plan: which of them runs what: `auto`, `layers`, `steps` or a plan's file.
        weights: folder of pulled weights; None for the default one. An embedded model brings its
            own.
        codec: `wan`, `taehv`, or encoder and decoder like `wan+taehv`; None for the preset's own.
        max_streams: streams that may be open at once.
        threads: CPU threads of torch; None for half the cores: the other half is for the media,
            whose latency suffers more from waiting than a chunk's does from fewer threads.
        compilation: falls back to eager code where the model or the device does not allow it; None
            for graphs on a GPU and nothing elsewhere.
        checkpoint: file of the transformer's weights; None for the preset's own.
        max_steps: most denoising steps of a stream; None for as many as there is memory for.
    """

    preset: str = DEFAULT_PRESET
    size_px: tuple[int, int] | None = None
    device: str | None = None
    devices: tuple[str, ...] = ()
    plan: str = "auto"
    weights: Path | None = None
    codec: str | None = None
    max_streams: int = 1
    threads: int | None = None
    compilation: Compilation | None = None
    checkpoint: Path | None = None
    max_steps: int | None = None
