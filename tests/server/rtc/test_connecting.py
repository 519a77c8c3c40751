"""What goes wrong while a call connects: real peers over loopback."""

from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCDtlsFingerprint, RTCDtlsTransport
from slipstream_server.rtc.connecting import refusal_of_certificate

from tests.server.calls import Camera
from tests.server.certificates import version_2
from tests.server.serving import Serving, poll, serving
from tests.server.whips import WhipCall, posted, publishing, readable_in_order

OTHERS = ":".join(["AB"] * 32)


async def end_of(server: Serving, call: WhipCall) -> str:
    """Why the call has ended, as its URL tells."""
    await poll(lambda: not server.sessions.is_live(call.id), deadline_s=10)
    async with server.client.patch(
        call.location,
        data="a=ice-ufrag:x",
        headers={"Content-Type": "application/trickle-ice-sdpfrag"},
    ) as response:
        return str((await response.json())["error"])


@pytest.mark.parametrize("is_publisher", [True, False])
async def test_a_certificate_of_version_2_is_taken(tmp_path: Path, is_publisher: bool) -> None:
    """OBS on Linux shows such a one; it publishes and watches like all others."""
    certificate = version_2()
    async with serving(tmp_path) as server:
        publishers, viewers = (certificate, None) if is_publisher else (None, certificate)
        async with (
            publishing(server, certificate=publishers),
            posted(server.client, "/whep/stage", certificate=viewers) as viewer,
        ):
            await viewer.until_frames(10)
        assert readable_in_order(viewer) > 5


async def test_a_certificate_that_was_not_offered_is_refused(tmp_path: Path) -> None:
    """both fingerprints are told, at once; the place is free and another's call goes on."""
    async with (
        serving(tmp_path) as server,
        publishing(server, "other"),
        posted(server.client, "/whep/other") as viewer,
    ):
        async with posted(
            server.client, "/whip/stage", camera=Camera(), certificate=version_2(OTHERS)
        ) as call:
            assert call.status == 201, call.error
            reason = await end_of(server, call)
        assert f"the offer's is {OTHERS}" in reason
        assert "UDP" not in reason
        assert [stream.id for stream in server.sessions.streams()] == ["other"]
        await viewer.until_more_frames(8)


async def test_an_exception_while_connecting_ends_the_call_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """whatever it is: not a silence of 20 s and a word about firewalls."""

    def fail(transport: RTCDtlsTransport, *arguments: Any) -> None:
        raise LookupError("the key is 7 bits too short")

    async with serving(tmp_path) as server:
        async with posted(server.client, "/whip/stage", camera=Camera()) as call:
            answering = {id(one) for one in (call.pc.getTransceivers()[0].sender.transport,)}
            setup = RTCDtlsTransport._setup_srtp

            def fail_there(transport: RTCDtlsTransport) -> None:
                if id(transport) in answering:
                    setup(transport)
                else:
                    fail(transport)

            monkeypatch.setattr(RTCDtlsTransport, "_setup_srtp", fail_there)
            reason = await end_of(server, call)
        assert "the connection could not be made: LookupError: the key is 7 bits" in reason
        assert server.sessions.streams() == []


async def test_a_handshake_that_fails_is_told(tmp_path: Path) -> None:
    """with what is needed, at once."""
    certificate = version_2(ciphers=b"AES128-SHA")
    async with serving(tmp_path) as server:
        async with posted(
            server.client, "/whip/stage", camera=Camera(), certificate=certificate
        ) as call:
            reason = await end_of(server, call)
        assert "the DTLS handshake has failed; it needs DTLS 1.2 or newer" in reason
        assert server.sessions.streams() == []


@pytest.mark.parametrize(
    ("offered", "refusal"),
    [
        ([("sha-256", "AA")], ""),
        ([("SHA-256", "aa")], ""),
        ([("sha-1", "00"), ("sha-256", "AA")], ""),  # the weaker one does not count
        ([("sha-256", "BB"), ("sha-256", "AA")], ""),  # of two certificates
        ([("md5", "00"), ("sha-512", "CC")], ""),
        ([("sha-256", "AA"), ("sha-512", "AA")], "sha-512 fingerprint is CC, the offer's is AA"),
        ([("sha-256", "BB")], "the DTLS certificate's sha-256 fingerprint is AA"),
        ([("md5", "AA")], "DTLS fingerprints are md5, one must be sha-256"),
        ([], "DTLS fingerprints are none"),
    ],
)
def test_the_strongest_hash_counts(offered: list[tuple[str, str]], refusal: str) -> None:
    """RFC 8122: of several functions the strongest, and one of its values."""
    fingerprints = [RTCDtlsFingerprint(algorithm=name, value=value) for name, value in offered]
    digests = {"sha256": "AA", "sha512": "CC", "sha1": "DD"}
    found = refusal_of_certificate(fingerprints, lambda name: digests[name])
    assert (found == "") is (refusal == "")
    assert refusal in found
