"""group/workers.py, group/fingerprint.py: ranks that do not belong together do not start."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from slipstream_engine.group.fingerprint import fingerprint
from slipstream_engine.group.messages import RankFailed, RankReady, ToRank
from slipstream_engine.group.workers import RankStartError, Workers
from slipstream_protocol.channel import Channel


def ready(rank: int, found: str) -> Callable[[Channel[ToRank]], None]:
    """A rank that says what it has, and goes when it is told."""

    def serve(channel: Channel[ToRank]) -> None:
        channel.send(RankReady(rank=rank, fingerprint=found, free_bytes=None))
        channel.receive()

    return serve


@contextmanager
def started(*ranks: Callable[[Channel[ToRank]], None]) -> Iterator[Workers]:
    workers = Workers(["cpu"] * len(ranks))
    try:
        for rank, serve in enumerate(ranks):
            workers.start_thread(rank, serve)
        yield workers
    finally:
        workers.stop()


def test_ranks_of_one_kind_are_ready() -> None:
    with started(ready(0, "ours"), ready(1, "ours")) as workers:
        assert [one.rank for one in workers.await_ready("ours")] == [0, 1]


def test_a_rank_of_another_version_does_not_start() -> None:
    """the reason names it and says what to do, before any stream opens."""
    reason = "rank 1 on cpu has other code or weights than the leader; install one version"
    with (
        started(ready(0, "ours"), ready(1, "theirs")) as workers,
        pytest.raises(RankStartError, match=reason) as failure,
    ):
        workers.await_ready("ours")
    assert failure.value.rank == 1


def test_a_rank_that_cannot_start_says_why() -> None:
    def serve(channel: Channel[ToRank]) -> None:
        channel.send(RankFailed(rank=1, reason="ValueError: no such weights"))

    with (
        started(ready(0, "ours"), serve) as workers,
        pytest.raises(RankStartError, match="rank 1 on cpu cannot start: ValueError: no such"),
    ):
        workers.await_ready("ours")


def test_other_weights_have_another_print(tmp_path: Path) -> None:
    """by their heads and their lengths; the same ones have the same."""
    file, same, other, longer = (tmp_path / name for name in "abcd")
    file.write_bytes(b"weights")
    same.write_bytes(b"weights")
    other.write_bytes(b"Weights")
    longer.write_bytes(b"weights" + bytes(2 << 20))
    shorter = tmp_path / "e"
    shorter.write_bytes(b"weights" + bytes((2 << 20) - 1))
    assert fingerprint([file]) == fingerprint([same])
    prints = [fingerprint(files) for files in ([], [file], [other], [longer], [shorter])]
    assert len(set(prints)) == len(prints)
