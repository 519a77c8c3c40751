"""Credentials on a machine whose clock is set: none is made that has expired already."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.ice.credential_clock import CredentialClock

from tests.server.serving import serving

SECONDS = st.integers(0, 10**9)


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**9)), min_size=1))
def test_it_is_never_behind_and_never_goes_back(readings: Sequence[tuple[int, int]]) -> None:
    """however the wall clock jumps: behind it no credential is made, and time passes as it does."""
    clock, boot_s, before_s = CredentialClock(), 0, float("-inf")
    for passed_s, wall_s in readings:
        boot_s += passed_s
        now_s = clock.now_s(wall_s=wall_s, boot_s=boot_s)
        assert now_s >= max(wall_s, before_s + passed_s)
        before_s = now_s


@given(SECONDS, st.lists(st.integers(0, 1000), min_size=1))
def test_where_nobody_sets_the_clock_it_is_the_clock(began_s: int, steps_s: Sequence[int]) -> None:
    clock, boot_s = CredentialClock(), 0
    for step_s in steps_s:
        boot_s += step_s
        assert clock.now_s(wall_s=began_s + boot_s, boot_s=boot_s) == began_s + boot_s


async def test_a_clock_that_is_set_back_makes_no_stale_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """the relay's password a day "earlier" ends no earlier than the one before."""
    async with serving(tmp_path, turn="turn:192.0.2.1", turn_secret="x" * 16) as server:

        async def expiry_s() -> int:
            async with server.client.get("/api/v1/webrtc/ice-servers") as response:
                (relay,) = (await response.json())["iceServers"]
                return int(relay["username"].partition(":")[0])

        before_s, now_s = await expiry_s(), time.time()
        monkeypatch.setattr("slipstream_server.sessions.registry.time.time", lambda: now_s - 86_400)
        assert await expiry_s() >= before_s
