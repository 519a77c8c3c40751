"""The share of due frames that is shown."""

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.observability.shown_rate import ShownRate

from tests.server.stamped import ms


def ran(rate: ShownRate, *, seconds: int, camera_fps: int, every: int = 1, from_s: int = 0) -> int:
    """A camera whose every so manieth frame is shown, 200 ms later; returns when it ends."""
    events = []
    for n in range(seconds * camera_fps):
        at_ns = from_s * NS_PER_S + n * NS_PER_S // camera_fps
        events.append((at_ns, False))
        if n % every == 0:
            events.append((at_ns + ms(200), True))
    for at_ns, is_shown in sorted(events):
        (rate.on_shown if is_shown else rate.on_camera_frame)(at_ns)
    return (from_s + seconds) * NS_PER_S


def test_a_picture_for_each_of_the_cameras_is_all() -> None:
    """also while the last ones are on their way."""
    rate = ShownRate()
    assert rate.ratio(ms(10)) is None
    assert rate.ratio(ran(rate, seconds=15, camera_fps=30)) == 1


def test_what_is_skipped_is_missing() -> None:
    """three frames of four, over any ten seconds."""
    rate = ShownRate()
    found = rate.ratio(ran(rate, seconds=25, camera_fps=30, every=4))
    assert found is not None and 0.23 < found < 0.28


def test_no_more_is_due_than_the_model_makes_alone() -> None:
    """15 of 30 frames are all of a model that makes 15, and half of one that makes 40."""
    for model_fps, expected in ((15.0, 1.0), (40.0, 0.5), (None, 0.5), (20.0, 0.75)):
        rate = ShownRate()
        rate.model_fps = model_fps
        found = rate.ratio(ran(rate, seconds=25, camera_fps=30, every=2))
        assert found is not None and abs(found - expected) < 0.03, model_fps


def test_in_a_pause_nothing_is_due() -> None:
    """nor after it, until the first frame is shown again."""
    rate = ShownRate()
    ran(rate, seconds=12, camera_fps=30)
    rate.pause()
    for n in range(900):
        rate.on_camera_frame(12 * NS_PER_S + n * NS_PER_S // 30)
    end_ns = ran(rate, seconds=12, camera_fps=30, from_s=42)
    assert rate.ratio(end_ns) == 1


def test_an_engine_that_is_gone_shows_nothing_of_what_is_due() -> None:
    """the camera goes on, and every frame of it is missing, but for those under way."""
    rate = ShownRate()
    ran(rate, seconds=12, camera_fps=30)
    rate.take(12 * NS_PER_S)
    for n in range(300):
        rate.on_camera_frame(12 * NS_PER_S + n * NS_PER_S // 30)
    good, bad = rate.take(22 * NS_PER_S)
    assert bad >= 250 and good <= 45  # what was under way
    assert rate.take(22 * NS_PER_S) == (0, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(-5 * NS_PER_S, 40 * NS_PER_S), st.sampled_from(["in", "out", "pause"])
        ),
        max_size=200,
    ),
    st.sampled_from([None, 0.0, 12.5]),
)
def test_whatever_comes_it_is_a_share(
    events: list[tuple[int, str]], model_fps: float | None
) -> None:
    """with clocks that jump both ways and cameras that do what they like; and no more is good or
    bad than came."""
    rate = ShownRate()
    rate.model_fps = model_fps
    now_ns, good, bad = 10 * NS_PER_S, 0.0, 0.0
    for step_ns, what in events:
        now_ns += step_ns
        if what == "pause":
            rate.pause()
        elif what == "in":
            rate.on_camera_frame(now_ns)
        else:
            rate.on_shown(now_ns)
        ratio = rate.ratio(now_ns)
        assert ratio is None or 0 <= ratio <= 1
        taken = rate.take(now_ns)
        assert min(taken) >= 0
        good, bad = good + taken[0], bad + taken[1]
    assert good <= sum(what == "out" for _, what in events)
    assert good + bad <= sum(what == "in" for _, what in events)
