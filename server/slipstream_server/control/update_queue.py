"""Parameter updates on their way to the engine: one batch at a time, the rest queued. Pure.

    submit --> queued --> in flight --> applied --> on air
                 |            |
                 |            +--> refused: if alone, `rejected`; else each goes to `retries`
                 |            +--> engine lost: each goes to `retries`
                 +--> superseded: newer updates have overwritten all of its keys

While a batch is in flight, further updates are merged into one queued batch, key by key, the last
value winning. Updates to retry are sent before the queued batch and one by one, so that a bad
update takes no good one along. The quality ladder's updates go the same way: they change the steps
that the engine runs, and not those that the viewer has chosen. The engine sees numbers of our own,
so that a viewer may number its updates as it likes, or not at all.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import UNSET
from slipstream_protocol.messages import Applied, UpdateRefused
from slipstream_protocol.parameters import Parameters, TimestepList

from slipstream_server.control.events import (
    Ack,
    AckStatus,
    AppliedRev,
    Event,
    OnAir,
    ParametersUpdated,
)

_APPLIED_MAX = 256  # updates whose first frame is awaited; while paused, that may take long
_PROMPT_KEYS = frozenset({"prompt", "prompts", "transition"})
_ONCE_KEYS = ("rev", "reset_cache")

SendEvent = Callable[[Event], None]


@dataclass(slots=True)
class _Update:
    """One update as it was submitted.

    Args:
        keys: names it changes and no newer update has overwritten.
        send: where its events go.
        is_level: whether it is the quality ladder's.
    """

    parameters: Parameters
    keys: set[str]
    send: SendEvent
    is_level: bool = False

    @property
    def rev(self) -> int | None:
        """The viewer's number for it."""
        return None if self.parameters.rev is UNSET else self.parameters.rev

    def acknowledge(self, status: AckStatus, *errors: str) -> None:
        self.send(Ack(rev=self.rev, status=status, errors=errors))

    def remaining(self) -> Parameters:
        """Its parameters without those that newer updates have overwritten."""
        overwritten = {
            name: UNSET for name in self.parameters.__struct_fields__ if _key(name) not in self.keys
        }
        return msgspec.structs.replace(self.parameters, **overwritten)


@dataclass(slots=True)
class _Batch:
    """Updates merged into one."""

    parameters: Parameters
    updates: list[_Update]

    def merge(self, newer: _Update) -> None:
        """Add an update; those it overwrites as a whole are answered `superseded`."""
        for update in self.updates:
            update.keys -= newer.keys
            if not update.keys and update.rev is not None:
                update.acknowledge("superseded")
        self.updates = [*(update for update in self.updates if update.keys), newer]
        self.parameters = self.parameters.merged(newer.parameters)


