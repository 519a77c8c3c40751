"""Every refused request is counted, by status and kind of route; callers cannot add series."""

import asyncio
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from slipstream_server.engine_status import EngineState
from slipstream_server.http.connection_table import ConnectionTable
from slipstream_server.observability.http_metrics import HttpMetrics

from tests.server.calls import OFFER_PATH
from tests.server.serving import Serving, poll, serving

TOKEN = "0123456789abcdef"
OWN = {"Authorization": f"Bearer {TOKEN}"}
SERIES = re.compile(
    r'^slipstream_http_refusals_total\{route="(\w+)",status="(\w+)"\}', re.MULTILINE
)


async def refused(server: Serving, method: str, path: str, **request: Any) -> int:
    async with server.client.request(method, path, **request) as response:
        return response.status


async def test_every_refusal_is_counted(tmp_path: Path) -> None:
    """whoever refuses it: the rate limit, the access control, the body's bounds, a handler, or
    nobody at all."""
    async with serving(tmp_path, token=TOKEN, offers_per_minute=2) as server:
        large, packed = {"data": b"x" * (300 << 10)}, OWN | {"Content-Encoding": "gzip"}
        foreign = OWN | {"Origin": "http://evil.example"}
        assert await refused(server, "GET", "/api/v1/streams") == 401
        assert await refused(server, "POST", OFFER_PATH, headers=foreign) == 403
        assert await refused(server, "GET", "/whatever/it/is") == 404
        assert await refused(server, "DELETE", "/whip/x/y", headers=OWN) == 404
        assert await refused(server, "POST", OFFER_PATH, headers=OWN, **large) == 413
        assert await refused(server, "POST", OFFER_PATH, headers=packed, data=b"x") == 415
        at_once = [refused(server, "POST", "/whip/x", headers=OWN) for _ in range(30)]
        assert 429 in await asyncio.gather(*at_once)
        server.supervisor.stop()
        await poll(lambda: server.supervisor.status.state is not EngineState.READY)
        assert await refused(server, "GET", "/ready") == 503
        async with server.client.get("/metrics", headers=OWN) as response:
            text = await response.text()
    assert set(SERIES.findall(text)) >= {
        *(("api", "401"), ("call", "403"), ("other", "404"), ("whip", "404")),
        *(("call", "413"), ("call", "415"), ("whip", "429"), ("probe", "503")),
    }


@given(st.lists(st.tuples(st.integers(400, 599), st.text().map("/".__add__)), max_size=50))
def test_callers_add_no_series(requests: list[tuple[int, str]]) -> None:
    """whatever paths they ask for: labels are of a fixed set."""
    registry = CollectorRegistry()
    metrics = HttpMetrics(registry)
    for status, path in requests:
        metrics.refused(status, path)
    series = set(SERIES.findall(generate_latest(registry).decode()))
    routes = {"call", "api", "whip", "whep", "metrics", "probe", "page", "other"}
    assert {route for route, _ in series} <= routes
    assert {status for _, status in series} <= {
        "other",
        *(str(status) for status in range(400, 504)),
    }


def test_connections_and_places_are_gauges() -> None:
    """open ones by what they are at; those that found no place, and those that gave theirs up, are
    counted once however often the metrics are read."""
    registry = CollectorRegistry()
    metrics, table = HttpMetrics(registry), ConnectionTable(8)
    metrics.connections = table.totals
    for _ in range(10):
        table.admit("192.0.2.1", 0)
    for _ in range(2):
        metrics.update()
    text = generate_latest(registry).decode()
    assert 'slipstream_http_connections{phase="head"} 8.0' in text
    assert 'slipstream_http_connections{phase="idle"} 0.0' in text
    assert "slipstream_http_places 8.0" in text
    assert 'slipstream_http_connections_closed_total{which="refused"} 2.0' in text
    assert 'slipstream_http_connections_closed_total{which="evicted"} 0.0' in text
