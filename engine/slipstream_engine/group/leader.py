"""The leader's talk with its ranks: orders to them, and what they report."""

import selectors
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from slipstream_protocol.channel import ChannelClosed
from slipstream_protocol.clock import NS_PER_S, now_ns
from slipstream_protocol.framing import pack_message

from slipstream_engine.errors import DeviceLostError
from slipstream_engine.group.messages import (
    PassEnded,
    RankFailed,
    RankMemory,
    TellMemory,
    ToRank,
)
from slipstream_engine.group.passes import ChunkPart, GroupPass, Passes
from slipstream_engine.group.workers import Workers

SILENT_S = 30.0  # a pass that takes longer is taken for one that never ends


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassCompletion:
    """The end of a pass; a `Completion`."""

    leader: "Leader"
    submitted: GroupPass

    def query(self) -> bool:
        """Whether it has ended, by what has been read of the ranks."""
        return self.submitted.has_ended

    @property
    def span_ns(self) -> tuple[int, int]:
        """When the first rank began it, and when the last one ended it."""
        return self.submitted.began_ns, self.submitted.ended_ns

    def hop_ns(self, hop: int) -> tuple[int, int] | None:
        """See `GroupPass.hop_ns`."""
        return self.submitted.hop_ns(hop)

    def synchronize(self) -> None:
        """Wait for it.

        Raises:
            DeviceLostError: if a rank is lost meanwhile.
        """
        self.leader.wait_for(self.submitted)


class Leader:
    """See the module.

    Orders are given with `tell`, and sent together: an order that no rank has to begin with at once
    goes with the next one.

    Args:
        workers: all ranks, running.
        on_end: called with each pass that has ended.

    Attributes:
        passes: under way, and the time of each rank.
    """

    def __init__(
        self, workers: Workers, *, ranks: int, on_end: Callable[[GroupPass], None]
    ) -> None:
        self._workers = workers
        self._ranks = ranks
        self._on_end = on_end
        self._memory: dict[int, RankMemory] = {}
        self._last: GroupPass | None = None
        self._untold = [bytearray() for _ in range(ranks)]
        self._selector = selectors.DefaultSelector()
        for rank, channel in enumerate(workers.channels):
            self._selector.register(channel, selectors.EVENT_READ, rank)
        self.passes = Passes(ranks)

    def wakes(self, ranks: Iterable[int] | None = None) -> tuple[int, ...]:
        """Descriptors that can be read from when one of these ranks reports, or has ended.

        Args:
            ranks: None for all.
        """
        numbers = range(self._ranks) if ranks is None else ranks
        return tuple(self._workers.channels[rank].fileno() for rank in numbers)

    def submitted(self) -> PassCompletion | None:
        """The end of the newest pass."""
        assert self._last is not None, "nothing was ordered"
        return PassCompletion(leader=self, submitted=self._last)

    def finish(self) -> None:
        """Wait until all passes have ended.

        Raises:
            DeviceLostError: if a rank is lost meanwhile.
        """
        while len(self.passes):
            self.wait_for(next(iter(self.passes)))

    def wait_for(self, submitted: GroupPass) -> None:
        """Wait until a pass has ended.

        Raises:
            DeviceLostError: if a rank is lost meanwhile, or nothing has ended for `SILENT_S`.
        """
        if not submitted.has_ended:
            self.send()
        while not submitted.has_ended:
            if not self.read(SILENT_S):
                raise DeviceLostError(self._silence())

    def read(self, wait_s: float) -> bool:
        """Take in what the ranks report; returns whether there was anything.

        Raises:
            DeviceLostError: if a rank is lost.
        """
        readable = self._selector.select(wait_s)
        for key, _ in readable:
            self._read_channel(key.data)
        return bool(readable)

    def _read_channel(self, rank: int) -> None:
        """Take in what can be read of a rank."""
        try:
            for report in self._workers.channels[rank].read():
                match report:
                    case PassEnded():
                        if ended := self.passes.report(report):
                            self._on_end(ended)
                    case RankMemory():
                        self._memory[rank] = report
                    case RankFailed(reason=reason):
                        raise DeviceLostError(f"{self._workers.name(rank)} has failed: {reason}")
        except ChannelClosed:
            raise DeviceLostError(
                f"{self._workers.name(rank)} has ended{self._workers.exit_of(rank)}; "
                "the engine starts again with the ranks that come back"
            ) from None

    def _silence(self) -> str:
        oldest_ns = self.passes.oldest_ns or now_ns()
        return (
            f"no rank has ended its part for {(now_ns() - oldest_ns) / NS_PER_S:.0f} s, one hangs; "
            "the engine must start again"
        )

    def submit(self, part: ChunkPart, *, parts: int, path: int | None = None) -> GroupPass:
        """A new pass; see `GroupPass`."""
        self._last = GroupPass(
            number=self.passes.next_number(),
            part=part,
            parts=parts,
            submitted_ns=now_ns(),
            path=path,
        )
        self.passes.add(self._last)
        return self._last

    def tell_all(self, order: ToRank) -> None:
        """Give an order to every rank."""
        packed = pack_message(order)
        for untold in self._untold:
            untold += packed

    def tell(self, rank: int, order: ToRank) -> None:
        """Give an order to a rank, which gets it with the next `send`."""
        self._untold[rank] += pack_message(order)

    def send(self, ranks: Iterable[int] | None = None) -> None:
        """Send what ranks have not been told yet.

        Args:
            ranks: None for all.

        Raises:
            DeviceLostError: if one of them is lost.
        """
        for rank in range(self._ranks) if ranks is None else ranks:
            if orders := self._untold[rank]:
                self._untold[rank] = bytearray()
                self._send(rank, bytes(orders))

    def _send(self, rank: int, orders: bytes) -> None:
        try:
            self._workers.channels[rank].send_packed(orders)
        except ChannelClosed:
            while True:  # it may have said why, and else has ended
                self._read_channel(rank)

    def memory(self) -> list[RankMemory]:
        """Of each rank, asked now."""
        self._memory.clear()
        self.tell_all(TellMemory())
        self.send()
        while len(self._memory) < self._ranks:
            if not self.read(SILENT_S):
                raise DeviceLostError(self._silence())
        return [self._memory[rank] for rank in range(self._ranks)]

    def stop(self) -> None:
        """End all ranks."""
        self._selector.close()
        self._workers.stop()
