"""An engine process without a model: it returns each chunk after the time a model would take.

`tests.bench.stub_server` starts it. It sleeps that time, as a CPU does while a GPU works.
"""

import argparse
import random
import socket
import time
from contextlib import ExitStack

from slipstream_engine.cli.options import size_px
from slipstream_engine.serving.calibration import calibrate, latency_of
from slipstream_engine.serving.echo import EchoPipeline, EchoStream
from slipstream_engine.serving.loop import Loop
from slipstream_protocol.arena import Arena, Layout
from slipstream_protocol.channel import engine_end
from slipstream_protocol.clock import NS_PER_MS
from slipstream_protocol.frames import I420
from slipstream_protocol.parameters import Parameters


class StubStream(EchoStream):
    """Returns each chunk after a normally distributed time; every run draws the same times.

    Args:
        chunk_ms, jitter_ms: mean and standard deviation.
    """

    def __init__(self, parameters: Parameters, *, chunk_ms: float, jitter_ms: float) -> None:
        super().__init__(parameters)
        self._rng = random.Random(0)
        self._chunk_ms = chunk_ms
        self._jitter_ms = jitter_ms

    def decode(self, chunk: I420, out_THW: I420) -> None:
        time.sleep(max(0.0, self._rng.gauss(self._chunk_ms, self._jitter_ms)) / 1000)
        super().decode(chunk, out_THW)


class StubPipeline(EchoPipeline):
    """A pipeline of such streams."""

    name = "stub"
    note = "stub: the camera's own picture, after the time a model would take"

    def __init__(self, *, width_px: int, height_px: int, chunk_ms: float, jitter_ms: float) -> None:
        super().__init__(width_px=width_px, height_px=height_px)
        self._chunk_ms = chunk_ms
        self._jitter_ms = jitter_ms

    def open(self, parameters: Parameters) -> StubStream:
        return StubStream(parameters, chunk_ms=self._chunk_ms, jitter_ms=self._jitter_ms)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.stub_engine")
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--size", type=size_px, required=True)
    parser.add_argument("--chunk-ms", type=float, required=True)
    parser.add_argument("--jitter-ms", type=float, required=True)
    arguments = parser.parse_args()
    width_px, height_px = arguments.size
    pipeline = StubPipeline(
        width_px=width_px,
        height_px=height_px,
        chunk_ms=arguments.chunk_ms,
        jitter_ms=arguments.jitter_ms,
    )
    with ExitStack() as opened:
        channel = engine_end(socket.socket(fileno=arguments.channel_fd))
        opened.callback(channel.close)
        layout = Layout(geometry=pipeline.geometry, lanes=1, in_slots=1, out_slots=2)
        arena = Arena.create(layout)
        opened.callback(arena.close)
        latency = latency_of([calibrate(pipeline)])
        Loop(pipeline, channel, arena, age_target_ns=1000 * NS_PER_MS, latency=latency).run()


if __name__ == "__main__":
    main()
