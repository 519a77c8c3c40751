"""Who is admitted: by HTTP, on an engine that is worth so many frames a second."""

import asyncio
from pathlib import Path
from typing import Any

from aiortc import RTCPeerConnection
from slipstream_server.ice.gathering import bound_gathering
from slipstream_server.media_addressing import MediaAddressing

from tests.server.calls import OFFER_PATH, Camera
from tests.server.stub_engine import StubServing, stub_serving

LADDERED = {"max_streams": 16, "offers_per_minute": 0, "max_waiting": 3}
MANY = LADDERED | {"ladder": "off"}  # what is promised is the whole


async def offer_sdp() -> str:
    """A page's offer, made once: whoever sends it never connects."""
    pc = RTCPeerConnection()
    try:
        pc.createDataChannel("parameters")
        pc.addTrack(Camera())
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        return pc.localDescription.sdp
    finally:
        await pc.close()


async def viewer_sdp() -> str:
    """An offer of a page that only watches."""
    pc = RTCPeerConnection()
    try:
        pc.addTransceiver("video", direction="recvonly")
        bound_gathering(pc, media_addressing=MediaAddressing(loopback=True))
        await pc.setLocalDescription()
        return pc.localDescription.sdp
    finally:
        await pc.close()


async def ask(server: StubServing, sdp: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """The status and the body of the answer to an offer."""
    offer = {"sdp": sdp, "type": "offer"} | body
    async with server.client.post(OFFER_PATH, json=offer) as response:
        if response.status == 503:
            assert int(response.headers["Retry-After"]) >= 1
        return response.status, await response.json()


async def test_a_hundred_offers_at_once_admit_no_more_than_fit(tmp_path: Path) -> None:
    """an engine worth 110 frames a second takes three cameras of 30, whoever comes together with
    whom, and none of them has sent anything yet."""
    sdp = await offer_sdp()
    async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 110, **MANY) as server:
        answers = await asyncio.gather(*(ask(server, sdp, frameRate=30) for _ in range(100)))
        assert sorted(status for status, _ in answers) == [200] * 3 + [503] * 97
        assert len(server.sessions.streams()) == 3
        reasons = {body["error"] for status, body in answers if status == 503}
        assert any(reason.startswith("load would be 109% of this device") for reason in reasons)


async def test_with_a_ladder_a_stream_weighs_what_its_lowest_level_takes(tmp_path: Path) -> None:
    """an engine worth 33 frames a second takes three cameras of 30, which come down to eight frames
    a second where all of them send; two where the operator's floor is 12."""
    sdp = await offer_sdp()
    for floor, fit in (("", 3), ("1@12", 2)):
        settings = LADDERED | {"quality_floor": floor}
        async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 33, **settings) as server:
            answers = await asyncio.gather(*(ask(server, sdp, frameRate=30) for _ in range(10)))
            assert [status for status, _ in answers].count(200) == fit


async def test_a_slow_camera_weighs_less_than_a_fast_one(tmp_path: Path) -> None:
    """it is admitted at its own rate, or refused at it."""
    sdp = await offer_sdp()
    async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 110, **MANY) as server:
        admitted = [(await ask(server, sdp, frameRate=fps))[0] for fps in (60, 60, 30, 15, 1)]
        assert admitted == [200, 503, 200, 503, 200]


async def test_who_waits_comes_in_by_turns(tmp_path: Path) -> None:
    """each is told its place; a place that becomes free is the first one's, not that of who asks
    first; and the line is no longer than it may be."""
    sdp = await offer_sdp()
    async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 33, **MANY) as server:
        _, first = await ask(server, sdp)
        waiting = [await ask(server, sdp, wait=True) for _ in range(4)]
        assert [status for status, _ in waiting] == [503] * 4
        assert [body.get("place") for _, body in waiting] == [1, 2, 3, None]
        tickets = [body["ticket"] for _, body in waiting[:3]]
        assert "you are number 2 of 2 in the line" in waiting[1][1]["error"]
        assert (await ask(server, sdp))[1]["error"].endswith("; 3 wait for a place")
        again = await ask(server, sdp, ticket=tickets[1])
        assert (again[0], again[1]["place"], again[1]["waiting"]) == (503, 2, 3)
        async with server.client.get("/health") as response:
            assert (await response.json())["waiting"] == 3

        await server.client.delete(f"{OFFER_PATH}/{first['sessionId']}")
        assert (await ask(server, sdp))[0] == 503, "three have come before"
        assert (await ask(server, sdp, ticket=tickets[2]))[1]["place"] == 3
        status, second = await ask(server, sdp, ticket=tickets[0])
        assert status == 200
        assert (await ask(server, sdp, ticket=tickets[1]))[1]["place"] == 1
        async with server.client.get("/metrics") as response:
            text = await response.text()
        assert 'slipstream_waiting_ended_total{cause="admitted"} 1.0' in text
        assert "slipstream_waiting_callers 2.0" in text
        await server.client.delete(f"{OFFER_PATH}/{second['sessionId']}")


