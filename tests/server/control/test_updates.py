"""The data channel's rules, without a channel."""

import itertools
import json
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import Ack, AppliedRev, Event, OnAir, ParametersUpdated, Pong
from slipstream_server.control.incoming import PAGE_MESSAGE_MAX_BYTES, parse
from slipstream_server.control.updates import BURST, Control, settled
from slipstream_server.observability.client_stats import ClientStats


class Desk:
    """A Control between a viewer and an engine that are both played by the test."""

    def __init__(self) -> None:
        self.updates: list[Parameters] = []
        self.told: list[Event] = []
        self.shown: list[tuple[int | None, int]] = []
        self.viewed: list[ClientStats] = []
        self.control = Control(
            current=Parameters(prompts=(Prompt("start"),), seed=0, noise_scale=0.5),
            apply=self.updates.append,
            tell=self.told.append,
            shown=lambda told_ns, now_ns: self.shown.append((told_ns, now_ns)),
            viewed=lambda stats, now_ns: self.viewed.append(stats),
        )

    def say(self, message: object, now_ns: int = 0) -> list[Event]:
        """What is answered to a message."""
        seen = len(self.told)
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self.control.receive(text, now_ns)
        return self.told[seen:]

    def apply(self, chunk: int = 0) -> None:
        """The engine takes over the update that is with it."""
        rev = self.updates[-1].rev
        assert rev is not UNSET
        self.control.applied(
            Applied(lane=0, rev=rev, chunk=chunk, prompts=(Prompt("x"),), understood="x, I see")
        )

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kind)]


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
    desk = Desk()
    (ack,) = desk.say(message)
    assert isinstance(ack, Ack) and ack.status == "rejected"
    (error,) = ack.errors
    assert reason in error
    assert len(error) < 500
    assert desk.updates == []


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
    desk = Desk()
    for event in desk.say(json.dumps(content)):
        assert msgspec.json.encode(event)


def test_an_update_goes_to_the_engine_and_comes_into_force() -> None:
    """accepted at once; applied, told and in force when the engine says so."""
    desk = Desk()
    assert desk.say({"prompt": "a", "rev": 5}) == [Ack(rev=5, status="accepted")]
    assert desk.updates[0].target == (Prompt("a"),)
    assert desk.control.current.prompts == (Prompt("start"),)
    desk.apply(chunk=3)
    assert desk.of(AppliedRev) == [AppliedRev(rev=5, chunk=3)]
    (updated,) = desk.of(ParametersUpdated)
    assert isinstance(updated, ParametersUpdated)
    assert updated.understood == desk.control.understood == "x, I see"
    assert desk.control.current.prompts == (Prompt("a"),)
    assert isinstance(desk.told[-1], ParametersUpdated)


def test_updates_without_a_number_are_served_too() -> None:
    desk = Desk()
    assert desk.say({"seed": 4}) == [Ack(rev=None, status="accepted")]
    desk.apply()
    assert desk.of(AppliedRev) == []
    assert desk.control.current.seed == 4


def test_one_update_is_with_the_engine_and_the_rest_is_merged() -> None:
    """what is overwritten as a whole is superseded; what is left of an update rides along."""
    desk = Desk()
    desk.say({"seed": 0, "rev": 0})
    desk.say({"seed": 1, "rev": 1})
    desk.say({"seed": 2, "noise_scale": 0.2, "rev": 2})
    assert desk.of(Ack)[-1] == Ack(rev=1, status="superseded")
    desk.say({"seed": 3, "rev": 3})
    assert len(desk.updates) == 1
    desk.apply(chunk=1)
    assert (desk.updates[1].seed, desk.updates[1].noise_scale) == (3, 0.2)
    desk.apply(chunk=2)
    assert desk.of(AppliedRev) == [
        AppliedRev(rev=0, chunk=1),
        AppliedRev(rev=2, chunk=2),
        AppliedRev(rev=3, chunk=2),
    ]


def test_the_three_ways_to_name_prompts_overwrite_each_other() -> None:
    desk = Desk()
    desk.say({"seed": 0, "rev": 0})
    desk.say({"prompt": "a", "rev": 1})
    desk.say({"transition": {"target_prompts": [{"text": "b"}]}, "rev": 2})
    assert desk.of(Ack)[-1] == Ack(rev=1, status="superseded")
    desk.apply()
    desk.apply()
    assert desk.control.current.prompts == (Prompt("b"),)
    assert desk.control.current.transition is UNSET


