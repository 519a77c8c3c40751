"""The server's certificate: the user's own, checked, or a self-signed one, created and kept.

A self-signed certificate and its key are in one file, so that no crash can leave one without the
other. It is renewed before it expires, and when the machine has a name that it lacks.
"""

import datetime
import ipaddress
import logging
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipstream_server.errors import ConfigError

logger = logging.getLogger(__name__)

SELF_SIGNED = Path("~/.cache/slipstream/tls/self-signed.pem")
_LIFE = datetime.timedelta(days=397)  # browsers distrust longer ones
RENEW_BEFORE = datetime.timedelta(days=7)
_SKEW = datetime.timedelta(days=1)  # clocks of other machines may be behind
_NAME_MAX = 64  # of a common name (RFC 5280, ub-common-name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that can be used; `key` and `chain` may be one file."""

    chain: Path
    key: Path
    names: tuple[str, ...]
    fingerprint: str
    expires: datetime.datetime
    self_signed: bool

    def context(self) -> ssl.SSLContext:
        """The SSL context for a listener."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(self.chain, self.key)
        return context


def read_certificate(chain: Path, key: Path, *, now: datetime.datetime) -> Certificate:
    """Read and check the user's own certificate.

    Args:
        chain: PEM, the server's certificate first, then those it was signed with.
        key: PEM, without a password.
        now: with a time zone.

    Raises:
        ConfigError: if a file cannot be read, the two do not match, or it is not valid now.
    """
    try:
        leaf = x509.load_pem_x509_certificates(_read(chain, "tls_cert"))[0]
    except ValueError as error:
        raise ConfigError(
            f"tls_cert {chain} holds no certificate in PEM ({error}); it must begin with "
            "-----BEGIN CERTIFICATE-----"
        ) from error
    _check_key(chain, key, leaf)
    certificate = _describe(leaf, chain, key, self_signed=leaf.issuer == leaf.subject)
    if now >= certificate.expires:
        raise ConfigError(
            f"tls_cert {chain} has expired on {certificate.expires:%Y-%m-%d}; renew it, or start "
            "with --tls self-signed"
        )
    if now < leaf.not_valid_before_utc:
        raise ConfigError(
            f"tls_cert {chain} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, now "
            f"it is {now:%Y-%m-%d %H:%M}; set the clock, or wait"
        )
    try:
        certificate.context()
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"tls_cert {chain} with {key} cannot be served: {error}") from error
    return certificate


def self_signed(file: Path, names: Iterable[str], *, now: datetime.datetime) -> Certificate:
    """The certificate kept in `file`, created or renewed where necessary.

    Args:
        names: host names and addresses that it must name.
        now: with a time zone.

    Raises:
        ConfigError: if the file cannot be written.
    """
    wanted = tuple(dict.fromkeys(names))
    kept = _read_kept(file, now=now)
    if kept is not None and set(wanted) <= set(kept.names):
        return kept
    try:
        _write_private(file, _new_pem(wanted, now=now))
    except OSError as error:
        raise ConfigError(
            f"the self-signed certificate cannot be kept as {file}: {error.strerror}; make the "
            "folder writable, or bring your own with --tls-cert and --tls-key"
        ) from error
    logger.info("made a self-signed certificate for %s: %s", ", ".join(wanted), file)
    return read_certificate(file, file, now=now)


def _read_kept(file: Path, *, now: datetime.datetime) -> Certificate | None:
    if not file.exists():
        return None
    try:
        kept = read_certificate(file, file, now=now)
    except ConfigError as error:
        logger.warning("the kept certificate cannot be used and is replaced: %s", error)
        return None
    return kept if kept.expires - now > RENEW_BEFORE else None


def _new_pem(names: tuple[str, ...], *, now: datetime.datetime) -> bytes:
    """A new certificate and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Slipstream, self-signed"),
            x509.NameAttribute(NameOID.COMMON_NAME, names[0][:_NAME_MAX]),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now - _SKEW + _LIFE)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + secret


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_private(file: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner only."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as half:
            half.write(content)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting} {path} cannot be read: {error.strerror}") from error


def _check_key(chain: Path, key: Path, leaf: x509.Certificate) -> None:
    try:
        private = serialization.load_pem_private_key(_read(key, "tls_key"), password=None)
    except TypeError as error:
        raise ConfigError(
            f"tls_key {key} is locked with a password, it must be without: "
            "openssl pkey -in KEY -out PLAIN"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"tls_key {key} holds no private key in PEM; it must begin with "
            "-----BEGIN PRIVATE KEY-----"
        ) from error
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise ConfigError(
            f"tls_key {key} does not belong to tls_cert {chain}; give the key the certificate was "
            "made with, and a chain whose first certificate is the server's"
        )


def _describe(leaf: x509.Certificate, chain: Path, key: Path, *, self_signed: bool) -> Certificate:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [
            *found.get_values_for_type(x509.DNSName),
            *(str(address) for address in found.get_values_for_type(x509.IPAddress)),
        ]
    except x509.ExtensionNotFound:
        names = []
    return Certificate(
        chain=chain,
        key=key,
        names=tuple(names),
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        expires=leaf.not_valid_after_utc,
        self_signed=self_signed,
    )
