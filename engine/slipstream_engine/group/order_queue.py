"""Which of a rank's orders is carried out next: the first one whose inputs are there. Pure.

Orders are carried out in the order in which they were given, but for one thing: where what one
needs of other ranks has not come, another may overtake it. Else a decoder would stand still until
the activations of a step have come that was ordered before, though a clean chunk lies there. None
overtakes

* one of its own flow: what other ranks get by that flow, they expect in the order given;
* one of its own chunk: encode, steps and decode follow each other;
* one that has no flow, such as a change of plan; nor does such a one overtake any other.

So an order still waits for orders given earlier only, and no two ranks wait for each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream_engine.parallel.message_flow import MessageFlow


class Input(Protocol):
    """What an order needs of another rank."""

    @property
    def has_come(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueuedOrder:
    """An order that is to be carried out.

    Args:
        run: does so.
        flow: in which it sends; None where nothing may be overtaken.
        chunk: that it is for, by the numbers of stream and chunk; None for no single one.
        inputs: that it needs.
    """

    run: Callable[[], None]
    flow: MessageFlow | None = None
    chunk: tuple[int, int] | None = None
    inputs: Sequence[Input] = ()

    @property
    def is_ready(self) -> bool:
        return all(one.has_come for one in self.inputs)


class OrderQueue:
    """The orders of a rank, oldest first."""

    def __init__(self) -> None:
        self._orders: list[QueuedOrder] = []

    def add(self, order: QueuedOrder) -> None:
        self._orders.append(order)

    def ready(self) -> QueuedOrder | None:
        """The order to carry out now; None while all wait for their inputs, or there is none."""
        flows: set[MessageFlow] = set()
        chunks: set[tuple[int, int]] = set()
        for order in self._orders:
            if order.flow is None:
                return order if order is self._orders[0] and order.is_ready else None
            is_behind = order.flow in flows or order.chunk in chunks
            if not is_behind and order.is_ready:
                return order
            flows.add(order.flow)
            if order.chunk is not None:
                chunks.add(order.chunk)
            if len(flows) == len(MessageFlow):
                return None
        return None

    def take(self) -> QueuedOrder | None:
        """The same, which leaves the queue."""
        order = self.ready()
        if order is not None:
            self._orders.remove(order)
        return order
