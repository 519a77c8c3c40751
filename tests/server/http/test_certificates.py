"""Certificates: the user's own are checked, ours is made once and kept to ourselves."""

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from slipstream_server.errors import ConfigError
from slipstream_server.http.certificates import read_certificate, self_signed

NOW = datetime.datetime(2030, 1, 2, 3, 4, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
NAMES = ("localhost", "127.0.0.1", "::1", "studio.example", "192.0.2.7")


def pair(folder: Path, *, name: str = "mine", secret: bytes = b"") -> tuple[Path, Path]:
    """A certificate and a key as a user would bring them: in two files, valid for 30 days."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 30 * DAY)
        .sign(key, hashes.SHA256())
    )
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if secret:
        encryption = serialization.BestAvailableEncryption(secret)
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return files


def test_a_right_pair_is_served(tmp_path: Path) -> None:
    certificate = read_certificate(*pair(tmp_path), now=NOW)
    assert isinstance(certificate.context(), ssl.SSLContext)
    assert certificate.expires == NOW + 30 * DAY
    assert len(certificate.fingerprint) == 32 * 3 - 1


def test_a_pair_that_cannot_be_served_is_explained(tmp_path: Path) -> None:
    """each case in its own words: missing, no PEM, swapped, of another, locked, out of time."""
    chain, key = pair(tmp_path)
    _, other = pair(tmp_path, name="other")
    locked_chain, locked = pair(tmp_path, name="locked", secret=b"secret")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"\xff\x00garbage")
    for files, now, reason in (
        ((tmp_path / "none", key), NOW, "none cannot be read: No such file or directory"),
        ((chain, tmp_path / "none"), NOW, "none cannot be read: No such file or directory"),
        ((tmp_path, key), NOW, "cannot be read: Is a directory"),
        ((garbage, key), NOW, "garbage holds no certificate in PEM"),
        ((key, chain), NOW, "mine.key holds no certificate in PEM"),
        ((chain, garbage), NOW, "garbage holds no private key in PEM"),
        ((chain, chain), NOW, "mine.crt holds no private key in PEM"),
        ((chain, other), NOW, "other.key does not belong to tls_cert"),
        ((locked_chain, locked), NOW, "locked.key is locked with a password"),
        ((chain, key), NOW + 31 * DAY, "has expired on 2030-02-01; renew it"),
        ((chain, key), NOW - 2 * DAY, "is valid from 2030-01-01 03:04 UTC, now it is 2029-12-31"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_certificate(*files, now=now)
        assert reason in str(caught.value), caught.value


def test_ours_is_made_once_and_holds_for_every_name(tmp_path: Path) -> None:
    """the file is its owner's only, and the second start finds the first's."""
    file = tmp_path / "kept" / "pair.pem"
    first = self_signed(file, NAMES, now=NOW)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert set(first.names) == set(NAMES)
    assert self_signed(file, NAMES[:2], now=NOW + 30 * DAY) == first
    assert [path.name for path in file.parent.iterdir()] == ["pair.pem"]


def test_ours_is_made_anew_when_it_must_be(tmp_path: Path) -> None:
    """near its end, for a name it lacks, and when the file is broken."""
    file = tmp_path / "pair.pem"
    prints = [self_signed(file, NAMES, now=NOW).fingerprint]
    prints.append(self_signed(file, NAMES, now=NOW + 391 * DAY).fingerprint)
    prints.append(self_signed(file, (*NAMES, "10.0.0.9"), now=NOW + 391 * DAY).fingerprint)
    file.write_bytes(file.read_bytes()[:300])
    prints.append(self_signed(file, NAMES, now=NOW + 391 * DAY).fingerprint)
    assert len(set(prints)) == 4


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot be kept as .*pair\.pem"):
        self_signed(tmp_path / "file" / "pair.pem", NAMES, now=NOW)
