"""Simulcast in SDP."""

import pytest
from slipstream_server.rtp.simulcast import read_simulcast, with_layers

OFFER = """v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=sendonly
m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=mid:1
a=sendonly
{lines}
""".replace("\n", "\r\n")
ANSWER = """v=0
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=inactive
m=video 9 UDP/TLS/RTP/SAVPF 96
a=mid:1
a=recvonly
""".replace("\n", "\r\n")


def answered(*lines: str, answer: str = ANSWER) -> list[str]:
    offer = OFFER.format(lines="\r\n".join(lines))
    return with_layers(answer, read_simulcast(offer, "1")).removeprefix(answer).split("\r\n")


def test_all_layers_are_accepted_as_offered() -> None:
    """OBS stops where the answer names other layers than its own."""
    assert answered("a=rid:h send", "a=rid:m send", "a=rid:l send", "a=simulcast:send h;m;l") == [
        "a=rid:h recv",
        "a=rid:m recv",
        "a=rid:l recv",
        "a=simulcast:recv h;m;l",
        "",
    ]


def test_restrictions_pauses_and_alternatives_are_kept() -> None:
    """but for payload types that the answer does not have."""
    assert answered(
        "a=rid:1 send pt=96,97;max-width=1280",
        "a=rid:2 send pt=97;max-fps=15",
        "a=rid:3 send",
        "a=simulcast:recv x send 1,2;~3",
    ) == [
        "a=rid:1 recv pt=96;max-width=1280",
        "a=rid:2 recv max-fps=15",
        "a=rid:3 recv",
        "a=simulcast:recv 1,2;~3",
        "",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("a=rid:h send",),
        ("a=simulcast:send h;m",),
        ("a=rid:h send", "a=simulcast:send h"),
        ("a=rid:h recv", "a=rid:m recv", "a=simulcast:recv h;m"),
        ("a=rid:h send", "a=simulcast:send h;m"),
        (*(f"a=rid:{n} send" for n in range(9)), "a=simulcast:send 0;1;2;3;4;5;6;7;8"),
    ],
)
def test_what_is_no_simulcast_is_answered_as_it_is(lines: tuple[str, ...]) -> None:
    """one layer, layers that we would send, more than a sender has."""
    assert (
        with_layers(ANSWER, read_simulcast(OFFER.format(lines="\r\n".join(lines)), "1")) == ANSWER
    )


def test_a_picture_that_is_not_taken_has_no_layers() -> None:
    """as of a viewer that offers to send too."""
    lines = ("a=rid:h send", "a=rid:m send", "a=simulcast:send h;m")
    for direction in ("inactive", "sendonly"):
        answer = ANSWER.replace("recvonly", direction)
        offer = OFFER.format(lines="\r\n".join(lines))
        assert with_layers(answer, read_simulcast(offer, "1")) == answer
