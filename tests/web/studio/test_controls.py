"""`studio/controls.js`: the vocabulary of a small model, and what it understands of a prompt."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

NOTE = "the embedded demo model: a small style vocabulary, not open-ended text"


def health(styles: list[str], colours: list[str]) -> dict[str, Any]:
    model = {
        "pipeline": "diffusion",
        "preset": "tiny",
        "note": NOTE,
        "width_px": 256,
        "height_px": 256,
        "step_list": [450],
        "noise_scale_range": [0.0, 0.3],
        "styles": styles,
        "colours": colours,
        "parameters": {},
    }
    return {"ready": True, "engine_state": "ready", "engine_detail": "", "model": model}


async def test_the_styles_have_a_heading(server: FakeServer) -> None:
    """they are listed under it before the first call, with the note of the model."""
    server.respond("/health", 200, health(["pencil", "neon"], []))
    await server.page.goto(SECURE)
    group = server.page.get_by_role("group", name="Style vocabulary")
    await group.get_by_text("neon").wait_for()
    assert await group.get_by_role("button").all_inner_texts() == ["pencil", "neon"]
    assert await server.page.inner_text("#note") == NOTE


async def test_a_colour_is_combined_with_a_style(server: FakeServer) -> None:
    """it precedes the style, stays when the style changes, and is removed when pressed again."""
    server.respond("/health", 200, health(["pencil", "neon"], ["red", "blue"]))
    await server.page.goto(SECURE)
    press = server.page.get_by_role("button")
    prompt = server.page.locator("#prompt")
    prompts = []
    for word in ("pencil", "red", "neon", "blue", "blue"):
        await press.get_by_text(word, exact=True).click()
        prompts.append(await prompt.input_value())
    assert prompts == ["pencil", "red pencil", "red neon", "blue neon", "neon"]
    await prompt.fill("Red  glowing lines")
    group = server.page.get_by_role("group", name="Colours")
    assert await group.get_by_role("button", pressed=True).all_inner_texts() == ["red"]


async def test_a_model_for_any_text_has_no_vocabulary(server: FakeServer) -> None:
    """an empty one has no heading either."""
    server.respond("/health", 200, health([], []))
    await server.page.goto(SECURE)
    await server.page.locator("#note").get_by_text(NOTE).wait_for()
    assert not await server.page.is_visible("#vocabulary")


async def test_what_the_model_understands_is_shown(server: FakeServer) -> None:
    """capitalised, and hidden while there is nothing to show."""
    await server.page.goto(SECURE)
    show = """async (text) => {
      const { Controls } = await import("/studio/controls.js");
      new Controls(() => {}).showUnderstood(text);
    }"""
    await server.page.evaluate(show, "no style of the vocabulary is named")
    assert await server.page.inner_text("#understood") == "No style of the vocabulary is named"
    await server.page.evaluate(show, "")
    assert not await server.page.is_visible("#understood")
