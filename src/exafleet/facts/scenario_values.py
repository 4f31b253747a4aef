"""How each kind of value in a scenario is written, read and described: amounts, months, series, spreads, references.

A kind is a small frozen record used as pydantic metadata (`power: Annotated[Steps, Series(...)]`). It reads what TOML
or CSV holds into what facts/records.py wants, in the record's unit, and describes itself for the JSON Schema and the
docs. A kind never stops at the first mistake inside one value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NoReturn

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import System, system
from exafleet.facts.records import Spread, Steps
from exafleet.facts.tables import Folder, missing_column
from exafleet.terms.calendar import DAYS_PER_MONTH, SECONDS_PER_DAY, Month, month, month_name, month_of
from exafleet.terms.errors import ExafleetError, FactError, Problem, nearest
from exafleet.terms.term import terms
from exafleet.terms.units import Quantity, base_unit, of_dimension, parse, words

MEAN_MONTH = DAYS_PER_MONTH * SECONDS_PER_DAY
SUBJECT_OF_CURRENCY = {"CNY": "cny", "EUR": "eur"}
CURRENCIES = ("USD", *SUBJECT_OF_CURRENCY)
FIRST_MONTH, LAST_MONTH = month("1990-01"), month("2150-12")
Wrongs = list[tuple[tuple[str | int, ...], Problem]]


class Wrong(Exception):  # noqa: N818  (never seen by a user: it carries problems from a kind to the reader)
    """What is wrong with one value: problems with the path below the value they belong to."""

    def __init__(self, wrongs: Wrongs) -> None:
        super().__init__(str(wrongs))
        self.wrongs = wrongs


def wrong(what: str, got: object = "", allowed: str = "", remedy: str = "") -> NoReturn:
    """Raise Wrong with one problem about the value itself."""
    raise Wrong([((), Problem(what=what, got=shown(got) if got != "" else "", allowed=allowed, remedy=remedy))])


def shown(value: object) -> str:
    """A value as the user wrote it, short enough for a message."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def gather[T](pieces: Iterable[tuple[tuple[str | int, ...], Callable[[], T]]]) -> list[T]:
    """Results of every piece, or Wrong with the problems of all of them."""
    wrongs: Wrongs = []
    found: list[T] = []
    for path, piece in pieces:
        try:
            found.append(piece())
        except Wrong as error:
            wrongs += [((*path, *below), problem) for below, problem in error.wrongs]
    if wrongs:
        raise Wrong(wrongs)
    return found


# ------------------------------------------------------------------------------------------------ what values refer to
@dataclass(slots=True)
class Reading:
    """What a value may refer to while a scenario is read.

    ids      what each array declares: {"owners": ("xai", "tesla"), ...}
    origins  facts that values were taken from, by path of the value; filled while reading
    path     path of the record being read
    """

    facts: Facts
    folder: Folder
    currency: str = "USD"
    start: Month = 0
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    origins: dict[tuple[str | int, ...], Fact] = field(default_factory=dict)
    path: tuple[str | int, ...] = ()
    systems: dict[str, System | ExafleetError] = field(default_factory=dict)
    names: dict[tuple[str, ...], str | ExafleetError] = field(default_factory=dict)

    def usd(self, currency: str) -> float:
        """US dollars of one unit of a currency, at the last monthly mean known as of the date."""
        if currency == "USD":
            return 1.0
        known = self.facts.monthly(SUBJECT_OF_CURRENCY[currency], "fx")
        rates = [f for m, f in known.items() if m <= month_of(self.facts.as_of)]
        if not rates:
            wrong(f"no exchange rate of {currency} is known as of {self.facts.as_of.isoformat()}",
                  remedy=f"Give the fact {SUBJECT_OF_CURRENCY[currency]}.fx@YYYY-MM in facts.csv beside the scenario, "
                         "or write US dollars.")
        return 1.0 / rates[-1].value

    def system(self, name: str) -> System:
        """The system of this id; raises FactError, once looked up and then remembered."""
        if name not in self.systems:
            self.systems[name] = _tried(lambda: system(self.facts, name))
        found = self.systems[name]
        if isinstance(found, ExafleetError):
            raise found
        return found

    def subject(self, name: str, *kinds: str) -> str:
        """Id of the subject called `name`; raises FactError."""
        if (name, *kinds) not in self.names:
            self.names[(name, *kinds)] = _tried(lambda: self.facts.subjects.resolve(name, *kinds).id)
        found = self.names[(name, *kinds)]
        if isinstance(found, ExafleetError):
            raise found
        return found


