"""`studio/mixer.js`: prompts, weights, a crossfader, and changes over seconds.

`studio/prompt_mix.js` and `studio/transition.js` have the rules.
"""

from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# a panel of its own beside the page's, which hears the same controls and sends nothing without a
# call; so that each control is handled once, only the first of them listens
_OPEN = """async () => {
  const { PromptPanel } = await import("/studio/prompt_panel.js");
  const copy = document.querySelector("main").cloneNode(true);
  document.querySelector("main").replaceWith(copy);
  window.sent = [];
  window.panel = new PromptPanel((update) => {
    if (Object.keys(update).length) window.sent.push(update); // else the server need not know
  });
}"""
_SHOW = "(parameters) => window.panel.showParameters(parameters)"
_ROWS = """[...document.querySelectorAll("#mix-rows > *")].map((row) => {
  const part = (name) => row.querySelector(`[data-part=${name}]`);
  const text = part("text").value ?? document.querySelector("#prompt").value;
  return [text, Number(part("weight").value), part("side").value, part("share").value];
})"""
_PROMPTS = """async (mixes) => {
  const { promptsOf } = await import("/studio/prompt_mix.js");
  return mixes.map(([rows, fade]) => promptsOf({
    rows: rows.map(([text, weight, side]) => ({ text, weight, side })), fade,
  }).map(({ text, weight }) => [text, weight]));
}"""
_CHUNKS = """async ([fps, frames, durations_s]) => {
  const { ChunkRate } = await import("/studio/transition.js");
  const rate = new ChunkRate();
  rate.showFps(fps);
  rate.showChunkFrames(frames);
  return durations_s.map((one) => rate.chunks(one));
}"""
_PROGRESS = """async (steps) => {
  const { TransitionProgress } = await import("/studio/transition.js");
  const progress = new TransitionProgress();
  return steps.map(([what, ...values]) => progress[what](...values) ?? null);
}"""


async def opened(server: FakeServer) -> None:
    await server.page.goto(SECURE)
    await server.page.evaluate(_OPEN)


async def sent(server: FakeServer, count: int) -> list[Any]:
    """The updates, once there are so many."""
    for _ in range(200):
        updates: list[Any] = await server.page.evaluate("window.sent")
        if len(updates) >= count:
            return updates
        await server.page.evaluate("new Promise(requestAnimationFrame)")
    raise AssertionError(f"{updates}, fewer than {count}")


async def test_weights_and_fader_make_the_mixture(server: FakeServer) -> None:
    """each prompt has its weight times its side's share of the crossfader; an empty one is left
    out, and one alone has all the weight."""
    mixes = [
        [[["a", 1, "A"], ["b", 1, "B"]], 0.25],
        [[["a", 0.5, "both"], ["b", 1, "B"], [" ", 1, "A"]], 0.5],
        [[["a", 0.2, "A"]], 1],
        [[["", 1, "A"], ["", 1, "B"]], 0],
    ]
    assert await server.evaluate(_PROMPTS, mixes) == [
        [["a", 0.75], ["b", 0.25]],
        [["a", 0.5], ["b", 0.5]],
        [["a", 1]],
        [["", 1]],
    ]


async def test_a_change_over_seconds_is_as_many_chunks_as_are_made(server: FakeServer) -> None:
    """at least one, and no more than the server takes; none for a change at once or nonsense."""
    durations_s = [0, 0.01, 2, 10_000, -1, float("nan")]
    chunks = await server.evaluate(_CHUNKS, [16, 4, durations_s])
    assert chunks == [0, 1, 8, 1000, 0, 0]


async def test_the_progress_follows_the_rate(server: FakeServer) -> None:
    """from when the engine has begun; it stands while no chunk is made; another's number does
    nothing, and a change that is given up ends it."""
    shares = await server.evaluate(
        _PROGRESS,
        [
            ["sent", 1, 8],
            ["share", 500, 4],
            ["applied", 1, 1000],
            ["share", 2000, 4],
            ["share", 3000, 0],
            ["ended", 7],
            ["share", 3500, 4],
            ["share", 4500, 4],
            ["sent", 2, 8],
            ["ended", 2],
            ["share", 5000, 4],
        ],
    )
    assert shares == [None, 0, None, 0.5, 0.5, None, 0.75, None, None, None, None]


async def test_the_progress_follows_a_change_that_was_begun_elsewhere(server: FakeServer) -> None:
    """from when the server tells of it; one at once ends it, and one of this page's own that waits
    for its turn is not given up for it."""
    shares = await server.evaluate(
        _PROGRESS,
        [
            ["begun", 8, 1000],
            ["share", 2000, 4],
            ["begun", 0, 2500],
            ["share", 2500, 4],
            ["sent", 1, 4],
            ["begun", 8, 3000],
            ["applied", 1, 4000],
            ["share", 4500, 4],
        ],
    )
    assert shares == [None, 0.5, None, None, None, None, None, 0.5]


