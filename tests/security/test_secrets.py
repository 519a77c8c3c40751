"""What a link, a cookie, a stream's name or a log gives away: attack by attack."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from slipstream_server.http.roles import ALL_STREAMS, Role
from slipstream_server.http.wrong_tokens import FREE_TRIES

from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.command import health, slipstream
from tests.server.serving import Serving, poll, serving
from tests.server.signaling.test_whip_sdp import OBS
from tests.server.signing_in import bearer_of, opened_by_link, signed_for
from tests.server.whips import SDP, posted, until_state

TOKEN = "a-token-of-enough-length"
ADMIN = bearer_of(TOKEN)


@contextlib.asynccontextmanager
async def caller(
    server: Serving, headers: dict[str, str], *, address: str = "127.0.0.1"
) -> AsyncIterator[aiohttp.ClientSession]:
    """Another client of the server, from an address of its own."""
    async with aiohttp.ClientSession(
        server.client.make_url("/"),
        headers=headers,
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        connector=aiohttp.TCPConnector(local_addr=(address, 0)),
    ) as http:
        yield http


async def status_of(http: Any, method: str, path: str, **options: Any) -> int:
    async with http.request(method, path, **options) as response:
        return int(response.status)


async def test_a_link_for_viewers_lets_them_watch_its_stream_and_nothing_else(
    tmp_path: Path,
) -> None:
    """the stream's pictures come; no parameter, no name, no camera, no other stream is theirs."""
    async with (
        serving(tmp_path, token=TOKEN) as server,
        caller(server, ADMIN) as admin,
        dial(admin, camera=Camera()) as streamer,
        dial(admin, camera=Camera()) as other,
    ):
        assert (streamer.status, other.status) == (200, 200)
        assert streamer.view_token is not None
        assert TOKEN not in streamer.view_token
        async with caller(server, bearer_of(streamer.view_token)) as viewer:
            async with dial(viewer, watch=True, view=streamer.stream) as watching:
                assert watching.status == 200, watching.error
                await watching.until_frames(4)
                assert await status_of(viewer, "DELETE", f"{OFFER_PATH}/{watching.address}") == 204
            async with posted(viewer, f"/whep/{streamer.stream}") as watching:
                assert watching.status == 201, watching.error
                await watching.until_frames(4)
                assert await status_of(viewer, "DELETE", watching.location) == 200
            for stream in (other.stream, None):
                async with dial(viewer, watch=True, view=stream) as refused:
                    assert refused.status == 403
            async with dial(viewer, camera=Camera()) as refused:
                assert refused.status == 403
            async with dial(viewer, camera=Camera(), resume=streamer.resume) as refused:
                assert refused.status == 403
            for path in ("/whip", "/whip/intruder", f"/whip/{streamer.stream}"):
                assert await status_of(viewer, "POST", path, data=OBS, headers=SDP) == 403
            parameters = f"/api/v1/streams/{streamer.stream}/parameters"
            assert await status_of(viewer, "PATCH", parameters, json={"prompt": "lava"}) == 403
            for path in ("/metrics", "/api/v1/streams", parameters.replace("parameters", "tokens")):
                assert await status_of(viewer, "GET", path) == 403
        await streamer.until_frames(len(streamer.frames) + 4)


async def test_who_knows_a_streams_name_or_a_sessions_id_cannot_hang_up(tmp_path: Path) -> None:
    """the name is in the viewers' links, the id in the log: the call's own address has a proof."""
    async with (
        serving(tmp_path, token=TOKEN) as server,
        caller(server, ADMIN) as admin,
        dial(admin, camera=Camera()) as streamer,
    ):
        assert streamer.stream != streamer.id
        assert streamer.stream not in streamer.address
        for role, stream in (
            (Role.VIEW, streamer.stream),
            (Role.PUBLISH, streamer.stream),
            (Role.PUBLISH, ALL_STREAMS),
        ):
            async with (
                caller(server, signed_for(TOKEN, role, stream)) as stranger,
                dial(stranger, watch=True, view=streamer.stream) as own,
            ):
                _, _, own_proof = own.address.rpartition(".")
                for address in (
                    streamer.stream,
                    streamer.id,
                    f"{streamer.id}.",
                    f"{streamer.id}.{own_proof}",
                    "no-such-session",
                ):
                    path = f"{OFFER_PATH}/{address}"
                    assert await status_of(stranger, "DELETE", path) == 403
                    nothing: dict[str, list[str]] = {"candidates": []}
                    assert await status_of(stranger, "PATCH", path, json=nothing) == 403
        await streamer.until_frames(len(streamer.frames) + 4)
        assert await status_of(admin, "DELETE", f"{OFFER_PATH}/{streamer.id}") == 204


