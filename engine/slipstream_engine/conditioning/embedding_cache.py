"""A cache of prompt embeddings on the disk, so that a prompt is encoded only once on a machine.

An entry is a file named by the SHA-256 of model and text: 32 bytes of SHA-256 over the rest, then
a safetensors file with the rows of the real tokens. It appears whole or not at all; a damaged one
counts as absent. A file's modification time is that of its last use; the least recently used are
deleted first.
"""

import hashlib
import logging
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from slipstream_engine.atomic_file import atomic_write

logger = logging.getLogger(__name__)

ROWS = "rows"
DIGEST_BYTES = 32
SUFFIX = ".embedding"


class EmbeddingCache:
    """Args:
    root: the folder; created with the first entry.
    model: names the encoder whose embeddings these are.
    max_bytes: of all entries together.
    """

    def __init__(self, root: Path, *, model: str, max_bytes: int) -> None:
        self._root = root
        self._model = model
        self._max_bytes = max_bytes

    def get(self, text: str) -> Tensor | None:
        """The rows of `text`, `[L, C]`, or None."""
        path = self._path(text)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        digest, payload = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(payload).digest() != digest:
            logger.warning("%s is damaged, it will be computed again", path)
            return None
        try:
            return load(payload)[ROWS]
        except (SafetensorError, KeyError):
            logger.warning("%s is no embedding, it will be computed again", path)
            return None

    def put(self, text: str, rows_LC: Tensor) -> None:
        """Store `rows_LC` for `text`; a disk that cannot take it costs only the entry."""
        payload = save({ROWS: rows_LC.cpu().contiguous()})
        path = self._path(text)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(hashlib.sha256(payload).digest() + payload)
            self._evict(keep=path)
        except OSError as error:
            logger.warning("the embedding of a prompt was not kept in %s: %s", self._root, error)

    def _path(self, text: str) -> Path:
        key = hashlib.sha256(f"{self._model}\0{text}".encode()).hexdigest()
        return self._root / f"{key}{SUFFIX}"

    def _evict(self, *, keep: Path) -> None:
        """Delete the least recently used until the rest fits."""
        files: list[tuple[int, int, Path]] = []
        for path in self._root.iterdir():
            try:
                status = path.stat()
            except FileNotFoundError:  # another process deleted it
                continue
            files.append((status.st_mtime_ns, status.st_size, path))
        excess_bytes = sum(size for _, size, _ in files) - self._max_bytes
        for _, size, path in sorted(files):
            if excess_bytes <= 0:
                return
            if path != keep:
                path.unlink(missing_ok=True)
                excess_bytes -= size
