"""SDP of WHIP and WHEP: directions, H.264 profiles that aiortc does not know, ICE fragments.

Sources: RFC 9725 (WHIP) sections 4.2 to 4.4, RFC 8840 section 4.4 (fragments), RFC 6184 section 8
(H.264 in SDP).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from aiortc import RTCIceCandidate
from aiortc.sdp import H264Profile, parse_h264_profile_level_id

from slipstream_server.errors import NotAcceptable, RequestError, Unprocessable
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer, read_candidate
from slipstream_server.sessions.turns import HIGHEST_FPS, LOWEST_FPS

# what aiortc answers of H.264 (RFC 6184, section 8.1), and the parameters that say so
_KNOWN_PROFILES = (H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Profile.PROFILE_BASELINE)
_BASELINE_PROFILE = "42e01f"
_KNOWN_PARAMETERS = {"packetization-mode": "1", "profile-level-id": _BASELINE_PROFILE}

_FRAME_RATE = re.compile(r"^a=framerate:([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*$", re.MULTILINE)
_FRAGMENT_MAX_LINES = 512
_NAMED_CODECS_MAX, _CODEC_NAME_MAX_CHARS = 8, 20  # in an error message
_FRAGMENT_MAX_CHARACTERS = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """The body of a PATCH (RFC 8840).

    Args:
        ufrag: the sender's ICE user name; empty if the fragment has none.
        candidates: its ICE candidates; None is the end of them.
    """

    ufrag: str
    candidates: tuple[RTCIceCandidate | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """An offer that aiortc can answer.

    Args:
        offer: what it is answered to.
        replaced: format parameters as they were offered, by payload type, where `offer` has others.
    """

    offer: Offer
    replaced: dict[str, dict[str, str]]

    def restored(self, answer: str) -> str:
        """The answer to the offer as it was: with the H.264 parameters that were offered."""
        lines = answer.splitlines()
        for number, line in enumerate(lines):
            payload_type = _payload_type_of(line, "a=fmtp:")
            if payload_type in self.replaced:
                lines[number] = _with_offered(line, self.replaced[payload_type])
        return "".join(f"{line}\r\n" for line in lines)


def check_direction(offer: Offer, *, publishes: bool) -> None:
    """Raise Unprocessable if a publisher's offer sends no video, or a subscriber's takes none."""
    if publishes and not offer.sends_video:
        raise Unprocessable(
            "the offer's video is recvonly, a publisher's must be sendonly; "
            "to watch a stream POST to /whep/<stream>"
        )
    if not publishes and offer.only_sends:
        raise Unprocessable(
            "the offer's video is sendonly, a viewer's must be recvonly; "
            "to publish a stream POST to /whip/<stream>"
        )


def receive_only(offer: Offer) -> Offer:
    """A subscriber's offer, without the video that it may offer to send too."""
    return replace(offer, sdp=offer.sdp.replace("a=sendrecv", "a=recvonly"))


def adapt(offer: Offer) -> Adapted:
    """An offer in which aiortc finds a codec.

    Of H.264 aiortc knows the baseline profiles in packetization mode 1 only, yet its decoder takes
    every profile, and packets of mode 0 are valid in mode 1. If an offer has nothing else (OBS and
    FFmpeg announce what their encoder is set to), its parameters are replaced by the known ones.

    Raises:
        NotAcceptable: if its video has neither H.264 nor VP8.
    """
    media = offer.description.media
    index = next(index for index, one in enumerate(media) if one.kind == "video")
    codecs = media[index].rtp.codecs
    names = {codec.name.upper() for codec in codecs}
    _check_codecs(names)
    h264 = {
        str(codec.payloadType): _as_texts(codec.parameters)
        for codec in codecs
        if codec.name.upper() == "H264"
    }
    if "VP8" in names or any(map(_is_known, h264.values())):
        return Adapted(offer=offer, replaced={})
    known = {payload_type: offered | _KNOWN_PARAMETERS for payload_type, offered in h264.items()}
    lines = _with_parameters(offer.sdp.splitlines(), index, known)
    sdp = "".join(f"{line}\r\n" for line in lines)
    return Adapted(offer=replace(offer, sdp=sdp), replaced=h264)


def frame_rate(sdp: str) -> float | None:
    """The rate that an offer's video is declared to have (RFC 8866, section 6.13); None where none
    is, or one that no camera has."""
    found = _FRAME_RATE.search(sdp)
    if found is None:
        return None
    fps = float(found[1])
    return fps if LOWEST_FPS <= fps <= HIGHEST_FPS else None


