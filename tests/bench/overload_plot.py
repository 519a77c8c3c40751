"""Age and level of one stream over time, as SVG."""

from collections.abc import Sequence
from html import escape

from tests.bench.overload import Overload, Shown, StreamRecord

WIDTH_PX, AGE_PX, LEVEL_PX, LEFT_PX, GAP_PX, FOOT_PX = 860, 190, 90, 56, 26, 30
_TICK_S = 10
_STYLE = (
    "text{font:12px sans-serif;fill:#555}.age{fill:none;stroke:#2467c4;stroke-width:1.5}"
    ".target{stroke:#c44;stroke-dasharray:5 4}.slow{fill:#e8b43a;opacity:.22}"
    ".level{fill:none;stroke:#2a8f55;stroke-width:2}.mark{stroke:#2a8f55;stroke-dasharray:2 3}"
    ".axis{stroke:#bbb}"
)


def plot(record: StreamRecord, script: Overload) -> str:
    """The picture.

    Args:
        record: of one stream.
        script: that it was played by; its slow times are shaded.
    """
    top_ms = 1.25 * max(script.age_ms, *(one.age_ms for one in record.shown))
    bottom = AGE_PX + GAP_PX + LEVEL_PX
    x = _Scale(0, script.seconds, LEFT_PX, WIDTH_PX - 10)
    age_y = _Scale(0, top_ms, AGE_PX, 12)
    level_y = _Scale(0, script.steps, bottom, AGE_PX + GAP_PX)
    parts = [
        *_slow_times(script, x, bottom),
        _line("axis", LEFT_PX, AGE_PX, WIDTH_PX - 10, AGE_PX),
        _line("axis", LEFT_PX, bottom, WIDTH_PX - 10, bottom),
        _line("target", LEFT_PX, age_y(script.age_ms), WIDTH_PX - 10, age_y(script.age_ms)),
        f'<polyline class="age" points="{_ages(record.shown, x, age_y)}"/>',
        f'<polyline class="level" points="{_levels(record, script, x, level_y)}"/>',
    ]
    for at_s, text in record.moves:
        parts.append(_line("mark", x(at_s), 12, x(at_s), bottom))
        is_late = at_s > 0.6 * script.seconds
        anchor, offset = ("end", -5) if is_late else ("start", 5)
        parts.append(_text(x(at_s) + offset, 24 if is_late else 40, text, anchor=anchor))
    parts.append(_text(LEFT_PX - 6, age_y(script.age_ms) + 4, f"{script.age_ms / 1000:g} s"))
    for steps in range(script.steps + 1):
        parts.append(_text(LEFT_PX - 6, level_y(steps) + 4, f"{steps}"))
    for tick_s in range(0, int(script.seconds) + 1, _TICK_S):
        parts.append(_text(x(tick_s), bottom + 18, f"{tick_s} s", anchor="middle"))
    parts.append(_text(4, 12, "age", anchor="start"))
    parts.append(_text(4, AGE_PX + GAP_PX - 6, "steps", anchor="start"))
    size = f'width="{WIDTH_PX}" height="{bottom + FOOT_PX}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH_PX} '
        f'{bottom + FOOT_PX}">\n<style>{_STYLE}</style>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


class _Scale:
    """From a value to a place."""

    def __init__(self, low: float, high: float, from_px: float, to_px: float) -> None:
        self._low, self._from_px = low, from_px
        self._px_per_unit = (to_px - from_px) / (high - low)

    def __call__(self, value: float) -> float:
        return round(self._from_px + (value - self._low) * self._px_per_unit, 1)


def _ages(shown: Sequence[Shown], x: _Scale, y: _Scale) -> str:
    return " ".join(f"{x(one.at_s)},{y(one.age_ms)}" for one in shown)


def _levels(record: StreamRecord, script: Overload, x: _Scale, y: _Scale) -> str:
    ends_s = [at_s for at_s, _, _ in record.levels[1:]] + [script.seconds]
    return " ".join(
        f"{x(at_s)},{y(steps)} {x(end_s)},{y(steps)}"
        for (at_s, steps, _), end_s in zip(record.levels, ends_s, strict=True)
    )


def _slow_times(script: Overload, x: _Scale, bottom: float) -> list[str]:
    slow = [second for second in range(int(script.seconds)) if script.times.slowness(second) > 1]
    return [
        f'<rect class="slow" x="{x(second)}" y="12" width="{x(second + 1) - x(second):.1f}" '
        f'height="{bottom - 12}"/>'
        for second in slow
    ]


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "end") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
