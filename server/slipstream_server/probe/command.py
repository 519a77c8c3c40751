"""The command line of `slipstream probe`, and what it prints."""

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from aiohttp import Fingerprint
from slipstream_protocol.clock import now_ns
from slipstream_protocol.frames import I420

from slipstream_server.errors import ConfigError
from slipstream_server.probe.caller import placed_call
from slipstream_server.probe.camera import moving_scene
from slipstream_server.probe.offers import CallFailed, ProbeTarget
from slipstream_server.probe.record import CallRecord
from slipstream_server.probe.report import CallTerms, ProbeReport, SpreadMs, probe_report
from slipstream_server.secret_file import read_secret

_SECONDS_MAX = 3600.0
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})")
_FPS_MAX = 120


def probe(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Call a server and measure; 0 if its service levels held, 1 if not, 2 for a wrong command.

    Args:
        argv: the command line after `probe`.
        environment: of the process; SLIPSTREAM_TOKEN is read.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    try:
        target = probe_target(options, environment)
        width_px, height_px = _size(options.camera_size)
        _check(options)
    except ConfigError as error:
        parser.error(str(error))
    pictures = moving_scene(width_px=width_px, height_px=height_px)
    held = True

    async def calls() -> None:
        nonlocal held
        while True:
            report = await _one_call(target, options, pictures)
            held &= report.held
            print(_as_json(report) if options.json else summary_of(report), flush=True)
            if options.every is None:
                return
            await asyncio.sleep(options.every)

    with suppress(KeyboardInterrupt):
        asyncio.run(calls())
    return int(not held)


def probe_target(options: argparse.Namespace, environment: Mapping[str, str]) -> ProbeTarget:
    """The server that the command line names.

    Raises:
        ConfigError: if the address, the token's file or the fingerprint cannot be used.
    """
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"URL is {options.url!r}, it must be http://... or https://...")
    if "@" in parts.netloc:
        raise ConfigError("URL has a name or password in it, which would be printed: leave it out")
    in_link = parse_qs(parts.query).get("token") or parse_qs(parts.fragment).get("access") or [""]
    tls: bool | Fingerprint = not options.insecure
    if options.fingerprint:
        try:
            tls = Fingerprint(bytes.fromhex(options.fingerprint.replace(":", "")))
        except ValueError as error:
            raise ConfigError(
                f"--fingerprint is {options.fingerprint!r}, it must be the certificate's SHA-256 "
                "as hexadecimal digits"
            ) from error
    return ProbeTarget(
        url=f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}",
        token=_token(options) or in_link[0] or environment.get("SLIPSTREAM_TOKEN", ""),
        tls=tls,
        relay_only=options.relay,
    )


def summary_of(report: ProbeReport) -> str:
    """A report for people."""
    lines = [
        f"{report.url}: {'held' if report.held else 'NOT held'} ({report.began})",
        *(f"  because {reason}" for reason in report.reasons),
        f"  start-up        answer {_ms(report.signal_ms)}, connected {_ms(report.connected_ms)}, "
        f"first frame {_ms(report.first_frame_ms)}",
        f"  glass to glass  {_spread(report.glass_ms)}, read off {report.read_ratio:.0%} of frames",
        f"  gaps            {_spread(report.gap_ms)}, longest {_ms(report.longest_gap_ms)}",
        f"  frames a second {report.fps_sent:.1f} sent, {report.fps_received:.1f} received",
        f"  freezes         {report.freezes}, {report.frozen_ms / 1000:.1f} s in all",
    ]
    for change in report.level_changes:
        lines.append(f"  at {change.at_s:7.1f} s    {change.change}")
    return "\n".join(lines)


async def _one_call(
    target: ProbeTarget, options: argparse.Namespace, pictures: Sequence[I420]
) -> ProbeReport:
    began = datetime.now(UTC).isoformat(timespec="seconds")
    record, error = CallRecord(), None
    try:
        async with placed_call(target, pictures, fps=options.fps) as (call, send):
            record = call.record
            if options.prompt:
                send({"prompt": options.prompt})
            await call.until_first_frame()
            await asyncio.wait((call.ended,), timeout=options.seconds)
            ended_ns = now_ns()
            call.check_goes_on()
    except CallFailed as failed:
        error, ended_ns = str(failed), now_ns()
    terms = CallTerms(
        url=target.url,
        began=began,
        seconds=options.seconds,
        fps_sent=options.fps,
        ended_ns=ended_ns,
        error=error,
    )
    return probe_report(record, terms)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipstream probe",
        description="Call a server as a page would, without a browser, and measure what comes "
        "back by a code in the pixels. Exit code 0 if its service levels held, 1 if not.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("url", metavar="URL", help="of the server's page; a link with a token in it will do")
    add("--seconds", type=float, default=30.0, help="of a call, from its first frame")
    add("--every", type=float, metavar="SECONDS", help="call again so long after each call")
    add("--json", action="store_true", help="a line of JSON for each call")
    add("--token-file", type=Path, help="file with the token; or SLIPSTREAM_TOKEN")
    add("--insecure", action="store_true", help="take any certificate")
    add("--fingerprint", default="", help="SHA-256 of the certificate to take, and no other")
    add("--relay", action="store_true", help="media through the server's TURN server only")
    add("--prompt", default="", help="style to ask for")
    add("--fps", type=int, default=30, help="of the camera")
    add("--camera-size", default="640x480", metavar="WxH", help="of the camera's pictures")
    return parser


def _check(options: argparse.Namespace) -> None:
    if not 2 <= options.seconds <= _SECONDS_MAX:
        raise ConfigError(
            f"--seconds is {options.seconds:g}, it must be from 2 to {_SECONDS_MAX:.0f}; use "
            "--every for calls without end"
        )
    if not 1 <= options.fps <= _FPS_MAX:
        raise ConfigError(f"--fps is {options.fps}, it must be from 1 to {_FPS_MAX}")
    if options.every is not None and options.every < 0:
        raise ConfigError(f"--every is {options.every:g}, it must be at least 0")


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    width_px, height_px = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 96 <= height_px <= width_px <= 3840 or width_px % 4 or height_px % 4:
        raise ConfigError(
            f"--camera-size is {text!r}, it must be WIDTHxHEIGHT in multiples of 4, at least 96 "
            "high and no higher than wide"
        )
    return width_px, height_px


def _token(options: argparse.Namespace) -> str:
    if options.token_file is None:
        return ""
    try:
        return read_secret(options.token_file)
    except ValueError as error:
        raise ConfigError(f"--token-file is {str(options.token_file)!r}, {error}") from error


def _as_json(report: ProbeReport) -> str:
    return msgspec.json.encode(report).decode()


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _spread(spread: SpreadMs | None) -> str:
    if spread is None:
        return "-"
    return f"p50 {spread.p50:.0f}, p95 {spread.p95:.0f}, p99 {spread.p99:.0f} ms"
