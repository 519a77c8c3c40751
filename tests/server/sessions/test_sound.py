"""Sound goes with the pictures: untouched, to the caller and to viewers, and lips fit."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from slipstream_protocol.clock import NS_PER_MS

from tests.server.calls import Call, Camera, dial
from tests.server.clicks import (
    PERIOD_S,
    SOUND_HZ,
    ClickMicrophone,
    Clock,
    FlashCamera,
    Heard,
    overhear,
    report_exactly,
)
from tests.server.serving import poll, serving
from tests.server.whips import posted, publishing

WHITE = 150  # of luma
SKEW_MS = 45.0  # of most: a machine that is busy shows single pictures late
FLASHES = 6


def direction_of(answer: str) -> str:
    """Of the sound in an answer."""
    sound = answer.partition("m=audio")[2].partition("m=")[0].splitlines()
    (found,) = {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"} & set(sound)
    return found[2:]


def flashes_ns(call: Call, heard: Heard) -> list[int]:
    """When each white picture is due, by the sender reports; one after another that is white, too,
    is none."""
    first = heard.payloads[0][1]
    found, was_white = [], False
    for frame in call.frames:
        is_white = float(frame.to_ndarray(format="gray").mean()) > WHITE
        if is_white and not was_white and frame.pts is not None:
            found.append(heard.unix_ns(first + frame.pts, 90_000))
        was_white = is_white
    return found


def clicks_ns(heard: Heard, microphone: ClickMicrophone) -> list[int]:
    """When each click is due, by the sender reports."""
    return [
        heard.unix_ns(timestamp, SOUND_HZ)
        for payload, timestamp in heard.payloads
        if is_click(microphone.sent[payload])
    ]


def is_click(captured_s: float) -> bool:
    periods = captured_s / PERIOD_S
    return abs(periods - round(periods)) < 1e-6


def skews_ms(flashes_ns: Sequence[int], clicks_ns: Sequence[int]) -> list[float]:
    """How far the nearest click is from each flash."""
    return [
        min((click_ns - flash_ns for click_ns in clicks_ns), key=abs) / NS_PER_MS
        for flash_ns in flashes_ns
    ]


async def test_lips_fit(tmp_path: Path) -> None:
    """a click is due with the flash that was captured with it, on the caller's own call and on a
    viewer's; its bytes are those that were sent, each once, in their order."""
    clock = Clock()
    camera, microphone = FlashCamera(clock), ClickMicrophone(clock)
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=camera, microphone=microphone) as caller,
    ):
        heard_by_caller = overhear(caller.pc)
        reported = report_exactly(caller.pc, clock)
        await caller.until_event("state", state="live")
        await poll(lambda: reported.is_known)
        async with posted(server.client, f"/whep/{caller.stream}", sound=True) as viewer:
            heard_by_viewer = overhear(viewer.pc)
            for call, heard in ((caller, heard_by_caller), (viewer, heard_by_viewer)):
                await poll(lambda heard=heard: len(heard["audio"].reports) > 1)  # type: ignore[misc]
                await poll(lambda heard=heard: len(heard["video"].reports) > 1)  # type: ignore[misc]
                await call.until_more_frames(round(FLASHES * PERIOD_S * 30))
        for call, heard in ((caller, heard_by_caller), (viewer, heard_by_viewer)):
            sent = list(microphone.sent)  # no two are alike
            passed = [payload for payload, _ in heard["audio"].payloads]
            assert passed == [payload for payload in sent if payload in set(passed)]
            assert len(passed) > 0.8 * (sent.index(passed[-1]) - sent.index(passed[0]))
            found_ms = skews_ms(
                flashes_ns(call, heard["video"])[-FLASHES:], clicks_ns(heard["audio"], microphone)
            )
            assert len(found_ms) == FLASHES and statistics.median(map(abs, found_ms)) <= SKEW_MS
        slo = [event for event in caller.events if event["type"] == "slo"][-1]
        assert slo["skew_ms"]["p95"] >= abs(slo["skew_ms"]["p50"])


async def test_sound_goes_the_way_it_is_offered(tmp_path: Path) -> None:
    """a caller's comes back; a viewer is sent it; a publisher by WHIP only sends. Where a stream
    has none, and where the server is mute, it is answered as inactive, and pictures come."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera(), sound=True) as call:
            assert direction_of(call.answer_sdp) == "sendrecv"
            async with dial(server.client, watch=True, sound=True, channel=False) as viewer:
                assert direction_of(viewer.answer_sdp) == "sendonly"
        async with publishing(server, sound=True) as publisher:
            assert direction_of(publisher.answer_sdp) == "recvonly"
        async with publishing(server, "other") as publisher:
            assert "m=audio" not in publisher.answer_sdp
            async with posted(server.client, "/whep/other", sound=True) as viewer:
                assert direction_of(viewer.answer_sdp) == "inactive"
                await viewer.until_frames(4)
    async with (
        serving(tmp_path, mute=True) as server,
        dial(server.client, camera=Camera(), sound=True) as call,
    ):
        assert direction_of(call.answer_sdp) == "inactive"
        await call.until_frames(4)