class UpdateQueue:
    """The parameters of one stream and the updates to them.

    Args:
        current: the parameters the stream has started with.
        understood: what the model made of its prompts, for people.
        apply: sends an update to the engine, which answers by `on_applied` or `on_refused`.
        send: sends an event to the publisher.
    """

    def __init__(
        self,
        *,
        current: Parameters,
        understood: str = "",
        apply: Callable[[Parameters], None],
        send: SendEvent,
    ) -> None:
        self.current = current
        self.chosen_steps = current.denoising_step_list
        self.choices = 0  # of steps so far
        self.understood = understood
        self._apply = apply
        self._send = send
        self._next_number = 0
        self._queued: _Batch | None = None
        self._retries: deque[_Update] = deque()
        self._in_flight: _Batch | None = None
        self._applied: deque[tuple[int, _Update]] = deque(maxlen=_APPLIED_MAX)  # by our number
        self._has_engine = True

    @property
    def wanted(self) -> Parameters:
        """`current` with the steps that the viewer has chosen, whatever the ladder runs of them."""
        return msgspec.structs.replace(self.current, denoising_step_list=self.chosen_steps)

    def set_level(self, step_list: TimestepList) -> None:
        """Let the engine run these steps for now, by the quality ladder; nobody is answered. Where
        a viewer's own choice waits, that goes first, and this is left out."""
        parameters = Parameters(denoising_step_list=step_list)
        level = _Update(parameters, _changed_keys(parameters), _ignore, is_level=True)
        waiting = self._queued.updates if self._queued is not None else []
        if not any(level.keys & update.keys and not update.is_level for update in waiting):
            self._enqueue(level)

    def submit(self, parameters: Parameters, send: SendEvent) -> None:
        """Take an update; every event about it goes to `send`, the first one at once."""
        update = _Update(parameters, _changed_keys(parameters), send)
        if not update.keys:
            update.acknowledge("rejected", "the update names no parameter, send at least one")
            return
        update.acknowledge("accepted")
        self._enqueue(update)

    def on_applied(self, applied: Applied) -> None:
        """The engine has applied the batch in flight."""
        batch = self._land()
        if batch is None:
            return
        self.current = in_force(self.current.merged(batch.parameters))
        self.understood = applied.understood
        for update in batch.updates:
            self._note_choice(update)
            if update.rev is not None:
                update.send(AppliedRev(rev=update.rev, chunk=applied.chunk))
                self._applied.append((applied.rev, update))
        if not all(update.is_level for update in batch.updates):
            updated = ParametersUpdated(
                parameters=self.wanted,
                understood=self.understood,
                transition_chunks=_transition_chunks(batch.parameters),
            )
            self._send(updated)
        self._send_next()

    def on_refused(self, refused: UpdateRefused) -> None:
        """The engine cannot apply the batch in flight."""
        batch = self._land()
        if batch is None:
            return
        if len(batch.updates) > 1:
            self._retries.extend(batch.updates)
        else:
            batch.updates[0].acknowledge("rejected", refused.reason)
        self._send_next()

    def on_engine_lost(self) -> None:
        """The engine is gone, with the batch in flight: its updates go to the next engine."""
        self._has_engine = False
        batch = self._land()
        if batch is not None:
            self._retries.extendleft(reversed(batch.updates))

    def on_engine_opened(self, *, understood: str) -> None:
        """A new engine has opened the stream with `current`: all that was applied is in force.

        Args:
            understood: what it made of the prompts.
        """
        self._has_engine = True
        self.understood = understood
        # its first frame already has them: that frame's revision is -1
        self._applied = deque(((-1, update) for _, update in self._applied), maxlen=_APPLIED_MAX)
        self._send_next()

    def on_frame_sent(self, *, rev: int, chunk: int, rtp_timestamp: int) -> None:
        """A frame made with update `rev` (our number) has been sent."""
        while self._applied and self._applied[0][0] <= rev:
            _, update = self._applied.popleft()
            if update.rev is not None:
                update.send(OnAir(rev=update.rev, chunk=chunk, rtp_timestamp=rtp_timestamp))

    def _enqueue(self, update: _Update) -> None:
        if self._queued is None:
            self._queued = _Batch(update.parameters, [update])
        else:
            self._queued.merge(update)
        self._send_next()

    def _note_choice(self, update: _Update) -> None:
        steps = update.remaining().denoising_step_list
        if steps is not UNSET and not update.is_level:
            self.chosen_steps = steps
            self.choices += 1

    def _send_next(self) -> None:
        """Send the next batch to the engine, if none is in flight."""
        if self._in_flight is not None or not self._has_engine:
            return
        if self._retries:
            update = self._retries.popleft()
            self._in_flight = _Batch(update.remaining(), [update])
        elif self._queued is not None:
            self._in_flight, self._queued = self._queued, None
        else:
            return
        parameters = msgspec.structs.replace(self._in_flight.parameters, rev=self._next_number)
        self._next_number += 1
        self._apply(parameters)

    def _land(self) -> _Batch | None:
        """The batch in flight, which no longer is; None if there is none."""
        batch, self._in_flight = self._in_flight, None
        return batch


def in_force(parameters: Parameters) -> Parameters:
    """The parameters once they have taken effect: prompts in the long form, and without those that
    work only once."""
    target = parameters.target
    cleared = dict.fromkeys((*_ONCE_KEYS, *_PROMPT_KEYS), UNSET)
    return msgspec.structs.replace(parameters, **(cleared | {"prompts": target}))


def _transition_chunks(parameters: Parameters) -> int | None:
    """As in `ParametersUpdated`."""
    if parameters.target is UNSET:
        return None
    return 0 if parameters.transition is UNSET else parameters.transition.num_steps


def _ignore(_: Event) -> None:
    """The quality ladder asks for no answers."""


def _changed_keys(parameters: Parameters) -> set[str]:
    named = parameters.__struct_fields__
    return {_key(name) for name in named if getattr(parameters, name) is not UNSET} - {"rev"}


def _key(name: str) -> str:
    """The key that a field changes: the three ways to name prompts are one."""
    return "prompts" if name in _PROMPT_KEYS else name
