"""What every session does: notices a vanished peer, bounds the candidates that wait."""

import asyncio
import itertools
import math

import pytest
from aiortc import RTCIceCandidate
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.rtc.sound_transceiver import SoundTransceiver
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer
from slipstream_server.sessions.session import (
    LIVENESS_INTERVAL_S,
    PEER_SILENCE_MAX_S,
    LivenessCheck,
    Session,
)

from tests.server.serving import poll
from tests.server.streams.test_stream import media_context

NOTICED_S = 5.0

gaps = st.lists(st.floats(0.0, PEER_SILENCE_MAX_S - 0.01), max_size=40)


@given(gaps, st.floats(0.0, LIVENESS_INTERVAL_S))
def test_a_vanished_peer_is_noticed_within_five_seconds(
    gaps_s: list[float], phase_s: float
) -> None:
    """however its packets came before, whenever we happen to look, and not while they come."""
    packets_s = list(itertools.accumulate(gaps_s, initial=0.0))
    check = LivenessCheck()
    for number in itertools.count():
        now_s = phase_s + number * LIVENESS_INTERVAL_S
        check.sample(sum(at_s <= now_s for at_s in packets_s))
        if check.silent_s >= PEER_SILENCE_MAX_S:
            break
    assert packets_s[-1] < now_s <= packets_s[-1] + NOTICED_S


def test_our_own_stall_is_no_silence_of_the_peers() -> None:
    """a look that comes a minute late counts as one."""
    check = LivenessCheck()
    check.sample(7)
    check.sample(7)
    assert math.isclose(check.silent_s, LIVENESS_INTERVAL_S)
    check.sample(8)
    assert check.silent_s == 0.0


async def test_candidates_that_wait_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """a request that would go beyond it is ignored as a whole; once they are resolved more may."""
    resolved: list[RTCIceCandidate | None] = []
    with media_context() as context:
        session = Session("s", None, None, (), context, sound=SoundTransceiver(None, None))

        async def resolve(candidate: RTCIceCandidate | None) -> None:
            resolved.append(candidate)

        monkeypatch.setattr(session.peer, "add_candidate", resolve)
        session.add_candidates([None] * (MAX_CANDIDATES - 1))
        session.add_candidates([None] * 2)
        session.add_candidates([None])
        running = asyncio.create_task(
            session.run(
                Offer(sdp="", description=SessionDescription(), candidates=(), sends_video=True)
            )
        )
        await poll(lambda: len(resolved) == MAX_CANDIDATES)
        session.add_candidates([None])
        await poll(lambda: len(resolved) == MAX_CANDIDATES + 1)
        session.end("the test is over")
        await running


async def test_names_are_looked_up_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """eight that nobody knows take as long as one; what fails in one is nothing to the others."""
    began: list[RTCIceCandidate | None] = []
    with media_context() as context:
        session = Session("s", None, None, (), context, sound=SoundTransceiver(None, None))

        async def resolve(candidate: RTCIceCandidate | None) -> None:
            began.append(candidate)
            await asyncio.Event().wait()

        monkeypatch.setattr(session.peer, "add_candidate", resolve)
        session.add_candidates([None] * 8)
        offer = Offer(sdp="", description=SessionDescription(), candidates=(), sends_video=True)
        running = asyncio.create_task(session.run(offer))
        await poll(lambda: len(began) == 8)
        session.add_candidates([None] * (MAX_CANDIDATES - 7))  # beyond the bound, with those
        session.add_candidates([None])
        await poll(lambda: len(began) == 9)
        session.end("enough")
        await running
    assert session.end_reason == "enough"
