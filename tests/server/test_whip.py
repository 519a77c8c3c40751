"""Streams published by WHIP and watched by WHEP, with real media; and every bad request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from slipstream_protocol.parameters import Parameters
from slipstream_server import control
from slipstream_server.camera_session import CameraSession
from slipstream_server.engine_status import EngineState
from slipstream_server.sdp import Offer

from tests.server.calls import Camera, dial
from tests.server.serving import Serving, own_tasks, poll, serving
from tests.server.test_whip_sdp import OBS
from tests.server.whips import FRAGMENT, SDP, WhipCall, posted, readable_in_order

NOBODY = {"stream": 0, "viewer": 0, "held": 0}
TOKEN = "a-token-of-enough-length"
CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"
WATCHING = OBS.replace("a=sendonly", "a=recvonly")


@asynccontextmanager
async def publishing(server: Serving, name: str = "stage", **dials: Any) -> AsyncIterator[WhipCall]:
    """A publisher whose stream is live."""
    path = dials.pop("path", f"/whip/{name}")
    async with posted(server.client, path, camera=Camera(), **dials) as publisher:
        assert publisher.status == 201, publisher.error
        await until_state(server, name, "live")
        yield publisher


async def until_state(server: Serving, name: str, state: str) -> None:
    def is_so() -> bool:
        return any(
            stay.id == name and stay.state_event().state == state
            for stay in server.sessions.streams()
        )

    await poll(is_so)


async def error_of(
    server: Serving, method: str, path: str, body: str | bytes = b"", **headers: str
) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.client.request(method, path, data=body, headers=named) as response:
        return response.status, (await response.json())["error"]


# ---- media


@pytest.mark.parametrize("sound", [False, True])
async def test_what_is_published_is_watched(tmp_path: Path, sound: bool) -> None:
    """the publisher's pictures, in order; sound offered first is answered inactive."""
    async with (
        serving(tmp_path) as server,
        publishing(server, sound=sound) as publisher,
        posted(server.client, "/whep/stage") as viewer,
    ):
        assert viewer.status == 201, viewer.error
        await viewer.until_frames(30)
        assert readable_in_order(viewer) > 20
        answer = publisher.pc.remoteDescription.sdp
        assert "a=recvonly" in answer
        assert ("a=inactive" in answer) is sound
        assert publisher.frames == []
        assert "a=sendonly" in viewer.pc.remoteDescription.sdp


async def test_many_viewers_are_encoded_for_once(tmp_path: Path) -> None:
    """a page that watches, and WHEP viewers, with the publisher's picture encoded once a frame;
    with nobody watching, not at all."""
    async with serving(tmp_path) as server, publishing(server), AsyncExitStack() as calls:
        (stay,) = server.sessions.streams()
        assert stay.broadcast.counts["sent"] == 0
        viewers = [
            await calls.enter_async_context(posted(server.client, "/whep/stage")) for _ in range(3)
        ]
        page = await calls.enter_async_context(dial(server.client, watch=True, view="stage"))
        for viewer in (*viewers, page):
            await viewer.until_frames(40)
        assert stay.broadcast.viewers == 4
        seen = sum(len(viewer.frames) for viewer in (*viewers, page))
        assert 40 <= stay.broadcast.counts["sent"] < seen


async def test_viewers_without_h264_see_it_too(tmp_path: Path) -> None:
    """in VP8, encoded once for the two of them, and in order."""
    async with serving(tmp_path) as server, publishing(server), AsyncExitStack() as calls:
        viewers = [
            await calls.enter_async_context(posted(server.client, "/whep/stage", codec="VP8"))
            for _ in range(2)
        ]
        for viewer in viewers:
            assert "H264" not in viewer.pc.remoteDescription.sdp
            await viewer.until_frames(20)
        (stay,) = server.sessions.streams()
        assert stay.broadcast.encodings["H264"].counts["sent"] == 0
        assert readable_in_order(viewers[0]) > 10


