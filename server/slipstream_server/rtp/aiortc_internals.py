"""The private names of aiortc that are used: on a connection and its transceivers.

aiortc 1.16 has no public way to choose how a frame is reassembled, how the bitrate is followed or
which header extensions are negotiated. Its objects are plain, so each call puts objects of ours in
their places. Only instances are changed, before the call begins; modules and their constants never.
A name that does not exist raises `InternalsChanged` when a call begins, and
`tests/server/rtp/test_aiortc_internals.py` fails before that.

On the connection, between the offer and the answer:

* `_set_role` of the DTLS transports: called, so that the other side begins the handshake where the
  offer leaves the choice. aiortc's own end takes ECDSA certificates only when it begins itself, and
  the certificates of GStreamer, of some libdatachannel and OpenSSL builds are RSA.

On the transceiver, between the offer and the answer:

* `_headerExtensions`: playout-delay, transport-cc, colours and the names of layers are added, with
  the offer's ids, since aiortc's own list is a module constant.
* `receiver.transport._rtp_header_extensions_map`: replaced by one that reads the colours too.
* `_codecs[].rtcpFeedback`: transport-cc is added. `_codecs[0].name`: read, the codec that is sent.

Elsewhere, each with its own list: the receiver's in `receive/aiortc_receiver.py`, the sender's in
`send/aiortc_sender.py` and `send/sender_reports.py`, those of sound in `receive/sound_receiver.py`
and `rtc/sound_transceiver.py`, SCTP's in `rtc/data_channel_limits.py` and
`rtc/late_datagrams.py`, DTLS's in `rtc/connecting.py`, ICE's in `ice/gathering.py`.
"""

from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.rtp import AnyRtcpPacket
from aiortc.sdp import MediaDescription, SessionDescription

from slipstream_server.rtp.colour_extension import COLOUR_SPACE, ColourExtensionMap

PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
LAYERS = (
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
)

HandleRtcp = Callable[[AnyRtcpPacket], Awaitable[None]]


class InternalsChanged(RuntimeError):
    """The installed aiortc lacks a private name that is used; another version must be installed."""


def get_private(owner: object, name: str) -> Any:
    """A private attribute of an aiortc object.

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


def replace_private(owner: object, name: str, part: object) -> None:
    """Replace a private attribute of an aiortc object, which must exist.

    Raises:
        InternalsChanged: if there is none of that name.
    """
    get_private(owner, name)
    setattr(owner, name, part)


# ---- connection


def answer_passively(pc: RTCPeerConnection, offer: SessionDescription) -> None:
    """Let the other side begin the DTLS handshake where the offer allows it."""
    if any(one.dtls is None or one.dtls.role != "auto" for one in offer.media):
        return
    transports = [transceiver.receiver.transport for transceiver in pc.getTransceivers()]
    if pc.sctp is not None:
        transports.append(pc.sctp.transport)
    for transport in transports:
        get_private(transport, "_set_role")("server")


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
    """Agree to playout-delay, simulcast's names of layers, the colours of what is received and
    transport-cc where they are offered; True if the last is.

    Args:
        low_delay: whether the viewer shall show each frame at once; if not, playout-delay is
            declined, which the page sees in the answer.
    """
    feedback = RTCRtcpFeedback(type="transport-cc")
    ids = {extension.uri: extension for extension in offered.rtp.headerExtensions}
    agreed: list[RTCRtpHeaderExtensionParameters] = get_private(transceiver, "_headerExtensions")
    if low_delay and PLAYOUT_DELAY in ids:
        agreed.append(ids[PLAYOUT_DELAY])
    agreed.extend(ids[uri] for uri in LAYERS if uri in ids)
    if COLOUR_SPACE in ids and transceiver.receiver.track is not None:
        agreed.append(ids[COLOUR_SPACE])
        transport = transceiver.receiver.transport
        replace_private(transport, "_rtp_header_extensions_map", ColourExtensionMap())
    if TRANSPORT_CC not in ids or not any(
        feedback in codec.rtcpFeedback for codec in offered.rtp.codecs
    ):
        return False
    agreed.append(ids[TRANSPORT_CC])
    for codec in get_private(transceiver, "_codecs"):
        if not is_rtx(codec):
            codec.rtcpFeedback.append(feedback)
    return True


def sent_codec(transceiver: RTCRtpTransceiver) -> str:
    """The codec this side will send, as aiortc names it ("H264", "VP8")."""
    codec: str = get_private(transceiver, "_codecs")[0].name
    return codec
