"""Secrets that are read from files, so that they stand neither in the environment nor in `ps`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

FILE_SUFFIX = "_file"  # after the name of a secret setting: the path of a file that holds it
_MAX_BYTES = 4096


def with_secrets_read(settings: Mapping[str, Any], secrets: Iterable[str]) -> dict[str, Any]:
    """The settings of one source, with what the files hold in place of their paths.

    Args:
        secrets: the names of all settings that may be in files.

    Raises:
        ValueError: if a secret is given both ways, or as `read_secret`.
    """
    found = dict(settings)
    for name in secrets:
        path = found.pop(name + FILE_SUFFIX, "")
        if not path:
            continue
        if found.get(name):
            raise ValueError(f"{name} and {name}{FILE_SUFFIX} are both set, leave one of them out")
        try:
            found[name] = read_secret(Path(path))
        except ValueError as error:
            raise ValueError(f"{name}{FILE_SUFFIX} is {path!r}, {error}") from error
    return found


def read_secret(path: Path) -> str:
    """The one line that the file holds, without its line break.

    Raises:
        ValueError: if it cannot be read, or is not one line of text; the message never says what
            the file holds.
    """
    try:
        with path.expanduser().open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"which cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ValueError(f"which has more than {_MAX_BYTES} bytes, it must hold one line of text")
    try:
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("which is not UTF-8, it must hold one line of text") from None
    if not secret:
        raise ValueError("which is empty, it must hold one line of text")
    if not secret.isprintable():
        raise ValueError("which has several lines or control characters, it must hold one line")
    return secret
