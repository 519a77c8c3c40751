"""`make gpu-report`, rehearsed on the CPU with small models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_report_is_whole(tmp_path: Path) -> None:
    """In a process of its own, without what a bare machine has not: every task has a result."""
    out = tmp_path / "gpu.json"
    without = (
        "import sys; [sys.modules.__setitem__(name, None) for name in sys.argv.pop(1).split()]"
    )
    command = f"{without}; import runpy; runpy.run_module('tests.gpu', run_name='__main__')"
    missing = "pytest hypothesis psutil av aiohttp aiortc tokenizers ftfy"
    done = subprocess.run(
        [sys.executable, "-c", command, missing, "--device", "cpu", "--small", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(out.read_text())["results"]
    assert len(results) == 3 + 2 + 2  # checks, kernels and attention, chunks
    assert all("result" in result for result in results.values())
    assert done.stdout.count(" FPS, ") == 2


def test_what_fails_is_written_down(tmp_path: Path) -> None:
    """A report without a device says so; without time nothing is begun."""
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "tests.gpu", "--out", str(out), "--device"]
    late = subprocess.run(
        [*command, "cpu", "--small", "--budget-s", "-1"], cwd=ROOT, capture_output=True, text=True
    )
    assert late.returncode == 0
    assert set(json.loads(out.read_text())["results"]["attention"]) == {"skipped"}
