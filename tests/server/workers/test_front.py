"""Calls spread over media workers: real processes, real calls, one engine."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.server.calls import OFFER_PATH, Call, Camera, dial, number_of
from tests.server.command import health, runs, slipstream
from tests.server.serving import poll
from tests.server.whips import posted

FIRST = (0, 2000)  # each caller's pictures have numbers of their own
STEADY_FRAMES = 20


@dataclass(frozen=True, kw_only=True)
class MultiProcess:
    """A server with two media workers."""

    process: asyncio.subprocess.Process
    address: str
    http: aiohttp.ClientSession

    def workers(self) -> list[int]:
        """The processes that have the calls."""
        children = psutil.Process(self.process.pid).children()
        return sorted(child.pid for child in children if "worker" in child.cmdline())

    def folder(self) -> Path:
        """Where the workers' sockets are."""
        sockets = psutil.Process(self.workers()[0]).net_connections("unix")
        (path,) = {str(sock.laddr) for sock in sockets if "slipstream-" in str(sock.laddr)}
        return Path(path).parent

    async def health(self) -> dict[str, Any]:
        return await health(self.address, self.http)

    async def until(self, **figures: Any) -> dict[str, Any]:
        """Its health, as soon as it has these figures."""
        for _ in range(400):
            state = await self.health()
            if figures.items() <= state.items():
                return state
            await asyncio.sleep(0.05)
        raise AssertionError(f"it was never {figures}: {state}")

    async def until_up(self, workers: int = 2) -> None:
        """As soon as so many workers take calls."""
        for _ in range(400):
            if (await self.metrics())["slipstream_media_workers"] == workers:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"there were never {workers} workers up")

    async def metrics(self) -> Counter[str]:
        """Every sample's name and what it is over all labels."""
        total: Counter[str] = Counter()
        async with self.http.get("/metrics") as response:
            for family in text_string_to_metric_families(await response.text()):
                for sample in family.samples:
                    total[sample.name] += int(sample.value)
        return total

    async def hang_up(self, id: str) -> tuple[int, str]:
        async with self.http.delete(f"{OFFER_PATH}/{id}") as response:
            return response.status, await response.text()


@asynccontextmanager
async def multi_process(*flags: str) -> AsyncIterator[MultiProcess]:
    async with (
        slipstream("--media-workers", "2", *flags) as (process, address),
        aiohttp.ClientSession(address.rstrip("/")) as http,
    ):
        server = MultiProcess(process=process, address=address, http=http)
        await server.health()
        await server.until_up()
        yield server


@asynccontextmanager
async def two_calls(server: MultiProcess) -> AsyncIterator[tuple[Call, Call]]:
    """Two callers whose pictures have begun to come back."""
    async with (
        dial(server.http, camera=Camera(first=FIRST[0], fps=10)) as one,
        dial(server.http, camera=Camera(first=FIRST[1], fps=10)) as two,
    ):
        for call in (one, two):
            assert call.status == 200, call.error
            await call.until_frames(STEADY_FRAMES)
        yield one, two


def worker_of(call: Call) -> str:
    return call.id.partition("~")[0]


def numbers(call: Call, count: int) -> list[int]:
    read = [number_of(frame) for frame in call.frames[-count:]]
    return [number for number in read if number is not None]


async def test_two_callers_land_on_two_workers_and_get_their_own_pictures() -> None:
    """through one engine; the front counts them together."""
    async with multi_process() as server:
        async with two_calls(server) as calls:
            assert {worker_of(call) for call in calls} == {"0", "1"}
            for call, first in zip(calls, FIRST, strict=True):
                read = numbers(call, STEADY_FRAMES)
                assert len(read) >= STEADY_FRAMES // 2
                assert all(first <= number < first + 1000 for number in read)
                assert all(a <= b for a, b in itertools.pairwise(read))
            state = await server.health()
            assert (state["sessions"], state["engine_restarts"]) == (2, 0)
            for call in calls:
                assert await server.hang_up(call.id) == (204, "")
        assert (await server.health())["sessions"] == 0


async def test_the_metrics_are_those_of_all_workers() -> None:
    async with multi_process() as server, two_calls(server) as calls:
        total = await server.metrics()
        assert total["slipstream_sessions"] == 2
        assert total["slipstream_offers_total"] == 2
        assert total["slipstream_frames_total"] >= 2 * STEADY_FRAMES
        assert total["slipstream_engine_state"] == 1
        assert all(call.status == 200 for call in calls)


