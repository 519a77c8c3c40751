"""The size of a stream's pictures: the camera's aspect, chosen once, and followed with patience."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.frames import FrameSize, Geometry
from slipstream_protocol.messages import OfferedSize, Ready, Vocabulary
from slipstream_protocol.parameters import Parameters
from slipstream_server.frames.size_choice import SizeChoice, same_sizes, work_by_scale

SQUARE, WIDE, TALL, SMALL, SMALL_TALL = (
    FrameSize(*px) for px in ((256, 256), (336, 192), (192, 336), (192, 192), (144, 256))
)
OFFERED = tuple(
    OfferedSize(size=size, scale_px=scale_px, chunk_ms=chunk_ms)
    for size, scale_px, chunk_ms in (
        (SQUARE, 256, 100.0),
        (WIDE, 256, 98.0),
        (TALL, 256, 98.0),
        (SMALL, 192, 55.0),
        (SMALL_TALL, 192, 54.0),
    )
)
HD, PORTRAIT = (1280, 720), (720, 1280)


def choice(first: FrameSize = SQUARE) -> SizeChoice:
    return SizeChoice(OFFERED, first=first)


def ready(first: FrameSize, offered: tuple[OfferedSize, ...] = OFFERED) -> Ready:
    return Ready(
        pipeline="p",
        preset="p",
        geometry=Geometry(
            width_px=first.width_px,
            height_px=first.height_px,
            first_chunk_frames=5,
            chunk_frames=4,
        ),
        lanes=1,
        in_slots=1,
        out_slots=2,
        defaults=Parameters(),
        step_list=(1000,),
        noise_scale_range=(0.0, 1.0),
        vocabulary=Vocabulary(),
        note="",
        sizes=offered,
    )


@pytest.mark.parametrize(
    ("camera_px", "size"),
    [
        ((1920, 1080), WIDE),
        ((720, 1280), TALL),
        ((480, 640), TALL),
        ((500, 500), SQUARE),
        ((600, 480), SQUARE),
        ((2000, 500), WIDE),
    ],
)
def test_a_camera_gets_the_size_that_cuts_it_least(
    camera_px: tuple[int, int], size: FrameSize
) -> None:
    """from its first picture on."""
    assert choice().for_camera(*camera_px, 0) == size


def test_a_level_changes_the_scale_and_keeps_the_aspect() -> None:
    """where the scale has it; 0 is the largest."""
    one = choice()
    one.for_camera(*PORTRAIT, 0)
    one.limit(192)
    assert one.size == one.for_camera(*PORTRAIT, 1) == SMALL_TALL
    one.limit(0)
    assert one.size == TALL
    wide = choice()
    wide.limit(192)
    assert wide.for_camera(*HD, 0) == SMALL


def test_a_stream_begins_where_the_engine_says() -> None:
    """at its scale, and without a choice at its only size."""
    assert choice(SMALL).for_camera(*PORTRAIT, 0) == SMALL_TALL
    only = SizeChoice((), first=FrameSize(64, 48))
    assert only.for_camera(*PORTRAIT, 0) == FrameSize(64, 48)


def played(seconds: list[tuple[int, int]], step_ms: int = 250) -> Iterator[tuple[float, FrameSize]]:
    """The size, four times a second, of a camera that has these shapes second by second."""
    one = choice()
    for at_s, shape in enumerate(seconds):
        for part in range(4):
            at = at_s + part / 4
            yield at, one.for_camera(*shape, round(at * NS_PER_S))


def test_a_camera_that_is_turned_is_followed_once_it_stays_so() -> None:
    sizes = dict(played([HD] * 12 + [PORTRAIT] * 3))
    assert sizes[11.75] == WIDE
    assert sizes[12.75] == WIDE, "it may be turned back"
    assert sizes[13.0] == TALL


def test_a_second_turn_waits() -> None:
    """each change begins the stream anew: there are ten seconds between two turns."""
    sizes = dict(played([HD] * 2 + [PORTRAIT] * 2 + [HD] * 12))
    assert (sizes[2.75], sizes[3.0]) == (WIDE, TALL)
    assert (sizes[12.75], sizes[13.0]) == (TALL, WIDE)


@given(st.lists(st.sampled_from([HD, PORTRAIT, (500, 500), (640, 480)]), max_size=120))
def test_however_often_a_camera_changes_its_shape_the_stream_seldom_does(
    shapes: list[tuple[int, int]],
) -> None:
    """one change in ten seconds at the most, and every other one is counted."""
    one, changed_s, before = choice(), [-10.0], None
    for at_s, shape in enumerate(shapes):
        size = one.for_camera(*shape, at_s * NS_PER_S)
        if before is not None and size != before:
            assert at_s - changed_s[-1] >= 10
            changed_s.append(at_s)
        before = size
    assert one.turns.get("followed", 0) == len(changed_s) - 1


def test_a_camera_that_flips_every_second_is_passed_over() -> None:
    """it settles on neither shape for long enough: its pictures are cut, and that is counted."""
    one = choice()
    for at in range(60 * 4):
        shape = HD if at // 3 % 2 == 0 else PORTRAIT
        assert one.for_camera(*shape, at * NS_PER_S // 4) == WIDE
    assert one.turns["passed_over"] == 39
    assert one.turns["followed"] == 0


def test_a_clock_that_goes_back_keeps_nothing_from_happening() -> None:
    one = choice()
    one.for_camera(*HD, 100 * NS_PER_S)
    for at_s in (0, 2):
        size = one.for_camera(*PORTRAIT, at_s * NS_PER_S)
    assert size == TALL


def test_what_a_scale_costs_is_known_by_its_own_size() -> None:
    """measured, or by the pixels; nothing where there is no choice."""
    assert work_by_scale(OFFERED) == {256: 1.0, 192: 0.55}
    unmeasured = [OfferedSize(size=size, scale_px=size.height_px) for size in (SQUARE, SMALL)]
    assert work_by_scale(unmeasured) == {256: 1.0, 192: 0.5625}
    assert work_by_scale([]) == {}


def test_a_stream_may_go_on_where_the_same_sizes_are_offered() -> None:
    """wherever streams begin there, and however long a chunk takes."""
    assert same_sizes(ready(SQUARE), ready(SMALL))
    assert not same_sizes(ready(SQUARE), ready(SQUARE, OFFERED[:3]))
    assert not same_sizes(ready(SQUARE, ()), ready(SMALL, ()))
    assert same_sizes(ready(SMALL, ()), ready(SMALL, ()))
