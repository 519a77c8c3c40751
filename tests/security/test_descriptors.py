"""A process whose descriptors are used up: calls are refused in words, and nothing is lost."""

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.calls import OFFER_PATH, Camera, dial
from tests.server.serving import poll, serving

CHROMIUM = (Path(__file__).parents[1] / "server/offers/chromium.sdp").read_text()

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="needs /proc to count descriptors"
)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # one of them lists the folder


@contextlib.contextmanager
def only(spare: int) -> Iterator[None]:
    """No more than so many descriptors can be opened in the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    try:
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("media_ports", ["", "50600-50700"])
@pytest.mark.parametrize("spare", [0, 1, 2])
async def test_a_call_without_descriptors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int, media_ports: str
) -> None:
    """wherever they run out: 503 with the reason and when to try again, not an answer that nobody
    can connect to; nothing stays open, and the next call is served."""
    async with serving(tmp_path, media_ports=media_ports) as server:
        async with server.client.get("/health") as response:  # the connection is kept
            assert response.status == 200
        before = descriptors()
        with monkeypatch.context() as patched, only(spare):
            if spare:  # looking for addresses takes a socket too; then there are three
                found = ["127.0.0.2", "127.0.0.3"]
                patched.setattr("aioice.ice.get_host_addresses", lambda **_: found)
            async with server.client.post(
                OFFER_PATH, json={"sdp": CHROMIUM, "type": "offer"}
            ) as response:
                answer = await response.json()
        assert response.status == 503, answer
        assert int(response.headers["Retry-After"]) > 0
        assert (
            "cannot open what a call needs (Too many open files, this process may"
            in answer["error"]
        )
        await poll(lambda: descriptors() <= before)
        async with dial(server.client, camera=Camera()) as call:
            await call.until_frames(1)