async def test_a_worker_that_is_killed_takes_only_its_own_calls_with_it() -> None:
    """the other's goes on, the lost one is reported as lost, and its lane can be used again."""
    async with multi_process() as server, two_calls(server) as (one, two):
        os.kill(server.workers()[int(worker_of(one))], signal.SIGKILL)
        before = len(two.frames)
        await two.until_frames(before + STEADY_FRAMES)
        assert all(FIRST[1] <= number for number in numbers(two, STEADY_FRAMES))
        await server.until_up()
        status, text = await server.hang_up(one.id)
        assert (status, "was lost when the process that served it ended" in text) == (404, True)
        assert (await server.health())["sessions"] == 1
        async with dial(server.http, camera=Camera(first=FIRST[0], fps=10)) as again:
            assert again.status == 200, again.error
            assert worker_of(again) == worker_of(one)
            await again.until_frames(STEADY_FRAMES)
            assert all(number < FIRST[1] for number in numbers(again, STEADY_FRAMES))


async def test_nobody_outlives_a_killed_front() -> None:
    async with multi_process() as server, two_calls(server):
        left = [*server.workers(), (await server.health())["engine_pid"]]
        assert len(left) == 3
        folder = server.folder()
        assert folder.is_dir()
        server.process.kill()
        await server.process.wait()
        await poll(lambda: not any(runs(pid) for pid in left))
        assert not folder.exists()


async def test_the_front_stops_cleanly_when_asked() -> None:
    """callers are notified, the exit code is 0, and every process is gone before the front is."""
    async with multi_process() as server, two_calls(server) as calls:
        left = [*server.workers(), (await server.health())["engine_pid"]]
        server.process.send_signal(signal.SIGTERM)
        for call in calls:
            stopped = await call.until_event("stream_stopped")
            assert stopped["error_message"] == "the server is stopping"
        assert await asyncio.wait_for(server.process.wait(), 30) == 0
        assert not any(runs(pid) for pid in left)


async def test_viewers_find_the_stream_wherever_it_is() -> None:
    """by its name, or the newest; over all workers only so many may watch."""
    async with multi_process("--max-viewers", "2") as server, two_calls(server) as (one, two):
        async with (
            dial(server.http, watch=True, view=one.id) as named,
            dial(server.http, watch=True) as newest,
        ):
            for viewer, source in ((named, one), (newest, two)):
                assert viewer.status == 200, viewer.error
                assert worker_of(viewer) == worker_of(source)
                await viewer.until_frames(STEADY_FRAMES)
            assert all(number < FIRST[1] for number in numbers(named, STEADY_FRAMES))
            assert all(number >= FIRST[1] for number in numbers(newest, STEADY_FRAMES))
            assert (await server.health())["viewers"] == 2
            async with dial(server.http, watch=True, view=two.id) as third:
                assert third.status == 503
                assert "2 viewers are watching already" in third.error
            assert await server.hang_up(named.id) == (204, "")
        async with dial(server.http, watch=True, view="none-such") as nobody:
            assert nobody.status == 404


async def test_all_lanes_of_all_workers_can_be_used_and_no_more() -> None:
    """a caller too many gets an error that says when to try again."""
    async with multi_process("--max-streams", "3") as server, contextlib.AsyncExitStack() as calls:
        came = await asyncio.gather(
            *(calls.enter_async_context(dial(server.http, camera=Camera(fps=5))) for _ in range(3))
        )
        assert [call.status for call in came] == [200] * 3
        assert Counter(map(worker_of, came)) == {"0": 2, "1": 1}
        async with dial(server.http, camera=Camera(fps=5)) as late:
            assert late.status == 503
            assert "all 3 streams are in use" in late.error
            assert late.retry_after_s is not None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_calls_go_on_with_a_new_engine_on_every_worker(number: signal.Signals) -> None:
    """after one that has died, and one that hangs; each caller gets its own pictures again."""
    async with multi_process() as server, two_calls(server) as calls:
        os.kill((await server.health())["engine_pid"], number)
        await server.until(engine_restarts=1, ready=True)
        for call, first in zip(calls, FIRST, strict=True):
            await call.until_frames(len(call.frames) + 2 * STEADY_FRAMES)
            read = numbers(call, STEADY_FRAMES)
            assert read
            assert all(first <= number < first + 1000 for number in read)
        assert (await server.health())["sessions"] == 2


