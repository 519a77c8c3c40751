"""Real calls over loopback to a real engine process."""

import asyncio
import logging
import math
import threading
import time
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.send.frame_timing import RECORD
from slipstream_server.sessions.opener import session_id

from tests.server.calls import DEADLINE_S, Camera, dial, number_of
from tests.server.ports import free_range, occupied
from tests.server.serving import Serving, own_tasks, poll, serving


async def test_pictures_come_back_in_order(tmp_path: Path) -> None:
    """the same frames that went in, each once, none before its turn."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_frames(40)
        numbers = [number for frame in call.frames if (number := number_of(frame)) is not None]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 30


async def test_a_wide_camera_is_cut_at_the_sides(tmp_path: Path) -> None:
    """where the operator has named the one size: the middle of the picture comes back whole."""
    camera = Camera(width_px=1280, height_px=720, fps=15)
    async with (
        serving(tmp_path, size="640x480") as server,
        dial(server.client, camera=camera) as call,
    ):
        await call.until_frames(8)
        assert {(frame.width, frame.height) for frame in call.frames} == {(640, 480)}
        assert None not in {number_of(frame) for frame in call.frames[2:]}


async def test_the_page_is_sent_the_state_of_the_stream(tmp_path: Path) -> None:
    """connecting or warming, then live; with the model and the parameters in force."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        live = await call.until_event("state", state="live")
        assert live["stream"] == call.stream
        assert (live["pipeline"], live["width_px"], live["height_px"]) == ("echo", 640, 480)
        assert live["parameters"]["seed"] == 0
        states = [event["state"] for event in call.events if event["type"] == "state"]
        assert states in (["warming", "live"], ["connecting", "warming", "live"])


async def test_an_update_is_followed_to_the_screen(tmp_path: Path) -> None:
    """accepted, applied at a chunk, on air with its first frame's RTP time; then the state."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state", state="live")
        call.send({"prompt": "a river", "rev": 7})
        await call.until_event("ack", rev=7, status="accepted")
        applied = await call.until_event("applied", rev=7)
        on_air = await call.until_event("on_air", rev=7)
        assert on_air["chunk"] >= applied["chunk"]
        assert 0 <= on_air["rtp_timestamp"] < 1 << 32
        updated = await call.until_event("parameters_updated")
        assert updated["parameters"]["prompts"] == [{"text": "a river", "weight": 1.0}]


async def test_initial_parameters_are_in_force_from_the_first_chunk(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera(), initialParameters={"prompt": "dusk"}) as call,
    ):
        live = await call.until_event("state", state="live")
        assert live["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]


async def test_stamps_go_to_whoever_opens_a_channel_for_them(tmp_path: Path) -> None:
    """every frame sent, by its RTP time, from the camera's clock to its last packet."""
    messages: list[bytes] = []
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera(), labels=("timing",)) as call:
            call.others["timing"].on("message", messages.append)
            await call.until_event("state", state="live")
            call.send({"prompt": "a river", "rev": 7})
            on_air = await call.until_event("on_air", rev=7)
            await call.until(lambda: len(messages) > 10 and not math.isnan(filmed_ms(messages[-1])))
        records = list(RECORD.iter_unpack(b"".join(messages)))
        names = [record[0] for record in records]
        steps = [(after - before) % (1 << 32) for before, after in pairwise(names)]
        assert on_air["rtp_timestamp"] in names
        assert all(0 < step < 90_000 for step in steps)
        for record in records:
            _captured, first_packet, *moments = record[3:12]
            assert first_packet <= 0
            assert moments == sorted(moments) and moments[0] >= 0
        # the camera's side has sent its clock, which is this machine's
        here_ms = (time.time() - time.monotonic()) * 1000 + records[-1][2]
        assert -50 < here_ms - filmed_ms(messages[-1]) < DEADLINE_S * 1000


def filmed_ms(message: bytes) -> float:
    """Of the last frame of a message."""
    captured_unix_ms: float = RECORD.unpack(message[-RECORD.size :])[1]
    return captured_unix_ms


