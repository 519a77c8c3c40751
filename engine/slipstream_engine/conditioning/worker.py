"""Encodes prompts in a thread, so that no chunk waits for one."""

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
    """A text encoder that can free its memory."""

    def encode(self, text: str) -> Tensor: ...

    def release(self) -> None: ...


class TextBusyError(RuntimeError):
    """Too many prompts wait to be encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    text: str
    embedding: Future[Tensor]


class TextWorker:
    """Encodes the newest prompt first, since older ones are often out of date::

        worker.start()
        future = worker.submit("a cat")
        if future.done():  # checked between two chunks
            embedding = future.result()
        worker.close()

    Args:
        encoder: used by this thread only; released when no prompt came for `idle_release_s`,
            never before the end if that is None.
        max_waiting: prompts that may wait.
    """

    def __init__(
        self,
        encoder: ReleasableEncoder,
        *,
        idle_release_s: float | None = IDLE_RELEASE_S,
        max_waiting: int = MAX_WAITING_TEXTS,
    ) -> None:
        self._encoder = encoder
        self._idle_release_s = idle_release_s
        self._jobs: queue.Queue[_Job | None] = queue.LifoQueue(max_waiting)
        self._thread = threading.Thread(target=self._run, name="text", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, text: str) -> Future[Tensor]:
        """Queue `text` to be encoded; returns at once.

        Returns:
            The future embedding, or the error of encoding it. Cancel it when a newer prompt
            replaces it: it is then not encoded, unless that has begun.

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
        """Cancel waiting prompts, finish the one being encoded, release the encoder, return.

        `submit` must not be called after this.
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
        except Exception as error:  # raised where the result is read
            job.embedding.set_exception(error)
        else:
            job.embedding.set_result(embedding)
