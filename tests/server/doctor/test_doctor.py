"""`slipstream doctor`, each failure provoked for real."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yarl
from slipstream_protocol.inspection import Gpu, Inspection, PeerLink, SandboxReport
from slipstream_server.config import ServerConfig
from slipstream_server.doctor import engine, machine, media, network
from slipstream_server.doctor.finding import Check, Finding, Verdict, fail, ok, warn
from slipstream_server.doctor.runner import exit_code, run_checks, summary
from slipstream_server.doctor.sandbox import judge_sandbox
from slipstream_server.http.certificates import self_signed

from tests.server.command import slipstream
from tests.server.http.test_certificates import pair

DEADLINE_S = 120
TOKEN = "0123456789abcdef"


async def doctor(*flags: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and findings by check."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "doctor", "--json", *flags),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode is not None
    answer = json.loads(out)
    assert answer["ok"] == (process.returncode == 0)
    return process.returncode, {one["check"]: one for one in answer["findings"]}


@asynccontextmanager
async def taken_port() -> AsyncIterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        yield taken.getsockname()[1]


async def test_a_well_machine_is_well(tmp_path: Path) -> None:
    """every check speaks, the engine makes a chunk, and nothing is left to do."""
    code, found = await doctor("--port", "0", HOME=str(tmp_path))
    bad = {name: one for name, one in found.items() if one["verdict"] == "fail"}
    assert code == 0, bad
    assert set(found) == {
        *("python", "packages", "clock", "memory", "shared memory", "open files"),
        *("port", "page", "udp", "codecs", "nvenc", "call", "sandbox", "device", "weights"),
        "engine",
    }
    assert "makes its first chunk of 5" in found["engine"]["found"]


async def test_what_is_wrong_is_found_all_at_once(tmp_path: Path) -> None:
    """a taken port, absent weights, files that are no certificate: one line each, exit code 1."""
    chain, _ = pair(tmp_path)
    async with taken_port() as port:
        code, found = await doctor(
            *("--port", str(port), "--preset", "wan-1.3b", "--weights", str(tmp_path)),
            *("--tls-cert", str(chain), "--tls-key", str(chain)),
        )
    assert code == 1
    assert f"port {port} on 127.0.0.1 cannot be opened" in found["port"]["found"]
    assert "choose another with --port" in found["port"]["advice"]
    assert "needs wan-1.3b.safetensors" in found["weights"]["found"]
    assert found["weights"]["advice"].startswith("slipstream-engine pull wan-1.3b --weights")
    assert "holds no private key in PEM" in found["tls"]["found"]
    assert "needs wan-1.3b.safetensors" in found["engine"]["found"]
    assert {found[name]["verdict"] for name in ("udp", "codecs", "call")} == {"ok"}


async def test_a_server_that_runs_already_is_recognised() -> None:
    async with slipstream() as (_, address):
        port = yarl.URL(address).port
        finding = await network.check_port(ServerConfig(port=port or 0))
    assert finding.verdict is Verdict.WARN
    assert finding.found.startswith("Slipstream ")


async def test_a_broken_package_is_named(tmp_path: Path) -> None:
    """the doctor itself still runs, and goes no further."""
    (tmp_path / "aiortc.py").write_text("raise ImportError('libvpx.so.9 is missing')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    code, found = await doctor(PYTHONPATH=path)
    assert code == 1
    assert set(found) == {"python", "packages"}
    assert "aiortc (ImportError: libvpx.so.9 is missing)" in found["packages"]["found"]
    assert found["packages"]["advice"] == "pip install --force-reinstall 'aiortc'"


async def test_settings_that_cannot_be_are_a_finding() -> None:
    code, found = await doctor("--host", "0.0.0.0")
    assert code == 1
    assert "set a token" in found["settings"]["found"]


async def test_an_engine_that_cannot_start_is_quoted(tmp_path: Path) -> None:
    code, found = await doctor("--preset", "none-such", "--port", "0")
    assert code == 1
    for name in ("device", "engine"):
        assert "preset is 'none-such', it must be one of" in found[name]["found"]
    assert found["weights"]["verdict"] == "fail"


async def test_lines_for_people(tmp_path: Path) -> None:
    """a line for each check, the advice under it, and one that sums up."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "doctor", "--no-engine", "--port", "0"),
        *("--host", "0.0.0.0", "--token", TOKEN),
        stdout=subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    lines = out.decode().splitlines()
    page = next(number for number, line in enumerate(lines) if line.startswith("warn  page"))
    assert "no camera to a page without https" in lines[page]
    assert lines[page + 1].strip().startswith("-> serve https: --tls self-signed")
    assert TOKEN not in out.decode()
    assert process.returncode == 0, lines
    assert lines[-1].startswith("it works; ")


# ---- the runner