def _tried[T](piece: Callable[[], T]) -> T | ExafleetError:
    try:
        return piece()
    except ExafleetError as error:
        return error


@dataclass(frozen=True, slots=True)
class Where:
    """The reading, the fields of the same record that are already read, and the name of this one."""

    reading: Reading
    data: Mapping[str, Any]
    name: str


# -------------------------------------------------------------------------------------------------------------- kinds
@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way of writing a value. `example` is shown in messages, in the JSON Schema and in the docs."""

    example: str = ""

    def read(self, value: object, at: Where) -> Any:
        """The value for the record; raises Wrong."""
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be written."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def validate(value: object, info: Any) -> Any:
            at = Where(info.context, info.data or {}, info.field_name or "")
            try:
                return self.read(value, at)
            except Wrong as error:
                raise PydanticCustomError("wrong", "{text}", {"text": str(error), "wrongs": error.wrongs}) from None

        return core_schema.with_info_plain_validator_function(validate)

    def __get_pydantic_json_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return self.schema()


@dataclass(frozen=True, kw_only=True)
class Amount(Kind):
    """A number with a unit, one of `dims`: factor from its base unit to the unit of the record.

    unit       of the record's field, as `World.keys` names it
    bare       a number without a unit is understood (the key itself says the unit)
    whole      must be a whole number
    chips      dimension whose values are per chip (+1: price_per_chip) or in chips (-1) of the record's system
    """

    dims: Mapping[str, float]
    unit: str
    low: float = 0.0
    high: float = math.inf
    bare: bool = False
    whole: bool = False
    chips: Mapping[str, int] = field(default_factory=dict)
    optional: bool = False

    def read(self, value: object, at: Where) -> float | int:
        number = self.number(value, at)
        if not math.isfinite(number):
            wrong("not a finite number", value)
        if not self.low <= number <= self.high:
            negative = number < 0 <= self.low
            wrong("must not be negative" if negative else "out of range", value, self.span())
        if not self.whole:
            return number
        if abs(number - round(number)) > 1e-6 * max(1.0, abs(number)):
            what = "not a whole number" if not self.chips else f"not a whole number of units ({number:g})"
            wrong(what, value)
        return round(number)

    def number(self, value: object, at: Where) -> float:
        """In the record's unit; the range is not checked yet."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | dict):
            wrong("not a quantity", value, self.allowed())
        if isinstance(value, dict):
            return self.from_fact(value, at)
        if isinstance(value, str):
            return self.converted(self.parsed(value), at, value)
        if not self.bare:
            wrong("a number without a unit", value, self.allowed())
        try:
            return float(value)
        except OverflowError:
            wrong("out of range", value, self.span())

    def parsed(self, text: str) -> Quantity:
        dims = (*self.dims, *(("number",) if self.bare and "number" not in self.dims else ()))
        try:
            return parse(text, *dims)
        except ExafleetError as error:
            raise Wrong([((), _with_example(p, self)) for p in error.problems]) from None

    def converted(self, found: Quantity, at: Where, written: object) -> float:
        factor = self.dims.get(found.dimension, 1.0)
        if found.dimension in self.chips:
            factor *= self.per_unit(at, written) ** self.chips[found.dimension]
        money = found.dimension in _MONEY
        currency = found.currency if not money or _signed(written) else at.reading.currency
        return found.value * factor * (at.reading.usd(currency) if money else 1.0)

    def per_unit(self, at: Where, written: object) -> float:
        """Chips in one unit of the record's system; a system that is wrong itself is told there, not here."""
        name = at.data.get("system")
        if name is None:
            return 1.0
        try:
            return float(at.reading.system(name).chips)
        except ExafleetError:
            wrong(f"the number of chips in {name} is not known", written, remedy="Write it per unit of the system.")

    def from_fact(self, value: Mapping[str, object], at: Where) -> float:
        """{ fact = "subject.term@at", times = 1.1 }"""
        found, times = self.fact(value, at)
        quantity = Quantity(value=found.value * times, dimension=terms()[found.term].dimension)
        return self.converted(quantity, at, "$")

    def fact(self, value: Mapping[str, object], at: Where) -> tuple[Fact, float]:
        unknown = [k for k in value if k not in ("fact", "times")]
        key, times = value.get("fact"), value.get("times", 1.0)
        if unknown or not isinstance(key, str):
            wrong(f"not a quantity{f', unknown key {unknown[0]!r}' if unknown else ''}", dict(value),
                  f'{self.allowed()}; or {{ fact = "subject.term" }}')
        if isinstance(times, bool) or not isinstance(times, int | float) or not math.isfinite(times):
            wrong("`times` is not a number", times)
        try:
            found = at.reading.facts.get(key)
        except ExafleetError as error:
            raise Wrong([(("fact",), p) for p in error.problems]) from None
        dimension = terms()[found.term].dimension
        if dimension not in self.dims:
            needs = " or ".join(words(d) for d in self.dims)
            wrong(f"the fact {key} is a {words(dimension)}, this needs {needs}")
        at.reading.origins[(*at.reading.path, at.name)] = found
        return found, float(times)

    def allowed(self) -> str:
        units = list(dict.fromkeys(u for d in self.dims for u in of_dimension(d)))
        return f"in {', '.join(units[:8])}{', ...' if len(units) > 8 else ''}, e.g. {self.example}"

    def span(self) -> str:
        low, high = f"{self.low:g}", f"{self.high:g}"
        unit = "" if self.unit in ("1", "count") else f" {self.unit}"
        return f"from {low}{unit}" if math.isinf(self.high) else f"{low} to {high}{unit}"

    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "description": f"a {' or '.join(words(d) for d in self.dims)}, e.g. {self.example}"}
        number = [{"type": "number" if not self.whole else "integer"}] if self.bare else []
        return {"anyOf": [text, *number, FACT_SCHEMA]}

    def words(self) -> str:
        """What may be written, for the docs."""
        return " or ".join(words(d) for d in self.dims) + (" or a plain number" if self.bare else "")


