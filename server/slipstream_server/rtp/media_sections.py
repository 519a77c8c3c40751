"""Which media sections of an offer are taken, and the answer's place for the others. Pure.

A section is a track or a data channel. aiortc refuses a whole offer for one section that it cannot
read: a sound codec that it does not know, a protocol, a second channel. So it is shown those alone
that are taken, and the others are answered with port 0 in their places, which declines them and
leaves the call as it is (RFC 3264, section 6; RFC 8829, section 5.3.1).

Taken are one video, the sound that is bundled with it, and one data channel. Bundled sections share
one transport, which stands in the first of them (RFC 9143): where that is declined, its addresses
and keys are those of the others.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from slipstream_server.errors import RequestError

# RFC 8829, section 5.1.2: what offers call the RTP that is spoken; all is over DTLS
_OVER = ("UDP/TLS/", "TCP/TLS/", "TCP/DTLS/", "")
_RTP = [f"{over}RTP/{name}" for over in _OVER for name in ("SAVPF", "SAVP", "AVPF", "AVP")]
_CHANNEL = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP")
_CHANNEL_BEFORE_RFC_8841 = "DTLS/SCTP"
# with their clock rates, by aiortc
SERVED = {
    "audio": {"opus": 48_000, "g722": 8_000, "pcmu": 8_000, "pcma": 8_000},
    "video": {"h264": 90_000, "vp8": 90_000},
}
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=ice-options:", "a=fingerprint:", "a=setup:")
_QUOTED_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSection:
    """One media section.

    Args:
        index: its place in the offer.
        lines: its text.
        mid: its name; empty where it has none.
        direction: of its own, else the session's; empty where neither says one.
        is_open: whether it is offered at all: with a port, or bundled only (RFC 9143, section 6).
        is_served: whether it is of a kind, a protocol and codecs that are answered.
    """

    index: int
    lines: tuple[str, ...]
    mid: str
    direction: str
    is_open: bool
    is_served: bool

    @property
    def kind(self) -> str:
        return self.lines[0][2:].partition(" ")[0]

    def declined(self) -> Iterator[str]:
        """What stands for it in an answer that declines it."""
        kind, _, protocol, *formats = self.lines[0][2:].split(" ")
        yield f"m={kind} 0 {' '.join((protocol, *formats))}"
        yield "c=IN IP4 0.0.0.0"
        if self.mid:
            yield f"a=mid:{self.mid}"
        yield "a=inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSections:
    """The sections of one offer.

    Args:
        session: the lines before the first.
        offered: all of them.
        taken: those that are answered, by their places in the offer.
        bundle: the names of those that share the video's transport, as offered; empty where it is
            not bundled.
    """

    session: tuple[str, ...] = ()
    offered: tuple[MediaSection, ...] = ()
    taken: tuple[MediaSection, ...] = ()
    bundle: tuple[str, ...] = ()

    def taken_lines(self) -> list[str]:
        """The offer with the sections that are taken, and nothing of the others but the transport
        that is theirs too."""
        mids = [section.mid for section in self.taken if section.mid in self.bundle]
        lines: list[str] = []
        for line in self.session:
            if not line.startswith("a=group:BUNDLE"):
                lines.append(line)
            elif set(line.split()[1:]) == set(self.bundle):
                ordered = (mid for mid in self.bundle if mid in mids)
                lines.append(" ".join(("a=group:BUNDLE", *ordered)))
        for section in self.taken:
            lines += section.lines
            if section.mid in self.bundle:
                lines += self._shared(section)
        return lines

    def answered(self, answer: str) -> str:
        """aiortc's answer to the sections taken, as one to the whole offer."""
        session, *texts = _split(answer.splitlines())
        taken = zip(self.taken, texts, strict=True)
        text_of = {section.index: text for section, text in taken}
        whole = []
        for line in session:
            if line.startswith("a=group:BUNDLE"):
                kept = [mid for mid in line.split()[1:] if mid in self.bundle]
                line = " ".join(("a=group:BUNDLE", *kept)) if kept else ""
            whole += [line] if line else []
        for section in self.offered:
            whole += text_of.get(section.index) or section.declined()
        return "".join(f"{line}\r\n" for line in whole)

    def place(self, mid: str | None, index: int | None) -> tuple[str, int] | None:
        """Where aiortc knows the section that a candidate is of: its name, and its place among
        those taken; None where it is declined and has no transport that is used.

        Args:
            mid: the name in the offer; counts before `index`, its place there.
        """
        named = [one for one in self.offered if mid and one.mid == mid]
        found = named or [one for one in self.offered if one.index == index]
        if not found:
            return None
        section = found[0]
        if section.mid in self.bundle:
            section = next(one for one in self.taken if one.mid == self._first_bundled())
        if section not in self.taken:
            return None
        return section.mid, self.taken.index(section)

    def _shared(self, section: MediaSection) -> Iterator[str]:
        """What a bundled section lacks of the transport that it shares, or that only a section
        which is declined has said of it."""
        others = [one for one in self.offered if one.mid in self.bundle and one is not section]
        others.sort(key=lambda one: self.bundle.index(one.mid))
        for attribute in _TRANSPORT:
            if not _starting(section.lines, attribute) and not _starting(self.session, attribute):
                found = (_starting(one.lines, attribute) for one in others)
                yield from next(filter(None, found), ())
        if section.mid == self._first_bundled():
            for one in others:
                if one not in self.taken:
                    yield from _starting(one.lines, "a=candidate:")

    def _first_bundled(self) -> str:
        """The name of the section that carries the transport among those taken."""
        mids = [one.mid for one in self.taken]
        return next(mid for mid in self.bundle if mid in mids)


