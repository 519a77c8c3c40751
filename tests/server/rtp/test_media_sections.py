"""Sections that are not taken are declined in their places, and leave the others as they are."""

import pytest
from slipstream_server.errors import RequestError
from slipstream_server.rtp.media_sections import MediaSections, read_sections
from slipstream_server.rtp.sdp import read_offer

from tests.server.broken_sdp import OFFERS

SESSION = "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0"
TRANSPORT = (
    "a=ice-ufrag:abcd\na=ice-pwd:0123456789abcdef012345\n"
    f"a=fingerprint:sha-256 {':'.join(['0A'] * 32)}\na=setup:actpass"
)
VP8 = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtcp-mux\na=rtpmap:96 VP8/90000\na=sendonly"
OPUS = "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=rtcp-mux\na=rtpmap:111 opus/48000/2\na=sendonly"
CHANNEL = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=sctp-port:5000"
DECLINED = {
    "a sound codec": "m=audio 9 UDP/TLS/RTP/SAVPF 97\na=rtpmap:97 MP4A-LATM/44100/2\na=sendonly",
    "a clock rate": "m=audio 9 UDP/TLS/RTP/SAVPF 97\na=rtpmap:97 opus/16000",
    "a codec that the line does not name": OPUS.replace("SAVPF 111", "SAVPF 112"),
    "no codec": "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "a format that is no number": "m=audio 9 UDP/TLS/RTP/SAVPF opus",
    "a protocol": OPUS.replace("UDP/TLS/RTP/SAVPF", "udp"),
    "a second video": VP8.replace("SAVPF 96", "SAVPF 98").replace(":96", ":98"),
    "a video of unknown codecs": VP8.replace("VP8", "AV1"),
    "a video over another protocol": VP8.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF/QUIC"),
    "a video without a port": VP8.replace("video 9", "video 0"),
    "an inactive video": VP8.replace("sendonly", "inactive"),
    "a sound without a port": OPUS.replace("audio 9", "audio 0"),
    "an inactive sound": OPUS.replace("sendonly", "inactive"),
    "a conference's floor": "m=application 9 UDP/TLS/BFCP *",
    "another channel": CHANNEL.replace("webrtc-datachannel", "t38"),
    "a channel without a port": CHANNEL.replace("application 9", "application 0"),
    "a channel without SCTP's port": CHANNEL.replace("5000", ""),
    "messages": "m=message 2855 TCP/TLS/MSRP *",
    "a fax": "m=image 9 udptl t38",
    "a kind of its own": "m=x-telemetry 9/2 TCP/QUIC json v2",
}


def offer_of(*sections: str, bundled: bool = True, shared: str = "") -> str:
    """Each section with its place as its name; each with the transport, where none is shared."""
    names = " ".join(str(place) for place in range(len(sections)))
    texts = [SESSION, f"a=group:BUNDLE {names}"] if bundled else [SESSION]
    for place, section in enumerate(sections):
        texts += [section, f"a=mid:{place}", shared or TRANSPORT]
    return "".join(f"{line}\r\n" for line in "\n".join(texts).splitlines())


def answer_to(sections: MediaSections) -> str:
    """An answer to the sections that are taken, as aiortc makes it."""
    names = " ".join(section.mid for section in sections.taken)
    lines = ["v=0", f"a=group:BUNDLE {names}"]
    for section in sections.taken:
        lines += [section.lines[0], f"a=mid:{section.mid}"]
    return "\r\n".join(lines)


def media_of(sdp: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in sdp.splitlines() if line.startswith("m=")]
    return [(words[0][2:], int(words[1])) for words in lines]


@pytest.mark.parametrize("declined", DECLINED.values(), ids=DECLINED)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_taken_is_answered_with_port_0_in_its_place(declined: str, place: int) -> None:
    """wherever it stands; the line keeps its kind, protocol and formats, and its name."""
    if "video" in declined and "sendonly" in declined and "VP8" in declined:
        place = 2  # of two that could be, the first is taken
    given = [VP8, CHANNEL]
    given.insert(place, declined)
    sections = read_offer(offer_of(*given), "offer").sections
    assert [section.kind for section in sections.taken] == ["video", "application"]
    answer = sections.answered(answer_to(sections))
    kinds = [one.split()[0][2:] for one in given]
    assert media_of(answer) == [(kind, 0 if at == place else 9) for at, kind in enumerate(kinds)]
    kind, _, *rest = declined.splitlines()[0][2:].split(" ")
    assert f"m={kind} 0 {' '.join(rest)}\r\nc=IN IP4 0.0.0.0\r\na=mid:{place}\r\n" in answer
    taken = " ".join(str(at) for at in range(3) if at != place)
    assert f"a=group:BUNDLE {taken}\r\n" in answer


