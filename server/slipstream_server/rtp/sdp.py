"""SDP as text: checks and reads offers, parses candidates, adds a bitrate hint to answers."""

import asyncio
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from aiortc import RTCIceCandidate
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from slipstream_server.errors import RequestError
from slipstream_server.rtp.media_sections import SERVED, MediaSection, MediaSections, read_sections
from slipstream_server.rtp.sdp_bounds import check_bounds

# A browser's first estimate of the uplink; without the hint it begins at 300 and climbs slowly.
# Twice what our page sends: Chromium sends no more at once than the estimate carries in 50 ms, and
# the rest of a frame leaves 40 ms later.
_START_KBPS = 5000
_HINT = "send the text of RTCPeerConnection.localDescription.sdp"
_QUOTED_CHARACTERS = 200
_BRIEF_CHARACTERS = 4096  # a longer offer takes more than a millisecond to parse
MAX_CANDIDATES = 64
_ADDRESSES = ("a=candidate:", "a=end-of-candidates")
_FEEDBACK = "a=rtcp-fb:"
_OF_PAYLOAD_TYPE = ("a=rtpmap:", "a=fmtp:", _FEEDBACK)
_FEEDBACK_SERVED = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")
_SERVED_MAX = 32  # payload types of the video, and of the first sound, that are answered
_FURTHER_MAX = 12  # of each further sound; all sound is answered as inactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer that can be answered.

    Args:
        sdp: its text, without sections that are declined, without the caller's addresses, and
            without what aiortc would read in vain.
        description: the same, parsed; with all codecs that were offered.
        candidates: those addresses; they are added later, since looking up a name may take a second
            and the answer does not need them.
        sends_video: whether the caller brings a camera; else it only watches.
        only_sends: whether it receives no picture.
        sections: all that were offered.
    """

    sdp: str
    description: SessionDescription
    candidates: tuple[RTCIceCandidate, ...]
    sends_video: bool
    only_sends: bool = False
    sections: MediaSections = field(default_factory=MediaSections)


async def parse_offer(sdp: str, kind: str) -> Offer:
    """As `read_offer`; a long text is read in a thread."""
    if len(sdp) <= _BRIEF_CHARACTERS:
        return read_offer(sdp, kind)
    return await asyncio.to_thread(read_offer, sdp, kind)


def read_offer(sdp: str, kind: str) -> Offer:
    """Check an offer before any resource is spent on it.

    Args:
        kind: the `type` that came with it.

    Raises:
        RequestError: if it is not an offer, holds too much, cannot be parsed, or has no video.
    """
    if kind != "offer":
        raise RequestError(f"type is {kind!r}, it must be 'offer'")
    if not sdp.startswith("v=0"):
        raise RequestError(f"sdp begins with {sdp[:20]!r}, it must begin with 'v=0'; {_HINT}")
    check_bounds(sdp)
    sections = read_sections(sdp.splitlines())
    video = _video_of(sections)
    _check_names(sections)
    lines = sections.taken_lines()
    try:
        description = SessionDescription.parse("\r\n".join(lines))
    except Exception as error:  # the parser raises whatever its line-splitting runs into
        raise RequestError(f"sdp cannot be parsed ({_quoted(error)}); {_HINT}") from error
    for media in description.media:
        if media.ice is None or not (media.ice.usernameFragment and media.ice.password):
            raise RequestError(
                f"m={_quoted(media.kind)} has no ICE user name and password; {_HINT}"
            )
        if media.dtls is None or not media.dtls.fingerprints:
            raise RequestError(
                f"m={_quoted(media.kind)} has no DTLS fingerprint, or no a=setup; {_HINT}"
            )
    lines = list(_served_lines(lines, description, sections.taken))
    candidates = []
    for index, media in enumerate(description.media):
        for candidate in media.ice_candidates:
            candidate.sdpMid, candidate.sdpMLineIndex = media.rtp.muxId, index
            candidates.append(candidate)
    return Offer(
        sdp="".join(f"{line}\r\n" for line in lines),
        description=description,
        candidates=tuple(candidates[:MAX_CANDIDATES]),
        sends_video=video.direction in ("", "sendrecv", "sendonly"),
        only_sends=video.direction == "sendonly",
        sections=sections,
    )


def _video_of(sections: MediaSections) -> MediaSection:
    """The video that is taken.

    Raises:
        RequestError: if there is none that can be answered.
    """
    video = next((one for one in sections.taken if one.kind == "video"), None)
    if video is None:
        kinds = ", ".join(one.kind for one in sections.offered)
        raise RequestError(
            f"the offer has no video (its media: {_quoted(kinds or 'none')}); "
            "add a camera track, or a recvonly video transceiver to watch a stream"
        )
    if not video.is_open:
        raise RequestError("the offer's video has port 0, which stands for none; offer it with 9")
    if video.direction == "inactive":
        raise RequestError("the offer's video is inactive, it must be sendrecv or recvonly")
    return video


def _check_names(sections: MediaSections) -> None:
    """Check that each media section has its own `a=mid` and that the bundle names no other: aiortc
    fails half-way otherwise.

    Raises:
        RequestError: if it does not hold.
    """
    names = [section.mid for section in sections.offered]
    known = [name for name in names if name]
    if any(not one.mid for one in sections.taken) or len(set(known)) < len(known):
        raise RequestError(
            f"a=mid of the media are {_quoted(names)}, each needs one of its own; {_HINT}"
        )
    bundled = {
        name
        for line in sections.session
        if line.startswith("a=group:BUNDLE")
        for name in line.split()[1:]
    }
    if unknown := sorted(bundled - set(names)):
        raise RequestError(
            f"a=group:BUNDLE names {_quoted(unknown)}, a=mid of the media are {_quoted(names)}; "
            f"{_HINT}"
        )


def _served_lines(
    lines: Iterable[str], description: SessionDescription, sections: Iterable[MediaSection]
) -> Iterator[str]:
    """The lines without addresses and without codecs that are not served, in one pass.

    A media without a direction of its own, which aiortc needs, is given the session's, or the one
    that none means: both ways (RFC 8866, section 6.7).
    """
    media = zip(description.media, sections, strict=True)
    kinds: set[str] = set()
    served: Collection[str] | None = None
    seen: set[str] = set()  # aiortc compares each with each codec, so each is kept once
    ending: str | None = None
    for line in lines:
        if line.startswith("m="):
            if ending is not None:
                yield ending
            one, section = next(media)
            served = _served(one, most=_FURTHER_MAX if one.kind in kinds else _SERVED_MAX)
            kinds.add(one.kind)
            seen.clear()
            ending = None
            if one.direction is None and one.kind != "application":
                one.direction = section.direction or "sendrecv"
                ending = f"a={one.direction}"
            if served is not None:
                head = " ".join(line.split(" ", 3)[:3])
                yield " ".join((head, *served))
                continue
        elif line.startswith(_ADDRESSES):
            continue
        elif served is not None and line.startswith(_OF_PAYLOAD_TYPE):
            payload_type = _payload_type(line)
            if payload_type != "*" and payload_type not in served:
                continue
            if line.startswith(_FEEDBACK):
                if line.partition(" ")[2] not in _FEEDBACK_SERVED:
                    continue
                one_of = line
            else:
                one_of = line.partition(" ")[0]
            if one_of in seen:
                continue
            seen.add(one_of)
        yield line
    if ending is not None:
        yield ending


def _served(media: MediaDescription, *, most: int) -> dict[str, None] | None:
    """The payload types that can be answered, in the order of the offer, with their
    retransmissions; None where there are none, for aiortc to say so."""
    names = SERVED.get(media.kind, {})
    served: dict[str, None] = {}
    for codec in media.rtp.codecs:
        if len(served) == most:
            break
        is_served = codec.name.lower() in names
        if codec.name.lower() == "rtx":
            is_served = str(codec.parameters.get("apt")) in served
        if is_served and codec.payloadType in media.fmt:
            served[str(codec.payloadType)] = None
    return served or None


def _payload_type(line: str) -> str:
    """Of an attribute about one."""
    return line.partition(":")[2].partition(" ")[0]


def _quoted(found: object) -> str:
    """Text of the other side for an error message, cut short."""
    text = found if isinstance(found, str) else repr(found)
    return text if len(text) <= _QUOTED_CHARACTERS else text[:_QUOTED_CHARACTERS] + "..."


def read_candidate(text: str, mid: str | None, line: int | None) -> RTCIceCandidate | None:
    """One trickled candidate, or None for the end of them (an empty text).

    Raises:
        RequestError: if it cannot be parsed, or does not say what it belongs to.
    """
    if not text:
        return None
    if mid is None and line is None:
        raise RequestError(f"candidate {text[:80]!r} has neither sdpMid nor sdpMLineIndex")
    try:
        candidate = candidate_from_sdp(text.removeprefix("a=").removeprefix("candidate:"))
    except (ValueError, AssertionError, IndexError) as error:
        raise RequestError(
            f"candidate is {text[:80]!r}, it must be as RTCIceCandidate.candidate gives it"
        ) from error
    candidate.sdpMid, candidate.sdpMLineIndex = mid, line
    return candidate


def ice_ufrag(sdp: str) -> str:
    """The first ICE user name of a description that was read."""
    key = "a=ice-ufrag:"
    return next((line[len(key) :] for line in sdp.splitlines() if line.startswith(key)), "")


def with_start_bitrate(answer: str, kbps: int = _START_KBPS) -> str:
    """The answer with a hint to Chromium's sender for every video codec it may choose."""
    hint = f"x-google-start-bitrate={kbps}"
    lines = answer.splitlines()
    codecs = {_payload_type(line) for line in lines if _is_video_codec(line)}
    with_parameters = {_payload_type(line) for line in lines if line.startswith("a=fmtp:")}
    hinted = []
    for line in lines:
        payload_type = _payload_type(line)
        if line.startswith("a=fmtp:") and payload_type in codecs:
            line = f"{line};{hint}"
        hinted.append(line)
        if _is_video_codec(line) and payload_type not in with_parameters:
            hinted.append(f"a=fmtp:{payload_type} {hint}")
    return "".join(f"{line}\r\n" for line in hinted)


def _is_video_codec(line: str) -> bool:
    """Whether it names a codec whose frames are pictures."""
    if not (line.startswith("a=rtpmap:") and line.endswith("/90000")):
        return False
    return not line.lower().endswith(" rtx/90000")
