"""Work that is counted, not timed, so that a busy machine agrees.

A step is a line of Python that is executed, or a character that a regular expression of ours may
look at.
"""

import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


class Steps:
    """Counts what is executed in the block.

    Args:
        text_characters: that a regular expression of ours is taken to look at.
    """

    def __init__(self, text_characters: int = 0) -> None:
        self.count = 0
        self._text_characters = text_characters

    def __enter__(self) -> "Steps":
        sys.setprofile(self._on_call)
        sys.settrace(self._on_line)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _on_line(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        self.count += event == "line"
        return self._on_line

    def _on_call(self, frame: FrameType, event: str, called: Any) -> None:
        is_pattern = event == "c_call" and isinstance(getattr(called, "__self__", None), re.Pattern)
        if is_pattern and "slipstream" in frame.f_code.co_filename:
            self.count += self._text_characters
