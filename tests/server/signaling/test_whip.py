"""Streams published by WHIP and watched by WHEP, with real media."""

import re
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from slipstream_server.observability.metrics import CallCounts

from tests.server.calls import OFFER_PATH, Camera, dial, number_of
from tests.server.serving import own_tasks, poll, serving
from tests.server.signaling.test_whip_sdp import OBS
from tests.server.whips import (
    FRAGMENT,
    error_of,
    posted,
    publishing,
    readable_in_order,
    until_state,
)

NOBODY = CallCounts()
WATCHING = OBS.replace("a=sendonly", "a=recvonly")


@pytest.mark.parametrize("sound", [False, True])
async def test_what_is_published_is_watched(tmp_path: Path, sound: bool) -> None:
    """the publisher's pictures, in order; sound offered first is answered, too."""
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
        assert ("m=audio" in answer) is sound
        assert publisher.frames == []
        assert "a=sendonly" in viewer.pc.remoteDescription.sdp


async def test_many_viewers_are_encoded_for_once(tmp_path: Path) -> None:
    """a page that watches, and WHEP viewers, with the publisher's picture encoded once a frame;
    with nobody watching, not at all."""
    async with serving(tmp_path) as server, publishing(server), AsyncExitStack() as calls:
        (stream,) = server.sessions.streams()
        assert stream.fanout.counts["sent"] == 0
        viewers = [
            await calls.enter_async_context(posted(server.client, "/whep/stage")) for _ in range(3)
        ]
        page = await calls.enter_async_context(dial(server.client, watch=True, view="stage"))
        for viewer in (*viewers, page):
            await viewer.until_frames(40)
        assert stream.fanout.subscriber_count == 4
        seen = sum(len(viewer.frames) for viewer in (*viewers, page))
        assert 40 <= stream.fanout.counts["sent"] < seen


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
        (stream,) = server.sessions.streams()
        assert stream.fanout.encodings["H264"].counts["sent"] == 0
        assert readable_in_order(viewers[0]) > 10


async def test_the_owner_of_a_call_keeps_its_own_picture(tmp_path: Path) -> None:
    """nothing is encoded for all until somebody watches; then both see it."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as owner:
        await owner.until_frames(10)
        (stream,) = server.sessions.streams()
        assert stream.fanout.counts["sent"] == 0
        async with posted(server.client, f"/whep/{owner.stream}") as viewer:
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
    """DELETE is answered 200, ends the stream, and viewers are hung up on; so is DELETE of what
    has ended, while anything else is told why it cannot be."""
    async with (
        serving(tmp_path) as server,
        publishing(server) as publisher,
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        async with server.client.delete(publisher.location) as response:
            assert response.status == 200
        await poll(lambda: server.sessions.count() == NOBODY)
        for ended in (publisher, viewer):
            async with server.client.delete(ended.location) as response:
                assert response.status == 200
        status, error = await error_of(
            server,
            "PATCH",
            publisher.location,
            "a=ice-ufrag:x",
            Content_Type=FRAGMENT["Content-Type"],
        )
        assert status == 404
        assert f"has ended (ended by DELETE /whip/stage/{publisher.id})" in error
        status, error = await error_of(
            server, "POST", "/whep/stage", WATCHING, Content_Type="application/sdp"
        )
        assert status == 404
        assert "stream 'stage' has ended" in error


async def test_a_publisher_that_has_crashed_is_back_at_once(tmp_path: Path) -> None:
    """its own call, which nobody has ended, makes room; the stream and who watches it go on."""
    async with (
        serving(tmp_path) as server,
        publishing(server) as first,
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        first.fall_silent()
        async with posted(server.client, "/whip/stage", camera=Camera(first=20_000)) as second:
            assert second.status == 201, second.error
            await viewer.until(lambda: (number_of(viewer.frames[-1]) or 0) >= 20_000)
            assert server.sessions.count() == CallCounts(publishers=1, subscribers=1)


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
        await poll(lambda: server.sessions.count().subscribers == 0)
        (stream,) = server.sessions.streams()
        await poll(lambda: stream.fanout.subscriber_count == 0)


async def test_a_publisher_who_comes_back_finds_its_stream(tmp_path: Path) -> None:
    """the same stream, with its parameters and its viewers, within the time it is held."""
    async with (
        serving(tmp_path) as server,
        publishing(server, path="/whip/stage?prompt=dusk") as first,
        posted(server.client, "/whep/stage") as viewer,
    ):
        await viewer.until_frames(4)
        (stream,) = server.sessions.streams()
        first.fall_silent()
        await until_state(server, "stage", "held")
        async with publishing(server) as second:
            assert second.id != first.id
            assert server.sessions.streams() == [stream]
            assert stream.state_event().parameters.target[0].text == "dusk"  # type: ignore[index]
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
            for stream in server.sessions.streams():
                stream.end("the test is over")
            await poll(lambda: server.sessions.count() == NOBODY)
            await poll(lambda: server.supervisor.require().free_lanes == 2)
        await poll(lambda: own_tasks() <= before)


@pytest.mark.parametrize("level", ["4d001f", "64001f", "640c1f", "f4001f"])
async def test_the_page_is_answered_in_every_profile(tmp_path: Path, level: str) -> None:
    """as WHIP is: a browser may have no other encoder, and its answer names what it has offered."""
    offered = re.sub("profile-level-id=[0-9a-f]{6}", f"profile-level-id={level}", OBS)
    async with serving(tmp_path) as server:
        body = {"sdp": offered, "type": "offer"}
        async with server.client.post(OFFER_PATH, json=body) as response:
            answer = await response.json()
        assert response.status == 200, answer
        assert f"profile-level-id={level}" in answer["sdp"]


async def test_of_several_sounds_the_first_is_taken(tmp_path: Path) -> None:
    """as broadcasters send them; the others are inactive, the picture behind them is shown."""
    async with serving(tmp_path) as server, publishing(server, sounds=3) as call:
        sections = re.split("(?m)^(?=m=)", call.answer_sdp)[1:]
        kinds = [section.split()[0].removeprefix("m=") for section in sections]
        assert kinds == ["audio", "audio", "audio", "video"]
        for kind, section in zip(kinds, sections, strict=True):
            is_taken = kind == "video" or section is sections[0]
            assert ("a=recvonly" in section) is is_taken
