"""Updates from the page to the engine and back: merged, superseded, retried, applied, on air."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from slipstream_protocol.clock import NS_PER_S
from slipstream_protocol.messages import UpdateRefused
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import Ack, AppliedRev, Event, OnAir, ParametersUpdated
from slipstream_server.control.update_queue import in_force

from tests.server.control.page import Page


def test_an_update_goes_to_the_engine_and_comes_into_force() -> None:
    """accepted at once; in force, with its events, when the engine has applied it."""
    page = Page()
    assert page.send({"prompt": "a", "rev": 5}) == [Ack(rev=5, status="accepted")]
    assert page.to_engine[0].target == (Prompt("a"),)
    assert page.updates.current.prompts == (Prompt("start"),)
    page.apply(chunk=3)
    assert page.of(AppliedRev) == [AppliedRev(rev=5, chunk=3)]
    (updated,) = page.of(ParametersUpdated)
    assert isinstance(updated, ParametersUpdated)
    assert updated.understood == page.updates.understood == "x, I see"
    assert page.updates.current.prompts == (Prompt("a"),)
    assert isinstance(page.events[-1], ParametersUpdated)


@pytest.mark.parametrize(
    ("update", "chunks"),
    [
        ({"seed": 1}, None),
        ({"prompt": "dusk"}, 0),
        ({"transition": {"target_prompts": [{"text": "dusk"}], "num_steps": 8}}, 8),
    ],
)
def test_everyone_is_told_how_long_the_prompts_change(
    update: dict[str, Any], chunks: int | None
) -> None:
    """whoever asked for it; nothing of it where they stay."""
    page = Page()
    page.send(update)
    page.apply()
    (updated,) = page.of(ParametersUpdated)
    assert isinstance(updated, ParametersUpdated)
    assert updated.transition_chunks == chunks


def test_updates_without_a_number_are_served_too() -> None:
    page = Page()
    assert page.send({"seed": 4}) == [Ack(rev=None, status="accepted")]
    page.apply()
    assert page.of(AppliedRev) == []
    assert page.updates.current.seed == 4


def test_one_update_is_in_flight_and_the_rest_is_merged() -> None:
    """what is overwritten as a whole is superseded; what is left of an update rides along."""
    page = Page()
    page.send({"seed": 0, "rev": 0})
    page.send({"seed": 1, "rev": 1})
    page.send({"seed": 2, "noise_scale": 0.2, "rev": 2})
    assert page.of(Ack)[-1] == Ack(rev=1, status="superseded")
    page.send({"seed": 3, "rev": 3})
    assert len(page.to_engine) == 1
    page.apply(chunk=1)
    assert (page.to_engine[1].seed, page.to_engine[1].noise_scale) == (3, 0.2)
    page.apply(chunk=2)
    assert page.of(AppliedRev) == [
        AppliedRev(rev=0, chunk=1),
        AppliedRev(rev=2, chunk=2),
        AppliedRev(rev=3, chunk=2),
    ]


def test_the_three_ways_to_name_prompts_overwrite_each_other() -> None:
    page = Page()
    page.send({"seed": 0, "rev": 0})
    page.send({"prompt": "a", "rev": 1})
    page.send({"transition": {"target_prompts": [{"text": "b"}]}, "rev": 2})
    assert page.of(Ack)[-1] == Ack(rev=1, status="superseded")
    page.apply()
    page.apply()
    assert page.updates.current.prompts == (Prompt("b"),)
    assert page.updates.current.transition is UNSET


def test_an_update_the_engine_refuses_changes_nothing_and_the_next_is_sent() -> None:
    page = Page()
    page.send({"seed": 1, "rev": 1})
    page.send({"noise_scale": 0.1, "rev": 2})
    page.updates.on_refused(UpdateRefused(lane=0, rev=0, reason="seed 1 cannot be"))
    assert page.of(Ack)[-1] == Ack(rev=1, status="rejected", errors=("seed 1 cannot be",))
    assert page.updates.current.seed == 0
    assert page.to_engine[-1].noise_scale == 0.1


def test_a_refused_update_takes_no_other_along() -> None:
    """what was merged with it is tried by itself, what is left of it, before newer ones."""
    page = Page()
    page.send({"seed": 0, "rev": 0})
    page.send({"prompt": "a", "noise_controller": True, "rev": 1})
    page.send({"noise_scale": 0.01, "rev": 2})
    page.send({"noise_controller": False, "rev": 3})
    page.apply()
    page.send({"seed": 9, "rev": 4})
    page.updates.on_refused(UpdateRefused(lane=0, rev=1, reason="noise_scale is too low"))
    assert page.to_engine[-1].target == (Prompt("a"),)
    assert page.to_engine[-1].noise_controller is UNSET
    page.apply(chunk=5)
    assert page.to_engine[-1] == Parameters(noise_scale=0.01, rev=3)
    page.updates.on_refused(UpdateRefused(lane=0, rev=3, reason="noise_scale is too low"))
    assert page.of(Ack)[-1] == Ack(rev=2, status="rejected", errors=("noise_scale is too low",))
    page.apply(chunk=6)
    page.apply(chunk=7)
    assert page.of(AppliedRev)[1:] == [
        AppliedRev(rev=1, chunk=5),
        AppliedRev(rev=3, chunk=6),
        AppliedRev(rev=4, chunk=7),
    ]
    assert (page.updates.current.noise_scale, page.updates.current.seed) == (0.5, 9)


def test_on_air_comes_once_with_the_first_frame_that_has_it() -> None:
    """and not before: frames of older chunks do not count."""
    page = Page()
    page.send({"seed": 1, "rev": 40})
    page.apply(chunk=6)
    page.updates.on_frame_sent(rev=-1, chunk=5, rtp_timestamp=1)
    assert page.of(OnAir) == []
    page.updates.on_frame_sent(rev=0, chunk=6, rtp_timestamp=2)
    page.updates.on_frame_sent(rev=0, chunk=6, rtp_timestamp=3)
    assert page.of(OnAir) == [OnAir(rev=40, chunk=6, rtp_timestamp=2)]


def test_what_waits_for_its_first_frame_has_a_bound() -> None:
    """a paused stream may be changed for as long as it likes; the newest are reported."""
    page = Page()
    for rev in range(1000):
        page.send({"seed": rev, "rev": rev}, now_ns=rev * NS_PER_S)
        page.apply()
    page.updates.on_frame_sent(rev=999, chunk=1, rtp_timestamp=0)
    on_air = [event.rev for event in page.of(OnAir) if isinstance(event, OnAir)]
    assert on_air == list(range(1000 - 256, 1000))


def test_reset_cache_happens_once() -> None:
    """it is not part of what is in force afterwards."""
    page = Page()
    page.send({"reset_cache": True})
    assert page.to_engine[-1].reset_cache is True
    page.apply()
    assert page.updates.current.reset_cache is UNSET


changes = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 9),
        "noise_scale": st.sampled_from([0.0, 0.5, 1.0]),
        "prompt": st.sampled_from(["a", "b"]),
        "noise_controller": st.booleans(),
    },
).filter(bool)


@given(st.lists(changes | st.none(), max_size=30))
def test_the_last_value_wins_and_every_number_is_accounted_for(
    steps: list[dict[str, object] | None],
) -> None:
    """however updates and the engine interleave (None is the engine's turn)."""
    page = Page()
    wanted = page.updates.current
    numbers = itertools.count()
    for step in steps:
        if step is None:
            if len(page.to_engine) > len(page.of(ParametersUpdated)):
                page.apply()
            continue
        page.send(step | {"rev": next(numbers)})
        wanted = in_force(wanted.merged(msgspec.convert(step, Parameters)))
    while len(page.to_engine) > len(page.of(ParametersUpdated)):
        page.apply()
    assert page.updates.current == wanted
    ended = _numbers(page, AppliedRev, lambda _: True)
    ended += _numbers(page, Ack, lambda ack: ack.status == "superseded")
    assert sorted(ended) == list(range(next(numbers)))


def _numbers(page: Page, kind: type[Event], counts: Callable[[Ack], bool]) -> list[int]:
    return [event.rev for event in page.of(kind) if counts(event)]  # type: ignore[arg-type, attr-defined]


def test_what_was_in_flight_to_a_lost_engine_goes_to_the_next() -> None:
    """nothing is sent while there is none; then all of it, in order, each update answered once."""
    page = Page()
    page.send({"prompt": "a", "rev": 1})
    page.send({"seed": 4, "rev": 2})
    page.updates.on_engine_lost()
    assert page.send({"seed": 5, "rev": 3})[-1] == Ack(rev=2, status="superseded")
    assert len(page.to_engine) == 1
    page.updates.on_engine_opened(understood="start, I see")
    assert page.updates.understood == "start, I see"
    assert page.to_engine[-1].target == (Prompt("a"),)
    page.apply(chunk=7)
    assert page.to_engine[-1].seed == 5
    page.apply(chunk=8)
    assert page.of(AppliedRev) == [AppliedRev(rev=1, chunk=7), AppliedRev(rev=3, chunk=8)]
    assert (page.updates.current.prompts, page.updates.current.seed) == ((Prompt("a"),), 5)


def test_the_next_engines_first_frame_shows_what_was_applied_before() -> None:
    """it begins with all that is in force, and has had no update itself."""
    page = Page()
    page.send({"seed": 4, "rev": 9})
    page.apply()
    page.updates.on_engine_lost()
    page.updates.on_engine_opened(understood="")
    page.updates.on_frame_sent(rev=-1, chunk=3, rtp_timestamp=77)
    assert page.of(OnAir) == [OnAir(rev=9, chunk=3, rtp_timestamp=77)]


# ---- the quality ladder's updates


STEPS = (900, 600, 300)


def page_with_steps() -> Page:
    """Its viewer has chosen three steps."""
    page = Page()
    page.send({"denoising_step_list": list(STEPS), "rev": 1})
    page.apply()
    page.events.clear()
    return page


def test_a_level_changes_what_the_engine_runs_and_not_what_the_viewer_has_chosen() -> None:
    """and nobody is told of an update that nobody has sent."""
    page = page_with_steps()
    page.updates.set_level(STEPS[:1])
    assert page.to_engine[-1].denoising_step_list == STEPS[:1]
    page.apply()
    assert page.events == []
    assert page.updates.current.denoising_step_list == STEPS[:1]
    assert page.updates.wanted.denoising_step_list == page.updates.chosen_steps == STEPS
    assert page.updates.choices == 1


def test_a_viewers_own_choice_is_not_lost_to_a_level() -> None:
    """it waits for an update in flight, and a level that comes meanwhile is left out: it is set
    anew once the choice is known."""
    page = page_with_steps()
    page.send({"seed": 1})
    page.send({"denoising_step_list": [800, 400], "rev": 3})
    page.updates.set_level(STEPS[:1])
    page.apply()
    assert page.to_engine[-1].denoising_step_list == (800, 400)
    page.apply()
    assert page.updates.chosen_steps == (800, 400)
    assert AppliedRev(rev=3, chunk=0) in page.of(AppliedRev)
    assert page.updates.choices == 2


def test_a_level_that_waits_gives_way_to_a_choice_and_to_a_newer_level() -> None:
    page = page_with_steps()
    page.send({"seed": 1})
    page.updates.set_level(STEPS[:1])
    page.updates.set_level(STEPS[:2])
    page.send({"seed": 2, "rev": 4})
    page.apply()
    assert page.to_engine[-1].denoising_step_list == STEPS[:2]
    assert page.to_engine[-1].seed == 2
    page.apply()
    (*_, updated) = page.of(ParametersUpdated)
    assert isinstance(updated, ParametersUpdated)
    assert updated.parameters.denoising_step_list == STEPS
    page.send({"seed": 3})
    page.updates.set_level(STEPS[:1])
    page.send({"denoising_step_list": [800], "rev": 5})
    page.apply()
    assert [*(page.to_engine[-1].denoising_step_list or ())] == [800]
    page.apply()
    assert [*(page.updates.chosen_steps or ())] == [800]


def test_a_level_that_the_engine_refuses_is_dropped() -> None:
    """without a word to the viewer, who has not asked for it."""
    page = page_with_steps()
    page.updates.set_level((123,))
    page.updates.on_refused(UpdateRefused(lane=0, rev=0, reason="no such step"))
    assert page.events == []
    assert page.updates.current.denoising_step_list == STEPS
