"""Offers of real clients, broken in every way that text can be. The same seed breaks them the same.

`chromium.sdp` was taken from Chromium; `obs.sdp` and `ffmpeg.sdp` have the form of OBS 30's and of
FFmpeg 8's WHIP outputs.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

OFFERS = tuple(
    path.read_bytes().decode() for path in sorted((Path(__file__).parent / "offers").iterdir())
)
_VALUES = (
    *("", " ", "0", "-1", "65536", "4294967296", "9" * 400, "1e309", "nan", "0x10", "٣"),
    *("\x00", "\ud800", "é" * 40, "a" * 5000, "%s%n", "../..", "*", "=", ":", ";=;", "\t", "127"),
)

Lines = list[str]


def broken_offers(count: int, *, seed: int = 7) -> Iterator[str]:
    """`count` texts, each an offer after one to six changes."""
    chance = random.Random(seed)
    for _ in range(count):
        lines = chance.choice(OFFERS).split("\r\n")
        for _ in range(chance.randint(1, 6)):
            chance.choice(_CHANGES)(lines, chance)
        end = chance.choices(("\r\n", "\n", "\r", ""), (90, 6, 2, 2))[0]
        text = end.join(lines)
        yield text if chance.random() < 0.9 else text[: chance.randrange(len(text) + 1)]


def _drop(lines: Lines, chance: random.Random) -> None:
    if len(lines) > 1:
        lines.pop(chance.randrange(len(lines)))


def _repeat(lines: Lines, chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    lines[place:place] = [lines[place]] * chance.choice((1, 1, 2, 40))


def _move(lines: Lines, chance: random.Random) -> None:
    lines.insert(chance.randrange(len(lines)), lines.pop(chance.randrange(len(lines))))


def _borrow(lines: Lines, chance: random.Random) -> None:
    """A line of another client's."""
    other = chance.choice(OFFERS).split("\r\n")
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(other))


def _revalue(lines: Lines, chance: random.Random) -> None:
    """A word of a line becomes another."""
    place = chance.randrange(len(lines))
    words = lines[place].split(" ")
    words[chance.randrange(len(words))] = chance.choice(_VALUES)
    lines[place] = " ".join(words)


def _after_colon(lines: Lines, chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    head, colon, _ = lines[place].partition(":")
    lines[place] = head + colon + chance.choice(_VALUES)


def _digits(lines: Lines, chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    lines[place] = "".join(
        chance.choice("0123456789-") if sign.isdigit() and chance.random() < 0.4 else sign
        for sign in lines[place]
    )


def _noise(lines: Lines, chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    signs = list(lines[place])
    for _ in range(min(3, len(signs))):
        signs[chance.randrange(len(signs))] = chr(chance.randrange(0x250))
    lines[place] = "".join(signs)


def _cut_line(lines: Lines, chance: random.Random) -> None:
    place = chance.randrange(len(lines))
    lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]


def _attribute(lines: Lines, chance: random.Random) -> None:
    """An attribute that is known, with a value that is none."""
    name = chance.choice(
        (
            *("rtpmap", "fmtp", "rtcp-fb", "extmap", "ssrc", "ssrc-group", "candidate", "setup"),
            *("mid", "group", "fingerprint", "msid", "rtcp", "sctp-port", "max-message-size"),
            *("ice-options", "ice-ufrag", "ice-pwd", "rid", "simulcast", "end-of-candidates"),
        )
    )
    lines.insert(chance.randrange(len(lines) + 1), f"a={name}:{chance.choice(_VALUES)}")


def _media_again(lines: Lines, chance: random.Random) -> None:
    """A whole media section, once or often."""
    starts = [place for place, line in enumerate(lines) if line.startswith("m=")]
    if starts:
        start = chance.choice(starts)
        lines.extend(lines[start:] * chance.choice((1, 1, 3, 20)))


_CHANGES: tuple[Callable[[Lines, random.Random], None], ...] = (
    _drop,
    _repeat,
    _move,
    _borrow,
    _revalue,
    _revalue,
    _after_colon,
    _after_colon,
    _digits,
    _noise,
    _cut_line,
    _attribute,
    _media_again,
)
