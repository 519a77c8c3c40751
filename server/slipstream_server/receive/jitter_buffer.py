"""RTP packets in any order into whole frames in order, and what to ask the sender for. Pure.

aiortc's own buffer releases a frame when the first packet of the next one comes, a whole frame
interval late, and waits for a lost packet for as long as its buffer lasts. This one

* releases a frame with its last packet: the one with the marker, or the one before the timestamp
  changes, for senders that set no marker;
* asks for lost packets again and again (`nack`), for as long as a viewer would want to wait;
* then asks for a key frame, and goes on with whichever comes first, the packets or a key frame.

No frame that comes out lacks a packet, and none is older than the one before. Sequence numbers are
unwrapped inside, so they never start over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS, NS_PER_S

from slipstream_server.receive.nack_generator import NackGenerator

_CAPACITY_PACKETS = 1024
_PATIENCE_NS = 80 * NS_PER_MS
_PATIENCE_MAX_NS = 500 * NS_PER_MS
_PLI_EVERY_NS = 500 * NS_PER_MS
_KEY_PATIENCE_NS = 3 * NS_PER_S  # then any whole frame will do: some senders make no key frames
_SEQUENCES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """One RTP packet without its packaging.

    Args:
        marker: whether it says that it ends its frame.
        begins, key: see `payloads.Content`.
        data: its part of the encoded frame; empty for padding.
    """

    sequence: int
    timestamp: int
    payload_type: int
    marker: bool
    begins: bool
    key: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFrame:
    """One whole frame; `timestamp` is the sender's, of 32 bits."""

    timestamp: int
    payload_type: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class JitterOutcome:
    """Frames for the decoder; packets (16-bit numbers) and perhaps a key frame to ask for."""

    frames: tuple[EncodedFrame, ...] = ()
    nack: tuple[int, ...] = ()
    pli: bool = False


