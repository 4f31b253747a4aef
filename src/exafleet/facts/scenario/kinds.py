"""The other kinds of value: months, monthly series, spreads, budgets, references to records and facts, words, lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

from exafleet.facts.hardware import CHIP_TERMS, SYSTEM_TERMS, systems_of
from exafleet.facts.scenario.tables import missing_column
from exafleet.facts.scenario.values import Amount, Kind, Where, Wrong, Wrongs, gather, shown, wrong
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month, month, month_name, month_of
from exafleet.terms.errors import ExafleetError, FactError, MissingFact, Problem, nearest

T = TypeVar("T")
FIRST_MONTH, LAST_MONTH = month("1990-01"), month("2150-12")
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"


@dataclass(frozen=True, kw_only=True)
class Series(Kind):
    """A monthly series: one amount, amounts by the month they begin, or a column of a table.

    capacity   what is zero before its first month (power, demand); prices are refused before theirs
    """

    of: Amount
    capacity: bool = True

    def _read(self, value: object, at: Where) -> Steps:
        if isinstance(value, dict) and "table" in value:
            return self._steps(self._column(value, at))
        if isinstance(value, dict) and "fact" not in value:
            return self._steps(self._by_month(value, at))
        return Steps.constant(float(self.of.read(value, at)))

    def _by_month(self, value: Mapping[str, object], at: Where) -> list[tuple[Month, float]]:
        if not value:
            wrong("a series without a month", allowed=f'{{ "2025-01" = {self.of.example}, ... }}')
        pairs = gather([((k,), lambda k=k, v=v: (read_month(k), float(self.of.read(v, at))))  # type: ignore[misc]
                        for k, v in value.items()])
        return _in_order(pairs)

    def _column(self, value: Mapping[str, object], at: Where) -> list[tuple[Month, float]]:
        """{ table = "demand.csv", column = "app", unit = "Mtokens/s" }: a column `month` and one of amounts."""
        name, column, unit = value.get("table"), value.get("column"), value.get("unit", "")
        unknown = [k for k in value if k not in ("table", "column", "unit")]
        if unknown or not isinstance(name, str) or not isinstance(column, str) or not isinstance(unit, str):
            wrong("not a table reference", dict(value), '{ table = "demand.csv", column = "app" }, and unit = "..." '
                  "where the cells are plain numbers")
        table = at.reading.folder.table(name)
        problem = table if isinstance(table, Problem) else (
            missing_column(table, "month") or missing_column(table, column))
        if isinstance(table, Problem) or problem is not None:
            raise Wrong([((), problem or Problem(what=""))])
        months = table.column("month")
        cells = table.column(column)
        return _in_order(_each_cell(table.name, [
            (line, lambda m=m, cell=cell: (read_month(m), self._cell(cell, unit, at)))  # type: ignore[misc]
            for (line, m), (_, cell) in zip(months, cells, strict=True)]))

    def _cell(self, cell: str, unit: str, at: Where) -> float:
        if not cell:
            wrong("an empty cell", allowed=self.of.example)
        return float(self.of.read(f"{cell} {unit}".strip() if unit else cell, at))

    def _steps(self, pairs: Sequence[tuple[Month, float]]) -> Steps:
        return Steps(months=tuple(m for m, _ in pairs), values=tuple(v for _, v in pairs),
                     before=0.0 if self.capacity else pairs[0][1])

    def _schema(self) -> dict[str, Any]:
        months = {"type": "object", "patternProperties": {MONTH_PATTERN: self.of.schema()}, "minProperties": 1,
                  "additionalProperties": False, "description": "value by the month from which it holds"}
        return {"anyOf": [*self.of.schema()["anyOf"], months, TABLE_SCHEMA]}


TABLE_SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["table", "column"], "additionalProperties": False,
    "properties": {"table": {"type": "string", "description": "CSV file beside the scenario, with a column `month`"},
                   "column": {"type": "string"}, "unit": {"type": "string", "description": "unit of plain numbers"}}}


def _each_cell(file: str, cells: Iterable[tuple[int, Callable[[], T]]]) -> list[T]:
    """Results of every cell; problems say the table's own line."""
    wrongs: Wrongs = []
    found: list[T] = []
    for line, cell in cells:
        try:
            found.append(cell())
        except Wrong as error:
            wrongs += [((), Problem(where=f"{file}:{line}", what=p.what, got=p.got, allowed=p.allowed, remedy=p.remedy))
                       for _, p in error.wrongs]
    if wrongs:
        raise Wrong(wrongs)
    return found


