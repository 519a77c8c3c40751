"""Sound goes with the pictures: untouched, to the caller and to viewers."""

from pathlib import Path

from tests.server.calls import Camera, dial
from tests.server.clicks import PERIOD_S, ClickMicrophone, Clock, FlashCamera, overhear
from tests.server.serving import poll, serving
from tests.server.whips import posted, publishing

FLASHES = 6


def direction_of(answer: str) -> str:
    """Of the sound in an answer."""
    sound = answer.partition("m=audio")[2].partition("m=")[0].splitlines()
    (found,) = {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"} & set(sound)
    return found[2:]


async def test_sound_passes_untouched(tmp_path: Path) -> None:
    """to the caller and to a viewer: its bytes are those that were sent, each once, in their order,
    with reports that put it beside the pictures, whose skew is shown. (That lips fit is held by a
    scripted clock, in `streams/test_sound_pipe.py`.)"""
    clock = Clock()
    camera, microphone = FlashCamera(clock), ClickMicrophone(clock)
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=camera, microphone=microphone) as caller,
    ):
        heard_by_caller = overhear(caller.pc)
        await caller.until_event("state", state="live")
        async with posted(server.client, f"/whep/{caller.stream}", sound=True) as viewer:
            heard_by_viewer = overhear(viewer.pc)
            for call, heard in ((caller, heard_by_caller), (viewer, heard_by_viewer)):
                await poll(lambda heard=heard: len(heard["audio"].reports) > 1)  # type: ignore[misc]
                await poll(lambda heard=heard: len(heard["video"].reports) > 1)  # type: ignore[misc]
                await call.until_more_frames(round(FLASHES * PERIOD_S * 30))
        for heard in (heard_by_caller, heard_by_viewer):
            sent = list(microphone.sent)  # no two are alike
            passed = [payload for payload, _ in heard["audio"].payloads]
            assert passed == [payload for payload in sent if payload in set(passed)]
            assert len(passed) > 0.8 * (sent.index(passed[-1]) - sent.index(passed[0]))
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
