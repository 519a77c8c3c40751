"""Offers whose callers never connect keep no lane for long, and what is refused costs nothing."""

from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from slipstream_protocol.parameters import Parameters
from slipstream_server.errors import TooOften
from slipstream_server.rtp.sdp import read_offer
from slipstream_server.streams import registry

from tests.server.broken_sdp import OFFERS
from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.serving import Serving, serving

CHROMIUM = next(sdp for sdp in OFFERS if "chromium" in sdp or "extmap-allow-mixed" in sdp)


async def offer_only(server: Serving) -> tuple[int, dict[str, Any]]:
    """An offer of a caller who is not there."""
    body = {"sdp": CHROMIUM, "type": "offer"}
    async with server.client.post(OFFER_PATH, json=body) as response:
        return response.status, await response.json()


async def test_offers_that_never_connect_keep_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """they hold all lanes; once their time is over, a caller who connects gets one."""
    async with serving(tmp_path, max_streams=2) as server:
        for _ in range(2):
            assert (await offer_only(server))[0] == 200
        status, answer = await offer_only(server)
        assert status == 503
        assert "all 2 streams are in use" in answer["error"]
        monkeypatch.setattr(registry, "UNCONNECTED_S", 0.0)
        async with dial(server.client, camera=Camera()) as call:
            await call.until_frames(4)


async def test_a_refusal_builds_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """of whichever kind: no keys, no sockets, no encoder were made for it."""
    built: list[None] = []

    def counted(*arguments: Any) -> Any:
        built.append(None)
        return RTCPeerConnection(*arguments)

    monkeypatch.setattr("slipstream_server.rtc.peer_connection.RTCPeerConnection", counted)
    async with serving(tmp_path, max_streams=1, max_viewers=0) as server:
        assert (await offer_only(server))[0] == 200
        before = len(built)
        assert (await offer_only(server))[0] == 503
        async with server.client.post(
            "/whip/other", data=CHROMIUM, headers={"Content-Type": "application/sdp"}
        ) as response:
            assert response.status == 503
        watching = {"sdp": CHROMIUM.replace("a=sendrecv", "a=recvonly"), "type": "offer"}
        async with server.client.post(OFFER_PATH, json=watching) as response:
            assert response.status == 503
        assert len(built) == before


async def test_one_address_leaves_lanes_for_others(tmp_path: Path) -> None:
    """half of the streams at most wait for its calls to connect."""
    offer = read_offer(CHROMIUM, "offer")
    async with serving(tmp_path, max_streams=2) as server:
        opener = server.sessions.opener
        await opener.offer(offer, Parameters(), client="192.0.2.1")
        with pytest.raises(TooOften, match=r"1 calls from 192\.0\.2\.1 have not connected yet"):
            await opener.offer(offer, Parameters(), client="192.0.2.1")
        await opener.publish(offer, Parameters(), name="x", client="192.0.2.2")
