"""The gate before whole servers: calls, viewers and the API reach the node that they are for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from slipstream_fleet.node_table import NodeAddress
from slipstream_server.http.roles import Role
from slipstream_server.http.token_issuer import make_issuer

from tests.fleet.gates import ListedNodes, node, node_at, running_gate, serving_node
from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.whips import FRAGMENT, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHROMIUM = (Path(__file__).parents[1] / "server/offers/chromium.sdp").read_text()
PLACES = 2  # of each node
TOKEN = "a token of this fleet"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[NodeAddress]]:
    """Three, shared by tests that leave them empty."""
    async with AsyncExitStack() as stack:
        started = []
        for name in ("a", "b", "c"):
            page = tmp_path_factory.mktemp(name)
            started.append(await stack.enter_async_context(node(page, name, max_streams=PLACES)))
        yield started


async def streams(http: aiohttp.ClientSession) -> list[str]:
    async with http.get("/api/v1/streams") as response:
        return [entry["stream"] for entry in (await response.json())["streams"]]


async def until_ready(http: aiohttp.ClientSession, nodes: int) -> None:
    """Until the gate has heard of so many by itself."""
    for _ in range(500):
        async with http.get("/api/v1/fleet") as response:
            states = [one["state"] for one in (await response.json())["nodes"]]
        if states == ["ready"] * nodes:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {nodes} nodes ready: {states}")


async def until_free(http: aiohttp.ClientSession) -> None:
    """Until a node has a place: one that is busy says that it has none for a while."""
    for _ in range(500):
        async with http.get("/api/v1/fleet") as response:
            told = await response.json()
        if told["free"]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never a free place: {told}")


async def until_told(control: ListedNodes, *, waiting: int) -> None:
    """Until the gate has asked for the nodes since so many wait."""
    for _ in range(500):
        if control.waiting == waiting:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{control.waiting} are told to wait, never {waiting}")


async def test_a_burst_of_offers_gets_the_places_there_are(nodes: list[NodeAddress]) -> None:
    """exactly six of a hundred that come at once; each of the others is told its place in the line
    and when to ask again. What runs the nodes is told how many wait."""

    async def offer(http: aiohttp.ClientSession) -> tuple[int, int | None, str | None]:
        body = {"sdp": CHROMIUM, "type": "offer", "wait": True}
        async with http.post(OFFER_PATH, json=body) as response:
            told = await response.json()
            if response.status == 200:
                sessions.append(told["sessionId"])
            return response.status, told.get("place"), response.headers.get("Retry-After")

    sessions: list[str] = []
    control = ListedNodes(nodes)
    async with running_gate(control) as url, aiohttp.ClientSession(url) as http:
        answers = await asyncio.gather(*(offer(http) for _ in range(100)))
        await until_told(control, waiting=94)
        statuses = [status for status, _, _ in answers]
        assert (statuses.count(200), statuses.count(503)) == (6, 94)
        refused = [(place, retry) for status, place, retry in answers if status == 503]
        assert sorted(place or 0 for place, _ in refused) == list(range(1, 95))
        assert {retry for _, retry in refused} == {"3"}
        assert sorted(session.partition(".")[0] for session in sessions) == list("aabbcc")
        for session in sessions:
            async with http.delete(f"{OFFER_PATH}/{session}") as response:
                assert response.status == 204
        assert await streams(http) == []


async def test_a_call_and_all_about_it_reach_one_node(nodes: list[NodeAddress]) -> None:
    """two publishers are on two nodes; each one's viewers, parameters and end find it, also by way
    of a gate that has just been started."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running_gate(nodes))
        http = await stack.enter_async_context(aiohttp.ClientSession(url))
        one = await stack.enter_async_context(dial(http, camera=Camera(fps=10)))
        other = await stack.enter_async_context(dial(http, camera=Camera(fps=10)))
        assert one.address.split(".")[0] != other.address.split(".")[0]
        viewer = await stack.enter_async_context(posted(http, f"/whep/{one.stream}"))
        watcher = await stack.enter_async_context(dial(http, watch=True, view=other.stream))
        for call in (one, other, viewer, watcher):
            await call.until_frames(1)
        for call in (one, other):
            path = f"/api/v1/streams/{call.stream}/parameters"
            async with http.patch(path, json={"seed": 7}) as response:
                assert response.status == 200
        later = await stack.enter_async_context(running_gate(nodes))
        anew = await stack.enter_async_context(aiohttp.ClientSession(later))
        assert sorted(await streams(anew)) == sorted([one.stream, other.stream])
        candidates = {"candidates": [{"candidate": "", "sdpMid": "0"}]}
        async with anew.patch(f"{OFFER_PATH}/{one.address}", json=candidates) as response:
            assert response.status == 204
        async with anew.delete(f"{OFFER_PATH}/{one.address}") as response:
            assert response.status == 204
        await one.until_event("stream_stopped")
        async with anew.delete(viewer.location) as response:
            assert response.status == 200
        async with anew.delete(f"{OFFER_PATH}/{other.address}") as response:
            assert response.status == 204
        assert await streams(anew) == []


