"""The studio page while the model loads, and what becomes of a prompt that was not applied."""

import json
from typing import Any

import pytest
from playwright.async_api import Route

from tests.web.conftest import SECURE, FakeServer
from tests.web.shared.test_problems import CAMERA, OFFER
from tests.web.studio.test_controls import health

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LOADING = {
    "ready": False,
    "engine_state": "starting",
    "engine_detail": "loading the weights",
    "model": None,
}


async def offered(server: FakeServer) -> list[dict[str, Any]]:
    """The bodies of the offers that will be made; every one is refused."""
    offers: list[dict[str, Any]] = []

    async def take(route: Route) -> None:
        offers.append(json.loads(route.request.post_data or ""))
        await route.fulfill(status=400, body='{"error": "the test has seen enough"}')

    await server.page.route(f"**{OFFER}", take)
    return offers


async def test_a_call_waits_for_the_model_and_begins_by_itself(server: FakeServer) -> None:
    """with what was typed meanwhile; the page says what it waits for."""
    await server.page.add_init_script(CAMERA)
    server.respond("/health", 200, LOADING)
    offers = await offered(server)
    await server.page.goto(SECURE)
    await server.page.click("#start")
    await server.page.get_by_text("The model is loading, the call begins by itself").wait_for()
    assert "Loading the weights" in await server.page.inner_text("#notice-advice")
    assert await server.page.is_enabled("#stop")
    await server.page.fill("#prompt", "dusk")
    assert offers == []
    server.respond("/health", 200, health([], []))
    await server.page.wait_for_selector("body[data-state=error]")
    assert [offer["initialParameters"] for offer in offers] == [{"prompt": "dusk"}]


async def test_stop_ends_the_waiting(server: FakeServer) -> None:
    """no call is made once the model is there."""
    await server.page.add_init_script(CAMERA)
    server.respond("/health", 200, LOADING)
    offers = await offered(server)
    await server.page.goto(SECURE)
    await server.page.click("#start")
    await server.page.get_by_text("The model is loading, the call begins by itself").wait_for()
    await server.page.click("#stop")
    server.respond("/health", 200, health([], []))
    await server.page.get_by_text("Ready when you are").wait_for()
    assert offers == []


async def test_a_prompt_typed_before_start_is_used(server: FakeServer) -> None:
    """without Enter, and whatever the model's own prompt is."""
    await server.page.add_init_script(CAMERA)
    model = health([], [])
    model["model"]["parameters"] = {"prompt": "comic"}
    server.respond("/health", 200, model)
    offers = await offered(server)
    await server.page.goto(SECURE)
    await server.page.wait_for_function("document.querySelector('#prompt').value === 'comic'")
    await server.page.fill("#prompt", "a sea at night")
    await server.page.locator("#prompt").blur()
    await server.page.click("#start")
    await server.page.wait_for_selector("body[data-state=error]")
    assert offers[0]["initialParameters"] == {"prompt": "a sea at night"}
    assert await server.page.input_value("#prompt") == "a sea at night"


async def test_a_prompt_half_typed_survives_what_the_server_reports(server: FakeServer) -> None:
    """the parameters in force are shown in every control but this one; a reload keeps it too."""
    await server.page.goto(SECURE)
    await server.page.fill("#prompt", "half a")
    await server.page.locator("#prompt").blur()
    await server.page.reload()
    assert await server.page.input_value("#prompt") == "half a"
    shown = await server.page.evaluate(
        """async () => {
          const { Controls } = await import("/studio/controls.js");
          const controls = new Controls(() => {});
          controls.showParameters({ prompts: [{ text: "dusk", weight: 1 }], seed: 7 });
          return [document.querySelector("#prompt").value, document.querySelector("#seed").value];
        }"""
    )
    assert shown == ["half a", "7"]


async def test_a_change_is_counted_in_seconds(server: FakeServer) -> None:
    """the chunks that the output's rate makes in that time; no word of chunks is on the page."""
    await server.page.goto(SECURE)
    sent = await server.page.evaluate(
        """async () => {
          const { Controls } = await import("/studio/controls.js");
          const sent = [];
          const controls = new Controls((update) => sent.push(update));
          controls.showModel({ chunk_frames: 4 });
          controls.showRate(16);
          document.querySelector("#blend").value = "2";
          document.querySelector("#prompt-form").requestSubmit();
          return sent;
        }"""
    )
    assert [update["transition"]["num_steps"] for update in sent] == [8]
    words = (await server.page.inner_text("body")).lower()
    assert "over 2 seconds" in words
    assert "chunk" not in words
