"""Publishers whose offers have more than is taken: they connect, and their picture is shown."""

import re
from pathlib import Path

from tests.server.calls import Camera, dial
from tests.server.serving import serving
from tests.server.whips import posted, publishing

AAC = (
    "m=audio 9 UDP/TLS/RTP/SAVPF 97\r\nc=IN IP4 0.0.0.0\r\na=mid:aac\r\na=sendonly\r\n"
    "a=rtcp-mux\r\na=rtpmap:97 MP4A-LATM/44100/2\r\n"
)
FLOOR = "m=application 9 UDP/TLS/BFCP *\r\na=mid:floor\r\na=setup:actpass\r\n"
_TRANSPORT = re.compile(r"a=(?:candidate|end-of|ice-|fingerprint|setup)[^\r\n]*\r\n")


def with_others(sdp: str) -> str:
    """An offer behind a sound of an unknown codec that carries the transport of the bundle, and
    before a section of another protocol."""
    transport = "".join(_TRANSPORT.findall(sdp))
    head, video = _TRANSPORT.sub("", sdp).split("m=video", 1)
    head = head.replace("a=group:BUNDLE 0", "a=group:BUNDLE aac 0 floor")
    return f"{head}{AAC}{transport}m=video{video}{FLOOR}"


def without_others(answer: str) -> str:
    """The answer, as one to the video alone."""
    return re.sub(r"m=(?:audio|application) 0 .*?(?=m=|\Z)", "", answer, flags=re.DOTALL)


async def test_sections_that_are_not_taken_are_declined_and_the_picture_comes(
    tmp_path: Path,
) -> None:
    """sound of an unknown codec comes first, with the addresses and keys of all."""
    async with (
        serving(tmp_path) as server,
        publishing(server, edit=with_others, edit_answer=without_others) as publisher,
    ):
        sound, video, floor = re.findall("(?m)^m=.*$", publisher.answer_sdp)
        assert sound.strip() == "m=audio 0 UDP/TLS/RTP/SAVPF 97"
        assert re.match("m=video [1-9]", video)
        assert floor.strip() == "m=application 0 UDP/TLS/BFCP *"
        async with posted(server.client, "/whep/stage") as viewer:
            await viewer.until_frames(4)


async def test_an_offer_without_a_bundle_is_served(tmp_path: Path) -> None:
    """video and channel have a transport each, and the answer bundles nothing."""

    def unbundled(sdp: str) -> str:
        return re.sub(r"a=group:BUNDLE[^\r\n]*\r\n", "", sdp)

    async with (
        serving(tmp_path) as server,
        dial(server.client, camera=Camera(), edit=unbundled) as call,
    ):
        await call.until_event("state", state="live")
        await call.until_frames(4)
        assert "BUNDLE" not in call.answer_sdp
