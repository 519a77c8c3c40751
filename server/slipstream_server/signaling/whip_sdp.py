"""What WHIP and WHEP need of an SDP beyond what a page's call needs. Text in, text out.

Sources: RFC 9725 (WHIP) sections 4.2 to 4.4, RFC 8840 section 4.4 (fragments), RFC 6184 section 8
(H.264 in SDP).
"""

import re
from dataclasses import dataclass, replace

from aiortc import RTCIceCandidate
from aiortc.sdp import H264Profile, SessionDescription, parse_h264_profile_level_id

from slipstream_server.errors import NotAcceptable, RequestError, Unprocessable
from slipstream_server.rtp.sdp import MAX_CANDIDATES, Offer, read_candidate

_OURS = (H264Profile.PROFILE_CONSTRAINED_BASELINE, H264Profile.PROFILE_BASELINE)
_OUR_PROFILE = "42e01f"
_FRAGMENT_MAX_LINES = 512
_SHOWN, _SHOWN_CHARS = 8, 20  # of foreign codecs, in a refusal
_RTPMAP = re.compile(r"a=rtpmap:(\d+) ([^/\s]+)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a PATCH brings.

    Args:
        ufrag: the sender's ICE user name; empty if it is not told.
        candidates: its addresses; None is the end of them.
    """

    ufrag: str
    candidates: tuple[RTCIceCandidate | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """An offer that aiortc can answer, and what was changed in it.

    Args:
        sdp: the offer.
        formats: of each payload type changed: its parameters as they were offered.
    """

    sdp: str
    formats: dict[str, dict[str, str]]

    def restored(self, answer: str) -> str:
        """The answer in the offer's own words."""
        for number, offered in self.formats.items():
            line = re.search(rf"(?m)^a=fmtp:{number} [^\r\n]*", answer)
            if line is not None:
                answer = answer.replace(line[0], _restored(line[0], offered))
        return answer


def check_direction(offer: Offer, *, publishes: bool) -> None:
    """See that the offer's video goes the right way.

    Raises:
        Unprocessable: if not.
    """
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


def only_watching(offer: Offer) -> Offer:
    """The offer of a viewer, of whom nothing is taken even if it offers to send too."""
    return replace(offer, sdp=offer.sdp.replace("a=sendrecv", "a=recvonly"))


def adapt(sdp: str) -> Adapted:
    """An offer in which aiortc finds a codec.

    Of H.264 aiortc knows the baseline profiles in packetization mode 1 only, yet its decoder takes
    every profile, and packets of mode 0 are valid ones of mode 1. An offer of nothing else (OBS and
    FFmpeg announce what their encoder was set to) is put to it as if it were that.

    Args:
        sdp: an offer that `read_offer` has taken.

    Raises:
        NotAcceptable: if its video has neither H.264 nor VP8.
    """
    media = SessionDescription.parse(sdp).media
    index = next(at for at, one in enumerate(media) if one.kind == "video")
    lines = "".join(f"{line}\r\n" for line in sdp.splitlines())  # as the parser has cut them
    head, *parts = re.split(r"(?m)^(?=m=)", lines)
    names = {number: name.upper() for number, name in _RTPMAP.findall(parts[index])}
    if not {"H264", "VP8"} & set(names.values()):
        codecs = sorted(set(names.values()) - {"RTX", "RED", "ULPFEC", "FLEXFEC-03"})
        raise NotAcceptable(
            f"the offer's video codecs are {_named(codecs)}, this server takes H264 "
            "and VP8; choose an H.264 encoder (x264, NVENC, QuickSync, VideoToolbox)"
        )
    formats = {
        number: _parameters(parts[index], number)
        for number, name in names.items()
        if name == "H264"
    }
    if "VP8" in names.values() or any(map(_is_ours, formats.values())):
        return Adapted(sdp=sdp, formats={})
    for number, parameters in formats.items():
        parts[index] = _with_format(parts[index], number, parameters)
    return Adapted(sdp="".join((head, *parts)), formats=formats)


def read_fragment(text: str) -> Fragment:
    """The body of a PATCH.

    Raises:
        RequestError: if it is none, or a candidate in it cannot be parsed.
    """
    lines = text.splitlines()
    if len(lines) > _FRAGMENT_MAX_LINES:
        raise RequestError(f"the fragment has {len(lines)} lines, at most {_FRAGMENT_MAX_LINES}")
    ufrag, candidates, mid, line = "", list[RTCIceCandidate | None](), None, -1
    ended = False
    for row in lines:
        if row.startswith("m="):
            mid, line = None, line + 1
        elif row.startswith("a=mid:"):
            mid = row.removeprefix("a=mid:").strip()
        elif row.startswith("a=ice-ufrag:"):
            ufrag = ufrag or row.removeprefix("a=ice-ufrag:").strip()
        elif row.startswith("a=candidate:"):
            candidates.append(read_candidate(row, mid, max(line, 0)))
        elif row.startswith("a=end-of-candidates"):
            ended = True
    if not (ufrag or candidates or ended):
        raise RequestError(
            f"the body begins with {text[:40]!r}, it must be an SDP fragment with a=ice-ufrag and "
            "a=candidate lines (RFC 8840)"
        )
    if len(candidates) > MAX_CANDIDATES:
        raise RequestError(f"{len(candidates)} candidates in one request, at most {MAX_CANDIDATES}")
    return Fragment(ufrag=ufrag, candidates=(*candidates, None) if ended else tuple(candidates))


def _named(codecs: list[str]) -> str:
    return ", ".join(codec[:_SHOWN_CHARS] for codec in codecs[:_SHOWN]) or "none"


def _parameters(part: str, number: str) -> dict[str, str]:
    """The format parameters of a payload type."""
    found = re.search(rf"(?m)^a=fmtp:{number} ([^\r\n]*)", part)
    pairs = (entry.strip().partition("=") for entry in (found[1] if found else "").split(";"))
    return {name: value for name, _, value in pairs if name}


def _is_ours(parameters: dict[str, str]) -> bool:
    """Whether aiortc knows this kind of H.264."""
    if parameters.get("packetization-mode") != "1":
        return False
    try:
        profile, _ = parse_h264_profile_level_id(parameters.get("profile-level-id", _OUR_PROFILE))
    except ValueError:
        return False
    return profile in _OURS


def _with_format(part: str, number: str, offered: dict[str, str]) -> str:
    ours = offered | {"packetization-mode": "1", "profile-level-id": _OUR_PROFILE}
    line = f"a=fmtp:{number} " + ";".join(f"{name}={value}" for name, value in ours.items())
    part = re.sub(rf"(?m)^a=fmtp:{number} [^\r\n]*\r?\n", "", part)
    return re.sub(rf"(?m)^(a=rtpmap:{number} [^\r\n]*)", rf"\1\r\n{line}", part)


def _restored(line: str, offered: dict[str, str]) -> str:
    number, _, entries = line.partition(" ")
    kept = []
    for entry in entries.split(";"):
        name, _, value = entry.partition("=")
        if name in ("packetization-mode", "profile-level-id"):
            value = offered.get(name, "")
        if value:
            kept.append(f"{name}={value}")
    return f"{number} " + ";".join(kept)
