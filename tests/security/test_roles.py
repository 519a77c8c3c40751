"""Every route, with every method, as every role: who is let in where, and who is not.

The routes are those that the application has. One that is not in the table here fails the test, so
that nobody adds a way in without saying for whom it is.
"""

from collections.abc import Iterator
from pathlib import Path

from slipstream_server.http.roles import ALL_STREAMS, Role

from tests.server.serving import Serving, serving
from tests.server.signing_in import bearer_of, signed_for

TOKEN = "a-token-of-enough-length"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
OFFER, STREAM = "/api/v1/webrtc/offer", "/api/v1/streams/{stream}"

# the least role, and for which stream: this one, all, whichever (the handler says), an own session
EVERYBODY = None
TABLE: dict[tuple[str, str], tuple[Role, str] | None] = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/view"): EVERYBODY,
    ("GET", "/view/"): EVERYBODY,
    ("GET", "/view/{stream}"): EVERYBODY,
    ("GET", "/index.html"): EVERYBODY,
    ("GET", "/view.html"): EVERYBODY,
    ("GET", "/studio/main.js"): EVERYBODY,
    ("GET", "/health"): EVERYBODY,
    ("GET", "/ready"): EVERYBODY,
    ("GET", "/metrics"): (Role.ADMIN, "all"),
    ("POST", OFFER): (Role.VIEW, "any"),
    ("PATCH", OFFER + "/{id}"): (Role.VIEW, "own"),
    ("DELETE", OFFER + "/{id}"): (Role.VIEW, "own"),
    ("GET", "/api/v1/webrtc/ice-servers"): (Role.VIEW, "any"),
    ("GET", "/api/v1/streams"): (Role.VIEW, "all"),
    ("GET", STREAM + "/parameters"): (Role.VIEW, "this"),
    ("PATCH", STREAM + "/parameters"): (Role.CONTROL, "this"),
    ("GET", STREAM + "/tokens"): (Role.PUBLISH, "this"),
    ("GET", STREAM + "/trace"): (Role.ADMIN, "this"),
    ("GET", STREAM + "/thumbnail"): (Role.VIEW, "this"),
    ("GET", STREAM + "/still"): (Role.VIEW, "this"),
    ("GET", STREAM + "/recording"): (Role.VIEW, "this"),
    ("POST", STREAM + "/recording"): (Role.CONTROL, "this"),
    ("DELETE", STREAM + "/recording"): (Role.CONTROL, "this"),
    ("GET", STREAM + "/recordings"): (Role.CONTROL, "this"),
    ("GET", STREAM + "/recordings/{file}"): (Role.CONTROL, "this"),
    ("GET", "/api/v1/node"): (Role.ADMIN, "all"),
    **{("OPTIONS", f"/{kind}{path}"): EVERYBODY for kind in ("whip", "whep") for path in (
        "", "/", "/{stream}", "/{stream}/{id}"
    )},
    ("POST", "/whip"): (Role.PUBLISH, "all"),
    ("POST", "/whip/"): (Role.PUBLISH, "all"),
    ("POST", "/whip/{stream}"): (Role.PUBLISH, "this"),
    ("PATCH", "/whip/{stream}/{id}"): (Role.PUBLISH, "own"),
    ("DELETE", "/whip/{stream}/{id}"): (Role.PUBLISH, "own"),
    ("POST", "/whep"): (Role.VIEW, "all"),
    ("POST", "/whep/"): (Role.VIEW, "all"),
    ("POST", "/whep/{stream}"): (Role.VIEW, "this"),
    ("PATCH", "/whep/{stream}/{id}"): (Role.VIEW, "own"),
    ("DELETE", "/whep/{stream}/{id}"): (Role.VIEW, "own"),
}  # fmt: skip


def refused_credentials() -> Iterator[tuple[str, dict[str, str]]]:
    """Those that let nobody in anywhere."""
    yield "none", {}
    yield "another server's", signed_for("another-token-of-length!", Role.ADMIN, ALL_STREAMS)
    yield "expired", signed_for(TOKEN, Role.ADMIN, ALL_STREAMS, expires_s=1)
    view = signed_for(TOKEN, Role.VIEW, "this")["Authorization"]
    yield "a higher role", {"Authorization": view.replace(".view.", ".admin.")}
    yield "all streams", {"Authorization": view.replace(".this.", ".*.")}
    yield "a page's", {"Authorization": view.replace("slip1", "slip1p")}
    yield "no Bearer", {"Authorization": f"Basic {TOKEN}"}
    yield "the old cookie", {"Cookie": f"slipstream_token={TOKEN}"}


def credentials() -> Iterator[tuple[Role, str, dict[str, str]]]:
    """Role, the stream that it is for, and the header."""
    for role in Role:
        for stream in ("this", "other", ALL_STREAMS):
            if role is not Role.ADMIN or stream == ALL_STREAMS:
                yield role, stream, signed_for(TOKEN, role, stream)
    yield Role.ADMIN, ALL_STREAMS, bearer_of(TOKEN)


def is_let_in(needed: tuple[Role, str], role: Role, stream: str) -> bool:
    least, which = needed
    if which == "own":  # another's session: for the admin only
        return role is Role.ADMIN
    of_stream = {"all": (ALL_STREAMS,), "this": (ALL_STREAMS, "this"), "any": (stream,)}
    return role >= least and stream in of_stream[which]


async def status_of(server: Serving, method: str, path: str, headers: dict[str, str]) -> int:
    at = (
        path.replace("{stream}", "this")
        .replace("{id}", "some")
        .replace("{file}", "20260101-000000.mp4")
    )
    async with server.client.request(
        method, at, headers=headers, allow_redirects=False
    ) as response:
        return response.status


def routes_of(server: Serving) -> set[tuple[str, str]]:
    app = server.client.app
    assert app is not None
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None
    }


async def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    """and nothing else is; methods that are refused by name stand for none."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        found = routes_of(server)
    named = {(method, path) for method, path in found if method not in ("HEAD", "*")}
    assert named == set(TABLE)
    assert {path for method, path in found if method == "*"} <= {path for _, path in TABLE}


async def test_who_is_let_in_where(tmp_path: Path) -> None:
    """401 for whoever shows nothing, 403 for whoever shows too little, neither for the others."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for (method, path), needed in TABLE.items():
            for what, headers in refused_credentials():
                status = await status_of(server, method, path, headers)
                assert (status == 401) is (needed is not EVERYBODY), (method, path, what, status)
            if needed is EVERYBODY:
                continue
            for role, stream, headers in credentials():
                status = await status_of(server, method, path, headers)
                right = is_let_in(needed, role, stream)
                assert (status not in (401, 403)) is right, (method, path, role, stream, status)
                assert right or status == 403


async def test_no_other_method_does_anything(tmp_path: Path) -> None:
    """of any path there is, for anybody."""
    async with serving(tmp_path, ready=False, token=TOKEN) as server:
        for path in {path for _, path in TABLE}:
            known = {method for method, where in TABLE if where == path}
            known |= {"HEAD"} if "GET" in known else set()
            for method in set(METHODS) - known:
                assert await status_of(server, method, path, {}) in (401, 405), (method, path)
                status = await status_of(server, method, path, bearer_of(TOKEN))
                assert status == 405, (method, path, status)


async def test_without_a_token_everybody_may_do_everything(tmp_path: Path) -> None:
    """only this machine is served then."""
    async with serving(tmp_path, ready=False) as server:
        for method, path in TABLE:
            assert await status_of(server, method, path, {}) not in (401, 403), (method, path)
