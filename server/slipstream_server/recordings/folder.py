"""Where recordings are: a folder of each stream's, its files named by when they began."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from slipstream_server.errors import UnknownSession
from slipstream_server.recordings.plan import RecordingPlan

_S_PER_MINUTE = 60
_STREAM = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FILE = re.compile(r"[0-9]{8}-[0-9]{6}(?:-[0-9]{1,4})?(?:-input)?\.mp4")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One part of a recording."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingsFolder:
    """All recordings of a server. Its methods touch the disk: they are for threads.

    Args:
        root: there, or to be made.
        max_minutes: the longest recording.
        free_mib: that stay free on the disk.
        with_input: whether what streams are made of is recorded beside them.
    """

    root: Path
    max_minutes: float
    free_mib: int
    with_input: bool = False

    def begin(self, stream: str, *, has_sound: bool, now: datetime | None = None) -> RecordingPlan:
        """The plan of a new recording.

        Raises:
            OSError: if there can be none.
        """
        folder = self.root / stream
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied", str(folder))
        name = (now or datetime.now(UTC)).strftime("%Y%m%d-%H%M%S")
        return RecordingPlan(
            path_of=lambda part: folder / (f"{name}.mp4" if part == 1 else f"{name}-{part}.mp4"),
            has_sound=has_sound,
            max_s=self.max_minutes * _S_PER_MINUTE,
            free_mib=self.free_mib,
        )

    def files(self, stream: str) -> tuple[RecordedFile, ...]:
        """Those of a stream, the newest first; also of one that has ended."""
        if not _STREAM.fullmatch(stream):
            return ()
        folder = self.root / stream
        names = sorted((one.name for one in folder.glob("*.mp4")), reverse=True)
        return tuple(
            RecordedFile(name=name, size_bytes=(folder / name).stat().st_size)
            for name in names
            if _FILE.fullmatch(name)
        )

    def path(self, stream: str, name: str) -> Path:
        """One file of a stream.

        Raises:
            UnknownSession: if there is none of that name.
        """
        if _STREAM.fullmatch(stream) and _FILE.fullmatch(name):
            path = self.root / stream / name
            if path.is_file():
                return path
        raise UnknownSession(
            f"stream {stream[:80]!r} has no recording {name[:80]!r}; "
            "GET /api/v1/streams/<stream>/recordings lists them"
        )