class JitterBuffer:
    """The packets of one stream on their way to the decoder.

    After `add` returned, call `poll` no later than `due_ns` says.

    Packets that come to nothing are counted in `drops`, by cause: `late`, `duplicate`, `stray` are
    far from their neighbours, `skipped` belonged to frames given up, `overflow` came when the
    buffer was full.

    Args:
        capacity_packets: how many packets may wait.
        patience_ns: how long a lost packet may hold up the stream, at least; more where the round
            trip is long.
    """

    def __init__(
        self, *, capacity_packets: int = _CAPACITY_PACKETS, patience_ns: int = _PATIENCE_NS
    ) -> None:
        if capacity_packets < 2:
            raise ValueError(f"capacity_packets is {capacity_packets}, it must be at least 2")
        self.nacks = NackGenerator()
        self._capacity = capacity_packets
        self._patience_ns = patience_ns
        self._drops: Counter[str] = Counter()
        self._packets: dict[int, Packet] = {}
        self._highest: int | None = None
        self._next = 0  # the first packet of the next frame
        self._edge = 0  # up to here the packets of the next frame are there
        self._open = True  # whether packets before `_next` are still welcome
        self._at_boundary = False  # whether `_next` surely begins a frame
        self._decodable = False  # whether the decoder has all that the next frame builds on
        self._trusts_markers = True
        self._last_timestamp: int | None = None
        self._stray: Packet | None = None
        self._wanting_ns: int | None = None  # since when only a key frame helps
        self._pli_due_ns = 0

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    @property
    def waiting_packets(self) -> int:
        return len(self._packets)

    def add(self, packet: Packet, now_ns: int) -> JitterOutcome:
        """Take in a packet."""
        sequence = self._unwrap(packet, now_ns)
        if sequence is None or not self._place(sequence, packet, now_ns):
            return JitterOutcome()
        return self.poll(now_ns)

    def poll(self, now_ns: int) -> JitterOutcome:
        """What is to be done now."""
        frames = list(self._advance())
        wants_key = False
        if self._is_stuck(now_ns):
            start, coming = self._scan(now_ns)
            if start is not None:
                self._skip_to(start)
                frames += self._advance()
            else:
                wants_key = not coming
        return JitterOutcome(
            frames=tuple(frames),
            nack=tuple(sequence % _SEQUENCES for sequence in self.nacks.due(now_ns)),
            pli=self._wants_pli(wants_key, now_ns),
        )

    def due_ns(self) -> int | None:
        """When `poll` must be called if no packet comes before; None for never."""
        dues = [self.nacks.due_ns()]
        if self._wanting_ns is not None:
            dues += [self._pli_due_ns, self._wanting_ns + _KEY_PATIENCE_NS]
        elif (hole := self._hole()) is not None:
            noticed_ns = self.nacks.noticed_ns(hole)
            dues.append(None if noticed_ns is None else noticed_ns + self._hole_patience_ns())
        return min((due for due in dues if due is not None), default=None)

    def need_key(self) -> None:
        """The decoder has missed a frame: go on with the next that needs none before it."""
        self._decodable = False

    # ---- packets into their places

    def _unwrap(self, packet: Packet, now_ns: int) -> int | None:
        """The packet's place; None for a stray one. Two strays in a row are a new beginning."""
        if self._highest is None:
            return self._begin(packet)
        half = _SEQUENCES // 2
        step = (packet.sequence - self._highest + half) % _SEQUENCES - half
        if abs(step) < self._capacity:
            return self._highest + step
        stray, self._stray = self._stray, packet
        if stray is None or (stray.sequence + 1) % _SEQUENCES != packet.sequence:
            self._drops["stray"] += 1
            return None
        self._place(self._begin(stray), stray, now_ns)
        return self._unwrap(packet, now_ns)

    def _begin(self, packet: Packet) -> int:
        """Start anew with `packet`, far above all numbers used before."""
        cycle = 1 if self._highest is None else self._highest // _SEQUENCES + 2
        sequence = cycle * _SEQUENCES + packet.sequence
        self._drop_before(sequence, "skipped")
        self._highest = sequence - 1
        self._open = True
        self._trusts_markers = True
        self._last_timestamp = None
        return sequence

    def _place(self, sequence: int, packet: Packet, now_ns: int) -> bool:
        assert self._highest is not None, "a packet is unwrapped before it is placed"
        self._stray = None
        if sequence > self._highest:
            self.nacks.missed(range(self._highest + 1, sequence), now_ns)
            self._highest = sequence
        else:
            self.nacks.arrived(sequence, now_ns)
        if sequence in self._packets:
            self._drops["duplicate"] += 1
            return False
        if sequence < self._next:
            if not self._open:
                self._drops["late"] += 1
                return False
            self._next = self._edge = sequence
        self._packets[sequence] = packet
        if self._highest - self._next >= self._capacity:
            self._drop_before(self._highest - self._capacity // 2, "overflow")
        return True

    def _drop_before(self, sequence: int, cause: str) -> None:
        """Begin at `sequence`, which may lie in the middle of a frame."""
        old = [one for one in self._packets if one < sequence]
        for one in old:
            del self._packets[one]
        self._drops[cause] += len(old)
        self.nacks.forget_before(sequence)
        self._next = self._edge = sequence
        self._open = self._at_boundary = self._decodable = False

    # ---- whole frames out

    def _advance(self) -> Iterator[EncodedFrame]:
        """The whole frames at the front."""
        if not (self._at_boundary and self._decodable):
            return
        while (packet := self._packets.get(self._edge)) is not None:
            if packet.timestamp != self._packets[self._next].timestamp:
                yield from self._release()
            if self._edge == self._next and packet.timestamp == self._last_timestamp:
                # a frame goes on behind a marker; what is empty is padding and belongs to no frame
                self._trusts_markers &= not packet.data
            self._edge += 1
            if packet.marker and self._trusts_markers:
                yield from self._release()

    def _release(self) -> Iterator[EncodedFrame]:
        packets = [self._packets.pop(sequence) for sequence in range(self._next, self._edge)]
        self._next = self._edge
        self._last_timestamp = packets[0].timestamp
        data = b"".join(packet.data for packet in packets)
        if data:
            yield EncodedFrame(
                timestamp=packets[0].timestamp, payload_type=packets[0].payload_type, data=data
            )

    # ---- past a hole

    def _hole(self) -> int | None:
        """The lost packet that holds up the next frame."""
        if self._highest is None or self._edge >= self._highest or self._edge in self._packets:
            return None
        return self._edge

    def _hole_patience_ns(self) -> int:
        return min(max(self._patience_ns, self.nacks.rtt_ns * 5 // 2), _PATIENCE_MAX_NS)

    def _is_young(self, hole: int, now_ns: int) -> bool:
        noticed_ns = self.nacks.noticed_ns(hole)
        return noticed_ns is not None and now_ns - noticed_ns < self._hole_patience_ns()

    def _is_stuck(self, now_ns: int) -> bool:
        """Whether the next frame cannot be had, or would be of no use."""
        if not self._packets:
            return False
        if not (self._at_boundary and self._decodable):
            return True
        hole = self._hole()
        return hole is not None and not self._is_young(hole, now_ns)

    def _scan(self, now_ns: int) -> tuple[int | None, bool]:
        """Where the next whole key frame begins, if there is one, else whether one is on its way.

        Where none has come for long, the last whole frame is taken, of whatever kind.
        """
        assert self._highest is not None, "there are packets"
        since_ns = self._wanting_ns
        any_will_do = since_ns is not None and now_ns - since_ns >= _KEY_PATIENCE_NS
        start = self._next if self._at_boundary else None
        key = coming = False
        newest: int | None = None
        previous: Packet | None = None
        for sequence in range(self._next, self._highest + 1):
            packet = self._packets.get(sequence)
            if packet is None:
                coming |= start is not None and key and self._is_young(sequence, now_ns)
                start, key, previous = None, False, None
                continue
            if previous is None:
                start = sequence if packet.begins else start
            elif self._ends(previous, packet):
                if start is not None and key:
                    return start, True
                newest = start if start is not None else newest
                start, key = sequence, False
            key |= packet.key
            if packet.marker and self._trusts_markers and start is not None:
                if key:
                    return start, True
                newest = start
            previous = packet
        if any_will_do and newest is not None:
            return newest, True
        return None, coming or (start is not None and key)

    def _ends(self, packet: Packet, following: Packet) -> bool:
        """Whether `packet` is the last of its frame."""
        if packet.timestamp != following.timestamp:
            return True
        return packet.marker and self._trusts_markers

    def _skip_to(self, start: int) -> None:
        self._drop_before(start, "skipped")
        self._at_boundary = self._decodable = True

    def _wants_pli(self, wants_key: bool, now_ns: int) -> bool:
        if not wants_key:
            self._wanting_ns = None
            return False
        if self._wanting_ns is None:
            self._wanting_ns = now_ns
        if now_ns < self._pli_due_ns:
            return False
        self._pli_due_ns = now_ns + _PLI_EVERY_NS
        return True
