"""A stream's sound for one receiver, as a track of packets that are sent as they are."""

import asyncio
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet

from slipstream_server.sound.delay_line import SOUND_HZ, DueSound

_MAX_PACKETS = 25  # half a second of the usual length; sending one takes no time to speak of
_TIME_BASE = Fraction(1, SOUND_HZ)


class OpusTrack(MediaStreamTrack):
    """The sound of one receiver: what is pushed comes out of `recv`, the oldest dropped first.

    It joins `tracks` when the first packet is requested, which is when the receiver is connected,
    and leaves with `stop`.

    Args:
        tracks: of all connected receivers.

    Attributes:
        on_sent: called when the packet that was handed over last was sent, with when it is due.
        dropped: packets that were not requested in time.
    """

    kind = "audio"

    def __init__(self, tracks: "list[OpusTrack]") -> None:
        super().__init__()
        self.on_sent: Callable[[int], None] = lambda due_ns: None
        self.dropped = 0
        self._tracks = tracks
        self._packets: deque[DueSound] = deque(maxlen=_MAX_PACKETS)
        self._handed_over: DueSound | None = None
        self._changed = asyncio.Event()

    def push(self, due: DueSound) -> None:
        """Take in the next packet, whose time to leave is now."""
        self.dropped += len(self._packets) == _MAX_PACKETS
        self._packets.append(due)
        self._changed.set()

    async def recv(self) -> "Packet[Any]":
        """The next packet, as soon as it is there.

        Raises:
            MediaStreamError: if the track was stopped.
        """
        if self._handed_over is not None:  # aiortc has sent it before it requests another
            self.on_sent(self._handed_over.due_ns)
        while self.readyState == "live":
            if self not in self._tracks:
                self._tracks.append(self)
            if self._packets:
                self._handed_over = self._packets.popleft()
                sound = self._handed_over.sound
                packet: Packet[Any] = Packet(sound.payload)
                packet.pts, packet.time_base = sound.pts, _TIME_BASE
                return packet
            self._changed.clear()
            await self._changed.wait()
        raise MediaStreamError

    def stop(self) -> None:
        super().stop()
        if self in self._tracks:
            self._tracks.remove(self)
        self._changed.set()
