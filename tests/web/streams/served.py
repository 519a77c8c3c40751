"""A server's answers about streams, for pages that have no call."""

import json
from typing import Any
from urllib.parse import unquote

from playwright.async_api import Page, Route

from tests.web.conftest import FakeServer
from tests.web.studio.test_controls import health

PARAMETERS: dict[str, Any] = {
    "prompts": [{"text": "pencil", "weight": 1.0}],
    "noise_scale": 0.15,
    "denoising_step_list": [450],
    "seed": 7,
}


def entry(stream: str, **more: Any) -> dict[str, Any]:
    known = {
        "stream": stream,
        "state": "live",
        "published": True,
        "viewers": 0,
        "since_s": 5.0,
        "holds": None,
        "budgets": None,
    }
    return known | more


class FakeStreams:
    """Streams of a fake server, with their parameters; what is changed is kept in `updates`.

    Args:
        server: whose page asks.
    """

    def __init__(self, server: FakeServer) -> None:
        self.parameters: dict[str, dict[str, Any]] = {}
        self.updates: list[tuple[str, dict[str, Any]]] = []
        self.refusal: tuple[int, str] | None = None  # of updates
        self._server = server
        server.respond("/health", 200, health(["pencil", "neon"], ["red"]))
        self.show()

    @property
    def page(self) -> Page:
        return self._server.page

    async def answer(self) -> None:
        """Answer for parameters from now on."""
        await self.page.route("**/api/v1/streams/*/parameters", self._answer)

    def show(self, *entries: dict[str, Any]) -> None:
        """Have these streams from now on."""
        self.parameters = {one["stream"]: dict(PARAMETERS) for one in entries}
        self._server.respond("/api/v1/streams", 200, {"streams": entries})

    async def look_again(self) -> None:
        """Have the page ask now, as when it comes into sight."""
        await self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    async def _answer(self, route: Route) -> None:
        stream = unquote(route.request.url.split("/")[-2])
        parameters = self.parameters.get(stream)
        if parameters is None:
            await _fulfil(route, 404, {"error": f"stream {stream!r} is unknown"})
        elif route.request.method != "PATCH":
            await _fulfil(route, 200, parameters)
        elif self.refusal is not None:
            await _fulfil(route, self.refusal[0], {"error": self.refusal[1]})
        else:
            update = json.loads(route.request.post_data or "")
            self.updates.append((stream, update))
            if "prompt" in update:
                parameters["prompts"] = [{"text": update["prompt"], "weight": 1.0}]
            parameters |= {key: value for key, value in update.items() if key != "prompt"}
            await _fulfil(route, 200, {"type": "applied", "rev": 0, "chunk": 1})


async def _fulfil(route: Route, status: int, body: Any) -> None:
    await route.fulfill(status=status, body=json.dumps(body))