def _in_order(pairs: list[tuple[Month, float]]) -> list[tuple[Month, float]]:
    ordered = sorted(pairs)
    for (earlier, _), (later, _) in pairwise(ordered):
        if earlier == later:
            wrong(f"{month_name(earlier)} is given twice")
    return ordered


@dataclass(frozen=True, kw_only=True)
class Budget(Kind):
    """Money by the month it becomes available, one sum at the start, or "unlimited"."""

    of: Amount

    def _read(self, value: object, at: Where) -> tuple[tuple[Month, float], ...] | None:
        if value == "unlimited":
            return None
        if isinstance(value, dict) and "fact" not in value:
            steps = Series(of=self.of).read(value, at)
            return tuple(zip(steps.months, steps.values, strict=True))
        return ((at.reading.start, float(self.of.read(value, at))),)

    def _schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "unlimited"}, *Series(of=self.of).schema()["anyOf"]]}


@dataclass(frozen=True, kw_only=True)
class Quantiles(Kind):
    """An uncertain duration: one certain value, three quantiles (10 %, 50 %, 90 %), or a fact with its range."""

    of: Amount

    def _read(self, value: object, at: Where) -> Spread:
        if isinstance(value, list):
            if len(value) != 3:
                wrong(f"{len(value)} values instead of three", value, self._allowed())
            value = dict(zip(("low", "mid", "high"), value, strict=True))
        if not isinstance(value, dict):
            certain = float(self.of.read(value, at))
            return Spread(low=certain, mid=certain, high=certain)
        if "fact" in value:
            found, times = self.of.fact(value, at)
            return Spread(low=found.low * times, mid=found.value * times, high=found.high * times)
        return self._quantiles(value, at)

    def _quantiles(self, value: Mapping[str, object], at: Where) -> Spread:
        if set(value) != {"low", "mid", "high"}:
            wrong("a spread has low, mid and high", sorted(map(str, value)), self._allowed())
        low, mid, high = gather([((k,), lambda k=k: float(self.of.read(value[k], at)))  # type: ignore[misc]
                                 for k in ("low", "mid", "high")])
        if not low <= mid <= high:
            wrong("low <= mid <= high does not hold", [value[k] for k in ("low", "mid", "high")])
        return Spread(low=low, mid=mid, high=high)

    def _allowed(self) -> str:
        return f'{self.of.example}, ["6 wk", "8 wk", "20 wk"] or {{ low = "6 wk", mid = "8 wk", high = "20 wk" }}'

    def _schema(self) -> dict[str, Any]:
        one = self.of.schema()["anyOf"][0]
        named = {"type": "object", "required": ["low", "mid", "high"], "additionalProperties": False,
                 "properties": dict.fromkeys(("low", "mid", "high"), one)}
        return {"anyOf": [*self.of.schema()["anyOf"], named,
                          {"type": "array", "items": one, "minItems": 3, "maxItems": 3}]}


