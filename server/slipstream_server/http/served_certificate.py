"""The certificate that is served: read again when its files change, and when asked to.

Connections keep the one that they began with. A new one that cannot be served changes nothing but
the log.
"""

import asyncio
import contextlib
import datetime
import logging
import os
import ssl
from collections.abc import Callable

from slipstream_server.errors import ConfigError
from slipstream_server.http.certificates import RENEW_BEFORE, Certificate
from slipstream_server.http.file_changes import FileChanges

logger = logging.getLogger(__name__)

_LOOK_S = 2.0
_RENEWAL_S = 3600.0  # between two tries to make a new self-signed one

_FileStamp = tuple[int, int, int]


class ServedCertificate:
    """The certificate in use.

    Args:
        certificate: the first one.
        read: reads it again, or makes it again where it is time; raises ConfigError.
        renews: whether `read` makes it, so that it is called before the end of its life too.
    """

    def __init__(
        self, certificate: Certificate, read: Callable[[], Certificate], *, renews: bool = False
    ) -> None:
        self.certificate = certificate
        self._context = certificate.context()
        self._read = read
        self._renews = renews
        self._asked = asyncio.Event()
        self._next_renewal_s = 0.0  # of the loop's clock

    def context(self) -> ssl.SSLContext:
        """For a connection that begins now."""
        return self._context

    def read_again(self) -> None:
        """Ask for it to be read again, whether or not its files have changed."""
        self._asked.set()

    async def keep_current(self) -> None:
        """Read it again when it is time, until cancelled."""
        changes = FileChanges(await asyncio.to_thread(_stamp, self.certificate))
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._asked.wait()
            stamp = await asyncio.to_thread(_stamp, self.certificate)
            if self._asked.is_set():
                self._asked.clear()
                changes = FileChanges(stamp)
            elif not (changes.look(stamp) or self._is_near_its_end()):
                continue
            await asyncio.to_thread(self._replace)

    def _is_near_its_end(self) -> bool:
        now_s = asyncio.get_running_loop().time()
        left = self.certificate.expires - datetime.datetime.now(datetime.UTC)
        if not self._renews or left > RENEW_BEFORE or now_s < self._next_renewal_s:
            return False
        self._next_renewal_s = now_s + _RENEWAL_S
        return True

    def _replace(self) -> None:
        try:
            new = self._read()
            context = new.context()
        except (ConfigError, OSError) as error:  # ssl.SSLError is an OSError
            logger.error(
                "the new certificate is not used, that of %s until %s is served as before: %s",
                ", ".join(self.certificate.names) or "no name",
                f"{self.certificate.expires:%Y-%m-%d}",
                error,
            )
            return
        self.certificate, self._context = new, context
        logger.info(
            "new connections get the certificate of %s until %s, SHA-256 fingerprint %s",
            ", ".join(new.names) or "no name",
            f"{new.expires:%Y-%m-%d}",
            new.fingerprint,
        )


def _stamp(certificate: Certificate) -> tuple[_FileStamp | None, ...]:
    """How its files look; None for one that is not there."""
    return tuple(map(_stamp_of, (certificate.chain, certificate.key)))


def _stamp_of(path: "os.PathLike[str]") -> _FileStamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