_MONEY = frozenset({"money", "price_per_chip", "price_per_unit", "rent", "energy_price", "power_rent", "money_rate",
                    "unit_cost_rate", "token_price", "capex_per_power"})
_SIGN = re.compile(r"\s*[+-]?\s*(US\$|\$|USD|CNY|EUR|RMB|¥|€)|(USD|CNY|EUR|RMB)")
FACT_SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["fact"], "additionalProperties": False,
    "properties": {"fact": {"type": "string", "description": 'key of a fact, e.g. "grid-us.carbon_intensity@2025"'},
                   "times": {"type": "number", "description": "factor on the fact, 1 unless given"}}}
MONTH_PATTERN = r"^\d{4}-(0[1-9]|1[0-2])$"


def _signed(written: object) -> bool:
    return isinstance(written, str) and _SIGN.search(written) is not None


def _with_example(problem: Problem, kind: Amount) -> Problem:
    return Problem(what=problem.what, got=problem.got, allowed=f"{problem.allowed}, e.g. {kind.example}",
                   remedy=problem.remedy)


def amount(dimension: str, example: str, *, unit: str = "", **more: Any) -> Amount:
    """An Amount of one dimension in its base unit."""
    return Amount(dims={dimension: 1.0}, unit=unit or base_unit(dimension), example=example, **more)


