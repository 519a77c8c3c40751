"""What names and values of a control surface mean."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from slipstream_protocol.parameters import Parameters
from slipstream_server.control.events import Model, describe_model
from slipstream_server.osc.surface_controls import (
    SURFACE_CONTROLS,
    parameters_of,
    read_move,
)

from tests.server.played_engine import ready_message

MODEL: Model = msgspec.structs.replace(
    describe_model(ready_message()), step_list=(1000, 700, 400), noise_scale_range=(0.2, 0.8)
)
PAGE = Path(__file__).parents[3] / "web" / "index.html"
MADE_BY_SCRIPTS = {f"weight-{n}" for n in range(1, 5)} | {f"snapshot-{n}" for n in range(1, 10)}


def update(name: str, *values: object) -> Parameters:
    return parameters_of(read_move(f"/slipstream/{name}", values), MODEL)


def test_values_are_those_of_the_page() -> None:
    """a share of a slider's range, a number of steps, a text; what is beyond is its end."""
    low, high = MODEL.noise_scale_range
    assert update("prompt", "neon") == Parameters(prompt="neon")
    assert update("strength", 0.5) == Parameters(noise_scale=(low + high) / 2)
    assert update("strength", 7) == Parameters(noise_scale=high)
    assert update("steps", 1.0) == Parameters(denoising_step_list=MODEL.step_list[:1])
    assert update("steps", 99) == Parameters(denoising_step_list=MODEL.step_list)
    assert update("seed", 12) == Parameters(seed=12)
    assert update("motion", 0) == Parameters(noise_controller=False)
    assert update("reset") == Parameters(reset_cache=True)
    assert update("reset", 0).reset_cache is UNSET
    assert update("pause", 1) == Parameters(paused=True)


def test_a_stream_may_be_named() -> None:
    """else it is the newest."""
    assert read_move("/slipstream/stage/seed", [1]).stream == "stage"
    assert read_move("/slipstream/seed", [1]).stream == ""


@pytest.mark.parametrize(
    ("address", "values", "reason"),
    [
        ("/other/seed", [1], "address '/other/seed' is unknown, send /slipstream/NAME"),
        ("/slipstream/colour", [1], "with a NAME of prompt, strength"),
        ("/slipstream/a/b/seed", [1], "is unknown"),
        ("/slipstream", [], "is unknown"),
        ("seed", [], "is unknown"),
        ("", [], "is unknown"),
        ("/slipstream/prompt", [3], "prompt is '3', it must be text"),
        ("/slipstream/seed", ["x"], "seed is 'x', it must be whole number"),
        ("/slipstream/seed", [None], "seed is 'None', it must be whole number"),
        ("/slipstream/strength", [float("nan")], "strength is nan, it must be 0 to 1"),
        ("/slipstream/seed", [-1], "seed is '-1.0'"),
        ("/slipstream/prompt", ["x" * 3000], "length <= 2000"),
    ],
)
def test_what_is_wrong_is_said(address: str, values: list[object], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parameters_of(read_move(address, values), MODEL)


@given(
    st.sampled_from([one.name for one in SURFACE_CONTROLS if not one.is_on_page])
    | st.text(max_size=20),
    st.lists(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        max_size=2,
    ),
)
def test_whatever_comes_is_taken_or_refused(name: str, values: list[Any]) -> None:
    try:
        move = read_move(f"/slipstream/{name}", values)
        if not move.control.is_on_page:
            parameters_of(move, MODEL)
    except ValueError:
        pass


def test_each_name_is_a_control_of_the_page() -> None:
    """so that one who looks at the page knows them."""
    ids = set(re.findall(r'\bid="([\w-]+)"', PAGE.read_text())) | MADE_BY_SCRIPTS
    assert {one.name for one in SURFACE_CONTROLS} <= ids


def test_a_button_that_is_let_go_does_nothing() -> None:
    assert read_move("/slipstream/cue-go", [0]).is_release
    assert not read_move("/slipstream/cue-go", [1]).is_release
    assert not read_move("/slipstream/fade", [0]).is_release
