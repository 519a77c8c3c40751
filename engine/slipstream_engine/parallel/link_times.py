"""How long messages take between two devices: measured by sending some, before there is a plan."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median
from tempfile import TemporaryDirectory

import torch
from slipstream_protocol.clock import NS_PER_MS, now_ns

from slipstream_engine.parallel.links import Inbox, Outbox
from slipstream_engine.parallel.message_flow import MessageFlow
from slipstream_engine.parallel.message_layouts import MessageField, MessageLayout, MessageLayouts
from slipstream_engine.parallel.process_group import ProcessGroup

logger = logging.getLogger(__name__)

_ROUNDS = 15
_NOT_COUNTED = 5  # the first: connections are made, buffers touched
_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTimes:
    """What the slowest link between devices takes.

    Args:
        activations_ms, latents_ms: for each message, see `ModelCosts`.
        note: on it, for people.
    """

    activations_ms: float
    latents_ms: float
    note: str


def slowest_link(devices: Sequence[str], layouts: MessageLayouts) -> LinkTimes:
    """Measure the links between devices that follow each other in a plan.

    What cannot be measured counts as nothing: whether ranks can be joined shows at their start.
    """
    messages = [layouts.of_activations(1), layouts.of_latents(1)]
    pairs = dict.fromkeys(pairwise(devices))
    try:
        measured = {pair: measure_link(*pair, messages) for pair in pairs}
    except RuntimeError as error:
        logger.warning("what links take is not known, the plan counts them as nothing: %s", error)
        return LinkTimes(activations_ms=0.0, latents_ms=0.0, note=f"links not measured: {error}")
    if not measured:
        return LinkTimes(activations_ms=0.0, latents_ms=0.0, note="")
    (one, other), times_ms = max(measured.items(), key=lambda item: item[1])
    activations_ms, latents_ms = times_ms
    return LinkTimes(
        activations_ms=activations_ms,
        latents_ms=latents_ms,
        note=(
            f"the link from {one} to {other} takes {activations_ms:.2f} ms for the activations "
            f"of a step, {latents_ms:.2f} ms for latents"
        ),
    )


def message_of(size_bytes: int) -> MessageLayout:
    """A message of that size, of nothing in particular."""
    return MessageLayout({"bytes": MessageField(shape=(size_bytes,), dtype=torch.uint8)})


def measure_link(
    one: str, other: str, layouts: Sequence[MessageLayout], *, within_s: float = _WITHIN_S
) -> tuple[float, ...]:
    """The time of each message between two devices in ms: half of what it takes there and back.

    Each end is a thread of this process, joined to the other as ranks are.

    Raises:
        RuntimeError: if they are not joined, or it is not done, within that time.
    """
    answers: SimpleQueue[tuple[float, ...] | Exception] = SimpleQueue()

    def run(store: Path, place: int, name: str) -> None:
        try:
            answers.put(_exchange(store, place, torch.device(name), layouts))
        except Exception as error:  # of whatever library; the caller gets it
            answers.put(error)

    deadline_s = time.monotonic() + within_s
    # a thread that still waits for the other one may have its file open
    with TemporaryDirectory(prefix="slipstream-link-", ignore_cleanup_errors=True) as folder:
        for place, name in enumerate((one, other)):
            arguments = (Path(folder) / "store", place, name)
            threading.Thread(target=run, args=arguments, daemon=True).start()
        times_ms: list[tuple[float, ...]] = []
        while len(times_ms) < 2:
            try:
                answer = answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except Empty:
                raise RuntimeError(f"{one} and {other} have not met in {within_s:g} s") from None
            if isinstance(answer, Exception):
                raise RuntimeError(f"{one} and {other} cannot be joined: {answer}") from answer
            times_ms.append(answer)
    return tuple(map(max, *times_ms))


def _exchange(
    store: Path, place: int, device: torch.device, layouts: Sequence[MessageLayout]
) -> tuple[float, ...]:
    """The times of the messages, as one end sees them: the first asks, the second answers."""
    if device.type == "cuda":
        torch.cuda.set_device(device)  # of this thread
    flow = MessageFlow.STEPS
    pairs = [(0, 1, flow), (1, 0, flow)]
    joined = ProcessGroup(store, rank=place, ranks=2, device=device, pairs=pairs)
    size_bytes = max(layout.nbytes for layout in layouts)
    outbox = Outbox(joined.link(1 - place, True, flow), largest_bytes=size_bytes, device=device)
    inbox = Inbox(joined.link(1 - place, False, flow), largest_bytes=size_bytes, device=device)
    times_ms: list[float] = []
    for layout in layouts:
        question = layout.views(torch.zeros(layout.nbytes, dtype=torch.uint8, device=device))
        laps_ns: list[int] = []
        for _ in range(_ROUNDS):
            began_ns = now_ns()
            arrival = inbox.expect(layout)
            if place == 0:
                outbox.send(layout, question)
            arrival.await_transfer()
            answer = arrival.fields()
            if place == 1:
                outbox.send(layout, answer)
            arrival.release()
            laps_ns.append(now_ns() - began_ns)
        times_ms.append(median(laps_ns[_NOT_COUNTED:]) / 2 / NS_PER_MS)
    return tuple(times_ms)