async def test_figures_come_once_a_second(tmp_path: Path) -> None:
    """the slo event has every part of the way to the first frame, ages, rates and promises."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state", state="live")
        call.send({"type": "first_shown"})
        call.send({"type": "ping", "t": 12.5})
        pong = await call.until_event("pong", t=12.5)
        assert pong["server_ns"] > 0
        await call.until(
            lambda: any(
                event["type"] == "slo" and event["ttff_ms"]["first_shown"] for event in call.events
            )
        )
        slo = [event for event in call.events if event["type"] == "slo"][-1]
        ttff = slo["ttff_ms"]
        order = ("signal", "ice", "first_input", "first_generated", "first_sent", "first_shown")
        times = [ttff[name] for name in order]
        assert times == sorted(times)
        assert slo["age_ms"]["p50"] <= slo["age_ms"]["p95"] <= slo["age_ms"]["p99"]
        assert slo["fps"]["in"] > 0
        # one cause of each place: the decoder, the loop, the chunker, the playout
        assert {"undecoded", "unread", "skipped", "overdue"} <= set(slo["drops"])
        targets = {"ttff_ms": 1000.0, "age_ms": 1000.0, "miss_ratio": 0.01, "rate_ratio": 0.9}
        assert slo["targets"] == targets
        assert set(slo["holds"]) == {"ttff", "age", "miss", "rate"}


async def test_pause_stops_the_pictures_and_go_on_brings_new_ones(tmp_path: Path) -> None:
    """nothing captured during the pause is sent after it."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state", state="live")
        call.send({"paused": True, "rev": 1})
        await call.until_event("applied", rev=1)
        await call.until_event("state", state="paused")
        await call.until(lambda: sum(event["type"] == "slo" for event in call.events) >= 3)
        seen = len(call.frames)
        before = number_of(call.frames[-1])
        call.send({"paused": False, "rev": 2})
        await call.until_event("applied", rev=2)
        await call.until_frames(seen + 4)
        after = number_of(call.frames[-1])
        assert before is not None
        assert after is not None
        assert after - before > 20


async def test_a_viewer_who_pauses_and_leaves_gives_the_place_back(tmp_path: Path) -> None:
    """the only place of the real pipeline is free again though no chunk came after the pause."""
    async with serving(
        tmp_path, pipeline="diffusion", size="64x64", max_streams=1, threads=1
    ) as server:
        async with dial(server.client, camera=Camera()) as call:
            await call.until_event("state", state="live")
            call.send({"paused": True, "rev": 1})
            await call.until_event("state", state="paused")
        async with dial(server.client, camera=Camera()) as call:
            await call.until_event("state", state="live")


async def test_an_update_the_engine_refuses_does_not_pause(tmp_path: Path) -> None:
    """it is refused as a whole."""
    async with (
        serving(tmp_path, pipeline="diffusion", size="64x64", threads=1) as server,
        dial(server.client, camera=Camera()) as call,
    ):
        await call.until_event("state", state="live")
        call.send({"noise_scale": 0.0, "paused": True, "rev": 1})
        await call.until_event("ack", rev=1, status="rejected")
        call.send({"seed": 5, "rev": 2})
        await call.until_event("on_air", rev=2)
        assert not [event for event in call.events if event.get("state") == "paused"]


