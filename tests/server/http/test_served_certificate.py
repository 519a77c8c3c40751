"""A certificate that is replaced while it is served, as certbot and its like do it."""

import asyncio
import contextlib
import datetime
import os
import signal
import ssl
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.http.certificates import Certificate, self_signed
from slipstream_server.http.file_changes import FileChanges
from slipstream_server.http.served_certificate import ServedCertificate

from tests.server.command import health, slipstream
from tests.server.serving import poll

WAIT_S = 20.0
STAMPS = st.lists(st.integers(0, 3), max_size=30)


@given(STAMPS)
def test_files_are_read_again_once_they_have_changed_and_settled(stamps: list[int]) -> None:
    """never in the middle, never twice for the same, and what was read is what is there."""
    changes, read, seen = FileChanges(0), 0, 0
    for stamp in stamps:
        is_due = changes.look(stamp)
        assert is_due == (stamp == seen and stamp != read)
        seen = stamp
        read = stamp if is_due else read


def replaced(folder: Path, *names: str) -> Certificate:
    """A new certificate in the same file, for these names."""
    (folder / "pair.pem").unlink(missing_ok=True)
    return self_signed(folder / "pair.pem", names, now=datetime.datetime.now(datetime.UTC))


async def shown(port: int) -> bytes:
    """The fingerprinted certificate that a new connection gets."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    try:
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_a_running_server_shows_the_new_certificate(tmp_path: Path) -> None:
    """when its files change and on SIGHUP; one that cannot be served changes nothing, is named in
    the log once, and the server goes on."""
    file, log = tmp_path / "pair.pem", tmp_path / "log"
    replaced(tmp_path, "localhost", "first.example")
    flags = ("--tls-cert", str(file), "--tls-key", str(file))
    async with slipstream(*flags, log=log) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        first = await shown(port)

        second = replaced(tmp_path, "localhost", "second.example")
        await poll(lambda: second.fingerprint in log.read_text())
        assert await shown(port) not in (first, b"")

        kept = await shown(port)
        file.write_text("half of a certificate")
        await poll(lambda: "the new certificate is not used, that of localhost" in log.read_text())
        assert await shown(port) == kept
        process.send_signal(signal.SIGHUP)
        await poll(lambda: log.read_text().count("is not used, that of localhost") == 2)
        assert await shown(port) == kept

        third = replaced(tmp_path, "localhost", "third.example")
        process.send_signal(signal.SIGHUP)
        await poll(lambda: third.fingerprint in log.read_text())
        assert await shown(port) not in (first, kept)
        assert process.returncode is None


async def test_a_server_without_https_lives_on(tmp_path: Path) -> None:
    """SIGHUP asks for nothing then."""
    log = tmp_path / "log"
    async with slipstream(log=log) as (process, address):
        process.send_signal(signal.SIGHUP)
        await poll(lambda: "there is no certificate to read again" in log.read_text())
        assert (await health(address))["ready"]


async def test_our_own_is_made_anew_before_its_end(tmp_path: Path) -> None:
    """while it is served, and not only at the next start."""
    old = self_signed(
        tmp_path / "pair.pem",
        ["localhost"],
        now=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=392),
    )
    served = ServedCertificate(old, lambda: replaced(tmp_path, "localhost"), renews=True)
    keeping = asyncio.create_task(served.keep_current())
    await poll(lambda: served.certificate.fingerprint != old.fingerprint)
    keeping.cancel()
    assert served.certificate.expires - old.expires > datetime.timedelta(days=300)


async def test_a_server_whose_terminal_is_closed_ends(tmp_path: Path) -> None:
    """SIGHUP means that then, as it does for every program in a terminal."""
    terminal, inner = os.openpty()
    async with slipstream(log=tmp_path / "log", stdin=inner) as (process, _):
        os.close(inner)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(WAIT_S):
            assert await process.wait() == 0
