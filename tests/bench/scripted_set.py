"""A whole set without a performer: cue list, MIDI, OSC, sound and a recording, in a real Chromium.

    python -m tests.bench.scripted_set [--seconds 600] [--pipeline echo] [--out FOLDER]

The page takes a file for its camera whose pictures carry numbers, and a flash and a click at the
same moments. A cue list goes round, a virtual MIDI device turns a knob and presses a pad, OSC moves
another control. The recording is then looked at frame by frame: with the pipeline `echo` each
picture's number is read, and its time held against it; and each flash against its click. The
camera is recorded beside it: where the browser itself draws late, its flashes are off already, and
what counts is what the server adds to that.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median

import av
import numpy as np
from av import AudioFrame, VideoFrame
from playwright.async_api import Page
from pythonosc.udp_client import SimpleUDPClient
from slipstream_server.probe.marker import draw_marker, read_marker

from tests.e2e.browser import HOW_TO_GET_ONE, find_chromium, running_chromium
from tests.e2e.server import running_server
from tests.e2e.studio import Studio, opened_page
from tests.e2e.test_recovery import events_of, record_events
from tests.server.ports import free_range
from tests.web.surfaces.virtual_midi import VIRTUAL_DEVICE

WIDTH_PX, HEIGHT_PX, FPS = 320, 240, 30
SOUND_HZ = 48_000
PERIOD_FRAMES = 30  # from flash to flash
CLIP_S = 60  # the page plays it again and again
NUMBERS = CLIP_S * FPS
WHITE, LOUD = 150, 0.2  # of luma, of full scale
KNOB, PAD = (0xB0, 7), (0x90, 36)
MOVES_EVERY_S = 0.1
PRESSES_EVERY = 70  # moves
SKEW_MS = 45.0
GAP_S = 1.0
CUES = """() => {
  const show = JSON.parse(localStorage.getItem("show"));
  const cue = (snapshot) => ({ snapshot, over_s: 1, hold_s: 3 });
  show.cueList = { cues: [cue(1), cue(2), cue(3)], repeats: true };
  localStorage.setItem("show", JSON.stringify(show));
  window.dispatchEvent(new StorageEvent("storage", { key: "show" }));
}"""


def write_set_clip(path: Path) -> Path:
    """Numbered pictures, every thirtieth of them bright below its number, with a click."""
    tone = 0.5 * np.sin(np.arange(SOUND_HZ // 100) * 2 * np.pi * 2000 / SOUND_HZ)
    with av.open(str(path), "w", format="webm") as container:
        video = container.add_stream("libvpx", rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        video.bit_rate = 1_000_000
        video.options = {"deadline": "realtime", "cpu-used": "8"}
        sound = container.add_stream("libopus", rate=SOUND_HZ, layout="mono")
        sound.format = "flt"
        samples = np.zeros(SOUND_HZ // FPS, np.float32)
        for number in range(NUMBERS):
            is_flash = number % PERIOD_FRAMES == 0
            rows = np.full((HEIGHT_PX * 3 // 2, WIDTH_PX), 128, np.uint8)
            rows[:HEIGHT_PX] = 220 if is_flash else 50
            draw_marker(rows[:HEIGHT_PX], number)
            picture = VideoFrame.from_ndarray(rows, format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(picture))
            samples[:] = 0
            if is_flash:
                samples[: len(tone)] = tone
            heard = AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
            heard.sample_rate, heard.pts = SOUND_HZ, number * len(samples)
            container.mux(sound.encode(heard))
        container.mux(video.encode())
        container.mux(sound.encode())
    return path


@dataclass
class Film:
    """What a recording holds: each picture's time in s and number, flashes and clicks in s."""

    times_s: list[float] = field(default_factory=list)
    numbers: list[int | None] = field(default_factory=list)
    flashes_s: list[float] = field(default_factory=list)
    clicks_s: list[float] = field(default_factory=list)

    @property
    def gaps_s(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.times_s)]

    def skews_ms(self) -> dict[float, float]:
        """By flash within the sound: the nearest click; above 0 where that is later."""
        first_s, last_s = self.clicks_s[0] - 0.5, self.clicks_s[-1] + 0.5
        return {
            flash_s: 1000 * min((click_s - flash_s for click_s in self.clicks_s), key=abs)
            for flash_s in self.flashes_s
            if first_s < flash_s < last_s
        }

    def added_ms(self, camera: "Film") -> list[float]:
        """What was added to the skew of the camera's flashes, whose times begin elsewhere."""
        first_round_s = CLIP_S / 2  # no number comes twice in it
        times_s = {number: time_s for time_s, number in camera.pairs if time_s < first_round_s}
        ahead_s = median(
            times_s[number] - time_s
            for time_s, number in self.pairs
            if time_s < first_round_s and number in times_s
        )
        found = camera.skews_ms()
        return [
            skew_ms - found[nearest_s]
            for flash_s, skew_ms in self.skews_ms().items()
            for nearest_s in [min(found, key=lambda one: abs(one - flash_s - ahead_s))]
            if abs(nearest_s - flash_s - ahead_s) < PERIOD_FRAMES / FPS / 2
        ]

    @property
    def pairs(self) -> list[tuple[float, int]]:
        """The time and the number of each picture that can be read."""
        return [
            (time_s, number)
            for time_s, number in zip(self.times_s, self.numbers, strict=True)
            if number is not None
        ]

    @property
    def steps(self) -> list[tuple[float, int]]:
        """From each picture to the next: s by their times, and pictures by their numbers, below 0
        where the later one is the earlier of the clip."""
        return [
            (later_s - time_s, (later - number + NUMBERS // 2) % NUMBERS - NUMBERS // 2)
            for (time_s, number), (later_s, later) in itertools.pairwise(self.pairs)
        ]


def watched(path: Path) -> Film:
    film, was_white, quiet_until_s = Film(), False, -1.0
    with av.open(str(path)) as container:
        for frame in container.decode():
            assert frame.time is not None, "MP4 has times"
            if isinstance(frame, VideoFrame):
                luma = np.asarray(frame.to_ndarray(format="gray"), np.uint8)
                film.times_s.append(frame.time)
                film.numbers.append(read_marker(luma, cut_from=WIDTH_PX / HEIGHT_PX))
                is_white = float(luma[luma.shape[0] * 3 // 4 :].mean()) > WHITE
                if is_white and not was_white:
                    film.flashes_s.append(frame.time)
                was_white = is_white
            elif isinstance(frame, AudioFrame):
                level = np.abs(frame.to_ndarray()).max()
                if level > LOUD and frame.time > quiet_until_s:
                    film.clicks_s.append(frame.time)
                    quiet_until_s = frame.time + 0.1
    return film


async def perform(studio: Studio, *, clip: Path, seconds: float, osc_port: int) -> Counter[str]:
    """The set; counts what was done."""
    page, done = studio.page, Counter[str]()
    await record_events(studio)
    await page.select_option("#sound", "own")
    await page.set_input_files("#camera-file", clip)
    await page.select_option("#camera", label="Video or image file…")
    await studio.start()
    for digit, prompt in enumerate(("dawn", "noon", "dusk"), start=1):
        await page.fill("#prompt", prompt)
        await page.press("#prompt", "Enter")
        await page.locator("#prompt").blur()
        await page.keyboard.press(f"Shift+Digit{digit}")
    await learn(page)
    await page.evaluate(CUES)
    await page.wait_for_selector("#record:enabled")
    await page.keyboard.press("Shift+R")
    await page.locator("#record-status").get_by_text("Recording…").wait_for()
    await page.keyboard.press(" ")
    ends_s = asyncio.get_running_loop().time() + seconds
    for move in itertools.count():
        if asyncio.get_running_loop().time() > ends_s:
            break
        value = round(63.5 + 63.5 * math.sin(move / 7))
        await page.evaluate("(bytes) => window.play(...bytes)", [*KNOB, value])
        done["knob"] += 1
        if move % PRESSES_EVERY == PRESSES_EVERY - 1:
            await page.evaluate("(bytes) => window.play(...bytes)", [*PAD, 100])
            await page.evaluate("(bytes) => window.play(...bytes)", [*PAD, 0])
            with contextlib.closing(SimpleUDPClient("127.0.0.1", osc_port)) as osc:
                osc.send_message("/slipstream/seed", move)
            done["pad"] += 1
            done["osc"] += 1
        await asyncio.sleep(MOVES_EVERY_S)
    await page.keyboard.press("Shift+R")
    await page.locator("#record-status").get_by_text("Recording…").wait_for(state="hidden")
    updates = await events_of(page, "parameters_updated")
    seeds = {one["parameters"].get("seed") for one in updates}
    scales = {one["parameters"].get("noise_scale") for one in updates}
    texts = [one["parameters"]["prompts"][0]["text"] for one in updates]
    done["seeds in force"] = len(seeds)
    done["strengths in force"] = len(scales)
    done["prompts changed"] = sum(a != b for a, b in itertools.pairwise(texts))
    return done


async def learn(page: Page) -> None:
    """The knob moves the strength, where the model has one, and the pad calls snapshot 2."""
    await page.evaluate("document.querySelector('#midi').open = true")
    for source, control in ((KNOB, "#strength"), (PAD, "#snapshot-2")):
        if await page.locator(control).is_disabled():
            continue
        await page.click("#midi-learn:enabled")
        await page.evaluate("(bytes) => window.play(...bytes)", [*source, 100])
        await page.click(control)


def report(
    film: Film, camera: Film, done: Counter[str], *, seconds: float, reads: bool
) -> list[str]:
    """Print what was found; returns what is not as it must be."""
    skews_ms = sorted(map(abs, film.skews_ms().values()))
    added_ms = sorted(map(abs, film.added_ms(camera))) if reads else skews_ms
    steps = film.steps
    uneven_ms = sorted(1000 * abs(step_s - pictures / FPS) for step_s, pictures in steps)
    found = {
        "seconds": round(film.times_s[-1], 1),
        "pictures": len(film.times_s),
        "fps": round(len(film.times_s) / film.times_s[-1], 1),
        "numbers read": sum(number is not None for number in film.numbers),
        "numbers that fall": sum(pictures < 0 for _, pictures in steps),
        "pictures twice": sum(pictures == 0 for _, pictures in steps),
        "longest gap ms": round(1000 * max(film.gaps_s)),
        "flashes": len(film.flashes_s),
        "clicks": len(film.clicks_s),
        "skew p50 ms": round(median(film.skews_ms().values()), 1),
        "skew p95 ms": round(_p95(skews_ms), 1),
        "skew of the camera p95 ms": round(_p95(sorted(map(abs, camera.skews_ms().values()))), 1),
        "skew added p95 ms": round(_p95(added_ms), 1),
        "fps of the camera": round(len(camera.times_s) / camera.times_s[-1], 1),
        "longest gap of the camera ms": round(1000 * max(camera.gaps_s)),
        **({"off its time p95 ms": round(_p95(uneven_ms), 1)} if reads else {}),
        **done,
    }
    print(json.dumps(found, indent=2))
    wrong = {
        "the recording is too short": film.times_s[-1] < seconds - 2,
        "its times do not rise": min(film.gaps_s) <= 0,
        f"it stands still for more than {GAP_S:g} s longer than the camera": (
            max(film.gaps_s) > GAP_S + max(camera.gaps_s)
        ),
        "flashes have no click": len(skews_ms) < 0.9 * (len(film.flashes_s) - 2),
        f"sound is off by {SKEW_MS:g} ms more than the camera's": _p95(added_ms) > SKEW_MS,
        "pictures cannot be read": reads and None in film.numbers,
        "pictures are out of order": reads and found["numbers that fall"] > 0,
        "cues were not gone to": done["prompts changed"] < seconds / 12,
        "OSC moved nothing": done["osc"] > 0 and done["seeds in force"] < 2,
    }
    return [reason for reason, is_so in wrong.items() if is_so]


def _p95(ordered: list[float]) -> float:
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


async def run(seconds: float, pipeline: str, folder: Path) -> int:
    executable = await find_chromium()
    if executable is None:
        print(HOW_TO_GET_ONE, file=sys.stderr)
        return 2
    clip = await asyncio.to_thread(write_set_clip, folder / "set.webm")
    osc_port = free_range(1).low
    settings = (
        *("--record-dir", str(folder), "--record-input", "--record-free-mib", "0"),
        *("--osc-port", str(osc_port)),
    )
    async with (
        running_server(pipeline=pipeline, log=folder / "server.log", more=settings) as server,
        running_chromium(executable, camera=None) as browser,
        opened_page(browser, f"{server.url}/health") as studio,
    ):
        await studio.page.context.add_init_script(f"({VIRTUAL_DEVICE})()")
        await studio.page.goto(server.url)
        done = await perform(studio, clip=clip, seconds=seconds, osc_port=osc_port)
    camera, film = await asyncio.to_thread(
        lambda: [watched(path) for path in sorted(folder.glob("*/*.mp4"))]
    )
    wrong = report(film, camera, done, seconds=seconds, reads=pipeline == "echo")
    for reason in wrong:
        print(f"WRONG: {reason}")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="A scripted set, and what its recording holds.")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pipeline", default="echo")
    parser.add_argument("--out", type=Path, help="folder for clip, log and recording; kept")
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        return asyncio.run(run(arguments.seconds, arguments.pipeline, arguments.out))
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(arguments.seconds, arguments.pipeline, Path(folder)))


if __name__ == "__main__":
    raise SystemExit(main())
