"""What an engine prints: lines of bounded length and number, whatever it prints, in any pieces."""

import itertools
import logging

from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.clock import NS_PER_S
from slipstream_server.logs.engine_output import LINE_MAX_CHARS, EngineOutput

HEAD = "2026-01-01 12:00:00,000 engine {} slipstream_engine.x: {}"


def printed(output: EngineOutput, data: bytes, at_s: float = 0.0) -> list[tuple[int, str]]:
    return [(one.level, one.text) for one in output.feed(data, round(at_s * NS_PER_S))]


@given(st.text(max_size=300), st.lists(st.integers(0, 400), max_size=6))
def test_in_pieces_equals_all_at_once(text: str, cuts: list[int]) -> None:
    """wherever the reads end, within a character too."""
    data = text.encode(errors="surrogatepass")
    whole, pieces = EngineOutput(), EngineOutput()
    expected = [*whole.feed(data, 0), *whole.end(0)]
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[a:b] for a, b in itertools.pairwise(bounds)]
    found = [line for part in parts for line in pieces.feed(part, 0)] + pieces.end(0)
    assert found == expected


@given(st.integers(1, 40), st.sampled_from([b"x", b"\xff", b"\xf0\x9f\x98\x80"]))
def test_a_line_without_an_end_is_cut(kilobytes: int, unit: bytes) -> None:
    """it is logged once, cut, its rest is skipped, and the next line is whole."""
    output = EngineOutput()
    lines = []
    for _ in range(kilobytes):
        lines += printed(output, unit * 1024)
    lines += printed(output, b"\nnext\n")
    assert lines[-1] == (logging.INFO, "next")
    assert len(lines) == 2
    assert len(lines[0][1]) <= LINE_MAX_CHARS + 50


def test_a_flood_is_counted_and_said_when_it_is_over() -> None:
    """some hundreds of lines pass at once, then fifty a second; the last ones are kept anyway."""
    output = EngineOutput()
    flood = b"".join(b"line %d\n" % number for number in range(10_000))
    assert len(printed(output, flood)) == 500
    assert output.last[-1] == "line 9999"
    after = printed(output, b"calm again\n", at_s=1.0)
    assert after == [
        (
            logging.WARNING,
            "9500 lines of the engine are left out: it prints more than 50 a second",
        ),
        (logging.INFO, "calm again"),
    ]


def test_a_line_has_the_level_that_it_says() -> None:
    """and a traceback that of the line before it."""
    output = EngineOutput()
    text = HEAD.format("ERROR", "it broke") + "\nTraceback\n" + HEAD.format("DEBUG", "so") + "\n"
    levels = [level for level, _ in printed(output, text.encode())]
    assert levels == [logging.ERROR, logging.ERROR, logging.DEBUG]
