"""Ten thousand broken offers: each is refused in words or answered, and nothing is left."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from slipstream_server.errors import RequestError
from slipstream_server.frames.playout import Playout
from slipstream_server.media_addressing import MediaAddressing
from slipstream_server.rtc.peer_connection import PeerConnection
from slipstream_server.rtp.sdp import Offer, read_candidate, read_offer
from slipstream_server.send.adaptive_encoder import AdaptiveEncoder
from slipstream_server.send.bandwidth import RateControl
from slipstream_server.send.h264 import X264
from slipstream_server.send.keyframes import KeyFrameScheduler
from slipstream_server.send.output_track import OutputTrack

from tests.server.broken_sdp import OFFERS, broken_offers
from tests.server.serving import poll

CASES = 10_000
ANSWERED_EVERY = 20  # of those that can be read: each makes keys and sockets
REASON_MAX = 1000  # characters
ANSWER_S = 20.0


def readable(count: int) -> list[Offer]:
    """The broken offers that still can be read."""
    offers = []
    for sdp in broken_offers(count):
        try:
            offers.append(read_offer(sdp, "offer"))
        except RequestError as error:
            assert 0 < len(str(error)) < REASON_MAX
    return offers


def test_ten_thousand_broken_offers_are_read_or_refused() -> None:
    """nothing but RequestError comes out, with a reason of bounded length."""
    assert CASES // 10 < len(readable(CASES)) < CASES // 2


@pytest.mark.parametrize("sdp", OFFERS)
def test_every_unbroken_offer_is_read(sdp: str) -> None:
    assert read_offer(sdp, "offer").sends_video


def test_an_offer_without_directions_goes_both_ways() -> None:
    """RFC 8866: no direction means sendrecv; aiortc would break off."""
    lines = [line for line in OFFERS[0].split("\r\n") if line != "a=sendrecv"]
    offer = read_offer("\r\n".join(lines), "offer")
    assert offer.sends_video
    assert offer.sdp.count("a=sendrecv") == 1


def test_candidates_broken_in_every_way_are_read_or_refused() -> None:
    """each line of the broken offers as a trickled candidate."""
    read = 0
    for sdp in broken_offers(300, seed=3):
        for line in sdp.splitlines():
            try:
                read += read_candidate(line, "0", 0) is not None
            except RequestError as error:
                assert len(str(error)) < REASON_MAX
    assert read


async def attempt(offer: Offer, pool: ThreadPoolExecutor) -> bool:
    """Whether the offer can be answered; hung up either way."""
    encoding = AdaptiveEncoder(
        codec=X264, pool=pool, rate=RateControl(ceiling_bps=10**6), key_frames=KeyFrameScheduler()
    )
    output = OutputTrack(Playout(chunk_frames=4), encoding, on_sent=lambda *_: None)
    peer = PeerConnection(
        output,
        encoding,
        low_delay=True,
        servers=(),
        media_addressing=MediaAddressing(loopback=True),
        on_open=lambda: None,
        on_message=lambda *_: None,
    )
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await peer.answer(offer)
    except RequestError as error:
        assert len(str(error)) < REASON_MAX
        return False
    finally:
        await peer.close()
        output.stop()
    return answer.startswith("v=0")


async def test_those_that_can_be_read_are_answered_or_refused_and_leave_nothing() -> None:
    """no socket and no task is left of a call that was given up half-way."""
    tasks, sockets = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    offers = readable(CASES // 2)[::ANSWERED_EVERY]
    with ThreadPoolExecutor(1) as pool:
        answered = [await attempt(offer, pool) for offer in offers]
    assert any(answered) and not all(answered)
    await poll(lambda: len(asyncio.all_tasks()) <= tasks)
    await poll(lambda: len(os.listdir("/proc/self/fd")) <= sockets)
