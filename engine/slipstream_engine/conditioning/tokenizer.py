"""Cleaned text to token ids, by the `tokenizer.json` that comes with umT5."""

from pathlib import Path
from typing import Any

from slipstream_engine.errors import CheckpointError
from slipstream_engine.optional_packages import import_optional

END_ID = 1


class Tokenizer:
    """Args:
        file: a `tokenizer.json`.
        max_tokens: of a prompt, including the end token; longer ones are cut off.

    Raises:
        CheckpointError: if there is no such file or it is not a tokenizer.
        MissingExtraError: if the tokenizers package is not installed.
    """

    def __init__(self, file: Path, *, max_tokens: int) -> None:
        tokenizers: Any = import_optional("tokenizers", extra="text")
        if not file.is_file():
            raise CheckpointError(f"there is no tokenizer at {file}, pull it or name another file")
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises nothing narrower
            raise CheckpointError(
                f"{file} is truncated or not a tokenizer.json, pull it again: {error}"
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._max_tokens = max_tokens

    def ids(self, text: str) -> list[int]:
        """The token ids of `text` and the end token, at most `max_tokens` together."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [*ids[: self._max_tokens - 1], END_ID]
