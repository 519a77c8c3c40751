"""All messages between the server and the engine.

The socket's order is the order of events: what is sent before a chunk applies to it, what is sent
after does not. Pixels never travel here, only the number of the slot they lie in (see `arena.py`).

A slot belongs to one side at a time. An input slot is the server's until `ChunkIn` names it, and
again after `SlotFree` or `ChunkDropped`; an output slot is the engine's until `ChunkOut` names it,
and again after `SlotRead`.
"""

import msgspec

from slipstream_protocol.frames import FrameSize, Geometry
from slipstream_protocol.levels import DEFAULT_LEVELS, Levels
from slipstream_protocol.parameters import Parameters

DEFAULT_FPS = 16.0


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The root of every message: immutable, tagged by its class name."""


# ---- server to engine


class OpenStream(Message, frozen=True):
    """Open a stream on lane `lane` that starts with `parameters`.

    Args:
        period_ns: the distance of its chunks at its camera's rate, which it is promised; 0 where
            that is not known: the engine takes half of the time that a chunk may take.
        floor_steps: denoising steps of the lowest quality that the stream may be moved to where the
            device is full; 0 where it is not moved.
        floor_period_ns: the distance of its chunks there; 0 for that at the camera's rate.
        floor_size_px: scale of its pictures there, see `OfferedSize`; 0 for that which it has.
        is_return: it was open on an engine before this one, and keeps its promise: it is opened
            whatever its load.
        spare_lanes: of streams that would be closed to make room for it, in this order.
    """

    lane: int
    parameters: Parameters
    period_ns: int = 0
    floor_steps: int = 0
    floor_period_ns: int = 0
    floor_size_px: int = 0
    is_return: bool = False
    spare_lanes: tuple[int, ...] = ()


class CloseStream(Message, frozen=True):
    """Forget the stream on `lane`; answered by `StreamClosed`, which frees all of its slots."""

    lane: int


class Update(Message, frozen=True):
    """Change a stream from its next chunk on; answered by `Applied` or `UpdateRefused`."""

    lane: int
    parameters: Parameters


class ChunkIn(Message, frozen=True):
    """Chunk number `chunk` of a stream lies in input slot `slot`; it holds `frames` frames.

    Args:
        captured_ns: when the camera took the oldest of them, or when it was repeated since the
            camera sent no other; how long a chunk may take counts from then.
        size: of its frames, one that is offered. Where it is another than that of the chunk
            before, the stream begins anew at it, with as many frames as a first chunk has.
    """

    lane: int
    slot: int
    chunk: int
    frames: int
    captured_ns: int
    submitted_ns: int
    size: FrameSize


class SlotRead(Message, frozen=True):
    """The server has copied the frames: output slot `slot` is the engine's again."""

    lane: int
    slot: int


class Stop(Message, frozen=True):
    """Finish the pass that runs and exit."""


# ---- engine to server


class Loading(Message, frozen=True):
    """What the engine is doing before it is ready, for people."""

    stage: str


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """The words a small model knows; empty where any text will do.

    Args:
        styles: names of its styles.
        colours: names of the colours it can tint a style with.
    """

    styles: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


class OfferedSize(msgspec.Struct, frozen=True, kw_only=True):
    """A size at which streams may be generated.

    Args:
        scale_px: names it together with those of other aspects and about as many pixels: the
            shorter side of the model's own among them.
        chunk_ms: time of a chunk alone with all steps, measured or by the pixels from one that was;
            0 if none was.
    """

    size: FrameSize
    scale_px: int
    chunk_ms: float = 0.0


class Ready(Message, frozen=True):
    """The engine serves. The arena's file descriptor travels with this message.

    Args:
        pipeline, preset: what is running, e.g. `diffusion` and `tiny`.
        geometry: the size of a chunk, and of the frames of a stream that begins.
        sizes: of frames that a stream may change to, the largest scale first; none where all
            streams have that of `geometry`.
        lanes: streams the engine can hold at once.
        in_slots, out_slots: slots of a lane in each direction.
        defaults: the values of the parameters a stream starts with.
        step_list: all the timesteps this model was trained for; n steps are its first n.
        noise_scale_range: the smallest and the largest share of noise the model can start from.
        vocabulary: the words a small model knows.
        note: one line on what this model is, for the page.
        levels: of quality at which its streams may be generated.
        fps: the least frame rate that a viewer should get.
        chunk_ms: measured time of a chunk with all steps; 0 if it was not measured.
    """

    pipeline: str
    preset: str
    geometry: Geometry
    lanes: int
    in_slots: int
    out_slots: int
    defaults: Parameters
    step_list: tuple[int, ...]
    noise_scale_range: tuple[float, float]
    vocabulary: Vocabulary
    note: str
    levels: Levels = DEFAULT_LEVELS
    fps: float = DEFAULT_FPS
    chunk_ms: float = 0.0
    sizes: tuple[OfferedSize, ...] = ()


class StreamOpened(Message, frozen=True):
    """A stream has begun.

    Args:
        understood, alone_ms: see `Applied`.
    """

    lane: int
    understood: str = ""
    alone_ms: float = 0.0


class StreamRefused(Message, frozen=True):
    """The engine cannot open the stream: why, and when to try again; 0 s if that is no use.

    Args:
        fits_without: so many of the spare lanes have to be closed first; 0 where that is no use.
    """

    lane: int
    reason: str
    retry_after_s: float
    fits_without: int = 0


class StreamClosed(Message, frozen=True):
    lane: int


class SlotFree(Message, frozen=True):
    """A credit: the server may fill input slot `slot` with the stream's newest chunk."""

    lane: int
    slot: int


class ChunkDropped(Message, frozen=True):
    """Chunk `chunk` is dropped: it would have been late. Input slot `slot` is the server's again.

    The stream goes on as if these frames had never been captured.
    """

    lane: int
    slot: int
    chunk: int


class StageTimes(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Milliseconds a chunk spent in each stage of the engine."""

    encode_ms: float = 0.0
    denoise_ms: float = 0.0
    decode_ms: float = 0.0


class ChunkOut(Message, frozen=True):
    """Chunk number `chunk` is done and lies in output slot `slot`.

    Args:
        rev: of the newest parameter update this chunk was generated with, -1 before the first.
        taken_ns, made_ns: when its encoding began and its decoding ended.
        size: of its frames, as in `ChunkIn`.
    """

    lane: int
    slot: int
    chunk: int
    frames: int
    rev: int
    taken_ns: int
    made_ns: int
    stages: StageTimes
    size: FrameSize


class Applied(Message, frozen=True):
    """Update `rev` takes effect with chunk `chunk`.

    Args:
        understood: how the model reads the prompts, which are in force or blended in, for people;
            empty where it takes any text.
        alone_ms: forecast time of a chunk with the parameters in force, the device to itself.
    """

    lane: int
    rev: int
    chunk: int
    understood: str = ""
    alone_ms: float = 0.0


class UpdateRefused(Message, frozen=True):
    """Update `rev` is out of this model's range; nothing has changed."""

    lane: int
    rev: int
    reason: str


class Failed(Message, frozen=True):
    """An error ended the stream on `lane`, or the whole engine where lane is -1."""

    lane: int
    reason: str


ToEngine = OpenStream | CloseStream | Update | ChunkIn | SlotRead | Stop
ToServer = (
    Loading
    | Ready
    | StreamOpened
    | StreamRefused
    | StreamClosed
    | SlotFree
    | ChunkDropped
    | ChunkOut
    | Applied
    | UpdateRefused
    | Failed
)
