"""Where our video meets aiortc's insides: every private name of aiortc's that the video uses.

This file has what belongs to a connection and its transceivers, `receive/aiortc_receiver.py` and
`send/aiortc_sender.py` the rest.

aiortc 1.16 has no public way to choose how a frame is reassembled, how the bitrate is followed or
which header extensions travel. Its objects are plain, so each call gets objects of ours in their
places. Only instances are changed, before the call begins; modules and their constants are never.
A name that is gone raises `InternalsChanged` when a call begins, and
`tests/server/rtp/test_aiortc_internals.py` says so before that.

On the connection, between the offer and the answer:

* `_set_role` of the DTLS transports: where the offer leaves the choice, the other side begins the
  handshake. aiortc's own end takes ECDSA certificates only when it begins itself, and the
  certificates of GStreamer, of some libdatachannel and OpenSSL builds are RSA.

On the transceiver, between the offer and the answer:

* `_headerExtensions`, `_codecs[].rtcpFeedback`: playout-delay and transport-cc are added, with the
  offer's numbers. aiortc's own list is a module constant. `_codecs[0]` is what will be sent.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.rtp import AnyRtcpPacket
from aiortc.sdp import MediaDescription, SessionDescription

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

Handle = Callable[[AnyRtcpPacket], Awaitable[None]]


class InternalsChanged(RuntimeError):
    """This aiortc is not built as we know it; a version that is can be installed."""


def private(owner: object, name: str) -> Any:
    """An attribute of aiortc's own.

    Raises:
        InternalsChanged: if there is none of that name.
    """
    try:
        return getattr(owner, name)
    except AttributeError:
        raise InternalsChanged(
            f"{type(owner).__name__} of aiortc {version('aiortc')} has no {name}, "
            "install a version that pyproject.toml allows"
        ) from None


def put(owner: object, name: str, part: object) -> None:
    """Put `part` in the place of an attribute of aiortc's own."""
    private(owner, name)
    setattr(owner, name, part)


# ---- connection


def answer_passively(pc: RTCPeerConnection, offer: str) -> None:
    """Leave the first word of the DTLS handshake to the other side where the offer allows it."""
    media = SessionDescription.parse(offer).media
    if any(one.dtls is None or one.dtls.role != "auto" for one in media):
        return
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    for transport in transports:
        private(transport, "_set_role")("server")


# ---- transceiver


def prefer_h264(transceiver: RTCRtpTransceiver) -> None:
    """Answer with H.264 first, VP8 behind it. Has no effect once the offer is set.

    Retransmission (RTX) stays in the list; aiortc drops it silently where it is left out.
    """
    codecs = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences(
        sorted(codecs, key=lambda codec: codec.mimeType.lower() != "video/h264")
    )


def add_extensions(
    transceiver: RTCRtpTransceiver, offered: MediaDescription, *, low_delay: bool
) -> bool:
    """Agree to playout-delay and transport-cc where they are offered; True if the latter is.

    Args:
        low_delay: whether the viewer shall show each frame at once. That the former is declined
            tells our page that it shall not.
    """
    feedback = RTCRtcpFeedback(type="transport-cc")
    numbers = {extension.uri: extension for extension in offered.rtp.headerExtensions}
    agreed: list[RTCRtpHeaderExtensionParameters] = private(transceiver, "_headerExtensions")
    if low_delay and PLAYOUT_DELAY in numbers:
        agreed.append(numbers[PLAYOUT_DELAY])
    if TRANSPORT_CC not in numbers or not any(
        feedback in codec.rtcpFeedback for codec in offered.rtp.codecs
    ):
        return False
    agreed.append(numbers[TRANSPORT_CC])
    for codec in private(transceiver, "_codecs"):
        if not is_rtx(codec):
            codec.rtcpFeedback.append(feedback)
    return True


def sent_codec(transceiver: RTCRtpTransceiver) -> str:
    """The codec this side will send, as aiortc names it ("H264", "VP8")."""
    codec: str = private(transceiver, "_codecs")[0].name
    return codec
