"""Addresses, servers and credentials; and that aiortc's seam is where it is looked for."""

import asyncio
import base64
import hashlib
import hmac

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from slipstream_server.config import ServerConfig
from slipstream_server.ice import bound_gathering, ice_servers, rtc_configuration


async def answered(*, loopback: bool, servers: list[RTCIceServer] | None = None) -> str:
    """An answer's SDP."""
    caller = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    caller.addTransceiver("video")
    caller.createDataChannel("parameters")
    pc = RTCPeerConnection(RTCConfiguration(iceServers=servers or []))
    try:
        offer = RTCSessionDescription((await caller.createOffer()).sdp, "offer")
        await pc.setRemoteDescription(offer)
        bound_gathering(pc, loopback=loopback, wait_s=0.3)
        await pc.setLocalDescription()
        return pc.localDescription.sdp
    finally:
        await pc.close()
        await caller.close()


@pytest.mark.parametrize("loopback", [True, False])
async def test_loopback_is_offered_when_asked_for(loopback: bool) -> None:
    """a laptop without any network still reaches its own server."""
    assert (" 127.0.0.1 " in await answered(loopback=loopback)) is loopback


async def test_a_silent_stun_server_does_not_hold_up_the_answer() -> None:
    """aiortc alone would wait five seconds; the answer comes with what there is."""
    silent, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    port = silent.get_extra_info("sockname")[1]
    servers = [RTCIceServer(urls=f"stun:127.0.0.1:{port}")]
    try:
        async with asyncio.timeout(2):
            assert " 127.0.0.1 " in await answered(loopback=True, servers=servers)
    finally:
        silent.close()


def test_no_server_is_used_unless_configured() -> None:
    """an empty list, where None would mean somebody's public STUN server."""
    assert ice_servers(ServerConfig(), name="x", now_s=0) == ()
    assert rtc_configuration(()).iceServers == []


def test_turn_credentials_are_minted_per_caller() -> None:
    """name, expiry and their HMAC, as coturn checks it."""
    config = ServerConfig(stun="stun:a:1", turn="turn:b:2", turn_secret="secret")
    stun, turn = ice_servers(config, name="me", now_s=1000)
    assert (stun.urls, turn.urls, turn.username) == ("stun:a:1", "turn:b:2", "4600:me")
    assert turn.credential is not None
    digest = hmac.new(b"secret", b"4600:me", hashlib.sha1).digest()
    assert base64.b64decode(turn.credential) == digest


def test_fixed_turn_credentials_are_passed_on() -> None:
    config = ServerConfig(turn="turn:b:2", turn_username="u", turn_credential="c")
    (turn,) = ice_servers(config, name="me", now_s=0)
    assert (turn.username, turn.credential) == ("u", "c")
    (server,) = rtc_configuration((turn,)).iceServers or []
    assert (server.urls, server.username, server.credential) == ("turn:b:2", "u", "c")
