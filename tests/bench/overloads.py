"""The quality ladder under scripted overloads, against policies that keep one level.

    python -m tests.bench.overloads [--seed N] [--out FILE.json] [--plot FILE.svg]

The server's own parts between a played camera and a played device (`overload.py`), whose clock is
scripted: the figures are the same on every machine. A picture that was promised and did not come in
time is late or missing; the promise is that of the viewer's own steps, whatever the level. Quality
is the mean of the steps of what was shown.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from slipstream_protocol.levels import DEFAULT_LEVELS, Level

from tests.bench.overload import SMALL_PX, DeviceTimes, Overload, StreamRecord, play
from tests.bench.overload_plot import plot
from tests.server.scripted_clock import run_scripted

PROMISED_FPS = 16 * 0.9
LADDER = "ladder"
FIXED = tuple(Level(steps=steps) for steps in (4, 2, 1))
SMALL = Level(steps=1, size_px=SMALL_PX)
WITH_SIZES = f"4,3,2,1,1/{SMALL_PX},held"
SLOW_FROM_S, SLOW_S = 20.0, 30.0
PLOTTED = "twice as slow for 30 s"
COLUMNS = (
    "case",
    "policy",
    "late or missing",
    "mean steps shown",
    "pictures a second",
    "age ms p50 / p95",
    "changes",
    "back after",
)


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One policy through one script, all its streams together.

    Args:
        missed: share of the pictures promised that did not come in time.
        quality: mean steps of those shown.
        changes: of levels, of the stream with the most.
        back_s: from the end of the trouble until all are at their top; None where it has none, or
            they are not.
    """

    case: str
    policy: str
    missed: float
    quality: float
    fps: float
    age_p50_ms: float
    age_p95_ms: float
    changes: int
    back_s: float | None


class OverloadsReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of them; `decision_us` is the processor time of one reading, on the machine named."""

    decision_us: float
    machine: str
    rows: list[Played]


def slow(factor: float) -> Callable[[float], float]:
    """So many times as slow for a while."""
    return lambda at_s: factor if SLOW_FROM_S <= at_s < SLOW_FROM_S + SLOW_S else 1.0


def wobbling(share: float, seed: int) -> Callable[[int], float]:
    """Log-normal noise of mean 1, the same in every run of a seed."""
    rng = random.Random(seed)
    factors = [rng.lognormvariate(-share * share / 2, share) for _ in range(9973)]
    return lambda chunk: factors[chunk % len(factors)]


def stalling(share: float, seed: int) -> Callable[[int], float]:
    """The same noise, and a single chunk that takes five times as long every two minutes or so,
    with nothing wrong before or after it."""
    noise = wobbling(share, seed)
    return lambda chunk: noise(chunk) * (5.0 if chunk % 600 == 199 else 1.0)


def recorded(at_s: float) -> float:
    """Half a minute each of calm, of more work, and of much more, as a shared machine has it."""
    return (1.0, 1.6, 1.0, 2.6, 1.3, 1.0, 3.4, 1.0)[int(at_s // 30) % 8]


NORMAL = DeviceTimes(codec_ms=40, step_ms=45)
SEED = 1


def cases(seed: int) -> dict[str, Overload]:
    """The scripts, with this noise."""
    little, much = wobbling(0.1, seed), wobbling(0.2, seed)
    return {
        PLOTTED: Overload(times=replace(NORMAL, slowness=slow(2)), seconds=80),
        "four times as slow for 30 s": Overload(
            times=replace(NORMAL, slowness=slow(4)), seconds=80
        ),
        "ten minutes at the knee": Overload(
            times=DeviceTimes(codec_ms=50, step_ms=56, wobble=much), seconds=600
        ),
        "a chunk stalls every two minutes": Overload(
            times=replace(NORMAL, wobble=stalling(0.1, seed)), seconds=240
        ),
        "a shared machine, four minutes": Overload(
            times=replace(NORMAL, slowness=recorded, wobble=little), seconds=240
        ),
        "the same, smaller pictures below": Overload(
            times=replace(NORMAL, slowness=recorded, wobble=little),
            seconds=240,
            ladder=WITH_SIZES,
        ),
        "two streams on a device for one": Overload(
            times=replace(NORMAL, wobble=little), seconds=120, streams=2, apart_s=5
        ),
    }


CASES = cases(SEED)


def judged(case: str, policy: str, script: Overload, records: Sequence[StreamRecord]) -> Played:
    """The figures of one run."""
    shown = [one for record in records for one in record.shown]
    ages_ms = sorted(one.age_ms for one in shown)
    watched_s = sum(script.seconds - record.began_s for record in records)
    return Played(
        case=case,
        policy=policy,
        missed=missed_share(records, script, 0.0, script.seconds),
        quality=sum(one.steps for one in shown) / len(shown),
        fps=len(shown) / watched_s,
        age_p50_ms=ages_ms[len(ages_ms) // 2],
        age_p95_ms=ages_ms[len(ages_ms) * 95 // 100],
        changes=max(len(record.moves) for record in records),
        back_s=_back_s(records, script) if "for 30 s" in case and policy == LADDER else None,
    )


def missed_share(
    records: Sequence[StreamRecord], script: Overload, from_s: float, to_s: float
) -> float:
    """Of the pictures promised, those not shown in time, second by second: what is shown too much
    in one does not help the next."""
    promised = missed = 0.0
    for record in records:
        first_s = int(max(from_s, record.began_s + 1)) + 1  # until the first chunk is there
        in_time = [0] * (int(to_s) + 1)
        for one in record.shown:
            if one.age_ms <= script.age_ms and one.at_s < to_s:
                in_time[int(one.at_s)] += 1
        for second in range(first_s, int(to_s)):
            pair = (in_time[second] + in_time[second - 1]) / 2  # a chunk may fall on the border
            promised += PROMISED_FPS
            missed += max(0.0, PROMISED_FPS - pair)
    return missed / promised


def _back_s(records: Sequence[StreamRecord], script: Overload) -> float | None:
    last = [record.levels[-1] for record in records]
    if any((steps, fps) != (script.steps, 0.0) for _, steps, fps in last):
        return None
    return max(at_s for at_s, _, _ in last) - SLOW_FROM_S - SLOW_S


def run_case(
    case: str, fixed: Level | None = None, *, seed: int = SEED
) -> tuple[Played, list[StreamRecord]]:
    """One case by the ladder, or at a level that stays."""
    script = cases(seed)[case]
    if fixed is None:
        script = replace(script, ladder=script.ladder or DEFAULT_LEVELS.spec)
    else:
        script = replace(script, ladder="off", steps=fixed.steps, size_px=fixed.size_px)
    with pytest.MonkeyPatch.context() as patch:
        records = run_scripted(play(script), patch)
    return judged(case, LADDER if fixed is None else fixed.text, script, records), records


def overloads_table(report: OverloadsReport) -> str:
    """The figures as Markdown."""
    rows = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for one in report.rows:
        back = "" if one.back_s is None else f"{one.back_s:.0f} s"
        rows.append(
            f"| {one.case} | {one.policy} | {one.missed:.1%} | {one.quality:.1f} | {one.fps:.1f} | "
            f"{one.age_p50_ms:.0f} / {one.age_p95_ms:.0f} | {one.changes or ''} | {back} |"
        )
    return "\n".join(rows)


def main() -> None:
    from tests.bench.__main__ import processor

    parser = argparse.ArgumentParser(prog="python -m tests.bench.overloads", description=__doc__)
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    parser.add_argument("--plot", type=Path, help="where to draw age and level over time (SVG)")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="of the noise (default: %(default)s)"
    )
    arguments = parser.parse_args()
    rows = []
    for case, script in CASES.items():
        for fixed in (None, *FIXED, *([SMALL] if script.ladder else [])):
            played, records = run_case(case, fixed, seed=arguments.seed)
            rows.append(played)
            if arguments.plot and (case, fixed) == (PLOTTED, None):
                arguments.plot.write_text(plot(records[0], script))
    report = OverloadsReport(decision_us=decision_us(), machine=processor(), rows=rows)
    if arguments.out:
        text = msgspec.json.format(msgspec.json.encode(report), indent=1)
        arguments.out.write_bytes(text + b"\n")
    print(overloads_table(report))
    print(f"\none reading costs {report.decision_us:.1f} us on {report.machine}")


def decision_us(readings: int = 20_000) -> float:
    """Processor time of one reading by a ladder that looks at all of its levels."""
    from slipstream_protocol.levels import Level
    from slipstream_server.ladder.ladder import Ladder
    from slipstream_server.ladder.promise import Others

    from tests.server.ladder.readings import PROMISE, reading

    ladder = Ladder(DEFAULT_LEVELS, floor=None, promise=PROMISE, steps=4, is_own=False)
    late = reading(Level(steps=4), link_ms=3000)
    others = Others(load=0.5, need=0.5)
    began_s = time.process_time()
    for number in range(readings):
        ladder.observe(late, others, number * 10**8)
    return (time.process_time() - began_s) / readings * 1e6


if __name__ == "__main__":
    main()
