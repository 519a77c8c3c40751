"""Every bad request to WHIP and WHEP, and every bad moment for a good one."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from slipstream_server.engine_status import EngineState
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.rtp.sdp import Offer
from slipstream_server.sessions.publisher import PublisherSession

from tests.server.calls import Camera, dial
from tests.server.serving import poll, serving
from tests.server.signaling.test_whip_sdp import OBS
from tests.server.whips import (
    FRAGMENT,
    assert_error,
    error_of,
    posted,
    publishing,
)

CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"
WATCHING = OBS.replace("a=sendonly", "a=recvonly")


async def test_every_bad_request_has_its_status(tmp_path: Path) -> None:
    """with the value, the rule and what to do; the stream that is on goes on."""
    sdp = "application/sdp"
    async with (
        serving(tmp_path) as server,
        publishing(server) as publisher,
        posted(server.client, "/whep/stage") as viewer,
    ):
        for path, body, kind, status, reason in (
            ("/whip/x", OBS, "text/plain", 415, "Content-Type is text/plain, it must be appl"),
            ("/whip/x", "", sdp, 400, "the body is empty"),
            ("/whip/x", b"\xff\xfe", sdp, 400, "the body is not UTF-8"),
            ("/whip/x", "hello", sdp, 400, "sdp begins with 'hello'"),
            ("/whip/x", "v=0\r\nm=video", sdp, 400, "sdp cannot be parsed"),
            ("/whip/x", OBS.split("m=video")[0], sdp, 400, "the offer has no video"),
            ("/whip/x", "v=0" + "x" * 300_000, sdp, 413, "the body is too large"),
            ("/whip/x", OBS.replace("H264", "AV1"), sdp, 406, "video codecs are AV1, this server"),
            ("/whip/x", OBS.replace("H264", "H265"), sdp, 406, "choose an H.264 encoder"),
            ("/whip/x", WATCHING, sdp, 422, "a publisher's must be sendonly"),
            ("/whep/stage", OBS, sdp, 422, "a viewer's must be recvonly"),
            ("/whip/a%20b", OBS, sdp, 400, "the stream's name is 'a b', it must be 1 to 64"),
            ("/whip/" + "x" * 65, OBS, sdp, 400, "the stream's name is"),
            ("/whip/a.b", OBS, sdp, 400, "the stream's name is 'a.b'"),
            ("/whip/x?noise_scale=7", OBS, sdp, 400, "noise_scale is 7: Expected"),
            ("/whip/x?colour=red", OBS, sdp, 400, "key 'colour' is unknown"),
            ("/whip/x?type=ping", OBS, sdp, 400, "a parameter of the query cannot be"),
            ("/whip/stage", OBS, sdp, 409, "stream 'stage' has a publisher; choose another name"),
            ("/whep/nobody", WATCHING, sdp, 404, "stream 'nobody' is unknown"),
        ):
            got = await error_of(server, "POST", path, body, Content_Type=kind)
            assert_error(got, status, reason)
        fragment = FRAGMENT["Content-Type"]
        other_path = f"/whip/stage/{viewer.id}"
        for method, path, body, kind, status, reason in (
            ("PATCH", publisher.location, CANDIDATE, sdp, 415, "it must be application/trickle"),
            ("PATCH", publisher.location, "hello", fragment, 400, "it must be an SDP fragment"),
            ("PATCH", publisher.location, "a=candidate:x", fragment, 400, "candidate is"),
            ("PATCH", "/whip/stage/none", CANDIDATE, fragment, 404, "session 'none' is unknown"),
            ("PATCH", other_path, CANDIDATE, fragment, 404, "is not one of /whip/stage"),
            ("DELETE", other_path, "", sdp, 404, "use the Location that the answer"),
            ("DELETE", f"/whip/other/{publisher.id}", "", sdp, 404, "is not one of /whip/other"),
            ("DELETE", "/whep/stage/none", "", sdp, 404, "session 'none' is unknown"),
            ("GET", "/whip/stage", "", sdp, 405, "use OPTIONS, POST"),
            ("PUT", publisher.location, "", sdp, 405, "use DELETE, OPTIONS, PATCH"),
        ):
            got = await error_of(server, method, path, body, Content_Type=kind)
            assert_error(got, status, reason)
        await viewer.until_frames(len(viewer.frames) + 8)


async def test_two_publishers_at_once_get_one_name(tmp_path: Path) -> None:
    """who asks while the other is still being answered is refused too."""
    async with serving(tmp_path) as server, AsyncExitStack() as calls:
        posts = [posted(server.client, "/whip/stage", camera=Camera()) for _ in range(2)]
        posted_calls = await asyncio.gather(*map(calls.enter_async_context, posts))
        assert sorted(call.status for call in posted_calls) == [201, 409]


async def test_who_is_being_answered_when_the_server_stops_is_sent_away_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requested, stopped = asyncio.Event(), asyncio.Event()
    answer = PublisherSession.answer

    async def late(session: PublisherSession, offer: Offer) -> str:
        requested.set()
        await stopped.wait()
        return await answer(session, offer)

    monkeypatch.setattr(PublisherSession, "answer", late)
    async with serving(tmp_path) as server, AsyncExitStack() as calls:
        post = posted(server.client, "/whip/stage", camera=Camera())
        posting = asyncio.create_task(calls.enter_async_context(post))
        await requested.wait()
        await server.sessions.close_all("the server is stopping")
        stopped.set()
        await posting
        await poll(lambda: server.sessions.count() == CallCounts())
        assert server.sessions.streams() == []


async def test_a_page_call_is_not_for_whip(tmp_path: Path) -> None:
    """a studio's stream has a name that viewers know: neither can be published over nor ended."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_frames(1)
        sdp = "application/sdp"
        got = await error_of(server, "POST", f"/whip/{owner.stream}", OBS, Content_Type=sdp)
        assert_error(got, 409, "has a publisher")
        got = await error_of(server, "DELETE", f"/whip/{owner.stream}/{owner.id}")
        assert_error(got, 404, "is not one of")
        await owner.until_frames(len(owner.frames) + 4)


async def test_full_and_starting_servers_say_when_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path, max_streams=1, max_viewers=0) as server, publishing(server):
        for path, reason in (("/whip/two", "--max-streams"), ("/whep/stage", "--max-viewers")):
            camera = Camera() if "whip" in path else None
            async with posted(server.client, path, camera=camera) as call:
                assert call.status == 503
                assert reason in call.error
                assert int(call.headers["Retry-After"]) >= 1
    (tmp_path / "down").mkdir()
    async with serving(tmp_path / "down", ready=False, pipeline="mystery") as server:
        await poll(lambda: server.supervisor.status.state is EngineState.DOWN)
        async with posted(server.client, "/whip/two", camera=Camera()) as call:
            assert call.status == 503
            assert "invalid choice: 'mystery'" in call.error
