"""What a page sends on the data channel: one JSON object, refused with a reason. Pure."""

import re

import msgspec
from slipstream_protocol.parameters import Parameters

from slipstream_server.control.events import FirstShown, LevelAnswer, Ping
from slipstream_server.observability.client_stats import ClientStats

PAGE_MESSAGE_MAX_BYTES = 64 << 10

_PATH = re.compile(r" - at `\$\.?(.*)`$")
_KINDS: dict[str, type[msgspec.Struct]] = {
    "ping": Ping,
    "first_shown": FirstShown,
    "client_stats": ClientStats,
    "level_answer": LevelAnswer,
}
_UNKNOWN = re.compile(r"^Object contains unknown field `(.*)`")


def parse(raw: str | bytes) -> Ping | FirstShown | ClientStats | LevelAnswer | Parameters:
    """Parse one message of the page.

    Raises:
        ValueError: with the value, the rule and what to do.
    """
    if isinstance(raw, bytes):
        raise ValueError(f"the message is {len(raw)} bytes of binary, send JSON as text")
    size = len(raw.encode("utf-8", "surrogatepass"))
    if size > PAGE_MESSAGE_MAX_BYTES:
        raise ValueError(f"the message is {size} bytes, the most is {PAGE_MESSAGE_MAX_BYTES}")
    try:
        content = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"the message is not JSON ({error}): {raw[:40]!r}") from error
    if not isinstance(content, dict):
        raise ValueError(f"the message is {raw[:40]!r}, it must be one JSON object")
    kind = content.get("type")
    try:
        if kind is None:
            return msgspec.convert(content, Parameters)
        return msgspec.convert(content, Ping | FirstShown | ClientStats | LevelAnswer)
    except msgspec.ValidationError as error:
        raise ValueError(_explain(str(error), content)) from error


def rev_of(raw: str | bytes) -> int | None:
    """The `rev` of an update that could not be parsed as a whole, if that can be."""

    class Numbered(msgspec.Struct):
        rev: int | None = None

    if len(raw) > PAGE_MESSAGE_MAX_BYTES:
        return None
    try:
        return msgspec.json.decode(raw, type=Numbered).rev
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _explain(error: str, content: dict[str, object]) -> str:
    """msgspec's error with the value that broke the rule."""
    if unknown := _UNKNOWN.match(error):
        kind = _KINDS.get(str(content.get("type")), Parameters)
        known = ", ".join(kind.__struct_fields__)
        return f"key {unknown[1]!r} is unknown; the keys are {known}"
    path = _PATH.search(error)
    if path is None:
        return error
    rule = error[: path.start()]
    if not path[1]:
        return rule
    return f"{path[1]} is {_shorten(_find(content, path[1]))}: {rule}"


def _find(content: object, path: str) -> object:
    """The value at a path like `prompts[0].weight`, or the nearest one above it."""
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(content, dict) and step in content:
            content = content[step]
        elif isinstance(content, list) and step.isdigit() and int(step) < len(content):
            content = content[int(step)]
        else:
            break
    return content


def _shorten(value: object) -> str:
    text = msgspec.json.encode(value).decode("utf-8", "replace")
    return text if len(text) <= 60 else text[:57] + "..."
