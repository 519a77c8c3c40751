"""What a server tells of itself as one of several."""

from pathlib import Path

import msgspec
from slipstream_server.signaling.node_api import NodeReport

from tests.server.calls import Camera, dial
from tests.server.serving import Serving, serving


async def report(server: Serving) -> NodeReport:
    async with server.client.get("/api/v1/node") as response:
        return msgspec.json.decode(await response.read(), type=NodeReport)


async def test_places_are_counted_and_streams_told_with_their_parameters(tmp_path: Path) -> None:
    """for whoever begins them anew elsewhere; a viewer takes a place of its own kind."""
    async with serving(tmp_path, max_streams=3, max_viewers=2) as server:
        empty = await report(server)
        assert (empty.free_streams, empty.free_viewers, empty.streams) == (3, 2, ())
        parameters = {"seed": 7, "prompt": "dusk"}
        async with (
            dial(server.client, camera=Camera(fps=10), initialParameters=parameters) as call,
            dial(server.client, watch=True, view=call.stream) as viewer,
        ):
            await viewer.until_frames(1)
            told = await report(server)
            assert (told.free_streams, told.free_viewers, told.health.sessions) == (2, 1, 1)
            (one,) = told.streams
            assert (one.stream, one.state, one.returns_video) == (call.stream, "live", True)
            assert (one.viewers, one.parameters.seed) == (1, 7)
            assert one.age_s > 0


async def test_a_server_without_an_engine_has_no_place(tmp_path: Path) -> None:
    """however many it will have."""
    async with serving(tmp_path, ready=False) as server:
        assert (await report(server)).free_streams == 0
