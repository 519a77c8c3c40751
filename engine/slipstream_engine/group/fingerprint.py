"""By what a rank shows that it has the leader's code and weights."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_HEAD_BYTES = 1 << 20  # of a file of weights: the names and shapes of its tensors are there


def fingerprint(weights: Iterable[Path]) -> str:
    """A hash of this package's code, and of the head and length of each file of weights."""
    found = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        found.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    for path in sorted(weights):
        with path.open("rb") as file:
            found.update(file.read(_HEAD_BYTES))
        found.update(str(path.stat().st_size).encode())
    return found.hexdigest()
