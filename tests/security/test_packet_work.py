"""No packet of a call is much work, whatever its sender sends: others are on that loop.

Whoever may publish may send packets that never make a picture, as fast as the link allows.
"""

import pytest
from slipstream_protocol.clock import NS_PER_MS
from slipstream_server.receive.frame_search import Packet
from slipstream_server.receive.jitter_buffer import JitterBuffer

from tests.security.steps import Steps

BEFORE, COUNTED = 1100, 400  # packets: the buffer is full by then
STEPS_MAX = 600  # a packet, in the mean: a line of Python each
EVERY_NS = NS_PER_MS // 5


def never_a_picture(index: int, kind: str) -> Packet:
    """One of a stream's packets."""
    stride = {"every other lost": 2, "most lost": 15, "key frames, every other lost": 2}
    sequence = index * stride.get(kind, 1)
    return Packet(
        sequence=sequence % 65536,
        timestamp=1 if kind == "one frame" else sequence * 3000 % (1 << 32),
        payload_type=97,
        marker=kind == "no key frame",
        starts_frame=False,
        is_key=kind == "one frame" or kind.startswith("key frames"),
        data=b"x",
    )


@pytest.mark.parametrize(
    "kind",
    ["no key frame", "one frame", "every other lost", "most lost", "key frames, every other lost"],
)
@pytest.mark.parametrize("since_ns", [0, 4_000 * NS_PER_MS], ids=["at once", "given up"])
def test_a_packet_that_leads_to_no_picture_is_little_work(kind: str, since_ns: int) -> None:
    """not all that wait are looked through for a key frame as each one comes."""
    buffer = JitterBuffer()
    for index in range(BEFORE):
        buffer.add(never_a_picture(index, kind), index * EVERY_NS)
    with Steps() as steps:
        for index in range(BEFORE, BEFORE + COUNTED):
            buffer.add(never_a_picture(index, kind), since_ns + index * EVERY_NS)
            buffer.due_ns()
    assert steps.count / COUNTED < STEPS_MAX
