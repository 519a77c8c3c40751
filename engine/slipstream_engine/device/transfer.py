"""Frames between host and device: pinned buffers, two of each, and a copy stream each way.

A copy waits for nothing but what it needs, and the host waits for nothing but a picture it wants to
read. On the CPU the same code runs on plain memory, with streams that order nothing.

T frames, H height, W width.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Protocol

import torch
from slipstream_protocol.frames import I420
from torch import Tensor

DEPTH = 2


class CopyStreams(Protocol):
    """What orders work on a device; streams and events are torch's, which share no type."""

    copies: Any

    def current(self) -> Any:
        """The stream that computes."""
        ...

    def event(self) -> Any: ...

    def on_copies(self) -> AbstractContextManager[Any]:
        """Inside, work goes to `copies`."""
        ...


class CudaCopyStreams:
    """The computing stream, and one for copies beside it."""

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
    """Work is done when it is asked for; torch's own stand-ins say so to whoever waits."""

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


@dataclass(slots=True, kw_only=True, eq=False)
class _Buffer:
    """One place for a chunk.

    Args:
        host_THW, device_THW: its two ends; no `device_THW` where the pictures are made there.
        copied: the last copy is done.
        read: the last reader on the device is done.
        source_THW: what is being copied, kept from being freed meanwhile.
    """

    host_THW: Tensor
    device_THW: Tensor | None
    copied: Any
    read: Any
    source_THW: Tensor | None = None


class Upload:
    """Chunks to the device::

        with upload.sent(frames_THW) as on_device_THW:
            rgb_TCHW = rgb_from_i420(on_device_THW)  # whatever reads them is called inside

    The frames may be overwritten as soon as the block is entered.

    Args:
        shape: of the largest chunk.
    """

    def __init__(
        self, shape: Sequence[int], device: torch.device, streams: CopyStreams | None = None
    ) -> None:
        self._streams = streams or copy_streams_of(device)
        self._is_cuda = device.type == "cuda"
        self._turn = cycle(
            _Buffer(
                host_THW=_host(shape, pinned=self._is_cuda),
                device_THW=torch.empty(*shape, dtype=torch.uint8, device=device),
                copied=self._streams.event(),
                read=self._streams.event(),
            )
            for _ in range(DEPTH)
        )

    @contextmanager
    def sent(self, frames_THW: I420) -> Iterator[Tensor]:
        buffer, streams = next(self._turn), self._streams
        assert buffer.device_THW is not None, "an upload has both ends"
        count = len(frames_THW)
        host_THW, device_THW = buffer.host_THW[:count], buffer.device_THW[:count]
        buffer.copied.synchronize()  # over since long: it was the chunk before the last
        host_THW.numpy()[...] = frames_THW
        with streams.on_copies():
            streams.copies.wait_event(buffer.read)
            device_THW.copy_(host_THW, non_blocking=self._is_cuda)
            buffer.copied.record(streams.copies)
        streams.current().wait_event(buffer.copied)
        yield device_THW
        buffer.read.record(streams.current())


class PendingDownload:
    """A chunk on its way to the host."""

    def __init__(self, buffer: _Buffer, count: int) -> None:
        self._buffer = buffer
        self._count = count

    def take(self, out_THW: I420) -> None:
        """Wait for the chunk and copy it out; makes its buffer free."""
        self._buffer.copied.synchronize()
        out_THW[...] = self._buffer.host_THW[: self._count].numpy()
        self._buffer.source_THW = None


class Download:
    """Chunks from the device: `begin` returns at once, `Landing.take` waits.

    At most two may be on their way.

    Args:
        shape: of the largest chunk.
    """

    def __init__(
        self, shape: Sequence[int], device: torch.device, streams: CopyStreams | None = None
    ) -> None:
        self._streams = streams or copy_streams_of(device)
        self._is_cuda = device.type == "cuda"
        self._turn = cycle(
            _Buffer(
                host_THW=_host(shape, pinned=self._is_cuda),
                device_THW=None,
                copied=self._streams.event(),
                read=self._streams.event(),
            )
            for _ in range(DEPTH)
        )

    def begin(self, made_THW: Tensor) -> PendingDownload:
        """Copy a chunk once all work asked for so far is done."""
        buffer, streams = next(self._turn), self._streams
        assert buffer.source_THW is None, f"{DEPTH} chunks are on their way, take one first"
        buffer.source_THW = made_THW
        buffer.read.record(streams.current())
        with streams.on_copies():
            streams.copies.wait_event(buffer.read)
            buffer.host_THW[: len(made_THW)].copy_(made_THW, non_blocking=self._is_cuda)
            buffer.copied.record(streams.copies)
        return PendingDownload(buffer, len(made_THW))


def _host(shape: Sequence[int], *, pinned: bool) -> Tensor:
    return torch.empty(*shape, dtype=torch.uint8, pin_memory=pinned)
