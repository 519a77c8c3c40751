"""The configurations in docs/hosting.md, each before a server as it stands there."""

import asyncio
import datetime
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import cookies
from pathlib import Path

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]
from slipstream_server.http.certificates import self_signed

from tests.proxy_programs import find_proxy, how_to_get
from tests.server.calls import Camera
from tests.server.command import health, slipstream
from tests.server.whips import posted

TOKEN = "0123456789abcdef"
START_S = 20.0
PAGE = Path(__file__).parents[2] / "docs/hosting.md"
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr; {user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {snippet}
}}
"""
CADDY = "{{\n    admin off\n    auto_https disable_redirects\n}}\n{snippet}"


def snippet(kind: str) -> str:
    """The configuration of one kind in the docs."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return str(found)


def changed(text: str, *changes: tuple[str, str]) -> str:
    """With the addresses and files of a test in place of the docs'."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@asynccontextmanager
async def running(command: list[str], port: int, folder: Path) -> AsyncIterator[None]:
    """A proxy while the block runs, once it listens."""
    with (folder / "proxy.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env=os.environ | {"HOME": str(folder)}
        )
    try:
        async with asyncio.timeout(START_S):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        assert process.returncode is None, (folder / "proxy.log").read_text()
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def nginx(program: Path, upstream: int, port: int, pem: Path) -> list[str]:
    text = changed(
        snippet("nginx"),
        ("443", f"127.0.0.1:{port}"),
        ("stage.example;\n    ssl_certificate ", "localhost;\n    ssl_certificate "),
        ("/etc/ssl/stage.example.crt", str(pem)),
        ("/etc/ssl/stage.example.key", str(pem)),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    )
    file = pem.with_name("nginx.conf")
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(NGINX.format(folder=pem.parent, snippet=text, user=user))
    return [str(program), "-c", str(file), "-p", str(pem.parent)]


def caddy(program: Path, upstream: int, port: int, pem: Path) -> list[str]:
    text = changed(
        snippet("caddy"),
        ("stage.example {", f"https://localhost:{port} {{\n    tls {pem} {pem}"),
        ("127.0.0.1:8080", f"127.0.0.1:{upstream}"),
    )
    file = pem.with_name("Caddyfile")
    file.write_text(CADDY.format(snippet=text))
    return [str(program), "run", "--adapter", "caddyfile", "--config", str(file)]


@pytest.mark.parametrize(
    ("name", "commands", "flags"),
    [("nginx", nginx, ()), ("caddy", caddy, ("--base-path", "/slipstream"))],
)
async def test_a_page_and_a_call_behind_it(
    name: str, commands: object, flags: tuple[str, ...], tmp_path: Path
) -> None:
    """the page finds its files, the cookie is for https and this path only, WHIP's Location ends
    the call, and what callers say of themselves is believed by nobody."""
    program = find_proxy(name)
    if program is None:
        pytest.skip(how_to_get(name))
    assert callable(commands)
    certificate = self_signed(
        tmp_path / "pair.pem", ["localhost"], now=datetime.datetime.now(datetime.UTC)
    )
    port, log = free_port(), tmp_path / "log"
    limits = ("--token", TOKEN, "--offers-per-minute", "2")
    async with slipstream(*limits, *flags, log=log) as (_, address):
        await health(re.sub(r"(:\d+/).*", r"\1", address))
        upstream = int(re.findall(r":(\d+)/", address)[0])
        trusting = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=certificate.chain))
        async with (
            running(commands(program, upstream, port, certificate.chain), port, tmp_path),
            aiohttp.ClientSession(f"https://localhost:{port}", connector=trusting) as http,
        ):
            async with http.get("/slipstream/", params={"token": TOKEN}) as response:
                assert response.status == 200
                page = await response.text()
                assert "strict-transport-security" in response.headers
                assert response.url.path_qs == "/slipstream/"  # without the token
                sent = response.history[0].headers["Set-Cookie"]
                (cookie,) = cookies.SimpleCookie(sent).values()
                assert cookie["secure"] and cookie["path"] == "/slipstream/"
            files = re.findall(r'(?:src|href)="([^"#]+)"', page)
            assert len(files) >= 4
            for file in files:
                async with http.get(f"/slipstream/{file}") as response:
                    assert response.status == 200
            async with http.get("/slipstream/view?token=x") as response:
                assert response.url.path == "/slipstream/view/"
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            path = "/slipstream/whip/stage"
            async with posted(http, path, camera=Camera(), headers=bearer) as call:
                assert call.status == 201, call.error
                assert call.location.startswith(f"{path}/")
                async with http.delete(call.location, headers=bearer) as response:
                    assert response.status == 200
            await _spoof(http, bearer)
    assert "203.0.113.9" not in log.read_text()


async def _spoof(http: aiohttp.ClientSession, bearer: dict[str, str]) -> None:
    """Send offers under another address until one is refused."""
    headers = bearer | {
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
        "X-Forwarded-Prefix": "/elsewhere",
    }
    for _ in range(100):
        async with http.post(
            "/slipstream/api/v1/webrtc/offer", data=b"{", headers=headers
        ) as response:
            answer = await response.text()
            if response.status == 429:
                assert "from 127.0.0.1" in answer
                return
    raise AssertionError(f"no offer was refused: {answer}")


def test_what_no_test_runs_is_at_least_well_formed() -> None:
    """Traefik's: the router, its middleware and its service name each other."""
    http = yaml.safe_load(snippet("yaml"))["http"]
    (router,) = http["routers"].values()
    assert router["service"] in http["services"]
    (middleware,) = router["middlewares"]
    assert http["middlewares"][middleware]["stripPrefix"]["prefixes"] == ["/slipstream"]
    (server,) = http["services"][router["service"]]["loadBalancer"]["servers"]
    assert server["url"] == "http://127.0.0.1:8080"