async def test_whip_publishers_are_placed_and_found_by_their_address(
    nodes: list[NodeAddress],
) -> None:
    """their Location names the node; a second publisher of the name is refused by the node that has
    it, whatever room others have."""
    async with (
        running_gate(nodes) as url,
        aiohttp.ClientSession(url) as http,
        posted(http, "/whip/stage?seed=3", camera=Camera(fps=10)) as publisher,
    ):
        assert publisher.status == 201
        async with http.get("/api/v1/streams/stage/parameters") as response:
            assert (await response.json())["seed"] == 3
        async with posted(http, "/whip/stage", camera=Camera(fps=10)) as second:
            assert second.status == 409
        async with http.patch(publisher.location, data="a=end\r\n", headers=FRAGMENT) as response:
            assert response.status in (204, 400, 422)  # the node has read it
        async with http.delete(publisher.location) as response:
            assert response.status == 200
        assert await streams(http) == []


async def test_what_no_node_has_is_refused_by_a_node(nodes: list[NodeAddress]) -> None:
    """a stream, a session, a body that is no offer: with the server's own reason."""
    async with running_gate(nodes) as url, aiohttp.ClientSession(url) as http:
        async with http.post(OFFER_PATH, data=b"{") as response:
            assert (response.status, "cannot be read" in await response.text()) == (400, True)
        async with http.get("/api/v1/streams/none/parameters") as response:
            assert (response.status, "'none' is unknown" in await response.text()) == (404, True)
        async with http.delete(f"{OFFER_PATH}/a.id.proof") as response:
            assert response.status == 404  # without a token everybody is the admin
        async with http.get("/nothing") as response:
            assert (response.status, await response.json()) == (
                404,
                {"error": "there is nothing at /nothing"},
            )
        async with http.get("/") as response:
            assert await response.text() == "this is index.html"


async def test_a_session_of_a_node_that_is_gone(nodes: list[NodeAddress]) -> None:
    """is told so; a WHIP client that ends one has what it wanted."""
    async with running_gate(nodes) as url, aiohttp.ClientSession(url) as http:
        async with http.patch(f"{OFFER_PATH}/gone.id.proof", json={}) as response:
            assert response.status == 404
            assert "'id' was on node gone, which is gone; make a new offer" in await response.text()
        async with http.delete("/whip/stage/gone.id.proof") as response:
            assert response.status == 200


async def test_without_a_node_everything_says_so() -> None:
    """pages, calls and probes; nothing waits."""
    nowhere = node_at("x", "http://127.0.0.1:1")
    async with running_gate([nowhere]) as url, aiohttp.ClientSession(url) as http:
        async with http.get("/", headers={"Accept": "text/html"}) as response:
            assert (response.status, response.headers["Refresh"]) == (503, "3")
            assert "no machine of the fleet answers yet" in await response.text()
        for method, path in (("GET", "/ready"), ("POST", "/whip/x"), ("GET", "/studio/main.js")):
            async with http.request(method, path, data=b"") as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "3")
                assert "http://127.0.0.1:1 is not there" in (await response.json())["error"]
        async with http.get("/health") as response:
            health = await response.json()
        assert (health["ready"], health["engine_state"], health["model"]) == (
            *(False, "starting"),
            None,
        )


async def test_a_stream_whose_node_is_lost_goes_on_elsewhere(tmp_path: Path) -> None:
    """a page's under its name, with what the page brings; one published by WHIP with the parameters
    that it had."""
    async with AsyncExitStack() as stack:
        lost = await stack.enter_async_context(AsyncExitStack())
        first = await lost.enter_async_context(node(tmp_path / "a", "a", hold_s=5))
        control = ListedNodes([first])
        url = await stack.enter_async_context(running_gate(control))
        http = await stack.enter_async_context(aiohttp.ClientSession(url))
        call = await stack.enter_async_context(dial(http, camera=Camera(fps=10)))
        whip = await stack.enter_async_context(posted(http, "/whip/stage", camera=Camera(fps=10)))
        await call.until_frames(1)
        assert whip.status == 201
        async with http.patch("/api/v1/streams/stage/parameters", json={"seed": 11}) as response:
            assert response.status == 200
        second = await stack.enter_async_context(node(tmp_path / "b", "b"))
        control.nodes.append(second)
        await until_ready(http, 2)
        await lost.aclose()
        brought = {"seed": 5}
        async with dial(
            http, camera=Camera(fps=10), resume=call.resume, initialParameters=brought
        ) as back:
            assert (back.status, back.stream) == (200, call.stream)
            assert back.address.startswith("b.")
            async with http.get(f"/api/v1/streams/{back.stream}/parameters") as response:
                assert (await response.json())["seed"] == 5
            await until_free(http)
            async with posted(http, "/whip/stage?seed=1", camera=Camera(fps=10)) as again:
                assert again.status == 201, again.error
                async with http.get("/api/v1/streams/stage/parameters") as response:
                    assert (await response.json())["seed"] == 11


