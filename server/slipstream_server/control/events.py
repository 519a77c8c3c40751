"""The messages of the data channel, as types.

Updates from the page are `Parameters`; every other message is an object with a `type`.
"""

from typing import Annotated, Literal, Self

import msgspec
from msgspec import Meta
from slipstream_protocol.messages import Ready
from slipstream_protocol.parameters import Parameters


class FromPage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True
):
    """A message from the page other than an update."""


class Ping(FromPage, frozen=True, tag="ping"):
    """Answered by `Pong`, from which the page has round trip and clock offset."""

    t: Annotated[float, Meta(ge=0)]


class FirstShown(FromPage, frozen=True, tag="first_shown"):
    """The first generated frame is on the screen.

    Args:
        server_ms: since when, on the server's clock, which the page has from its pings.
    """

    server_ms: Annotated[float, Meta(ge=0)] | None = None


class LevelAnswer(FromPage, frozen=True, tag="level_answer"):
    """The answer to `LevelQuestion`: whether the viewer's own steps are kept."""

    keep: bool


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """A message from the server."""


SERVER_STOPS = "the server is stopping"

StateName = Literal["connecting", "warming", "live", "paused", "held", "restarting"]


class Model(Event, frozen=True, tag="model"):
    """The model; `parameters` are those a stream starts with, `chunk_frames` are made at once."""

    pipeline: str
    preset: str
    note: str
    width_px: int
    height_px: int
    chunk_frames: int
    step_list: tuple[int, ...]
    noise_scale_range: tuple[float, float]
    styles: tuple[str, ...]
    colours: tuple[str, ...]
    parameters: Parameters


class State(Model, frozen=True, tag="state"):
    """The state of the stream (`streams/lifecycle.py`), its model, and the parameters in force.

    Args:
        epoch: counts the engines the stream has had; caches are lost from one to the next.
        understood: the model's reading of the prompts, for people; empty if it takes any text.
        lowered: why quality is below what was chosen, for people; empty if it is not.
    """

    state: StateName
    stream: str
    epoch: int
    understood: str = ""
    lowered: str = ""


def describe_model(ready: Ready) -> Model:
    """A running engine's model."""
    return Model(
        pipeline=ready.pipeline,
        preset=ready.preset,
        note=ready.note,
        width_px=ready.geometry.width_px,
        height_px=ready.geometry.height_px,
        chunk_frames=ready.geometry.chunk_frames,
        step_list=ready.step_list,
        noise_scale_range=ready.noise_scale_range,
        styles=ready.vocabulary.styles,
        colours=ready.vocabulary.colours,
        parameters=ready.defaults,
    )


AckStatus = Literal["accepted", "rejected", "superseded"]


class Ack(Event, frozen=True, tag="ack"):
    """The status of an update; `rev` is null if the update has none, or cannot be read."""

    rev: int | None
    status: AckStatus
    errors: tuple[str, ...] = ()


class AppliedRev(Event, frozen=True, tag="applied"):
    """Update `rev` is in force from chunk `chunk` on."""

    rev: int
    chunk: int


class OnAir(Event, frozen=True, tag="on_air"):
    """The first frame made with update `rev` has been sent, with this RTP time."""

    rev: int
    chunk: int
    rtp_timestamp: int


class LevelMoved(Event, frozen=True, tag="level"):
    """The quality ladder has moved the stream to another level.

    Args:
        steps, fps, size_px: denoising steps of a chunk, the highest frame rate and the scale of the
            pictures from now on; 0 steps where nothing is generated, 0 fps for the camera's own
            rate, 0 px for the largest scale.
        chosen_steps: those of the parameters.
        is_down: whether it costs quality.
        text: what changes and why, for people; empty where the viewer has chosen it.
        lowered: as in `State`.
    """

    steps: int
    fps: float
    size_px: int
    chosen_steps: int
    is_down: bool
    text: str
    lowered: str


class LevelQuestion(Event, frozen=True, tag="level_question"):
    """Steps that the viewer has chosen are about to be taken away; answered by `LevelAnswer`.

    Args:
        text: what would change and why, for people.
        within_s: when it is done without an answer. It is done earlier where the promise breaks.
    """

    text: str
    within_s: float


class Pong(Event, frozen=True, tag="pong"):
    t: float
    server_ns: int


class ParametersUpdated(Event, frozen=True, tag="parameters_updated"):
    """All parameters now in force, with the steps as chosen; `understood` as in `State`.

    Args:
        transition_chunks: how long the change to the prompts takes that begins now, whoever asked
            for it; 0 for at once, null where the prompts were not changed.
    """

    parameters: Parameters
    understood: str = ""
    transition_chunks: int | None = None


class PipelineError(Event, frozen=True, tag="pipeline_error"):
    """The engine has failed; the stream goes on unless `stream_stopped` follows."""

    error: str


class Waiting(Event, frozen=True, tag="waiting"):
    """So many callers wait in the line for a place; sent to publishers when it has changed."""

    callers: int


class RecordingState(Event, frozen=True, tag="recording"):
    """Whether the stream is recorded: sent when that has changed, and first where it can be.

    Args:
        is_on: whether it is.
        file: the first of this recording, or of the last one; empty before any.
        since_s: since it began.
        reason: why it has ended by itself, for people; empty where it was asked to.
    """

    stream: str
    is_on: bool
    file: str = ""
    since_s: float = 0.0
    reason: str = ""


class SurfaceMoved(Event, frozen=True, tag="control"):
    """A control surface moves a control of the page (`osc/surface_controls.py`): it does as if it
    was moved there. Sent to the publisher.

    Args:
        value: 0 to 1; 1 presses a button.
    """

    name: str
    value: float


class ServerStopping(Event, frozen=True, tag="server_stopping"):
    """The server ends this call soon; `stream_stopped` with `server_stops` follows.

    Args:
        reason: for people.
        ends_in_s: when, at the latest.
        resume_token: with which a publisher's page offers to the next server; null for a viewer.
        hands_over: the next server is there already: a page offers to it at once, and ends this
            call once it has pictures of that one.
    """

    reason: str
    ends_in_s: float
    resume_token: str | None
    hands_over: bool


class StreamStopped(Event, frozen=True, tag="stream_stopped"):
    """No more frames will come on this call.

    Args:
        server_stops: it is the server that stops, not the stream: a page may come back to the next.
    """

    error_message: str
    server_stops: bool = False

    @classmethod
    def because(cls, reason: str | None) -> Self:
        """The end for `reason`; without one the server cuts everything off."""
        reason = reason or SERVER_STOPS
        return cls(error_message=reason, server_stops=reason == SERVER_STOPS)