def test_an_update_the_engine_refuses_changes_nothing_and_the_next_is_sent() -> None:
    desk = Desk()
    desk.say({"seed": 1, "rev": 1})
    desk.say({"noise_scale": 0.1, "rev": 2})
    desk.control.refused(UpdateRefused(lane=0, rev=0, reason="seed 1 cannot be"))
    assert desk.of(Ack)[-1] == Ack(rev=1, status="rejected", errors=("seed 1 cannot be",))
    assert desk.control.current.seed == 0
    assert desk.updates[-1].noise_scale == 0.1


def test_a_refused_update_takes_no_other_along() -> None:
    """what was merged with it is tried by itself, what is left of it, before newer ones."""
    desk = Desk()
    desk.say({"seed": 0, "rev": 0})
    desk.say({"prompt": "a", "noise_controller": True, "rev": 1})
    desk.say({"noise_scale": 0.01, "rev": 2})
    desk.say({"noise_controller": False, "rev": 3})
    desk.apply()
    desk.say({"seed": 9, "rev": 4})
    desk.control.refused(UpdateRefused(lane=0, rev=1, reason="noise_scale is too low"))
    assert desk.updates[-1].target == (Prompt("a"),)
    assert desk.updates[-1].noise_controller is UNSET
    desk.apply(chunk=5)
    assert desk.updates[-1] == Parameters(noise_scale=0.01, rev=3)
    desk.control.refused(UpdateRefused(lane=0, rev=3, reason="noise_scale is too low"))
    assert desk.of(Ack)[-1] == Ack(rev=2, status="rejected", errors=("noise_scale is too low",))
    desk.apply(chunk=6)
    desk.apply(chunk=7)
    assert desk.of(AppliedRev)[1:] == [
        AppliedRev(rev=1, chunk=5),
        AppliedRev(rev=3, chunk=6),
        AppliedRev(rev=4, chunk=7),
    ]
    assert (desk.control.current.noise_scale, desk.control.current.seed) == (0.5, 9)


def test_on_air_comes_once_with_the_first_frame_that_has_it() -> None:
    """and not before: frames of older chunks do not count."""
    desk = Desk()
    desk.say({"seed": 1, "rev": 40})
    desk.apply(chunk=6)
    desk.control.sent(rev=-1, chunk=5, rtp_timestamp=1)
    assert desk.of(OnAir) == []
    desk.control.sent(rev=0, chunk=6, rtp_timestamp=2)
    desk.control.sent(rev=0, chunk=6, rtp_timestamp=3)
    assert desk.of(OnAir) == [OnAir(rev=40, chunk=6, rtp_timestamp=2)]


def test_what_waits_for_its_first_frame_has_a_bound() -> None:
    """a paused stream may be changed for as long as it likes; the newest changes are told of."""
    desk = Desk()
    for rev in range(1000):
        desk.say({"seed": rev, "rev": rev}, now_ns=rev * NS_PER_S)
        desk.apply()
    desk.control.sent(rev=999, chunk=1, rtp_timestamp=0)
    told = [event.rev for event in desk.of(OnAir) if isinstance(event, OnAir)]
    assert told == list(range(1000 - 256, 1000))


def test_reset_cache_happens_once() -> None:
    """it is not part of what is in force afterwards."""
    desk = Desk()
    desk.say({"reset_cache": True})
    assert desk.updates[-1].reset_cache is True
    desk.apply()
    assert desk.control.current.reset_cache is UNSET


