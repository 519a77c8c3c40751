"""Real calls over loopback to a real engine process."""

from pathlib import Path

from tests.server.calls import Camera, dial, number_of
from tests.server.serving import serving


async def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    """what goes in comes out: the same pictures, each once, none before its turn."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_frames(40)
        numbers = [number_of(frame) for frame in call.frames]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 0.5 * (numbers[-1] - numbers[0])
