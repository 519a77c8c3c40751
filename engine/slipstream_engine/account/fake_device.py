"""A CUDA device that is not there: its tensors have device, shape and dtype, but no numbers.

torch's `FakeTensorMode` does most of it. It leaves to the device's own library, which a build
without CUDA does not have, what is done here: the guard that makes a device the current one, pinned
memory and its views on the host, streams, events, generators. The engine's code runs on it
unchanged.

Nothing of CUDA may be used for real in the process while it is entered.
"""

import ctypes
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

FAKE_CUDA = torch.device("cuda:0")

# c10::impl::device_guard_impl_registry: a pointer for each type of device (c10/core/DeviceType.h)
_GUARDS = "_ZN3c104impl26device_guard_impl_registryE"
_CAPABILITY = (9, 0)  # of a Hopper GPU
_CUDA_TYPE, _META_TYPE = 1, 14
_NUMPY_DTYPES = {torch.uint8: np.uint8, torch.int64: np.int64, torch.float32: np.float32}


class FakeCuda:
    """What the device's stand-ins have seen.

    Attributes:
        waits: what made the host wait, in order.
    """

    def __init__(self) -> None:
        self.waits: list[str] = []
        self._pinned: dict[int, object] = {}

    def pin(self, tensor: Tensor) -> Tensor:
        """Take a host tensor's memory as pinned."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        self._pinned[key] = weakref.ref(storage, lambda _: self._pinned.pop(key, None))
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether a copy from or to it needs no waiting."""
        return tensor.untyped_storage()._cdata in self._pinned


@contextmanager
def fake_cuda() -> Iterator[FakeCuda]:
    """Inside, `cuda:0` is a device without numbers and without time."""
    device = FakeCuda()
    with ExitStack() as entered:
        entered.enter_context(_without_guard())
        entered.enter_context(_replaced(torch, Generator=_HostGenerator))
        entered.enter_context(_replaced(torch.cuda, **_stand_ins(device)))
        entered.enter_context(_replaced(torch.Tensor, record_stream=_record_stream))
        entered.enter_context(FakeTensorMode())
        entered.enter_context(_HostSide(device))
        yield device


@contextmanager
def _without_guard() -> Iterator[None]:
    """Give CUDA the guard of the meta device, which does nothing.

    Raises:
        RuntimeError: if torch keeps its guards elsewhere in this version.
    """
    try:
        guards = (ctypes.c_void_p * (_META_TYPE + 1)).in_dll(_libc10(), _GUARDS)
    except (OSError, ValueError) as error:
        raise RuntimeError(
            f"torch {torch.__version__} cannot run a device that is not there: {error}; use 2.6 "
            "or newer on Linux or macOS"
        ) from error
    before = guards[_CUDA_TYPE]
    guards[_CUDA_TYPE] = guards[_META_TYPE]
    try:
        yield
    finally:
        guards[_CUDA_TYPE] = before


def _libc10() -> ctypes.CDLL:
    folder = Path(torch.__file__).parent / "lib"
    return ctypes.CDLL(str(next(iter(sorted(folder.glob("libc10.*"))), folder / "libc10.so")))


@contextmanager
def _replaced(owner: Any, **stand_ins: object) -> Iterator[None]:
    before = {name: getattr(owner, name) for name in stand_ins}
    try:
        for name, stand_in in stand_ins.items():
            setattr(owner, name, stand_in)
        yield
    finally:
        for name, original in before.items():
            setattr(owner, name, original)


def _record_stream(tensor: torch.Tensor, stream: object) -> None:
    """A stand-in of a stream is none that torch would take, and memory is not given away here."""


class _HostGenerator(torch.Generator):
    """In place of a device's generator: nobody sees its numbers."""

    def __new__(cls, device: object = None) -> "_HostGenerator":
        return super().__new__(cls)


def _stand_ins(device: FakeCuda) -> dict[str, object]:
    """Streams and events, which order nothing but count where the host would wait."""

    class Event:
        def __init__(self, *args: object, **kwargs: object) -> None:
            self._is_recorded = False

        def record(self, stream: object = None) -> None:
            self._is_recorded = True

        def synchronize(self) -> None:
            if self._is_recorded:
                device.waits.append("an event")

        def query(self) -> bool:
            return True

        def wait(self, stream: object = None) -> None:
            """The device waits, not the host."""

        def elapsed_time(self, end: object) -> float:
            return 0.0

    class Stream:
        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def wait_event(self, event: object) -> None:
            """The device waits, not the host."""

        def wait_stream(self, stream: object) -> None:
            """The device waits, not the host."""

        def record_event(self, event: Event | None = None) -> Event:
            recorded = event or Event()
            recorded.record(self)
            return recorded

        def synchronize(self) -> None:
            device.waits.append("a stream")

    current = Stream()

    def current_stream(of: object = None) -> Stream:
        return current

    def stream(entered: object) -> AbstractContextManager[None]:
        return nullcontext()

    def synchronize(of: object = None) -> None:
        device.waits.append("the device")

    def get_device_capability(of: object = None) -> tuple[int, int]:
        return _CAPABILITY

    return {
        "Event": Event,
        "Stream": Stream,
        "current_stream": current_stream,
        "get_device_capability": get_device_capability,
        "stream": stream,
        "synchronize": synchronize,
    }


class _HostSide(TorchFunctionMode):
    """Answers the calls that a build without CUDA refuses."""

    def __init__(self, device: FakeCuda) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "numpy":
            return np.zeros(args[0].shape, _NUMPY_DTYPES[args[0].dtype])
        kwargs.pop("generator", None)
        if name == "tensor" and torch.device(kwargs.get("device") or "cpu").type == "cuda":
            target = kwargs.pop("device")
            return func(*args, **kwargs).to(target)
        is_pinned = kwargs.pop("pin_memory", False)
        result = func(*args, **kwargs)
        return self._device.pin(result) if is_pinned else result
