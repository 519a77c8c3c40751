"""How the server is asked to stop: what each signal means."""

import asyncio
import signal


class Shutdown:
    """What the signals so far have asked for.

    SIGTERM, from whatever runs the server, begins a drain: no new calls, and an end when the last
    one is over, or the drain time. SIGINT, from somebody at the terminal, ends the calls at once.
    Any signal after the first ends everything at once, as SIGQUIT does as the first: calls are
    told, the engine is not waited for.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.ends_calls = asyncio.Event()
        self.is_urgent = asyncio.Event()

    def on_signal(self, number: signal.Signals) -> None:
        """A SIGTERM, SIGINT or SIGQUIT has come."""
        is_urgent = self.requested.is_set() or number == signal.SIGQUIT
        if is_urgent:
            self.is_urgent.set()
        if is_urgent or number == signal.SIGINT:
            self.ends_calls.set()
        self.requested.set()
