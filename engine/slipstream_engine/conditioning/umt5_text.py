"""umT5 as a `TextEncoder`: prompts are cleaned and cached; its 11 GB are loaded only when needed.

L tokens, C channels.
"""

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor

from slipstream_engine.checkpoints.loader import check_checkpoint, load_module
from slipstream_engine.conditioning.cleaning import clean
from slipstream_engine.conditioning.embedding_cache import EmbeddingCache
from slipstream_engine.conditioning.tokenizer import Tokenizer
from slipstream_engine.models.text.umt5 import Umt5Config, Umt5Encoder, pad_rows

TEXT_LEN = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Umt5Files:
    """The files of the encoder.

    Args:
        weights: the checkpoint of the encoder half.
        tokenizer: the `tokenizer.json`.
    """

    weights: Path
    tokenizer: Path


class Umt5Text:
    """Args:
    files: read for the first prompt that is not in the cache.
    dtype: of the embeddings, which stay on the host: 256 of them would take 1 GB of a GPU.
    is_pinned: keep them where a GPU copies from without waiting.
    encoder_device: where prompts are encoded, in bfloat16: umT5 overflows in float16.
    """

    vocabulary = Vocabulary()
    text_len = TEXT_LEN

    def __init__(
        self,
        files: Umt5Files,
        cache: EmbeddingCache,
        *,
        dtype: torch.dtype,
        is_pinned: bool,
        encoder_device: torch.device,
        config: Umt5Config,
    ) -> None:
        self._files = files
        self._cache = cache
        self._dtype = dtype
        self._is_pinned = is_pinned
        self._encoder_device = encoder_device
        self._config = config
        self._encoder: Umt5Encoder | None = None
        self._tokenizer: Tokenizer | None = None
        self._lock = threading.Lock()
        self._stream: torch.cuda.Stream | None = None

    @property
    def text_dim(self) -> int:
        return self._config.dim

    def check(self) -> None:
        """Check that new prompts can be encoded, without loading the encoder.

        Raises:
            CheckpointError: if a file is absent or not of this encoder.
            MissingExtraError: if a package for text is not installed.
        """
        clean("")
        self._tokenizer = Tokenizer(self._files.tokenizer, max_tokens=self.text_len)
        check_checkpoint(lambda: Umt5Encoder(self._config), self._files.weights)

    def understood(self, prompts: Prompts) -> str:
        """Empty: any text will do."""
        return ""

    def encode(self, text: str) -> Tensor:
        """The embedding of one prompt, from the cache if it is there.

        Returns:
            `[text_len, text_dim]`; the rows past the text are zero.

        Raises:
            CheckpointError: if the encoder is needed and a file of it is absent or damaged.
            MissingExtraError: if a package for text is not installed.
        """
        cleaned = clean(text)
        with self._lock:
            rows_LC = self._cache.get(cleaned)
            if rows_LC is None:
                rows_LC = self._compute(cleaned)
                self._cache.put(cleaned, rows_LC)
        embedding_TE = pad_rows(rows_LC.to(device="cpu", dtype=self._dtype), self.text_len)
        return embedding_TE.pin_memory() if self._is_pinned else embedding_TE

    def release(self) -> None:
        """Free the encoder's memory; the next new prompt loads it again."""
        with self._lock:
            self._encoder = None

    @torch.inference_mode()
    def _compute(self, cleaned: str) -> Tensor:
        if self._tokenizer is None:
            self._tokenizer = Tokenizer(self._files.tokenizer, max_tokens=self.text_len)
        with self._beside_passes():
            if self._encoder is None:
                self._encoder = load_module(
                    lambda: Umt5Encoder(self._config),
                    self._files.weights,
                    dtype=torch.bfloat16,
                    device=self._encoder_device,
                )
            ids_L = torch.tensor(self._tokenizer.ids(cleaned), device=self._encoder_device)
            return self._encoder.forward(ids_L[None])[0].cpu()

    def _beside_passes(self) -> AbstractContextManager[object]:
        """A GPU's own stream: what streams compute meanwhile does not wait for it."""
        if self._encoder_device.type != "cuda":
            return nullcontext()
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._encoder_device)
        return torch.cuda.stream(self._stream)
