"""The engine, in its own process: its device, its weights, and a first chunk."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
import numpy as np
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420, Geometry
from slipstream_protocol.inspection import Inspection
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters

from slipstream_server.app import running_engine
from slipstream_server.config import ServerConfig
from slipstream_server.doctor.finding import Finding, fail, ok, warn
from slipstream_server.engine.child_environment import child_environment
from slipstream_server.engine.client import EngineClient
from slipstream_server.engine.engine_stream import ChunkBack
from slipstream_server.engine.supervisor import Supervisor
from slipstream_server.engine_status import EngineState
from slipstream_server.errors import SlipstreamError

_POLL_S = 0.05
_GIB = 1 << 30
_INSTALL = "pip install 'slipstream[engine]', or serve without a model: --pipeline echo"

AnswerT = TypeVar("AnswerT")


class EngineFailed(Exception):
    """The engine process has failed; the message is its last line of output."""


async def inspect_engine(config: ServerConfig) -> Inspection:
    """The engine's inspection of this machine for the settings.

    Raises:
        EngineFailed: as `ask_engine`.
    """
    options = ["--preset", config.preset]
    for name in ("size", "codec", "device", "devices", "plan", "weights", "checkpoint"):
        if value := getattr(config, name):
            options += [f"--{name}", str(value)]
    return await ask_engine(Inspection, "inspect", *options)


async def ask_engine(answer: type[AnswerT], *arguments: str) -> AnswerT:
    """Run a command of the engine; its process is killed if the wait is cancelled.

    Args:
        answer: what it prints, as JSON.
        arguments: the command and its options.

    Raises:
        EngineFailed: if it fails, or its output cannot be read.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_engine", *arguments),
        env=child_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if process.returncode:
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        raise EngineFailed(lines[-1].strip() if lines else f"exit code {process.returncode}")
    try:
        return msgspec.json.decode(out, type=answer)
    except msgspec.MsgspecError as error:
        raise EngineFailed(f"it answered {out[:80]!r} ({error})") from error


class EngineChecks:
    """Checks that share one inspection of the engine.

    Args:
        config: of the server that would start it.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._inspection: Inspection | EngineFailed | None = None

    async def check_device(self) -> Finding:
        """Whether there is a device for the model."""
        found = await self._inspect()
        if isinstance(found, EngineFailed):
            return fail(f"the engine cannot be asked: {found}", _INSTALL)
        if found.device_problem:
            return fail(found.device_problem, _advice(found))
        return judge_device(found, self._config, has_driver=shutil.which("nvidia-smi") is not None)

    async def check_ranks(self) -> Finding:
        """What joins the devices, where there are several."""
        found = await self._inspect()
        if isinstance(found, EngineFailed) or found.device_problem:
            return fail("not looked for: there are no such devices", "see the line above")
        return judge_ranks(found)

    async def check_weights(self) -> Finding:
        """Whether the files of the preset's weights are there."""
        found = await self._inspect()
        if isinstance(found, EngineFailed):
            return fail("not looked for: the engine cannot be asked", _INSTALL)
        if found.weights is None:
            return fail("not looked for: the settings cannot be", "see the line above")
        if found.weights_problem:
            reason, _, pull = found.weights_problem.partition(", run: ")
            other = "name another file" if self._config.checkpoint else "install the package anew"
            return fail(reason, pull or other)
        own = f"; {found.checkpoint}" if found.checkpoint else ""
        return ok(f"preset {self._config.preset}: all files are in {found.weights}{own}")

    async def _inspect(self) -> Inspection | EngineFailed:
        if self._inspection is None:
            try:
                self._inspection = await inspect_engine(self._config)
            except EngineFailed as error:
                self._inspection = error
        return self._inspection


def judge_device(found: Inspection, config: ServerConfig, *, has_driver: bool) -> Finding:
    """Whether the engine uses the best device of the machine."""
    gpus = ", ".join(f"{gpu.name} ({gpu.memory_bytes / _GIB:.0f} GiB)" for gpu in found.gpus)
    text = f"torch {found.torch} on {found.device}" + (f", GPUs: {gpus}" if gpus else "")
    if found.device == "cpu" and not config.device:
        if has_driver and found.cuda is None:
            return warn(
                f"{text}; there is an NVIDIA driver, this torch was built without CUDA",
                "install the torch build for your card (see the README), then ask again",
            )
        if has_driver:
            return warn(
                f"{text}; there is an NVIDIA driver, torch (CUDA {found.cuda}) sees no card",
                "update the driver, or give the container its GPU (--gpus all)",
            )
        if config.preset != "tiny":
            return warn(
                f"{text}: preset {config.preset} will be far from live on a CPU",
                "use --preset tiny here",
            )
    if found.gpu is not None and found.least_bytes is not None:
        has_bytes = found.gpus[found.gpu].memory_bytes
        if found.least_bytes > has_bytes:
            return fail(
                f"{text}; preset {config.preset} with {config.max_streams} streams takes at least "
                f"{found.least_bytes / _GIB:.1f} GiB of {found.device}, which has "
                f"{has_bytes / _GIB:.1f}",
                "lower --max-streams or take a smaller --preset or --size; slipstream-engine "
                "account says what fits",
            )
    if found.unfused:
        return warn(
            f"{text}; its kernels are not fused: {found.unfused}", "install what is missing"
        )
    return ok(text)


