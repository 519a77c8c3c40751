"""ICE lite in SDP: a side that sends no connectivity checks of its own (RFC 8839, section 5.3)."""

from aiortc.sdp import SessionDescription

_LINE = "a=ice-lite"


def is_ice_lite(offer: SessionDescription) -> bool:
    """Whether the offer's side is lite."""
    return any(media.ice is not None and media.ice.iceLite for media in offer.media)


def with_ice_lite(answer: str) -> str:
    """The answer of a lite side."""
    head, media, rest = answer.partition("\r\nm=")
    return f"{head}\r\n{_LINE}{media}{rest}"
