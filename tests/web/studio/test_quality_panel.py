"""`studio/quality_panel.js`: the level of quality in words, and the question before it falls."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PLAY = """
async (events) => {
  const { QualityPanel } = await import("/studio/quality_panel.js");
  const answers = [];
  const panel = new QualityPanel(document.getElementById("quality"), (keep) => answers.push(keep));
  for (const [what, event] of events) {
    if (what === "click") document.querySelector(`#quality [data-part=${event}]`).click();
    else panel[what](event);
  }
  const part = (name) => document.querySelector(`#quality [data-part=${name}]`);
  return {
    text: part("text").hidden ? "" : part("text").textContent,
    question: part("question").hidden ? "" : part("question-text").textContent,
    answers,
  };
}
"""
DOWN = {"text": "2 steps -> 1 step: pictures were 1.2 s old", "lowered": "2 steps -> 1 step: why"}
UP = {"text": "1 step -> 2 steps: pictures are 0.2 s old, there is room for more", "lowered": ""}
QUESTION = {"text": "4 steps -> 2 steps: only 9 pictures a second", "within_s": 10}


async def played(server: FakeServer, *events: tuple[str, Any]) -> dict[str, Any]:
    """What the panel shows after these events, and what was answered."""
    await server.page.goto(SECURE)
    shown: dict[str, Any] = await server.page.evaluate(_PLAY, [list(event) for event in events])
    return shown


async def test_a_move_is_told_in_the_servers_words(server: FakeServer) -> None:
    """and stands there while quality is lowered; a page that comes later is told too."""
    assert (await played(server, ("showLevel", DOWN)))["text"] == DOWN["text"]
    assert (await played(server, ("showLevel", UP)))["text"] == UP["text"]
    assert (await played(server, ("showState", {"lowered": "why"})))["text"] == "why"
    assert (await played(server, ("showLevel", DOWN), ("showState", {})))["text"] == ""


async def test_a_picture_of_another_size_leaves_the_words(server: FakeServer) -> None:
    """a climb that makes pictures larger brings a state at once."""
    resized = ("showLevel", UP), ("showState", {"lowered": ""})
    assert (await played(server, *resized))["text"] == UP["text"]


@pytest.mark.parametrize(("button", "keep"), [("keep", True), ("allow", False)])
async def test_a_question_is_answered_once(server: FakeServer, button: str, keep: bool) -> None:
    shown = await played(server, ("ask", QUESTION))
    assert shown["question"] == QUESTION["text"]
    answered = await played(server, ("ask", QUESTION), ("click", button))
    assert answered["answers"] == [keep]
    assert answered["question"] == ""


async def test_a_question_is_over_with_the_move_it_was_about(server: FakeServer) -> None:
    shown = await played(server, ("ask", QUESTION), ("showLevel", DOWN))
    assert (shown["question"], shown["text"]) == ("", DOWN["text"])
