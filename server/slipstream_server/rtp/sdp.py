"""SDP as text: checks and reads offers, parses candidates, adds a bitrate hint to answers."""

import re
from dataclasses import dataclass

from aiortc import RTCIceCandidate
from aiortc.sdp import SessionDescription, candidate_from_sdp

from slipstream_server.errors import RequestError

# A browser's first estimate of the uplink; without the hint it begins at 300 and climbs slowly.
# Twice what our page sends: Chromium sends no more at once than the estimate carries in 50 ms, and
# the rest of a frame leaves 40 ms later.
_START_KBPS = 5000
_HINT = "send the text of RTCPeerConnection.localDescription.sdp"
_MAX_MEDIA = 16
_MAX_CHARACTERS = 64 << 10  # a browser's offer with everything in it is a tenth of that
_QUOTED_CHARACTERS = 200
MAX_CANDIDATES = 64
_ADDRESSES = re.compile(r"a=(?:candidate:[^\r\n]*|end-of-candidates)\r?\n?")
_RTPMAP = re.compile(r"a=rtpmap:(\d+) (\S+)/90000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An offer that can be answered.

    Args:
        sdp: its text, without the caller's addresses.
        candidates: those addresses; they are added later, since looking up a name may take a second
            and the answer does not need them.
        sends_video: whether the caller brings a camera; else it only watches.
        only_sends: whether it receives no picture.
    """

    sdp: str
    candidates: tuple[RTCIceCandidate, ...]
    sends_video: bool
    only_sends: bool = False


def read_offer(sdp: str, kind: str) -> Offer:
    """Check an offer before any resource is spent on it.

    Args:
        kind: the `type` that came with it.

    Raises:
        RequestError: if it is not an offer, cannot be parsed, or has no video.
    """
    if kind != "offer":
        raise RequestError(f"type is {kind!r}, it must be 'offer'")
    if len(sdp) > _MAX_CHARACTERS:
        raise RequestError(f"sdp has {len(sdp)} characters, the most is {_MAX_CHARACTERS}; {_HINT}")
    if not sdp.startswith("v=0"):
        raise RequestError(f"sdp begins with {sdp[:20]!r}, it must begin with 'v=0'; {_HINT}")
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:  # the parser raises whatever its line-splitting runs into
        raise RequestError(f"sdp cannot be parsed ({_quoted(error)}); {_HINT}") from error
    if len(description.media) > _MAX_MEDIA:
        raise RequestError(f"the offer has {len(description.media)} media, at most {_MAX_MEDIA}")
    kinds = [media.kind for media in description.media]
    if "video" not in kinds:
        raise RequestError(
            f"the offer has no video (its media: {_quoted(', '.join(kinds) or 'none')}); "
            "add a camera track, or a recvonly video transceiver to watch a stream"
        )
    video = next(media for media in description.media if media.kind == "video")
    for media in description.media:
        if media.ice is None or not (media.ice.usernameFragment and media.ice.password):
            raise RequestError(
                f"m={_quoted(media.kind)} has no ICE user name and password; {_HINT}"
            )
        if media.dtls is None or not media.dtls.fingerprints:
            raise RequestError(f"m={_quoted(media.kind)} has no DTLS fingerprint; {_HINT}")
    _check_names(description)
    sdp = _with_directions(_ADDRESSES.sub("", sdp), description)
    if video.direction == "inactive":
        raise RequestError("the offer's video is inactive, it must be sendrecv or recvonly")
    candidates = []
    for index, media in enumerate(description.media):
        for candidate in media.ice_candidates:
            candidate.sdpMid, candidate.sdpMLineIndex = media.rtp.muxId, index
            candidates.append(candidate)
    return Offer(
        sdp=sdp,
        candidates=tuple(candidates[:MAX_CANDIDATES]),
        sends_video=video.direction in ("sendrecv", "sendonly"),
        only_sends=video.direction == "sendonly",
    )


def _check_names(description: SessionDescription) -> None:
    """Check that each media section has its own `a=mid` and that the bundle names no other: aiortc
    fails half-way otherwise.

    Raises:
        RequestError: if it does not hold.
    """
    names = [media.rtp.muxId for media in description.media]
    if "" in names or len(set(names)) < len(names):
        raise RequestError(
            f"a=mid of the media are {_quoted(names)}, each needs one of its own; {_HINT}"
        )
    bundled = {
        str(item)
        for group in description.group
        if group.semantic == "BUNDLE"
        for item in group.items
    }
    if unknown := sorted(bundled - set(names)):
        raise RequestError(
            f"a=group:BUNDLE names {_quoted(unknown)}, a=mid of the media are {_quoted(names)}; "
            f"{_HINT}"
        )


def _with_directions(sdp: str, description: SessionDescription) -> str:
    """The text with a direction for every media, which aiortc needs; none means both ways.

    Source: RFC 8866, 6.7.
    """
    lacking = [
        media.direction is None and media.kind != "application" for media in description.media
    ]
    if not any(lacking):
        return sdp
    sections: list[list[str]] = [[]]
    for line in sdp.splitlines():  # as the parser does it
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    for media, lines, lacks in zip(description.media, sections[1:], lacking, strict=True):
        if lacks:
            media.direction = "sendrecv"
            lines.append("a=sendrecv")
    return "".join(f"{line}\r\n" for lines in sections for line in lines)


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
    codecs = [number for number, name in _RTPMAP.findall(answer) if name.upper() != "RTX"]
    for number in codecs:
        fmtp = re.compile(rf"(a=fmtp:{number} [^\r\n]+)")
        if fmtp.search(answer):
            answer = fmtp.sub(rf"\1;{hint}", answer)
        else:
            answer = re.sub(
                rf"(a=rtpmap:{number} [^\r\n]+\r\n)", rf"\1a=fmtp:{number} {hint}\r\n", answer
            )
    return answer