def judge_ranks(found: Inspection) -> Finding:
    """Whether several devices reach each other directly."""
    if not found.joined_by:
        return ok(f"{found.device} is one device, there is nothing to join")
    text = f"{found.device} are joined by {found.joined_by}"
    if found.join_problem is not None:
        return fail(
            f"{found.device} are to be joined by {found.joined_by}: {found.join_problem}",
            "name one device, or those that a driver's own tools show as connected; with "
            "NCCL_DEBUG=INFO set, slipstream-engine inspect prints what NCCL tries",
        )
    if found.megabyte_ms is not None:
        text += f", 1 MB takes {found.megabyte_ms:.2f} ms from one to the next"
    if not found.links:
        return ok(f"{text}; peer access is not looked for, as they are no GPUs")
    pairs = [f"{link.one} - {link.other}" for link in found.links if not link.is_direct]
    if not pairs:
        return ok(f"{text}; each reaches the others' memory directly")
    return warn(
        f"{text}; through the host's memory: {', '.join(pairs)}",
        "nvidia-smi topo -m shows which GPUs share a bridge or switch; name those, or take "
        "--plan steps, which sends the least",
    )


def _advice(found: Inspection) -> str:
    if found.device is None:
        return "correct --preset, --size, --codec or --device; slipstream --help lists them"
    return "update the driver, install the torch build for it, or use --device cpu"


class _FirstChunk:
    """A listener that waits for the first chunk."""

    def __init__(self) -> None:
        self.received: asyncio.Future[ChunkBack] = asyncio.get_running_loop().create_future()

    def on_chunk(self, back: ChunkBack) -> None:
        if not self.received.done():
            self.received.set_result(back)

    def on_dropped(self, chunk: int) -> None:
        self.on_lost("the engine gave the chunk up: it would have been later than --age-ms-target")

    def on_lost(self, reason: str) -> None:
        if not self.received.done():
            self.received.set_exception(EngineFailed(reason))

    def on_slot_free(self) -> None:
        """Only one chunk is sent."""

    def on_applied(self, applied: Applied) -> None:
        """No update is sent."""

    def on_update_refused(self, refused: UpdateRefused) -> None:
        """No update is sent."""


async def check_engine(config: ServerConfig) -> Finding:
    """Whether the engine starts and generates a chunk."""
    began_s = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        async with running_engine(config, pool) as supervisor:
            try:
                client = await _started(supervisor)
                started_s = time.monotonic() - began_s
                back, took_ms = await _one_chunk(client)
            except (EngineFailed, SlipstreamError) as error:
                return fail(str(error), "its log above says more; --pipeline echo needs no model")
            note = client.ready.note
    per_frame_ms = took_ms / len(back.frames_THW)
    return ok(
        f"starts in {started_s:.1f} s, makes its first chunk of {len(back.frames_THW)} in "
        f"{took_ms:.0f} ms ({per_frame_ms:.0f} ms a frame); {note}"
    )


async def _started(supervisor: Supervisor) -> EngineClient:
    """The client of the engine once it is ready. Raises EngineFailed if it ends before."""
    while True:
        status = supervisor.status
        if status.state is EngineState.READY:
            return supervisor.require()
        if status.state is EngineState.DOWN:
            raise EngineFailed(status.detail)
        await asyncio.sleep(_POLL_S)


async def _one_chunk(client: EngineClient) -> tuple[ChunkBack, float]:
    """Send one chunk to the engine; returns the generated one, and how long it took in ms."""
    listener = _FirstChunk()
    stream = await client.open(Parameters(), listener)
    try:
        captured_ns = now_ns()
        await stream.submit(_moving_ramp(client.ready.geometry), captured_ns=captured_ns)
        back = await listener.received
    finally:
        stream.close()
    return back, (now_ns() - captured_ns) / 1e6


def _moving_ramp(geometry: Geometry) -> list[I420]:
    """The first chunk of a moving grey ramp, frames `[H * 3 // 2, W]`."""
    rows, width = geometry.frame_shape
    ramp = np.arange(width, dtype=np.uint16)
    return [
        np.broadcast_to(((ramp + 8 * number) % 256).astype(np.uint8), (rows, width)).copy()
        for number in range(geometry.first_chunk_frames)
    ]
