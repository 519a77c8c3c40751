"""conditioning/prompts.py: mixtures and the way from one prompt to the next."""

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
    blend,
    encode_inline,
)
from slipstream_protocol.parameters import Prompt, Prompts

from tests.engine.toys import ToyText

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
        mixture=Mixture(prompts=prompts, embeddings=(done,)), chunks=chunks, method=method
    )


def test_mixture_is_the_weighted_mean() -> None:
    """Weights count against their sum."""
    cat, dog = embeddings()
    kept = PromptEmbeddings(encode_inline(ToyText()))
    mixed = kept.mixture((Prompt("a cat", 1.0), Prompt("a dog", 3.0)))
    assert mixed.is_ready
    torch.testing.assert_close(mixed.result(), 0.25 * cat + 0.75 * dog)
    with pytest.raises(ValueError, match="weights of 1 prompts are all 0"):
        kept.mixture((Prompt("a cat", 0.0),))


def test_texts_are_encoded_once_and_the_oldest_goes() -> None:
    """A text is asked for once while it is kept; beyond the limit the least used is forgotten."""
    text = ToyText()
    kept = PromptEmbeddings(encode_inline(text), kept=2)
    for word in ("one", "two", "one", "three", "one", "two"):
        kept.of(word)
    assert text.asked == ["one", "two", "three", "two"]


def test_a_text_that_failed_is_tried_again() -> None:
    """An embedding that could not be made is asked for once more, a mixture of it raises why."""
    waiting: list[Future[torch.Tensor]] = []

    def submit(text: str) -> Future[torch.Tensor]:
        waiting.append(Future())
        return waiting[-1]

    kept = PromptEmbeddings(submit)
    first = kept.mixture(CAT)
    assert not first.is_ready
    assert kept.of("a cat") is waiting[0], "one on its way is not asked for again"
    waiting[0].set_exception(OSError("no such file"))
    with pytest.raises(OSError, match="no such file"):
        first.result()
    again = kept.mixture(CAT)
    waiting[1].set_result(torch.ones(2, 2))
    assert torch.equal(again.result(), torch.ones(2, 2))


def test_linear_transition_walks_evenly() -> None:
    """Over 4 chunks the embedding is 1/4, 2/4, 3/4 of the way, and then there."""
    cat, dog = embeddings()
    track = PromptTrack.at(CAT, cat)
    assert not track.advance()
    track.head_for(change(DOG, dog, chunks=4))
    for share in (0.25, 0.5, 0.75, 1.0):
        assert track.advance()
        torch.testing.assert_close(track.embedding_TE, torch.lerp(cat, dog, share))
    assert torch.equal(track.embedding_TE, dog)
    assert not track.advance()


def test_slerp_transition_walks_evenly() -> None:
    """Slerp turns by equal angles, and rows that are padding stay zero."""
    cat, dog = embeddings()
    track = PromptTrack.at(CAT, cat)
    track.head_for(change(DOG, dog, chunks=3, method=Interpolation.SLERP))
    whole = torch.cosine_similarity(cat[:3], dog[:3]).acos()
    for share in (1 / 3, 2 / 3, 1.0):
        track.advance()
        turned = torch.cosine_similarity(cat[:3], track.embedding_TE[:3]).acos()
        torch.testing.assert_close(turned, whole * share, atol=1e-3, rtol=1e-3)
        assert track.embedding_TE[3:].abs().sum() == 0


@given(st.floats(0, 1), st.integers(0, 20))
def test_slerp_keeps_lengths_between(share: float, seed: int) -> None:
    """A row's length is the linear mean of its ends', and parallel or opposite rows do no harm."""
    generator = torch.Generator().manual_seed(seed)
    here = torch.randn(4, 8, generator=generator)
    there = torch.stack(
        [here[0] * 2, -here[1], torch.zeros(8), torch.randn(8, generator=generator)]
    )
    made = blend(here, there, share, Interpolation.SLERP)
    assert torch.isfinite(made).all()
    expected = torch.lerp(here.norm(dim=-1), there.norm(dim=-1), share)
    torch.testing.assert_close(made.norm(dim=-1)[[0, 3]], expected[[0, 3]], atol=1e-4, rtol=1e-4)


def test_a_change_of_mind_starts_where_it_is() -> None:
    """A transition begun half way through another starts from the blend, without a jump."""
    cat, dog = embeddings()
    track = PromptTrack.at(CAT, cat)
    track.head_for(change(DOG, dog, chunks=2))
    track.advance()
    half = track.embedding_TE
    track.head_for(change(CAT, cat, chunks=2))
    track.advance()
    torch.testing.assert_close(track.embedding_TE, torch.lerp(half, cat, 0.5))


def test_a_transition_of_no_chunks_is_a_cut() -> None:
    """Zero steps arrive with the next chunk."""
    cat, dog = embeddings()
    track = PromptTrack.at(CAT, cat)
    track.head_for(change(DOG, dog, chunks=0))
    track.advance()
    assert torch.equal(track.embedding_TE, dog)
