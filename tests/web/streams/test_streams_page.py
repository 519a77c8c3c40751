"""`streams/main.js`: what is live, its pictures, its links, its controls."""

from typing import Any

import numpy as np
import pytest
from playwright.async_api import Route
from slipstream_server.send.still_image import encode_jpeg

from tests.web.accessibility import findings
from tests.web.conftest import SECURE, FakeServer
from tests.web.streams.served import FakeStreams, entry

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PAGE = f"{SECURE}/streams.html"
ROLES = ("view", "control", "publish")


def tokens(stream: str) -> dict[str, Any]:
    return {role: {"token": f"slip1.{role}.{stream}", "expiresS": 2_000_000_000} for role in ROLES}


async def with_pictures(streams: FakeStreams) -> None:
    """Every stream has a picture of 32 by 18."""
    jpeg = encode_jpeg(np.full((27, 32), 128, np.uint8), longest_px=320)

    async def picture(route: Route) -> None:
        await route.fulfill(body=jpeg, content_type="image/jpeg")

    await streams.page.route("**/api/v1/streams/*/thumbnail", picture)


async def test_it_says_plainly_that_there_is_none(server: FakeServer) -> None:
    """and how there would be one; streams come, and go, by themselves."""
    streams = FakeStreams(server)
    page = server.page
    await page.goto(PAGE)
    await page.get_by_role("status").filter(has_text="Nothing is live").wait_for()
    assert f"{SECURE}/whip/NAME" in await page.inner_text("#none")
    streams.show(entry("obs", viewers=1, since_s=75))
    await streams.look_again()
    await page.get_by_role("heading", name="obs").wait_for()
    assert await page.is_hidden("#none")
    assert await page.inner_text("#status") == "1 stream, 1 viewer"
    assert await page.inner_text(".facts") == "live · for 1 min · 1 viewer"
    streams.show()
    await streams.look_again()
    await page.wait_for_selector("#none:not([hidden])")
    assert await page.locator(".card").count() == 0


async def test_the_newest_stands_first_with_its_picture(server: FakeServer) -> None:
    """no picture is asked for where there is none yet; it is a blob, so no address has a token."""
    streams = FakeStreams(server)
    await with_pictures(streams)
    streams.show(entry("old", state="held"), entry("new"), entry("newest", state="warming"))
    page = server.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{PAGE}#access=mine")
    picture = page.get_by_role("img", name="Newest picture of new", exact=True)
    await picture.wait_for()
    await page.wait_for_function("document.images[1].naturalWidth === 32")
    assert await page.get_by_role("heading", level=2).all_inner_texts() == ["newest", "new", "old"]
    assert (await picture.get_attribute("src") or "").startswith("blob:")
    pictures = {url.split("/")[-2] for url in asked if url.endswith("/thumbnail")}
    assert pictures == {"old", "new"}
    assert not [url for url in asked if "mine" in url.partition("#")[0]]


async def test_a_link_for_each_role(server: FakeServer) -> None:
    """with its own token; what would let others do more than watch is not readable on a screen."""
    streams = FakeStreams(server)
    streams.show(entry("a b"), entry("page", published=False))
    for name in ("a%20b", "page"):
        server.respond(f"/api/v1/streams/{name}/tokens", 200, tokens(name))
    page = server.page
    await page.goto(f"{PAGE}#access=slip1p.of-this-page")
    links: dict[str, list[list[str]]] = {}
    for name in ("a b", "page"):
        card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))
        await card.get_by_text("Share", exact=True).click()
        await card.get_by_role("button", name="Copy the link").first.wait_for()
        links[name] = await card.locator("input").evaluate_all(
            "all => all.map(({ value, type }) => [value, type])"
        )
    assert links["a b"] == [
        [f"{SECURE}/view/a%20b?token=slip1.view.a%2520b", "text"],
        [f"{SECURE}/dock.html?stream=a+b&token=slip1.control.a%2520b", "password"],
        [f"{SECURE}/whip/a%20b?token=slip1.publish.a%2520b", "password"],
    ]
    assert [address.partition("?")[0] for address, _ in links["page"]] == [
        f"{SECURE}/view/page",
        f"{SECURE}/dock.html",
    ]
    assert "of-this-page" not in await page.content()