async def test_the_owner_of_a_call_keeps_its_own_picture(tmp_path: Path) -> None:
    """nothing is encoded for all until somebody watches; then both see it."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_frames(10)
        (stay,) = server.sessions.streams()
        assert stay.broadcast.counts["sent"] == 0
        async with posted(server.client, f"/whep/{owner.id}") as viewer:
            await viewer.until_frames(10)
        await owner.until_frames(len(owner.frames) + 8)


async def test_the_newest_is_watched_without_a_name(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as server,
        publishing(server),
        posted(server.client, "/whep") as viewer,
    ):
        assert viewer.location.startswith("/whep/stage/")
        await viewer.until_frames(4)


async def test_a_publisher_without_a_name_is_given_one(tmp_path: Path) -> None:
    """which is not the secret of its call."""
    async with (
        serving(tmp_path) as server,
        posted(server.client, "/whip", camera=Camera()) as publisher,
    ):
        _, _, name, id = publisher.location.split("/")
        assert name != id
        await until_state(server, name, "live")


async def test_the_end_of_the_publisher_is_the_end_for_all(tmp_path: Path) -> None:
    """DELETE is answered 200, ends the stream, and viewers are hung up on; DELETE again is 404."""
    async with (
        serving(tmp_path) as server,
        publishing(server) as publisher,
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        async with server.client.delete(publisher.location) as response:
            assert response.status == 200
        await poll(lambda: server.sessions.count() == NOBODY)
        status, error = await error_of(server, "DELETE", publisher.location)
        assert status == 404
        assert f"has ended (ended by DELETE {publisher.location})" in error
        status, error = await error_of(server, "DELETE", viewer.location)
        assert status == 404
        status, error = await error_of(
            server, "POST", "/whep/stage", WATCHING, Content_Type="application/sdp"
        )
        assert status == 404
        assert "stream 'stage' has ended" in error


async def test_a_viewer_leaves_by_itself(tmp_path: Path) -> None:
    """its DELETE ends its call only."""
    async with (
        serving(tmp_path) as server,
        publishing(server),
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        async with server.client.delete(viewer.location) as response:
            assert response.status == 200
        await poll(lambda: server.sessions.count()["viewer"] == 0)
        (stay,) = server.sessions.streams()
        await poll(lambda: stay.broadcast.viewers == 0)


async def test_a_publisher_who_comes_back_finds_its_stream(tmp_path: Path) -> None:
    """the same stream, with its parameters and its viewers, within the time it is held."""
    async with (
        serving(tmp_path) as server,
        publishing(server, path="/whip/stage?prompt=dusk") as first,
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        (stay,) = server.sessions.streams()
        first.fall_silent()
        await until_state(server, "stage", "held")
        async with publishing(server) as second:
            assert second.id != first.id
            assert server.sessions.streams() == [stay]
            assert stay.state_event().parameters.target[0].text == "dusk"  # type: ignore[index]
            await viewer.until_frames(len(viewer.frames) + 8)


async def test_nothing_is_left_after_calls_and_drops(tmp_path: Path) -> None:
    """no session, no lane, no task: politely, silently, and cut off in the middle."""
    async with serving(tmp_path) as server:
        before = own_tasks()
        for polite in (True, False, True, False):
            async with publishing(server) as publisher:
                async with posted(server.client, "/whep/stage") as viewer:
                    await viewer.until_frames(2)
                if polite:
                    await server.client.delete(publisher.location)
            for stay in server.sessions.streams():
                stay.end("the test is over")
            await poll(lambda: server.sessions.count() == NOBODY)
            await poll(lambda: server.supervisor.require().free_lanes == 2)
        await poll(lambda: own_tasks() <= before)


# ---- parameters


async def test_the_first_parameters_stand_in_the_query(tmp_path: Path) -> None:
    """and a later change of them is a request with the stream's name."""
    path = "/whip/stage?prompt=dusk&seed=7&noise_scale=0.5&token=unused"
    async with serving(tmp_path) as server, publishing(server, path=path):
        address = "/api/v1/streams/stage/parameters"
        async with server.client.get(address) as response:
            parameters = await response.json()
        assert parameters["prompts"] == [{"text": "dusk", "weight": 1.0}]
        assert (parameters["seed"], parameters["noise_scale"]) == (7, 0.5)
        async with server.client.patch(address, json={"prompt": "dawn", "rev": 3}) as response:
            assert response.status == 200
            answer = await response.json()
            assert (answer["type"], answer["rev"]) == ("applied", 3)
        async with server.client.get(address) as response:
            assert (await response.json())["prompts"][0]["text"] == "dawn"
        async with server.client.get("/api/v1/streams") as response:
            assert (await response.json())["streams"] == [
                {"stream": "stage", "state": "live", "published": True, "viewers": 0}
            ]


