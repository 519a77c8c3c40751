"""Files that appear complete or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; the file moves to `target` at the end of the block.

    If the block fails, the new file is deleted and `target` stays as it was.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_write(target: Path) -> Iterator[BinaryIO]:
    """An open file that moves to `target` at the end of the block, once it is on the disk.

    If the block fails, the new file is deleted and `target` stays as it was.
    """
    with atomic_path(target) as partial, partial.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
