"""The probe's report of a call, and whether the service levels held. Pure.

Glass to glass decides over the age that the server knows, which ends where a frame is sent. Where
a model's style hides the code in the pixels, the server's word on the age counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from slipstream_protocol.clock import NS_PER_S

from slipstream_server.observability.slo_report import percentiles
from slipstream_server.probe.record import (
    CallRecord,
    fps,
    freezes,
    gaps_ms,
    glass_ms,
    size_changes,
)

_READ_SHARE_MIN = 0.5  # with fewer frames read, those may be an exception
_MISSED_SHARE_MAX = 0.1  # of the server's reports, of ten seconds each, that say "missed"


class SpreadMs(msgspec.Struct, frozen=True, kw_only=True):
    """Nearest-rank percentiles in milliseconds."""

    p50: float
    p95: float
    p99: float


class LevelChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of what is sent, and when: seconds after the offer."""

    at_s: float
    change: str


class ProbeReport(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the probe.

    Args:
        began: the wall clock, by ISO 8601.
        seconds: of the call, from its first frame.
        held: whether the service levels held; `reasons` say why not.
        signal_ms, connected_ms, first_frame_ms: from the offer to the answer, to a path for media,
            and to the first frame decoded.
        glass_ms: drawn to decoded, of the frames whose number is read.
        gap_ms, longest_gap_ms: between two frames received.
        read_ratio: share of the frames received whose number is read.
        freezes, frozen_ms: as W3C's webrtc-stats defines them.
        targets: the server's.
        missed_ratio: share of the server's reports, one a second, that call a target missed.
    """

    url: str
    began: str
    seconds: float
    held: bool
    reasons: tuple[str, ...]
    signal_ms: float | None
    connected_ms: float | None
    first_frame_ms: float | None
    glass_ms: SpreadMs | None
    gap_ms: SpreadMs | None
    longest_gap_ms: float | None
    fps_sent: float
    fps_received: float
    read_ratio: float
    freezes: int
    frozen_ms: float
    level_changes: tuple[LevelChange, ...]
    targets: dict[str, float]
    missed_ratio: dict[str, float]


class _Said(msgspec.Struct, frozen=True):
    """What is read of a server's message; another server's may lack any of it."""

    type: str = ""
    targets: dict[str, float] = {}
    holds: dict[str, bool | None] = {}
    error_message: str | None = None


class _Moved(msgspec.Struct, frozen=True):
    """What is read of a server's message that a stream goes on at another level."""

    text: str = ""
    steps: int = 0
    fps: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """What the caller knows of a call beside its record.

    Args:
        seconds: that it was to last, from its first frame.
        ended_ns: when it was hung up.
        error: why it could not be made, or has ended early.
    """

    url: str
    began: str
    seconds: float
    fps_sent: float
    ended_ns: int
    error: str | None = None


def spread_ms(values: list[float]) -> SpreadMs | None:
    """The percentiles, None without values."""
    found = percentiles(values)
    return SpreadMs(p50=found.p50, p95=found.p95, p99=found.p99) if found else None


def probe_report(record: CallRecord, terms: CallTerms) -> ProbeReport:
    """The figures of a call, its first second left out but for the start-up, and the verdict."""
    frames = record.settled()
    said = [_read(one.text) for one in record.messages if one.at_ns <= terms.ended_ns]
    reports = [one for one in said if one.type == "slo"]
    targets = reports[-1].targets if reports else {}
    stood = freezes(record.frames, end_ns=terms.ended_ns)
    gaps = gaps_ms(frames)
    read = sum(frame.number is not None for frame in frames)
    report = ProbeReport(
        url=terms.url,
        began=terms.began,
        seconds=terms.seconds,
        held=True,
        reasons=(),
        signal_ms=record.since_offer_ms(record.answered_ns),
        connected_ms=record.since_offer_ms(record.connected_ns),
        first_frame_ms=record.since_offer_ms(record.first_frame_ns),
        glass_ms=spread_ms(glass_ms(frames)),
        gap_ms=spread_ms(gaps),
        longest_gap_ms=max(gaps, default=None),
        fps_sent=terms.fps_sent,
        fps_received=fps(frames),
        read_ratio=read / len(frames) if frames else 0.0,
        freezes=stood.count,
        frozen_ms=stood.frozen_ms,
        level_changes=_level_changes(record, ended_ns=terms.ended_ns),
        targets=targets,
        missed_ratio=_missed(reports),
    )
    told = next((one.error_message for one in said if one.type == "stream_stopped"), None)
    reasons = tuple(_reasons(report, terms.error or told))
    return msgspec.structs.replace(report, held=not reasons, reasons=reasons)


def _read(text: str) -> _Said:
    try:
        return msgspec.json.decode(text, type=_Said)
    except msgspec.DecodeError:
        return _Said()


def _missed(reports: list[_Said]) -> dict[str, float]:
    verdicts: dict[str, list[bool]] = {}
    for report in reports:
        for name, held in report.holds.items():
            if held is not None:
                verdicts.setdefault(name, []).append(held)
    return {name: held.count(False) / len(held) for name, held in verdicts.items()}


def _level_changes(record: CallRecord, *, ended_ns: int) -> tuple[LevelChange, ...]:
    """What the server said of its moves, and sizes seen to change."""
    changes = [
        (frame.at_ns, f"pictures of {frame.size[0]}x{frame.size[1]}")
        for frame in size_changes(record.frames)
    ]
    for message in record.messages:
        if _read(message.text).type == "level" and message.at_ns <= ended_ns:
            moved = msgspec.json.decode(message.text, type=_Moved)
            changes.append((message.at_ns, moved.text or f"{moved.steps} steps, {moved.fps:g} fps"))
    return tuple(
        LevelChange(at_s=(at_ns - record.offered_ns) / NS_PER_S, change=change)
        for at_ns, change in sorted(changes)
    )


def _reasons(report: ProbeReport, error: str | None) -> list[str]:
    """Why the service levels did not hold, for people."""
    if error is not None:
        return [error]
    if report.first_frame_ms is None:
        return ["no picture came"]
    if report.fps_received == 0:
        return ["the picture stood from its first second on"]
    reasons = []
    decided: Mapping[str, float | None] = {
        "ttff": report.first_frame_ms,
        "age": report.glass_ms.p95
        if report.glass_ms and report.read_ratio >= _READ_SHARE_MIN
        else None,
    }
    words = {"ttff": "the first frame took", "age": "glass to glass p95 is"}
    for name, measured_ms in decided.items():
        target_ms = report.targets.get(f"{name}_ms")
        if measured_ms is not None and target_ms is not None and measured_ms > target_ms:
            reasons.append(f"{words[name]} {measured_ms:.0f} ms, the target is {target_ms:.0f} ms")
    for name, share in report.missed_ratio.items():
        if share > _MISSED_SHARE_MAX and decided.get(name) is None:
            reasons.append(f"the server calls its target {name!r} missed {share:.0%} of the time")
    return reasons
