"""SDP of WHIP and WHEP: directions, H.264 profiles that aiortc does not know, ICE fragments.

Sources: RFC 9725 (WHIP) sections 4.2 to 4.4, RFC 8840 section 4.4 (fragments), RFC 6184 section 8
(H.264 in SDP).
"""

import re
from dataclasses import dataclass, replace

from aiortc import RTCIceCandidate
from aiortc.sdp import H264Profile, SessionDescription, parse_h264_profile_level_id

from slipstream_server.errors import NotAcceptable, RequestError, Unprocessable
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer, read_candidate

# what aiortc answers of H.264 (RFC 6184, section 8.1), and the parameters that say so
_KNOWN_PROFILES = (H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Profile.PROFILE_BASELINE)
_BASELINE_PROFILE = "42e01f"
_KNOWN_PARAMETERS = {"packetization-mode": "1", "profile-level-id": _BASELINE_PROFILE}

_FRAGMENT_MAX_LINES = 512
_NAMED_CODECS_MAX, _CODEC_NAME_MAX_CHARS = 8, 20  # in an error message
_RTPMAP = re.compile(r"a=rtpmap:(\d+) ([^/\s]+)/")


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
        sdp: the offer.
        replaced: format parameters as they were offered, by payload type, where `sdp` has others.
    """

    sdp: str
    replaced: dict[str, dict[str, str]]

    def restored(self, answer: str) -> str:
        """The answer to the offer as it was: with the H.264 parameters that were offered."""
        for payload_type, offered in self.replaced.items():
            line = _fmtp_line(payload_type).search(answer)
            if line is not None:
                answer = answer.replace(line[0], _with_offered(line[0], offered))
        return answer


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


def adapt(sdp: str) -> Adapted:
    """An offer in which aiortc finds a codec.

    Of H.264 aiortc knows the baseline profiles in packetization mode 1 only, yet its decoder takes
    every profile, and packets of mode 0 are valid in mode 1. If an offer has nothing else (OBS and
    FFmpeg announce what their encoder is set to), its parameters are replaced by the known ones.

    Args:
        sdp: an offer that `read_offer` has taken.

    Raises:
        NotAcceptable: if its video has neither H.264 nor VP8.
    """
    kinds = [media.kind for media in SessionDescription.parse(sdp).media]
    lines = "".join(f"{line}\r\n" for line in sdp.splitlines())  # as the parser has cut them
    head, *sections = re.split(r"(?m)^(?=m=)", lines)
    index = kinds.index("video")
    video = sections[index]
    codecs = {payload_type: name.upper() for payload_type, name in _RTPMAP.findall(video)}
    _check_codecs(set(codecs.values()))
    h264 = {
        payload_type: _read_parameters(video, payload_type)
        for payload_type, name in codecs.items()
        if name == "H264"
    }
    if "VP8" in codecs.values() or any(map(_is_known, h264.values())):
        return Adapted(sdp=sdp, replaced={})
    for payload_type, offered in h264.items():
        video = _with_parameters(video, payload_type, offered | _KNOWN_PARAMETERS)
    sections[index] = video
    return Adapted(sdp="".join((head, *sections)), replaced=h264)


def read_fragment(text: str) -> Fragment:
    """The body of a PATCH.

    Raises:
        RequestError: if it is not a fragment, or a candidate in it cannot be parsed.
    """
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


def _fmtp_line(payload_type: str) -> re.Pattern[str]:
    """The line of a payload type's format parameters; the group is the parameters."""
    return re.compile(rf"(?m)^a=fmtp:{payload_type} ([^\r\n]*)")


def _read_parameters(section: str, payload_type: str) -> dict[str, str]:
    """The format parameters of a payload type."""
    line = _fmtp_line(payload_type).search(section)
    pairs = (entry.strip().partition("=") for entry in (line[1] if line else "").split(";"))
    return {name: value for name, _, value in pairs if name}


def _with_parameters(section: str, payload_type: str, parameters: dict[str, str]) -> str:
    """A media section in which a payload type has these format parameters, and no others."""
    entries = ";".join(f"{name}={value}" for name, value in parameters.items())
    section = re.sub(rf"(?m)^a=fmtp:{payload_type} [^\r\n]*\r?\n", "", section)
    return re.sub(
        rf"(?m)^(a=rtpmap:{payload_type} [^\r\n]*)",
        rf"\1\r\na=fmtp:{payload_type} {entries}",
        section,
    )


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
