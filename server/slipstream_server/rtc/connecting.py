"""What goes wrong while a connection is made: told at once, with its own reason.

aiortc connects in a task that nobody waits for, so that an exception in it leaves a call that is
neither connected nor failed; and it has `cryptography` parse the other side's certificate, which
refuses what OpenSSL has taken: version 2 (libdatachannel before 0.23, thus OBS 30 and 31 on Linux),
and other encodings that are not strict. The certificate is not read here at all. It is hashed as it
came, and the hash compared with the offer's fingerprint, which is all that WebRTC asks of it.

Private names, on the instances of one call: `RTCPeerConnection.__connect` is wrapped,
`RTCDtlsTransport._validate_peer_identity` replaced, `_set_state` called, `_ssl` read.
"""

import functools
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiortc import RTCDtlsFingerprint, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCDtlsParameters, State
from OpenSSL import SSL  # aiortc's own

from slipstream_server.rtp.aiortc_internals import get_private, replace_private

logger = logging.getLogger(__name__)

# RFC 8122, section 5, without the broken ones; the strongest first
_HASHES = ("sha-512", "sha-384", "sha-256", "sha-224", "sha-1")
_NEEDED = "it needs DTLS 1.2 or newer, and a cipher of ECDHE-ECDSA"

Digest = Callable[[str], str]


class ConnectionAttempt:
    """The connecting of one peer connection.

    Args:
        pc: between setting the remote offer and setting the local answer.
        on_error: called with the reason where an exception ends the attempt.

    Raises:
        InternalsChanged: if this aiortc is not built as we know it.
    """

    def __init__(self, pc: RTCPeerConnection, on_error: Callable[[str], None]) -> None:
        self._on_error = on_error
        self._refusal = ""
        self._dtls = _dtls_transports(pc)
        for transport in self._dtls:
            for name in ("_ssl", "_set_state"):
                get_private(transport, name)
            check = functools.partial(self._check_certificate, transport)
            replace_private(transport, "_validate_peer_identity", check)
        connect = get_private(pc, "_RTCPeerConnection__connect")
        replace_private(pc, "_RTCPeerConnection__connect", functools.partial(self._run, connect))

    def failure(self) -> str:
        """Why the connection has failed; to be called from its state change.

        aiortc tells of a failed handshake by the state alone, which it changes while the error that
        has caused it is being handled: there it can still be read.
        """
        if self._refusal:
            return self._refusal
        failed = [transport for transport in self._dtls if transport.state == "failed"]
        if not failed:
            return "no network path to the caller was found; a firewall may block UDP"
        error = sys.exception()
        if isinstance(error, ConnectionError):
            return "the caller has gone away during the DTLS handshake"
        if isinstance(error, SSL.Error):
            return f"the DTLS handshake has failed{_words_of_openssl(error)}; {_NEEDED}"
        return "the DTLS handshake has failed: no SRTP profile in common"

    async def _run(self, connect: Callable[[], Awaitable[None]]) -> None:
        try:
            await connect()
        except Exception as error:  # aiortc raises whatever it runs into
            logger.exception("the connection could not be made")
            self._on_error(f"the connection could not be made: {type(error).__name__}: {error}")

    def _check_certificate(self, transport: Any, parameters: RTCDtlsParameters) -> None:
        """In the place of `_validate_peer_identity`."""
        certificate = transport._ssl.get_peer_certificate()
        if certificate is None:
            self._refusal = "the caller has shown no DTLS certificate"
        else:
            self._refusal = refusal_of_certificate(
                parameters.fingerprints, lambda name: certificate.digest(name).decode()
            )
        if self._refusal:
            transport._set_state(State.FAILED)


def refusal_of_certificate(fingerprints: Sequence[RTCDtlsFingerprint], digest: Digest) -> str:
    """Why a certificate is not the one that was offered; empty if it is.

    Of several hash functions the strongest counts; of several fingerprints with it, as of a peer
    with more than one certificate, one must match (RFC 8122, section 5).

    Args:
        fingerprints: of the offer.
        digest: the certificate's, by the name of a hash function without hyphens ("sha256").
    """
    offered = {one.algorithm.lower() for one in fingerprints}
    chosen = next((name for name in _HASHES if name in offered), None)
    if chosen is None:
        return (
            f"the offer's DTLS fingerprints are {', '.join(sorted(offered))[:80] or 'none'}, one "
            "must be sha-256"
        )
    found = digest(chosen.replace("-", "")).upper()
    values = [one.value.upper() for one in fingerprints if one.algorithm.lower() == chosen]
    if found in values:
        return ""
    return (
        f"the DTLS certificate's {chosen} fingerprint is {found}, the offer's is "
        f"{values[0][:200]}; offer the certificate's own"
    )


def _dtls_transports(pc: RTCPeerConnection) -> list[Any]:
    """Each once; typed Any, as private names of them are used."""
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    return list(dict.fromkeys(transports))


def _words_of_openssl(error: SSL.Error) -> str:
    """Its reasons behind a colon; none where aiortc has asked for them, and thrown them away.

    An error is a list of (library, function, reason).
    """
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = ", ".join(str(entry[-1]) for entry in entries)
    return f": {reasons}" if reasons else ""
