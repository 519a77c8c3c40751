"""Credit-based flow control of each stream, for its input and for its output. Pure.

Input: a chunk occupies an input slot from its offer on. The slot goes back as a `Credit`, with
which the stream may send its next chunk; when, the policy says by `Prefetch`. Output: a stream
whose finished chunks occupy all of its output slots is held until one has been read.

    flow.occupy(stream, chunk, slot)  # with each offer to the policy
    batch = policy.next_batch(now_ns)
    flow.credits_before(batch)  # then run it
    flow.on_encoded(stream, chunk)  # or on_output, or on_dropped: one of them for each chunk
    flow.on_output_read(stream)

The caller sends on the credits that its methods return, at once and in order.
"""

from slipstream_engine.scheduling.input_credits import Credit, CreditQueue
from slipstream_engine.scheduling.policy import SchedulingPolicy
from slipstream_engine.scheduling.types import Batch, Prefetch


class FlowControl:
    """The input slots and the holds of all streams of one device.

    Args:
        policy: of that device; it decides when a stream's next chunk is wanted, and learns which
            streams are held.
    """

    def __init__(self, policy: SchedulingPolicy) -> None:
        self._policy = policy
        self._late_credits = CreditQueue()
        self._occupied_slots: dict[tuple[int, int], int] = {}  # by stream and chunk

    def occupy(self, stream: int, chunk: int, slot: int) -> None:
        """A chunk that is offered to the policy lies in an input slot."""
        self._occupied_slots[stream, chunk] = slot

    def close(self, stream: int) -> None:
        """Forget a stream: no credits are due for its slots."""
        self._late_credits.remove_stream(stream)
        for key in [key for key in self._occupied_slots if key[0] == stream]:
            del self._occupied_slots[key]

    def credits_before(self, batch: Batch | None) -> list[Credit]:
        """The credits due before `batch` is run, or where there is nothing to run."""
        if batch is None:
            return self._late_credits.grant_all()
        return self._late_credits.grant_one() if self._policy.is_last(batch) else []

    def on_encoded(self, stream: int, chunk: int) -> list[Credit]:
        """A chunk is encoded: its input slot may be of use to the next one already."""
        if self._policy.prefetch(stream) is not Prefetch.AFTER_ENCODE:
            return []
        return [self._free(stream, chunk)]

    def on_output(self, stream: int, chunk: int, *, has_output_room: bool) -> list[Credit]:
        """A chunk is finished.

        Args:
            has_output_room: whether its stream has another free output slot; else it is held.
        """
        granted: list[Credit] = []
        if (stream, chunk) in self._occupied_slots:
            is_late = self._policy.prefetch(stream) is Prefetch.ON_IDLE
            credit = self._free(stream, chunk)
            if is_late:
                self._late_credits.add(credit)
            else:
                granted.append(credit)
        if not has_output_room:
            self._policy.hold(stream)
        return granted

    def on_output_read(self, stream: int) -> None:
        """An output slot of the stream is free again."""
        self._policy.release(stream)

    def on_dropped(self, stream: int, chunk: int) -> Credit:
        """A chunk is dropped, which happens only before it is begun: its input slot is free."""
        return self._free(stream, chunk)

    def _free(self, stream: int, chunk: int) -> Credit:
        return Credit(stream=stream, slot=self._occupied_slots.pop((stream, chunk)))
