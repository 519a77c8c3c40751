"""What a rank reports to its leader: at once on a CPU, else by a thread once the device is done."""

import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from slipstream_protocol.channel import Channel, ChannelClosed
from slipstream_protocol.clock import now_ns

from slipstream_engine.device.memory import peak_bytes
from slipstream_engine.diffusion.pipeline import DiffusionPipeline
from slipstream_engine.group.mail import Mail
from slipstream_engine.group.messages import FromRank, PassEnded, RankMemory, ToRank

Wait = Callable[[], None]
Began = Callable[[], int]  # when work began, in ns; waits until it has


class RankReports:
    """See the module; call `start` and `stop`.

    Args:
        rank: its number.
    """

    def __init__(
        self, rank: int, channel: Channel[ToRank], pipeline: DiffusionPipeline[Any], mail: Mail
    ) -> None:
        self._rank = rank
        self._channel = channel
        self._pipeline = pipeline
        self._mail = mail
        self._sending = threading.Lock()
        self._submitted: SimpleQueue[tuple[Began, Wait, Callable[..., PassEnded]] | None] = (
            SimpleQueue()
        )
        self._thread = threading.Thread(target=self._report_ends, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._submitted.put(None)
        self._thread.join()

    def began(self) -> Began:
        """Work begins here, after what has been submitted before, and what that waits for."""
        submitted = self._pipeline.submitted()
        if submitted is None:
            began_ns = now_ns()
            return lambda: began_ns

        def wait_ns() -> int:
            submitted.synchronize()
            return now_ns()

        return wait_ns

    def ended(
        self,
        number: int,
        began: Began,
        *,
        path: int = 0,
        place: int = 0,
        wait: Wait | None = None,
    ) -> None:
        """Report the end of what has been submitted, without waiting for it here.

        Args:
            number: of the pass.
            began: of the work.
            path, place: see `PassEnded`.
            wait: returns at that end; None for that of all work submitted to the device.
        """
        report = partial(
            PassEnded,
            rank=self._rank,
            number=number,
            path=path,
            place=place,
            sent_bytes=self._mail.sent_bytes,
        )
        completion = self._pipeline.submitted()
        if wait is None and completion is not None:
            wait = completion.synchronize
        if wait is None:
            self._tell(report(began_ns=began(), ended_ns=now_ns()))
        else:
            self._submitted.put((began, wait, report))

    def memory(self) -> None:
        """Report the memory in use."""
        model = self._pipeline.bundle.model
        self._tell(
            RankMemory(
                rank=self._rank,
                peak_bytes=peak_bytes(model.device),
                weights_bytes=sum(tensor.nbytes for tensor in model.parameters()),
                cache_bytes=self._pipeline.pool.cache.nbytes,
            )
        )

    def _report_ends(self) -> None:
        try:
            while entry := self._submitted.get():
                began, wait, report = entry
                began_ns = began()
                wait()
                self._tell(report(began_ns=began_ns, ended_ns=now_ns()))
        except ChannelClosed:
            return  # the leader is gone, as the rank itself will notice

    def _tell(self, report: FromRank) -> None:
        with self._sending:
            self._channel.send(report)
