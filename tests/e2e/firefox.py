"""A real Firefox, driven by WebDriver BiDi: where it is, how it is started, and its pages.

Firefox speaks the protocol itself, so nothing but a web socket is needed. Source: W3C, WebDriver
BiDi; the names in mixed case are its.
"""

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.e2e.server import stop

NAMES = ("firefox-esr", "firefox")
HOW_TO_GET_ONE = (
    "there is no Firefox on the PATH: run `make test`, which looks for one, or install it yourself "
    "(apt install firefox-esr)"
)
START_S = 60.0
COMMAND_S = 60.0
UNTIL_S = 60.0
_UNTIL = """(async () => {
  while (!(%s)) await new Promise((done) => setTimeout(done, 50));
})()"""
_SOCKET = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: dict[str, bool | int | str] = {
    "media.navigator.streams.fake": True,  # a camera of its own
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.peerconnection.ice.loopback": True,  # a machine may have no other network
    # nothing is fetched
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}
_CLICK_BUTTON = 0


def find_firefox() -> Path | None:
    """The machine's own; None if there is none that starts."""
    for name in NAMES:
        found = shutil.which(name)
        if found is None:
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([found, "--version"], check=True, capture_output=True, timeout=30)
            return Path(found)
    return None


class BidiSession:
    """Commands to a browser, one after the other; `failures` are the errors of its pages' scripts.

    Args:
        socket: nothing else reads it.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._commands = 0
        self.failures: list[str] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and take its answer; what is reported before that is kept."""
        self._commands += 1
        await self._socket.send_json({"id": self._commands, "method": method, "params": parameters})
        async with asyncio.timeout(COMMAND_S):
            while True:
                message = await self._socket.receive_json()
                if message.get("id") == self._commands:
                    break
                self._keep(message)
        assert message["type"] == "success", f"{method}: {message}"
        result: dict[str, Any] = message["result"]
        return result

    def _keep(self, message: dict[str, Any]) -> None:
        entry = message.get("params", {})
        is_script = message.get("method") == "log.entryAdded" and entry["type"] == "javascript"
        if is_script and entry["level"] == "error":
            self.failures.append(entry["text"])


class FirefoxPage:
    """One tab.

    Args:
        context: its id.
    """

    def __init__(self, session: BidiSession, context: str) -> None:
        self._session = session
        self._context = context

    async def open(self, url: str) -> None:
        """Go to an address, until it is loaded; the one it has already is loaded again."""
        await self._command("browsingContext.navigate", url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """A text, a number or a truth value that an expression of JavaScript gives."""
        answer = await self._session.command(
            "script.evaluate",
            target={"context": self._context},
            expression=expression,
            awaitPromise=True,
        )
        assert answer["type"] == "success", f"{expression}: {answer}"
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Until an expression of JavaScript is true."""
        try:
            async with asyncio.timeout(UNTIL_S):
                await self.evaluate(_UNTIL % expression)
        except TimeoutError:
            raise AssertionError(f"never {expression}") from None

    async def click(self, selector: str) -> None:
        """Click on an element, as a mouse does."""
        found = await self._command(
            "browsingContext.locateNodes", locator={"type": "css", "value": selector}
        )
        origin = {"type": "element", "element": {"sharedId": found["nodes"][0]["sharedId"]}}
        await self._act(
            "pointer",
            [
                {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
                {"type": "pointerDown", "button": _CLICK_BUTTON},
                {"type": "pointerUp", "button": _CLICK_BUTTON},
            ],
        )

    async def type(self, text: str) -> None:
        """Press the keys of a text."""
        presses = [{"type": kind, "value": sign} for sign in text for kind in ("keyDown", "keyUp")]
        await self._act("key", presses)

    async def new_tab(self) -> "FirefoxPage":
        """Another tab, in front of this one."""
        created = await self._session.command("browsingContext.create", type="tab")
        return FirefoxPage(self._session, created["context"])

    async def _act(self, device: str, actions: list[dict[str, Any]]) -> None:
        source = {"type": device, "id": device, "actions": actions}
        await self._command("input.performActions", actions=[source])

    async def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._session.command(method, context=self._context, **parameters)


@asynccontextmanager
async def opened_firefox(executable: Path, profile: Path) -> AsyncIterator[FirefoxPage]:
    """The one tab of a headless Firefox; none of its scripts may fail.

    Args:
        profile: an empty folder.
    """
    (profile / "user.js").write_text(
        "".join(
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in _PREFERENCES.items()
        )
    )
    process = await asyncio.create_subprocess_exec(
        *(executable, "--headless", "--no-remote", "--profile", profile),
        *("--remote-debugging-port", "0"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(START_S):
            address = await _address(process)
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(f"{address}/session", max_msg_size=0) as socket,
        ):
            session = BidiSession(socket)
            await session.command("session.new", capabilities={})
            await session.command("session.subscribe", events=["log.entryAdded"])
            tree = await session.command("browsingContext.getTree")
            yield FirefoxPage(session, tree["contexts"][0]["context"])
            assert session.failures == []
    finally:
        await stop(process)


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None, "its errors are piped"
    said = []
    async for line in process.stderr:
        said.append(line.decode(errors="replace"))
        if found := _SOCKET.search(said[-1]):
            return found[1]
    raise RuntimeError(f"Firefox ended before it could be driven:\n{''.join(said)}")