async def test_a_check_that_is_late_or_breaks_has_failed() -> None:
    """and those after it are still asked."""

    async def hangs() -> Finding:
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def breaks() -> Finding:
        raise RuntimeError("no good")

    async def works() -> Finding:
        return ok("good")

    checks = [
        Check(name="late", run=hangs, deadline_s=0.01, late="wait longer"),
        Check(name="broken", run=breaks, deadline_s=1),
        Check(name="good", run=works, deadline_s=1),
    ]
    late, broken, good = [one async for one in run_checks(checks)]
    assert (late.finding.found, late.finding.advice) == (
        "no answer within 0.01 s",
        "wait longer",
    )
    assert "RuntimeError: no good" in broken.finding.found
    assert good.finding == ok("good")
    assert exit_code([good]) == 0
    assert exit_code([good, broken]) == 1
    assert summary([good]) == "all is well (1 checks)"
    assert summary([good, late]).startswith("1 of 2 checks failed")


def test_a_finding_that_is_not_ok_must_give_advice() -> None:
    with pytest.raises(ValueError, match="it must give advice"):
        Finding(verdict=Verdict.WARN, found="bad")


# ---- single checks


async def test_little_memory_is_told(tmp_path: Path) -> None:
    """the machine's, and the container's where that is less."""
    (tmp_path / "meminfo").write_text("MemTotal: 9999999 kB\nMemAvailable: 307200 kB\n")
    finding = await machine.check_memory(ServerConfig(), proc=tmp_path)
    assert finding.verdict is Verdict.WARN
    assert "300 MiB free, preset tiny wants about 1024" in finding.found
    (tmp_path / "memory.max").write_text("104857600\n")
    (tmp_path / "memory.current").write_text("52428800\n")
    assert machine.free_mib(tmp_path, tmp_path) == 50
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_mib(tmp_path, tmp_path) == 300
    assert machine.free_mib(tmp_path / "none", tmp_path) is None


def test_too_few_open_files_are_told() -> None:
    assert machine.judge_open_files(1024, 4096, calls=10).verdict is Verdict.OK
    assert machine.judge_open_files(-1, -1, calls=10).verdict is Verdict.OK
    assert machine.judge_open_files(64, 4096, calls=10) == fail(
        "at most 64, 10 calls want 224", "ulimit -n 224"
    )
    assert "as root" in machine.judge_open_files(64, 128, calls=10).advice


