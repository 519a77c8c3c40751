"""Every bad request is answered with the value, the rule and what to do, and harms nothing."""

import asyncio
import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from slipstream_server.engine_status import EngineState

from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.serving import Serving, poll, serving

ANSWER_S = 5.0


async def offer_of(*kinds: str) -> str:
    """The SDP of an offer with these media."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        for kind in kinds:
            if kind == "channel":
                pc.createDataChannel("parameters")
            else:
                pc.addTransceiver(kind)
        return (await pc.createOffer()).sdp
    finally:
        await pc.close()


async def post(server: Serving, body: bytes | dict[str, Any]) -> tuple[int, str]:
    """Status and error of a posted offer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with asyncio.timeout(ANSWER_S), server.client.post(OFFER_PATH, data=data) as response:
        return response.status, (await response.json())["error"]


async def test_bad_offers_are_refused_with_the_reason(tmp_path: Path) -> None:
    """each with its own reason; the live call goes on, and a new one is opened."""
    video = await offer_of("video")
    strange_codec = video.replace("VP8/90000", "XX8/90000").replace("H264/90000", "YY/90000")
    cases: list[tuple[bytes | dict[str, Any], int, str]] = [
        (b"", 400, "the body cannot be read"),
        (b"{", 400, "the body cannot be read"),
        (b"[" * 100_000, 400, "the body cannot be read"),
        (b"\xff\xfe", 400, "the body cannot be read"),
        (b"[]", 400, "Expected `object`"),
        ({"sdp": video}, 400, "missing required field `type`"),
        ({"sdp": 5, "type": "offer"}, 400, "Expected `str`, got `int`"),
        ({"sdp": video, "type": "offer", "colour": 1}, 400, "unknown field `colour`"),
        ({"sdp": video, "type": "answer"}, 400, "type is 'answer', it must be 'offer'"),
        ({"sdp": "hello", "type": "offer"}, 400, "sdp begins with 'hello', it must begin"),
        ({"sdp": "v=0\r\nm=video", "type": "offer"}, 400, "sdp cannot be parsed"),
        ({"sdp": "v=0\r\n", "type": "offer"}, 400, "the offer has no video (its media: none)"),
        (
            {"sdp": await offer_of("audio", "channel"), "type": "offer"},
            400,
            "the offer has no video (its media: audio, application)",
        ),
        (
            {"sdp": video.replace("a=fingerprint", "a=finger"), "type": "offer"},
            400,
            "m=video has no DTLS fingerprint",
        ),
        (
            {"sdp": video.replace("a=ice-pwd", "a=ice-pw"), "type": "offer"},
            400,
            "m=video has no ICE user name and password",
        ),
        (
            {"sdp": video.replace("a=sendrecv", "a=inactive"), "type": "offer"},
            400,
            "the offer's video is inactive, it must be sendrecv or recvonly",
        ),
        (
            {"sdp": video.replace("a=mid:0\r\n", ""), "type": "offer"},
            400,
            "a=mid of the media are [''], each needs one of its own",
        ),
        (
            {"sdp": video.replace("a=group:BUNDLE 0", "a=group:BUNDLE 7 0"), "type": "offer"},
            400,
            "a=group:BUNDLE names ['7'], a=mid of the media are ['0']",
        ),
        ({"sdp": strange_codec, "type": "offer"}, 406, "this server takes H264 and VP8"),
        (
            {"sdp": video, "type": "offer", "initialParameters": {"noise_scale": -1}},
            400,
            "Expected `float` >= 0.0 - at `$.initialParameters.noise_scale`",
        ),
        ({"sdp": "v=0" + "x" * 300_000, "type": "offer"}, 413, "the body is too large"),
    ]
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_frames(1)
        for body, status, reason in cases:
            got_status, error = await post(server, body)
            assert (got_status, reason in error) == (status, True), (error, reason)
        await call.until_frames(len(call.frames) + 8)
        client = server.supervisor.require()
        await poll(lambda: client.free_lanes == client.ready.lanes - 1)


