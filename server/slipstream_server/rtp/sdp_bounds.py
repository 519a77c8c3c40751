"""How much an offer may hold, found in one pass over its lines, before anything parses it. Pure.

aiortc's parser compares lines with each other: each `rtcp-fb` and `fmtp` with every payload type,
each `ssrc` with those before it. The bounds keep that work proportional to the text.
"""

from collections import Counter
from collections.abc import Mapping

from slipstream_server.errors import RequestError

SDP_MAX_CHARACTERS = 64 << 10  # a browser's offer with everything in it is a tenth of that
_LINES_MAX = 2048  # 16 media of Chromium, with all its codecs, are 2000
_LINE_MAX_CHARACTERS = 4096
_MEDIA_MAX = 16  # each may cost sockets
# in one media section, and in the part before the first; Chromium has about a third of each
_ATTRIBUTES_MAX = {
    "rtpmap": 128,  # as many payload types as RTP has numbers
    "ssrc": 128,
    "ssrc-group": 64,
    "extmap": 64,
    "candidate": 128,
    "fingerprint": 16,
    "group": 16,
    "msid-semantic": 16,
}
_COMPARED = ("fmtp", "rtcp-fb")
_COMPARISONS_MAX = 32 << 10  # of those lines with payload types, in all; 16 such media need 16000
_FORMATS_MAX = 128


def check_bounds(sdp: str) -> None:
    """Check that parsing an offer is cheap.

    Raises:
        RequestError: if it holds more than a browser's could.
    """
    if len(sdp) > SDP_MAX_CHARACTERS:
        _refuse("characters", len(sdp), SDP_MAX_CHARACTERS)
    lines = sdp.splitlines()
    if len(lines) > _LINES_MAX:
        _refuse("lines", len(lines), _LINES_MAX)
    sections: list[Counter[str]] = [Counter()]
    for line in lines:
        if len(line) > _LINE_MAX_CHARACTERS:
            _refuse(f"characters in the line {line[:20]!r}", len(line), _LINE_MAX_CHARACTERS)
        if line.startswith("m="):
            sections.append(Counter())
            if (formats := line.count(" ")) > _FORMATS_MAX:
                _refuse(f"words in the line {line[:20]!r}", formats, _FORMATS_MAX)
        elif line.startswith("a="):
            sections[-1][line[2:].partition(":")[0]] += 1
    if len(sections) - 1 > _MEDIA_MAX:
        _refuse("media", len(sections) - 1, _MEDIA_MAX)
    for section in sections:
        for name, most in _ATTRIBUTES_MAX.items():
            if section[name] > most:
                _refuse(f"a={name} lines in one media", section[name], most)
    comparisons = sum(map(_comparisons, sections))
    if comparisons > _COMPARISONS_MAX:
        _refuse("parameters of payload types, times those types", comparisons, _COMPARISONS_MAX)


def _comparisons(section: Mapping[str, int]) -> int:
    return sum(section[name] for name in _COMPARED) * section["rtpmap"]


def _refuse(what: str, found: int, most: int) -> None:
    raise RequestError(
        f"the offer has {found} {what}, at most {most}; offer one video, one sound and a data "
        "channel, with the codecs that are used"
    )
