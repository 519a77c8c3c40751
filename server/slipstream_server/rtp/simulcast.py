"""Simulcast in SDP: the layers that a sender offers, and their acceptance in the answer. Pure.

A sender counts the layers that the answer names: OBS stops where they are not those it has offered.
So all are accepted, and the receiver chooses among them. Sources: RFC 8853 (`a=simulcast`),
RFC 8851 (`a=rid`).
"""

import re
from dataclasses import dataclass

_MAX_LAYERS = 8
_RID = re.compile(r"(?m)^a=rid:([A-Za-z0-9_-]{1,64}) send(?: ([^\r\n]*))?\r?$")
_SIMULCAST = re.compile(r"(?m)^a=simulcast:[^\r\n]*?\bsend ([^ \r\n]+)")
_MID = re.compile(r"(?m)^a=mid:([^\r\n]*)")
_FORMATS = re.compile(r"m=\S+ \S+ \S+ ([^\r\n]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulcast:
    """The layers of one media section.

    Args:
        mid: of the section.
        order: the names as the sender has listed them, with its "," for alternatives, ";" between
            layers, and "~" before one that is paused at first.
        restrictions: of each layer, by name; empty where it has none.
    """

    mid: str
    order: str
    restrictions: dict[str, str]


def read_simulcast(sdp: str, mid: str) -> Simulcast | None:
    """What a media section of an offer sends; None where that is one layer, or cannot be read."""
    section = _section(sdp, mid)
    listed = _SIMULCAST.search(section)
    restrictions = {name: limits or "" for name, limits in _RID.findall(section)}
    if listed is None or not restrictions:
        return None
    layers = []
    for layer in listed[1].split(";"):
        known = [one for one in layer.split(",") if one.removeprefix("~") in restrictions]
        if known:
            layers.append(",".join(known))
    if len(layers) < 2 or len(layers) > _MAX_LAYERS:
        return None
    return Simulcast(mid=mid, order=";".join(layers), restrictions=restrictions)


def with_layers(answer: str, offered: Simulcast | None) -> str:
    """The answer, with all layers accepted as they were offered."""
    section = _section(answer, offered.mid) if offered is not None else ""
    if offered is None or not section or "a=inactive" in section or "a=sendonly" in section:
        return answer
    formats = _FORMATS.match(section)
    answered = formats[1].split() if formats else []
    lines = ""
    for name in re.split("[;,]", offered.order):
        name = name.removeprefix("~")
        limits = _narrowed(offered.restrictions[name], answered)
        lines += f"a=rid:{name} recv{' ' + limits if limits else ''}\r\n"
    lines += f"a=simulcast:recv {offered.order}\r\n"
    return answer.replace(section, section + lines, 1)


def _narrowed(restrictions: str, formats: list[str]) -> str:
    """The restrictions, without payload types that the answer does not have (RFC 8851, 6.3)."""
    kept = []
    for entry in filter(None, restrictions.split(";")):
        name, _, value = entry.partition("=")
        if name == "pt":
            value = ",".join(one for one in value.split(",") if one in formats)
            if not value:
                continue
            entry = f"pt={value}"
        kept.append(entry)
    return ";".join(kept)


def _section(sdp: str, mid: str) -> str:
    """The media section of this name; empty where there is none."""
    for section in re.split(r"(?m)^(?=m=)", sdp)[1:]:
        found = _MID.search(section)
        if found is not None and found[1].strip() == mid:
            return section
    return ""