async def test_a_worker_that_hangs_is_left_out_and_ended() -> None:
    async with multi_process("--max-streams", "4") as server:
        hung = server.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        async with dial(server.http, camera=Camera(fps=5)) as call:
            assert call.status == 200, call.error
            assert worker_of(call) == "1"
            await poll(lambda: not runs(hung), 60)
            await server.until_up()
            await call.until_frames(len(call.frames) + STEADY_FRAMES)


async def test_requests_are_answered_as_by_one_process() -> None:
    async with multi_process() as server:
        for method, path, status in (
            ("DELETE", f"{OFFER_PATH}/none-such", 404),
            ("DELETE", f"{OFFER_PATH}/1~0~none-such", 404),
            ("DELETE", f"{OFFER_PATH}/7~0~none-such", 404),
            ("PATCH", f"{OFFER_PATH}/none-such", 404),
            ("GET", OFFER_PATH, 405),
            ("POST", OFFER_PATH, 400),
            ("GET", "/api/v1/webrtc/nothing", 404),
            ("GET", "/api/v1/webrtc/ice-servers", 200),
            ("GET", "/ready", 204),
            ("HEAD", "/api/v1/streams", 200),
            ("HEAD", "/metrics", 200),
            ("GET", "/", 200),
        ):
            async with server.http.request(method, path) as response:
                assert response.status == status, (method, path)
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                if status >= 400:
                    assert (await response.json())["error"]
        async with server.http.post(OFFER_PATH, data=b"x" * (300 << 10)) as response:
            assert response.status == 413
        async with server.http.get("/ready", headers={"Host": "elsewhere.example"}) as response:
            assert response.status == 403


async def test_a_caller_comes_back_to_the_worker_that_holds_its_stream() -> None:
    """though another has fewer calls; the token of a worker's earlier life says what was lost."""
    async with multi_process() as server:
        async with dial(server.http, camera=Camera(fps=10)) as call:
            await call.until_frames(STEADY_FRAMES)
        await server.until(sessions=0, held=1)
        async with dial(server.http, camera=Camera(fps=10), resume=call.resume) as back:
            assert back.status == 200, back.error
            assert (back.stream, worker_of(back)) == (call.stream, worker_of(call))
            assert (await back.until_event("state", state="live"))["epoch"] == 1
            await server.until(sessions=1, held=0)
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)
        await server.until(sessions=0, held=0)
        await server.until_up()
        async with dial(server.http, camera=Camera(), resume=call.resume) as late:
            assert late.status == 404
            assert "was lost when the process that served it ended" in late.error


async def test_a_published_stream_is_found_by_its_name() -> None:
    """whichever worker has it: watched, changed, listed, refused to a second, and ended."""
    async with multi_process() as server, AsyncExitStack() as calls:
        for name in ("one", "two"):
            path = f"/whip/{name}"
            publisher = await calls.enter_async_context(posted(server.http, path, camera=Camera()))
            assert publisher.status == 201, publisher.error
        viewers = [
            await calls.enter_async_context(posted(server.http, f"/whep/{name}"))
            for name in ("one", "two")
        ]
        for viewer in viewers:
            await viewer.until_frames(4)
        async with server.http.get("/api/v1/streams") as response:
            streams = (await response.json())["streams"]
        assert {stream["stream"]: stream["viewers"] for stream in streams} == {"one": 1, "two": 1}
        prefixes = {viewer.id.split("~")[0] for viewer in viewers}
        assert len(prefixes) == 2, "both workers have a stream"
        for name in ("one", "two"):
            address = f"/api/v1/streams/{name}/parameters"
            async with server.http.patch(address, json={"prompt": name}) as response:
                assert response.status == 200
            async with posted(server.http, f"/whip/{name}", camera=Camera()) as second:
                assert second.status == 409
        async with server.http.delete(publisher.location) as response:
            assert response.status == 200
        async with posted(server.http, "/whep/two") as late:
            assert late.status == 404
        async with server.http.options("/whip") as response:
            assert response.headers["Accept-Post"] == "application/sdp"
