"""What a rank sends to the others, and gets from them, by the number of the other rank and flow."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from slipstream_engine.group.arrival_watch import ArrivalWatch
from slipstream_engine.parallel.links import Arrival, Inbox, Link, Outbox, Transfer
from slipstream_engine.parallel.message_flow import MessageFlow
from slipstream_engine.parallel.message_layouts import MessageLayout, MessageLayouts


class Mail:
    """A rank's links, made when they are first used; call `close`.

    Args:
        link: to or from the other rank; called with its number, whether this one sends, and the
            flow.
        layouts: of what is sent.
        largest_bytes: of a message.
        watch: is told of all that is expected.
    """

    def __init__(
        self,
        link: Callable[[int, bool, MessageFlow], Link],
        layouts: MessageLayouts,
        *,
        largest_bytes: Mapping[MessageFlow, int],
        device: torch.device,
        watch: ArrivalWatch,
    ) -> None:
        self.layouts = layouts
        self.watch = watch
        self._link = link
        self._largest_bytes = largest_bytes
        self._device = device
        self._outboxes: dict[tuple[int, MessageFlow], Outbox] = {}
        self._inboxes: dict[tuple[int, MessageFlow], Inbox] = {}

    @property
    def sent_bytes(self) -> int:
        return sum(outbox.sent_bytes for outbox in self._outboxes.values())

    def send(
        self, rank: int, flow: MessageFlow, layout: MessageLayout, fields: Mapping[str, Tensor]
    ) -> None:
        """See `Outbox.send`."""
        if (rank, flow) not in self._outboxes:
            self._outboxes[rank, flow] = Outbox(
                self._link(rank, True, flow),
                largest_bytes=self._largest_bytes[flow],
                device=self._device,
            )
        self._outboxes[rank, flow].send(layout, fields)

    def expect(
        self,
        rank: int,
        flow: MessageFlow,
        layout: MessageLayout,
        then: Callable[[Arrival], None] | None = None,
    ) -> Arrival:
        """See `Inbox.expect`.

        Args:
            then: called with it in a thread beside the one that computes, once it is there.
        """
        if (rank, flow) not in self._inboxes:
            self._inboxes[rank, flow] = Inbox(
                self._link(rank, False, flow),
                largest_bytes=self._largest_bytes[flow],
                device=self._device,
            )
        arrival = self._inboxes[rank, flow].expect(layout)
        self.watch.watch((rank, flow), arrival, partial(then, arrival) if then else None)
        return arrival

    def close(self) -> None:
        """Nothing is expected any more."""
        self.watch.close()

    def send_tensors(self, rank: int, tensors: list[Tensor]) -> None:
        """Send tensors of any size and wait for it: for what happens rarely."""
        link = self._link(rank, True, MessageFlow.STEPS)
        for transfer in [link.send(_bytes(tensor.contiguous())) for tensor in tensors]:
            transfer.wait()

    def expect_tensors(self, rank: int, likes: list[Tensor]) -> "ExpectedTensors":
        """Begin to receive what the other rank sends by `send_tensors`."""
        link = self._link(rank, False, MessageFlow.STEPS)
        tensors = [torch.empty(like.shape, dtype=like.dtype, device=like.device) for like in likes]
        return ExpectedTensors(tensors, [link.receive(_bytes(tensor)) for tensor in tensors])


class ExpectedTensors:
    """Tensors on their way."""

    def __init__(self, tensors: list[Tensor], transfers: list[Transfer]) -> None:
        self._tensors = tensors
        self._transfers = transfers

    def result(self) -> list[Tensor]:
        """They are there now."""
        for transfer in self._transfers:
            transfer.wait()
        return self._tensors


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
