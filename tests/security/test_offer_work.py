"""No offer of any form is much work: what is done is counted, not timed, so a busy machine agrees.

Read, adapted for WHIP and hinted is every text that could be posted.
"""

import random
import re
from collections.abc import Callable, Iterator

import pytest
from aiortc.sdp import SessionDescription
from slipstream_server.errors import RequestError
from slipstream_server.http.bodies import BODY_MAX_BYTES
from slipstream_server.rtp.sdp import read_offer, with_start_bitrate
from slipstream_server.signaling.whip_sdp import adapt, read_fragment

from tests.security.steps import Steps
from tests.server.broken_sdp import OFFERS

STEPS_MAX = 400_000  # some tens of milliseconds, in a thread
STEPS_ON_LOOP_MAX = 80_000  # aiortc's own parser gets the offer without what is not served
HEAD = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
    f"a=fingerprint:sha-256 {':'.join(['00'] * 32)}\r\na=setup:actpass\r\n"
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdef012345\r\n"
)
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
SIZES = (4_000, 16_000, 64_000, BODY_MAX_BYTES)


def offer_of(line: Callable[[int], str], characters: int, *, sections: int = 1) -> str:
    """An offer of about so many characters, filled with lines of one form."""
    parts, size, number = [HEAD], len(HEAD), 0
    for section in range(sections):
        parts.append(VIDEO + f"a=mid:{section}\r\n")
        size += len(parts[-1])
        while size < characters * (section + 1) // sections:
            parts.append(line(number) + "\r\n")
            size += len(parts[-1])
            number += 1
    return "".join(parts)


LINES: dict[str, Callable[[int], str]] = {
    "rtpmap": lambda n: f"a=rtpmap:{n % 128} H264/90000",
    "unique rtpmap": lambda n: f"a=rtpmap:{n} H264/90000",
    "rtx": lambda n: f"a=rtpmap:{n % 128} rtx/90000",
    "fmtp": lambda n: "a=fmtp:96 a=b",
    "rtpmap and fmtp": lambda n: (
        f"a=rtpmap:{n} H264/90000\r\na=fmtp:{n} packetization-mode=1;profile-level-id=640c1f"
    ),
    "rtpmap and wildcard": lambda n: f"a=rtpmap:{n} H264/90000\r\na=rtcp-fb:* nack pli",
    "feedback": lambda n: f"a=rtpmap:{n} VP8/90000\r\na=rtcp-fb:{n} nack\r\na=rtcp-fb:{n} ccm fir",
    "ssrc": lambda n: f"a=ssrc:{n} cname:x",
    "ssrc-group": lambda n: "a=ssrc-group:FID 1 2 3 4 5 6 7 8 9",
    "candidate": lambda n: f"a=candidate:{n} 1 udp 1 192.0.2.1 {n % 65536} typ host",
    "extmap": lambda n: f"a=extmap:{n} urn:x",
    "fingerprint": lambda n: "a=fingerprint:sha-256 00:11",
    "media": lambda n: f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:m{n}\r\na=rtpmap:0 PCMU/8000",
    "group": lambda n: "a=group:BUNDLE 0 0 0 0 0 0 0 0",
    "rid": lambda n: f"a=rid:{n} send\r\na=simulcast:send {n};~{n}",
    "direction": lambda n: "a=sendrecv",
    "empty": lambda n: "",
    "letters": lambda n: "aaaaaaaaaaaaaaaa",
    "spaces": lambda n: "a=fmtp:96 " + " ;= " * 200,
    "long": lambda n: "a=fmtp:96 " + ";".join(f"k{i}=1" for i in range(4000)),
    "digits": lambda n: "a=rtpmap:96 VP8/" + "9" * 4000,
    "other ends of lines": lambda n: "a=x:1\x0ba=x:2\x1ca=x:3\u2028a=x:4",
}


def handle(sdp: str) -> None:
    """What is done with a text, whatever comes out."""
    try:
        adapted = adapt(read_offer(sdp, "offer"))
        adapted.restored(with_start_bitrate(adapted.offer.sdp))
    except RequestError as error:
        assert len(str(error)) < 1000


@pytest.mark.parametrize("sections", [1, 4, 16])
@pytest.mark.parametrize("kind", LINES)
def test_offers_of_every_kind_of_line_are_little_work(kind: str, sections: int) -> None:
    for characters in SIZES:
        sdp = offer_of(LINES[kind], characters, sections=sections)
        with Steps(len(sdp)) as steps:
            handle(sdp)
        assert steps.count < STEPS_MAX, f"{characters} characters"


def mixed_offers(count: int) -> Iterator[str]:
    """Offers of several kinds of lines, in shares that pass one bound after the other."""
    chance = random.Random(5)
    kinds = list(LINES.values())
    for _ in range(count):
        chosen = chance.sample(kinds, 3)
        shares = [chance.choice((1, 10, 60, 120, 500)) for _ in chosen]
        lines = [line(n) for line, share in zip(chosen, shares, strict=True) for n in range(share)]
        chance.shuffle(lines)
        sections = chance.choice((1, 1, 2, 8, 16))
        each = -(-len(lines) // sections)
        parts = [HEAD]
        for section in range(sections):
            parts += [VIDEO, f"a=mid:{section}\r\n"]
            parts += [line + "\r\n" for line in lines[section * each : (section + 1) * each]]
        yield "".join(parts)


def test_mixed_offers_are_little_work() -> None:
    """also for aiortc's own parser, which runs on the event loop."""
    answered = 0
    for sdp in mixed_offers(300):
        with Steps(len(sdp)) as steps:
            handle(sdp)
        assert steps.count < STEPS_MAX
        try:
            offer = read_offer(sdp, "offer")
        except RequestError:
            continue
        answered += 1
        with Steps(len(sdp)) as steps:
            SessionDescription.parse(offer.sdp)
        assert steps.count < STEPS_ON_LOOP_MAX
    assert answered > 30


@pytest.mark.parametrize("sdp", OFFERS)
def test_an_offer_of_a_browser_is_far_from_the_bounds(sdp: str) -> None:
    """three cameras with all codecs are still taken."""
    sections = sdp.split("m=video", 1)
    media = "m=video" + sections[1].split("m=application")[0]
    many = (
        sections[0]
        + media
        + "".join(re.sub(r"(?m)^a=mid:.*$", f"a=mid:more{n}", media) for n in range(2))
    )
    assert read_offer(re.sub(r"(?m)^a=group:.*\r?\n", "", many), "offer").sends_video


@pytest.mark.parametrize("kind", LINES)
def test_fragments_are_little_work(kind: str) -> None:
    for characters in SIZES:
        text = offer_of(LINES[kind], characters)
        with Steps(len(text)) as steps:
            try:
                read_fragment(text)
            except RequestError as error:
                assert len(str(error)) < 1000
        assert steps.count < STEPS_ON_LOOP_MAX
