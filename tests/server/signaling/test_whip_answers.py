"""What the RFCs of WHIP and WHEP ask of every answer."""

from pathlib import Path
from typing import Any

from tests.server.serving import serving
from tests.server.signaling.test_whip_sdp import OBS
from tests.server.signing_in import opened_by_link
from tests.server.whips import FRAGMENT, SDP, error_of, publishing

TOKEN = "a-token-of-enough-length"
CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host\r\n"
WATCHING = OBS.replace("a=sendonly", "a=recvonly")


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
    """what our own pages have does not count, and without a token all are refused."""
    elsewhere = {"Origin": "https://studio.example"} | SDP
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        page, _ = await opened_by_link(server.client, f"/?token={TOKEN}")
        async with server.client.post("/whip", data="x", headers=SDP | page) as response:
            assert response.status == 400
        async with server.client.post("/whip", data="x", headers=elsewhere | page) as response:
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
