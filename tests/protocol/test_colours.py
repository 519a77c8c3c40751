"""What a picture's colours are: as declared, else by the written rule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_protocol.colours import (
    DeclaredColours,
    HdrTransfer,
    Matrix,
    film_colours,
    live_colours,
)

MATRICES = {
    1: Matrix.BT_709,
    4: Matrix.FCC,
    5: Matrix.BT_601,
    6: Matrix.BT_601,
    7: Matrix.SMPTE_240M,
    9: Matrix.BT_2020,
    10: Matrix.BT_2020,
}
UNKNOWN = [0, 2, 3, 8, 11, 14, 255]  # RGB, undeclared, reserved, YCgCo, ICtCp


def declared(matrix: int, *, transfer: int = 1, is_full_range: bool = False) -> DeclaredColours:
    return DeclaredColours(matrix=matrix, transfer=transfer, is_full_range=is_full_range)


@pytest.mark.parametrize(("number", "matrix"), MATRICES.items())
def test_a_declared_matrix_is_honoured(number: int, matrix: Matrix) -> None:
    """on every way in, whatever the size."""
    assert live_colours(declared(number)).matrix is matrix
    for lines in (480, 1080):
        assert film_colours(declared(number), lines=lines).matrix is matrix


@pytest.mark.parametrize("number", UNKNOWN)
def test_without_a_known_matrix_the_way_in_decides(number: int) -> None:
    """a call is BT.601 as browsers make it; a film is what players take it for."""
    hdr = declared(number, transfer=HdrTransfer.HLG)
    assert live_colours(declared(number)).matrix is Matrix.BT_601
    assert film_colours(declared(number), lines=719).matrix is Matrix.BT_601
    assert film_colours(declared(number), lines=720).matrix is Matrix.BT_709
    assert film_colours(hdr, lines=720).matrix is Matrix.BT_2020


@given(st.integers(0, 255), st.integers(0, 255), st.booleans())
def test_any_declaration_has_a_meaning(matrix: int, transfer: int, is_full: bool) -> None:
    """reserved numbers as well; the range is as declared, and only PQ and HLG are named."""
    one = declared(matrix, transfer=transfer, is_full_range=is_full)
    for colours in (live_colours(one), film_colours(one, lines=1080)):
        assert colours.is_full_range is is_full
        assert (colours.hdr is not None) == (transfer in (16, 18))


def test_transfers_have_the_numbers_of_the_standard() -> None:
    """ITU-T H.273, table 3: what files and bitstreams declare."""
    assert (HdrTransfer.PQ, HdrTransfer.HLG) == (16, 18)