@dataclass(frozen=True, kw_only=True)
class Series(Kind):
    """A monthly series: one amount, amounts by the month they begin, or a column of a table.

    capacity   what is zero before its first month (power, demand); prices are refused before theirs
    """

    of: Amount
    capacity: bool = True

    def read(self, value: object, at: Where) -> Steps:
        if isinstance(value, dict) and "table" in value:
            return self.steps(self.column(value, at))
        if isinstance(value, dict) and "fact" not in value:
            return self.steps(self.by_month(value, at))
        return Steps.constant(float(self.of.read(value, at)))

    def by_month(self, value: Mapping[str, object], at: Where) -> list[tuple[Month, float]]:
        if not value:
            wrong("a series without a month", allowed=f'{{ "2025-01" = {self.of.example}, ... }}')
        pairs = gather([((k,), lambda k=k, v=v: (read_month(k), float(self.of.read(v, at))))  # type: ignore[misc]
                        for k, v in value.items()])
        return _in_order(pairs)

    def column(self, value: Mapping[str, object], at: Where) -> list[tuple[Month, float]]:
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
            (line, lambda m=m, cell=cell: (read_month(m), self.cell(cell, unit, at)))  # type: ignore[misc]
            for (line, m), (_, cell) in zip(months, cells, strict=True)]))

    def cell(self, cell: str, unit: str, at: Where) -> float:
        if not cell:
            wrong("an empty cell", allowed=self.of.example)
        return float(self.of.read(f"{cell} {unit}".strip() if unit else cell, at))

    def steps(self, pairs: Sequence[tuple[Month, float]]) -> Steps:
        return Steps(months=tuple(m for m, _ in pairs), values=tuple(v for _, v in pairs),
                     before=0.0 if self.capacity else pairs[0][1])

    def schema(self) -> dict[str, Any]:
        months = {"type": "object", "patternProperties": {MONTH_PATTERN: self.of.schema()}, "minProperties": 1,
                  "additionalProperties": False, "description": "value by the month from which it holds"}
        return {"anyOf": [*self.of.schema()["anyOf"], months, TABLE_SCHEMA]}


TABLE_SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["table", "column"], "additionalProperties": False,
    "properties": {"table": {"type": "string", "description": "CSV file beside the scenario, with a column `month`"},
                   "column": {"type": "string"}, "unit": {"type": "string", "description": "unit of plain numbers"}}}


def _each_cell[T](file: str, cells: Iterable[tuple[int, Callable[[], T]]]) -> list[T]:
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
    for (earlier, _), (later, _) in zip(ordered, ordered[1:], strict=False):
        if earlier == later:
            wrong(f"{month_name(earlier)} is given twice")
    return ordered


@dataclass(frozen=True, kw_only=True)
class Budget(Kind):
    """Money by the month it becomes available, one sum at the start, or "unlimited"."""

    of: Amount

    def read(self, value: object, at: Where) -> tuple[tuple[Month, float], ...] | None:
        if value == "unlimited":
            return None
        if isinstance(value, dict) and "fact" not in value:
            steps = Series(of=self.of).read(value, at)
            return tuple(zip(steps.months, steps.values, strict=True))
        return ((at.reading.start, float(self.of.read(value, at))),)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "unlimited"}, *Series(of=self.of).schema()["anyOf"]]}


