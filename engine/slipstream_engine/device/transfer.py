"""Frames between host and device: pinned buffers and a copy stream each way.

A copy waits for its source and its target only, and the host only for a copy whose buffer it needs;
what it fetches it may read later (`Fetch`), while the device goes on. On the CPU the same code runs
on plain memory, with streams that order nothing.

T frames, H height, W width, X bytes of the largest chunk.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from slipstream_protocol.frames import I420
from torch import Tensor


class CopyStreams(Protocol):
    """What orders work on a device; streams and events are torch's, which share no type."""

    copies: Any
    is_asynchronous: bool  # whether the host runs ahead of the device

    def current(self) -> Any:
        """The stream that computes."""
        ...

    def event(self) -> Any: ...

    def on_copies(self) -> AbstractContextManager[Any]:
        """Inside, work goes to `copies`."""
        ...


class CudaCopyStreams:
    """The computing stream, and one for copies beside it."""

    is_asynchronous = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.copies = torch.cuda.Stream(device)

    def current(self) -> Any:
        return torch.cuda.current_stream(self._device)

    def event(self) -> Any:
        return torch.cuda.Event()

    def on_copies(self) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self.copies)


class HostCopyStreams:
    """On a CPU work is done at the call; torch has stand-ins for streams and events there."""

    is_asynchronous = False

    def __init__(self) -> None:
        self.copies = torch.cpu.Stream()

    def current(self) -> Any:
        return torch.cpu.current_stream()

    def event(self) -> Any:
        return torch.cpu.Event()

    def on_copies(self) -> AbstractContextManager[Any]:
        return torch.cpu.stream(self.copies)


def copy_streams_of(device: torch.device) -> CopyStreams:
    return CudaCopyStreams(device) if device.type == "cuda" else HostCopyStreams()


class Upload:
    """Chunks to the device, one after the other::

        with upload.sent(frames_THW) as on_device_THW:
            rgb_TCHW = rgb_from_i420(on_device_THW)  # all readers are called inside

    The caller may overwrite the frames as soon as the block is entered.

    Args:
        most_bytes: of a chunk.
    """

    def __init__(
        self, most_bytes: int, device: torch.device, streams: CopyStreams | None = None
    ) -> None:
        self._streams = streams or copy_streams_of(device)
        self._is_cuda = device.type == "cuda"
        self._host_X = _host(most_bytes, pinned=self._is_cuda)
        self._device_X = torch.empty(most_bytes, dtype=torch.uint8, device=device)
        self._copied = self._streams.event()
        self._read = self._streams.event()

    @contextmanager
    def sent(self, frames_THW: I420) -> Iterator[Tensor]:
        streams = self._streams
        host_THW, device_THW = (
            x[: frames_THW.size].view(frames_THW.shape) for x in (self._host_X, self._device_X)
        )
        self._copied.synchronize()  # the chunk before; done long ago
        host_THW.numpy()[...] = frames_THW
        with streams.on_copies():
            streams.copies.wait_event(self._read)
            device_THW.copy_(host_THW, non_blocking=self._is_cuda)
            self._copied.record(streams.copies)
        streams.current().wait_event(self._copied)
        yield device_THW
        self._read.record(streams.current())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _PinnedBuffer:
    host_X: Tensor
    copied: Any


class Fetch:
    """A chunk on its way from the device. Call one of its methods, once."""

    def __init__(
        self, buffer: _PinnedBuffer, out_THW: I420, give_back: Callable[[_PinnedBuffer], None]
    ) -> None:
        self._buffer = buffer
        self._out_THW = out_THW
        self._give_back = give_back

    def finish(self) -> None:
        """Wait for the chunk, and fill the caller's frames."""
        self._buffer.copied.synchronize()
        fetched_X = self._buffer.host_X[: self._out_THW.size].numpy()
        self._out_THW[...] = fetched_X.reshape(self._out_THW.shape)
        self._give_back(self._buffer)

    def discard(self) -> None:
        """Wait for the chunk, and leave the caller's frames as they are."""
        self._buffer.copied.synchronize()
        self._give_back(self._buffer)


class Download:
    """Chunks from the device; several may be on their way, each in a buffer of its own.

    Args:
        most_bytes: of a chunk.
    """

    def __init__(
        self, most_bytes: int, device: torch.device, streams: CopyStreams | None = None
    ) -> None:
        self._streams = streams or copy_streams_of(device)
        self._is_cuda = device.type == "cuda"
        self._most_bytes = most_bytes
        self._free = [self._new_buffer()]
        self._made = self._streams.event()

    def fetch(self, made_THW: Tensor, out_THW: I420) -> Fetch | None:
        """Begin to copy a chunk that is being computed to `out_THW`.

        Returns:
            What fills `out_THW` later; None where that is done already.
        """
        streams = self._streams
        buffer = self._free.pop() if self._free else self._new_buffer()
        self._made.record(streams.current())
        with streams.on_copies():
            streams.copies.wait_event(self._made)
            host_THW = buffer.host_X[: made_THW.numel()].view(made_THW.shape)
            host_THW.copy_(made_THW, non_blocking=self._is_cuda)
            buffer.copied.record(streams.copies)
        if self._is_cuda:
            made_THW.record_stream(streams.copies)  # its memory is not given away before
        fetch = Fetch(buffer, out_THW, self._free.append)
        if streams.is_asynchronous:
            return fetch
        fetch.finish()
        return None

    def _new_buffer(self) -> _PinnedBuffer:
        host_X = _host(self._most_bytes, pinned=self._is_cuda)
        return _PinnedBuffer(host_X=host_X, copied=self._streams.event())


def _host(most_bytes: int, *, pinned: bool) -> Tensor:
    return torch.empty(most_bytes, dtype=torch.uint8, pin_memory=pinned)
