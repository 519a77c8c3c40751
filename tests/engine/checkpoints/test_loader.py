"""Loading is strict, casts on the way, and takes the memory of the model and little more."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from slipstream_engine.checkpoints.loader import TAEHV_SURPLUS, load_module
from slipstream_engine.errors import CheckpointError
from torch import Tensor, nn

CPU = torch.device("cpu")


class Toy(nn.Module):
    """Two kinds of tensors of a checkpoint, and a constant that is none of its business."""

    table: Tensor

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(layers))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("table", torch.ones(2, device="cpu").double(), persistent=False)


def write(path: Path, module: nn.Module, **changes: Tensor | None) -> None:
    """The tensors of `module`, some replaced, added or (None) left out; `__` stands for a dot."""
    tensors: dict[str, Tensor | None] = dict(module.state_dict())
    tensors |= {name.replace("__", "."): tensor for name, tensor in changes.items()}
    save_file({name: t for name, t in tensors.items() if t is not None}, path)


def test_a_module_is_filled_and_cast(tmp_path: Path) -> None:
    """every tensor arrives in the asked-for dtype; what no checkpoint holds keeps its own."""
    source = Toy()
    write(tmp_path / "toy.safetensors", source)
    toy = load_module(Toy, tmp_path / "toy.safetensors", dtype=torch.bfloat16, device=CPU)
    for name, tensor in toy.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name].bfloat16())
    assert toy.table.dtype == torch.float64
    assert not toy.training
    assert not any(parameter.requires_grad for parameter in toy.parameters())


def test_every_kind_of_misfit_is_listed(tmp_path: Path) -> None:
    """missing, surplus and mis-shaped tensors are named with both shapes."""
    path = tmp_path / "toy.safetensors"
    write(
        path,
        Toy(),
        layers__0__bias=None,
        layers__1__weight=torch.zeros(4, 5),
        other=torch.zeros(3),
    )
    with pytest.raises(CheckpointError) as caught:
        load_module(Toy, path, dtype=torch.float32, device=CPU)
    assert str(caught.value).splitlines() == [
        f"{path} is not a checkpoint of this model: it holds 5 tensors, 5 are wanted, "
        "3 do not fit; choose the file of this preset",
        "  layers.0.bias: the file has nothing, the model wants [4]",
        "  layers.1.weight: the file has [4, 5], the model wants [4, 4]",
        "  other: the file has [3], the model wants nothing",
    ]


def test_only_the_first_ten_are_listed(tmp_path: Path) -> None:
    """a wholly wrong file does not fill the screen."""
    write(tmp_path / "toy.safetensors", Toy(layers=2))
    with pytest.raises(CheckpointError) as caught:
        load_module(
            lambda: Toy(layers=9), tmp_path / "toy.safetensors", dtype=torch.float32, device=CPU
        )
    assert len(str(caught.value).splitlines()) == 12
    assert str(caught.value).endswith("and 4 more")


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_broken_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    """one bad number anywhere is enough."""
    weight = torch.zeros(4, 4)
    weight[2, 3] = bad
    write(tmp_path / "toy.safetensors", Toy(), layers__1__weight=weight)
    with pytest.raises(CheckpointError, match=r"holds NaN or infinity in layers\.1\.weight"):
        load_module(Toy, tmp_path / "toy.safetensors", dtype=torch.float32, device=CPU)


def test_a_cast_that_overflows_is_refused(tmp_path: Path) -> None:
    """what the asked-for dtype cannot hold is not silently infinite."""
    write(tmp_path / "toy.safetensors", Toy(), mean=torch.full((4,), 1e6))
    with pytest.raises(CheckpointError, match=r"in mean as torch\.float16"):
        load_module(Toy, tmp_path / "toy.safetensors", dtype=torch.float16, device=CPU)


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    """whole numbers of the right shapes would load as a model that makes noise."""
    weight = torch.ones(4, 4, dtype=torch.int8)
    write(tmp_path / "toy.safetensors", Toy(), layers__1__weight=weight)
    with pytest.raises(CheckpointError, match=r"holds layers\.1\.weight as torch\.int8, quantised"):
        load_module(Toy, tmp_path / "toy.safetensors", dtype=torch.float32, device=CPU)


class Grower(nn.Module):
    """A decoder with one growth in time, as TAEHV names it."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.decoder = nn.ModuleDict({"7": nn.ModuleDict({"conv": nn.Conv2d(3, 3 * frames, 1)})})
        del self.decoder["7"]["conv"].bias  # type: ignore[index]
        self.decoder["7"]["conv"].bias = None  # type: ignore[index]


def test_a_growth_in_time_keeps_its_last_rows(tmp_path: Path) -> None:
    """a TAEHV file for more frames serves a model of fewer; other tensors must fit exactly."""
    wide = torch.arange(18.0).reshape(6, 3, 1, 1)
    save_file({"decoder.7.conv.weight": wide}, tmp_path / "t.safetensors")
    grower = load_module(
        lambda: Grower(1),
        tmp_path / "t.safetensors",
        dtype=torch.float32,
        device=CPU,
        surplus=TAEHV_SURPLUS,
    )
    assert torch.equal(grower.state_dict()["decoder.7.conv.weight"], wide[3:])
    with pytest.raises(CheckpointError, match=re.escape("the file has [6, 3, 1, 1]")):
        load_module(lambda: Grower(1), tmp_path / "t.safetensors", dtype=torch.float32, device=CPU)
    with pytest.raises(CheckpointError, match=re.escape("the file has [6, 3, 1, 1]")):
        load_module(
            lambda: Grower(3),
            tmp_path / "t.safetensors",
            dtype=torch.float32,
            device=CPU,
            surplus=TAEHV_SURPLUS,
        )


MEMORY_PROBE = """
import sys, threading
from pathlib import Path
import torch
from torch import nn
from slipstream_engine.checkpoints.loader import load_module

def resident_bytes():
    fields = dict(line.split(":") for line in open("/proc/self/status") if line.startswith("Rss"))
    return sum(int(fields[kind].split()[0]) * 1024 for kind in ("RssAnon", "RssFile"))

peak = base = resident_bytes()
done = threading.Event()

def watch():
    global peak
    while not done.wait(0.0005):
        peak = max(peak, resident_bytes())

def build():
    return nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(32)))

# pages in the code
load_module(build, Path(sys.argv[2]), dtype=torch.float32, device=torch.device("cpu"))
base = peak = resident_bytes()
thread = threading.Thread(target=watch)
thread.start()
module = load_module(
    build, Path(sys.argv[1]), dtype=getattr(torch, sys.argv[3]), device=torch.device("cpu"),
    remap_bytes=16 * 2**20,
)
done.set()
thread.join()
print(max(peak, resident_bytes()) - base)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_loading_takes_little_more_than_the_file(tmp_path: Path, suffix: str, dtype: str) -> None:
    """peak memory, mapped pages included, stays below 1.2 times the file, cast or not."""
    module = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(32)))
    path = tmp_path / f"model{suffix}"
    if suffix == ".pt":
        torch.save({"generator": module.state_dict()}, path)
    else:
        save_file(module.state_dict(), path)
    probe = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, path, path, dtype],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(probe.stdout) < 1.2 * path.stat().st_size