@dataclass(frozen=True, kw_only=True)
class Quantiles(Kind):
    """An uncertain duration: one certain value, three quantiles (10 %, 50 %, 90 %), or a fact with its range."""

    of: Amount

    def read(self, value: object, at: Where) -> Spread:
        if isinstance(value, list):
            if len(value) != 3:
                wrong(f"{len(value)} values instead of three", value, self.allowed())
            value = dict(zip(("low", "mid", "high"), value, strict=True))
        if not isinstance(value, dict):
            certain = float(self.of.read(value, at))
            return Spread(low=certain, mid=certain, high=certain)
        if "fact" in value:
            found, times = self.of.fact(value, at)
            return Spread(low=found.low * times, mid=found.value * times, high=found.high * times)
        return self.quantiles(value, at)

    def quantiles(self, value: Mapping[str, object], at: Where) -> Spread:
        if set(value) != {"low", "mid", "high"}:
            wrong("a spread has low, mid and high", sorted(map(str, value)), self.allowed())
        low, mid, high = gather([((k,), lambda k=k: float(self.of.read(value[k], at)))  # type: ignore[misc]
                                 for k in ("low", "mid", "high")])
        if not low <= mid <= high:
            wrong("low <= mid <= high does not hold", [value[k] for k in ("low", "mid", "high")])
        return Spread(low=low, mid=mid, high=high)

    def allowed(self) -> str:
        return f'{self.of.example}, ["6 wk", "8 wk", "20 wk"] or {{ low = "6 wk", mid = "8 wk", high = "20 wk" }}'

    def schema(self) -> dict[str, Any]:
        one = self.of.schema()["anyOf"][0]
        named = {"type": "object", "required": ["low", "mid", "high"], "additionalProperties": False,
                 "properties": {k: one for k in ("low", "mid", "high")}}
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

    def read(self, value: object, at: Where) -> Month:
        return read_month(value)

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^\d{4}-\d{2}(-\d{2})?$", "examples": ["2025-01"]}


@dataclass(frozen=True, kw_only=True)
class Term(Kind):
    """Length of a contract in months; "on demand" is one month."""

    of: Amount

    def read(self, value: object, at: Where) -> int:
        return 1 if value == "on demand" else int(self.of.read(value, at))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"const": "on demand"}, *self.of.schema()["anyOf"]]}


@dataclass(frozen=True, kw_only=True)
class Day(Kind):
    """A day: a TOML date, or the same in quotes."""

    example: str = "2024-12-19"

    def read(self, value: object, at: Where) -> date:
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

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": "date", "examples": ["2024-12-19"]}


@dataclass(frozen=True, kw_only=True)
class Text(Kind):
    """Words."""

    most: int = 2000
    example: str = '"..."'

    def read(self, value: object, at: Where) -> str:
        if not isinstance(value, str) or not value.strip():
            wrong("needs words in quotes", value)
        if len(value) > self.most:
            wrong("too long", value, f"at most {self.most} characters")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "maxLength": self.most}


ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, kw_only=True)
class Id(Kind):
    """A short name that other records refer to."""

    example: str = '"memphis"'

    def read(self, value: object, at: Where) -> str:
        if not isinstance(value, str) or not ID.fullmatch(value):
            wrong("not an id", value, "letters, digits, '.', '-' and '_', at most 80 of them, beginning with a letter or "
                  "digit")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{ID.pattern}$"}


@dataclass(frozen=True, kw_only=True)
class Ref(Kind):
    """The id of a record of this scenario: one of `to` ("owners", "sites")."""

    to: str

    def read(self, value: object, at: Where) -> str:
        thing = self.to.removesuffix("s")
        if isinstance(value, list):
            wrong(f"two {self.to} of one thing", value, f"one {thing}", "Write one record for each, with its own share.")
        known = at.reading.ids.get(self.to, ())
        if not isinstance(value, str) or value not in known:
            wrong(f'unknown {thing} "{value}"' if isinstance(value, str) else f"not the id of a {thing}",
                  "" if isinstance(value, str) else value,
                  f"{', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else f"a [[{self.to}]] first",
                  nearest(str(value), known) if known else "")
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": f"id of one of [[{self.to}]]"}


