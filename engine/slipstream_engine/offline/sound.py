"""Sound for a new film: copied as it is where the container can hold it, else converted to AAC."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av

_CODEC = "aac"
# what AAC can be (ISO/IEC 14496-3, table 1.18), and what else is converted to
_RATES_HZ = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000),
    *(22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
_OTHER_RATE_HZ = 48_000
_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")


class SoundTrack(Protocol):
    """One track of sound on its way into a container."""

    def packets(self, packet: "av.Packet[av.AudioStream]") -> "Iterator[av.Packet[av.AudioStream]]":
        """What is written of a packet of the source."""
        ...

    def rest(self) -> "Iterator[av.Packet[av.AudioStream]]":
        """What is still to be written behind the last."""
        ...

    def notes(self) -> Iterator[str]:
        """What was changed or is missing, once all is written; a line each."""
        ...


class CopiedSound:
    """Packets as they are.

    Args:
        target: made from the source's stream.
    """

    def __init__(self, target: av.AudioStream) -> None:
        self._target = target

    def packets(self, packet: "av.Packet[av.AudioStream]") -> "Iterator[av.Packet[av.AudioStream]]":
        packet.stream = self._target
        yield packet

    def rest(self) -> "Iterator[av.Packet[av.AudioStream]]":
        return iter(())

    def notes(self) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class AacForm:
    """What a sound is converted to.

    Args:
        layout: of its channels, as FFmpeg names it.
    """

    rate_hz: int
    layout: str

    @property
    def time_base(self) -> Fraction:
        return Fraction(1, self.rate_hz)


class ConvertedSound:
    """Packets decoded and encoded again; those that cannot be decoded are left out.

    Args:
        source: of the film that is read.
        container: that has not begun.
    """

    def __init__(
        self, source: av.AudioStream, form: AacForm, container: av.container.OutputContainer
    ) -> None:
        self._source = source
        self._track = source.index  # a stream is not to be asked once its file is closed
        target = container.add_stream(_CODEC, rate=form.rate_hz, layout=form.layout)
        assert isinstance(target, av.AudioStream), f"{_CODEC} encodes sound"
        self._target = target
        self._note = (
            f"sound track {self._track} ({source.codec_context.name}) is converted to AAC, "
            f"{container.format.name.partition(',')[0]} cannot hold it"
        )
        self._damaged_packets = 0

    def packets(self, packet: "av.Packet[av.AudioStream]") -> "Iterator[av.Packet[av.AudioStream]]":
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._damaged_packets += 1
            return
        for frame in frames:
            yield from self._target.encode(frame)

    def rest(self) -> "Iterator[av.Packet[av.AudioStream]]":
        for frame in self._source.decode(None):
            yield from self._target.encode(frame)
        yield from self._target.encode(None)

    def notes(self) -> Iterator[str]:
        yield self._note
        if self._damaged_packets:
            yield (
                f"{self._damaged_packets} packets of sound track {self._track} cannot be decoded "
                "and are left out"
            )


def conversion_of(stream: av.AudioStream, *, format: str) -> AacForm | None:
    """What a sound is to be converted to; None where the container can hold it as it is, which is
    tried, as FFmpeg tells it no other way.

    Args:
        format: of the container, as FFmpeg names it.
    """
    trial = av.open(io.BytesIO(), "w", format=format)
    try:
        trial.add_stream_from_template(stream)
        trial.start_encoding()
    except (av.FFmpegError, ValueError):
        context = stream.codec_context
        layout = context.layout.name
        return AacForm(
            rate_hz=context.sample_rate if context.sample_rate in _RATES_HZ else _OTHER_RATE_HZ,
            layout=layout if layout in _LAYOUTS else "stereo",
        )
    finally:
        with contextlib.suppress(av.FFmpegError):  # an empty film has no end
            trial.close()
    return None
