"""Accepts HTTP connections: each has a place in the `ConnectionTable`, and deadlines.

With TLS, requests of plain HTTP to the same port are redirected.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web
from slipstream_protocol.clock import now_ns

from slipstream_server.http.connection import HttpConnection
from slipstream_server.http.connection_table import ConnectionTable, Place
from slipstream_server.http.error_pages import RequestProtocol
from slipstream_server.http.rate_limit import client_key, is_loopback
from slipstream_server.http.tls_listener import HELLO_S, begins_tls
from slipstream_server.web_addressing import TrustedProxies

logger = logging.getLogger(__name__)

_ACCEPT_PAUSE_S = 0.5
_SWEEP_S = 1.0
_PLACES_MAX = 1024
_PLACES_MIN = 32
_DESCRIPTORS_WANTED = 16384
_DESCRIPTORS_OF_CALL = 8  # its sockets: one for each address of the machine, and relays
_OWN_DESCRIPTORS = 128  # of the engine, the log, the page's files, the event loop


class HttpListener:
    """Accepts connections for `server` while its block runs.

    Args:
        server: what each connection's protocol is made for; it closes them when it is shut down.
        listener: bound and listening; stays the caller's.
        table: the places.
        trusted_proxies: addresses that many callers may be behind.
        tls: with it HTTPS is served; called for each connection.
    """

    def __init__(
        self,
        server: web.Server,
        listener: socket.socket,
        table: ConnectionTable,
        *,
        trusted_proxies: TrustedProxies,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._server = server
        self._listener = listener
        self._table = table
        self._trusted_proxies = trusted_proxies
        self._tls = tls
        self._connections: dict[Place, HttpConnection] = {}
        self._beginning: set[asyncio.Task[None]] = set()
        self._running: tuple[asyncio.Task[None], ...] = ()
        self._last_refused = ""  # each flood is logged once, not each of its connections

    async def __aenter__(self) -> Self:
        self._listener.setblocking(False)
        self._running = (
            asyncio.create_task(self._accept(), name="http accept"),
            asyncio.create_task(self._sweep(), name="http deadlines"),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [*self._running, *self._beginning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:  # out of descriptors, most likely: it passes
                logger.warning("a connection could not be accepted: %s", error)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            client = client_key(address[0])
            is_proxy = is_loopback(client) or self._trusted_proxies.includes(address[0])
            given = self._table.admit(client, now_ns(), is_proxy=is_proxy)
            if given.evicted in self._connections:
                self._connections[given.evicted].abort()
            if given.place is None:
                self._refuse(connection, client)
                continue
            task = asyncio.create_task(self._begin(connection, given.place), name="http begin")
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    def _refuse(self, connection: socket.socket, client: str) -> None:
        connection.close()
        if client != self._last_refused:
            self._last_refused = client
            logger.warning(
                "%s holds %d connections and gets no more; all are %s",
                client,
                self._table.held_by(client),
                ", ".join(f"{count} {phase}" for phase, count in self._table.counts().items()),
            )

    async def _begin(self, sock: socket.socket, place: Place) -> None:
        """Pass a connection to the server, or redirect one of plain HTTP."""
        loop = asyncio.get_running_loop()
        handed_over = False
        try:
            if self._tls is not None and not await begins_tls(sock):
                return
            connection = HttpConnection(RequestProtocol.of(self._server), self._table, place)
            self._connections[place] = connection
            handed_over = True
            await loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=self._tls() if self._tls is not None else None,
                ssl_handshake_timeout=HELLO_S if self._tls is not None else None,
            )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self._table.release(place)
            logger.debug("a connection did not begin: %s", error)
        finally:
            if not handed_over:
                self._table.release(place)
                sock.close()

    async def _sweep(self) -> None:
        """Close what is beyond its deadline, and forget what is gone."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            for place in self._table.expired(now_ns()):
                if place in self._connections:
                    self._connections[place].abort()
            for place in [one for one in self._connections if not self._table.has(one)]:
                del self._connections[place]


def http_places(calls: int) -> int:
    """How many HTTP connections there may be beside so many calls; raises this process' limit of
    descriptors, whose default is from a time of fewer sockets.

    Args:
        calls: each has a socket for each address of the machine.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = (
        _DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS_WANTED)
    )
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    reserved = _OWN_DESCRIPTORS + calls * _DESCRIPTORS_OF_CALL
    left = _PLACES_MAX if soft == resource.RLIM_INFINITY else soft - reserved
    if left < _PLACES_MAX // 4:
        logger.warning(
            "this process may have %d descriptors, %d are kept for calls: %d are left for HTTP "
            "connections; raise the limit (ulimit -n)",
            soft,
            reserved,
            max(left, 0),
        )
    return max(_PLACES_MIN, min(_PLACES_MAX, left))
