"""Figures of a call, from the caller's record and the server's reports."""

import itertools
from typing import Any

import msgspec
import psutil
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.probe.record import CallRecord, ReceivedFrame, fps, gaps_ms, glass_ms
from slipstream_server.probe.report import SpreadMs, spread_ms

from tests.bench.caller import events

END_NS = 10 * NS_PER_S


class ProcessUse(msgspec.Struct, frozen=True, kw_only=True):
    """One process over the call: share of one core, and resident memory after it."""

    cpu_percent: float
    rss_mib: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One case.

    Args:
        seconds: of the call, after its first frame.
        signal_ms, first_frame_ms: offer to answer, and to the caller's first decoded frame.
        glass_ms: drawn by the caller to decoded by the caller, by the code in the pixels, where it
            can be read.
        glass_p95_start_ms, glass_p95_end_ms: of the first and the last ten seconds.
        gap_ms: between two frames received.
        fps_out: frames received a second.
        disordered: frames received after one with a higher number.
        age_p95_ms: capture to sent as the server reports it, for each second of the call.
        on_air_ms: the server's acknowledgement of an update to the first frame made with it.
        slo: the server's last report.
    """

    case: str
    seconds: float
    signal_ms: float
    first_frame_ms: float
    glass_ms: SpreadMs | None
    glass_p95_start_ms: float | None
    glass_p95_end_ms: float | None
    gap_ms: SpreadMs | None
    fps_out: float
    disordered: int
    age_p95_ms: list[float]
    on_air_ms: list[float]
    processes: dict[str, ProcessUse]
    slo: dict[str, Any] | None


def figures(case: str, record: CallRecord, seconds: float, usage: dict[str, ProcessUse]) -> Figures:
    """The figures of a call, its first second left out."""
    frames = record.settled()
    numbers = [frame.number for frame in frames if frame.number is not None]
    said = events(record)
    slo = [event for _, event in said if event.get("type") == "slo"]
    signal_ms = record.since_offer_ms(record.answered_ns)
    first_frame_ms = record.since_offer_ms(record.first_frame_ns)
    assert signal_ms is not None and first_frame_ms is not None, "the call was made"
    return Figures(
        case=case,
        seconds=seconds,
        signal_ms=signal_ms,
        first_frame_ms=first_frame_ms,
        glass_ms=spread_ms(glass_ms(frames)),
        glass_p95_start_ms=_glass_p95(
            [frame for frame in frames if frame.at_ns < frames[0].at_ns + END_NS]
        ),
        glass_p95_end_ms=_glass_p95(
            [frame for frame in frames if frame.at_ns > frames[-1].at_ns - END_NS]
        ),
        gap_ms=spread_ms(gaps_ms(frames)),
        fps_out=fps(frames),
        disordered=sum(b < a for a, b in itertools.pairwise(numbers)),
        age_p95_ms=[event["age_ms"]["p95"] for event in slo if event.get("age_ms")],
        on_air_ms=_on_air_ms(said),
        processes=usage,
        slo=slo[-1] if slo else None,
    )


def _glass_p95(frames: list[ReceivedFrame]) -> float | None:
    spread = spread_ms(glass_ms(frames))
    return spread.p95 if spread else None


def _on_air_ms(said: list[tuple[float, dict[str, Any]]]) -> list[float]:
    """From the server's `ack` of an update to the first frame made with it leaving."""
    acked = {event["rev"]: at for at, event in said if event.get("type") == "ack"}
    return [
        (at - acked[event["rev"]]) * 1e3
        for at, event in said
        if event.get("type") == "on_air" and event["rev"] in acked
    ]


class ProcessMeter:
    """CPU use and memory of a process and its children, from its making to `read`.

    Args:
        pid: of the parent, named `server` in the result; its child is named `engine`.
    """

    def __init__(self, pid: int) -> None:
        server = psutil.Process(pid)
        self._processes = {"server": server}
        for child in server.children():
            self._processes["engine"] = child
        for process in self._processes.values():
            process.cpu_percent()

    def read(self) -> dict[str, ProcessUse]:
        return {
            name: ProcessUse(
                cpu_percent=process.cpu_percent(), rss_mib=process.memory_info().rss / 2**20
            )
            for name, process in self._processes.items()
        }
