"""Counts what of a film is damaged, and says it in a line. Pure."""

from enum import StrEnum

_FEW = 3


class Damage(StrEnum):
    """Kinds of damage, as they are said of one."""

    PACKET = "damaged packet"
    FRAME = "frame that is patched up"
    TIME = "frame out of order"
    SOUND = "damaged packet of sound"


_MANY = {
    Damage.PACKET: "damaged packets",
    Damage.FRAME: "frames that are patched up",
    Damage.TIME: "frames out of order",
    Damage.SOUND: "damaged packets of sound",
}


class DamageCount:
    """What was met in one reading of a film."""

    def __init__(self) -> None:
        self._counts: dict[Damage, int] = {}
        self._places: list[int] = []

    def note(self, kind: Damage, *, frame: int) -> None:
        """Count one.

        Args:
            frame: number of the frame after which it was met.
        """
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if len(self._places) < _FEW and frame not in self._places:
            self._places.append(frame)

    @property
    def total(self) -> int:
        return sum(self._counts.values())

    def summary(self) -> str:
        """What was met and where; empty where nothing was."""
        if not self._counts:
            return ""
        counted = ", ".join(
            f"{count} {kind if count == 1 else _MANY[kind]}" for kind, count in self._counts.items()
        )
        places = ", ".join(str(place) for place in self._places)
        return f"{counted}, first after frame {places}"