def read_month(value: object) -> Month:
    """A month as "2025-01"; a date counts as its month. Raises Wrong."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return month_of(value)
    if not isinstance(value, str) or not re.match(r"\d{4}-\d{2}(-\d{2})?$", value):
        wrong("not a month", value, '"YYYY-MM", e.g. "2025-01"')
    try:
        found = month(value)
    except FactError as error:
        raise Wrong([((), p) for p in error.problems]) from None
    if not FIRST_MONTH <= found <= LAST_MONTH:
        wrong("a month out of range", value, f"{month_name(FIRST_MONTH)} to {month_name(LAST_MONTH)}")
    return found


@dataclass(frozen=True, kw_only=True)
class AMonth(Kind):
    """A calendar month."""

    example: str = '"2025-01"'

    def _read(self, value: object, at: Where) -> Month:
        return read_month(value)

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d{4}-\d{2}(-\d{2})?$", "examples": ["2025-01"]}


@dataclass(frozen=True, kw_only=True)
class Term(Kind):
    """Length of a contract in months; "on demand" is one month."""

    of: Amount

    def _read(self, value: object, at: Where) -> int:
        return 1 if value == "on demand" else int(self.of.read(value, at))

    def _schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "on demand"}, *self.of.schema()["anyOf"]]}


@dataclass(frozen=True, kw_only=True)
class Day(Kind):
    """A day: a TOML date, or the same in quotes."""

    example: str = "2024-12-19"

    def _read(self, value: object, at: Where) -> date:
        if isinstance(value, str):
            try:
                value = date.fromisoformat(value)
            except ValueError:
                wrong("not a date", value, "YYYY-MM-DD, e.g. 2024-12-19")
        if not isinstance(value, date) or isinstance(value, datetime):
            wrong("not a date", value, "YYYY-MM-DD, e.g. 2024-12-19")
        if not FIRST_MONTH <= month_of(value) <= LAST_MONTH:
            wrong("a date out of range", value.isoformat())
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date", "examples": ["2024-12-19"]}


@dataclass(frozen=True, kw_only=True)
class Text(Kind):
    """Free text of at most `most` characters, not blank."""

    most: int = 2000
    example: str = '"..."'

    def _read(self, value: object, at: Where) -> str:
        if not isinstance(value, str) or not value.strip():
            wrong("needs words in quotes", value)
        if len(value) > self.most:
            wrong("too long", value, f"at most {self.most} characters")
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.most}


ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Id(Kind):
    """A short name that other records refer to."""

    example: str = '"memphis"'

    def _read(self, value: object, at: Where) -> str:
        if not isinstance(value, str) or not ID.fullmatch(value):
            wrong("not an id", value, "at most 80 letters, digits, '.', '-' and '_', beginning with a letter or digit")
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{ID.pattern}$"}


@dataclass(frozen=True, kw_only=True)
class Ref(Kind):
    """The id of a record of this scenario: one of `to` ("owners", "sites")."""

    to: str

    def _read(self, value: object, at: Where) -> str:
        thing = self.to.removesuffix("s")
        if isinstance(value, list):
            wrong(f"two {self.to} of one thing", value, f"one {thing}", "Write one record for each, with its share.")
        known = at.reading.ids.get(self.to, ())
        if not isinstance(value, str) or value not in known:
            wrong(f'unknown {thing} "{value}"' if isinstance(value, str) else f"not the id of a {thing}",
                  "" if isinstance(value, str) else value,
                  f"{', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else f"a [[{self.to}]] first",
                  nearest(str(value), known) if known else "")
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "description": f"id of one of [[{self.to}]]"}


@dataclass(frozen=True, kw_only=True)
class Subject(Kind):
    """A system, model or place of the facts, by id or unambiguous name.

    complete   a system whose every figure must be known as of the date, because it is bought, held or rented
    """

    kind: str
    complete: bool = False

    def _read(self, value: object, at: Where) -> str:
        if isinstance(value, list):
            wrong(f"two {self.kind}s in one record", value, f"one {self.kind}", "Write one record for each.")
        if not isinstance(value, str):
            wrong(f"not the name of a {self.kind}", value)
        try:
            if self.kind != "system":
                return at.reading.subject(value, self.kind)
            if self.complete or at.reading.facts.subjects.by_id.get(value) is None:
                return at.reading.system(value).id
            return at.reading.subject(value, "system")
        except MissingFact:
            _incomplete(value, at)
        except ExafleetError as error:
            raise Wrong([((), p) for p in error.problems]) from None

    def _schema(self) -> dict[str, Any]:
        return {"type": "string", "description": f"id of a {self.kind} of the facts, e.g. {self.example}"}


def _incomplete(name: str, at: Where) -> NoReturn:
    """One problem for a system of which something is not known, however much that is."""
    facts = at.reading.facts
    found = facts.subjects.resolve(name)
    system = found if found.kind == "system" else facts.subjects.by_id[systems_of(facts, found.id)[0]]
    wanted = (*(f"{system.id}.{t}" for t in SYSTEM_TERMS), *(f"{system.chip}.{t}" for t in CHIP_TERMS))
    lacks = [key for key in wanted if facts.try_get(key) is None]
    lacks += [] if facts.find(system.chip, "peak_flops") else [f"{system.chip}.peak_flops@bf16"]
    wrong(f"{system.id} is not known well enough as of {facts.as_of.isoformat()}: no {', '.join(lacks)}",
          remedy="Give them in facts.csv beside the scenario, with their source and date.")


@dataclass(frozen=True, kw_only=True)
class Several(Kind):
    """A list of different values of one kind."""

    of: Kind
    empty: bool = True

    def _read(self, value: object, at: Where) -> tuple[Any, ...]:
        if not isinstance(value, list):
            wrong("not a list", value, f"[{self.of.example or '...'}]")
        found = gather([((i,), lambda v=v: self.of.read(v, at)) for i, v in enumerate(value)])  # type: ignore[misc]
        twice = next((v for v in found if found.count(v) > 1), None) if len(found) < 1000 else None
        if twice is not None:
            wrong(f'"{twice}" is listed twice')
        if not found and not self.empty:
            wrong("an empty list", allowed=f"[{self.of.example}]")
        return tuple(found)

    def _schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema(), "uniqueItems": True}


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    def _read(self, value: object, at: Where) -> str:
        if value not in self.words:
            wrong(f"unknown word {shown(value)}", allowed=", ".join(self.words),
                  remedy=nearest(value, self.words) if isinstance(value, str) else "")
        return str(value)

    def _schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, kw_only=True)
class Flag(Kind):
    """true or false."""

    example: str = "true"

    def _read(self, value: object, at: Where) -> bool:
        if value in ("true", "false"):  # from a table, where every cell is text
            return value == "true"
        if not isinstance(value, bool):
            wrong("neither true nor false", value)
        return value

    def _schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Quota(Kind):
    """Power by site: { memphis = "100 MW" }."""

    of: Series

    def _read(self, value: object, at: Where) -> tuple[tuple[str, Steps], ...]:
        if not isinstance(value, dict):
            wrong("not power by site", value, '{ memphis = "100 MW" }')
        site = Ref(to="sites")
        return tuple(gather([((k,), lambda k=k, v=v: (site.read(k, at), self.of.read(v, at)))  # type: ignore[misc]
                             for k, v in value.items()]))

    def _schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.of.schema()}


@dataclass(frozen=True, kw_only=True)
class Tiers(Kind):
    """Discounts by size of one order: [{ from = "100 racks", price = "-5 %" }]."""

    size: Amount
    price: Amount

    def _read(self, value: object, at: Where) -> tuple[tuple[int, float], ...]:
        if not isinstance(value, list):
            wrong("not a list of tiers", value, self.example)
        tiers = gather([((i,), lambda v=v: self._tier(v, at)) for i, v in enumerate(value)])  # type: ignore[misc]
        if any(a[0] >= b[0] for a, b in pairwise(tiers)):
            wrong("tiers must grow in size", [t[0] for t in tiers])
        return tuple(tiers)

    def _tier(self, value: object, at: Where) -> tuple[int, float]:
        if not isinstance(value, dict) or set(value) != {"from", "price"}:
            wrong("not a tier", value, self.example)
        size, change = gather([(("from",), lambda: self.size.read(value["from"], at)),
                               (("price",), lambda: self.price.read(value["price"], at))])
        return int(size), 1.0 + change

    def _schema(self) -> dict[str, Any]:
        tier = {"type": "object", "required": ["from", "price"], "additionalProperties": False,
                "properties": {"from": self.size.schema(), "price": self.price.schema()}}
        return {"type": "array", "items": tier}