@dataclass(frozen=True, kw_only=True)
class Subject(Kind):
    """A system, model or place of the facts, by id or unambiguous name.

    complete   a system whose every figure must be known as of the date, because it is bought, held or rented
    """

    kind: str
    complete: bool = False

    def read(self, value: object, at: Where) -> str:
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
        except ExafleetError as error:
            raise Wrong([((), p) for p in error.problems]) from None

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "description": f"id of a {self.kind} of the facts, e.g. {self.example}"}


@dataclass(frozen=True, kw_only=True)
class Several(Kind):
    """A list of different values of one kind."""

    of: Kind
    empty: bool = True

    def read(self, value: object, at: Where) -> tuple[Any, ...]:
        if not isinstance(value, list):
            wrong("not a list", value, f"[{self.of.example or '...'}]")
        found = gather([((i,), lambda v=v: self.of.read(v, at)) for i, v in enumerate(value)])  # type: ignore[misc]
        twice = next((v for v in found if found.count(v) > 1), None) if len(found) < 1000 else None
        if twice is not None:
            wrong(f'"{twice}" is listed twice')
        if not found and not self.empty:
            wrong("an empty list", allowed=f"[{self.of.example}]")
        return tuple(found)

    def schema(self) -> dict[str, Any]:
        return {"type": "array", "items": self.of.schema(), "uniqueItems": True}


@dataclass(frozen=True, kw_only=True)
class Choice(Kind):
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: object, at: Where) -> str:
        if value not in self.words:
            wrong(f"unknown word {shown(value)}", allowed=", ".join(self.words),
                  remedy=nearest(value, self.words) if isinstance(value, str) else "")
        return str(value)

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.words)}


@dataclass(frozen=True, kw_only=True)
class Flag(Kind):
    """true or false."""

    example: str = "true"

    def read(self, value: object, at: Where) -> bool:
        if value in ("true", "false"):  # from a table, where every cell is text
            return value == "true"
        if not isinstance(value, bool):
            wrong("neither true nor false", value)
        return value

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, kw_only=True)
class Quota(Kind):
    """Power by site: { memphis = "100 MW" }."""

    of: Series

    def read(self, value: object, at: Where) -> tuple[tuple[str, Steps], ...]:
        if not isinstance(value, dict):
            wrong("not power by site", value, '{ memphis = "100 MW" }')
        site = Ref(to="sites")
        return tuple(gather([((k,), lambda k=k, v=v: (site.read(k, at), self.of.read(v, at)))  # type: ignore[misc]
                             for k, v in value.items()]))

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.of.schema()}


@dataclass(frozen=True, kw_only=True)
class Tiers(Kind):
    """Discounts by size of one order: [{ from = "100 racks", price = "-5 %" }]."""

    size: Amount
    price: Amount

    def read(self, value: object, at: Where) -> tuple[tuple[int, float], ...]:
        if not isinstance(value, list):
            wrong("not a list of tiers", value, self.example)
        tiers = gather([((i,), lambda v=v: self.tier(v, at)) for i, v in enumerate(value)])  # type: ignore[misc]
        if any(a[0] >= b[0] for a, b in zip(tiers, tiers[1:], strict=False)):
            wrong("tiers must grow in size", [t[0] for t in tiers])
        return tuple(tiers)

    def tier(self, value: object, at: Where) -> tuple[int, float]:
        if not isinstance(value, dict) or set(value) != {"from", "price"}:
            wrong("not a tier", value, self.example)
        size, change = gather([(("from",), lambda: self.size.read(value["from"], at)),
                               (("price",), lambda: self.price.read(value["price"], at))])
        return int(size), 1.0 + change

    def schema(self) -> dict[str, Any]:
        tier = {"type": "object", "required": ["from", "price"], "additionalProperties": False,
                "properties": {"from": self.size.schema(), "price": self.price.schema()}}
        return {"type": "array", "items": tier}
