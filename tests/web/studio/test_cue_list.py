"""`studio/cue_list.js`: which cue is on, by hand and by time."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """async ([cues, repeats, there, steps]) => {
  const { CueRun } = await import("/studio/cue_list.js");
  const run = new CueRun();
  const of = ([snapshot, over_s, hold_s]) => ({ snapshot, over_s, hold_s });
  const set = (list) => run.setList({ cues: list, repeats }, (one) => there.includes(one));
  let list = cues.map(of);
  set(list);
  return steps.map(([what, value]) => {
    if (what === "take out") set(list = list.filter((_, at) => at !== value));
    else if (what === "change") set(list = list.with(value, { ...list[value] }));
    else {
      const cue = run[what](value);
      return what === "position" ? cue : cue?.snapshot ?? null;
    }
    return run.isRunning;
  });
}"""
_EDIT = """async (steps) => {
  const list = await import("/studio/cue_list.js");
  let cues = { cues: [], repeats: false };
  for (const [what, ...values] of steps) cues = list[what](cues, ...values);
  return cues.cues.map(({ snapshot, hold_s }) => [snapshot, hold_s]);
}"""
TIMED = [[1, 1, 2], [2, 0, 4], [3, 0, None]]
ALL = [1, 2, 3]


async def play(
    server: FakeServer, steps: list[Any], *, repeats: bool = False, there: list[int] | None = None
) -> list[Any]:
    played: list[Any] = await server.evaluate(_PLAY, [TIMED, repeats, there or ALL, steps])
    return played


async def test_a_cue_stays_for_its_change_and_its_hold(server: FakeServer) -> None:
    """then the next is called by time; one without a hold stays until the next is called, and
    after the last the run is over."""
    steps = [
        ["tick", 0], ["go", 1000], ["tick", 3999], ["tick", 4000], ["tick", 7999], ["tick", 8000],
        ["tick", 9e9], ["go", 9e9], ["position", 9e9], ["go", 9e9],
    ]  # fmt: skip
    assert await play(server, steps) == [None, 1, None, 2, None, 3, None, None, None, 1]


async def test_a_late_look_comes_to_where_the_list_would_be(server: FakeServer) -> None:
    """a page that slept goes to the last of those that were due, and keeps the list's own times."""
    often = [["go", 0], *(["tick", at] for at in range(0, 7500, 100)), ["position", 7500]]
    once = [["go", 0], ["tick", 7500], ["position", 7500]]
    position = {"index": 2, "elapsed_s": 0.5, "lasts_s": None, "next": None}
    assert (await play(server, often))[-1] == position
    assert (await play(server, once))[1:] == [3, position]


async def test_a_call_by_hand_does_not_wait(server: FakeServer) -> None:
    """and the time of the cue that it calls begins then."""
    steps = [["go", 0], ["go", 500], ["tick", 4499], ["tick", 4500]]
    assert await play(server, steps) == [1, 2, None, 3]


async def test_a_list_that_repeats_goes_on_at_its_beginning(server: FakeServer) -> None:
    """also where all its cues take no time, which it does not go round for ever."""
    steps = [["go", 0], ["go", 0], ["go", 0], ["position", 0], ["go", 0]]
    *called, position, again = await play(server, steps, repeats=True)
    assert (called, position["next"], again) == ([1, 2, 3], 0, 1)
    instant = [[[1, 0, 0], [2, 0, 0]], True, ALL, [["go", 0], ["tick", 1], ["position", 1]]]
    assert (await server.evaluate(_PLAY, instant))[2]["elapsed_s"] == 0


async def test_empty_snapshots_are_passed_over(server: FakeServer) -> None:
    """and a list of nothing else does not run."""
    steps = [["go", 0], ["position", 0], ["tick", 3000], ["position", 3000]]
    first, at_first, second, at_second = await play(server, steps, there=[1, 3])
    assert (first, at_first["next"], second, at_second["index"]) == (1, 2, 3, 2)
    assert await play(server, [["go", 0], ["position", 0]], there=[9]) == [None, None]


async def test_the_list_may_change_while_it_runs(server: FakeServer) -> None:
    """the cue that is on stays on where another is taken out or it is changed itself; taken out
    itself, it ends the run; `stop` ends it too."""
    steps = [["go", 0], ["go", 0], ["take out", 0], ["position", 0], ["change", 0], ["position", 0]]
    *_, position, runs, same = await play(server, steps)
    assert (position["index"], runs, same["index"]) == (0, True, 0)
    assert await play(server, [["go", 0], ["take out", 0]]) == [1, False]
    assert await play(server, [["go", 0], ["stop", None], ["position", 0]]) == [1, None, None]


async def test_cues_are_added_changed_raised_and_taken_out(server: FakeServer) -> None:
    """no more than fit; the first cannot be raised."""
    adds = [["withCue", {"snapshot": one, "over_s": 0, "hold_s": 5}] for one in ALL]
    edits = [["withCueRaised", 2], ["withCueRaised", 0], ["withCueChanged", 1, {"hold_s": None}]]
    assert await server.evaluate(_EDIT, adds + edits) == [[1, 5], [3, None], [2, 5]]
    assert await server.evaluate(_EDIT, [*adds, *edits, ["withoutCue", 0]]) == [[3, None], [2, 5]]
    assert len(await server.evaluate(_EDIT, adds[:1] * 101)) == 100
