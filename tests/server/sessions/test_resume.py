"""A stream outlives the call that broke off, and its engine: real calls, a real engine process."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from slipstream_server.engine_status import EngineState
from slipstream_server.observability.metrics import CallCounts
from slipstream_server.rtc.peer_connection import PeerConnection
from slipstream_server.rtp.sdp import Offer

from tests.server.calls import Call, Camera, dial, number_of
from tests.server.serving import Serving, poll, serving

OFFER_PATH = "/api/v1/webrtc/offer"


async def update(call: Call, rev: int, **parameters: Any) -> int:
    """Change parameters; returns the chunk they are in force from."""
    call.send(parameters | {"rev": rev})
    return int((await call.until_event("applied", rev=rev))["chunk"])


def kill_engine(server: Serving) -> None:
    pid = server.supervisor.status.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_a_viewer_who_comes_back_finds_the_stream_as_it_was(tmp_path: Path) -> None:
    """same stream, parameters and caches, chunks are numbered on; whoever watches stays."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera(fps=20)) as first:
            await first.until_frames(8)
            before = await update(first, 1, prompt="dusk", seed=7)
            async with dial(server.client, watch=True, view=first.stream) as subscriber:
                await subscriber.until_frames(4)
                await first.pc.close()
                await subscriber.until_event("state", state="held")
                assert server.sessions.count().held == 1
                async with dial(
                    server.client, camera=Camera(first=20_000), resume=first.resume
                ) as second:
                    assert second.status == 200, second.error
                    assert (second.stream, second.resume) == (first.stream, first.resume)
                    assert second.id != first.id
                    live = await second.until_event("state", state="live")
                    assert live["epoch"] == 1
                    assert live["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
                    assert live["parameters"]["seed"] == 7
                    after = await update(second, 1, noise_scale=0.5)
                    assert after > before
                    await subscriber.until(
                        lambda: (number_of(subscriber.frames[-1]) or 0) >= 20_000
                    )
                    assert server.sessions.count().held == 0
        assert not [event for event in subscriber.events if event["type"] == "stream_stopped"]


async def test_a_vanished_viewer_is_noticed_and_its_stream_held(tmp_path: Path) -> None:
    """no goodbye comes, yet the stream is held; after its time the lane is free again."""
    async with serving(tmp_path, hold_s=1, max_streams=1) as server:
        async with dial(server.client, camera=Camera(fps=20)) as call:
            await call.until_frames(4)
            async with dial(server.client, watch=True) as subscriber:
                await subscriber.until_frames(1)
                call.fall_silent()
                await subscriber.until_event("state", state="held")
                stopped = await subscriber.until_event("stream_stopped")
            assert stopped["error_message"] == "its viewer did not come back within 1 s"
        client = server.supervisor.require()
        await poll(lambda: client.free_lanes == 1)
        await poll(lambda: server.sessions.count() == CallCounts())
        async with server.client.delete(f"{OFFER_PATH}/{call.id}") as response:
            error = (await response.json())["error"]
        assert "has ended (nothing received from the viewer for 4 s)" in error
        async with dial(server.client, camera=Camera(), resume=call.resume) as late:
            assert late.status == 404
            assert "did not come back within 1 s" in late.error


async def test_the_newest_call_takes_a_stream_over(tmp_path: Path) -> None:
    """the older one is notified and ends; its later DELETE does not end what it no longer has."""
    async with (
        serving(tmp_path, max_streams=1) as server,
        dial(server.client, camera=Camera(fps=20)) as older,
    ):
        await older.until_frames(4)
        async with dial(server.client, camera=Camera(fps=20), resume=older.resume) as newer:
            stopped = await older.until_event("stream_stopped")
            assert "taken over by a newer one" in stopped["error_message"]
            async with server.client.delete(f"{OFFER_PATH}/{older.id}") as response:
                assert response.status in (204, 404)
            await newer.until_event("state", state="live")
            await newer.until_more_frames(8)
            assert server.sessions.count() == CallCounts(publishers=1)


async def test_a_wrong_token_disturbs_nothing(tmp_path: Path) -> None:
    """404 for a stream that never was, 403 for another's secret, 400 for what makes no sense."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera(fps=20)) as call,
    ):
        await call.until_frames(4)
        for token, status, reason in (
            ("nothing", 404, "is unknown"),
            (f"{call.stream}.guess", 403, "is not that of stream"),
            (call.stream, 403, "is not that of stream"),
        ):
            async with dial(server.client, camera=Camera(), resume=token) as other:
                assert (other.status, reason in other.error) == (status, True), other.error
        async with dial(server.client, watch=True, resume=call.resume) as other:
            assert other.status == 400
        await call.until_more_frames(8)
        assert server.sessions.count() == CallCounts(publishers=1)


async def test_the_next_server_begins_the_stream_anew_under_its_name(tmp_path: Path) -> None:
    """with the parameters that come with the token. A stream that goes on here keeps its own, and
    one that has ended here stays ended; under another key the token says nothing."""
    key, dusk, dawn = b"k" * 32, {"prompt": "dusk"}, {"prompt": "dawn"}
    in_force = [{"text": "dusk", "weight": 1.0}]
    async with (
        serving(tmp_path, resume_key=key) as first,
        dial(first.client, camera=Camera(fps=20)) as call,
    ):
        await call.until_frames(1)
    async with (
        serving(tmp_path, resume_key=b"another") as other,
        dial(other.client, camera=Camera(), resume=call.resume) as refused,
    ):
        assert (refused.status, "is unknown" in refused.error) == (404, True)
    async with serving(tmp_path, resume_key=key) as second:
        http, token = second.client, call.resume
        async with dial(http, camera=Camera(), resume=token, initialParameters=dusk) as back:
            assert (back.stream, back.resume) == (call.stream, token)
            state = await back.until_event("state", state="live")
            assert state["parameters"]["prompts"] == in_force
            async with dial(http, watch=True, view=call.stream) as watcher:
                await watcher.until_frames(1)
        async with dial(http, camera=Camera(), resume=token, initialParameters=dawn) as back:
            state = await back.until_event("state", state="live")
            assert state["parameters"]["prompts"] == in_force
            async with http.delete(f"{OFFER_PATH}/{back.id}") as response:
                assert response.status == 204
        async with dial(http, camera=Camera(), resume=token, initialParameters=dusk) as late:
            assert (late.status, "has ended" in late.error) == (404, True)


async def test_a_token_whose_time_is_over_is_told_so(tmp_path: Path) -> None:
    """404 with the reason, every time it is tried; the place is free, a new call needs no token."""
    async with serving(tmp_path, max_streams=1, hold_s=0.2) as server:
        async with dial(server.client, camera=Camera(fps=20)) as call:
            await call.until_frames(1)
        await poll(lambda: server.sessions.count() == CallCounts())
        for _ in range(2):
            async with dial(server.client, camera=Camera(), resume=call.resume) as late:
                assert late.status == 404
                assert "has ended" in late.error
        async with dial(server.client, camera=Camera(fps=20)) as fresh:
            await fresh.until_frames(4)


async def test_a_held_stream_makes_room_for_a_newcomer(tmp_path: Path) -> None:
    """the one that has been held the longest goes first; those with a viewer never."""
    async with serving(tmp_path, max_streams=2) as server:
        vanished = []
        for _ in range(2):
            async with dial(server.client, camera=Camera(fps=20)) as call:
                await call.until_frames(1)
                vanished.append(call)
            await poll(lambda: server.sessions.count().held == len(vanished))
        async with dial(server.client, camera=Camera(fps=20)) as newcomer:
            assert newcomer.status == 200, newcomer.error
            await newcomer.until_frames(4)
            async with dial(server.client, camera=Camera(), resume=vanished[0].resume) as longest:
                assert longest.status == 404
                assert "the place was needed for another" in longest.error
            async with dial(
                server.client, camera=Camera(fps=20), resume=vanished[1].resume
            ) as other:
                assert other.status == 200, other.error
                await other.until_frames(4)
                async with dial(server.client, camera=Camera()) as third:
                    assert third.status == 503


async def test_a_farewell_during_the_break_ends_the_stream(tmp_path: Path) -> None:
    """who presses Stop while the network is away gives the place back all the same."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera(fps=20)) as call:
            await call.until_frames(1)
        await poll(lambda: server.sessions.count().held == 1)
        async with server.client.delete(f"{OFFER_PATH}/{call.id}") as response:
            assert response.status == 204
        assert server.sessions.count().held == 0
        async with dial(server.client, camera=Camera(), resume=call.resume) as late:
            assert late.status == 404
            assert "closed by the viewer" in late.error


async def test_calls_stay_up_when_the_engine_is_killed(tmp_path: Path) -> None:
    """The reason is sent; frames go on with the same parameters for publisher and subscriber."""
    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera(fps=20)) as call,
        dial(server.client, watch=True) as subscriber,
    ):
        await call.until_frames(8)
        await subscriber.until_frames(1)
        before = await update(call, 1, prompt="dusk", seed=7)
        for restart in (1, 2):
            await call.until_more_frames(4)
            kill_engine(server)
            for one in (call, subscriber):
                await one.until_event("state", state="restarting", epoch=restart)
                await one.until_event("pipeline_error", error="the engine was ended by SIGKILL")
                live = await one.until_event("state", state="live", epoch=restart + 1)
                assert live["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]
                assert live["parameters"]["seed"] == 7
                await one.until_more_frames(8)
                assert number_of(one.frames[-1]) is not None
            assert server.supervisor.status.restarts == restart
        assert await update(call, 2, seed=8) > before
        drops = [event["drops"] for event in call.events if event["type"] == "slo"][-1]
        assert "engine_lost" in drops
        assert not [event for event in call.events if event["type"] == "stream_stopped"]


async def test_an_update_that_went_down_with_the_engine_is_sent_again(tmp_path: Path) -> None:
    """an update from while no engine ran is applied by the next one; nothing is lost."""
    async with serving(tmp_path) as server, dial(server.client, camera=Camera(fps=20)) as call:
        await call.until_frames(8)
        kill_engine(server)
        await call.until_event("state", state="restarting")
        call.send({"prompt": "dawn", "rev": 5})
        await call.until_event("applied", rev=5)
        await call.until_event("on_air", rev=5)


async def test_a_held_stream_survives_the_engine_too(tmp_path: Path) -> None:
    """both at once: its viewer comes back to its parameters on the new engine."""
    async with serving(tmp_path) as server:
        async with dial(server.client, camera=Camera(fps=20)) as call:
            await call.until_frames(4)
            await update(call, 1, prompt="dusk")
        await poll(lambda: server.sessions.count().held == 1)
        kill_engine(server)
        await poll(lambda: server.supervisor.status.state is EngineState.DOWN)
        async with dial(server.client, camera=Camera()) as early:
            assert early.status == 503
            assert "the engine" in early.error
        async with dial(server.client, camera=Camera(fps=20), resume=call.resume) as back:
            assert back.status == 200, back.error
            live = await back.until_event("state", state="live")
            assert live["epoch"] == 2
            assert live["parameters"]["prompts"] == [{"text": "dusk", "weight": 1.0}]


async def test_an_engine_killed_while_a_call_comes_in_does_not_cost_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """its lane is lost before its answer is out: it begins on the next engine."""
    answer = PeerConnection.answer
    async with serving(tmp_path) as server, dial(server.client, camera=Camera(fps=20)) as first:
        await first.until_frames(1)

        async def answer_too_late(peer: PeerConnection, offer: Offer) -> str:
            client = server.supervisor.require()
            await poll(lambda: client.free_lanes == 0)
            kill_engine(server)
            await poll(lambda: server.supervisor.status.restarts == 1)
            return await answer(peer, offer)

        monkeypatch.setattr(PeerConnection, "answer", answer_too_late)
        async with dial(server.client, camera=Camera(fps=20)) as call:
            if call.status == 503:  # it had no lane yet
                assert "the engine was ended by SIGKILL" in call.error
            else:
                assert (await call.until_event("state", state="live"))["epoch"] == 2
        await first.until_event("state", state="live", epoch=2)


async def test_coming_back_leaves_nothing_behind(tmp_path: Path) -> None:
    """ten breaks of one stream: as many tasks, sockets and lanes as after the first."""
    samples = []
    async with serving(tmp_path, max_streams=1) as server:
        async with dial(server.client, camera=Camera(fps=20)) as call:
            await call.until_frames(1)
        for _ in range(10):
            await poll(lambda: server.sessions.count().held == 1)
            await poll(lambda: server.sessions.count().publishers == 0)
            tasks = sorted(task.get_name().split()[0] for task in asyncio.all_tasks())
            samples.append(
                (tasks, psutil.Process().num_fds(), server.supervisor.require().free_lanes)
            )
            async with dial(server.client, camera=Camera(fps=20), resume=call.resume) as back:
                assert back.status == 200, back.error
                await back.until_frames(1)
        assert (await server.client.delete(f"{OFFER_PATH}/{back.id}")).status == 204
        assert server.sessions.count() == CallCounts()
    named = [[name for name in tasks if not name.startswith("Task-")] for tasks, _, _ in samples]
    assert all(tasks == named[0] for tasks in named)
    assert {lanes for _, _, lanes in samples} == {0}
    assert samples[-1][1] <= samples[0][1] + 2
