"""Credentials that expire: when to fetch anew, and which may still be given out. Pure."""

from collections.abc import Sequence
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

LIFE_S = 86_400  # the most that the providers give
_RENEW_SHARE = 0.25  # of their life, a call that begins with them has at least so much before it
_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0


class CredentialCache(Generic[ItemT]):
    """What was fetched last, with the time it holds; every time is an argument, in seconds.

    Args:
        life_s: for how long what is fetched holds.
    """

    def __init__(self, *, life_s: float = LIFE_S) -> None:
        self._life_s = life_s
        self._items: tuple[ItemT, ...] = ()
        self._until_s = float("-inf")
        self._due_s = float("-inf")
        self._retry_s = _FIRST_RETRY_S

    def fetched(self, items: Sequence[ItemT], now_s: float) -> None:
        """New ones are here."""
        self._items = tuple(items)
        self._until_s = now_s + self._life_s
        self._due_s = now_s + self._life_s * (1 - _RENEW_SHARE)
        self._retry_s = _FIRST_RETRY_S

    def failed(self, now_s: float) -> None:
        """There are none to be had now; those that are here are used as long as they hold."""
        self._due_s = now_s + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def held(self, now_s: float) -> tuple[ItemT, ...]:
        """Those that hold."""
        return self._items if now_s < self._until_s else ()

    def due_in_s(self, now_s: float) -> float:
        """When to fetch: 0 if at once."""
        return max(0.0, self._due_s - now_s)