async def test_the_cookie_is_worth_nothing_at_another_port(tmp_path: Path) -> None:
    """a browser sends it to every service of this host: none of them can use it."""
    async with serving(tmp_path, token=TOKEN) as server, caller(server, {}) as browser:
        page, _ = await opened_by_link(browser, f"/?token={TOKEN}")
        (cookie,) = browser.cookie_jar
        async with caller(server, {}) as thief:
            for headers in (
                {"Cookie": f"{cookie.key}={cookie.value}"},
                bearer_of(cookie.value),
                page,  # what a script in the page could read
            ):
                assert await status_of(thief, "GET", "/metrics", headers=headers) == 401
        assert await status_of(browser, "GET", "/metrics", headers=page) == 200


async def test_wrong_tokens_back_off_and_are_counted(tmp_path: Path) -> None:
    """an address waits after some; no other address, no link and no page waits with it."""
    async with (
        serving(tmp_path, ready=False, token=TOKEN) as server,
        caller(server, {}, address="127.0.0.2") as stranger,
        caller(server, {}, address="127.0.0.3") as streamer,
    ):
        page, _ = await opened_by_link(stranger, f"/?token={TOKEN}")
        for n in range(FREE_TRIES):
            headers = bearer_of(f"guess number {n} of many")
            assert await status_of(stranger, "GET", "/metrics", headers=headers) == 401
        async with stranger.get("/metrics", headers=ADMIN) as response:
            assert response.status == 429
            assert int(response.headers["Retry-After"]) >= 1
        assert (await opened_by_link(stranger, f"/?token={TOKEN}"))[0] == {}
        assert await status_of(stranger, "GET", "/metrics", headers=page) == 200
        link = signed_for(TOKEN, Role.ADMIN, ALL_STREAMS)
        assert await status_of(stranger, "GET", "/metrics", headers=link) == 200
        async with streamer.get("/metrics", headers=ADMIN) as response:
            assert response.status == 200
            counted = {
                sample.name: sample.value
                for family in text_string_to_metric_families(await response.text())
                for sample in family.samples
            }
        assert counted["slipstream_wrong_tokens_total"] == FREE_TRIES


async def test_links_that_have_expired_keep_nobody_out(tmp_path: Path) -> None:
    """a page that asks with one for hours is no attack: others of its address are let in."""
    expired = signed_for(TOKEN, Role.VIEW, "some", expires_s=1)
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for _ in range(3 * FREE_TRIES):
            assert await status_of(server.client, "GET", "/metrics", headers=expired) == 401
        assert await status_of(server.client, "GET", "/metrics", headers=ADMIN) == 200


@pytest.mark.parametrize("token", ["", TOKEN])
async def test_a_name_is_not_taken_over_while_its_publisher_is_away(
    token: str, tmp_path: Path
) -> None:
    """only who began the stream, by the same key or one for the same name, goes on with it; where
    the server has no token, by whatever Bearer token it chose."""
    if token:
        own = signed_for(token, Role.PUBLISH, "stage")
        again = signed_for(token, Role.PUBLISH, "stage", expires_s=9_000_000_000)
        thief = signed_for(token, Role.PUBLISH, ALL_STREAMS)
    else:
        own = again = bearer_of("of my own choice")
        thief = bearer_of("a guess")
    async with serving(tmp_path, token=token) as server:
        async with posted(server.client, "/whip/stage", camera=Camera(), headers=own) as first:
            assert first.status == 201, first.error
            await until_state(server, "stage", "live")
            async with posted(
                server.client, "/whip/stage", camera=Camera(), headers=thief
            ) as second:
                assert (second.status, "is another publisher's" in second.error) == (403, True)
        await poll(lambda: server.sessions.count().held == 1)
        for headers in (thief, {}):
            async with posted(
                server.client, "/whip/stage", camera=Camera(), headers=headers
            ) as second:
                assert second.status == (403 if headers or not token else 401)
        stream = server.sessions.stream("stage")
        async with posted(server.client, "/whip/stage", camera=Camera(), headers=again) as back:
            assert back.status == 201, back.error
            assert server.sessions.stream("stage") is stream
            assert server.sessions.count().held == 0


