"""Which of several streams of one picture is decoded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_MS, NS_PER_S
from slipstream_server.receive.layers import LAYERS_MAX, LayerChoice

HIGH, MIDDLE, LOW = 11, 12, 13
SIZES = {HIGH: (1280, 720), MIDDLE: (640, 360), LOW: (320, 180)}


class Sender:
    """Layers that send a frame of one packet each, the highest first, key frames as requested."""

    def __init__(self, wanted_px: tuple[int, int] = (512, 288), **settings: bool) -> None:
        self.choice = LayerChoice(wanted_px, **({"is_simulcast": True} | settings))
        self.now_ns = 0
        self.frames = 0
        self.decoded: list[int] = []

    def send(self, *ssrcs: int, count: int = 1, key: bool = False, fps: float = 30) -> None:
        for _ in range(count):
            self.now_ns += round(NS_PER_S / fps)
            self.frames += 1
            for ssrc in ssrcs:
                is_key = key or ssrc == self.choice.coming
                size_px = SIZES[ssrc] if is_key else None
                is_used = self.choice.on_packet(ssrc, self.frames, size_px, self.now_ns)
                can_decode = is_used and (is_key or ssrc == self.choice.shown)
                if can_decode and self.choice.on_whole_frame(ssrc):
                    self.decoded.append(ssrc)


@pytest.mark.parametrize(
    ("wanted_px", "best"),
    [((512, 288), MIDDLE), ((640, 360), MIDDLE), ((641, 360), HIGH), ((320, 180), LOW)],
)
@pytest.mark.parametrize("order", [(HIGH, MIDDLE, LOW), (LOW, MIDDLE, HIGH)])
def test_the_smallest_that_covers_is_shown(
    wanted_px: tuple[int, int], best: int, order: tuple[int, ...]
) -> None:
    """whichever came first; each frame is decoded once from then on."""
    sender = Sender(wanted_px)
    sender.send(*order, key=True)
    sender.send(*order, count=5)
    assert sender.decoded[-4:] == [best] * 4


def test_the_largest_is_shown_where_none_covers() -> None:
    """it is scaled up least."""
    sender = Sender((1920, 1080))
    sender.send(LOW, MIDDLE, HIGH, key=True)
    sender.send(LOW, MIDDLE, HIGH, count=5)
    assert sender.decoded[-4:] == [HIGH] * 4


def test_another_takes_the_place_of_one_that_stops() -> None:
    """within a second; and gives it back when that returns."""
    sender = Sender()
    sender.send(HIGH, MIDDLE, LOW, key=True)
    sender.send(HIGH, MIDDLE, LOW, count=30)
    sender.send(HIGH, LOW, count=30)
    assert sender.decoded[-1] == HIGH
    sender.send(LOW, count=30)
    assert sender.decoded[-1] == LOW
    sender.send(HIGH, MIDDLE, LOW, count=30)
    assert sender.decoded[-4:] == [MIDDLE] * 4


@pytest.mark.parametrize("fps", [1, 4, 60])
def test_a_slow_source_has_not_stopped(fps: float) -> None:
    """layers wait for each other's frames, not for the clock."""
    sender = Sender()
    sender.send(HIGH, MIDDLE, LOW, key=True, fps=fps)
    sender.send(LOW, MIDDLE, HIGH, count=40, fps=fps)
    assert sender.decoded[-39:] == [MIDDLE] * 39


def test_the_size_of_a_layer_that_is_not_decoded_is_asked_for() -> None:
    """by a key frame, once a second, and not for ever."""
    sender = Sender()
    sender.send(LOW, key=True)
    asked = []
    for _ in range(300):
        sender.send(LOW, MIDDLE)
        asked += [(sender.now_ns, ssrc) for ssrc in sender.choice.take_unsized(sender.now_ns)]
    assert {ssrc for _, ssrc in asked} == {MIDDLE}
    assert len(asked) == 5
    assert asked[1][0] - asked[0][0] >= NS_PER_S
    sender.send(LOW, MIDDLE, key=True)
    sender.send(LOW, MIDDLE, count=2)
    assert sender.decoded[-1] == MIDDLE


def test_without_simulcast_a_new_stream_takes_over() -> None:
    """at its first key frame, of whatever size; the one before is decoded until then."""
    sender = Sender(is_simulcast=False)
    sender.send(MIDDLE, key=True)
    sender.choice.on_packet(LOW, 100, None, sender.now_ns + 20 * NS_PER_MS)
    assert sender.choice.on_whole_frame(MIDDLE)
    sender.send(LOW, count=40)
    assert sender.decoded[-39:] == [LOW] * 39
    assert sender.choice.coming is None


def test_a_goodbye_ends_one_stream() -> None:
    """the best of the others is next; the last goodbye is the track's end."""
    sender = Sender()
    sender.send(HIGH, MIDDLE, LOW, key=True)
    sender.send(HIGH, MIDDLE, LOW, count=3)
    assert sender.choice.on_goodbye([MIDDLE], sender.now_ns)
    sender.send(HIGH, LOW, count=3)
    assert sender.decoded[-1] == HIGH
    assert sender.choice.on_goodbye([99], sender.now_ns)
    assert not sender.choice.on_goodbye([HIGH, LOW], sender.now_ns)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(0, 50),
            st.none() | st.sampled_from(sorted(SIZES.values())),
            st.integers(0, NS_PER_S),
        )
    ),
    st.booleans(),
)
def test_any_packets(
    packets: list[tuple[int, int, tuple[int, int] | None, int]], is_simulcast: bool
) -> None:
    """two streams are decoded at most, of however many."""
    choice = LayerChoice((512, 288), is_simulcast=is_simulcast)
    now_ns = 0
    used: set[int] = set()
    for ssrc, timestamp, size_px, later_ns in packets:
        now_ns += later_ns
        if choice.on_packet(ssrc, timestamp, size_px, now_ns):
            used.add(ssrc)
        used &= {choice.shown, choice.coming}
        assert choice.shown is not None
        assert len(used) <= 2
        assert choice.shown != choice.coming
    assert len({ssrc for ssrc, _, _, _ in packets}) <= LAYERS_MAX or choice.shown is not None