async def test_a_rejected_update_says_why_and_disturbs_nothing(tmp_path: Path) -> None:
    """value, rule and place; the pictures go on."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
        await call.until_event("state", state="live")
        call.send({"noise_scale": 7, "rev": 3})
        ack = await call.until_event("ack", rev=3)
        assert ack["status"] == "rejected"
        assert ack["errors"] == ["noise_scale is 7: Expected `float` <= 1.0"]
        call.send("{not json")
        call.send("x" * 60_000)
        call.send({"colour": "red"})
        await call.until(lambda: sum(event["type"] == "ack" for event in call.events) >= 4)
        await call.until_frames(len(call.frames) + 8)


async def test_two_calls_do_not_see_each_other(tmp_path: Path) -> None:
    """each gets its own pictures and its own parameters back."""
    cameras = Camera(), Camera(first=20_000)
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=cameras[0]) as one,
        dial(server.client, camera=cameras[1]) as two,
    ):
        await one.until_event("state", state="live")
        one.send({"prompt": "only one", "rev": 1})
        await one.until_event("on_air", rev=1)
        await one.until_frames(20)
        await two.until_frames(20)
        assert all((number_of(frame) or 0) < 10_000 for frame in one.frames)
        assert all((number_of(frame) or 30_000) >= 20_000 for frame in two.frames)
        assert not [event for event in two.events if event["type"] == "parameters_updated"]


async def test_a_full_server_says_so_and_has_room_again(tmp_path: Path) -> None:
    """503 with a reason and Retry-After; a place given back can be had at once."""
    async with serving(tmp_path, max_streams=1) as server:
        async with dial(server.client, camera=Camera()) as one:
            async with dial(server.client, camera=Camera()) as two:
                assert two.status == 503
                assert two.retry_after_s is not None
                assert "all 1 streams are in use" in two.error
            await one.until_frames(4)
        async with dial(server.client, camera=Camera()) as three:
            assert three.status == 200, three.error
            await three.until_frames(4)


async def test_a_subscriber_sees_the_stream_without_disturbing_it(tmp_path: Path) -> None:
    """It gets the stream's pictures; its own end ends nothing, the stream's end ends it."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera()) as owner:
            await owner.until_frames(4)
            async with dial(server.client, watch=True, view=owner.stream) as subscriber:
                await subscriber.until_frames(10)
                assert number_of(subscriber.frames[-1]) is not None
                subscriber.send({"prompt": "mine now", "rev": 1})
                await subscriber.until_event("ack", rev=1, status="rejected")
            await owner.until_frames(len(owner.frames) + 8)
            async with dial(server.client, watch=True) as newest:
                await newest.until_frames(4)
                await server.client.delete(f"/api/v1/webrtc/offer/{owner.id}")
                await newest.until_event("stream_stopped")
        await poll(lambda: server.sessions.count() == CallCounts())


async def test_no_more_watch_than_may_however_many_ask_at_once(tmp_path: Path) -> None:
    """those who are still being answered count."""
    async with (
        serving(tmp_path, max_viewers=1) as server,
        dial(server.client, camera=Camera()) as owner,
        AsyncExitStack() as calls,
    ):
        await owner.until_frames(1)
        dials = [dial(server.client, watch=True) for _ in range(3)]
        dialled = await asyncio.gather(*map(calls.enter_async_context, dials))
        assert sorted(call.status for call in dialled) == [200, 503, 503]


async def test_a_call_leaves_nothing_behind(tmp_path: Path) -> None:
    """no task, no thread, no lane, no session; politely or when the caller just vanishes."""
    async with serving(tmp_path, hold_s=0.5) as server:
        before = own_tasks()
        for polite in (True, False):
            async with dial(server.client, camera=Camera()) as call:
                await call.until_frames(4)
                if polite:
                    response = await server.client.delete(f"/api/v1/webrtc/offer/{call.id}")
                    assert response.status == 204
            await poll(lambda: server.sessions.count() == CallCounts())
            await poll(lambda: free_lanes(server) == 2)
        await poll(lambda: own_tasks() <= before)
        await poll(lambda: not [t for t in threading.enumerate() if "decoder" in t.name])


def free_lanes(server: Serving) -> int:
    return server.supervisor.require().free_lanes


async def test_media_keep_to_the_ports_set_aside(tmp_path: Path) -> None:
    """with none left a call is refused for now, and the place is given back; else all goes on."""
    ports = free_range(4)
    async with serving(tmp_path, media_ports=str(ports), max_streams=1) as server:
        with occupied(*range(ports.low, ports.high + 1)):
            async with dial(server.client, camera=Camera()) as call:
                assert call.status == 503
                assert f"all 4 UDP ports of {ports} are taken" in call.error
                assert call.retry_after_s == "10"
        async with dial(server.client, camera=Camera()) as call:
            assert call.status == 200, call.error
            await call.until_frames(4)
            answer = call.pc.remoteDescription.sdp.splitlines()
            offered = {int(line.split()[5]) for line in answer if line.startswith("a=candidate")}
            assert offered <= set(range(ports.low, ports.high + 1))


async def test_what_is_logged_of_a_session_has_its_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="slipstream_server")
    logged: list[tuple[str, str]] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logged.append((session_id.get(), record.getMessage()))

    collector = Collector()
    logger = logging.getLogger("slipstream_server")
    logger.addHandler(collector)
    try:
        async with serving(tmp_path) as server, dial(server.client, camera=Camera()) as call:
            await call.until_frames(1)
            await server.client.delete(f"/api/v1/webrtc/offer/{call.id}")
    finally:
        logger.removeHandler(collector)
    for line in ("session begins", "connection connected", "session ends: closed by the viewer"):
        assert (call.id, line) in logged
