"""Figures of a call, from the caller's record and the server's reports."""

import itertools
from typing import Any

import msgspec
import psutil
from slipstream_server.observability.slo_report import percentiles

from tests.bench.caller import Call


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles in milliseconds."""

    p50: float
    p95: float
    p99: float


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
    glass_ms: Spread | None
    glass_p95_start_ms: float | None
    glass_p95_end_ms: float | None
    gap_ms: Spread | None
    fps_out: float
    disordered: int
    age_p95_ms: list[float]
    on_air_ms: list[float]
    processes: dict[str, ProcessUse]
    slo: dict[str, Any] | None


def spread(values: list[float]) -> Spread | None:
    found = percentiles(values)
    return Spread(p50=found.p50, p95=found.p95, p99=found.p99) if found else None


def p95(values: list[float]) -> float | None:
    found = percentiles(values)
    return found.p95 if found else None


def figures(case: str, call: Call, seconds: float, usage: dict[str, ProcessUse]) -> Figures:
    """The figures of `call`, its first second left out."""
    assert call.first_frame_ns is not None
    start_s = (call.first_frame_ns - call.offered_ns) / 1e9 + 1.0
    ages = [(at, age) for at, age in call.ages_ms if at > start_s]
    end_s = ages[-1][0] if ages else 0.0
    received = [stamp for stamp in call.received_ns if (stamp - call.offered_ns) / 1e9 > start_s]
    gaps = [(b - a) / 1e6 for a, b in itertools.pairwise(received)]
    numbers = [number for number in call.numbers if number is not None]
    slo = [event for _, event in call.events if event.get("type") == "slo"]
    return Figures(
        case=case,
        seconds=seconds,
        signal_ms=(call.answered_ns - call.offered_ns) / 1e6,
        first_frame_ms=(call.first_frame_ns - call.offered_ns) / 1e6,
        glass_ms=spread([age for _, age in ages]),
        glass_p95_start_ms=p95([age for at, age in ages if at < start_s + 10]),
        glass_p95_end_ms=p95([age for at, age in ages if at > end_s - 10]),
        gap_ms=spread(gaps),
        fps_out=len(gaps) * 1e9 / (received[-1] - received[0]) if gaps else 0.0,
        disordered=sum(b < a for a, b in itertools.pairwise(numbers)),
        age_p95_ms=[event["age_ms"]["p95"] for event in slo if event.get("age_ms")],
        on_air_ms=_on_air_ms(call),
        processes=usage,
        slo=slo[-1] if slo else None,
    )


def _on_air_ms(call: Call) -> list[float]:
    """From the server's `ack` of an update to the first frame made with it leaving."""
    acked = {event["rev"]: at for at, event in call.events if event.get("type") == "ack"}
    return [
        (at - acked[event["rev"]]) * 1e3
        for at, event in call.events
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
