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


async def test_a_call_waits_for_a_place_and_says_which(server: FakeServer) -> None:
    """it asks again with its ticket, says how far it has come, and comes in by itself."""
    await server.page.add_init_script(CAMERA)
    server.respond("/health", 200, health([], []))
    offers: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = [{"place": 2, "waiting": 3}, {}, {"place": 1, "waiting": 2}]

    async def take(route: Route) -> None:
        offers.append(json.loads(route.request.post_data or ""))
        if not answers:
            await route.fulfill(status=400, body='{"error": "the test has seen enough"}')
            return
        place = answers.pop(0)
        body = {"error": "the server's reason", "ticket": "t1"} | place
        status = 503 if place else 429  # it asks too often together with others of its address
        await route.fulfill(status=status, headers={"Retry-After": "1"}, body=json.dumps(body))

    await server.page.route(f"**{OFFER}", take)
    await server.page.goto(SECURE)
    await server.page.click("#start")
    await server.page.get_by_text("Waiting for a place: you are number 2 of 3").wait_for()
    assert await server.page.is_enabled("#stop")
    await server.page.get_by_text("Waiting for a place: you are number 1 of 2").wait_for()
    await server.page.wait_for_selector("body[data-state=error]")
    assert [offer["ticket"] for offer in offers] == ["", "t1", "t1", "t1"]
    assert all(offer["wait"] and 1 <= offer.get("frameRate", 30) <= 240 for offer in offers)


async def test_stop_leaves_the_line(server: FakeServer) -> None:
    """no further offer is made, and the next call has no ticket."""
    await server.page.add_init_script(CAMERA)
    server.respond("/health", 200, health([], []))
    full = {"error": "all streams are in use", "place": 1, "waiting": 1, "ticket": "t1"}
    server.respond(OFFER, 503, full, headers={"Retry-After": "1"})
    await server.page.goto(SECURE)
    await server.page.click("#start")
    await server.page.get_by_text("Waiting for a place: you are number 1 of 1").wait_for()
    await server.page.click("#stop")
    await server.page.get_by_text("Ready when you are").wait_for()
    offers = await offered(server)
    await server.page.click("#start")
    await server.page.wait_for_selector("body[data-state=error]")
    assert [offer["ticket"] for offer in offers] == [""]


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
          controls.prompts.transition.showRate(16);
          document.querySelector("#blend").value = "2";
          document.querySelector("#prompt-form").requestSubmit();
          return sent;
        }"""
    )
    assert [update["transition"]["num_steps"] for update in sent] == [8]
    words = (await server.page.inner_text("body")).lower()
    assert "change over" in words
    assert "chunk" not in words
