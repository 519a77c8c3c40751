"""UDP ports for tests: a range of free ones, and sockets that occupy some."""

import contextlib
import os
import socket
from collections.abc import Iterator

from slipstream_server.media_addressing import PortRange


@contextlib.contextmanager
def occupied(*ports: int) -> Iterator[None]:
    """Occupy these ports at every address. Raises OSError if one is not free."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            four = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            four.bind(("0.0.0.0", port))
            if socket.has_ipv6:
                six = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
                six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                six.bind(("::", port))
        yield


def free_range(count: int) -> PortRange:
    """So many ports in a row that are free at this moment.

    Each process searches from another port, so that tests that run side by side do not collide.
    """
    first = 42_000 + os.getpid() * 64 % 18_000
    for low in (*range(first, 60_000, count), *range(42_000, first, count)):
        with contextlib.suppress(OSError), occupied(*range(low, low + count)):
            return PortRange(low=low, high=low + count - 1)
    raise AssertionError("there is no free range")
