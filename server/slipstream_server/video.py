"""One call's picture both ways: our parts put into one peer connection of aiortc's."""

from aiortc import RTCPeerConnection, RTCRtpTransceiver
from aiortc.sdp import SessionDescription

from slipstream_server import seams
from slipstream_server.encoded import EncodedTrack
from slipstream_server.reception import Reception


class Video:
    """The picture of one call. The order is: make it, set the offer, `settle`, make the answer.

        video = Video(pc, track, low_delay=True)
        await pc.setRemoteDescription(offer)
        video.settle(offer.sdp)
        await pc.setLocalDescription()
        ... video.run() for as long as the call lasts

    Args:
        pc: new.
        track: to be sent; it belongs to the offer's first video.
        low_delay: whether the viewer is asked to show each frame at once; "smooth" is without.
    """

    def __init__(self, pc: RTCPeerConnection, track: EncodedTrack, *, low_delay: bool) -> None:
        self.track = track
        self.reception: Reception | None = None
        self._low_delay = low_delay
        self._transceiver: RTCRtpTransceiver = pc.addTransceiver(track)
        seams.prefer_h264(self._transceiver)

    @property
    def transceiver(self) -> RTCRtpTransceiver:
        return self._transceiver

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
        ours = seams.sent_codec(transceiver) == "H264"
        if ours:
            self.track.encode_h264()
        seams.SenderSeam(
            transceiver.sender,
            self.track if ours else None,
            pacer=self.track.pacer,
            low_delay=self._low_delay,
        )

    async def run(self) -> None:
        """Keep the incoming stream's time, until cancelled."""
        if self.reception is not None:
            await self.reception.run()
