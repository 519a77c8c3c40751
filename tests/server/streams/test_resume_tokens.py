"""Which tokens are genuine, and the key that outlives the process."""

import logging
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipstream_server.streams.resume_tokens import (
    ResumeTokens,
    kept_key,
    shared_key,
    stream_of,
)

KEY = b"k" * 32


@given(stream=st.text(max_size=80), other=st.text(max_size=80))
def test_only_its_own_token_is_genuine(stream: str, other: str) -> None:
    """whatever the names hold; under another key no token is."""
    token = ResumeTokens(KEY).token_of(stream)
    assert stream_of(token) == stream
    assert ResumeTokens(KEY).is_genuine(token)
    assert not ResumeTokens(b"another").is_genuine(token)
    secret = token.removeprefix(f"{stream}.")
    assert ResumeTokens(KEY).is_genuine(f"{other}.{secret}") == (other == stream)


@given(token=st.text(max_size=200))
def test_any_text_may_come(token: str) -> None:
    """also what no token can be."""
    assert not ResumeTokens(KEY).is_genuine(token)


def test_surrogates_may_come() -> None:
    """bytes of a request that are no text."""
    assert not ResumeTokens(KEY).is_genuine("\udcff.\udcff")


def test_servers_with_one_token_take_over_from_each_other() -> None:
    """the key follows from the token, whatever bytes it has."""
    for token in ("a token of this fleet", "\udcff"):
        assert ResumeTokens(shared_key(token)).is_genuine(
            ResumeTokens(shared_key(token)).token_of("stage")
        )
    assert shared_key("one token") != shared_key("another token")


def test_the_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "resume.key"
    key = kept_key(file)
    assert len(key) == 32
    assert kept_key(file) == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_without_a_kept_key_the_process_has_one_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    """a folder that cannot be made, a file that is none of ours: said once, and served all the
    same."""
    file = tmp_path / "resume.key"
    if content is None:
        (tmp_path / "taken").write_text("a file")
        file = tmp_path / "taken" / "resume.key"
    else:
        file.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert len(kept_key(file)) == 32
    (record,) = caplog.records
    assert "after a restart pages begin new streams" in record.getMessage()
    assert content is None or file.read_bytes() == content
