"""diffusion/noise.py: noise is a function of (seed, chunk, step) and of nothing else."""

import subprocess
import sys

import torch
from slipstream_engine.config import NoiseMode
from slipstream_engine.diffusion.noise import keyed_noise, noise_key, normal, step_key

CPU = torch.device("cpu")
SHAPE = (2, 4, 6, 8)


def draw(
    mode: NoiseMode = NoiseMode.FRESH, *, seed: int = 1, chunk: int = 2, step: int = 3
) -> torch.Tensor:
    key = step_key(mode, seed=seed, chunk=chunk, step=step)
    return keyed_noise(mode, key, SHAPE, device=CPU, dtype=torch.float32)


def test_order_does_not_matter() -> None:
    """The same micro-step gets the same noise whatever was drawn before it."""
    keys = [(seed, chunk, step) for seed in range(2) for chunk in range(3) for step in range(2)]
    forward = {key: draw(seed=key[0], chunk=key[1], step=key[2]) for key in keys}
    for key in reversed(keys):
        assert torch.equal(draw(seed=key[0], chunk=key[1], step=key[2]), forward[key])


def test_every_coordinate_counts() -> None:
    """Another seed, chunk or step is other noise."""
    base = draw()
    for other in (draw(seed=2), draw(chunk=3), draw(step=2), draw(seed=2, chunk=1)):
        assert not torch.equal(base, other)
        assert abs(torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]) < 0.2


def test_it_is_standard_normal() -> None:
    """Moments and tails of a million numbers are those of the normal distribution."""
    x = normal(noise_key(seed=0, chunk=0, step=0), (1_000_000,), CPU).double()
    assert abs(x.mean()) < 4e-3
    assert abs(x.std() - 1) < 4e-3
    assert abs((x**3).mean()) < 0.02
    assert abs((x**4).mean() - 3) < 0.05
    assert abs((x.abs() > 1.959964).double().mean() - 0.05) < 2e-3
    assert abs((x[:-1] * x[1:]).mean()) < 4e-3
    assert torch.isfinite(x).all()


def test_a_prefix_is_a_prefix() -> None:
    """Taking more numbers of a key changes none of the first."""
    key = noise_key(seed=5, chunk=6, step=7)
    assert torch.equal(normal(key, (1001,), CPU)[:77], normal(key, (77,), CPU))


def test_fixed_noise_is_the_same_for_every_frame() -> None:
    """In fixed mode all frames of all chunks share one noise, each step its own."""
    first, later = draw(NoiseMode.FIXED, chunk=0), draw(NoiseMode.FIXED, chunk=9)
    assert torch.equal(first, later)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first, draw(NoiseMode.FIXED, step=0))


def test_another_process_draws_the_same() -> None:
    """Noise does not depend on the process it is made in, nor on its number of threads."""
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from slipstream_engine.diffusion.noise import normal\n"
        "print(normal(-3, (4001,), torch.device('cpu')).double().sum().item().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == float(normal(-3, (4001,), CPU).double().sum()).hex()
