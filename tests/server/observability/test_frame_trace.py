"""The trace of a stream: every frame's way, in a form that trace viewers read, and bounded."""

import json
from collections import Counter
from typing import Any

from slipstream_server.frames.playout import ScheduledFrame
from slipstream_server.observability.frame_stages import FrameStagesMs
from slipstream_server.observability.frame_trace import FrameTrace

from tests.server.stamped import generated_frame, ms


def traced(frames: int) -> FrameTrace:
    trace = FrameTrace()
    for number in range(frames):
        frame = generated_frame(
            1000 + 40 * number, received_ms=1100 + 40 * number, chunk=number // 4, index=number % 4
        )
        at_ns = frame.stamps.received_ns + ms(5)
        trace.frame_sent(ScheduledFrame(generated=frame, play_ns=at_ns, popped_ns=at_ns), at_ns + 1)
    return trace


def events_of(trace: FrameTrace) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(trace.encoded())["traceEvents"]
    return events


def test_each_frame_is_a_row_of_nested_stages() -> None:
    """every begin has its end, in order and by name; the stages fill the frame, the engine's passes
    lie within its chunk, and no row is another's."""
    events = events_of(traced(8))
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        if event["ph"] in "be":
            rows.setdefault((event.get("cat", "frame"), event["id"]), []).append(event)
    assert Counter(category for category, _ in rows) == {"frame": 8, "engine": 2}
    for (category, _), row in rows.items():
        assert [event["ts"] for event in row] == sorted(event["ts"] for event in row)
        open_names: list[str] = []
        for event in row:
            if event["ph"] == "b":
                open_names.append(event["name"])
            else:
                assert open_names.pop() == event["name"]
        assert open_names == []
        inner = [event["name"] for event in row[1:-1] if event["ph"] == "b"]
        stages = list(FrameStagesMs.__slots__)
        assert inner == (stages if category == "frame" else ["encode", "denoise", "decode"])


def test_drops_are_decisions_with_their_cause() -> None:
    """only those since the trace began, each once."""
    trace = traced(1)
    trace.dropped({"skipped": 7}, ms(1))
    trace.dropped({"skipped": 9, "late": 1}, ms(2))
    trace.dropped({"skipped": 9, "late": 1}, ms(3))
    decisions = [event for event in events_of(trace) if event["ph"] == "i"]
    assert [(one["name"], one["args"], one["ts"]) for one in decisions] == [
        ("dropped: skipped", {"frames": 2}, 2000),
        ("dropped: late", {"frames": 1}, 2000),
    ]


def test_a_trace_is_bounded() -> None:
    """the oldest frames go first."""
    names = {event["name"] for event in events_of(traced(5000)) if event["name"].startswith("fr")}
    assert len(names) == 4096
    assert "frame 0.0" not in names and "frame 1249.3" in names
