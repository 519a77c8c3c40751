"""device/transfer.py: chunks arrive as they were sent, and nothing is overwritten while it is
read.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from slipstream_engine.device.transfer import Download, Upload

CPU = torch.device("cpu")
SHAPE = (5, 48, 32)


class LoggedEvent:
    """Notes where it is recorded and who waits for it."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self.name = name

    def record(self, stream: "LoggedStream") -> None:
        self._log.append(f"{stream.name} records {self.name}")

    def synchronize(self) -> None:
        self._log.append(f"host waits {self.name}")


class LoggedStream:
    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self.name = name

    def wait_event(self, event: LoggedEvent) -> None:
        self._log.append(f"{self.name} waits {event.name}")


class LoggedStreams:
    """Streams that note every order they are given."""

    is_asynchronous = True

    def __init__(self) -> None:
        self.log: list[str] = []
        self.copies: Any = LoggedStream(self.log, "copies")
        self._compute = LoggedStream(self.log, "compute")
        self._events = 0

    def current(self) -> Any:
        return self._compute

    def event(self) -> Any:
        self._events += 1
        return LoggedEvent(self.log, f"e{self._events}")

    def on_copies(self) -> AbstractContextManager[Any]:
        @contextmanager
        def inside() -> Iterator[None]:
            self.log.append("copies begins")
            yield
            self.log.append("copies ends")

        return inside()


def chunk(number: int) -> Any:
    frames = 5 if number == 0 else 4
    return np.random.default_rng(number).integers(0, 256, (frames, *SHAPE[1:]), dtype=np.uint8)


def test_chunks_come_back_as_they_went() -> None:
    """Any number of chunks, of either length, and the caller's array is free once it is sent."""
    upload, download = Upload(math.prod(SHAPE), CPU), Download(math.prod(SHAPE), CPU)
    for number in range(7):
        frames = chunk(number)
        with upload.sent(frames) as sent_THW:
            frames[:] = 0
            made_THW = 255 - sent_THW
        out = np.empty_like(frames)
        download.fetch(made_THW, out)
        assert np.array_equal(out, 255 - chunk(number))


def test_an_upload_waits_for_what_it_would_overwrite() -> None:
    """The host waits for the last copy, the copy for the last reader, the reader for the copy."""
    streams = LoggedStreams()
    upload = Upload(math.prod(SHAPE), CPU, streams)
    for number in range(2):
        with upload.sent(chunk(number)):
            streams.log.append(f"compute reads {number}")
    first = ["host waits e1", "copies begins", "copies waits e2", "copies records e1"]
    first += ["copies ends", "compute waits e1", "compute reads 0", "compute records e2"]
    second = [line.replace("reads 0", "reads 1") for line in first]
    assert streams.log == [*first, *second]


def test_a_download_waits_for_the_picture_and_the_host_for_the_download() -> None:
    """No copy begins before the picture is made, and the host reads it after the copy."""
    streams = LoggedStreams()
    picture = chunk(0)
    out = np.empty_like(picture)
    fetch = Download(math.prod(SHAPE), CPU, streams).fetch(torch.from_numpy(picture), out)
    begun = ["compute records e2", "copies begins", "copies waits e2", "copies records e1"]
    assert streams.log == [*begun, "copies ends"], "the host waits for nothing yet"
    assert fetch is not None
    fetch.finish()
    assert streams.log == [*begun, "copies ends", "host waits e1"]
    assert np.array_equal(out, picture)


def test_chunks_on_their_way_have_a_buffer_each() -> None:
    """Those fetched before the first is read are all right, one that is discarded fills nothing,
    and a buffer is used again."""
    streams = LoggedStreams()
    download = Download(math.prod(SHAPE), CPU, streams)
    for _ in range(3):
        outs = [np.zeros_like(chunk(number)) for number in range(3)]
        fetches = [
            download.fetch(torch.from_numpy(chunk(number)), out) for number, out in enumerate(outs)
        ]
        for number, fetch in enumerate(fetches):
            assert fetch is not None
            if number == 1:
                fetch.discard()
            else:
                fetch.finish()
        assert not outs[1].any()
        assert np.array_equal(outs[0], chunk(0)) and np.array_equal(outs[2], chunk(2))
    assert len({line for line in streams.log if line.startswith("host waits")}) == 3
