"""A report as GitHub's Markdown: sentences, then one table a section. Names of a scenario come out as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from exafleet.report.table import Report, Table
from exafleet.terms.said import ENGLISH, said, say

_MARKS = re.compile(r"([\\`*_\[\]|~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What would begin a heading, a list, a quotation, a rule or a table at the start of a line.
_START = re.compile(r"^(\d+)([.)])|^([#+\-=:])")


def markdown(report: Report, language: str = ENGLISH) -> str:
    """The report as Markdown text in a language."""
    lines = [f"# {_text(say(report.title, language))}", "", _text(say(report.subtitle, language)), ""]
    lines += [f"- {_text(say(s, language))}" for s in report.summary]
    if report.cards:
        cards = [[say(part, language) for part in card] for card in report.cards]
        lines += ["", *_grid([label for label, _, _ in cards], [[value for _, value, _ in cards],
                                                               [small for _, _, small in cards]], [])]
    for table in report.tables:
        lines += ["", *_section(table, language)]
    return "\n".join([*lines, "", "---", "", _text(" · ".join(report.footer(language)))]) + "\n"


def _section(table: Table, language: str) -> Iterator[str]:
    yield from (f"## {_text(say(table.title, language))}", "",
                _text(say(table.lead if table.rows else table.empty, language)))
    if not table.rows:
        return
    right = [i for i, c in enumerate(table.columns) if c.numeric]
    yield ""
    yield from _grid([say(c.title, language) for c in table.columns], table.written(language), right)
    if table.how:
        yield from ("", f"*{_text(say(said('page.how'), language))}*: {_text(say(table.how, language))}")


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> Iterator[str]:
    yield "| " + " | ".join(map(_inside, head)) + " |"
    yield "|" + "|".join("---:" if i in right else "---" for i in range(len(head))) + "|"
    for row in rows:
        yield "| " + " | ".join(map(_inside, row)) + " |"


def _inside(text: str) -> str:
    """Text on one line in which no character is markup."""
    plain = "".join(_ENTITIES.get(c, c if c.isprintable() else " ") for c in text)
    return _MARKS.sub(r"\\\1", plain)


def _text(text: str) -> str:
    """The same at the start of a line."""
    return _START.sub(lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", _inside(text))
