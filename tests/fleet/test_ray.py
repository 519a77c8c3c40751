"""A fleet on a real Ray: calls, a drain, and the loss of a server, of a replica and of the gate."""

import asyncio
import os
import signal
from typing import Any

import aiohttp
import psutil
import pytest

from tests.fleet.conftest import NODES, PLACES
from tests.fleet.ray_fleet import RECOVERY_S, fleet_report, server_at, until_fleet
from tests.server.calls import OFFER_PATH, Call, Camera, dial

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]


def is_whole(told: dict[str, Any]) -> bool:
    return [node["state"] for node in told["nodes"]] == ["ready"] * NODES


def moved(call: Call, **more: Any) -> dict[str, Any]:
    """What a page offers to come back."""
    return {"resume": call.resume, "initialParameters": {"seed": 5}} | more


async def test_calls_are_shared_out_and_move_when_a_node_is_drained(fleet: str) -> None:
    """each goes on elsewhere under its name; the node that was drained comes back when it is to."""
    async with aiohttp.ClientSession(fleet) as http:
        await until_fleet(http, is_whole)
        assert (await fleet_report(http))["free"] == NODES * PLACES
        async with (
            dial(http, camera=Camera(fps=10)) as one,
            dial(http, camera=Camera(fps=10)) as other,
        ):
            await one.until_frames(1)
            await other.until_frames(1)
            leaving, staying = (call.address.partition(".")[0] for call in (one, other))
            assert leaving != staying
            path = f"/api/v1/fleet/nodes/{leaving}/drain?restart=true"
            async with http.post(path) as response:
                assert response.status == 202
            assert (await one.until_event("server_stopping"))["hands_over"]
            async with dial(http, camera=Camera(fps=10), **moved(one)) as next_call:
                assert (next_call.error, next_call.stream) == ("", one.stream)
                await next_call.until_frames(1)
                assert next_call.address.partition(".")[0] == staying
                async with http.delete(f"{OFFER_PATH}/{one.address}") as response:
                    assert response.status == 204
                await until_fleet(http, is_whole)
                names = {node["node"] for node in (await fleet_report(http))["nodes"]}
                assert names == {leaving, staying}
                for call in (next_call, other):
                    async with http.delete(f"{OFFER_PATH}/{call.address}") as response:
                        assert response.status == 204


async def test_a_replica_that_is_killed_leaves_no_server_and_its_streams_move(fleet: str) -> None:
    """the kernel tells its server, which hands its calls over; Serve starts another replica."""
    async with aiohttp.ClientSession(fleet) as http:
        await until_fleet(http, is_whole)
        async with dial(http, camera=Camera(fps=10)) as call:
            await call.until_frames(1)
            name = call.address.partition(".")[0]
            nodes = (await fleet_report(http))["nodes"]
            server = server_at(next(one["url"] for one in nodes if one["node"] == name))
            replica = server.ppid()
            os.kill(replica, signal.SIGKILL)
            await call.until_event("server_stopping")
            async with dial(http, camera=Camera(fps=10), **moved(call)) as next_call:
                assert (next_call.error, next_call.stream) == ("", call.stream)
                await next_call.until_frames(1)
                async with http.delete(f"{OFFER_PATH}/{call.address}") as response:
                    assert response.status in (204, 404)
                await asyncio.to_thread(server.wait, RECOVERY_S)
                async with http.delete(f"{OFFER_PATH}/{next_call.address}") as response:
                    assert response.status == 204
        await until_fleet(http, is_whole)


async def test_the_gate_may_die_and_come_back(fleet: str) -> None:
    """calls go on meanwhile, and what is asked about them afterwards reaches their node."""
    async with aiohttp.ClientSession(fleet) as http:
        await until_fleet(http, is_whole)
        async with dial(http, camera=Camera(fps=10)) as call:
            await call.until_frames(1)
            (gate,) = (
                process
                for process in psutil.process_iter(["cmdline"])
                if "ServeReplica:slipstream:Gate" in " ".join(process.info["cmdline"] or ())
            )
            gate.kill()
            await asyncio.to_thread(gate.wait, RECOVERY_S)
            await call.until_more_frames(5)
            await until_fleet(http, is_whole)
            async with http.get(f"/api/v1/streams/{call.stream}/parameters") as response:
                assert response.status == 200
            async with http.delete(f"{OFFER_PATH}/{call.address}") as response:
                assert response.status == 204
            await call.until_event("stream_stopped")
