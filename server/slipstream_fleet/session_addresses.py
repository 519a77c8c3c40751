"""Sessions as callers of a fleet name them: the node, then the session as that node names it. Pure.

    <node>.<id>.<proof>

A node checks the proof itself, so the name needs no signature: whoever changes it reaches another
node, which knows no such session.
"""

import re
from dataclasses import dataclass

NODE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class SessionAddress:
    """A session on a node.

    Args:
        node: its name.
        inside: the session as the node names it.

    Raises:
        ValueError: if no node can have this name.
    """

    node: str
    inside: str

    def __post_init__(self) -> None:
        if not NODE_NAME.fullmatch(self.node):
            raise ValueError(
                f"node is {self.node[:80]!r}, it must be 1 to 64 letters, digits, - or _"
            )

    def __str__(self) -> str:
        return f"{self.node}.{self.inside}"

    @classmethod
    def parse(cls, text: str) -> "SessionAddress | None":
        """The address in this text; None where it is none."""
        node, dot, inside = text.partition(".")
        return cls(node, inside) if dot and inside and NODE_NAME.fullmatch(node) else None


def outside_location(location: str, node: str) -> str:
    """A node's Location header, which ends in a session, as callers of the fleet are told it."""
    before, slash, session = location.rpartition("/")
    return f"{before}{slash}{SessionAddress(node, session)}"
