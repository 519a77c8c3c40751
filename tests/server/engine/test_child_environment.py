"""engine/child_environment.py: what child processes get of the server's environment."""

import asyncio
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from slipstream_server.app import running_engine
from slipstream_server.config import ServerConfig
from slipstream_server.doctor.engine import EngineFailed, inspect_engine
from slipstream_server.engine.child_environment import child_environment
from slipstream_server.engine_status import EngineState

from tests.server.serving import poll

SECRETS = (
    *("SLIPSTREAM_TOKEN", "SLIPSTREAM_TURN_SECRET", "SLIPSTREAM_TURN_CREDENTIAL"),
    *("SLIPSTREAM_TWILIO_AUTH_TOKEN", "CLOUDFLARE_TURN_API_TOKEN", "TWILIO_AUTH_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "HF_TOKEN", "GITHUB_TOKEN", "OPENAI_API_KEY"),
    *("PYTHON_KEYRING_PASSWORD", "CUDA_API_KEY", "XDG_AUTH"),  # as their neighbours begin
)
NEEDED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "TMPDIR"),
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "XDG_CACHE_HOME"),
    *("TORCH_HOME", "PYTORCH_CUDA_ALLOC_CONF", "TORCHINDUCTOR_CACHE_DIR", "SLIPSTREAM_LOG"),
)
VALUE = "only-the-server-knows-this"


def test_what_computes_is_kept_and_nothing_else() -> None:
    """paths, locale, interpreter and libraries; no secret, known by name or not."""
    given = dict.fromkeys((*SECRETS, *NEEDED, "SOME_NAME_OF_TOMORROW"), VALUE)
    assert sorted(child_environment(given)) == sorted(NEEDED)


async def test_no_secret_stands_in_the_engines_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """as the kernel shows it of the process that runs, and what it needs does."""
    for name in SECRETS:
        monkeypatch.setenv(name, VALUE)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with ThreadPoolExecutor(1) as pool:
        async with running_engine(ServerConfig(pipeline="echo"), pool) as supervisor:
            await poll(lambda: supervisor.status.state is EngineState.READY)
            environ = await asyncio.to_thread(
                Path(f"/proc/{supervisor.status.pid}/environ").read_bytes
            )
    names = {line.partition(b"=")[0].decode() for line in environ.split(b"\0")}
    assert names.isdisjoint(SECRETS)
    assert VALUE.encode() not in environ
    assert {"PATH", "OMP_NUM_THREADS"} <= names


async def test_nor_in_that_of_the_engine_that_the_doctor_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slipstream_engine.py").write_text(
        "import os, sys; sys.exit(' '.join(sorted(os.environ)))"
    )
    for name in SECRETS:
        monkeypatch.setenv(name, VALUE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    with pytest.raises(EngineFailed) as caught:
        await inspect_engine(ServerConfig(pipeline="echo"))
    names = str(caught.value).split()
    assert "PYTHONPATH" in names
    assert set(names).isdisjoint(SECRETS)
