"""What the page says of a small model's words: the list, and what it makes of a prompt."""

from typing import Any

import pytest

from tests.web.conftest import SECURE, Fake

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


async def test_the_list_is_called_what_it_is(fake: Fake) -> None:
    """before the first call the styles stand under their heading, and the model under its name."""
    fake.answer("/health", 200, health(["pencil", "neon"], []))
    await fake.page.goto(SECURE)
    group = fake.page.get_by_role("group", name="Style vocabulary")
    await group.get_by_text("neon").wait_for()
    assert await group.get_by_role("button").all_inner_texts() == ["pencil", "neon"]
    assert await fake.page.inner_text("#note") == NOTE


async def test_a_colour_goes_with_a_style(fake: Fake) -> None:
    """a colour stands before the style, stays when that changes, and leaves when pressed again."""
    fake.answer("/health", 200, health(["pencil", "neon"], ["red", "blue"]))
    await fake.page.goto(SECURE)
    press = fake.page.get_by_role("button")
    prompt = fake.page.locator("#prompt")
    said = []
    for word in ("pencil", "red", "neon", "blue", "blue"):
        await press.get_by_text(word, exact=True).click()
        said.append(await prompt.input_value())
    assert said == ["pencil", "red pencil", "red neon", "blue neon", "neon"]
    await prompt.fill("Red  glowing lines")
    group = fake.page.get_by_role("group", name="Colours")
    assert await group.get_by_role("button", pressed=True).all_inner_texts() == ["red"]


async def test_a_model_for_any_text_has_no_list(fake: Fake) -> None:
    """an empty vocabulary has no heading either."""
    fake.answer("/health", 200, health([], []))
    await fake.page.goto(SECURE)
    await fake.page.locator("#note").get_by_text(NOTE).wait_for()
    assert not await fake.page.is_visible("#vocabulary")


async def test_what_is_made_of_a_prompt_is_said(fake: Fake) -> None:
    """as a sentence, as long as there is something to say."""
    await fake.page.goto(SECURE)
    show = """async (text) => {
      const { Panel } = await import("/studio/controls.js");
      new Panel(() => {}).showUnderstood(text);
    }"""
    await fake.page.evaluate(show, "no style of the vocabulary is named")
    assert await fake.page.inner_text("#understood") == "No style of the vocabulary is named"
    await fake.page.evaluate(show, "")
    assert not await fake.page.is_visible("#understood")
