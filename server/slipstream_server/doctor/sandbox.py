"""What keeps the engine from the network: tried by a process that confines itself as it does."""

import asyncio
import contextlib

from slipstream_protocol.inspection import SandboxReport

from slipstream_server.doctor.engine import EngineFailed, ask_engine
from slipstream_server.doctor.finding import Finding, fail, ok, warn


async def check_sandbox() -> Finding:
    """Whether an engine can reach the network of this machine."""
    server = await asyncio.start_server(_close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        try:
            report = await ask_engine(SandboxReport, "sandbox", "--connect", str(port))
        except EngineFailed as error:
            return fail(f"the engine cannot be asked: {error}", "install the package anew")
    return judge_sandbox(report)


def judge_sandbox(report: SandboxReport) -> Finding:
    """Whether an engine with this report is without a network."""
    missing = ", ".join(f"{name} ({why})" for name, why in report.missing.items())
    if report.network:
        return warn(
            f"an engine can {', '.join(report.network)}; not possible here: {missing or 'nothing'}",
            "a Linux kernel with user namespaces or seccomp, and a container that allows either, "
            "keep it from the network",
        )
    text = f"an engine has no network here; it is held by {', '.join(report.held)}"
    return ok(f"{text}; not possible here: {missing}" if missing else text)


async def _close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
