"""One direction between two ranks: sends that the sender does not wait for, receives posted ahead.

    outbox.send(layout, {"x": x, ...})              # on the one rank
    arrival = inbox.expect(layout)                  # on the other one, before it needs it
    arrival.await_transfer()                        # in a thread beside the one that computes
    fields = arrival.fields()                       # there now
    arrival.release()

A rank posts the receives of all that it has been told to do before it begins to compute the first,
so what comes next travels meanwhile. Both ends use a link in one order, so no message needs a name.

`HostLink` is for CPUs (Gloo), `CudaLink` for GPUs (NCCL): there the host never waits, streams and
events order the copies, in both directions.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from slipstream_engine.parallel.message_layouts import MessageLayout

SEND_BUFFERS = 2  # one that travels, one that is being filled


class Transfer(Protocol):
    """A buffer on its way, in either direction."""

    def wait(self) -> None:
        """Whoever computes next waits for it: the host on a CPU, the computing stream on a GPU."""
        ...

    def finish(self) -> None:
        """The host waits for it, in a thread beside the one that computes; `wait` returns then.

        Raises:
            RuntimeError: if the other rank is gone.
        """
        ...


class Link(Protocol):
    """One direction between this rank and another one; each end calls one of the methods."""

    def send(self, buffer: Tensor) -> Transfer:
        """Begin to send bytes that are being computed."""
        ...

    def receive(self, buffer: Tensor) -> Transfer:
        """Begin to receive bytes over whatever read the buffer before."""
        ...


class _HostTransfer:
    """Work of a process group, which can be waited for once."""

    def __init__(self, work: Any) -> None:
        self._work = work
        self._has_ended = False

    def wait(self) -> None:
        if not self._has_ended:
            self.finish()

    def finish(self) -> None:
        self._work.wait()
        self._has_ended = True


class HostLink:
    """Over a process group whose calls work on host memory.

    Args:
        group: of `torch.distributed`.
        peer: the other rank's number in it.
        tag: of this link among those of the two ranks.
    """

    def __init__(self, group: Any, peer: int, tag: int) -> None:
        self._group = group
        self._peer = peer
        self._tag = tag

    def send(self, buffer: Tensor) -> Transfer:
        return _HostTransfer(self._group.send([buffer], self._peer, self._tag))

    def receive(self, buffer: Tensor) -> Transfer:
        return _HostTransfer(self._group.recv([buffer], self._peer, self._tag))


class _OnStream:
    """Work on a stream of its own, which ends with an event."""

    def __init__(self, device: torch.device, stream: torch.cuda.Stream) -> None:
        self._device = device
        self._ended = torch.cuda.Event(blocking=True)  # a thread that waits leaves its core alone
        self._ended.record(stream)

    def wait(self) -> None:
        torch.cuda.current_stream(self._device).wait_event(self._ended)

    def finish(self) -> None:
        self._ended.synchronize()


class CudaLink:
    """Over a process group of these two ranks alone, on a stream of its own.

    A group for each direction: calls of one communicator run one after the other, and a receive
    that waits for its sender must not hold up what is to be sent.

    Args:
        group: of `torch.distributed`, with NCCL.
        peer: the other rank's number in it.
    """

    def __init__(self, group: Any, peer: int, device: torch.device) -> None:
        self._group = group
        self._peer = peer
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def send(self, buffer: Tensor) -> Transfer:
        return self._run(lambda: self._group.send([buffer], self._peer, 0))

    def receive(self, buffer: Tensor) -> Transfer:
        return self._run(lambda: self._group.recv([buffer], self._peer, 0))

    def _run(self, call: Callable[[], Any]) -> Transfer:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            call().wait()  # of this stream for NCCL's; the host goes on
        return _OnStream(self._device, self._stream)


class Outbox:
    """Sends messages over a link from two buffers in turn.

    Args:
        largest_bytes: of a message.
    """

    def __init__(self, link: Link, *, largest_bytes: int, device: torch.device) -> None:
        self._link = link
        self._buffers = [
            torch.zeros(largest_bytes, dtype=torch.uint8, device=device)
            for _ in range(SEND_BUFFERS)
        ]
        self._under_way: list[Transfer | None] = [None] * SEND_BUFFERS
        self._sent = 0
        self.sent_bytes = 0

    def send(self, layout: MessageLayout, fields: Mapping[str, Tensor]) -> None:
        """Copy the fields and begin to send them; waits only if both buffers are on their way."""
        place = self._sent % SEND_BUFFERS
        if transfer := self._under_way[place]:
            transfer.wait()
        buffer = self._buffers[place][: layout.nbytes]
        for name, view in layout.views(buffer).items():
            view.copy_(fields[name])
        self._under_way[place] = self._link.send(buffer)
        self._sent += 1
        self.sent_bytes += layout.nbytes


class Arrival:
    """A message that is expected. One thread calls `await_transfer`, once; any may ask."""

    def __init__(
        self,
        layout: MessageLayout,
        buffer: Tensor,
        transfer: Transfer,
        release: Callable[[Tensor], None],
    ) -> None:
        self._layout = layout
        self._buffer = buffer
        self._transfer = transfer
        self._release = release
        self._come = threading.Event()
        self._failure: RuntimeError | None = None

    @property
    def has_come(self) -> bool:
        """Whether `fields` need not wait; so it is, too, if it never will come."""
        return self._come.is_set()

    @property
    def is_sound(self) -> bool:
        """Whether it has come, and not in vain."""
        return self.has_come and self._failure is None

    def await_transfer(self) -> None:
        """Wait for what is on its way."""
        try:
            self._transfer.finish()
        except RuntimeError as failure:  # the other rank is gone
            self._failure = failure
        self._come.set()

    def fields(self) -> dict[str, Tensor]:
        """What has come, on memory that is valid until `release`.

        Raises:
            RuntimeError: if the other rank is gone.
        """
        self._come.wait()
        if self._failure is not None:
            raise self._failure
        self._transfer.wait()
        return self._layout.views(self._buffer)

    def release(self) -> None:
        """Its memory may be used again, by what is computed from now on."""
        self._release(self._buffer)


class Inbox:
    """Receives messages over a link, into buffers that are used again and again.

    Args:
        largest_bytes: of a message.
    """

    def __init__(self, link: Link, *, largest_bytes: int, device: torch.device) -> None:
        self._link = link
        self._largest_bytes = largest_bytes
        self._device = device
        self._free = [self._new_buffer() for _ in range(2)]

    def expect(self, layout: MessageLayout) -> Arrival:
        """Begin to receive the next message."""
        buffer = self._free.pop() if self._free else self._new_buffer()
        transfer = self._link.receive(buffer[: layout.nbytes])
        return Arrival(layout, buffer, transfer, self._free.append)

    def _new_buffer(self) -> Tensor:
        return torch.zeros(self._largest_bytes, dtype=torch.uint8, device=self._device)
