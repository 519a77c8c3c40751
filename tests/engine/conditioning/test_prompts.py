"""conditioning/prompts.py: mixtures of prompts and transitions between them."""

from concurrent.futures import Future

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slipstream_engine.conditioning.prompts import (
    Interpolation,
    Mixture,
    PromptChange,
    PromptEmbeddings,
    PromptTrack,
    encode_inline,
    interpolate,
)
from slipstream_protocol.parameters import Prompt, Prompts

from tests.engine.toys import CPU, ToyText

CAT, DOG = (Prompt("a cat"),), (Prompt("a dog"),)


def embeddings() -> tuple[torch.Tensor, torch.Tensor]:
    text = ToyText()
    return text.encode("a cat"), text.encode("a dog")


def change(
    prompts: Prompts,
    embedding: torch.Tensor,
    *,
    chunks: int = 1,
    method: Interpolation = Interpolation.LINEAR,
) -> PromptChange:
    done: Future[torch.Tensor] = Future()
    done.set_result(embedding)
    return PromptChange(
        mixture=Mixture(prompts=prompts, embeddings=(done,), device=CPU),
        chunks=chunks,
        method=method,
    )


def test_mixture_is_the_weighted_mean() -> None:
    """Weights count against their sum."""
    cat, dog = embeddings()
    cache = PromptEmbeddings(encode_inline(ToyText()), device=CPU)
    mixed = cache.mixture((Prompt("a cat", 1.0), Prompt("a dog", 3.0)))
    assert mixed.is_ready
    torch.testing.assert_close(mixed.result(), 0.25 * cat + 0.75 * dog)
    with pytest.raises(ValueError, match="weights of 1 prompts are all 0"):
        cache.mixture((Prompt("a cat", 0.0),))


def test_a_mixture_is_where_streams_want_it() -> None:
    """Embeddings stay where they were made until one is used."""
    cache = PromptEmbeddings(encode_inline(ToyText()), device=torch.device("meta"))
    assert cache.embedding("a cat").result().device == CPU
    assert cache.mixture(CAT).result().is_meta


def test_texts_are_encoded_once_and_the_oldest_goes() -> None:
    """A text is encoded once while it is cached; then the least recently used is dropped."""
    text = ToyText()
    cache = PromptEmbeddings(encode_inline(text), device=CPU, max_texts=2)
    for word in ("one", "two", "one", "three", "one", "two"):
        cache.embedding(word)
    assert text.encoded_texts == ["one", "two", "three", "two"]


def test_a_text_that_failed_is_tried_again() -> None:
    """A text whose encoding failed is encoded again; a mixture of it raises the error."""
    waiting: list[Future[torch.Tensor]] = []

    def submit(text: str) -> Future[torch.Tensor]:
        waiting.append(Future())
        return waiting[-1]

    cache = PromptEmbeddings(submit, device=CPU)
    first = cache.mixture(CAT)
    assert not first.is_ready
    assert cache.embedding("a cat") is waiting[0], (
        "a text that is being encoded is not submitted again"
    )
    waiting[0].set_exception(OSError("no such file"))
    with pytest.raises(OSError, match="no such file"):
        first.result()
    again = cache.mixture(CAT)
    waiting[1].set_result(torch.ones(2, 2))
    assert torch.equal(again.result(), torch.ones(2, 2))


def test_linear_transition_has_even_steps() -> None:
    """Over 4 chunks the embedding is 1/4, 2/4, 3/4 of the way, then the target."""
    cat, dog = embeddings()
    track = PromptTrack.constant(CAT, cat)
    assert not track.advance()
    track.start_change(change(DOG, dog, chunks=4))
    for share in (0.25, 0.5, 0.75, 1.0):
        assert track.advance()
        torch.testing.assert_close(track.embedding_TE, torch.lerp(cat, dog, share))
    assert torch.equal(track.embedding_TE, dog)
    assert not track.advance()


def test_slerp_transition_has_even_steps() -> None:
    """Slerp rotates by equal angles, and rows of padding stay zero."""
    cat, dog = embeddings()
    track = PromptTrack.constant(CAT, cat)
    track.start_change(change(DOG, dog, chunks=3, method=Interpolation.SLERP))
    whole = torch.cosine_similarity(cat[:3], dog[:3]).acos()
    for share in (1 / 3, 2 / 3, 1.0):
        track.advance()
        angle = torch.cosine_similarity(cat[:3], track.embedding_TE[:3]).acos()
        torch.testing.assert_close(angle, whole * share, atol=1e-3, rtol=1e-3)
        assert track.embedding_TE[3:].abs().sum() == 0


@given(st.floats(0, 1), st.integers(0, 20))
def test_slerp_keeps_lengths_between(share: float, seed: int) -> None:
    """A row's length is the linear mean of its ends', and parallel or opposite rows do no harm."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(4, 8, generator=generator)
    end = torch.stack(
        [start[0] * 2, -start[1], torch.zeros(8), torch.randn(8, generator=generator)]
    )
    between = interpolate(start, end, share, Interpolation.SLERP)
    assert torch.isfinite(between).all()
    expected = torch.lerp(start.norm(dim=-1), end.norm(dim=-1), share)
    torch.testing.assert_close(between.norm(dim=-1)[[0, 3]], expected[[0, 3]], atol=1e-4, rtol=1e-4)


def test_a_second_change_starts_from_the_blend() -> None:
    """A transition begun half way through another starts from the blend, without a jump."""
    cat, dog = embeddings()
    track = PromptTrack.constant(CAT, cat)
    track.start_change(change(DOG, dog, chunks=2))
    track.advance()
    half = track.embedding_TE
    track.start_change(change(CAT, cat, chunks=2))
    track.advance()
    torch.testing.assert_close(track.embedding_TE, torch.lerp(half, cat, 0.5))


def test_a_transition_of_no_chunks_is_a_cut() -> None:
    """Zero steps arrive with the next chunk."""
    cat, dog = embeddings()
    track = PromptTrack.constant(CAT, cat)
    track.start_change(change(DOG, dog, chunks=0))
    track.advance()
    assert torch.equal(track.embedding_TE, dog)
