"""A stream kept at its level: with the server's own parts, a played camera and a played device."""

from dataclasses import replace

import pytest
from slipstream_protocol.levels import DEFAULT_LEVELS, Level

from tests.bench.overload import DeviceTimes, Overload, StreamRecord, play
from tests.bench.overloads import (
    CASES,
    PLOTTED,
    SLOW_FROM_S,
    SLOW_S,
    missed_share,
    run_case,
)
from tests.server.scripted_clock import run_scripted

NORMAL = DeviceTimes(codec_ms=40, step_ms=45)
SHORT = Overload(times=NORMAL, seconds=12, ladder=DEFAULT_LEVELS.spec)


def played(script: Overload, monkeypatch: pytest.MonkeyPatch) -> list[StreamRecord]:
    return run_scripted(play(script), monkeypatch)


def test_a_device_that_is_twice_as_slow_for_half_a_minute() -> None:
    """less than a twentieth of the pictures promised are late or missing meanwhile, and the stream
    is back at its full level within twenty seconds; the page is told of each move in words."""
    ladder, (record,) = run_case(PLOTTED)
    script = CASES[PLOTTED]
    assert missed_share([record], script, SLOW_FROM_S, SLOW_FROM_S + SLOW_S) < 0.05
    assert ladder.back_s is not None
    assert 0 < ladder.back_s < 20
    assert [text for _, text in record.moves] == [
        "4 steps -> 2 steps: only 9 pictures a second were made of 30",
        "2 steps -> 4 steps: pictures are 0.2 s old, there is room for more",
    ]
    fixed, (kept,) = run_case(PLOTTED, Level(steps=4))
    assert missed_share([kept], script, SLOW_FROM_S, SLOW_FROM_S + SLOW_S) > 0.3
    assert fixed.quality > ladder.quality > 3


def test_ten_minutes_at_the_knee() -> None:
    """no more than a change a minute, and no picture in a thousand late or missing."""
    ladder, _ = run_case("ten minutes at the knee")
    assert ladder.missed <= 0.001
    assert ladder.changes <= 10
    assert ladder.quality >= 3


def test_the_steps_that_the_engine_runs_are_the_first_of_those_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """and so is what a picture is made of; without a ladder nothing changes."""
    busy = replace(SHORT, times=replace(NORMAL, slowness=lambda at_s: 2.0))
    (record,) = played(busy, monkeypatch)
    assert {one.steps for one in record.shown} == {4, 2}
    (left_alone,) = played(replace(busy, ladder="off"), monkeypatch)
    assert {one.steps for one in left_alone.shown} == {4}
    assert left_alone.moves == []


def test_a_device_that_stops_is_noticed_before_its_chunk_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """by what it has taken so far: the next one is begun at a lower level already."""
    stops = Overload(
        times=replace(NORMAL, slowness=lambda at_s: 40.0 if 4 < at_s < 5 else 1.0),
        seconds=20,
        ladder=DEFAULT_LEVELS.spec,
    )
    (record,) = played(stops, monkeypatch)
    fell_s, text = record.moves[0]
    assert fell_s < 5, "the chunk takes nine seconds"
    assert text.startswith("4 steps -> 1 step: only ")
    assert record.levels[-1][1:] == (4, 0.0)


def test_a_shared_machine_is_served_better_than_by_one_step_that_stays() -> None:
    """with smaller pictures among its levels, fewer are late or missing, and they are made by twice
    the steps."""
    case = "the same, smaller pictures below"
    ladder, _ = run_case(case)
    assert ladder.missed < run_case(case, Level(steps=1))[0].missed
    assert ladder.quality > 2


def test_two_streams_share_what_one_would_fill(monkeypatch: pytest.MonkeyPatch) -> None:
    """both go down, each by no more than is needed, and neither is held."""
    records = played(replace(SHORT, seconds=20, streams=2, apart_s=3), monkeypatch)
    assert [record.levels[-1][1:] for record in records] == [(2, 0.0), (2, 0.0)]
    assert all(len(record.moves) == 1 for record in records)


def test_where_no_level_is_enough_the_newest_is_held_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """the older one keeps its promise from then on; a ladder without that end holds nobody."""
    crowded = Overload(
        times=DeviceTimes(codec_ms=300, step_ms=60, slowness=lambda t: 2.2 if t < 30 else 0.3),
        seconds=75,
        streams=2,
        apart_s=3,
        steps=1,
        ladder=DEFAULT_LEVELS.spec,
    )
    old, new = played(crowded, monkeypatch)
    causes = [text.partition(": ")[2] for _, text in new.moves]
    assert "the device is full, and older streams come first" in causes
    assert "there is room on the device again" in causes
    assert new.levels[-1][1] == 1, "it is generated again"
    assert not any("older streams" in text for _, text in old.moves)
    calm = [one.age_ms for one in old.shown if 20 < one.at_s < 30]
    assert calm
    for record in played(replace(crowded, ladder="1,1@12,1@8"), monkeypatch):
        assert not any("held" in text for _, text in record.moves)


def test_a_viewer_is_asked_about_steps_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """and they go when nobody answers."""
    own = replace(SHORT, is_own=True, seconds=25)
    (record,) = played(replace(own, times=replace(NORMAL, slowness=lambda _: 1.6)), monkeypatch)
    ((asked_s, question),) = record.questions
    ((moved_s, text),) = record.moves
    assert question.startswith("4 steps -> 2 steps: only ")
    assert text.startswith("4 steps -> 2 steps: only ")
    assert 10 <= moved_s - asked_s < 11


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_floor_of_the_operator_holds(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    floor = replace(SHORT, floor="3", times=replace(NORMAL, slowness=lambda _: 2 * factor))
    (record,) = played(floor, monkeypatch)
    assert {steps for _, steps, _ in record.levels} <= {4, 3}
