"""The generated half of docs/claims.md: keys, quantities, words and readings, from the code that reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from exafleet.report.claims.claimed import QUANTITIES
from exafleet.report.claims.document import CLAIM_KEYS, FILE_KEYS, PART_KEYS, Key
from exafleet.report.claims.vocabulary import MEANING, WORDS, Word
from exafleet.terms.units import words

BEGIN, END = "<!-- words: begin (generated, do not edit) -->", "<!-- words: end -->"


def page(text: str) -> str:
    """The page with its generated part made anew."""
    made = f"{BEGIN}\n\n" + "\n".join(_parts()) + f"\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, text, flags=re.DOTALL)


def _parts() -> Iterator[str]:
    yield from _keys("Keys of a file", FILE_KEYS)
    yield from _keys("Keys of a claim, under `[[claims]]`", CLAIM_KEYS)
    yield from _keys("Keys of a further computation, in `also`", PART_KEYS)
    yield from _table("Quantities", ("quantity", "meaning", "its figure is", "example"), (
        (f"`{q.name}`", q.meaning + ("; needs a baseline" if q.baseline else ""),
         "yes or no" if q.name == "yes or no" else " or ".join(f"a {words(d)}" for d in q.dimensions),
         f'`"{q.example}"`') for q in QUANTITIES.values()))
    yield from _table("Words of a computation", ("word", "gives", "takes", "example"), (
        (f"`{w.name}`", w.meaning, _takes(w), f"`{w.example}`") for w in WORDS.values()))
    yield from _table("Readings that words bring with them", ("word", "axis", "options"), (
        (f"`{w.name}`", f"`{axis}`", "; ".join(f"`{o}`" for o in options))
        for w in WORDS.values() for axis, options in (w.axes or {}).items()))


def _keys(title: str, keys: Iterable[Key]) -> Iterator[str]:
    yield from _table(title, ("key", "meaning", "example"), (
        (f"`{k.name}`" + (" (required)" if k.needed else ""), k.meaning, f"`{k.example}`") for k in keys))


def _takes(word: Word) -> str:
    return "; ".join(f"`{name}`: {_form(word, name)}" if name else MEANING[form] for name, form in word.takes.items())


def _form(word: Word, name: str) -> str:
    return MEANING[word.takes[name]] + ("" if name in word.needs else " (may be left out)")


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""