async def test_a_fleet_with_a_token_lets_in_whom_a_server_would(tmp_path: Path) -> None:
    """nodes refuse who may not, before anybody takes a place; the fleet is shown to its admin."""
    issuer = make_issuer(TOKEN)
    links = {role: issuer.issue(role, "*").token for role in (Role.VIEW, Role.PUBLISH)}
    body = {"sdp": CHROMIUM, "type": "offer", "wait": True}
    async with (
        node(tmp_path / "a", "a", token=TOKEN, max_streams=1) as one,
        running_gate(control := ListedNodes([one]), token=TOKEN) as url,
        aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):

        async def ask(method: str, path: str, token: str, json: object = None) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with http.request(method, path, headers=headers, json=json) as response:
                return response.status, await response.text()

        for token, status in (("", 401), ("wrong", 401), (links[Role.VIEW], 403)):
            assert (await ask("POST", OFFER_PATH, token, body))[0] == status
            assert (await ask("GET", "/api/v1/fleet", token))[0] == 401
            assert (await ask("GET", "/metrics", token))[0] == 401
        assert (await ask("GET", "/api/v1/streams", ""))[0] == 401
        # a page that is opened by its link gets the cookie of the gate's own address
        async with http.get(f"/?token={TOKEN}", allow_redirects=False) as response:
            assert (response.status, "#access=slip1p.admin" in response.headers["Location"]) == (
                303,
                True,
            )
            access = response.headers["Location"].partition("#access=")[2]
        cookies = [cookie.key for cookie in http.cookie_jar]
        assert cookies == [f"slipstream-{url.rpartition(':')[2]}"]
        assert (await ask("GET", "/api/v1/fleet", access))[0] == 200
        http.cookie_jar.clear()
        assert (await ask("GET", "/api/v1/fleet", access))[0] == 401
        assert (await ask("POST", OFFER_PATH, links[Role.PUBLISH], body))[0] == 200
        status, told = await ask("POST", OFFER_PATH, links[Role.PUBLISH], body)
        assert (status, '"place":1' in told) == (503, True)
        # in the line stands who may publish, and nobody else
        assert (await ask("POST", OFFER_PATH, links[Role.VIEW], body))[0] == 403
        status, told = await ask("GET", "/api/v1/fleet", TOKEN)
        assert (status, '"waiting":1' in told) == (200, True)
        status, told = await ask("GET", "/api/v1/fleet/targets", TOKEN)
        assert '"labels":{"node":"a","host":"here"}' in told
        status, told = await ask("GET", "/metrics", TOKEN)
        assert 'slipstream_fleet_nodes{state="ready"} 1.0' in told
        assert "slipstream_fleet_waiting 1.0" in told
        assert 'slipstream_fleet_placements_total{status="200"} 1.0' in told
        assert (await ask("POST", "/api/v1/fleet/nodes/z/drain", TOKEN))[0] == 404
        assert (await ask("POST", "/api/v1/fleet/nodes/a/drain?restart=true", TOKEN))[0] == 202
        assert control.drained == [("a", True)]


async def test_a_body_that_is_too_large_is_not_read(nodes: list[NodeAddress]) -> None:
    async with (
        running_gate(nodes) as url,
        aiohttp.ClientSession(url) as http,
        http.post(OFFER_PATH, data=bytes(300 << 10)) as response,
    ):
        assert (response.status, await response.json()) == (
            413,
            {"error": "the most is 262144 bytes"},
        )


async def test_a_node_that_stops_is_left_before_it_has_reported_so(tmp_path: Path) -> None:
    """a page that moves asks sooner than the gate does: its offer goes to another node at once."""
    async with (
        serving_node(tmp_path / "a", "a") as (first, sessions),
        node(tmp_path / "b", "b") as second,
        running_gate(control := ListedNodes([first])) as url,
        aiohttp.ClientSession(url) as http,
        dial(http, camera=Camera(fps=10)) as call,
    ):
        await call.until_frames(1)
        control.nodes.append(second)
        await until_ready(http, 2)
        draining = asyncio.create_task(sessions.drain(30, ends_calls=asyncio.Event()))
        assert (await call.until_event("server_stopping"))["hands_over"]
        async with dial(http, camera=Camera(fps=10), resume=call.resume) as moved:
            assert (moved.error, moved.stream) == ("", call.stream)
            assert moved.address.startswith("b.")
        async with http.delete(f"{OFFER_PATH}/{call.address}") as response:
            assert response.status == 204
        await draining