async def test_the_admin_goes_before_every_publisher(tmp_path: Path) -> None:
    """a name that is held is its to publish; it is still not taken from one who is here."""
    own = signed_for(TOKEN, Role.PUBLISH, "stage")
    async with serving(tmp_path, token=TOKEN) as server:
        stage = "/whip/stage"
        async with posted(server.client, stage, camera=Camera(), headers=own) as first:
            assert first.status == 201, first.error
            await until_state(server, "stage", "live")
            async with posted(server.client, stage, camera=Camera(), headers=ADMIN) as second:
                assert second.status == 409
        await poll(lambda: server.sessions.count().held == 1)
        async with posted(server.client, stage, camera=Camera(), headers=ADMIN) as second:
            assert second.status == 201, second.error
            for _ in range(2):
                location = second.location
                assert await status_of(server.client, "DELETE", location, headers=own) == 200


async def test_tokens_are_handed_on_within_ones_own(tmp_path: Path) -> None:
    """for no other stream, to no higher role, and no longer than one's own lasts."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:

        async def tokens(stream: str, headers: dict[str, str], query: str = "") -> Any:
            path = f"/api/v1/streams/{stream}/tokens{query}"
            async with server.client.get(path, headers=headers) as response:
                if response.status != 200:
                    return response.status
                assert response.headers["Cache-Control"] == "no-store"
                return await response.json()

        all_of_them = await tokens("obs", ADMIN)
        assert set(all_of_them) == {"view", "control", "publish"}
        publish = bearer_of(all_of_them["publish"]["token"])
        handed_on = await tokens("obs", publish, "?days=3650")
        assert handed_on["view"]["expiresS"] == all_of_them["publish"]["expiresS"]
        assert await tokens("other", publish) == 403
        assert await tokens("*", publish) == 403
        assert await tokens("obs", bearer_of(all_of_them["control"]["token"])) == 403
        one_day = await tokens("*", ADMIN, "?days=1")
        assert one_day["view"]["expiresS"] < all_of_them["view"]["expiresS"]
        for query in ("?days=0", "?days=3651", "?days=x", "?days=" + "9" * 999, "?days=-1"):
            assert await tokens("obs", ADMIN, query) == 400
        assert await tokens("a.b", ADMIN) == 400
        watch = bearer_of(one_day["view"]["token"])
        assert await status_of(server.client, "GET", "/api/v1/streams", headers=watch) == 200


async def test_no_secret_is_printed_or_logged(tmp_path: Path) -> None:
    """neither the token, nor a link's, nor the proof that a session is one's own; at any level."""
    log = tmp_path / "log"
    (tmp_path / "token").write_text(TOKEN + "\n")
    flags = ("--token-file", str(tmp_path / "token"), "--log-level", "debug")
    secrets: set[str] = {TOKEN}
    async with (
        slipstream(*flags, log=log) as (process, address),
        aiohttp.ClientSession(
            address.partition("?")[0], cookie_jar=aiohttp.CookieJar(unsafe=True)
        ) as http,
    ):
        assert TOKEN not in address
        await health(address.partition("?")[0], http)
        command = await asyncio.to_thread(Path(f"/proc/{process.pid}/cmdline").read_bytes)
        assert TOKEN.encode() not in command
        page, _ = await opened_by_link(http, f"/?token={TOKEN}")
        secrets |= {text.rpartition(" ")[2] for text in page.values()}
        await opened_by_link(http, f"/?token={TOKEN}wrong")
        async with dial(http, watch=True, token=TOKEN) as refused:
            assert refused.status == 401
        async with posted(http, f"/whip/stage?token={TOKEN}", camera=Camera()) as call:
            assert call.status == 201, call.error
            secrets.add(call.address.rpartition(".")[2])
            for method in ("PATCH", "PUT", "DELETE", "DELETE"):
                await status_of(http, method, call.location, headers=ADMIN)
            await status_of(http, "DELETE", call.location.replace("stage", "x"), headers=ADMIN)
        for path in (f"/whip/{TOKEN}/x", f"/api/v1/webrtc/offer/x?token={TOKEN}"):
            await status_of(http, "DELETE", path.replace(TOKEN, "a"), headers=ADMIN)
        async with http.get("/metrics", headers=ADMIN) as response:
            metrics = await response.text()
        process.terminate()
        assert process.stdout is not None
        printed = (await asyncio.wait_for(process.stdout.read(), 20)).decode()
        await asyncio.wait_for(process.wait(), 20)
    logged = log.read_text()
    assert "session begins" in logged
    for secret in secrets:
        assert secret not in logged + printed + metrics
