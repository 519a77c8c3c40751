"""How a record of the log becomes a line: text for people, JSON for programs.

The engine's lines come as it printed them. In text they stay so; as JSON they get the same fields
as the server's own.
"""

import datetime
import json
import logging
import re
from dataclasses import dataclass

ENGINE_LOGGER = "slipstream_engine"
INFO, WARNING = logging.INFO, logging.WARNING
_TEXT = "%(asctime)s server %(levelname)s [%(session)s] %(name)s: %(message)s"
_ENGINE_LINE = re.compile(
    r"\d{4}-\d\d-\d\d [\d:,]+ engine (DEBUG|INFO|WARNING|ERROR|CRITICAL) ([\w.]+): (.*)", re.DOTALL
)
# what comes from callers must not begin a line of its own, nor speak to a terminal
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\t",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLine:
    """A line that the engine has printed.

    Args:
        level: of Python's logging; None if the line does not say.
        logger: empty if the line does not say.
    """

    level: int | None
    logger: str
    message: str


def parse_engine_line(line: str) -> EngineLine:
    """The parts of a line of the engine's log; any other line is a message without them."""
    parts = _ENGINE_LINE.fullmatch(line)
    if parts is None:
        return EngineLine(level=None, logger="", message=line)
    level = logging.getLevelNamesMapping()[parts[1]]
    return EngineLine(level=level, logger=parts[2], message=parts[3])


class TextFormat(logging.Formatter):
    """One line for each record, and the lines of its traceback."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROL)
        if record.name == ENGINE_LOGGER:
            return record.message
        return super().formatMessage(record)


class JsonFormat(logging.Formatter):
    """One JSON object on a line for each record: `time` (UTC), `level`, `process`, `session`,
    `logger`, `message`, and `error` with the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        message, logger, process = record.getMessage(), record.name, "server"
        if record.name == ENGINE_LOGGER:
            line = parse_engine_line(message)
            message, logger, process = line.message, line.logger or record.name, "engine"
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        fields = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": process,
            "session": getattr(record, "session", "-"),
            "logger": logger,
            "message": message,
        }
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)
