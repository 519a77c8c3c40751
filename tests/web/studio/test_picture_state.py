"""`studio/picture_state.js`: whether new pictures come, and if not, why."""

from typing import Any

import pytest

from tests.web.conftest import FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_JUDGE = """
async (cases) => {
  const { judgePicture } = await import("/studio/picture_state.js");
  const clues = {
    state: "live", isPaused: false, isRefused: false, interruption: "", cameraTrouble: "",
    silent_s: null, stale_s: null,
  };
  return cases.map((one) => judgePicture({ ...clues, ...one }));
}
"""


async def judge(server: FakeServer, *cases: dict[str, Any]) -> list[dict[str, str]]:
    judged: list[dict[str, str]] = await server.evaluate(_JUDGE, list(cases))
    return judged


async def test_a_picture_is_kept_with_its_reason_while_none_comes(server: FakeServer) -> None:
    """the nearest cause is named: a tap, the connection, the user, the camera, its silence, then
    that of the server."""
    all_at_once = {
        "isRefused": True,
        "interruption": "the network is away",
        "isPaused": True,
        "cameraTrouble": "the camera is gone",
        "silent_s": 8,
        "stale_s": 7,
    }
    reasons = []
    for clue in list(all_at_once):
        (judged,) = await judge(server, all_at_once)
        assert judged["picture"] == "kept"
        reasons.append(judged["reason"])
        del all_at_once[clue]
    assert reasons == [
        "Tap to play",
        "the network is away",
        "Paused",
        "the camera is gone",
        "No picture of the camera reaches the server for 8 s",
        "No new picture for 7 s",
    ]


async def test_a_picture_is_fresh_without_a_reason(server: FakeServer) -> None:
    """and there is none before a call has shown one."""
    fresh, before = await judge(server, {}, {"state": "warming", "stale_s": 9})
    assert fresh == {"picture": "fresh", "reason": "", "advice": ""}
    assert before["picture"] == "none"


async def test_a_camera_that_sends_nothing_is_named_while_its_picture_is_repeated(
    server: FakeServer,
) -> None:
    """the server repeats the last one, so new pictures come; what they show is old all the same."""
    camera, others = await judge(server, {"silent_s": 3}, {"stale_s": 3})
    assert camera["picture"] == others["picture"] == "kept"
    assert "camera" in camera["reason"]
    assert "server makes none" in others["advice"]
