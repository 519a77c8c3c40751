"""`slipstream --checkpoint FILE`: a call to a server whose transformer is a file of one's own."""

from pathlib import Path

import aiohttp
import torch
from safetensors.torch import load_file
from slipstream_engine.weights.embedded import DIT_FILE, WEIGHTS

from tests.e2e.server import running_server
from tests.server.calls import Camera, dial

SIZE = ("--size", "64x48")


async def test_a_call_is_served_with_it(tmp_path: Path) -> None:
    """as a training script saves it; the log says which form was found, and pictures come."""
    own, log = tmp_path / "own.ckpt", tmp_path / "server.log"
    tensors = {f"model.{name}": tensor for name, tensor in load_file(WEIGHTS / DIT_FILE).items()}
    torch.save({"step": 7, "generator_ema": tensors}, own)
    more = (*SIZE, "--checkpoint", str(own))
    async with (
        running_server(pipeline="diffusion", log=log, more=more) as server,
        aiohttp.ClientSession(server.url) as http,
        dial(http, camera=Camera()) as call,
    ):
        assert call.status == 200, call.error
        live = await call.until_event("state", state="live")
        assert (live["width_px"], live["height_px"]) == (64, 48)
        await call.until_frames(8)
    assert f"{own}: torch.save, under generator_ema, prefix model., float16" in log.read_text()
