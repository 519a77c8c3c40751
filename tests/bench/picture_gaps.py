"""How long a page of ours shows no new picture: by the times when its pictures are presented."""

import itertools

from playwright.async_api import Page

FLOW_MS = 1500  # pictures flow if so many milliseconds all had one every quarter of a second
_PART_MS = 250
BACK_S = 60.0

# Keeps the times of all pictures from the network that the output presents; runs before any script
# of the page.
_WATCH_PICTURES = """
window.presented = [];
document.addEventListener("DOMContentLoaded", () => {
  const output = document.querySelector("#output");
  const note = (now, { rtpTimestamp }) => {
    if (rtpTimestamp !== undefined) window.presented.push(now);  // not the page's own still
    output.requestVideoFrameCallback(note);
  };
  output.requestVideoFrameCallback(note);
});
"""


class PictureGaps:
    """The pictures of one page from now on.

    Args:
        page: a studio or a view; it is loaded anew by `watch`.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self._began_ms = 0.0

    async def watch(self) -> None:
        """Load the page again, and keep the times of its pictures from then on."""
        await self.page.add_init_script(_WATCH_PICTURES)
        await self.page.reload()

    async def begin(self) -> None:
        """Gaps count from the last picture on."""
        self._began_ms = await self.page.evaluate("performance.now()")
        await self.page.evaluate("window.presented = window.presented.slice(-1)")

    async def until_flowing(self) -> None:
        """Until pictures have come in every part of the last moments, all of them since `begin`."""
        await self.page.wait_for_function(
            """([since, flow, part]) => {
              const now = performance.now();
              if (now - since < 2 * flow) return false;
              const recent = window.presented.filter((at) => at > Math.max(since, now - flow));
              const parts = new Set(recent.map((at) => Math.floor((now - at) / part)));
              return parts.size >= Math.floor(flow / part);
            }""",
            arg=[self._began_ms, FLOW_MS, _PART_MS],
            timeout=BACK_S * 1000,
        )

    async def longest_ms(self) -> float:
        """The longest time without a new picture since `begin`."""
        times_ms: list[float] = await self.page.evaluate("window.presented")
        return round(max(b - a for a, b in itertools.pairwise(times_ms)), 1)