async def test_sides_and_fader_outlive_a_reload(server: FakeServer) -> None:
    """also where the server reports the prompts that they made; those of another replace them, and
    a mixture that no page can have kept is forgotten."""
    await opened(server)
    page = server.page
    await page.fill("#prompt", "pencil")
    await page.click("#add-prompt")
    await page.keyboard.type("neon")
    await page.keyboard.press("Enter")
    await page.locator("#fade").fill("0.25")
    made = (await sent(server, 2))[1]["prompts"]
    own = await page.evaluate(_ROWS)
    assert [row[2] for row in own] == ["A", "B"]
    await opened(server)
    assert await page.evaluate(_ROWS) == own
    assert await page.evaluate("window.panel.takeInitialParameters()") == {"prompts": made}
    await page.evaluate(_SHOW, {"prompts": made})
    assert await page.evaluate(_ROWS) == own
    assert await page.input_value("#fade") == "0.25"
    await page.evaluate(_SHOW, {"prompts": [{"text": w, "weight": 1} for w in "ab"]})
    assert [row[2] for row in await page.evaluate(_ROWS)] == ["both", "both"]
    for nonsense in ("{", "7", '{"mix": {"rows": [], "fade": 0}, "isDraft": false}'):
        await page.evaluate("(text) => sessionStorage.setItem('mix', text)", nonsense)
        await opened(server)
        assert await page.is_hidden("#mixer")


async def test_prompts_are_mixed_and_faded_on_the_page(server: FakeServer) -> None:
    """up to four; the fader sends weights at once, its button over the seconds that are chosen."""
    await opened(server)
    page = server.page
    await page.fill("#prompt", "pencil")
    await page.click("#add-prompt")
    await page.keyboard.type("neon")
    await page.keyboard.press("Enter")
    halves = [{"text": "pencil", "weight": 0.5}, {"text": "neon", "weight": 0.5}]
    assert await sent(server, 1) == [{"prompts": halves}]
    await page.locator("#fade").fill("0.9")
    tenth = [{"text": "pencil", "weight": 0.1}, {"text": "neon", "weight": 0.9}]
    assert (await sent(server, 2))[1] == {"prompts": tenth}
    await page.fill("#blend", "2")
    await page.select_option("#blend-method", "slerp")
    await page.click("#crossfade")
    back = [{"text": "pencil", "weight": 1}, {"text": "neon", "weight": 0}]
    way = {"num_steps": 12, "temporal_interpolation_method": "slerp"}
    assert (await sent(server, 3))[2] == {"transition": {"target_prompts": back, **way}}
    await page.click("#add-prompt")
    await page.click("#add-prompt")
    assert await page.is_hidden("#add-prompt")


async def test_what_is_set_elsewhere_is_shown_as_it_is(server: FakeServer) -> None:
    """texts, weights above 1 and shares; what this page has sent itself keeps its sides, also
    where the server's word of it comes late."""
    await opened(server)
    elsewhere = [{"text": "dusk", "weight": 3}, {"text": "fog", "weight": 1}]
    await server.page.evaluate(_SHOW, {"prompts": elsewhere})
    assert await server.page.evaluate(_ROWS) == [
        ["dusk", 3, "both", "75 %"],
        ["fog", 1, "both", "25 %"],
    ]
    assert await server.page.is_disabled("#fade")
    await server.page.select_option("#mix-rows > :nth-child(2) select", "B")
    await server.page.locator("#fade").fill("0.5")
    faded = (await sent(server, 2))[0]["prompts"]
    own = await server.page.evaluate(_ROWS)
    await server.page.evaluate(_SHOW, {"prompts": faded})
    assert await server.page.evaluate(_ROWS) == own
    await server.page.evaluate(_SHOW, {"prompt": "night"})
    assert await server.page.is_hidden("#mixer")
    assert await server.page.input_value("#prompt") == "night"


async def test_a_mixture_without_weight_is_not_sent(server: FakeServer) -> None:
    """and the page says so."""
    await opened(server)
    await server.page.evaluate(_SHOW, {"prompts": [{"text": w, "weight": 1} for w in "ab"]})
    for row in (1, 2):
        await server.page.locator(f"#mix-rows > :nth-child({row}) [type=range]").fill("0")
    await server.page.get_by_role("alert").get_by_text("No prompt has any weight").wait_for()
    assert all(
        any(prompt["weight"] for prompt in update["prompts"]) for update in await sent(server, 1)
    )
