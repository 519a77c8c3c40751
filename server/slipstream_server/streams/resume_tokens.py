"""Resume tokens: what brings a publisher back to its stream, also at the next server process.

    <stream>.<secret>

The secret is HMAC-SHA256 (RFC 2104) of the stream's id under a key that is made from the server's
token by scrypt (RFC 7914); without one, under a key of this installation. So a server that has
never had a stream can tell whether a token for it is genuine: after a restart, or on another server
with the same token, the stream is begun anew under its old id, and the links of those who watch go
on to hold.
"""

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import tempfile
from pathlib import Path

from slipstream_server.derived_keys import KEY_BYTES, derived_key

logger = logging.getLogger(__name__)

KEY_FILE = Path("~/.cache/slipstream/resume.key")
_LABEL = b"slipstream resume token, 1\0"
_KEY_LABEL = b"slipstream resume key, 1"


class ResumeTokens:
    """Makes and checks the tokens. Pure.

    Args:
        key: of all servers that take streams over from each other.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token_of(self, stream: str) -> str:
        """The token of a stream."""
        return f"{stream}.{self._secret(stream)}"

    def is_genuine(self, token: str) -> bool:
        """Whether it is the token of the stream that it names."""
        stream, _, secret = token.rpartition(".")
        # bytes that are not text have become surrogates, which can be compared too
        own, presented = (
            text.encode(errors="surrogatepass") for text in (self._secret(stream), secret)
        )
        return hmac.compare_digest(own, presented)

    def _secret(self, stream: str) -> str:
        message = _LABEL + stream.encode(errors="surrogatepass")
        return hmac.digest(self._key, message, hashlib.sha256).hex()


def stream_of(token: str) -> str:
    """The id of the stream that a token names."""
    stream, dot, _ = token.rpartition(".")
    return stream if dot else token


def shared_key(token: str) -> bytes:
    """The key of all servers with this token."""
    return derived_key(token, _KEY_LABEL)


def kept_key(file: Path) -> bytes:
    """The key in the file, which is made if there is none, readable by its owner only.

    Where it can be neither read nor kept, a new key: streams then end with this process.
    """
    file = file.expanduser()
    try:
        if not file.exists():
            _write_new(file, secrets.token_bytes(KEY_BYTES))
        key = file.read_bytes()
    except OSError as error:
        return _key_of_this_process(f"{file} cannot be read or made: {error.strerror}")
    if len(key) != KEY_BYTES:
        return _key_of_this_process(f"{file} is {len(key)} bytes, a key is {KEY_BYTES}: delete it")
    return key


def _key_of_this_process(reason: str) -> bytes:
    logger.warning(
        "no key of resume tokens is kept, so after a restart pages begin new streams with new "
        "links; %s",
        reason,
    )
    return secrets.token_bytes(KEY_BYTES)


def _write_new(file: Path, content: bytes) -> None:
    """Write a file whole, readable by its owner only; one that another process has written
    meanwhile stays."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as half:
            half.write(content)
        with contextlib.suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)
