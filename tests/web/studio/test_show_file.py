"""`studio/show_file.js` and `shared/checks.js`: what is kept and exported, and nonsense refused."""

import copy
import json
from typing import Any

import pytest

from tests.web.conftest import FakeServer
from tests.web.studio.shows import show

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_PARSE = """async (texts) => {
  const { formatShow, parseShow } = await import("/studio/show_file.js");
  return texts.map((text) => {
    try {
      return JSON.parse(formatShow(parseShow(text)));
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  });
}"""

_HUGE = "x" * 2001


def changed(place: str, value: Any) -> str:
    """The show with another value at a place such as `cueList.cues.0.hold_s`; ... takes it out."""
    whole = copy.deepcopy(show())
    at: Any = whole
    *path, last = [int(one) if one.isdigit() else one for one in place.split(".")]
    for key in path:
        at = at[key]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return json.dumps(whole)


REFUSED = [
    ("hello", 'the file is "hello", it must be JSON'),
    ("", 'the file is "", it must be JSON'),
    ("[]", "the file is [], it must be an object with kind, version, snapshots, cueList"),
    ("null", "the file is null, it must be an object"),
    ('{"kind": "slipstream show"}', "the file.version is missing, it must be there"),
    (changed("kind", "a song"), 'kind is "a song", it must be one of slipstream show'),
    (changed("version", 2), "version is 2, it must be 1"),
    (changed("extra", 1), 'a key of the file is "extra", it must be one of kind, version'),
    (changed("snapshots", {}), "snapshots is {}, it must be a list"),
    (changed("snapshots", [1] * 10), "the length of snapshots is 10, it must be from 0 to 9"),
    (changed("snapshots.0.number", 0), "snapshots[0].number is 0, it must be a number from 1 to 9"),
    (changed("snapshots.0.number", 1.5), "snapshots[0].number is 1.5, it must be a whole number"),
    (changed("snapshots.0.name", 7), "snapshots[0].name is 7, it must be a text of at most 60"),
    (changed("snapshots.0.look.strength", 7), "snapshots[0].look.strength is 7, it must be a numb"),
    (changed("snapshots.0.look.seed", -1), "snapshots[0].look.seed is -1, it must be a number fr"),
    (changed("snapshots.0.look.seed", "7"), 'snapshots[0].look.seed is "7", it must be a whole'),
    (changed("snapshots.0.look.motion", 1), "snapshots[0].look.motion is 1, it must be true or f"),
    (changed("snapshots.0.look.mix.rows", []), "the length of snapshots[0].look.mix.rows is 0"),
    (changed("snapshots.0.look.mix.rows.1.side", "C"), 'rows[1].side is "C", it must be one of A,'),
    (changed("snapshots.0.look.mix.rows.1.text", _HUGE), "rows[1].text is "),
    (changed("snapshots.0.look.mix.rows.0.weight", 11), "rows[0].weight is 11, it must be a num"),
    (changed("snapshots.0.look.mix.fade", None), "look.mix.fade is null, it must be a number"),
    (changed("snapshots.0.look.change.over_s", 61), "change.over_s is 61, it must be a number"),
    (changed("snapshots.0.look.steps", 5), "look.steps is 5, it must be a number from 1 to 4"),
    (changed("snapshots.0.look", ...), "snapshots[0].look is missing, it must be there"),
    (changed("cueList.cues.0.snapshot", 10), "cueList.cues[0].snapshot is 10, it must be a numb"),
    (changed("cueList.cues.0.hold_s", -1), "cueList.cues[0].hold_s is -1, it must be a number"),
    (changed("cueList.repeats", "yes"), 'cueList.repeats is "yes", it must be true or false'),
    (changed("snapshots", show()["snapshots"] * 2), "snapshots[1].number is 3, it must be another"),
    ('{"__proto__": 1}', "the file.kind is missing"),
    (json.dumps("x" * 1_000_001), "the file's length is 1000003, it must be at most 1000000"),
]


async def test_a_show_comes_back_as_it_was(server: FakeServer) -> None:
    """also one without anything; what may be unknown of a look is null."""
    empty = show() | {"snapshots": [], "cueList": {"cues": [], "repeats": True}}
    unknown = show()
    for name in ("strength", "steps", "seed", "motion"):
        unknown["snapshots"][0]["look"][name] = None
    shows = [show(), empty, unknown]
    assert await server.evaluate(_PARSE, [json.dumps(one) for one in shows]) == shows


async def test_nonsense_is_refused_with_its_place_and_the_rule(server: FakeServer) -> None:
    """whatever is wrong, and wherever."""
    said = await server.evaluate(_PARSE, [text for text, _ in REFUSED])
    for (text, expected), message in zip(REFUSED, said, strict=True):
        assert str(message).startswith("FormatError: "), text[:80]
        assert expected in message
        assert len(message) < 200
