"""The data channel's messages: what is taken, what is refused and why."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.parameters import Parameters
from slipstream_server.control.events import Ack, Pong
from slipstream_server.control.incoming import PAGE_MESSAGE_MAX_BYTES, parse
from slipstream_server.control.parameter_channel import MESSAGES_BURST

from tests.server.control.page import Page


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ('{"noise_scale": NaN}', "invalid character (byte 16)"),
        ('{"noise_scale": 1e999}', "Number out of range"),
        ('{"noise_scale": -Infinity}', "is not JSON"),
        ('{"seed": 99999999999999999999999999}', "seed is 99999999999999999999999999: Expected"),
        ('{"seed": 1e30}', "seed is 1e30: Expected `int`, got `float`"),
        ('{"rev": 123456789012345678901234567890, "seed": 1}', "rev is 123456789012345678901234"),
        ('{"prompt": "\ud800"}', "surrogates not allowed"),
        ('{"prompt": "\\ud800"}', "is not JSON"),
        ('{"prompt": "\x00"}', "invalid character"),
        ('{"a":' * 5000, "is not JSON"),
        ("[" * 60_000, "is not JSON"),
        ('{"prompts":[{"text":"a","weight":1e308}]}', "weight is 1e308: Expected `float` <= 10.0"),
        ('{"denoising_step_list":[' + "1," * 9999 + "1]}", "Expected `array` of length <= 4"),
        ('{"type":"ping","t":1e999}', "Number out of range"),
        ('{"type":{"a":1}}', 'type is {"a":1}: Expected `str`'),
    ],
)
def test_garbage_is_rejected_in_a_bounded_answer(message: str, reason: str) -> None:
    """numbers that are none, deep nesting, text that cannot be; nothing reaches the engine."""
    page = Page()
    (ack,) = page.send(message)
    assert isinstance(ack, Ack) and ack.status == "rejected"
    (error,) = ack.errors
    assert reason in error
    assert len(error) < 500
    assert page.to_engine == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda s: (
            st.lists(s)
            | st.dictionaries(
                st.sampled_from(
                    (
                        "prompt",
                        "prompts",
                        "transition",
                        "seed",
                        "noise_scale",
                        "rev",
                        "type",
                        "paused",
                        "weight",
                        "text",
                    )
                )
                | st.text(),
                s,
            )
        ),
    )
)
def test_whatever_is_said_is_answered(content: object) -> None:
    """any JSON, or what Python takes for it: no exception, and answers that can be sent."""
    page = Page()
    for event in page.send(json.dumps(content)):
        assert msgspec.json.encode(event)


def test_ping_and_first_shown() -> None:
    page = Page()
    assert page.send({"type": "ping", "t": 3.5}, now_ns=9) == [Pong(t=3.5, server_ns=9)]
    assert page.send({"type": "first_shown"}, 8) == []
    assert page.send({"type": "first_shown", "server_ms": 0.002}, 9) == []
    assert page.first_shown == [(None, 8), (2000, 9)]


STATS = {
    "type": "client_stats",
    "freezes": 1,
    "frozen_ms": 240.5,
    "received_packets": 300,
    "lost_packets": 3,
    "decoded_frames": 29,
    "dropped_frames": 1,
    "shown_fps": 28.9,
    "rtt_ms": 2.0,
    "jitter_buffer_ms": None,
    "glass_ms": {"p50": 210.0, "p95": 232.5},
}


def test_client_stats_are_taken_once_a_second() -> None:
    """not answered, but for one that comes too soon after another, which does not count."""
    page = Page()
    assert page.send(STATS, 0) == []
    assert page.send(STATS, NS_PER_S) == []
    (ack,) = page.send(STATS, NS_PER_S + NS_PER_S // 10)
    assert ack == Ack(
        rev=None,
        status="rejected",
        errors=("client_stats came 100 ms after the last, send them once a second",),
    )
    assert [stats.freezes for stats in page.client_stats] == [1, 1]
    assert page.to_engine == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"freezes": -1}, "freezes is -1: Expected `int` >= 0"),
        ({"frozen_ms": 1e9}, "frozen_ms is 1000000000.0: Expected `float` <= 600000.0"),
        ({"glass_ms": {"p50": "x", "p95": 1}}, 'glass_ms.p50 is "x": Expected `float`, got `str`'),
        ({"decoded_frames": 1.5}, "decoded_frames is 1.5: Expected `int`, got `float`"),
        (
            {"mood": 1},
            "key 'mood' is unknown; the keys are freezes, frozen_ms, received_packets, "
            "lost_packets, decoded_frames, dropped_frames, shown_fps, rtt_ms, jitter_buffer_ms, "
            "glass_ms",
        ),
    ],
)
def test_stats_that_cannot_be_are_refused(change: dict[str, object], reason: str) -> None:
    """with the value and the rule; nothing is counted."""
    page = Page()
    assert page.send(STATS | change) == [Ack(rev=None, status="rejected", errors=(reason,))]
    assert page.client_stats == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("{", "the message is not JSON (Input data was truncated): '{'"),
        ("", "the message is not JSON (Input data was truncated): ''"),
        ("[" * 50_000, "the message is not JSON"),
        ("[1]", "the message is '[1]', it must be one JSON object"),
        (b"\x00", "the message is 1 bytes of binary, send JSON as text"),
        (
            "x" * (PAGE_MESSAGE_MAX_BYTES + 1),
            f"the message is {PAGE_MESSAGE_MAX_BYTES + 1} bytes, the most",
        ),
        ({}, "the update names no parameter, send at least one"),
        ({"rev": 1}, "the update names no parameter, send at least one"),
        ({"colour": 1}, "key 'colour' is unknown; the keys are prompts, prompt, transition"),
        ({"noise_scale": 1.5}, "noise_scale is 1.5: Expected `float` <= 1.0"),
        ({"noise_scale": "much"}, 'noise_scale is "much": Expected `float`, got `str`'),
        ({"seed": -1}, "seed is -1: Expected `int` >= 0"),
        ({"prompts": []}, "prompts is []: Expected `array` of length >= 1"),
        ({"prompts": [{"text": "a", "weight": 11}]}, "prompts[0].weight is 11: Expected `float`"),
        ({"prompts": [{"txt": "a"}]}, "txt"),
        ({"prompt": "a", "prompts": [{"text": "b"}]}, "prompt and prompts are both given"),
        ({"denoising_step_list": list(range(990, 190, -20))}, "length <= 4"),
        ({"denoising_step_list": [700, 800]}, "denoising_step_list is [700, 800], it must fall"),
        ({"type": "nonsense"}, "type is \"nonsense\": Invalid value 'nonsense'"),
        ({"type": "ping"}, "Object missing required field `t`"),
    ],
)
def test_bad_messages_are_answered_with_value_and_rule(message: object, reason: str) -> None:
    """nothing of them reaches the engine."""
    page = Page()
    (answer,) = page.send(message)
    assert isinstance(answer, Ack)
    assert answer.status == "rejected"
    assert reason in answer.errors[0]
    assert page.to_engine == []


def test_a_rejected_update_keeps_its_number() -> None:
    """so that the page knows which one it was."""
    (answer,) = Page().send({"rev": 12, "seed": "x"})
    assert isinstance(answer, Ack)
    assert answer.rev == 12


def test_too_many_messages_are_refused_once_and_later_served_again() -> None:
    page = Page()
    for _ in range(MESSAGES_BURST):
        assert len(page.send({"type": "ping", "t": 0})) == 1
    (answer,) = page.send({"type": "ping", "t": 0})
    assert isinstance(answer, Ack)
    assert answer.errors == ("more than 100 messages a second, send fewer",)
    assert page.send({"type": "ping", "t": 0}) == []
    assert isinstance(page.send({"type": "ping", "t": 0}, now_ns=NS_PER_S)[0], Pong)


@given(st.text() | st.binary())
def test_whatever_comes_is_parsed_or_refused(raw: str | bytes) -> None:
    """no other exception than ValueError leaves the parser."""
    try:
        parse(raw)
    except ValueError as error:
        assert str(error)


json_values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
names = st.sampled_from([*Parameters.__struct_fields__, "type", "other"])


@given(st.dictionaries(names, json_values))
def test_whatever_json_comes_is_answered(message: dict[str, object]) -> None:
    """each message gets an answer or is served, and the page stays usable."""
    page = Page()
    page.send(message)
    if page.to_engine:
        page.apply()
    assert page.send({"seed": 9, "rev": 1}) == [Ack(rev=1, status="accepted")]