async def test_an_unknown_or_ended_session_is_told_apart(tmp_path: Path) -> None:
    """PATCH and DELETE answer whether the session never was, or has ended and why."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera()) as call:
            await call.until_frames(1)
            ended = f"{OFFER_PATH}/{call.id}"
            async with server.client.delete(ended) as response:
                assert response.status == 204
        for method, path, reason in (
            ("PATCH", ended, f"session {call.id!r} has ended (closed by the viewer)"),
            ("DELETE", ended, f"session {call.id!r} has ended (closed by the viewer)"),
            ("PATCH", OFFER_PATH + "/nobody", "session 'nobody' is unknown"),
            ("DELETE", OFFER_PATH + "/nobody", "session 'nobody' is unknown"),
        ):
            async with server.client.request(method, path, json={"candidates": []}) as response:
                assert response.status == 404
                assert reason in (await response.json())["error"]


async def test_bad_candidates_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        good = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
        for candidate, status, reason in (
            ({"candidate": good, "sdpMid": "0"}, 204, ""),
            ({"candidate": "", "sdpMid": "0"}, 204, ""),
            ({"candidate": good}, 400, "neither sdpMid nor sdpMLineIndex"),
            ({"candidate": "candidate:x y", "sdpMid": "0"}, 400, "candidate is 'candidate:x y'"),
            ({"sdpMid": "0"}, 400, "missing required field `candidate`"),
        ):
            body = {"candidates": [candidate]}
            async with server.client.patch(f"{OFFER_PATH}/{call.id}", json=body) as response:
                assert response.status == status
                if status != 204:
                    assert reason in (await response.json())["error"]
        body = {"candidates": [{"candidate": good, "sdpMid": "0"}] * 65}
        async with server.client.patch(f"{OFFER_PATH}/{call.id}", json=body) as response:
            assert response.status == 400
            assert "65 candidates in one request, at most 64" in (await response.json())["error"]
        await call.until_frames(4)


async def test_an_engine_that_cannot_start_is_explained(tmp_path: Path) -> None:
    """health, ready and offers quote the engine's own reason, within the deadline."""
    async with serving(tmp_path, ready=False, preset="none such", pipeline="mystery") as server:
        await poll(lambda: server.supervisor.status.state is EngineState.DOWN)
        async with asyncio.timeout(ANSWER_S):
            async with dial(server.client, camera=Camera()) as call:
                assert call.status == 503
                assert "invalid choice: 'mystery'" in call.error
            async with server.client.get("/ready") as response:
                assert response.status == 503
                assert int(response.headers["Retry-After"]) >= 1
            async with server.client.get("/health") as response:
                health = await response.json()
        assert response.status == 200
        assert health["ready"] is False
        assert health["status"] == "degraded"


async def test_nothing_to_watch_is_said(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        async with dial(server.client, watch=True) as call:
            assert call.status == 404
            assert "there is no stream to watch" in call.error
        async with dial(server.client, watch=True, view="nobody") as call:
            assert call.status == 404
            assert "stream 'nobody' is unknown" in call.error


async def test_http_errors_are_json(tmp_path: Path) -> None:
    """what does not exist, and wrong methods."""
    async with serving(tmp_path) as server:
        for method, path, status, reason in (
            ("GET", "/nothing", 404, "there is nothing at /nothing"),
            ("GET", "/..%2Fsecret", 404, "there is nothing at"),
            ("PUT", OFFER_PATH, 405, "PUT is not for /api/v1/webrtc/offer, use POST"),
        ):
            async with server.client.request(method, path) as response:
                assert response.status == status
                assert reason in (await response.json())["error"]


def test_a_busy_port_ends_the_program_with_the_reason() -> None:
    """exit code 1, one line, no traceback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        ran = _slipstream("--port", str(port))
    assert ran.returncode == 1
    assert f"port {port} on 127.0.0.1 cannot be opened: another program listens there" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--port", "seventy"), "port is 'seventy' (from --port), it must be int"),
        (("--host", "0.0.0.0"), "host is '0.0.0.0', which others can reach: set a token"),
        (("--config", "/none/such.toml"), "config file /none/such.toml cannot be read"),
    ],
)
def test_a_bad_setting_ends_the_program_with_the_reason(
    flags: tuple[str, ...], reason: str
) -> None:
    ran = _slipstream(*flags)
    assert ran.returncode == 1
    assert reason in ran.stderr
    assert "Traceback" not in ran.stderr


def _slipstream(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slipstream_server", *flags],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
