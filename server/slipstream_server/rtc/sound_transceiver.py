"""A session's sound: Opus that passes through, on the one transceiver that is taken for it.

Private names, on the transceiver between the offer and the answer: `_codecs`, of which only Opus is
left, and `_offerDirection`, read.
"""

from collections.abc import Callable, Mapping
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpTransceiver

from slipstream_server.receive.sound_receiver import SoundReceiver
from slipstream_server.receive.sound_times import ReceivedSound
from slipstream_server.rtp.aiortc_internals import get_private, replace_private
from slipstream_server.send.aiortc_sender import last_rtp_timestamp
from slipstream_server.send.opus_track import OpusTrack
from slipstream_server.send.sender_reports import SenderReports
from slipstream_server.sound.delay_line import SOUND_HZ

# RFC 7587, section 6.1: stereo both ways, where the other side has it
_OPUS_PARAMETERS = {"minptime": 10, "useinbandfec": 1, "stereo": 1, "sprop-stereo": 1}
_SENDS, _TAKES = ("sendrecv", "sendonly"), ("sendrecv", "recvonly")


class SoundTransceiver:
    """The sound of one session; further sound of its offer is answered as inactive.

    Args:
        track: to be sent; None if nothing is.
        on_sound: called with each packet received; None if none is taken.
    """

    def __init__(
        self, track: OpusTrack | None, on_sound: Callable[[ReceivedSound], None] | None
    ) -> None:
        self.is_received = False  # whether the offer sends sound that is taken
        self._track = track
        self._on_sound = on_sound
        self._receiver: SoundReceiver | None = None

    @property
    def drops(self) -> Mapping[str, int]:
        """Packets that were dropped on their way, by cause."""
        return {
            "sound_excess": self._receiver.excess_packets if self._receiver is not None else 0,
            "sound_unsent": self._track.dropped if self._track is not None else 0,
        }

    def negotiate(self, pc: RTCPeerConnection) -> None:
        """Answer the first Opus as far as it is wanted, and all other sound as inactive.

        Args:
            pc: between setting the remote offer and setting the local answer.

        Raises:
            InternalsChanged: if this aiortc is not built as we know it.
        """
        is_chosen = False
        for transceiver in pc.getTransceivers():
            if transceiver.kind != "audio":
                continue
            opus = [one for one in get_private(transceiver, "_codecs") if one.name == "opus"][:1]
            if is_chosen or not opus:
                transceiver.direction = "inactive"
                continue
            is_chosen = True
            self._answer(transceiver, opus)

    def _answer(self, transceiver: RTCRtpTransceiver, opus: list[Any]) -> None:
        offered = get_private(transceiver, "_offerDirection")  # as this side sees it
        takes = self._on_sound is not None and offered in _TAKES
        sends = self._track is not None and offered in _SENDS
        transceiver.direction = {
            (True, True): "sendrecv",
            (True, False): "recvonly",
            (False, True): "sendonly",
            (False, False): "inactive",
        }[takes, sends]
        opus[0].parameters = dict(_OPUS_PARAMETERS)
        replace_private(transceiver, "_codecs", opus)
        if self._on_sound is not None and takes:
            self.is_received = True
            self._receiver = SoundReceiver(transceiver.receiver, self._on_sound)
        if self._track is not None and sends:
            sender = transceiver.sender
            sender.replaceTrack(self._track)
            reports = SenderReports(sender, SOUND_HZ)
            self._track.on_sent = lambda due_ns: reports.note(last_rtp_timestamp(sender), due_ns)
