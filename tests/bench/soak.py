"""A long time of calls that come, change and go: does anything of the server grow.

    python -m tests.bench.soak [--seconds 600] [--pipeline echo] [--out FILE.json]

One caller stays and changes its settings every few seconds; others come, are served for a moment
and hang up; now and then an offer is broken and is refused. Memory, descriptors, threads and tasks
of the server, memory and descriptors of its engine, and the age of what the steady caller is sent
are sampled all the while. What grows is the slope of a straight line through the samples after the
first quarter; it counts if it is beyond what noise gives (three standard errors) and would, by the
end of the run, have come to more than the bound of its kind. Exit code 1 if one does.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
from prometheus_client.parser import text_string_to_metric_families
from slipstream_engine.train.trend import trend
from slipstream_protocol.frames import I420
from slipstream_server.probe.caller import Send
from slipstream_server.probe.record import CallRecord

from tests.bench.__main__ import cores, free_port, processor, until_ready
from tests.bench.caller import events, place_call
from tests.e2e.clips import clip_pictures

FPS = 10  # of each camera, so that callers leave the server its share of two cores
SAMPLE_S = 2.0
VISIT_S = 3.0
PAUSE_S = 2.0
STOP_S = 30.0
SETTLED_FROM = 0.25  # of the run: pools, caches and allocators have filled by then
# what may come on top within one run before it counts, whatever the noise
BOUNDS = {
    "server RSS MiB": 16.0,
    "engine RSS MiB": 16.0,
    "server descriptors": 4.0,
    "engine descriptors": 4.0,
    "threads": 4.0,
    "tasks": 8.0,
    "age p95 ms": 100.0,
}
SETTINGS: tuple[dict[str, Any], ...] = (
    {"prompt": "neon"},
    {"noise_scale": 0.4},
    {"prompts": [{"text": "watercolor", "weight": 0.7}, {"text": "neon", "weight": 0.3}]},
    {"seed": 7},
    {"paused": True},
    {"paused": False},
    {"prompt": "pencil sketch", "noise_scale": 0.6},
)


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity over the settled part of the run.

    Args:
        first, last: the mean of the first and of the last tenth.
        growth, error: of the whole settled part by its slope, and the slope's standard error over
            it.
        bound: growth that counts where it is no noise.
    """

    quantity: str
    samples: int
    first: float
    last: float
    growth: float
    error: float
    bound: float
    grows: bool


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Args:
        visits, refused: calls that came and went, and broken offers that were refused.
    """

    date: str
    machine: str
    cores: int
    pipeline: str
    seconds: float
    visits: int
    refused: int
    courses: list[Course]

    @property
    def holds(self) -> bool:
        return not any(course.grows for course in self.courses)


def course(quantity: str, values: list[float]) -> Course:
    """Where `values`, evenly spaced, go after the run's first part. Pure.

    Raises:
        ValueError: if there are too few for a trend.
    """
    settled = values[int(len(values) * SETTLED_FROM) :]
    line = trend(settled)
    tenth = max(1, len(settled) // 10)
    span = len(settled) - 1
    growth = line.slope * span
    return Course(
        quantity=quantity,
        samples=len(settled),
        first=round(sum(settled[:tenth]) / tenth, 2),
        last=round(sum(settled[-tenth:]) / tenth, 2),
        growth=round(growth, 2),
        error=round(line.standard_error * span, 2),
        bound=BOUNDS[quantity],
        grows=growth > BOUNDS[quantity] and not line.is_noise,
    )


@dataclass(slots=True)
class Soak:
    """The callers of one server, and what is sampled of it.

    Args:
        address: of the server.
        pid: its process.
    """

    address: str
    pid: int
    pictures: list[I420]
    visits: int = 0
    refused: int = 0
    samples: dict[str, list[float]] = field(default_factory=dict)

    async def run(self, seconds: float) -> None:
        """Raises ExceptionGroup if a call fails or the server is gone."""
        async with asyncio.TaskGroup() as tasks:
            steady = tasks.create_task(self._steady(seconds), name="steady caller")
            others = [
                tasks.create_task(self._visit(), name="visitors"),
                tasks.create_task(self._sample(), name="samples"),
            ]
            call = await steady
            for other in others:
                other.cancel()
        self.samples["age p95 ms"] = [
            event["age_ms"]["p95"]
            for _, event in events(call)
            if event.get("type") == "slo" and event.get("age_ms")
        ]

    async def _steady(self, seconds: float) -> CallRecord:
        async def script(send: Send) -> None:
            revs = itertools.count(1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds - 5):
                    for setting in itertools.cycle(SETTINGS):
                        await asyncio.sleep(1.0 if setting.get("paused") else 4.0)
                        send({**setting, "rev": next(revs)})
            send({"paused": False, "rev": next(revs)})

        return await place_call(
            self.address, self.pictures, fps=FPS, seconds=seconds, script=script
        )

    async def _visit(self) -> None:
        """Callers one after the other; each fourth has an offer that is none."""
        offer = f"{self.address}/api/v1/webrtc/offer"
        for number in itertools.count():
            await asyncio.sleep(PAUSE_S)
            if number % 4 == 3:
                async with (
                    aiohttp.ClientSession() as http,
                    http.post(offer, json={"sdp": "v=0\r\nm=nonsense", "type": "offer"}) as answer,
                ):
                    assert answer.status == 400, await answer.text()
                self.refused += 1
            else:
                await place_call(self.address, self.pictures, fps=FPS, seconds=VISIT_S)
                self.visits += 1

    async def _sample(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                await asyncio.sleep(SAMPLE_S)
                async with http.get(f"{self.address}/metrics") as response:
                    text = await response.text()
                gauges = {
                    sample.name: sample.value
                    for family in text_string_to_metric_families(text)
                    for sample in family.samples
                    if not sample.labels
                }
                self._note("tasks", gauges["slipstream_tasks"])
                self._note("threads", gauges["slipstream_threads"])
                server = psutil.Process(self.pid)
                (engine,) = server.children()
                for name, process in (("server", server), ("engine", engine)):
                    self._note(f"{name} RSS MiB", process.memory_info().rss / 2**20)
                    self._note(f"{name} descriptors", process.num_fds())

    def _note(self, quantity: str, value: float) -> None:
        self.samples.setdefault(quantity, []).append(float(value))


async def soak(pipeline: str, seconds: float) -> SoakReport:
    port = free_port()
    options = ("--size", "256x256") if pipeline == "diffusion" else ()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "--port", str(port)),
        *("--pipeline", pipeline, "--max-streams", "2", "--offers-per-minute", "0", *options),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until_ready(f"http://127.0.0.1:{port}/ready", process)
        one = Soak(f"http://127.0.0.1:{port}", process.pid, clip_pictures())
        await one.run(seconds)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), STOP_S)
    return SoakReport(
        date=datetime.now(UTC).date().isoformat(),
        machine=processor(),
        cores=cores(),
        pipeline=pipeline,
        seconds=seconds,
        visits=one.visits,
        refused=one.refused,
        courses=[course(quantity, one.samples[quantity]) for quantity in BOUNDS],
    )


def soak_table(report: SoakReport) -> str:
    """The courses as Markdown."""
    rows = [
        "| quantity | at first | at the end | growth by slope | counts from |",
        "|---" * 5 + "|",
    ]
    rows += [
        f"| {one.quantity} | {one.first:g} | {one.last:g} | {one.growth:+g} ± {one.error:g}"
        f"{' **grows**' if one.grows else ''} | {one.bound:g} |"
        for one in report.courses
    ]
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pipeline", choices=("echo", "diffusion"), default="diffusion")
    parser.add_argument("--out", type=Path, help="where to write the JSON")
    arguments = parser.parse_args()
    report = asyncio.run(soak(arguments.pipeline, arguments.seconds))
    text = msgspec.json.format(msgspec.json.encode(report), indent=1).decode()
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)
    print(soak_table(report))
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
