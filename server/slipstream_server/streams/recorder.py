"""A stream's recording: one at a time, begun and ended by whoever may steer the stream."""

import asyncio
from collections.abc import Callable

import msgspec
from slipstream_protocol.clock import NS_PER_S, now_ns

from slipstream_server.control.events import RecordingState
from slipstream_server.errors import Conflict, UnknownSession, Unprocessable
from slipstream_server.frames.chunker import CapturedFrame
from slipstream_server.recordings.folder import RecordingsFolder
from slipstream_server.recordings.input_recording import InputRecording
from slipstream_server.recordings.recording import StreamRecording
from slipstream_server.send.fanout import Fanout
from slipstream_server.streams.sound_pipe import SoundPipe


class StreamRecorder:
    """Begins and ends the recordings of one stream.

    Args:
        stream: its id.
        folder: where recordings are; None where none can be made.
        fanout, sound: of the stream.
        on_change: called with each new state.
    """

    def __init__(
        self,
        stream: str,
        folder: RecordingsFolder | None,
        *,
        fanout: Fanout,
        sound: SoundPipe,
        on_change: Callable[[RecordingState], None],
    ) -> None:
        self._stream = stream
        self._folder = folder
        self._fanout = fanout
        self._sound = sound
        self._on_change = on_change
        self._recording: StreamRecording | None = None
        self._input: InputRecording | None = None  # beside it, where that is set
        self._began_ns = 0
        self._is_closed = False
        self._last = RecordingState(stream=stream, is_on=False)

    @property
    def can_record(self) -> bool:
        """Whether the server makes recordings."""
        return self._folder is not None

    @property
    def state(self) -> RecordingState:
        """As it is now."""
        if self._recording is None:
            return self._last
        since_s = round((now_ns() - self._began_ns) / NS_PER_S, 1)
        return msgspec.structs.replace(self._last, is_on=True, since_s=since_s)

    async def start(self) -> RecordingState:
        """Begin one, with the next key frame.

        Raises:
            Unprocessable: if none can be made here.
            Conflict: if one is being made.
            UnknownSession: if the stream has ended meanwhile.
        """
        if self._folder is None:
            raise Unprocessable(
                "this server makes no recordings: start it with --record-dir FOLDER"
            )
        self._check_free()
        try:
            plan = await asyncio.to_thread(
                self._folder.begin, self._stream, has_sound=self._sound.is_offered
            )
        except OSError as error:
            raise Unprocessable(
                f"record_dir {self._folder.root} takes no files: {error.strerror or error}"
            ) from error
        self._check_free()  # another may have come meanwhile, or the end
        recording = StreamRecording(plan, on_end=lambda reason: self._ended(recording, reason))
        self._recording, self._began_ns = recording, now_ns()
        self._fanout.sinks.append(recording)
        self._sound.sinks.append(recording.sound)
        if self._folder.with_input:
            self._input = InputRecording(plan.of_input(), on_end=_told_by_the_other)
            self._sound.sinks.append(self._input.sound)
        self._last = RecordingState(stream=self._stream, is_on=False, file=plan.path_of(1).name)
        self._on_change(self.state)
        return self.state

    def on_captured(self, frame: CapturedFrame) -> None:
        """A picture of the publisher has come."""
        if self._input is not None:
            self._input.push(frame)

    def close(self) -> None:
        """The stream has ended: no other recording begins."""
        self._is_closed = True
        self.stop()

    def stop(self) -> None:
        """End it, if there is one; what it has is written soon after."""
        recording = self._recording
        if recording is not None:
            self._release(recording)
            recording.finish()
            self._on_change(self.state)

    def _check_free(self) -> None:
        if self._is_closed:
            raise UnknownSession(f"stream {self._stream!r} has ended")
        if self._recording is not None:
            raise Conflict(f"stream {self._stream!r} is being recorded already, end that one first")

    def _ended(self, recording: StreamRecording, reason: str) -> None:
        if recording is self._recording:  # by itself
            self._release(recording)
            self._last = msgspec.structs.replace(self._last, reason=reason)
            self._on_change(self._last)

    def _release(self, recording: StreamRecording) -> None:
        self._recording = None
        self._fanout.sinks.remove(recording)
        self._sound.sinks.remove(recording.sound)
        if self._input is not None:
            self._sound.sinks.remove(self._input.sound)
            self._input.finish()
            self._input = None


def _told_by_the_other(reason: str) -> None:
    """Where the input's recording ends by itself, so does the stream's, of the same disk and time;
    the log has both."""
