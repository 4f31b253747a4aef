"""Sentences for people, in every language of a report: one catalogue, `strings.csv`, English and Chinese side by side.

`said("orders.lead", n=3, total=2.67e6)` is the English text, and remembers its key and values; `say(text, "zh")` says
the same in Chinese. A placeholder names its value and how a number is written: "{total:money}", "{month:month}";
a list is joined with commas, or with semicolons as "{reasons:clauses}". A key that ends in ".one" is taken instead of
the key without it when the value `n` is one.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from exafleet.terms.forms import ENGLISH, FORMS, LANGUAGES

CATALOGUE = Path(__file__).parent / "strings.csv"
HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_COMMA = {"en": ", ", "zh": "、"}
_SEMICOLON = {"en": "; ", "zh": "；"}


class Said(str):
    """English text that remembers what it says, so that it can be said in another language.

    key      of the catalogue
    values   what stands in its placeholders: text, numbers in base units, lists of them
    """

    key: str
    values: Mapping[str, Any]

    def __new__(cls, text: str, key: str, values: Mapping[str, Any]) -> Said:
        """`text` is the English of `key` with `values`."""
        made = super().__new__(cls, text)
        made.key, made.values = key, MappingProxyType(dict(values))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and other processes keep the key."""
        return Said, (str(self), self.key, dict(self.values))


class Texts(str):
    """Text that its author gave by language: English, or the first there is, and the others by `say`."""

    texts: Mapping[str, str]

    def __new__(cls, texts: Mapping[str, str]) -> Texts:
        """One text in at least one language."""
        made = super().__new__(cls, texts.get(ENGLISH) or next(iter(texts.values())))
        made.texts = MappingProxyType(dict(texts))
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and other processes keep every language."""
        return Texts, (dict(self.texts),)


@functools.cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Text by key and language."""
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file, strict=True)}


def said(key: str, **values: Any) -> Said:
    """The sentence at `key` of the catalogue with its values; KeyError for an unknown key or a missing value."""
    return Said(_filled(key, values, ENGLISH), key, values)


def named(group: str, name: str, **values: Any) -> str:
    """A fixed name of the program (a cost part, a rule) in words people can read; the name itself when it has none."""
    key = f"{group}.{name}"
    return said(key, **values) if key in catalogue() else name


def say(text: str, language: str) -> str:
    """A text in a language; plain text, such as a name, stays as it is."""
    if isinstance(text, Said):
        return str(text) if language == ENGLISH else _filled(text.key, text.values, language)
    if isinstance(text, Texts):
        return text.texts.get(language) or str(text)
    return text


def joined(parts: Sequence[Any]) -> Said:
    """Parts one after the other, separated as the language does it."""
    return said("text.list", parts=list(parts))


def _filled(key: str, values: Mapping[str, Any], language: str) -> str:
    found = catalogue()
    if values.get("n") == 1 and f"{key}.one" in found:
        key = f"{key}.one"
    return HOLE.sub(lambda hole: _written(values[hole[1]], hole[2] or "", language), found[key][language])


def _written(value: Any, form: str, language: str) -> str:
    if isinstance(value, str):
        return say(value, language)
    if isinstance(value, Sequence):
        between = _SEMICOLON if form == "clauses" else _COMMA
        return between[language].join(_written(v, form, language) for v in value)
    return FORMS[language][form or "count"](value)


__all__ = ["ENGLISH", "LANGUAGES", "Said", "Texts", "catalogue", "joined", "named", "said", "say"]
