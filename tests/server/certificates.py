"""DTLS certificates as other programs make them, for a peer that is plain aiortc."""

import datetime
import warnings
from typing import Any

from aiortc import RTCCertificate, RTCDtlsFingerprint
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

# [0] EXPLICIT INTEGER at the beginning of the signed part (RFC 5280, section 4.1)
VERSION_3, VERSION_2 = bytes.fromhex("a003020102"), bytes.fromhex("a003020101")
ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


class PeerCertificate(RTCCertificate):
    """A certificate as OpenSSL reads it, which `cryptography` may refuse.

    Args:
        key: the private one.
        der: the certificate, encoded.
        shown: the fingerprint that is offered, where it is not the certificate's own.
        ciphers: for OpenSSL, in place of aiortc's.
    """

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, der: bytes, *, shown: str, ciphers: bytes
    ) -> None:
        self._key = key
        self._cert: Any = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        self._shown = shown
        self._ciphers = ciphers

    def getFingerprints(self) -> list[RTCDtlsFingerprint]:
        value = self._shown or self._cert.digest("sha256").decode()
        return [RTCDtlsFingerprint(algorithm="sha-256", value=value)]

    def _create_ssl_context(self, srtp_profiles: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Passing pyOpenSSL X509", DeprecationWarning)
            context = super()._create_ssl_context(srtp_profiles)
        if self._ciphers:
            context.set_cipher_list(self._ciphers)
        return context


def version_2(shown: str = "", ciphers: bytes = b"") -> PeerCertificate:
    """As libdatachannel makes it before 0.23: no extensions, and version 2 in place of 3."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "libdatachannel")])
    now = datetime.datetime.now(tz=datetime.UTC)
    good = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    signed = good.tbs_certificate_bytes.replace(VERSION_3, VERSION_2, 1)
    signature = b"\0" + key.sign(signed, ec.ECDSA(hashes.SHA256()))
    der = sequence(signed + ECDSA_WITH_SHA256 + element(0x03, signature))
    try:
        x509.load_der_x509_certificate(der)
    except x509.InvalidVersion:
        return PeerCertificate(key, der, shown=shown, ciphers=ciphers)
    raise AssertionError("cryptography takes it: the test proves nothing")


def sequence(content: bytes) -> bytes:
    return element(0x30, content)


def element(tag: int, content: bytes) -> bytes:
    """One element of DER."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content
