"""Items that run: found by id, and remembered when they have ended."""

import asyncio

import pytest
from slipstream_server.errors import UnknownSession
from slipstream_server.live_registry import LiveRegistry


class Item:
    def __init__(self, id: str) -> None:
        self.id = id
        self.end_reason: str | None = None
        self._ending = asyncio.Event()

    def end(self, reason: str) -> None:
        self.end_reason = reason
        self._ending.set()

    async def run(self) -> None:
        await self._ending.wait()


def make_registry(*ids: str) -> tuple[LiveRegistry[Item], list[Item]]:
    registry: LiveRegistry[Item] = LiveRegistry("thing", advice="make one")
    items = [Item(id) for id in ids]
    for item in items:
        registry.start(item, item.run)
    return registry, items


async def test_an_item_is_found_until_it_has_ended() -> None:
    """then the reason is; an id that never was has the advice."""
    registry, (one, two) = make_registry("one", "two")
    assert list(registry) == [one, two]
    assert registry.find("one") is one
    one.end("enough")
    await registry.wait(one, timeout_s=1)
    assert list(registry) == [two]
    with pytest.raises(UnknownSession, match=r"thing 'one' has ended \(enough\)"):
        registry.find("one")
    with pytest.raises(UnknownSession, match="thing 'three' is unknown; make one"):
        registry.find("three")
    await registry.end_all(lambda item: item.end("over"), timeout_s=1)


async def test_one_that_fails_is_forgotten_too() -> None:
    registry: LiveRegistry[Item] = LiveRegistry("thing", advice="make one")

    async def fail() -> None:
        raise asyncio.CancelledError

    registry.start(item := Item("one"), fail)
    await registry.wait(item, timeout_s=1)
    with pytest.raises(UnknownSession, match="cut off"):
        registry.find("one")


async def test_the_end_of_one_leaves_its_successor() -> None:
    """an id that was given up early may be another's when the first one has ended."""
    registry, (first,) = make_registry("name")
    first.end("given up")
    registry.forget(first)
    registry.start(second := Item("name"), second.run)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert registry.find("name") is second
    await registry.end_all(lambda item: item.end("over"), timeout_s=1)


async def test_all_are_ended_and_the_late_cancelled() -> None:
    registry, (prompt, late) = make_registry("prompt", "late")
    await registry.end_all(
        lambda item: item.end("over") if item is prompt else None, timeout_s=0.01
    )
    assert list(registry) == [late]
    await registry.wait(late, timeout_s=1)
    assert list(registry) == []


async def test_the_reasons_of_the_newest_are_remembered() -> None:
    registry, items = make_registry(*(f"{n}" for n in range(300)))
    for item in items:
        item.end("enough")
        registry.forget(item)
    with pytest.raises(UnknownSession, match="is unknown"):
        registry.find("43")
    with pytest.raises(UnknownSession, match="has ended"):
        registry.find("44")
    await asyncio.sleep(0)
