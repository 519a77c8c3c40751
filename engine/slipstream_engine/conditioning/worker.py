"""Prompts encoded in a thread of their own, so that no chunk waits for one."""

import queue
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

IDLE_RELEASE_S = 30.0
MAX_WAITING_TEXTS = 64


class ReleasableEncoder(Protocol):
    """A text encoder that can give its memory back."""

    def encode(self, text: str) -> Tensor: ...

    def release(self) -> None: ...


class TextBusyError(RuntimeError):
    """More prompts wait than anyone will read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    text: str
    embedding: Future[Tensor]


class TextWorker:
    """Encodes the newest first: older ones are often what a viewer has typed past::

        worker.start()
        waiting = worker.submit("a cat")
        if waiting.done():  # asked between two chunks
            embedding = waiting.result()
        worker.close()

    Args:
        encoder: used by this thread; released when nothing came for `idle_release_s`.
        max_waiting: prompts that may wait.
    """

    def __init__(
        self,
        encoder: ReleasableEncoder,
        *,
        idle_release_s: float = IDLE_RELEASE_S,
        max_waiting: int = MAX_WAITING_TEXTS,
    ) -> None:
        self._encoder = encoder
        self._idle_release_s = idle_release_s
        self._jobs: queue.Queue[_Job | None] = queue.LifoQueue(max_waiting)
        self._thread = threading.Thread(target=self._run, name="text", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, text: str) -> Future[Tensor]:
        """Ask for the embedding of `text`; returns at once.

        Returns:
            What will hold the embedding, or the error of encoding it. Cancel it when a newer prompt
            takes its place: it is then not encoded, unless it is being encoded already.

        Raises:
            TextBusyError: if too many prompts wait.
        """
        job = _Job(text=text, embedding=Future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise TextBusyError(
                f"{self._jobs.maxsize} prompts wait to be encoded, send fewer of them"
            ) from None
        return job.embedding

    def close(self) -> None:
        """Cancel what waits, finish what is being encoded, release the encoder and return.

        Nobody may submit any more.
        """
        with suppress(queue.Empty):
            while job := self._jobs.get_nowait():
                job.embedding.cancel()
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_used = False
        while True:
            try:
                job = self._jobs.get(timeout=self._idle_release_s if is_used else None)
            except queue.Empty:
                self._encoder.release()
                is_used = False
                continue
            if job is None:
                break
            if job.embedding.set_running_or_notify_cancel():
                is_used = True
                self._encode(job)
        self._encoder.release()

    def _encode(self, job: _Job) -> None:
        try:
            embedding = self._encoder.encode(job.text)
        except Exception as error:  # whose error it is, the one who waits knows
            job.embedding.set_exception(error)
        else:
            job.embedding.set_result(embedding)