def test_an_offer_of_which_all_is_taken_is_left_as_it_is() -> None:
    """a browser's own, and those of OBS and FFmpeg."""
    for sdp in OFFERS:
        sections = read_sections(sdp.splitlines())
        assert sections.taken == sections.offered
        assert sections.taken_lines() == sdp.splitlines()


def test_the_transport_of_a_declined_section_is_that_of_its_bundle() -> None:
    """the first of a bundle carries it for all: where sound comes first and is declined, the video
    is reached by the sound's addresses and keys, those that come later too."""
    candidate = "a=candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
    sound = f"{DECLINED['a sound codec']}\n{TRANSPORT}\n{candidate}"
    video = VP8.replace("video 9", "video 0") + "\na=bundle-only"
    offer = read_offer(offer_of(sound, video, shared="a=rtcp-rsize"), "offer")
    (media,) = offer.description.media
    assert media.ice is not None and media.ice.usernameFragment == "abcd"
    assert media.dtls is not None and len(media.dtls.fingerprints) == 1
    assert [(one.ip, one.sdpMid, one.sdpMLineIndex) for one in offer.candidates] == [
        ("192.0.2.1", "1", 0)
    ]
    assert offer.sections.place("0", 0) == offer.sections.place("1", None) == ("1", 0)


def test_a_candidate_of_a_declined_section_of_its_own_is_left_out() -> None:
    sections = read_offer(
        offer_of(DECLINED["a fax"], VP8, CHANNEL, bundled=False), "offer"
    ).sections
    assert sections.place("0", 0) is None and sections.place(None, 0) is None
    assert sections.place("1", 1) == sections.place(None, 1) == ("1", 0)
    assert sections.place("2", 0) == ("2", 1)  # the name counts
    assert sections.place("9", 9) is None and sections.place(None, None) is None


def test_an_offer_without_a_bundle_is_answered_without() -> None:
    """sound, which is never heard, then gets no transport of its own."""
    sections = read_offer(offer_of(OPUS, VP8, bundled=False), "offer").sections
    answer = sections.answered(answer_to(sections))
    assert "BUNDLE" not in answer
    assert media_of(answer) == [("audio", 0), ("video", 9)]


def test_of_several_bundles_the_video_s_is_kept() -> None:
    sdp = offer_of(OPUS, VP8, CHANNEL, OPUS).replace(
        "a=group:BUNDLE 0 1 2 3", "a=group:BUNDLE 0\r\na=group:BUNDLE 3 1"
    )
    sections = read_offer(sdp, "offer").sections
    assert [section.mid for section in sections.taken] == ["1", "2", "3"]
    assert [line for line in sections.taken_lines() if "BUNDLE" in line] == ["a=group:BUNDLE 3 1"]
    assert "a=group:BUNDLE 1 3\r\n" in sections.answered(answer_to(sections))


def test_the_video_that_is_sent_comes_before_one_that_is_asked_for() -> None:
    watched = VP8.replace("sendonly", "recvonly")
    offer = read_offer(offer_of(watched, VP8), "offer")
    assert offer.sends_video and [section.mid for section in offer.sections.taken] == ["1"]


def test_a_direction_said_once_for_all_sections_holds() -> None:
    """RFC 8866, section 6.7: before the first section it stands for all."""
    plain = VP8.replace("\na=sendonly", "")
    for direction, sends, only in (("sendonly", True, True), ("recvonly", False, False)):
        sdp = offer_of(plain).replace("t=0 0\r\n", f"t=0 0\r\na={direction}\r\n")
        offer = read_offer(sdp, "offer")
        assert (offer.sends_video, offer.only_sends) == (sends, only)
        assert offer.sdp.endswith(f"a={direction}\r\n")


@pytest.mark.parametrize(
    ("sdp", "reason"),
    [
        (offer_of(VP8, CHANNEL).replace("a=mid:1", "a=mid:0"), "each needs one of its own"),
        (
            offer_of(DECLINED["a fax"], VP8).replace("a=mid:0", "a=mid:1"),
            "a=mid of the media are ['1', '1'], each needs one of its own",
        ),
        (offer_of(VP8).replace("BUNDLE 0", "BUNDLE 0 x"), "a=group:BUNDLE names ['x']"),
        (offer_of(DECLINED["a video without a port"]), "the offer's video has port 0"),
        (offer_of(DECLINED["an inactive video"]), "the offer's video is inactive"),
        (offer_of("m=audio", VP8), "its line 'm=audio' must be as 'm=video 9"),
        (offer_of("m=fax nine udptl t38", VP8), "its line 'm=fax nine udptl t38' must be as"),
        (offer_of(VP8).replace("a=setup:actpass", ""), "no DTLS fingerprint, or no a=setup"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_rule(sdp: str, reason: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_offer(sdp, "offer")
    assert reason in str(refused.value)
