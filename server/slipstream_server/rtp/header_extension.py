"""One header extension more than aiortc's own (RFC 8285)."""

from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import HeaderExtensionsMap


class ExtensionMap(HeaderExtensionsMap):
    """Learns the number that was agreed on for a further extension.

    Args:
        uri: of the extension.
    """

    def __init__(self, uri: str) -> None:
        super().__init__()
        self.number: int | None = None  # None where the other end does not know it
        self._uri = uri

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == self._uri:
                self.number = extension.id
