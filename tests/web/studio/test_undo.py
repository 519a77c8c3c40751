"""`studio/undo.js`: back to what was before each change, and forth again."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """async (steps) => {
  const { UndoHistory } = await import("/studio/undo.js");
  const history = new UndoHistory();
  return steps.map(([what, ...values]) => {
    const state = history[what](...values) ?? null;
    return [state, history.undoes, history.redoes];
  });
}"""


async def play(server: FakeServer, *steps: list[Any]) -> list[Any]:
    played: list[Any] = await server.evaluate(_PLAY, steps)
    return played


async def test_undo_and_redo_go_the_same_way_back_and_forth(server: FakeServer) -> None:
    """to where there is nothing left; each says what it takes back or does again."""
    played = await play(
        server,
        ["changed", "a", "Seed", 0],
        ["changed", "b", "Steps", 100],
        ["undo", "c"],
        ["undo", "b"],
        ["undo", "a"],
        ["redo", "a"],
        ["redo", "b"],
        ["redo", "c"],
    )
    assert played == [
        [None, "Seed", ""],
        [None, "Steps", ""],
        ["b", "Seed", "Steps"],
        ["a", "", "Seed"],
        [None, "", "Seed"],
        ["b", "Seed", "Steps"],
        ["c", "Steps", ""],
        [None, "Steps", ""],
    ]


async def test_a_drag_is_one_change(server: FakeServer) -> None:
    """moves of one control that follow each other quickly; a later one is another, and so is the
    first after an undo."""
    drag = [["changed", number, "Strength", 900 * number] for number in range(3)]
    later = ["changed", 3, "Strength", 10_000]
    assert [one[0] for one in await play(server, *drag, ["undo", 9], ["undo", 0])][3:] == [0, None]
    played = await play(server, *drag, later, ["undo", 9], ["changed", 3, "Strength", 10_100])
    assert [one[0] for one in played][4:] == [3, None]
    assert (await play(server, *drag, later, ["undo", 9], ["undo", 3]))[-1][0] == 0


async def test_a_change_after_an_undo_ends_what_could_be_done_again(server: FakeServer) -> None:
    played = await play(
        server,
        ["changed", "a", "Seed", 0],
        ["undo", "b"],
        ["changed", "a", "Seed", 10],
        ["redo", "c"],
        ["undo", "c"],
    )
    assert [one[0] for one in played][3:] == [None, "a"]


async def test_the_history_has_a_bound(server: FakeServer) -> None:
    """the oldest is forgotten."""
    changes = [["changed", at, f"change {at}", 0] for at in range(150)]
    played = await play(server, *changes, *[["undo", "x"]] * 101)
    assert [one[0] for one in played][-2:] == [50, None]
