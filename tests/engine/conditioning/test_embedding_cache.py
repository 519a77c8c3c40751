"""The embedding cache: what it returns is what was put, or nothing; it never outgrows its bound."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache

ROWS = torch.arange(12.0).reshape(3, 4).bfloat16()


def cache(root: Path, *, model: str = "m", max_bytes: int = 10**6) -> EmbeddingCache:
    return EmbeddingCache(root, model=model, max_bytes=max_bytes)


def age(root: Path) -> None:
    """Make every entry an hour older."""
    for path in root.iterdir():
        then = path.stat().st_mtime_ns - 3600 * 10**9
        os.utime(path, ns=(then, then))


def test_what_was_put_is_got(tmp_path: Path) -> None:
    """another process of the same model finds it; another model or text does not."""
    cache(tmp_path / "new").put("a cat", ROWS)
    found = cache(tmp_path / "new").get("a cat")
    assert found is not None and found.dtype == torch.bfloat16 and torch.equal(found, ROWS)
    assert cache(tmp_path / "new").get("a dog") is None
    assert cache(tmp_path / "new", model="other").get("a cat") is None


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_damage_is_an_absent_entry(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """a flipped bit or a lost end anywhere is noticed, and the entry can be made anew."""
    root = tmp_path_factory.mktemp("cache")
    store = cache(root)
    store.put("a cat", ROWS)
    (path,) = root.iterdir()
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path.write_bytes(content)
    assert store.get("a cat") is None
    store.put("a cat", ROWS)
    assert torch.equal(store.get("a cat"), ROWS)  # type: ignore[arg-type]


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """beyond the bound, an entry read lately outlives one that was not."""
    store = cache(tmp_path)
    store.put("one", ROWS)
    entry_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())
    store = cache(tmp_path, max_bytes=2 * entry_bytes)
    age(tmp_path)
    store.put("two", ROWS)
    age(tmp_path)
    assert store.get("one") is not None
    store.put("three", ROWS)
    assert store.get("one") is not None
    assert store.get("two") is None
    assert store.get("three") is not None


def test_a_put_that_breaks_off_leaves_the_old_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """an entry is replaced whole or stays; nothing half-written is left."""
    store = cache(tmp_path)
    store.put("a cat", ROWS)

    def full(descriptor: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store.put("a cat", ROWS + 1)
    store.put("a dog", ROWS)
    assert torch.equal(store.get("a cat"), ROWS)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_disk_that_takes_nothing_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """where no entry can be kept, the embedding is simply not kept, and the log says so."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache(blocked).put("a cat", ROWS)
    assert cache(blocked).get("a cat") is None
    assert "was not kept" in caplog.text
