"""The thread that writes the log: its reader can stop, leave or come back; nobody waits."""

import fcntl
import os
import threading
from collections.abc import Iterator

import pytest
from slipstream_server.logs.writer import LineWriter

LINE = b"x" * 99 + b"\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        try:
            os.close(descriptor)
        except OSError:
            assert descriptor == reader  # a test has closed it


def line_writer(descriptor: int) -> LineWriter:
    return LineWriter(descriptor, report=lambda count: b"dropped %d\n" % count, name="test log")


def read_until(reader: int, end: bytes) -> bytes:
    text = b""
    while not text.endswith(end):
        text += os.read(reader, 1 << 16)
    return text


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_reader_that_stops_loses_lines_and_is_told(
    pipe: tuple[int, int], is_blocking: bool
) -> None:
    """the writer's callers never wait; when the reader reads again it gets what was kept, in whole
    lines, and how many are missing."""
    reader, descriptor = pipe
    os.set_blocking(descriptor, is_blocking)
    writer = line_writer(descriptor)
    sent = 40_000
    for _ in range(sent):
        writer.write(LINE)
    assert writer.dropped_lines > 0
    text = read_until(reader, b"dropped %d\n" % writer.dropped_lines)
    *lines, report = text.splitlines(keepends=True)
    assert set(lines) == {LINE}
    assert len(lines) + writer.dropped_lines == sent
    writer.close(deadline_s=10)
    assert report.startswith(b"dropped ")


def test_a_reader_that_is_gone_costs_the_lines_only(pipe: tuple[int, int]) -> None:
    """and every one of them is counted."""
    reader, descriptor = pipe
    os.close(reader)
    writer = line_writer(descriptor)
    for _ in range(100):
        writer.write(LINE)
    writer.close(deadline_s=10)
    assert writer.dropped_lines >= 100  # the reports are lost too


def test_the_end_waits_for_a_reader_only_so_long(pipe: tuple[int, int]) -> None:
    """the thread of one that never reads again is left behind."""
    reader, descriptor = pipe
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
    writer = line_writer(descriptor)
    for _ in range(100):
        writer.write(LINE)
    writer.close(deadline_s=0.01)
    assert any(thread.name == "test log" for thread in threading.enumerate())
    left = len(LINE) * 100  # so much it writes when it is read again, and ends
    while left:
        left -= len(os.read(reader, 1 << 16))
    for thread in threading.enumerate():
        if thread.name == "test log":
            thread.join()


def test_what_waits_at_the_end_is_written(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = line_writer(descriptor)
    for _ in range(50):
        writer.write(LINE)
    writer.close(deadline_s=10)
    assert os.read(reader, 1 << 16) == LINE * 50
