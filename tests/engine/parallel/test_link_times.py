"""parallel/link_times.py: what travels between two devices is timed, over what joins ranks."""

from unittest.mock import patch

import pytest
from slipstream_engine.parallel.link_times import measure_link, message_of
from slipstream_engine.parallel.links import HostLink


def test_a_large_message_takes_longer() -> None:
    """by Gloo, on this machine: 32 MiB and 64 bytes."""
    large_ms, small_ms = measure_link("cpu", "cpu", [message_of(32 << 20), message_of(64)])
    assert large_ms > small_ms > 0


def test_ends_that_do_not_meet_are_named() -> None:
    """one that fails at once, and two that say nothing within the time."""
    broken = patch.object(HostLink, "send", side_effect=RuntimeError("no route"))
    with broken, pytest.raises(RuntimeError, match="cpu and cpu cannot be joined: no route"):
        measure_link("cpu", "cpu", [message_of(64)])
    with pytest.raises(RuntimeError, match="cpu and cpu have not met in 0 s"):
        measure_link("cpu", "cpu", [message_of(64)], within_s=0)
