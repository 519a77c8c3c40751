"""The UDP port for control surfaces.

OSC knows no tokens: whoever reaches the port steers every stream. So it is on this machine alone,
unless the host is told otherwise. Faders send hundreds of values a second; of each the newest is
taken, some times a second. What is too large, too much or not understood is dropped and said, not
more than once a second.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pythonosc.osc_message import OscMessage
from pythonosc.osc_packet import OscPacket, ParseError
from slipstream_protocol.clock import now_ns
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import Ack, Event, SurfaceMoved
from slipstream_server.errors import SlipstreamError
from slipstream_server.osc.surface_controls import SurfaceMove, parameters_of, read_move
from slipstream_server.sessions.registry import SessionRegistry
from slipstream_server.streams.stream import Stream
from slipstream_server.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

OSC_PACKET_MAX_BYTES = 4096
_MESSAGES_PER_S = 500
_MESSAGES_BURST = 100
_WAITING_MAX = 64  # controls that have a new value
_TAKEN_EVERY_S = 0.05


class OscPort(asyncio.DatagramProtocol):
    """Open while the block runs.

    Args:
        sessions: whose streams are steered.
        host, port: to listen on.
    """

    def __init__(self, sessions: SessionRegistry, *, host: str, port: int) -> None:
        self._sessions = sessions
        self._address = host, port
        self._waiting: dict[tuple[str, str], SurfaceMove] = {}  # by stream and control
        self._drops: Counter[str] = Counter()
        self._budget = TokenBucket(rate_per_s=_MESSAGES_PER_S, burst=_MESSAGES_BURST)
        self._says = TokenBucket(rate_per_s=1, burst=5)
        self._transport: asyncio.DatagramTransport | None = None
        self._taking: asyncio.Task[None] | None = None

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets and messages that were dropped, by cause."""
        return self._drops

    @property
    def port(self) -> int:
        """That it listens on."""
        assert self._transport is not None, "it is open"
        return int(self._transport.get_extra_info("sockname")[1])

    async def __aenter__(self) -> Self:
        """Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=self._address
        )
        self._taking = asyncio.create_task(self._take_waiting(), name="osc")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None and self._taking is not None, "it is open"
        self._transport.close()
        self._taking.cancel()
        await asyncio.gather(self._taking, return_exceptions=True)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """One packet: a message, or a bundle of some, whose times are not waited for."""
        if len(data) > OSC_PACKET_MAX_BYTES:
            self._drop(
                "large", f"a packet of {len(data)} bytes, the most is {OSC_PACKET_MAX_BYTES}"
            )
            return
        for message in self._messages(data):
            if not self._budget.take(1, now_ns()):
                self._drop("often", f"more than {_MESSAGES_PER_S} messages a second, send fewer")
                return
            try:
                self._receive(read_move(message.address, message.params))
            except (ValueError, SlipstreamError) as error:
                self._drop("refused", str(error))

    def _messages(self, data: bytes) -> Iterator[OscMessage]:
        if not self._budget.take(1, now_ns()):  # reading one costs as well
            self._drop("often", f"more than {_MESSAGES_PER_S} packets a second, send fewer")
            return
        try:
            packet = OscPacket(data)
        except (ParseError, ValueError, RecursionError) as error:
            self._drop("unreadable", f"a packet is no OSC ({error})")
            return
        for timed in packet.messages:
            yield timed.message

    def _receive(self, move: SurfaceMove) -> None:
        """A button is pressed at once, values are taken later: then the newest counts."""
        if move.is_release:
            return
        if move.control.is_on_page and move.control.value == "1":
            self._move_on_page(self._stream(move.stream), move)
            return
        key = move.stream, move.control.name
        if key not in self._waiting and len(self._waiting) >= _WAITING_MAX:
            self._drop("often", f"more than {_WAITING_MAX} controls were moved at once")
            return
        self._waiting[key] = move

    async def _take_waiting(self) -> None:
        while True:
            await asyncio.sleep(_TAKEN_EVERY_S)
            moves, self._waiting = self._waiting, {}
            updates: dict[str, Parameters] = {}
            for move in moves.values():
                try:
                    stream = self._stream(move.stream)
                    if move.control.is_on_page:
                        self._move_on_page(stream, move)
                    else:
                        update = parameters_of(move, stream.state_event())
                        updates[stream.id] = updates.get(stream.id, Parameters()).merged(update)
                except (ValueError, SlipstreamError) as error:
                    self._drop("refused", str(error))
            for id, update in updates.items():
                if not self._stream(id).update(update, self._answered):
                    self._drop("often", f"stream {id!r} gets more updates than it takes")

    def _stream(self, name: str) -> Stream:
        return self._sessions.stream(name) if name else self._sessions.newest_stream()

    def _move_on_page(self, stream: Stream, move: SurfaceMove) -> None:
        assert isinstance(move.value, float), "the page's controls take numbers"
        stream.tell_publisher(SurfaceMoved(name=move.control.name, value=move.value))

    def _answered(self, event: Event) -> None:
        match event:
            case Ack(status="rejected", errors=errors):
                self._drop("refused", "; ".join(errors))

    def _drop(self, cause: str, reason: str) -> None:
        self._drops[cause] += 1
        if self._says.take(1, now_ns()):
            logger.warning("OSC: %s", reason)
