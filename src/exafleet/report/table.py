"""A report is tables: each has a title, one sentence that says what to see, columns with kinds, rows, and a picture.

The terminal, JSON and HTML all print these same tables, so no number exists in only one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from exafleet.terms import format as words
from exafleet.terms.calendar import month_name

if TYPE_CHECKING:
    from exafleet.plan.plan import Plan

Cell = str | float | int | None

# How a column of numbers is written for people, and the unit its raw value has in JSON.
KINDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "money": ("USD", words.money),
    "power": ("W", words.power),
    "energy": ("J", words.energy),
    "count": ("1", words.count),
    "share": ("1", words.percent),
    "error": ("1", words.error),
    "change": ("1", words.change),
    "points": ("1", lambda v: words.points(v, signed=True)),
    "month": ("YYYY-MM", lambda v: month_name(int(v))),
    "tokens": ("token", words.tokens),
    "token_rate": ("token/s", words.token_rate),
    "number": ("1", words.significant),
    "rent": ("USD/s", words.rent),
    "time": ("s", words.duration),
    "bytes": ("B", words.data),
    "energy_per_token": ("J/token", lambda v: f"{words.significant(v)} J/token"),
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
        return "" if self.kind == "text" else KINDS[self.kind][0]

    def written(self, cell: Cell) -> str:
        """A cell as a person reads it; absence is a dash, never a zero."""
        if cell is None:
            return "–"
        return cell if isinstance(cell, str) else KINDS[self.kind][1](float(cell))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One section of a report.

    id      stable name, also the anchor in HTML
    lead    the one sentence a hurried reader needs
    charts  Vega-Lite specifications with their data inside, each with the caption above it
    empty   what to print when there are no rows
    wide    too long for a terminal; folded in HTML
    """

    id: str
    title: str
    lead: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    charts: tuple[tuple[str, dict[str, Any]], ...] = ()
    empty: str = "Nothing to show."
    wide: bool = False

    def written(self) -> list[list[str]]:
        """Every cell in words."""
        return [[c.written(cell) for c, cell in zip(self.columns, row, strict=True)] for row in self.rows]

    def as_json(self) -> dict[str, Any]:
        """Raw values with a unit per column."""
        return {
            "id": self.id, "title": self.title, "lead": self.lead,
            "columns": [{"title": c.title, "kind": c.kind, "unit": c.unit} for c in self.columns],
            "rows": [[month_name(int(cell)) if c.kind == "month" and isinstance(cell, int | float) else cell
                      for c, cell in zip(self.columns, row, strict=True)] for row in self.rows],
        }


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

    def as_json(self) -> dict[str, Any]:
        """The whole report as plain data."""
        return {
            "title": self.title, "subtitle": self.subtitle, "summary": list(self.summary), "meta": self.meta,
            "tables": {t.id: t.as_json() for t in self.tables},
        }
