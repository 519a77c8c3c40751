"""Prompts as the text encoder was trained to read them (`spec/06` section 4)."""

import html
import re

from slipstream_engine.optional_packages import import_optional


def repair(text: str) -> str:
    """Undo what web pages and wrong encodings do to text; white space stays.

    Raises:
        MissingExtraError: if ftfy is not installed.
    """
    fixed: str = import_optional("ftfy", extra="text").fix_text(text)
    return html.unescape(html.unescape(fixed)).strip()


def clean(text: str) -> str:
    """`repair`, and every run of white space to one space: what is tokenised.

    Raises:
        MissingExtraError: if ftfy is not installed.
    """
    return re.sub(r"\s+", " ", repair(text)).strip()