async def test_who_may_hand_out_nothing_is_told_so(server: FakeServer) -> None:
    streams = FakeStreams(server)
    streams.show(entry("obs"))
    server.respond("/api/v1/streams/obs/tokens", 403, {"error": "this needs role publish"})
    await server.page.goto(PAGE)
    await server.page.get_by_text("Share", exact=True).click()
    alert = server.page.get_by_role("alert").filter(has_text="This needs role publish.")
    await alert.wait_for()


async def test_a_stream_is_steered_in_the_list(server: FakeServer) -> None:
    streams = FakeStreams(server)
    await streams.answer()
    streams.show(entry("obs"), entry("other"))
    page = server.page
    await page.goto(PAGE)
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="obs"))
    await card.get_by_text("Steer", exact=True).click()
    await card.get_by_role("button", name="neon").click()
    await card.get_by_text("In force", exact=True).wait_for()
    assert streams.updates == [("obs", {"prompt": "neon"})]


async def test_a_server_that_is_away_is_told(server: FakeServer) -> None:
    """what stood there before stays, and is said to be out of date."""
    streams = FakeStreams(server)
    streams.show(entry("obs"))
    await server.page.goto(PAGE)
    await server.page.get_by_role("heading", name="obs").wait_for()

    async def refuse(route: Route) -> None:
        await route.abort()

    await server.page.route("**/api/v1/streams", refuse)
    await streams.look_again()
    alert = server.page.get_by_role("alert").filter(has_text="out of date")
    await alert.wait_for()
    assert await alert.inner_text() == "This list is out of date. The server does not answer."
    await server.page.unroute("**/api/v1/streams", refuse)
    await streams.look_again()
    await alert.wait_for(state="hidden")


async def test_a_hidden_page_asks_for_nothing(server: FakeServer) -> None:
    """and goes on once it is seen."""
    counts = await server.evaluate(
        """async () => {
          const { refreshWhileVisible } = await import("/streams/refreshing.js");
          let isHidden = true;
          Object.defineProperty(document, "hidden", { get: () => isHidden });
          let count = 0;
          const counts = [];
          await new Promise((done) => {
            refreshWhileVisible(async () => {
              count += 1;
              if (count === 3) done();
            }, 1);
            counts.push(count);
            isHidden = false;
            document.dispatchEvent(new Event("visibilitychange"));
          });
          return [...counts, count];
        }"""
    )
    assert counts == [0, 3]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "for 0 s"), (59.9, "for 59 s"), (60, "for 1 min"), (7_325, "for 2 h 2 min")],
)
async def test_how_long_it_is_live(server: FakeServer, seconds: float, text: str) -> None:
    since = "async (one) => (await import('/streams/strings.js')).STREAMS.since(one)"
    assert await server.evaluate(since, seconds) == text


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_nobody_is_kept_out(server: FakeServer, scheme: str, width: int) -> None:
    """of the empty list, nor of one whose links and controls are open."""
    streams = FakeStreams(server)
    await streams.answer()
    await with_pictures(streams)
    server.respond("/api/v1/streams/obs/tokens", 200, tokens("obs"))
    page = server.page
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(PAGE)
    await page.wait_for_selector("#none:not([hidden])")
    found = {"empty": await findings(page)}
    streams.show(entry("obs"), entry("other", state="held"))
    await streams.look_again()
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="obs"))
    await card.get_by_text("Steer", exact=True).click()
    await card.get_by_text("Share", exact=True).click()
    await card.get_by_role("button", name="neon").wait_for()
    await card.get_by_role("button", name="Copy the link").first.wait_for()
    found["open"] = await findings(page)
    assert found == {"empty": [], "open": []}
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await page.evaluate(overflow) <= 0
