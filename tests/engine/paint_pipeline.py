"""A pipeline without a model, whose chunks show which parameters they were made with."""

from collections.abc import Sequence

from msgspec import UNSET
from slipstream_engine.errors import AdmissionError
from slipstream_engine.frame_sizes import ScaledSize
from slipstream_engine.scheduling.types import ChunkShape, level_at
from slipstream_protocol.arena import Layout
from slipstream_protocol.frames import I420, FrameSize, Geometry
from slipstream_protocol.levels import parse_levels
from slipstream_protocol.messages import (
    Vocabulary,
)
from slipstream_protocol.parameters import Parameters, Prompt, Prompts

GEOMETRY = Geometry(width_px=8, height_px=4, first_chunk_frames=5, chunk_frames=4)
UPRIGHT = FrameSize(4, 8)
LEVEL = level_at("paint", GEOMETRY.size)  # of a stream that begins
FULL_SEED = 404  # a stream that asks for it finds no room
LAYOUT = Layout(geometry=GEOMETRY, lanes=3, in_slots=1, out_slots=2)


class PaintStream:
    """Fills its output with its seed; a prompt of `fail` raises, `refuse` is refused."""

    def __init__(self, parameters: Parameters) -> None:
        self.prompts: Prompts = (Prompt(""),)
        self.value = 0
        self.steps = 2
        self.size = GEOMETRY.size
        self.apply(parameters)

    def apply(self, parameters: Parameters) -> None:
        if parameters.prompt == "refuse":
            raise ValueError("prompt is refuse, this model does not know it")
        if parameters.target is not UNSET:
            self.prompts = parameters.target
        if parameters.seed is not UNSET:
            self.value = parameters.seed
        if parameters.denoising_step_list is not UNSET:
            self.steps = len(parameters.denoising_step_list)

    @property
    def shape(self) -> ChunkShape:
        return ChunkShape(level=level_at("paint", self.size), steps=self.steps)

    steady_shape = shape

    def resize(self, size: FrameSize) -> None:
        self.size = size

    def encode(self, frames_THW: I420) -> list[int]:
        return [self.value, self.prompts[0].text == "fail"]

    def decode(self, chunk: list[int], out_THW: I420) -> None:
        out_THW[:] = chunk[0]

    def close(self) -> None:
        pass


class PaintPipeline:
    name = "paint"
    preset = "none"
    max_batch = 1
    geometry = GEOMETRY
    sizes = tuple(ScaledSize(size=size, scale_px=4) for size in (GEOMETRY.size, UPRIGHT))
    defaults = Parameters(seed=1)
    step_list = (1000,)
    noise_scale_range = (0.0, 1.0)
    vocabulary = Vocabulary(styles=("plain",))
    levels = parse_levels("1,1@9")
    fps = 12.0
    note = "paints"

    def understood(self, prompts: Prompts) -> str:
        return f"paints {prompts[0].text}"

    def begin_at(self, size: FrameSize) -> None:
        self.geometry = self.geometry.at(size)

    def warm_up(self) -> None:
        pass

    def open(self, parameters: Parameters) -> PaintStream:
        if parameters.seed == FULL_SEED:
            raise AdmissionError("no memory for another stream")
        return PaintStream(self.defaults.merged(parameters))

    def denoise(self, chunks: Sequence[list[int]]) -> None:
        if any(fails for _, fails in chunks):
            raise RuntimeError("the model broke")

    def submitted(self) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass
