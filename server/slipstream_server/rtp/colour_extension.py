"""What a sender says of a picture's colours in an RTP header extension, beside the picture itself.

Browsers encode a camera's samples as they come, and say here what they mean: VP8 has no place for
it, and a browser's H.264 leaves it out. It rides on the last packet of a key frame, and of a frame
from which on they differ. Four bytes: primaries, transfer and matrix by their numbers in H.273, and
range (1 limited, 2 full) above the places of chroma samples; 24 more where the picture is HDR.

Source: http://www.webrtc.org/experiments/rtp-hdrext/color-space.
"""

from dataclasses import dataclass, fields

from aiortc.rtp import (
    HeaderExtensions,
    RtpPacket,
    unpack_header_extensions,
)
from slipstream_protocol.colours import DeclaredColours

from slipstream_server.rtp.header_extension import ExtensionMap

COLOUR_SPACE = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
_SIZES_BYTES = (4, 28)
_FULL_RANGE = 2


@dataclass
class ColouredExtensions(HeaderExtensions):
    """aiortc's extensions of a packet, and the colours."""

    colours: DeclaredColours | None = None


class ColourExtensionMap(ExtensionMap):
    """Reads the colours as well, where they were agreed on."""

    def __init__(self) -> None:
        super().__init__(COLOUR_SPACE)

    def get(self, extension_profile: int, extension_value: bytes) -> HeaderExtensions:
        values = super().get(extension_profile, extension_value)
        for number, value in unpack_header_extensions(extension_profile, extension_value):
            if number == self.number and (colours := read_colours(value)) is not None:
                known = {one.name: getattr(values, one.name) for one in fields(values)}
                return ColouredExtensions(**known, colours=colours)
        return values


def read_colours(value: bytes) -> DeclaredColours | None:
    """The content of the extension; None if it is of another size."""
    if len(value) not in _SIZES_BYTES:
        return None
    _, transfer, matrix, packed = value[:4]
    return DeclaredColours(
        matrix=matrix, transfer=transfer, is_full_range=packed >> 4 & 3 == _FULL_RANGE
    )


def colours_of(packet: RtpPacket) -> DeclaredColours | None:
    """What a packet says of its picture's colours."""
    extensions = packet.extensions
    return extensions.colours if isinstance(extensions, ColouredExtensions) else None
