"""Every field of every message between server and engine: one side sets it, the other reads it."""

import ast
from functools import cache
from typing import get_args

import msgspec
import pytest
from slipstream_protocol import messages

from tests.house.modules import ROOT

SERVER, ENGINE = ROOT / "server" / "slipstream_server", ROOT / "engine" / "slipstream_engine"
SIDES = [
    *((message, SERVER, ENGINE) for message in get_args(messages.ToEngine)),
    *((message, ENGINE, SERVER) for message in get_args(messages.ToServer)),
]
FIELDS = [
    pytest.param(message, field, sender, reader, id=f"{message.__name__}.{field}")
    for message, sender, reader in SIDES
    for field in message.__struct_fields__
]


@cache
def nodes(package: object) -> tuple[ast.AST, ...]:
    files = sorted(package.rglob("*.py"))  # type: ignore[attr-defined]  # a hashable Path
    return tuple(node for file in files for node in ast.walk(ast.parse(file.read_text())))


def set_fields(package: object, message: str) -> set[str]:
    """What calls of a message's class name, and replacements in whatever message."""
    return {
        keyword.arg
        for node in nodes(package)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and (node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
        in (message, "replace")
        for keyword in node.keywords
        if keyword.arg is not None
    }


def read_fields(package: object) -> set[str]:
    """Attributes that are read, and those that patterns take apart."""
    found = {
        node.attr
        for node in nodes(package)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    patterns = (node.kwd_attrs for node in nodes(package) if isinstance(node, ast.MatchClass))
    return found.union(*patterns)


@pytest.mark.parametrize(("message", "field", "sender", "reader"), FIELDS)
def test_a_field_has_a_sender_and_a_reader(
    message: type[msgspec.Struct], field: str, sender: object, reader: object
) -> None:
    """A default that nobody ever overrides is no message."""
    assert field in set_fields(sender, message.__name__), f"nobody sets {field}"
    assert field in read_fields(reader), f"nobody reads {field}"