async def test_no_more_are_admitted_than_the_line_carries(tmp_path: Path) -> None:
    """each begins with 2.5 Mbit/s: of a hundred who come at once two fit in 6, and no viewer beside
    them; who publishes by WHIP is sent no picture. One who leaves makes room for a viewer."""
    sdp, watching = await offer_sdp(), await viewer_sdp()
    headers = {"Content-Type": "application/sdp"}
    reason = "the pictures of 3 calls would take 7.5 Mbit/s of this server's line, 6 are theirs"
    async with stub_serving(tmp_path, chunk_ms=1.0, max_send_mbps=6.0, **LADDERED) as server:
        answers = await asyncio.gather(*(ask(server, sdp) for _ in range(100)))
        assert sorted(status for status, _ in answers) == [200] * 2 + [503] * 98
        admitted = [body for status, body in answers if status == 200]
        assert all(body["error"].startswith(reason) for status, body in answers if status == 503)
        status, refused = await ask(server, watching)
        assert status == 503 and refused["error"].startswith(reason)
        async with server.client.post("/whip/one", data=sdp, headers=headers) as response:
            assert response.status == 201
        assert (await ask(server, watching))[0] == 503
        await server.client.delete(f"{OFFER_PATH}/{admitted[0]['sessionId']}")
        assert (await ask(server, watching))[0] == 200
        assert (await ask(server, sdp))[0] == 503


async def test_a_held_stream_makes_room_where_that_is_enough(tmp_path: Path) -> None:
    """and only then: beside a live one on a full engine its end would help nobody."""
    sdp = await offer_sdp()
    async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 66, **MANY) as server:
        await ask(server, sdp, frameRate=20)
        await ask(server, sdp, frameRate=20)
        held, live = server.sessions.streams()
        held.on_connected()  # as if it had had a media path
        publisher = held.slot.publisher
        assert publisher is not None
        held.detach(publisher, "the network is gone", ends_stream=False)
        assert held.is_held
        assert (await ask(server, sdp, frameRate=60))[0] == 503
        assert held.end_reason is None
        answer = await ask(server, sdp, frameRate=30)
        assert answer[0] == 200, answer
        assert held.end_reason == "its viewer was away and the place was needed for another"
        assert live.end_reason is None


async def test_an_encoder_waits_under_its_name(tmp_path: Path) -> None:
    """OBS sends the same request again, and no ticket: it keeps the place of its stream's name, at
    the rate its offer declares."""
    sdp = (await offer_sdp()).replace("a=mid:1", "a=mid:1\r\na=framerate:25.00")
    headers = {"Content-Type": "application/sdp"}
    async with stub_serving(tmp_path, chunk_ms=4 * 1000 / 33, **MANY) as server:
        _, first = await ask(server, sdp)
        for place, name in ((1, "one"), (2, "two"), (1, "one")):
            async with server.client.post(f"/whip/{name}", data=sdp, headers=headers) as response:
                body = await response.json()
                assert (response.status, body["place"], body["ticket"]) == (503, place, "")
                assert "comes every 160 ms" in body["error"]
        await server.client.delete(f"{OFFER_PATH}/{first['sessionId']}")
        async with server.client.post("/whip/two", data=sdp, headers=headers) as response:
            assert response.status == 503
        async with server.client.post("/whip/one", data=sdp, headers=headers) as response:
            assert response.status == 201


async def test_a_rate_that_no_camera_has_is_refused(tmp_path: Path) -> None:
    """with the rule; a ticket that nobody was given is as none."""
    sdp = await offer_sdp()
    async with stub_serving(tmp_path, chunk_ms=1, **MANY) as server:
        for fps in (0, -1, 1000, 1e300, "30"):
            status, body = await ask(server, sdp, frameRate=fps)
            assert status == 400 and "frameRate" in body["error"]
        assert (await ask(server, sdp, ticket="x" * 65))[0] == 400
        assert (await ask(server, sdp, ticket="never given"))[0] == 200
