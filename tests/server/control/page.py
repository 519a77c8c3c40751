"""A page and an engine, both played by a test, at the two ends of one stream's parameters."""

import json

from msgspec import UNSET
from slipstream_protocol.messages import Applied
from slipstream_protocol.parameters import Parameters, Prompt
from slipstream_server.control.events import Event
from slipstream_server.control.parameter_channel import ParameterChannel
from slipstream_server.control.update_queue import UpdateQueue
from slipstream_server.observability.client_stats import ClientStats


class Page:
    """Sends messages, and keeps what comes back and what reaches the engine."""

    def __init__(self) -> None:
        self.to_engine: list[Parameters] = []
        self.events: list[Event] = []
        self.first_shown: list[tuple[int | None, int]] = []
        self.client_stats: list[ClientStats] = []
        self.level_answers: list[bool] = []
        self.updates = UpdateQueue(
            current=Parameters(prompts=(Prompt("start"),), seed=0, noise_scale=0.5),
            apply=self.to_engine.append,
            send=self.events.append,
        )
        self.channel = ParameterChannel(
            self.updates,
            send=self.events.append,
            on_first_shown=lambda shown_ns, now_ns: self.first_shown.append((shown_ns, now_ns)),
            on_client_stats=lambda stats, now_ns: self.client_stats.append(stats),
            on_level_answer=self.level_answers.append,
        )

    def send(self, message: object, now_ns: int = 0) -> list[Event]:
        """Send a message; returns the events that answer it at once."""
        seen = len(self.events)
        text = message if isinstance(message, str | bytes) else json.dumps(message)
        self.channel.receive(text, now_ns)
        return self.events[seen:]

    def apply(self, chunk: int = 0) -> None:
        """The engine applies the update in flight."""
        rev = self.to_engine[-1].rev
        assert rev is not UNSET
        self.updates.on_applied(Applied(lane=0, rev=rev, chunk=chunk, understood="x, I see"))

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]