async def test_an_owner_sees_what_others_change(tmp_path: Path) -> None:
    """its page is told the new parameters, and not of numbers that are not its own."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_event("state", state="live")
        address = f"/api/v1/streams/{owner.id}/parameters"
        async with server.client.patch(address, json={"prompt": "dawn", "rev": 9}) as response:
            assert response.status == 200
        updated = await owner.until_event("parameters_updated")
        assert updated["parameters"]["prompts"][0]["text"] == "dawn"
        owner.send({"seed": 5, "rev": 1})
        await owner.until_event("on_air", rev=1)
        assert not [event for event in owner.events if event.get("rev") == 9]


async def test_bad_parameters_are_refused_with_the_reason(tmp_path: Path) -> None:
    """by the same rules as on the data channel, and also what the engine itself refuses."""
    async with serving(tmp_path, pipeline="diffusion", threads=1) as server, publishing(server):
        address = "/api/v1/streams/stage/parameters"
        for body, status, reason in (
            (b'{"noise_scale": 7}', 400, "noise_scale is 7: Expected `float` <= 1.0"),
            (b'{"colour": "red"}', 400, "key 'colour' is unknown; the keys are prompts"),
            (b'{"type": "ping", "t": 1}', 400, "the body has a type"),
            (b"{", 400, "the message is not JSON"),
            (b"\xff", 400, "can't decode byte"),
            (b"{}", 422, "the update names no parameter"),
            (b'{"noise_scale": 0.0}', 422, "noise_scale"),
        ):
            assert_error(await error_of(server, "PATCH", address, body), status, reason)
        nowhere = await error_of(server, "PATCH", "/api/v1/streams/none/parameters", b"{}")
        assert_error(nowhere, 404, "stream 'none' is unknown")


async def test_a_flood_of_updates_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """with 429, once the stream has taken as many as it takes."""
    monkeypatch.setattr(control, "RATE_PER_S", 0)
    async with serving(tmp_path) as server, publishing(server):
        (stay,) = server.sessions.streams()
        address = "/api/v1/streams/stage/parameters"
        body = b'{"seed": 1}'
        while stay.change(Parameters(seed=1), lambda event: None):
            continue
        assert_error(await error_of(server, "PATCH", address, body), 429, "gets more updates than")


# ---- what the RFC asks of every answer


async def test_the_answer_says_where_the_call_is(tmp_path: Path) -> None:
    """exactly 201, with Location, ETag, what a PATCH may bring, and the ICE servers."""
    settings: dict[str, Any] = {
        "turn": "turn:turn.example:3478",
        "turn_username": "me",
        "turn_credential": 'a"b',
    }
    async with (
        serving(tmp_path, stun="stun:127.0.0.1:9", **settings) as server,
        publishing(server) as publisher,
    ):
        headers = publisher.headers
        assert headers["Content-Type"] == "application/sdp"
        assert publisher.location.startswith("/whip/stage/")
        assert headers["ETag"].strip('"') in publisher.pc.remoteDescription.sdp
        assert headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
        async with server.client.post("/whep/stage", data=WATCHING, headers=SDP) as response:
            links = response.headers.getall("Link")
        assert links == [
            '<stun:127.0.0.1:9>; rel="ice-server"',
            '<turn:turn.example:3478>; rel="ice-server"; username="me"; credential="a\\"b"; '
            'credential-type="password"',
        ]


async def test_the_answer_goes_one_way(tmp_path: Path) -> None:
    """recvonly to publishers and sendonly to viewers, whatever else they offer."""
    both = OBS.replace("a=sendonly", "a=sendrecv")
    async with serving(tmp_path) as server, publishing(server):
        for path, direction in (("/whip/two", "recvonly"), ("/whep/stage", "sendonly")):
            async with server.client.post(path, data=both, headers=SDP) as response:
                assert response.status == 201
                lines = (await response.text()).split("m=video")[1].splitlines()
            assert f"a={direction}" in lines
            assert "a=sendrecv" not in lines
            async with server.client.delete(response.headers["Location"]) as deleted:
                assert deleted.status == 200


async def test_addresses_may_follow(tmp_path: Path) -> None:
    """204 with the right tag or none; another tag is of another ICE session."""
    async with serving(tmp_path) as server, publishing(server) as publisher:
        tag = publisher.headers["ETag"]
        for headers, status in (
            ({}, 204),
            ({"If-Match": tag}, 204),
            ({"If-Match": '"of-another-time"'}, 412),
        ):
            async with server.client.patch(
                publisher.location, data="a=mid:0\r\n" + CANDIDATE, headers=FRAGMENT | headers
            ) as response:
                assert response.status == status
        status, error = await error_of(
            server,
            "PATCH",
            publisher.location,
            "a=ice-ufrag:new1\r\na=ice-pwd:0123456789012345678901\r\n" + CANDIDATE,
            Content_Type=FRAGMENT["Content-Type"],
            If_Match="*",
        )
        assert status == 422
        assert "ICE restarts are not served; POST a new offer" in error


async def test_what_may_be_sent_is_told(tmp_path: Path) -> None:
    """OPTIONS needs no token, and lets pages of other sites in where there is one."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        elsewhere = {"Origin": "https://studio.example"}
        for path, name, value in (
            ("/whip", "Accept-Post", "application/sdp"),
            ("/whep/stage", "Accept-Post", "application/sdp"),
            ("/whip/stage/some", "Accept-Patch", "application/trickle-ice-sdpfrag"),
        ):
            async with server.client.options(path, headers=elsewhere) as response:
                assert response.status == 204
                assert response.headers[name] == value
                assert response.headers["Access-Control-Allow-Origin"] == elsewhere["Origin"]
                assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
                assert "Location" in response.headers["Access-Control-Expose-Headers"]


