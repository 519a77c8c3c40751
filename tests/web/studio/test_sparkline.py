"""`studio/sparkline.js`: values become a line, gaps stay gaps, the target is a level."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_DRAW = """
async (values) => {
  const { Sparkline } = await import("/studio/sparkline.js");
  const root = document.createElement("div");
  const sparkline = new Sparkline(root);
  for (const [value, target] of values) sparkline.add(value, target);
  const target = root.querySelector(".spark-target");
  return {
    line: root.querySelector(".spark-line").getAttribute("d"),
    target: target.hasAttribute("hidden") ? null : Number(target.getAttribute("y1")),
  };
}
"""


async def drawn(server: FakeServer, *values: tuple[float | None, float | None]) -> dict[str, Any]:
    """The line's path and the target's height after these values and targets."""
    result: dict[str, Any] = await server.evaluate(_DRAW, [list(each) for each in values])
    return result


async def test_a_missing_value_cuts_the_line(server: FakeServer) -> None:
    """one subpath for each run of values; the newest value is at the right edge."""
    line = (await drawn(server, (None, None), (10, None), (10, None), (None, None), (10, None)))[
        "line"
    ]
    runs = line.split("M")[1:]
    assert [run.count("L") for run in runs] == [1, 0]
    assert runs[-1].startswith("240.0 ")


async def test_the_target_is_drawn_to_the_scale_of_the_values(server: FakeServer) -> None:
    """below a value that misses it, above one that holds it, hidden while not known."""
    assert (await drawn(server, (10, None)))["target"] is None
    for value, target in ((20, 10), (5, 10)):
        result = await drawn(server, (value, target))
        value_y = float(result["line"].split(" ")[1])
        assert (result["target"] > value_y) is (value > target)


async def test_only_the_last_two_minutes_are_drawn(server: FakeServer) -> None:
    """older values leave on the left."""
    line = (await drawn(server, *((float(number), None) for number in range(200))))["line"]
    assert line.count("L") == 119
    assert line.startswith("M0.0 ")


_MARK = """
async ([before, after]) => {
  const { Sparkline } = await import("/studio/sparkline.js");
  const root = document.createElement("div");
  const sparkline = new Sparkline(root);
  for (let n = 0; n < before; n += 1) sparkline.add(10, null);
  sparkline.mark("down");
  for (let n = 0; n < after; n += 1) sparkline.add(10, null);
  return [...root.querySelectorAll(".spark-mark")].map(
    (line) => [line.dataset.way, Number(line.getAttribute("x1"))],
  );
}
"""


async def test_a_mark_moves_with_the_values_and_leaves_with_them(server: FakeServer) -> None:
    """it stands where the next value came, and is gone when that is."""
    ((way, x),) = await server.evaluate(_MARK, [10, 1])
    assert (way, x) == ("down", 240)
    ((_, later_x),) = await server.evaluate(_MARK, [10, 60])
    assert later_x == pytest.approx(240 * (1 - 59 / 119), abs=0.1)
    assert await server.evaluate(_MARK, [10, 121]) == []
