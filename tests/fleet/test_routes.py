"""Which node each of a server's routes goes to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_fleet.routes import (
    Route,
    ToAnyNode,
    ToGate,
    ToOffer,
    ToPublish,
    ToRecordings,
    ToSession,
    ToStream,
    route_of,
)
from slipstream_server.http.roles import ROUTES

CASES: list[tuple[str, str, Route]] = [
    ("POST", "/api/v1/webrtc/offer", ToOffer()),
    ("OPTIONS", "/api/v1/webrtc/offer", ToAnyNode()),
    ("PATCH", "/api/v1/webrtc/offer/n.id.proof", ToSession("n.id.proof")),
    ("DELETE", "/api/v1/webrtc/offer/n.id.proof", ToSession("n.id.proof")),
    ("POST", "/whip", ToPublish("")),
    ("POST", "/whip/", ToPublish("")),
    ("POST", "/whip/stage", ToPublish("stage")),
    ("POST", "/whep/some%20name", ToStream("some name")),
    ("POST", "/whep/", ToStream("")),
    ("PATCH", "/whip/stage/n.id.proof", ToSession("n.id.proof")),
    ("DELETE", "/whep/stage/n.id.proof", ToSession("n.id.proof")),
    ("OPTIONS", "/whip/stage", ToAnyNode()),
    ("PATCH", "/api/v1/streams/stage/parameters", ToStream("stage")),
    ("GET", "/api/v1/streams/stage/trace", ToStream("stage")),
    ("GET", "/api/v1/streams/stage/recordings", ToRecordings("")),
    ("HEAD", "/api/v1/streams/stage/recordings/1.mp4", ToRecordings("1.mp4")),
    ("POST", "/api/v1/streams/stage/recording", ToStream("stage")),
    ("GET", "/api/v1/streams/*/tokens", ToAnyNode()),
    ("GET", "/api/v1/streams/%2A/tokens", ToAnyNode()),
    ("GET", "/api/v1/streams", ToGate("/api/v1/streams")),
    ("GET", "/health", ToGate("/health")),
    ("GET", "/metrics", ToGate("/metrics")),
    ("GET", "/api/v1/fleet", ToGate("/api/v1/fleet")),
    ("POST", "/api/v1/fleet/nodes/a/drain", ToGate("/api/v1/fleet/nodes/a/drain")),
    ("GET", "/", ToAnyNode()),
    ("GET", "/view/stage", ToAnyNode()),
    ("GET", "/studio/main.js", ToAnyNode()),
    ("GET", "/api/v1/webrtc/ice-servers", ToAnyNode()),
]


@pytest.mark.parametrize(("method", "path", "route"), CASES)
def test_each_route(method: str, path: str, route: Route) -> None:
    """goes where its session or its stream is."""
    assert route_of(method, path) == route


def test_every_route_that_names_a_session_or_a_stream_follows_it() -> None:
    """those that the server has now, and those that it gets."""
    for method, template in ROUTES:
        if method in ("*", "OPTIONS") or template.startswith("/view"):
            continue
        found = route_of(method, template.replace("{id}", "n.id.p").replace("{stream}", "stage"))
        if "{id}" in template:
            assert found == ToSession("n.id.p"), template
        elif "/recordings" in template:
            assert isinstance(found, ToRecordings), template
        elif "{stream}" in template:
            assert found in (ToStream("stage"), ToPublish("stage")), template


@given(method=st.sampled_from(["GET", "POST", "PATCH", "DELETE", "OPTIONS"]), path=st.text())
def test_any_path_has_a_route(method: str, path: str) -> None:
    """also one that no server has: a node says so."""
    assert route_of(method, "/" + path) is not None
