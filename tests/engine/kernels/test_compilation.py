"""The kernels are code that Triton's compiler takes, which its interpreter does not show."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

KERNELS = {
    "_residual_norm",
    "_norm_silu_window",
    "_rms_norm",
    "_norm_rotate",
    "_choose_slots",
    "_store_frame",
}


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("triton") is None, reason="triton is not installed: pip install slipstream[kernels]"
)
def test_every_kernel_compiles_for_a_gpu() -> None:
    """Each kernel in each of its forms, for an H100 that need not be there."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.kernels.compilation"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert {line.split()[0] for line in done.stdout.splitlines()} == KERNELS
