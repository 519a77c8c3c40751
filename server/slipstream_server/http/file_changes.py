"""When files that somebody replaces are to be read again. Pure."""

from collections.abc import Hashable


class FileChanges:
    """Compares how some files look, each time they are looked at.

    Files that belong together are replaced one after the other, and written piece by piece: a
    change counts once nothing more has changed from one look to the next.

    Args:
        stamp: how the files looked when they were read; it changes with them.
    """

    def __init__(self, stamp: Hashable) -> None:
        self._read = stamp
        self._seen = stamp

    def look(self, stamp: Hashable) -> bool:
        """Whether the files, which look like this now, are to be read again. They count as read
        then, also if they turn out to be bad: they are not read over and over."""
        is_settled, self._seen = stamp == self._seen, stamp
        if not is_settled or stamp == self._read:
            return False
        self._read = stamp
        return True
