"""Who asks too often is told when to ask again, whatever it asks for."""

import logging
from pathlib import Path

import pytest

from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.serving import serving
from tests.server.whips import SDP, posted, publishing


async def test_offers_too_often_are_refused_with_a_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """429 and Retry-After, for bad offers too; a call that is on goes on, the log says it once."""
    async with (
        serving(tmp_path, offers_per_minute=1) as server,
        dial(server.client, camera=Camera()) as call,
    ):
        await call.until_frames(1)
        statuses = []
        for _ in range(30):
            async with server.client.post(OFFER_PATH, data=b"{") as response:
                statuses.append(response.status)
                last = await response.json()
                waits = response.headers.get("Retry-After")
        assert statuses[0] == 400
        assert statuses[-1] == 429
        assert "too many offers come from 127.0.0.1; ask again in" in last["error"]
        assert int(waits or 0) >= 1
        async with server.client.get("/health") as response:
            assert response.status == 200
        await call.until_frames(len(call.frames) + 8)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([one for one in warnings if "is refused" in one.message]) == 1


async def test_waiting_for_a_stream_uses_up_nobodys_offers(tmp_path: Path) -> None:
    """a player that asks for it again and again is told 404 each time, from one address with a
    performer; the offers of those who watch are not the performer's either."""
    async with serving(tmp_path, offers_per_minute=1) as server:
        for _ in range(60):
            async with server.client.post("/whep/stage", data=b"v=0", headers=SDP) as response:
                assert response.status == 404
        async with publishing(server) as publisher:
            statuses = []
            for _ in range(30):
                async with server.client.post("/whep/stage", data=b"v=0", headers=SDP) as response:
                    statuses.append(response.status)
            assert (statuses[0], statuses[-1]) == (400, 429)
            await publisher.close()
        async with posted(server.client, "/whip/other", camera=Camera()) as another:
            assert another.status == 201


async def test_no_limit_is_a_setting(tmp_path: Path) -> None:
    async with serving(tmp_path, offers_per_minute=0) as server:
        for _ in range(300):
            async with server.client.post(OFFER_PATH, data=b"{") as response:
                assert response.status == 400
