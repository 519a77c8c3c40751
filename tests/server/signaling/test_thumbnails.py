"""The newest picture of a stream, by HTTP."""

from pathlib import Path

import av
from slipstream_server.http.roles import Role

from tests.server.calls import number_of
from tests.server.serving import serving
from tests.server.signing_in import signed_for
from tests.server.whips import assert_error, error_of, publishing

TOKEN = "a-token-of-enough-length"
STILL = "/api/v1/streams/stage/still"
ADDRESS = "/api/v1/streams/stage/thumbnail"


async def test_the_newest_picture_is_a_small_jpeg(tmp_path: Path) -> None:
    """or, as a still, a PNG; for whoever may view that stream, and not kept by browsers; nobody
    need watch the stream."""
    async with (
        serving(tmp_path, token=TOKEN) as server,
        publishing(server, headers=signed_for(TOKEN, Role.PUBLISH, "stage")),
    ):
        viewer = signed_for(TOKEN, Role.VIEW, "stage")
        async with server.client.get(ADDRESS, headers=viewer) as response:
            assert response.status == 200
            assert response.content_type == "image/jpeg"
            assert response.headers["Cache-Control"] == "no-store"
            jpeg = await response.read()
        (picture,) = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))
        assert max(picture.width, picture.height) <= 320
        assert number_of(picture) is not None
        async with server.client.get(STILL, headers=viewer) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            assert response.headers["Cache-Control"] == "no-store"
            png = await response.read()
        (still,) = av.CodecContext.create("png", "r").decode(av.Packet(png))
        assert number_of(still) is not None
        async with server.client.get(ADDRESS) as response:
            assert response.status == 401
        other = signed_for(TOKEN, Role.VIEW, "other")
        async with server.client.get(ADDRESS, headers=other) as response:
            assert response.status == 403


async def test_an_unknown_stream_has_none(tmp_path: Path) -> None:
    async with serving(tmp_path, ready=False) as server:
        assert_error(await error_of(server, "GET", ADDRESS), 404, "stream 'stage' is unknown")
