"""The text worker: submitting never waits, newest first, memory is freed when idle."""

import threading
from concurrent.futures import CancelledError

import pytest
import torch
from slipstream_engine.conditioning.worker import TextBusyError, TextWorker
from torch import Tensor

DEADLINE_S = 20


class SlowEncoder:
    """Encodes when `gate` is open; a prompt of `fail` raises."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.released = threading.Event()
        self.encoded: list[str] = []
        self.threads: set[int] = set()

    def encode(self, text: str) -> Tensor:
        self.entered.set()
        assert self.gate.wait(DEADLINE_S)
        self.threads.add(threading.get_ident())
        self.encoded.append(text)
        if text == "fail":
            raise ValueError("prompt is fail, say something else")
        return torch.tensor(float(len(text)))

    def release(self) -> None:
        self.released.set()


def test_submitting_does_not_wait() -> None:
    """prompts are queued while one is being encoded, by another thread."""
    encoder = SlowEncoder()
    worker = TextWorker(encoder)
    worker.start()
    waiting = [worker.submit("a")]
    assert encoder.entered.wait(DEADLINE_S)
    waiting += [worker.submit(text) for text in ("bb", "ccc")]
    assert not any(embedding.done() for embedding in waiting)
    encoder.gate.set()
    assert [embedding.result(DEADLINE_S).item() for embedding in waiting] == [1, 2, 3]
    worker.close()
    assert encoder.encoded == ["a", "ccc", "bb"], (
        "newest first: a newer prompt must not wait for older ones"
    )
    assert encoder.threads.isdisjoint({threading.get_ident()})


def test_a_cancelled_prompt_is_not_encoded() -> None:
    """a prompt that a newer one replaced costs nothing."""
    encoder = SlowEncoder()
    worker = TextWorker(encoder)
    worker.start()
    first = worker.submit("first")
    assert encoder.entered.wait(DEADLINE_S)
    stale, newest = worker.submit("stale"), worker.submit("newest")
    assert stale.cancel()
    encoder.gate.set()
    newest.result(DEADLINE_S)
    first.result(DEADLINE_S)
    worker.close()
    assert encoder.encoded == ["first", "newest"]


def test_an_error_belongs_to_its_prompt() -> None:
    """a prompt that cannot be encoded fails alone."""
    encoder = SlowEncoder()
    encoder.gate.set()
    worker = TextWorker(encoder)
    worker.start()
    failing, fine = worker.submit("fail"), worker.submit("fine")
    assert fine.result(DEADLINE_S).item() == 4
    with pytest.raises(ValueError, match="prompt is fail"):
        failing.result(DEADLINE_S)
    worker.close()


def test_an_encoder_that_stays_is_released_at_the_end_alone() -> None:
    """however long nobody sends a prompt."""
    encoder = SlowEncoder()
    encoder.gate.set()
    worker = TextWorker(encoder, idle_release_s=None)
    worker.start()
    for text in ("one", "two"):
        worker.submit(text).result(DEADLINE_S)
        assert not encoder.released.wait(0.05)
    worker.close()
    assert encoder.released.is_set()


def test_memory_is_freed_when_idle() -> None:
    """with nothing to do the encoder is released, and used again for the next prompt."""
    encoder = SlowEncoder()
    encoder.gate.set()
    worker = TextWorker(encoder, idle_release_s=0.01)
    worker.start()
    for text in ("one", "two"):
        worker.submit(text).result(DEADLINE_S)
        assert encoder.released.wait(DEADLINE_S)
        encoder.released.clear()
    worker.close()


def test_the_queue_is_bounded() -> None:
    """more prompts than may wait are refused at once."""
    encoder = SlowEncoder()
    worker = TextWorker(encoder, max_waiting=2)
    taken = [worker.submit("one"), worker.submit("two")]
    with pytest.raises(TextBusyError, match="2 prompts wait to be encoded"):
        worker.submit("three")
    worker.start()
    encoder.gate.set()
    assert [embedding.result(DEADLINE_S) for embedding in taken] == [3, 3]
    worker.close()


def test_closing_ends_every_future() -> None:
    """the prompt being encoded is finished, waiting ones are cancelled, memory is freed."""
    encoder = SlowEncoder()
    worker = TextWorker(encoder)
    worker.start()
    running = worker.submit("one")
    assert encoder.entered.wait(DEADLINE_S)
    waiting = worker.submit("two")
    closing = threading.Thread(target=worker.close)
    closing.start()
    with pytest.raises(CancelledError):
        waiting.result(DEADLINE_S)
    encoder.gate.set()
    assert running.result(DEADLINE_S) == 3
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert encoder.released.is_set()
    assert encoder.encoded == ["one"]