async def test_a_slow_clock_is_told(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("hpet\n")
    assert (await machine.check_clock(clocksource=source)).verdict is Verdict.WARN
    source.write_text("tsc\n")
    assert (await machine.check_clock(clocksource=source)).verdict is Verdict.OK


async def test_a_certificate_that_holds_for_another_name_is_told(tmp_path: Path) -> None:
    file = tmp_path / "pair.pem"
    self_signed(file, ("192.0.2.50",), now=datetime.now(UTC))
    config = ServerConfig(host="127.0.0.1", tls_cert=str(file), tls_key=str(file))
    finding = await network.check_tls(config)
    assert finding.verdict is Verdict.WARN
    assert "it does not name 127.0.0.1" in finding.advice


async def test_a_foreign_address_cannot_be_listened_on() -> None:
    finding = await network.check_port(ServerConfig(host="192.0.2.77", token=TOKEN))
    assert finding.verdict is Verdict.FAIL


async def test_nvenc_is_tried_not_looked_up() -> None:
    config = ServerConfig(video_encoder="auto")
    assert "it is used" in (await media.check_nvenc(config, works=lambda codec: True)).found
    assert "no NVENC" in (await media.check_nvenc(config, works=lambda codec: False)).found


@pytest.mark.parametrize(
    ("cuda", "has_driver", "preset", "device", "verdict", "found"),
    [
        (None, False, "tiny", "", Verdict.OK, "torch 2.9 on cpu"),
        (None, True, "tiny", "", Verdict.WARN, "this torch was built without CUDA"),
        ("12.8", True, "tiny", "", Verdict.WARN, "torch (CUDA 12.8) sees no card"),
        (None, True, "tiny", "cpu", Verdict.OK, "torch 2.9 on cpu"),
        (None, False, "wan-1.3b", "", Verdict.WARN, "will be far from live on a CPU"),
    ],
)
def test_a_gpu_that_is_not_used_is_told(
    cuda: str | None, has_driver: bool, preset: str, device: str, verdict: Verdict, found: str
) -> None:
    inspection = Inspection(
        torch="2.9",
        cuda=cuda,
        gpus=(),
        device="cpu",
        device_problem=None,
        weights="",
        weights_problem=None,
    )
    config = ServerConfig(preset=preset, device=device)
    finding = engine.judge_device(inspection, config, has_driver=has_driver)
    assert finding.verdict is verdict
    assert found in finding.found


@pytest.mark.parametrize(
    ("gib", "unfused", "verdict", "found"),
    [
        (24, "", Verdict.FAIL, "takes at least 30.0 GiB of cuda:1, which has 24.0"),
        (80, "", Verdict.OK, "torch 2.9 on cuda:1"),
        (80, "triton is not installed", Verdict.WARN, "not fused: triton is not installed"),
    ],
)
def test_a_gpu_with_too_little_memory_fails(
    gib: int, unfused: str, verdict: Verdict, found: str
) -> None:
    """The GPU that is chosen counts, and no other; kernels that could be faster are a warning."""
    gpus = tuple(Gpu(name="RTX", memory_bytes=n << 30, capability="8.9") for n in (141, gib))
    inspection = Inspection(
        torch="2.9",
        cuda="12.8",
        gpus=gpus,
        device="cuda:1",
        device_problem=None,
        weights="",
        weights_problem=None,
        gpu=1,
        least_bytes=30 << 30,
        unfused=unfused,
    )
    finding = engine.judge_device(inspection, ServerConfig(preset="wan-14b"), has_driver=True)
    assert finding.verdict is verdict
    assert found in finding.found


def test_gpus_are_named() -> None:
    gpu = Gpu(name="RTX", memory_bytes=24 << 30, capability="8.9")
    inspection = Inspection(
        torch="2.9",
        cuda="12.8",
        gpus=(gpu,),
        device="cuda",
        device_problem=None,
        weights="",
        weights_problem=None,
    )
    finding = engine.judge_device(inspection, ServerConfig(), has_driver=True)
    assert finding == ok("torch 2.9 on cuda, GPUs: RTX (24 GiB)")
    assert warn("a", "b").verdict is Verdict.WARN


def inspected_ranks(devices: str, joined_by: str, *links: PeerLink) -> Inspection:
    return Inspection(
        torch="2.9",
        cuda="12.8",
        gpus=(),
        device=devices,
        device_problem=None,
        weights="",
        weights_problem=None,
        joined_by=joined_by,
        links=links,
    )


def test_what_joins_several_devices_is_said() -> None:
    """and of GPUs, whether each pair has peer access: a pair without is warned of, by name."""
    direct = PeerLink(one="cuda:0", other="cuda:1", is_direct=True)
    around = PeerLink(one="cuda:0", other="cuda:2", is_direct=False)
    cpus = engine.judge_ranks(inspected_ranks("cpu, cpu", "Gloo of torch 2.9"))
    assert cpus == ok(
        "cpu, cpu are joined by Gloo of torch 2.9; peer access is not looked for, as they are no "
        "GPUs"
    )
    near = engine.judge_ranks(inspected_ranks("cuda:0, cuda:1", "NCCL 2.27.3", direct))
    assert near == ok(
        "cuda:0, cuda:1 are joined by NCCL 2.27.3; each reaches the others' memory directly"
    )
    far = engine.judge_ranks(inspected_ranks("cuda:0, cuda:1", "NCCL 2.27.3", direct, around))
    assert far.verdict is Verdict.WARN
    assert far.found.endswith("through the host's memory: cuda:0 - cuda:2")
    assert engine.judge_ranks(inspected_ranks("cuda:0", "")).verdict is Verdict.OK
    timed = msgspec.structs.replace(inspected_ranks("cpu, cpu", "Gloo"), megabyte_ms=0.714)
    assert engine.judge_ranks(timed).found.startswith(
        "cpu, cpu are joined by Gloo, 1 MB takes 0.71 ms from one to the next; "
    )


def test_devices_that_cannot_be_joined_fail() -> None:
    """with what was tried, and what to do."""
    broken = msgspec.structs.replace(
        inspected_ranks("cuda:0, cuda:1", "NCCL 2.27.3"),
        join_problem="cuda:0 and cuda:1 have not met in 20 s",
    )
    finding = engine.judge_ranks(broken)
    assert finding.verdict is Verdict.FAIL
    assert finding.found == (
        "cuda:0, cuda:1 are to be joined by NCCL 2.27.3: cuda:0 and cuda:1 have not met in 20 s"
    )


def test_an_engine_that_reaches_the_network_is_warned_of() -> None:
    """with what it can do, what the system refuses, and what would change it; where one of several
    measures is missing and nothing is reached, all is well."""
    missing = {"an empty network namespace": "Operation not permitted"}
    holds = judge_sandbox(SandboxReport(held=("seccomp",), missing=missing, network=()))
    assert holds.verdict is Verdict.OK
    assert holds.found == (
        "an engine has no network here; it is held by seccomp; not possible here: an empty network "
        "namespace (Operation not permitted)"
    )
    open_one = judge_sandbox(
        SandboxReport(held=(), missing=missing, network=("connect to a port of this machine",))
    )
    assert open_one.verdict is Verdict.WARN
    assert open_one.found.startswith(
        "an engine can connect to a port of this machine; not possible"
    )