async def test_pages_of_other_sites_need_the_token_in_their_own_hands(tmp_path: Path) -> None:
    """the cookie that our own pages have does not count, and without a token none is let in."""
    elsewhere = {"Origin": "https://studio.example"} | SDP
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        async with server.client.get("/", params={"token": TOKEN}):
            pass
        async with server.client.post("/whip", data="x", headers=SDP) as response:
            assert response.status == 400  # with the cookie
        async with server.client.post("/whip", data="x", headers=elsewhere) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.headers["Access-Control-Allow-Origin"] == "https://studio.example"
        async with server.client.post("/whip", data="x", headers=elsewhere | bearer) as response:
            assert response.status == 400
    (tmp_path / "open").mkdir()
    async with (
        serving(tmp_path / "open", ready=False) as server,
        server.client.post("/whip", data="x", headers=elsewhere) as response,
    ):
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


# ---- bad requests


def assert_error(got: tuple[int, str], status: int, reason: str) -> None:
    assert (got[0], reason in got[1]) == (status, True), (got, reason)


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
        gone = f"/whip/stage/{viewer.id}"
        for method, path, body, kind, status, reason in (
            ("PATCH", publisher.location, CANDIDATE, sdp, 415, "it must be application/trickle"),
            ("PATCH", publisher.location, "hello", fragment, 400, "it must be an SDP fragment"),
            ("PATCH", publisher.location, "a=candidate:x", fragment, 400, "candidate is"),
            ("PATCH", "/whip/stage/none", CANDIDATE, fragment, 404, "session 'none' is unknown"),
            ("PATCH", gone, CANDIDATE, fragment, 404, "is not one of /whip/stage"),
            ("DELETE", gone, "", sdp, 404, "use the Location that the answer"),
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
        asked = await asyncio.gather(*map(calls.enter_async_context, posts))
        assert sorted(one.status for one in asked) == [201, 409]


async def test_who_is_being_answered_when_the_server_stops_is_sent_away_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()
    answer = CameraSession.answer

    async def late(session: CameraSession, offer: Offer) -> str:
        asked.set()
        await stopped.wait()
        return await answer(session, offer)

    monkeypatch.setattr(CameraSession, "answer", late)
    async with serving(tmp_path) as server, AsyncExitStack() as calls:
        post = posted(server.client, "/whip/stage", camera=Camera())
        posting = asyncio.create_task(calls.enter_async_context(post))
        await asked.wait()
        await server.sessions.close_all("the server is stopping")
        stopped.set()
        await posting
        await poll(lambda: not any(server.sessions.count().values()))
        assert server.sessions.streams() == []


async def test_a_page_call_is_not_for_whip(tmp_path: Path) -> None:
    """a studio's stream has a name that viewers know: neither can be published over nor ended."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_frames(1)
        sdp = "application/sdp"
        got = await error_of(server, "POST", f"/whip/{owner.id}", OBS, Content_Type=sdp)
        assert_error(got, 409, "has a publisher")
        got = await error_of(server, "DELETE", f"/whip/{owner.id}/{owner.id}")
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
