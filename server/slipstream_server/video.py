"""One call's picture both ways: our parts put into one peer connection of aiortc's."""

from collections.abc import Mapping

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
from aiortc.sdp import SessionDescription

from slipstream_server import seams
from slipstream_server.encoding import Encoding
from slipstream_server.reception import Reception


class Video:
    """The picture of one call. The order of calls is::

        video = Video(pc, track, encoding)
        await pc.setRemoteDescription(offer)
        video.settle(offer.sdp)
        await pc.setLocalDescription()
        await video.run()  # as long as the call lasts

    Args:
        pc: new.
        track: to be sent; it belongs to the offer's first video. Its `recv` gives what
            `encoding.encode` gives.
        encoding: of this viewer.
        low_delay: whether the viewer is asked to show each frame at once. Without it the browser
            smooths what a bad link makes uneven, and is later.
    """

    def __init__(
        self,
        pc: RTCPeerConnection,
        track: MediaStreamTrack,
        encoding: Encoding,
        *,
        low_delay: bool = True,
    ) -> None:
        self.reception: Reception | None = None
        self._encoding = encoding
        self._low_delay = low_delay
        self._transceiver = pc.addTransceiver(track)
        seams.prefer_h264(self._transceiver)

    @property
    def sender(self) -> RTCRtpSender:
        return self._transceiver.sender

    @property
    def last_rtp_timestamp(self) -> int:
        """Of the last packet sent."""
        return seams.last_rtp_timestamp(self.sender)

    def settle(self, offer: str) -> None:
        """Agree on what the offer brings, and take our places. Call it once.

        Raises:
            SeamMoved: if this aiortc is not built as we know it.
        """
        transceiver = self._transceiver
        media = SessionDescription.parse(offer).media
        offered = next(one for one in media if one.rtp.muxId == transceiver.mid)
        transport_cc = seams.add_extensions(transceiver, offered)
        if transceiver.receiver.track is not None:
            self.reception = Reception(transceiver.receiver, transport_cc=transport_cc)
        codec = seams.sent_codec(transceiver)
        is_ours = codec == "H264"
        if is_ours:
            self._encoding.encode_h264()
        seams.SenderSeam(
            transceiver.sender,
            codec,
            self._encoding if is_ours else None,
            pacer=self._encoding.pacer,
            low_delay=self._low_delay,
        )

    @property
    def drops(self) -> Mapping[str, int]:
        """Frames of the camera that were dropped before anybody saw them, by cause."""
        return self.reception.drops if self.reception is not None else {}

    def summary(self) -> str:
        """What was sent and received, in a line."""
        received = self.reception.counts() if self.reception is not None else {}
        sent = {**self._encoding.counts, "kbps": self._encoding.rate.bitrate_bps // 1000}
        return ", ".join(
            f"{direction} {cause} {count}"
            for direction, counts in (("out", sent), ("in", received))
            for cause, count in counts.items()
            if count
        )

    async def run(self) -> None:
        """Keep the incoming stream's time, until cancelled or, without one, at once over."""
        if self.reception is not None:
            await self.reception.run()
