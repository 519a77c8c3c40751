"""Things that run, by id: sessions and streams, and how those that have ended did."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, Protocol, TypeVar

from slipstream_server.errors import UnknownSession

_REMEMBERED_MAX = 256
_CUT_OFF = "cut off"  # the reason of one that was cancelled


class LiveItem(Protocol):
    """Something that runs until it has a reason to end."""

    @property
    def id(self) -> str: ...

    @property
    def end_reason(self) -> str | None: ...


ItemT = TypeVar("ItemT", bound=LiveItem)


class LiveRegistry(Generic[ItemT]):
    """Runs items, each in a task, finds them by id, and remembers why they have ended.

    Iteration gives the items that run, the oldest first.

    Args:
        kind: of the items, for people.
        advice: what a caller with an unknown id should do.
    """

    def __init__(self, kind: str, *, advice: str) -> None:
        self._kind = kind
        self._advice = advice
        self._live: dict[str, tuple[ItemT, asyncio.Task[None]]] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()  # reasons, by id

    def __iter__(self) -> Iterator[ItemT]:
        return iter([item for item, _ in self._live.values()])

    def get(self, id: str) -> ItemT | None:
        """The item that runs under this id, if there is one."""
        item, _ = self._live.get(id, (None, None))
        return item

    def has_ended(self, id: str) -> bool:
        """Whether an item of this id has ended, and is remembered."""
        return id not in self._live and id in self._ended

    def is_unknown(self, id: str) -> bool:
        """Whether no item of this id runs, or is remembered."""
        return id not in self._live and id not in self._ended

    def find(self, id: str) -> ItemT:
        """The item that runs under this id.

        Raises:
            UnknownSession: if there is none, with the reason it ended where that is known.
        """
        item = self.get(id)
        if item is not None:
            return item
        if id in self._ended:
            raise ended_error(self._kind, id, self._ended[id])
        raise UnknownSession(f"{self._kind} {id!r} is unknown; {self._advice}")

    def start(self, item: ItemT, run: Callable[[], Awaitable[None]]) -> None:
        """Run an item by `run`; it is forgotten when that has ended."""
        task = asyncio.create_task(self._run(item, run), name=f"{self._kind} {item.id}")
        self._live[item.id] = item, task

    def forget(self, item: ItemT) -> None:
        """The item has ended; its id may be used again."""
        if self.get(item.id) is not item:  # forgotten before; the id may be another's by now
            return
        del self._live[item.id]
        self._ended[item.id] = item.end_reason or _CUT_OFF
        while len(self._ended) > _REMEMBERED_MAX:
            self._ended.popitem(last=False)

    async def wait(self, item: ItemT, *, timeout_s: float) -> None:
        """Wait until an item that runs has ended, for so long at most."""
        _, task = self._live[item.id]
        await asyncio.wait((task,), timeout=timeout_s)

    async def idle(self) -> None:
        """Return once nothing runs."""
        while self._live:
            await asyncio.wait([task for _, task in self._live.values()])

    async def end_all(self, end: Callable[[ItemT], None], *, timeout_s: float) -> None:
        """End every item by `end`; cancel those that run on after the timeout."""
        tasks = [task for _, task in self._live.values()]
        for item in self:
            end(item)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()

    async def _run(self, item: ItemT, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        finally:
            self.forget(item)


def ended_error(kind: str, id: str, reason: str) -> UnknownSession:
    """The error for a request about an item that has ended."""
    return UnknownSession(f"{kind} {id!r} has ended ({reason}); make a new offer to start another")
