"""Cleans prompts as the texts were on which umT5 was trained (`spec/06` section 4)."""

import html
import re

from slipstream_engine.optional_packages import import_optional


def repair(text: str) -> str:
    """Undo wrong encodings and HTML entities; white space stays.

    Raises:
        MissingExtraError: if ftfy is not installed.
    """
    fixed: str = import_optional("ftfy", extra="text").fix_text(text)
    return html.unescape(html.unescape(fixed)).strip()


def clean(text: str) -> str:
    """`repair`, then replace every run of white space by one space.

    Raises:
        MissingExtraError: if ftfy is not installed.
    """
    return re.sub(r"\s+", " ", repair(text)).strip()
