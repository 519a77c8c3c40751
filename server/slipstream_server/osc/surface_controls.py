"""The names by which control surfaces steer a stream, and what their values mean. Pure.

They are those of the page's controls, so that a deck learned there and one that sends OSC say the
same. What is a parameter of the stream is changed here, for any stream; what is made on the page,
as snapshots are, is moved there, where the publisher has the page open.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Model

ROOT = "slipstream"
_SNAPSHOTS = 9
_WEIGHTS = 4
_PRESSED = 0.5  # from which value on a button is down

Value = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceControl:
    """A name.

    Args:
        value: what is sent with it, for people.
        what: it does, for people.
        is_on_page: whether it is the page's alone.
    """

    name: str
    value: str
    what: str
    is_on_page: bool = False


def _on_page(name: str, value: str, what: str) -> SurfaceControl:
    return SurfaceControl(name=name, value=value, what=what, is_on_page=True)


SURFACE_CONTROLS = (
    SurfaceControl(name="prompt", value="text", what="what the video becomes"),
    SurfaceControl(name="strength", value="0 to 1", what="from close to the camera to free"),
    SurfaceControl(name="steps", value="whole number", what="denoising steps, 1 or more"),
    SurfaceControl(name="seed", value="whole number", what="of the noise"),
    SurfaceControl(name="motion", value="0 or 1", what="adapt to motion"),
    SurfaceControl(name="reset", value="1", what="forget the past"),
    SurfaceControl(name="pause", value="0 or 1", what="1 pauses, 0 goes on"),
    _on_page("fade", "0 to 1", "crossfader from A to B"),
    *(_on_page(f"weight-{n}", "0 to 1", f"weight of prompt {n}") for n in range(1, _WEIGHTS + 1)),
    *(_on_page(f"snapshot-{n}", "1", f"go to snapshot {n}") for n in range(1, _SNAPSHOTS + 1)),
    _on_page("cue-go", "1", "next cue, or the first"),
    _on_page("cue-stop", "1", "stop the cue list"),
    _on_page("crossfade", "1", "fade to the other side"),
    _on_page("undo", "1", "take back the last change"),
    _on_page("redo", "1", "make it again"),
    _on_page("dice", "1", "another seed"),
    _on_page("record", "1", "record, or end it"),
)
_CONTROLS = {control.name: control for control in SURFACE_CONTROLS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceMove:
    """A control is to have a value.

    Args:
        stream: its name; empty for the newest.
    """

    stream: str
    control: SurfaceControl
    value: Value

    @property
    def is_release(self) -> bool:
        """Whether a button of the page is let go, which does nothing."""
        is_button = self.control.is_on_page and self.control.value == "1"
        return is_button and isinstance(self.value, float) and self.value < _PRESSED


def read_move(address: str, arguments: Sequence[object]) -> SurfaceMove:
    """What a message asks for: `/slipstream/NAME` or `/slipstream/STREAM/NAME`, and one value;
    without any it is 1.

    Raises:
        ValueError: with what is wrong with it, and what to do.
    """
    parts = address.split("/")
    name = parts[-1]
    control = _CONTROLS.get(name)
    if parts[:2] != ["", ROOT] or len(parts) not in (3, 4) or control is None:
        raise ValueError(
            f"address {address[:80]!r} is unknown, send /{ROOT}/NAME or /{ROOT}/STREAM/NAME with a "
            f"NAME of {', '.join(_CONTROLS)}"
        )
    given = arguments[0] if arguments else 1.0
    takes_text = control.value == "text"
    if takes_text != isinstance(given, str) or not isinstance(given, str | int | float):
        raise ValueError(
            f"{name} is {str(given)[:40]!r}, it must be {control.value} ({control.what})"
        )
    if not isinstance(given, str) and not abs(given) < float("inf"):
        raise ValueError(f"{name} is {given}, it must be {control.value}")
    value = given if isinstance(given, str) else float(given)
    return SurfaceMove(stream="".join(parts[2:-1]), control=control, value=value)


def parameters_of(move: SurfaceMove, model: Model) -> Parameters:
    """The update that it makes to a stream of that model.

    Raises:
        ValueError: if the value is none that the stream can take.
    """
    try:
        return msgspec.convert(_changes(move, model), Parameters)
    except msgspec.ValidationError as error:
        raise ValueError(f"{move.control.name} is {str(move.value)[:40]!r}: {error}") from error


def _changes(move: SurfaceMove, model: Model) -> dict[str, object]:
    value = move.value
    if isinstance(value, str):
        return {"prompt": value}
    match move.control.name:
        case "strength":
            low, high = model.noise_scale_range
            return {"noise_scale": low + min(max(value, 0.0), 1.0) * (high - low)}
        case "steps":
            count = min(max(round(value), 1), len(model.step_list))
            return {"denoising_step_list": model.step_list[:count]}
        case "seed":
            return {"seed": round(value)}
        case "motion":
            return {"noise_controller": value >= _PRESSED}
        case "reset":
            return {"reset_cache": True} if value >= _PRESSED else {}
        case "pause":
            return {"paused": value >= _PRESSED}
    raise AssertionError(f"{move.control.name} is no parameter of a stream")
