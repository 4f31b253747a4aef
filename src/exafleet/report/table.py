"""A report is tables: each has a title, one sentence that says what to see, columns with kinds, rows, and a picture.

The terminal, JSON, HTML, Markdown and Excel all print these same tables, so no number exists in only one of them.
Its words are `said(...)` of the catalogue terms/strings.csv, so that the same report reads in every language.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exafleet.terms.calendar import month_name
from exafleet.terms.forms import ENGLISH, FORMS
from exafleet.terms.said import Said, named, said, say

if TYPE_CHECKING:
    from exafleet.plan.plan import Plan

Cell = str | float | int | None
# Of the JSON of a report: it counts changes that could break a reader (report/schema.py).
VERSION = 1

# The unit a raw value of each kind has in JSON; terms/forms.py writes it for people.
KINDS = {
    "money": "USD", "power": "W", "energy": "J", "count": "1", "share": "1", "error": "1", "change": "1",
    "points": "1", "month": "YYYY-MM", "tokens": "token", "token_rate": "token/s", "number": "1", "rent": "USD/s",
    "time": "s", "bytes": "B", "energy_per_token": "J/token", "short": "1",
}


def month_names(plan: Plan) -> list[str]:
    """Every month of a plan, for the axis of a picture."""
    return [month_name(plan.market.start + t) for t in range(plan.market.months)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: `kind` is "text" or a key of KINDS."""

    title: str
    kind: str = "text"

    @property
    def unit(self) -> str:
        """Unit of the raw value in JSON; empty for text."""
        return "" if self.kind == "text" else KINDS[self.kind]

    @property
    def key(self) -> str:
        """Stable name in every language; empty where the title is a name of the scenario."""
        return self.title.key if isinstance(self.title, Said) else ""

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers, which stand right; words and months stand left."""
        return self.kind not in ("text", "month")

    def written(self, cell: Cell, language: str = ENGLISH) -> str:
        """A cell as a person reads it; absence is a dash, never a zero."""
        if cell is None:
            return "–"
        return say(cell, language) if isinstance(cell, str) else FORMS[language][self.kind](float(cell))


def column(name: str, kind: str = "text") -> Column:
    """A column whose title is in the catalogue of strings under "column"."""
    return Column(title=said(f"column.{name}"), kind=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One section of a report.

    id      stable name, also the anchor in HTML
    lead    the one sentence a hurried reader needs
    charts  Vega-Lite specifications with their data inside, each with the caption above it
    how     how these figures come about, in a sentence or two
    origins keys of the numbers of the scenario and facts that each row rests on; () where no row says so
    empty   what to print when there are no rows
    wide    too long for a terminal; folded in HTML
    """

    id: str
    title: str
    lead: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    charts: tuple[tuple[str, dict[str, Any]], ...] = ()
    empty: str = said("text.empty")
    wide: bool = False
    how: str = ""
    origins: tuple[tuple[str, ...], ...] = ()

    def written(self, language: str = ENGLISH) -> list[list[str]]:
        """Every cell in words."""
        return [[c.written(cell, language) for c, cell in zip(self.columns, row, strict=True)] for row in self.rows]

    def as_json(self, language: str = ENGLISH) -> dict[str, Any]:
        """Raw values with a unit per column; the words in a language."""
        return {
            "id": self.id, "title": say(self.title, language), "lead": say(self.lead, language),
            "how": say(self.how, language),
            "columns": [{"key": c.key, "title": say(c.title, language), "kind": c.kind, "unit": c.unit}
                        for c in self.columns],
            "rows": [[_plain(c, cell, language) for c, cell in zip(self.columns, row, strict=True)]
                     for row in self.rows],
            "origins": [list(keys) for keys in self.origins],
        }


def _plain(column: Column, cell: Cell, language: str) -> Cell:
    if column.kind == "month" and isinstance(cell, int | float):
        return month_name(int(cell))
    return say(cell, language) if isinstance(cell, str) else cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a plan says: sentences first, then tables.

    meta   version, data hash, seed, as-of date, solver status and gap: what makes the result repeatable
    cards  (label, value, small print) shown large at the top
    """

    title: str
    subtitle: str
    summary: tuple[str, ...]
    cards: tuple[tuple[str, str, str], ...]
    tables: tuple[Table, ...]
    meta: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> Table:
        """The table called `name`."""
        return next(t for t in self.tables if t.id == name)

    def footer(self, language: str = ENGLISH) -> list[str]:
        """What makes the result repeatable, each with its name, in a language; lists are for programs (JSON)."""
        return [f"{say(named('meta', k), language)} {say(v, language) if isinstance(v, str) else v}"
                for k, v in self.meta.items() if not isinstance(v, list)]

    def as_json(self, language: str = ENGLISH) -> dict[str, Any]:
        """The whole report as plain data, its words in a language."""
        return {
            "version": VERSION, "language": language,
            "title": say(self.title, language), "subtitle": say(self.subtitle, language),
            "summary": [say(s, language) for s in self.summary],
            "cards": [dict(zip(("label", "value", "note"), (say(part, language) for part in card), strict=True))
                      for card in self.cards],
            "meta": {k: say(v, language) if isinstance(v, str) else v for k, v in self.meta.items()},
            "tables": {t.id: t.as_json(language) for t in self.tables},
        }
