"""What the pipeline needs of a text encoder."""

from typing import Protocol

from slipstream_protocol.messages import Vocabulary
from slipstream_protocol.parameters import Prompts
from torch import Tensor


class TextEncoder(Protocol):
    """Turns one prompt into the rows that cross-attention reads."""

    @property
    def text_len(self) -> int:
        """Rows of an embedding (512 for umT5)."""
        ...

    @property
    def text_dim(self) -> int:
        """Columns of an embedding (4096 for umT5-xxl)."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The words a small encoder knows; empty where any text will do."""
        ...

    def understood(self, prompts: Prompts) -> str:
        """How the encoder reads `prompts`, as text for users; empty if any text will do."""
        ...

    def encode(self, text: str) -> Tensor:
        """Encode one prompt.

        Returns:
            `[text_len, text_dim]` on the model's device and in its dtype; rows past the text are
            zero.
        """
        ...
