"""What the probe makes of a call's record: freezes, percentiles, the verdict and its reasons."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.control.events import LevelMoved
from slipstream_server.probe.record import CallRecord, ReceivedFrame, TimedMessage, freezes
from slipstream_server.probe.report import CallTerms, ProbeReport, probe_report

FPS = 25
TARGETS = {"ttff_ms": 1000.0, "age_ms": 500.0, "miss_ratio": 0.01}


def call(
    *,
    seconds: int = 10,
    first_ms: int = 400,
    glass_ms: int = 200,
    is_read: bool = True,
    stood_ms: int = 0,
    holds: dict[str, bool | None] | None = None,
) -> CallRecord:
    """A call of steady frames, which stood still in its middle for `stood_ms`."""
    record = CallRecord(
        offered_ns=5 * NS_PER_S, answered_ns=5 * NS_PER_S + 1, connected_ns=5 * NS_PER_S + 2
    )
    for number in range(seconds * FPS):
        late_ms = stood_ms if number > seconds * FPS // 2 else 0
        at_ns = (5000 + first_ms + number * 1000 // FPS + late_ms) * NS_PER_MS
        record.frames.append(
            ReceivedFrame(
                at_ns=at_ns,
                number=number if is_read else None,
                drawn_ns=at_ns - glass_ms * NS_PER_MS if is_read else None,
                size=(256, 256),
            )
        )
    report = {"type": "slo", "targets": TARGETS, "holds": holds or {"ttff": True, "age": True}}
    text = msgspec.json.encode(report).decode()
    record.messages.extend(TimedMessage(frame.at_ns, text) for frame in record.frames[::FPS])
    return record


def report_of(record: CallRecord, error: str | None = None) -> ProbeReport:
    ended_ns = record.frames[-1].at_ns if record.frames else record.offered_ns
    terms = CallTerms(
        url="http://x", began="", seconds=10, fps_sent=FPS, ended_ns=ended_ns, error=error
    )
    return probe_report(record, terms)


def test_a_good_call_holds() -> None:
    """and its figures are those of the record."""
    report = report_of(call())
    assert (report.held, report.reasons) == (True, ())
    assert report.first_frame_ms == 400
    assert report.glass_ms is not None and report.glass_ms.p99 == 200
    assert report.fps_received == pytest.approx(FPS)
    assert (report.read_ratio, report.freezes, report.targets) == (1.0, 0, TARGETS)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (call(first_ms=1200), "the first frame took 1200 ms, the target is 1000 ms"),
        (call(glass_ms=600), "glass to glass p95 is 600 ms, the target is 500 ms"),
        (call(is_read=False, holds={"age": False}), "the server calls its target 'age' missed"),
        (call(holds={"miss": False}), "the server calls its target 'miss' missed 100%"),
        (CallRecord(), "no picture came"),
    ],
)
def test_what_did_not_hold_is_named(record: CallRecord, reason: str) -> None:
    report = report_of(record)
    assert not report.held
    assert report.reasons[0].startswith(reason)


def test_glass_to_glass_decides_over_the_server() -> None:
    """both ways: where the code is read, the server's word on the age does not count."""
    assert report_of(call(holds={"age": False})).held
    assert not report_of(call(glass_ms=900, holds={"age": True})).held


def test_a_call_that_failed_did_not_hold() -> None:
    assert report_of(call(), error="no path").reasons == ("no path",)


def test_nonsense_from_the_server_is_passed_over() -> None:
    record = call()
    for text in ("", "[]", "null", "{", '{"type":7}', '{"type":"slo","holds":{"age":"no"}}'):
        record.messages.append(TimedMessage(record.frames[-1].at_ns, text))
    assert report_of(record).held


def test_a_changed_size_is_a_change_of_level() -> None:
    record = call()
    at = record.frames[-1].at_ns + NS_PER_S
    record.frames.append(ReceivedFrame(at_ns=at, number=None, drawn_ns=None, size=(192, 192)))
    assert [one.change for one in report_of(record).level_changes] == ["pictures of 192x192"]


def test_moves_of_the_ladder_are_changes_of_level() -> None:
    """in the server's words, or by their numbers where the viewer has chosen."""
    record = call()
    for said in (
        LevelMoved(
            steps=1, fps=0, size_px=0, chosen_steps=2, is_down=True, text="2 steps -> 1", lowered=""
        ),
        LevelMoved(steps=2, fps=12, size_px=0, chosen_steps=2, is_down=False, text="", lowered=""),
    ):
        text = msgspec.json.encode(said).decode()
        record.messages.append(TimedMessage(record.frames[-1].at_ns, text))
    assert {one.change for one in report_of(record).level_changes} == {
        "2 steps -> 1",
        "2 steps, 12 fps",
    }


@given(st.integers(0, 3000))
def test_a_freeze_is_what_the_standard_says(stood_ms: int) -> None:
    """longer than three mean intervals, and than one and 150 ms: 190 ms here at 40 ms a frame."""
    record = call(stood_ms=stood_ms)
    found = freezes(record.frames, end_ns=record.frames[-1].at_ns)
    if stood_ms + 40 > 190:
        assert (found.count, found.frozen_ms) == (1, stood_ms + 40)
    else:
        assert found.count == 0


def test_a_picture_that_stands_at_the_end_is_a_freeze() -> None:
    record = call()
    found = freezes(record.frames, end_ns=record.frames[-1].at_ns + 5 * NS_PER_S)
    assert (found.count, found.frozen_ms) == (1, 5000)
