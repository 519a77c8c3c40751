"""RTP packets in any order into whole frames in order, and what to request of the sender. Pure.

aiortc's own buffer releases a frame when the first packet of the next one comes, a whole frame
interval late, and waits for a lost packet for as long as its buffer lasts. This one

* releases a frame with its last packet: the one with the marker, or the one before the timestamp
  changes, for senders that set no marker;
* requests lost packets (NACK), several times, for as long as a viewer would want to wait;
* then requests a key frame (PLI), and goes on with whichever comes first, the packets or a key
  frame;
* requests what was sent before the first packet that came, where that begins no key frame: media
  leaves as soon as the sender's side is connected, and OBS and FFmpeg make no key frame on request.

No frame that comes out lacks a packet, and none is older than the one before. Sequence numbers are
unwrapped inside, so they never start over.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from slipstream_protocol.clock import NS_PER_MS

from slipstream_server.receive.frame_search import (
    FramePackets,
    Packet,
    first_whole_key_frame,
    frames_in,
    is_key_frame_coming,
    newest_whole_frame,
)
from slipstream_server.receive.loss_feedback import NackGenerator, PliGenerator

_CAPACITY_PACKETS = 1024
_GAP_WAIT_NS = 80 * NS_PER_MS
_GAP_WAIT_MAX_NS = 500 * NS_PER_MS
_SEQUENCES = 1 << 16
# looking for a key frame takes some microseconds for each place in the buffer: few are looked
# through as each packet comes, many not more often than leaves nine tenths of the time
_AT_ONCE_PACKETS = 64
_LOOK_EVERY_NS = 50_000  # for each place
_BEGINNING_PACKETS = 128  # a key frame and what follows it in a tenth of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedFrame:
    """One whole frame.

    Args:
        timestamp: the sender's, of 32 bits.
        needs_none_before: whether it is a key frame, or the first one for the decoder.
    """

    timestamp: int
    payload_type: int
    data: bytes
    needs_none_before: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JitterOutcome:
    """Frames for the decoder; what to request: packets (16-bit numbers), perhaps a key frame."""

    frames: tuple[EncodedFrame, ...] = ()
    nack: tuple[int, ...] = ()
    pli: bool = False


_NOTHING = JitterOutcome()  # of most packets


class JitterBuffer:
    """The packets of one stream on their way to the decoder.

    After `add` returned, call `poll` no later than `due_ns` says.

    Packets that are not used are counted in `drops`, by cause: `late`, `duplicate`, `stray` are
    far from their neighbours, `skipped` belonged to frames given up, `overflow` came when the
    buffer was full.

    Args:
        capacity_packets: how many packets may wait.
        gap_wait_ns: how long a lost packet may hold up the stream, at least; more where the round
            trip is long.
        wants_beginning: whether to request what was sent before the first packet that comes.
    """

    def __init__(
        self,
        *,
        capacity_packets: int = _CAPACITY_PACKETS,
        gap_wait_ns: int = _GAP_WAIT_NS,
        wants_beginning: bool = False,
    ) -> None:
        if capacity_packets < 2:
            raise ValueError(f"capacity_packets is {capacity_packets}, it must be at least 2")
        self.nacks = NackGenerator()
        self._plis = PliGenerator()
        self._capacity_packets = capacity_packets
        self._gap_wait_ns = gap_wait_ns
        self._wants_beginning = wants_beginning
        self._drops: Counter[str] = Counter()
        self._packets: dict[int, Packet] = {}
        self._key_packets: set[int] = set()  # those of them that say they are of a key frame
        self._looked_ns: int | None = None  # when a key frame was last looked for
        self._look_due_ns: int | None = None  # when it will be, where that was too soon
        self._needs_key = False  # whether none was found, then
        self._highest: int | None = None
        self._next = 0  # the first packet of the next frame
        self._end = 0  # all packets from `_next` up to here, exclusive, are there
        self._takes_earlier = True  # whether packets before `_next` may still be reordered in
        self._is_at_boundary = False  # whether `_next` surely starts a frame
        self._is_decodable = False  # whether the decoder has all that the next frame builds on
        self._is_beginning = False  # whether the next frame is the first for the decoder
        self._trusts_markers = True
        self._last_timestamp: int | None = None
        self._stray: Packet | None = None

    @property
    def drops(self) -> Mapping[str, int]:
        return self._drops

    def add(self, packet: Packet, now_ns: int) -> JitterOutcome:
        """Take in a packet."""
        sequence = self._unwrap(packet, now_ns)
        if sequence is None or not self._insert(sequence, packet, now_ns):
            return _NOTHING
        return self.poll(now_ns)

    def poll(self, now_ns: int) -> JitterOutcome:
        """What is to be done now."""
        frames = list(self._release_frames())
        needs_key = False
        self._look_due_ns = None
        if self._is_blocked(now_ns):
            if self._may_look(now_ns):
                start = self._way_out(now_ns)
                if start is not None:
                    self._skip_to(start)
                    frames += self._release_frames()
            needs_key = self._needs_key
        nack = self.nacks.take_due(now_ns)
        pli = self._plis.take_due(needs_key, now_ns)
        if not (frames or nack or pli):
            return _NOTHING
        return JitterOutcome(
            frames=tuple(frames),
            nack=tuple(sequence % _SEQUENCES for sequence in nack),
            pli=pli,
        )

    def due_ns(self) -> int | None:
        """When `poll` must be called if no packet comes before; None for never."""
        pli_ns = self._plis.due_ns()
        if pli_ns is None and (gap := self._gap()) is not None:
            missing_since_ns = self.nacks.missing_since_ns(gap)
            if missing_since_ns is not None:
                pli_ns = missing_since_ns + self._max_gap_wait_ns()
        soonest_ns = None
        for due_ns in (self.nacks.due_ns(), pli_ns, self._look_due_ns):
            if due_ns is not None and (soonest_ns is None or due_ns < soonest_ns):
                soonest_ns = due_ns
        return soonest_ns

    def require_key_frame(self) -> None:
        """The decoder has missed a frame: go on with the next that needs none before it."""
        self._is_decodable = False

    # ---- packets into their places

    def _unwrap(self, packet: Packet, now_ns: int) -> int | None:
        """The packet's sequence number, unwrapped; None for a stray packet.

        Two strays in a row are a new beginning.
        """
        if self._highest is None:
            first = self._restart_at(packet)
            if self._wants_beginning and not (packet.starts_frame and packet.is_key):
                self.nacks.on_gap(range(first - _BEGINNING_PACKETS, first), now_ns)
            return first
        half = _SEQUENCES // 2
        step = (packet.sequence - self._highest + half) % _SEQUENCES - half
        if abs(step) < self._capacity_packets:
            return self._highest + step
        stray, self._stray = self._stray, packet
        if stray is None or (stray.sequence + 1) % _SEQUENCES != packet.sequence:
            self._drops["stray"] += 1
            return None
        self._insert(self._restart_at(stray), stray, now_ns)
        return self._unwrap(packet, now_ns)

    def _restart_at(self, packet: Packet) -> int:
        """Begin with `packet`; its unwrapped number is far above all numbers used before."""
        cycle = 1 if self._highest is None else self._highest // _SEQUENCES + 2
        sequence = cycle * _SEQUENCES + packet.sequence
        self._drop_before(sequence, "skipped")
        self._highest = sequence - 1
        self._takes_earlier = True
        self._trusts_markers = True
        self._last_timestamp = None
        return sequence

    def _insert(self, sequence: int, packet: Packet, now_ns: int) -> bool:
        """Keep the packet; False if it is of no use."""
        assert self._highest is not None, "a packet is unwrapped before it is inserted"
        self._stray = None
        if sequence > self._highest:
            self.nacks.on_gap(range(self._highest + 1, sequence), now_ns)
            self._highest = sequence
        else:
            self.nacks.on_packet(sequence, now_ns)
        if sequence in self._packets:
            self._drops["duplicate"] += 1
            return False
        if sequence < self._next:
            if not self._takes_earlier:
                self._drops["late"] += 1
                return False
            self._next = self._end = sequence
        self._packets[sequence] = packet
        if packet.is_key:
            self._key_packets.add(sequence)
        if self._highest - self._next >= self._capacity_packets:
            self._drop_before(self._highest - self._capacity_packets // 2, "overflow")
        return True

    def _drop_before(self, sequence: int, cause: str) -> None:
        """Begin at `sequence`, which may lie in the middle of a frame."""
        old = [one for one in self._packets if one < sequence]
        for one in old:
            del self._packets[one]
        self._key_packets = {one for one in self._key_packets if one >= sequence}
        self._drops[cause] += len(old)
        self.nacks.forget_before(sequence)
        self._next = self._end = sequence
        self._takes_earlier = self._is_at_boundary = self._is_decodable = False

    # ---- whole frames out

    def _release_frames(self) -> Iterator[EncodedFrame]:
        """The whole frames at the front, which leave the buffer."""
        if not (self._is_at_boundary and self._is_decodable):
            return
        while (packet := self._packets.get(self._end)) is not None:
            if packet.timestamp != self._packets[self._next].timestamp:
                yield from self._release_frame()
            if self._end == self._next and packet.timestamp == self._last_timestamp:
                # a frame goes on behind a marker; what is empty is padding and belongs to no frame
                self._trusts_markers &= not packet.data
            self._end += 1
            if packet.marker and self._trusts_markers:
                yield from self._release_frame()

    def _release_frame(self) -> Iterator[EncodedFrame]:
        packets = [self._packets.pop(sequence) for sequence in range(self._next, self._end)]
        if self._key_packets:
            self._key_packets.difference_update(range(self._next, self._end))
        self._next = self._end
        self._last_timestamp = packets[0].timestamp
        data = b"".join(packet.data for packet in packets)
        if data:
            is_first, self._is_beginning = self._is_beginning, False
            yield EncodedFrame(
                timestamp=packets[0].timestamp,
                payload_type=packets[0].payload_type,
                data=data,
                needs_none_before=is_first or any(packet.is_key for packet in packets),
            )

    # ---- past a gap

    def _gap(self) -> int | None:
        """The lost packet that holds up the next frame."""
        if self._highest is None or self._end >= self._highest or self._end in self._packets:
            return None
        return self._end

    def _max_gap_wait_ns(self) -> int:
        return min(max(self._gap_wait_ns, self.nacks.rtt_ns * 5 // 2), _GAP_WAIT_MAX_NS)

    def _is_gap_expired(self, gap: int, now_ns: int) -> bool:
        missing_since_ns = self.nacks.missing_since_ns(gap)
        return missing_since_ns is None or now_ns - missing_since_ns >= self._max_gap_wait_ns()

    def _is_blocked(self, now_ns: int) -> bool:
        """Whether the next frame lacks a packet for too long, or could not be decoded."""
        if not self._packets:
            return False
        if not (self._is_at_boundary and self._is_decodable):
            return True
        gap = self._gap()
        return gap is not None and self._is_gap_expired(gap, now_ns)

    def _may_look(self, now_ns: int) -> bool:
        """Whether to look for a way out now; where many packets wait, not as each one comes."""
        assert self._highest is not None, "there are packets"
        places = self._highest - self._next + 1
        if places > _AT_ONCE_PACKETS and self._looked_ns is not None:
            due_ns = self._looked_ns + places * _LOOK_EVERY_NS
            if now_ns < due_ns:
                self._look_due_ns = due_ns
                return False
        self._looked_ns = now_ns
        return True

    def _way_out(self, now_ns: int) -> int | None:
        """Where a frame starts that the decoder can go on with; None where there is none yet, and
        `_needs_key` says whether one has to be requested."""
        has_given_up = self._plis.has_given_up(now_ns)
        self._needs_key = True
        if not self._key_packets and not has_given_up:
            return None
        waiting = self._waiting_frames()
        start = first_whole_key_frame(waiting)
        if start is None and has_given_up:  # any whole frame will do
            start = newest_whole_frame(waiting)
        self._needs_key = start is None and not is_key_frame_coming(
            waiting, lambda gap: self._is_gap_expired(gap, now_ns)
        )
        return start

    def _waiting_frames(self) -> list[FramePackets]:
        assert self._highest is not None, "there are packets"
        return list(
            frames_in(
                self._packets,
                range(self._next, self._highest + 1),
                is_boundary=self._is_at_boundary,
                trusts_markers=self._trusts_markers,
            )
        )

    def _skip_to(self, start: int) -> None:
        self._drop_before(start, "skipped")
        self._is_at_boundary = self._is_decodable = self._is_beginning = True
