"""`studio/metrics_panel.js`: what the server's figures become on the page."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import SECURE, FakeServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SERVER = Path(__file__).parents[3] / "server" / "slipstream_server"
# where causes of frames left out are counted: by name, or handed on
_COUNTED = re.compile(r'drops\["(\w+)"\] \+=')

_SHOW = """
async ([slo, latency]) => {
  const { MetricsPanel } = await import("/studio/metrics_panel.js");
  const panel = new MetricsPanel(document.getElementById("figures"));
  panel.showLatency(latency);
  panel.showSlo(slo);
}
"""
TARGETS = {"ttff_ms": 1000, "age_ms": 1000, "miss_ratio": 0.01, "rate_ratio": 0.9}


async def show(server: FakeServer, slo: dict[str, Any], latency: Any = None) -> None:
    await server.page.goto(SECURE)
    await server.page.evaluate(_SHOW, [slo, latency])


async def text(server: FakeServer, part: str) -> str:
    return await server.page.text_content(f"#figures [data-part={part}]") or ""


async def test_a_level_is_shown_with_its_target_and_whether_it_holds(server: FakeServer) -> None:
    """a level that is not known yet has a dash and no verdict."""
    await show(
        server,
        {
            "age_ms": {"p50": 400, "p95": 1234, "p99": 20_000},
            "age_covers": "sent",
            "miss_ratio": 0.004,
            "targets": TARGETS,
            "holds": {"ttff": None, "age": False, "miss": True},
        },
    )
    for level, shown in (
        ("age", ("1.23 s", "target 1.00 s camera to sent", "missed")),
        ("miss", ("0.4 %", "target 1.0 %", "holds")),
        ("ttff", ("\u2013", "target 1.00 s", "")),
    ):
        parts = [await text(server, f"{level}-{part}") for part in ("value", "target", "verdict")]
        assert tuple(parts) == shown
    assert await text(server, "glass-half") == "400 ms"


async def test_the_age_on_the_screen_is_judged_where_the_page_measures_it(
    server: FakeServer,
) -> None:
    """the verdict is about the figure shown, and says which it is: late on the link is late."""
    slo = {
        "age_ms": {"p50": 400, "p95": 500, "p99": 600},
        "age_covers": "glass",
        "targets": TARGETS,
        "holds": {"age": True},
    }
    latency = {"covers": "glass", "now_ms": 9, "p50_ms": 900, "p95_ms": 1500, "stages_ms": {}}
    await show(server, slo, latency)
    parts = [await text(server, f"age-{part}") for part in ("value", "target", "verdict")]
    assert parts == ["1.50 s", "target 1.00 s camera to screen", "missed"]


async def test_skipped_pictures_are_a_target_missed(server: FakeServer) -> None:
    """the rate is to be at least its target, and what the hour's errors have left is beside it."""
    for rate, left, shown in (
        (0.27, -3.0, ("27.0 %", "target 90.0 % · budget used up", "missed")),
        (0.95, 0.5, ("95.0 %", "target 90.0 % · 50 % of budget left", "holds")),
        (0.9, None, ("90.0 %", "target 90.0 %", "holds")),
    ):
        slo = {
            "rate_ratio": rate,
            "targets": TARGETS,
            "holds": {"rate": True},
            "budgets": {"rate": {"left_ratio": left}},
        }
        await show(server, slo)
        parts = [await text(server, f"rate-{part}") for part in ("value", "target", "verdict")]
        assert tuple(parts) == shown


async def test_the_stages_are_the_servers_until_the_page_has_measured(server: FakeServer) -> None:
    """the server's wait is the page's wait for a chunk; the page's own stages replace it."""
    slo = {"stages_ms": {"wait": 30, "denoise": 10}}
    await show(server, slo)
    assert await text(server, "stage-collect") == "30 ms"
    assert await text(server, "stage-total") == "40 ms"
    latency = {"covers": "glass", "now_ms": 8, "p50_ms": 8, "p95_ms": 9, "stages_ms": {"screen": 8}}
    await show(server, slo, latency)
    assert await text(server, "stage-total") == "8.0 ms"
    assert await text(server, "glass-covers") == "camera to screen"


async def test_only_causes_of_dropped_frames_are_listed(server: FakeServer) -> None:
    """a cause without a drop is left out; without any drop the page says none."""
    await show(server, {"drops": {"no_free_slot": 3, "too_old": 0}})
    assert await text(server, "drops") == "No free slot3"
    await show(server, {"drops": {"too_old": 0}})
    assert (await text(server, "drops"), await text(server, "drops-none")) == ("", "none")


async def test_every_cause_of_the_server_has_its_words(server: FakeServer) -> None:
    """none is shown by the name that the code has for it."""
    folders = ("receive", "frames")
    texts = [path.read_text() for one in folders for path in (SERVER / one).glob("*.py")]
    causes = {cause for text in texts for cause in _COUNTED.findall(text)}
    assert {"level", "resized", "unreadable", "overdue"} <= causes
    script = 'async () => [...(await import("/studio/strings.js")).FIGURES.drops.keys()]'
    assert causes <= set(await server.evaluate(script))
