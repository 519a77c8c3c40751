"""`slipstream probe` as people run it, against servers as people run them."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import msgspec
import pytest
from slipstream_server.probe.command import probe
from slipstream_server.probe.report import ProbeReport

from tests.server.command import health, slipstream
from tests.server.serving import serving

TOKEN = "a-token-of-enough-length"


def plain(fingerprint: str) -> str:
    """A fingerprint as it is printed, without what parts its bytes."""
    return fingerprint.rpartition(" ")[2].replace(":", "")


async def probing(*flags: str) -> tuple[int, str, str]:
    """Exit code and output of the command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipstream_server", "probe", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_healthy_server_holds() -> None:
    """start-up, glass to glass and gaps are measured; the frames' numbers are read."""
    async with slipstream("--max-streams", "1") as (_, address):
        await health(address)
        code, out, err = await probing(
            address, "--seconds", "3", "--fps", "15", "--camera-size", "320x240", "--json"
        )
    report = msgspec.json.decode(out, type=ProbeReport)
    assert report.glass_ms is not None and report.gap_ms is not None, err
    assert report.signal_ms is not None and report.first_frame_ms is not None
    assert report.signal_ms < report.first_frame_ms
    assert report.read_ratio > 0.9
    assert report.targets["age_ms"] == 1000
    assert (code, report.held) == (0, True), report.reasons


async def test_a_server_that_misses_its_target_fails() -> None:
    """exit code 1, and the reason."""
    async with slipstream("--age-ms-target", "1", "--token", TOKEN) as (_, address):
        code, out, _ = await probing(
            address, "--seconds", "2", "--fps", "10", "--camera-size", "320x240"
        )
    assert code == 1
    assert "glass to glass p95 is" in out and "the target is 1 ms" in out
    assert TOKEN not in out


async def test_it_gets_in_by_token_and_certificate(tmp_path: Path) -> None:
    """with the token from a file and the fingerprint that the server prints; with neither the
    refusal is the reason."""
    (tmp_path / "token").write_text(TOKEN + "\n")
    small = ("--seconds", "2", "--fps", "10", "--camera-size", "320x240", "--json")
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    async with slipstream("--token", TOKEN, "--tls", "self-signed", environment=home) as (
        process,
        link,
    ):
        assert process.stdout is not None
        printed = b""
        while b"fingerprint is" not in printed:
            printed = await asyncio.wait_for(process.stdout.readline(), 10)
        fingerprint = (await process.stdout.readline()).decode().strip()
        address = link.partition("?")[0]
        trusted = aiohttp.TCPConnector(ssl=aiohttp.Fingerprint(bytes.fromhex(plain(fingerprint))))
        async with aiohttp.ClientSession(
            connector=trusted, headers={"Authorization": f"Bearer {TOKEN}"}
        ) as http:
            await health(address, http)
        token = ("--token-file", str(tmp_path / "token"))
        opened = await probing(address, *token, "--fingerprint", fingerprint, *small)
        refused = await probing(address, *token, "--fingerprint", "00" * 32, *small)
        unknown = await probing(address, "--insecure", *small)
    report = msgspec.json.decode(opened[1], type=ProbeReport)
    assert report.read_ratio > 0.9, report.reasons
    for (code, out, _), reason in ((refused, "does not answer"), (unknown, "401")):
        failed = msgspec.json.decode(out, type=ProbeReport)
        assert (code, failed.held) == (1, False)
        assert reason in failed.reasons[0]


async def test_a_call_by_relay_needs_one(tmp_path: Path) -> None:
    """told at once, not after a call that finds no way."""
    async with serving(tmp_path) as server:
        address = str(server.client.make_url("/"))
        code, out, _ = await probing(address.rstrip("/"), "--relay", "--seconds", "2")
    assert code == 1 and "no TURN server" in out


async def test_nobody_there_fails() -> None:
    code, out, _ = await probing("http://127.0.0.1:9", "--seconds", "2")
    assert code == 1 and "does not answer" in out


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["ftp://x"], "it must be http"),
        (["http://me:secret@x"], "name or password"),
        (["http://x", "--seconds", "0"], "from 2 to 3600"),
        (["http://x", "--fps", "0"], "from 1 to 120"),
        (["http://x", "--camera-size", "480x640"], "no higher than wide"),
        (["http://x", "--fingerprint", "xyz"], "SHA-256"),
        (["http://x", "--fingerprint", "00"], "SHA-256"),
        (["http://x", "--token-file", "/nowhere"], "cannot be read"),
        (["http://x", "--every", "-1"], "at least 0"),
    ],
)
def test_a_wrong_command_is_refused(
    flags: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """with the value and the rule; a password is not repeated."""
    with pytest.raises(SystemExit) as ended:
        probe(flags, {})
    assert ended.value.code == 2
    told_us = capsys.readouterr().err
    assert told in told_us and "secret@" not in told_us
