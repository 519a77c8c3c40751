"""umT5 as a text encoder: loaded only for new prompts, equal with and without the cache."""

from pathlib import Path

import pytest
import torch
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.umt5_text import Umt5Files, Umt5Text
from slipstream_engine.errors import CheckpointError

from tests.engine.small_text import CONFIG, encoders_in_memory, write_files


def encoder(files: Umt5Files, root: Path) -> Umt5Text:
    return Umt5Text(
        files,
        EmbeddingCache(root, model="small", max_bytes=10**7),
        dtype=torch.float32,
        is_pinned=False,
        encoder_device=torch.device("cpu"),
        config=CONFIG,
    )


def test_a_known_prompt_loads_nothing(tmp_path: Path) -> None:
    """a second process gives the same without its encoder, however the prompt is spaced."""
    files = write_files(tmp_path)
    before = encoders_in_memory()
    first = encoder(files, tmp_path / "cache")
    embedding = first.encode("a cat  sits")
    assert encoders_in_memory() == before + 1
    del first
    assert embedding.shape == (512, CONFIG.dim) and embedding.dtype == torch.float32
    assert embedding[:4].abs().sum(dim=1).all() and not embedding[4:].any()
    files.weights.unlink()
    second = encoder(files, tmp_path / "cache")
    assert torch.equal(second.encode(" a cat sits\n"), embedding)
    assert encoders_in_memory() == before


def test_release_frees_the_encoder(tmp_path: Path) -> None:
    """after a release the next new prompt loads it again and gives the same."""
    before = encoders_in_memory()
    text = encoder(write_files(tmp_path), tmp_path / "one")
    embedding = text.encode("a dog runs")
    text.release()
    assert encoders_in_memory() == before
    again = encoder(write_files(tmp_path), tmp_path / "two").encode("a dog runs")
    assert torch.equal(again, embedding)
    text.encode("a cat")
    assert encoders_in_memory() == before + 1


def test_absent_weights_are_named(tmp_path: Path) -> None:
    """a new prompt without an encoder says what is missing."""
    files = write_files(tmp_path)
    files.weights.unlink()
    with pytest.raises(CheckpointError, match=r"there is no checkpoint at .*umt5\.safetensors"):
        encoder(files, tmp_path / "cache").encode("a cat")
