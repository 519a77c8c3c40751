"""What the colours of a picture are: as it declares them, or by rule where it does not. Pure.

Numbers are those of ITU-T H.273, which H.264, VP9, MP4 and FFmpeg share; those of the matrices are
swscale's too. Between the processes, and in all that is sent or written, colours are BT.601 in
limited range. So this says what to convert *from*:

* A matrix that is declared is honoured. Of one that no scaler knows (reserved, YCgCo, ICtCp), and
  of none, the way in decides: a live picture is BT.601, which is what browsers make of cameras,
  screens and canvases, and all that VP8 has (RFC 6386, section 9.2); a film is what players take it
  for, BT.709 from 720 lines on, BT.601 below, and BT.2020 where it is of high dynamic range.
* A range that is declared is honoured, else it is limited.
* A transfer function of high dynamic range (PQ, HLG) is named, for whoever can map it; others are
  left as they are, as players do, and so are the primaries of a standard range.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

_FULL_RANGE = 2  # FFmpeg's number
_HD_LINES = 720


class Matrix(IntEnum):
    """How luma and chroma are made of red, green and blue."""

    BT_709 = 1
    FCC = 4
    BT_601 = 5
    SMPTE_240M = 7
    BT_2020 = 9


class HdrTransfer(IntEnum):
    """Transfer functions of high dynamic range."""

    PQ = 16
    HLG = 18


# 6 is the other name of BT.601; 10, with constant luminance, is near to BT.2020 without
_MATRICES = {matrix.value: matrix for matrix in Matrix} | {6: Matrix.BT_601, 10: Matrix.BT_2020}
_TRANSFERS = {transfer.value: transfer for transfer in HdrTransfer}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredColours:
    """What stands in a stream or a file.

    Args:
        matrix, transfer: 2 where it is not declared.
        is_full_range: False where it is not declared.
    """

    matrix: int
    transfer: int
    is_full_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColours:
    """What a picture's samples mean.

    Args:
        hdr: None for a picture of standard range.
    """

    matrix: Matrix
    is_full_range: bool
    hdr: HdrTransfer | None


class PixelFormat(Protocol):
    """The format of a picture, as PyAV gives it."""

    @property
    def name(self) -> str: ...


class DecodedPicture(Protocol):
    """What is read of a decoded picture of PyAV's."""

    @property
    def format(self) -> PixelFormat: ...
    @property
    def colorspace(self) -> int: ...
    @property
    def color_range(self) -> int: ...
    @property
    def color_trc(self) -> int: ...


def declared_colours(picture: DecodedPicture) -> DeclaredColours:
    """What a decoder has found; formats named `yuvj` are of full range by themselves."""
    is_full = picture.color_range == _FULL_RANGE or picture.format.name.startswith("yuvj")
    return DeclaredColours(
        matrix=int(picture.colorspace), transfer=int(picture.color_trc), is_full_range=is_full
    )


def live_colours(declared: DeclaredColours) -> SourceColours:
    """Of a picture of a call."""
    return _resolved(declared, Matrix.BT_601)


def film_colours(declared: DeclaredColours, *, lines: int) -> SourceColours:
    """Of a picture of a file, with so many lines."""
    is_hdr = declared.transfer in _TRANSFERS
    of_hd = Matrix.BT_2020 if is_hdr else Matrix.BT_709
    return _resolved(declared, of_hd if lines >= _HD_LINES else Matrix.BT_601)


def _resolved(declared: DeclaredColours, undeclared: Matrix) -> SourceColours:
    return SourceColours(
        matrix=_MATRICES.get(declared.matrix, undeclared),
        is_full_range=declared.is_full_range,
        hdr=_TRANSFERS.get(declared.transfer),
    )