def read_fragment(text: str) -> Fragment:
    """The body of a PATCH.

    Raises:
        RequestError: if it is not a fragment, or a candidate in it cannot be parsed.
    """
    if len(text) > _FRAGMENT_MAX_CHARACTERS:
        raise RequestError(
            f"the fragment has {len(text)} characters, at most {_FRAGMENT_MAX_CHARACTERS}"
        )
    lines = text.splitlines()
    if len(lines) > _FRAGMENT_MAX_LINES:
        raise RequestError(f"the fragment has {len(lines)} lines, at most {_FRAGMENT_MAX_LINES}")
    ufrag, mid, section = "", None, -1  # of the media section that a line is in
    candidates: list[RTCIceCandidate | None] = []
    has_ended = False
    for line in lines:
        if line.startswith("m="):
            mid, section = None, section + 1
        elif line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:").strip()
        elif line.startswith("a=ice-ufrag:"):
            ufrag = ufrag or line.removeprefix("a=ice-ufrag:").strip()
        elif line.startswith("a=candidate:"):
            candidates.append(read_candidate(line, mid, max(section, 0)))
        elif line.startswith("a=end-of-candidates"):
            has_ended = True
    if not (ufrag or candidates or has_ended):
        raise RequestError(
            f"the body begins with {text[:40]!r}, it must be an SDP fragment with a=ice-ufrag and "
            "a=candidate lines (RFC 8840)"
        )
    if len(candidates) > MAX_CANDIDATES:
        raise RequestError(f"{len(candidates)} candidates in one request, at most {MAX_CANDIDATES}")
    if has_ended:
        candidates.append(None)
    return Fragment(ufrag=ufrag, candidates=tuple(candidates))


def _check_codecs(names: set[str]) -> None:
    """Raise NotAcceptable if none of the offered codecs is served."""
    if names & {"H264", "VP8"}:
        return
    codecs = sorted(names - {"RTX", "RED", "ULPFEC", "FLEXFEC-03"})[:_NAMED_CODECS_MAX]
    named = ", ".join(codec[:_CODEC_NAME_MAX_CHARS] for codec in codecs) or "none"
    raise NotAcceptable(
        f"the offer's video codecs are {named}, this server takes H264 "
        "and VP8; choose an H.264 encoder (x264, NVENC, QuickSync, VideoToolbox)"
    )


def _payload_type_of(line: str, attribute: str) -> str:
    """The payload type that a line of this attribute is about; empty for any other line."""
    if not line.startswith(attribute):
        return ""
    return line[len(attribute) :].partition(" ")[0]


def _as_texts(parameters: Mapping[str, object]) -> dict[str, str]:
    """Format parameters as they are written, without the spaces that some clients put there."""
    texts = {
        name.strip(): "" if value is None else str(value).strip()
        for name, value in parameters.items()
    }
    return {name: text for name, text in texts.items() if name}


def _with_parameters(
    lines: list[str], index: int, parameters: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """An offer's lines in which the payload types of one media section have these format
    parameters, and no others."""
    section = -1
    for line in lines:
        section += line.startswith("m=")
        if section == index and _payload_type_of(line, "a=fmtp:") in parameters:
            continue
        yield line
        payload_type = _payload_type_of(line, "a=rtpmap:")
        if section == index and payload_type in parameters:
            entries = parameters[payload_type].items()
            yield f"a=fmtp:{payload_type} " + ";".join(f"{name}={text}" for name, text in entries)


def _is_known(parameters: dict[str, str]) -> bool:
    """Whether aiortc knows this kind of H.264."""
    if parameters.get("packetization-mode") != "1":
        return False
    profile_level_id = parameters.get("profile-level-id", _BASELINE_PROFILE)
    try:
        profile, _ = parse_h264_profile_level_id(profile_level_id)
    except ValueError:
        return False
    return profile in _KNOWN_PROFILES


def _with_offered(line: str, offered: dict[str, str]) -> str:
    """An answer's line of format parameters, with the offered values of those that were replaced;
    a parameter that was not offered, or has no value, is left out."""
    head, _, entries = line.partition(" ")
    kept = []
    for entry in entries.split(";"):
        name, _, value = entry.partition("=")
        if name in _KNOWN_PARAMETERS:
            value = offered.get(name, "")
        if value:
            kept.append(f"{name}={value}")
    return f"{head} " + ";".join(kept)