def test_ping_and_first_shown() -> None:
    desk = Desk()
    assert desk.say({"type": "ping", "t": 3.5}, now_ns=9) == [Pong(t=3.5, server_ns=9)]
    assert desk.say({"type": "first_shown"}, 8) == []
    assert desk.say({"type": "first_shown", "server_ms": 0.002}, 9) == []
    assert desk.shown == [(None, 8), (2000, 9)]


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
    desk = Desk()
    assert desk.say(STATS, 0) == []
    assert desk.say(STATS, NS_PER_S) == []
    (ack,) = desk.say(STATS, NS_PER_S + NS_PER_S // 10)
    assert ack == Ack(
        rev=None,
        status="rejected",
        errors=("client_stats came 100 ms after the last, send them once a second",),
    )
    assert [stats.freezes for stats in desk.viewed] == [1, 1]
    assert desk.updates == []


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
    desk = Desk()
    assert desk.say(STATS | change) == [Ack(rev=None, status="rejected", errors=(reason,))]
    assert desk.viewed == []


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
    desk = Desk()
    (answer,) = desk.say(message)
    assert isinstance(answer, Ack)
    assert answer.status == "rejected"
    assert reason in answer.errors[0]
    assert desk.updates == []


def test_a_rejected_update_keeps_its_number() -> None:
    """so that the page knows which one it was."""
    (answer,) = Desk().say({"rev": 12, "seed": "x"})
    assert isinstance(answer, Ack)
    assert answer.rev == 12


def test_too_many_messages_are_refused_once_and_later_served_again() -> None:
    desk = Desk()
    for _ in range(BURST):
        assert len(desk.say({"type": "ping", "t": 0})) == 1
    (answer,) = desk.say({"type": "ping", "t": 0})
    assert isinstance(answer, Ack)
    assert answer.errors == ("more than 100 messages a second, send fewer",)
    assert desk.say({"type": "ping", "t": 0}) == []
    assert isinstance(desk.say({"type": "ping", "t": 0}, now_ns=NS_PER_S)[0], Pong)


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
    """each message gets an answer or is served, and the desk stays usable."""
    desk = Desk()
    desk.say(message)
    if desk.updates:
        desk.apply()
    assert desk.say({"seed": 9, "rev": 1}) == [Ack(rev=1, status="accepted")]


changes = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 9),
        "noise_scale": st.sampled_from([0.0, 0.5, 1.0]),
        "prompt": st.sampled_from(["a", "b"]),
        "noise_controller": st.booleans(),
    },
).filter(bool)


@given(st.lists(changes | st.none(), max_size=30))
def test_the_last_value_wins_and_every_number_is_accounted_for(
    steps: list[dict[str, object] | None],
) -> None:
    """however updates and the engine interleave (None is the engine's turn)."""
    desk = Desk()
    wanted = desk.control.current
    numbers = itertools.count()
    for step in steps:
        if step is None:
            if len(desk.updates) > len(desk.of(ParametersUpdated)):
                desk.apply()
            continue
        desk.say(step | {"rev": next(numbers)})
        wanted = settled(wanted.merged(msgspec.convert(step, Parameters)))
    while len(desk.updates) > len(desk.of(ParametersUpdated)):
        desk.apply()
    assert desk.control.current == wanted
    ended = _numbers(desk, AppliedRev, lambda _: True)
    ended += _numbers(desk, Ack, lambda ack: ack.status == "superseded")
    assert sorted(ended) == list(range(next(numbers)))


def _numbers(desk: Desk, kind: type[Event], counts: Callable[[Ack], bool]) -> list[int]:
    return [event.rev for event in desk.of(kind) if counts(event)]  # type: ignore[arg-type, attr-defined]


def test_what_was_with_a_lost_engine_goes_to_the_next() -> None:
    """nothing is sent while there is none; then all of it, in order, each update answered once."""
    desk = Desk()
    desk.say({"prompt": "a", "rev": 1})
    desk.say({"seed": 4, "rev": 2})
    desk.control.engine_lost()
    assert desk.say({"seed": 5, "rev": 3})[-1] == Ack(rev=2, status="superseded")
    assert len(desk.updates) == 1
    desk.control.engine_found(understood="start, I see")
    assert desk.control.understood == "start, I see"
    assert desk.updates[-1].target == (Prompt("a"),)
    desk.apply(chunk=7)
    assert desk.updates[-1].seed == 5
    desk.apply(chunk=8)
    assert desk.of(AppliedRev) == [AppliedRev(rev=1, chunk=7), AppliedRev(rev=3, chunk=8)]
    assert (desk.control.current.prompts, desk.control.current.seed) == ((Prompt("a"),), 5)


def test_the_next_engines_first_frame_shows_what_was_applied_before() -> None:
    """it begins with all that is in force, and has had no update itself."""
    desk = Desk()
    desk.say({"seed": 4, "rev": 9})
    desk.apply()
    desk.control.engine_lost()
    desk.control.engine_found(understood="")
    desk.control.sent(rev=-1, chunk=3, rtp_timestamp=77)
    assert desk.of(OnAir) == [OnAir(rev=9, chunk=3, rtp_timestamp=77)]
