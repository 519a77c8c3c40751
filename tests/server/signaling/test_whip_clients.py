"""Publishers and viewers that are not ours: FFmpeg, libdatachannel, libwebrtc; RSA certificates."""

import asyncio
import datetime
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCCertificate
from aiortc.rtp import RtpPacket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from slipstream_server.probe.marker import read_marker
from slipstream_server.receive.receiver import VideoReceiver
from slipstream_server.send.h264 import X264, H264Encoder

from tests.server.calls import numbered
from tests.server.npm import installed
from tests.server.ports import free_range
from tests.server.serving import Serving, poll, serving
from tests.server.whips import posted, publishing, readable_in_order

START_S, STOP_S = 60.0, 60.0  # of other people's programs on a busy machine
NODE = Path(__file__).parents[1] / "node"
PICTURE_BYTES = 640 * 480 * 3 // 2
TOKEN = "a-token-of-enough-length"

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def new_key(kind: str) -> Key:
    """Of elliptic curves ("ec"), or "rsa"."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate_of(key: Key) -> x509.Certificate:
    """A self-signed one, as WebRTC peers have."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(tz=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )


def pem_files(folder: Path, key: Key) -> dict[str, str]:
    """The muxer's options for a key and its certificate."""
    certificate, secret = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(certificate_of(key).public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return {"cert_file": str(certificate), "key_file": str(secret)}


@asynccontextmanager
async def program(
    *command: str | Path, folder: Path | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A publisher or viewer in a process of its own, asked to stop by closing its input; its
    output is in the message if it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        try:
            async with asyncio.timeout(STOP_S):
                output, _ = await process.communicate(b"")
        except TimeoutError:
            process.kill()
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode(errors="replace")


@pytest.mark.skipif(
    "whip" not in av.formats_available, reason="this PyAV's FFmpeg is older than 8, without WHIP"
)
@pytest.mark.parametrize(
    ("kind", "flags", "profile"),
    [
        ("ec", "", "Baseline"),
        ("ec", "dtls_active", "High"),
        ("rsa", "dtls_active", "Baseline"),
    ],
)
async def test_ffmpeg_publishes(tmp_path: Path, kind: str, flags: str, profile: str) -> None:
    """its pictures are watched in order; its end is the stream's; whatever its certificate,
    wherever it begins the handshake, and in high profile too."""
    options = {"authorization": TOKEN} | pem_files(tmp_path, new_key(kind))
    if flags:
        options["whip_flags"] = flags
    page = tmp_path / "page"
    page.mkdir()
    async with serving(page, token=TOKEN) as server:
        url = str(server.client.make_url("/whip/ffmpeg"))
        arguments = [f"{name}={value}" for name, value in options.items()]
        module = (sys.executable, "-m", "tests.server.ffmpeg_whip")
        async with program(*module, url, profile, *arguments):
            await until_live(server)
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            async with posted(server.client, "/whep/ffmpeg", headers=bearer) as viewer:
                assert viewer.status == 201, viewer.error
                await viewer.until_frames(20)
        assert readable_in_order(viewer) > 10
        await poll(lambda: server.sessions.streams() == [])


@pytest.fixture(scope="module")
def libdatachannel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What OBS is built on."""
    return installed("node-datachannel@0.33.4", tmp_path_factory.mktemp("libdatachannel"))


@pytest.fixture(scope="module")
def libwebrtc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What browsers are built on."""
    return installed("@roamhq/wrtc@0.10.0", tmp_path_factory.mktemp("libwebrtc"))


@pytest.mark.parametrize(
    ("kind", "is_one_port"), [("ec", False), ("rsa", True)], ids=["ports", "one port, ICE lite"]
)
async def test_libdatachannel_publishes_as_obs_does(
    tmp_path: Path, libdatachannel: Path, kind: str, is_one_port: bool
) -> None:
    """sound first, no addresses, Bearer; its pictures are watched in order, DELETE ends it."""
    units = tmp_path / "units"
    units.write_bytes(encoded(300))
    pem = pem_files(tmp_path, new_key(kind))
    page = tmp_path / "page"
    page.mkdir()
    where: dict[str, Any] = one_port_of_a_public_server() if is_one_port else {}
    async with serving(page, token=TOKEN, **where) as server:
        url = str(server.client.make_url("/whip/obs"))
        script = (url, TOKEN, units, pem["cert_file"], pem["key_file"])
        async with program("node", NODE / "obs.mjs", *script, folder=libdatachannel):
            await until_live(server)
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            async with posted(server.client, "/whep/obs", headers=bearer) as viewer:
                assert viewer.status == 201, viewer.error
                await viewer.until_frames(20)
        assert readable_in_order(viewer) > 10
        await poll(lambda: server.sessions.streams() == [])


async def test_a_key_frame_that_left_too_early_is_sent_again(
    tmp_path: Path, libdatachannel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OBS makes another one after 8 s, whatever is requested, but keeps what it has sent."""
    units, page = tmp_path / "units", tmp_path / "page"
    units.write_bytes(encoded(300, key_every=300))
    page.mkdir()
    lost: Counter[VideoReceiver] = Counter()
    on_packet = VideoReceiver.on_packet

    def miss_the_first(receiver: VideoReceiver, packet: RtpPacket, *rest: Any) -> None:
        lost[receiver] += 1
        if lost[receiver] > 8:
            on_packet(receiver, packet, *rest)

    monkeypatch.setattr(VideoReceiver, "on_packet", miss_the_first)
    async with serving(page) as server:
        url = str(server.client.make_url("/whip/obs"))
        async with program("node", NODE / "obs.mjs", url, "", units, folder=libdatachannel):
            await until_live(server)
            (stream,) = server.sessions.streams()
            received = server.sessions.find(stream.slot.last_id).peer.media_stats.received
            assert received["nack"] > 0
            assert received["pli"] < 10  # two a second until there is a picture


@pytest.mark.parametrize("without", [None, "tcp", "udp"], ids=["ports", "one port", "over TCP"])
async def test_libwebrtc_publishes_and_watches(
    tmp_path: Path, libwebrtc: Path, without: str | None
) -> None:
    """what one sends the other is shown, readable; also on one port, and where UDP is blocked."""
    sent, shown = tmp_path / "sent", tmp_path / "shown"
    sent.write_bytes(b"".join(numbered(number).to_ndarray().tobytes() for number in range(60)))
    shown.touch()
    page = tmp_path / "page"
    page.mkdir()
    script = NODE / "libwebrtc.mjs"
    transport = () if without is None else (without,)
    media_port = 0 if without is None else free_range(1).low
    async with serving(page, media_port=media_port) as server:
        whip, whep = (str(server.client.make_url(path)) for path in ("/whip/web", "/whep/web"))
        async with program("node", script, "publish", whip, sent, *transport, folder=libwebrtc):
            await until_live(server)
            view = ("view", whep, shown, *transport)
            async with program("node", script, *view, folder=libwebrtc):
                await poll(lambda: shown.stat().st_size > 20 * PICTURE_BYTES, deadline_s=START_S)
        pictures = np.frombuffer(shown.read_bytes(), np.uint8)
        pictures = pictures[: pictures.size // PICTURE_BYTES * PICTURE_BYTES]
        luma = pictures.reshape(-1, PICTURE_BYTES)[:, : 640 * 480].reshape(-1, 480, 640)
        numbers = {read_marker(picture) for picture in luma} - {None}
        assert len(numbers) > 10
        await poll(lambda: server.sessions.streams() == [])


SYSTEM_PYTHON = Path("/usr/bin/python3")
GSTREAMER_NEEDS = """
import gi
for name in ("Gst", "GstSdp", "GstWebRTC"):
    gi.require_version(name, "1.0")
from gi.repository import Gst
Gst.init(None)
for name in ("webrtcbin", "nicesrc", "x264enc", "rtph264pay", "h264parse"):
    assert Gst.ElementFactory.find(name), f"GStreamer has no {name}"
"""


@pytest.fixture(scope="module")
def gstreamer() -> tuple[Path, Path]:
    """Debian's webrtcbin: the interpreter that has it, and the script."""
    try:
        subprocess.run(
            [SYSTEM_PYTHON, "-c", GSTREAMER_NEEDS], check=True, capture_output=True, timeout=STOP_S
        )
    except (OSError, subprocess.SubprocessError):
        pytest.skip(
            "GStreamer's webrtcbin is not here; apt-get install python3-gst-1.0 "
            "gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice gstreamer1.0-plugins-{base,good,bad,ugly}"
        )
    return SYSTEM_PYTHON, Path(__file__).parents[1] / "gstreamer_peer.py"


@pytest.mark.parametrize("is_one_port", [False, True], ids=["ports", "one port, ICE lite"])
async def test_gstreamer_publishes_and_watches(
    tmp_path: Path, gstreamer: tuple[Path, Path], is_one_port: bool
) -> None:
    """what one webrtcbin sends another is shown; the end of the first is the stream's."""
    shown, page = tmp_path / "shown", tmp_path / "page"
    shown.touch()
    page.mkdir()
    async with serving(page, **(one_port_of_a_public_server() if is_one_port else {})) as server:
        whip, whep = (str(server.client.make_url(path)) for path in ("/whip/gst", "/whep/gst"))
        async with program(*gstreamer, "publish", whip):
            await until_live(server)
            async with program(*gstreamer, "view", whep, shown):
                await poll(lambda: shown.stat().st_size > 20, deadline_s=START_S)
        await poll(lambda: server.sessions.streams() == [])


def one_port_of_a_public_server() -> dict[str, Any]:
    """Settings of a server that answers as ICE lite."""
    return {"media_port": free_range(1).low, "public_ip": "198.51.100.4"}


def encoded(count: int, *, key_every: int = 30) -> bytes:
    """Numbered pictures as H.264 access units, each behind its length."""
    encoder = H264Encoder(X264, ceiling_bps=2_000_000)
    units = []
    for number in range(count):
        frame = numbered(number)
        frame.pts = number * 3000
        key = number % key_every == 0
        done = encoder.encode(frame, bitrate_bps=2_000_000, fps=30, force_key=key)
        unit = bytes(done.packet)
        units.append(len(unit).to_bytes(4, "big") + unit)
    return b"".join(units)


async def until_live(server: Serving) -> None:
    await poll(
        lambda: any(stream.state_event().state == "live" for stream in server.sessions.streams()),
        deadline_s=START_S,
    )


async def test_a_peer_with_an_rsa_certificate_is_served(tmp_path: Path) -> None:
    """it begins the handshake: the end of ours that begins one refuses such certificates."""
    key = new_key("rsa")
    certificate = RTCCertificate(key, certificate_of(key))  # type: ignore[arg-type]
    async with (
        serving(tmp_path) as server,
        publishing(server),
        posted(server.client, "/whep/stage", certificate=certificate) as viewer,
    ):
        await viewer.until_frames(8)