def read_sections(lines: Sequence[str]) -> MediaSections:
    """Split an offer, and choose.

    Raises:
        RequestError: if a line that begins a section cannot be read.
    """
    session, *texts = _split(lines)
    direction = _direction(session)
    offered = tuple(_read(index, text, direction) for index, text in enumerate(texts))
    bundles = [line.split()[1:] for line in session if line.startswith("a=group:BUNDLE")]
    video = _chosen_video(offered)
    if video is None:
        return MediaSections(session=session, offered=offered)
    bundle = next((tuple(dict.fromkeys(mids)) for mids in bundles if video.mid in mids), ())
    channels = (one for one in offered if one.kind == "application" and one.is_served)
    channel = next((one for one in channels if one.is_open), None)
    taken = tuple(
        section
        for section in offered
        if section in (video, channel)
        or (section.kind == "audio" and _is_answered(section) and section.mid in bundle)
    )
    return MediaSections(session=session, offered=offered, taken=taken, bundle=bundle)


def _split(lines: Sequence[str]) -> list[tuple[str, ...]]:
    """The lines before the first section, and those of each."""
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    bounds = [0, *starts, len(lines)]
    return [tuple(lines[start:end]) for start, end in itertools.pairwise(bounds)]


def _read(index: int, lines: tuple[str, ...], session_direction: str) -> MediaSection:
    words = lines[0][2:].split()
    if len(words) < 4 or not words[1].partition("/")[0].isdecimal():
        raise RequestError(
            f"sdp cannot be parsed: its line {lines[0][:_QUOTED_CHARACTERS]!r} must be as "
            "'m=video 9 UDP/TLS/RTP/SAVPF 96'; send the text of "
            "RTCPeerConnection.localDescription.sdp"
        )
    mids = [line[len("a=mid:") :] for line in _starting(lines, "a=mid:")]
    return MediaSection(
        index=index,
        lines=lines,
        mid=mids[-1] if mids else "",  # the last, as the parser reads it
        direction=_direction(lines) or session_direction,
        is_open=int(words[1].partition("/")[0]) != 0 or "a=bundle-only" in lines,
        is_served=_is_served(words[0], words[2], words[3:], lines),
    )


def _is_served(kind: str, protocol: str, formats: list[str], lines: Iterable[str]) -> bool:
    if kind == "application":
        if protocol == _CHANNEL_BEFORE_RFC_8841:
            return _is_port(formats[0])
        ports = [line.partition(":")[2].strip() for line in _starting(lines, "a=sctp-port:")]
        return (
            protocol in _CHANNEL
            and formats[0] == "webrtc-datachannel"
            and bool(ports)
            and all(map(_is_port, ports))
        )
    if kind not in SERVED or protocol not in _RTP:
        return False
    for line in _starting(lines, "a=rtpmap:"):
        payload_type, _, codec = line[len("a=rtpmap:") :].strip().partition(" ")
        name, _, rates = codec.lower().partition("/")
        if payload_type in formats and rates.partition("/")[0] == str(SERVED[kind].get(name)):
            return True
    return False


def _chosen_video(offered: Iterable[MediaSection]) -> MediaSection | None:
    """The first that sends; else the first that receives; else, for its error, any."""
    videos = [one for one in offered if one.kind == "video"]
    answered = [one for one in videos if _is_answered(one)]
    sending = [one for one in answered if one.direction in ("", "sendrecv", "sendonly")]
    return next(iter((*sending, *answered, *videos)), None)


def _is_answered(section: MediaSection) -> bool:
    return section.is_served and section.is_open and section.direction != "inactive"


def _direction(lines: Iterable[str]) -> str:
    """The last one that is said, as with names; empty for none."""
    said = [line[2:].strip() for line in lines if line.startswith("a=")]
    return next((one for one in reversed(said) if one in _DIRECTIONS), "")


def _is_port(text: str) -> bool:
    return len(text) <= 5 and text.isdecimal() and 0 < int(text) < 1 << 16


def _starting(lines: Iterable[str], prefix: str) -> list[str]:
    """The lines that start with this."""
    return [line for line in lines if line.startswith(prefix)]
