"""The state of a stream, as the page and the API show it. Pure.

connecting   the publisher has no media path yet
warming      frames come in, the first generated one has not gone out yet
live         generated frames go out
paused       the publisher has paused the stream
held         no publisher, and one may come back; or the device is full, and others come first
restarting   no engine; the next one is awaited
"""

from slipstream_server.control.events import StateName


class StreamLifecycle:
    """The state that follows from the events of one stream."""

    def __init__(self) -> None:
        self._has_publisher = False
        self._has_had_publisher = False
        self._is_connected = False
        self._has_been_connected = False
        self._has_engine = True
        self._is_paused = False
        self._gives_way = False
        self._is_sending = False

    @property
    def state(self) -> StateName:
        if not self._has_engine:
            return "restarting"
        if not self._has_publisher:
            return "held" if self._has_had_publisher else "connecting"
        if not self._is_connected:
            return "connecting"
        if self._is_paused:
            return "paused"
        if self._gives_way:
            return "held"
        return "live" if self._is_sending else "warming"

    @property
    def has_been_connected(self) -> bool:
        """Whether any publisher has had a media path."""
        return self._has_been_connected

    def on_publisher_attached(self) -> None:
        self._has_publisher = self._has_had_publisher = True
        self._is_connected = self._is_sending = False

    def on_publisher_connected(self) -> None:
        self._is_connected = self._has_been_connected = True

    def on_publisher_detached(self) -> None:
        self._has_publisher = self._is_sending = False

    def on_engine_lost(self) -> None:
        self._has_engine = self._is_sending = False

    def on_engine_opened(self) -> None:
        self._has_engine = True

    def on_paused(self, is_paused: bool) -> None:
        """The stream is paused, or no longer."""
        self._is_paused, self._is_sending = is_paused, False

    def on_given_way(self, gives_way: bool) -> None:
        """The stream is held for the sake of others, or no longer."""
        self._gives_way, self._is_sending = gives_way, False

    def on_frame_sent(self) -> None:
        """A generated frame goes out; a late one, in a pause or while held, is ignored."""
        if self._has_publisher and not self._is_paused and not self._gives_way:
            self._is_sending = True
