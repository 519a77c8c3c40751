"""Texts for people stand in each folder's module of strings and the HTML alone: a translation is
another of each."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"
# the last one has the model's own words
_TEXTS = {
    "recording/strings.js",
    "shared/strings.js",
    "streams/strings.js",
    "surfaces/strings.js",
    "studio/strings.js",
    "studio/style_pictures.js",
}
# a comment, or a string; of a template what stands between its values
_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)|"(?P<double>(?:[^"\\\n]|\\.)*)"|'(?P<single>(?:[^'\\\n]|\\.)*)'"""
    r"""|`(?P<template>(?:[^`\\]|\\.)*)`""",
    re.S,
)
_VALUE = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")
_WORDS = re.compile(r"[A-Za-z][,;:.…]? [A-Za-z“]")
_WORD = re.compile(r"[A-Za-z]{2}")
_NAME = re.compile(r"[A-Z][a-z]+")
# what only looks like a text: of the browser, of requests and of files, and selectors
_NO_TEXTS = {
    "Enter",
    "Escape",
    "Location",
    "Problem",
    "slipstream show",
    "access {}",
    "Bearer {}",
    "{}px monospace",
}
_SELECTOR = re.compile(r"[#\[]|^\(|^[a-z]+, [a-z]")


def literals(source: str) -> Iterator[str]:
    """The strings of a module, without those of imports and of the browser's console."""
    for found in _TOKEN.finditer(source):
        if found["comment"] is not None:
            continue
        line = source[source.rfind("\n", 0, found.start()) + 1 : found.start()]
        if re.search(r"console\.\w+\([^;]*$|TypeError\($|from $|import\($", line):
            continue
        template = found["template"]
        if template is not None:
            yield _VALUE.sub("{}", template)
        else:
            yield found["double"] if found["double"] is not None else found["single"]


def texts_in(source: str) -> list[str]:
    """Those of its strings that people would read: some words, or a word with a capital."""
    return [
        text
        for text in literals(source)
        if text not in _NO_TEXTS
        and (
            _NAME.fullmatch(text)
            or (
                (_WORDS.search(text.replace("{}", "x")) and _WORD.search(text))
                and not _SELECTOR.search(text)
            )
        )
    ]


def test_no_module_has_a_text_of_its_own() -> None:
    found = {
        name: texts
        for path in sorted(WEB.rglob("*.js"))
        if (name := path.relative_to(WEB).as_posix()) not in _TEXTS
        and (texts := texts_in(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("source", "texts"),
    [
        ('say("Camera");', ["Camera"]),
        ("say(`Snapshot ${number} kept`);", ["Snapshot {} kept"]),
        ("const one = 'no camera'; // \"a comment\"", ["no camera"]),
        ('/* "not this" */ on("pagehide", document.querySelector("#a [type=b]"));', []),
        ('import { a } from "./b.js"; console.info("for developers", "two words");', []),
    ],
)
def test_a_text_is_found(source: str, texts: list[str]) -> None:
    assert texts_in(source) == texts
