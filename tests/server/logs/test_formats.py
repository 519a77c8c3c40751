"""Lines of the log: nothing that callers send makes a second one."""

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.logs.formats import ENGINE_LOGGER, JsonFormat, TextFormat

ENGINE = "2026-01-01 12:00:00,000 engine WARNING slipstream_engine.x: it is slow"


def record(message: str, *, name: str = "slipstream_server.x") -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, "%s", (message,), None)
    made.session = "abc"
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormat().format(made)
    assert "\n" not in text
    fields: dict[str, Any] = json.loads(text)
    return fields


@given(st.text())
def test_a_message_is_one_line(message: str) -> None:
    """in both formats, and without codes for a terminal; JSON keeps it to the letter."""
    for name in ("slipstream_server.x", ENGINE_LOGGER):
        line = TextFormat().format(record(message, name=name))
        assert all(one == "\t" or one.isprintable() or ord(one) > 0x9F for one in line)
    assert as_json(record(message))["message"] == message


def test_the_fields_are_these() -> None:
    fields = as_json(record("hello"))
    assert list(fields) == ["time", "level", "process", "session", "logger", "message"]
    assert fields["time"].endswith("Z")
    assert [fields[name] for name in ("level", "process", "session", "logger")] == [
        *("warning", "server", "abc", "slipstream_server.x")
    ]


def test_a_line_of_the_engine_has_the_same_fields() -> None:
    """taken from what it printed; in text it stays as it is."""
    made = record(ENGINE, name=ENGINE_LOGGER)
    assert TextFormat().format(made) == ENGINE
    fields = as_json(made)
    assert [fields[name] for name in ("process", "logger", "message")] == [
        *("engine", "slipstream_engine.x", "it is slow")
    ]


@pytest.mark.parametrize("name", ["slipstream_server.x", ENGINE_LOGGER])
def test_a_traceback_is_a_field(name: str) -> None:
    made = record("it broke", name=name)
    try:
        raise ValueError("really")
    except ValueError:
        made.exc_info = sys.exc_info()
    assert as_json(made)["error"].endswith("ValueError: really")
