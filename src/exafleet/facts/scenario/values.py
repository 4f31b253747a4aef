"""What a value of a scenario may refer to while it is read, and the first kind of value: an amount with a unit.

A kind is a small frozen record used as pydantic metadata (`power: Annotated[Steps, Series(...)]`). It reads what TOML
or CSV holds into what facts/records.py wants, in the record's unit, and describes itself for the JSON Schema and the
docs. A kind never stops at the first mistake inside one value. Further kinds: facts/scenario/kinds.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import System, system
from exafleet.facts.scenario.tables import Folder
from exafleet.terms.calendar import DAYS_PER_MONTH, SECONDS_PER_DAY, Month, month_of
from exafleet.terms.errors import ExafleetError, Problem
from exafleet.terms.term import terms
from exafleet.terms.units import Quantity, base_unit, of_dimension, parse, words

T = TypeVar("T")
MEAN_MONTH = DAYS_PER_MONTH * SECONDS_PER_DAY
SUBJECT_OF_CURRENCY = {"CNY": "cny", "EUR": "eur"}
CURRENCIES = ("USD", *SUBJECT_OF_CURRENCY)
Wrongs = list[tuple[tuple[str | int, ...], Problem]]


class Wrong(Exception):
    """What is wrong with one value: problems with the path below the value they belong to. No user ever sees it."""

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


def gather(pieces: Iterable[tuple[tuple[str | int, ...], Callable[[], T]]]) -> list[T]:
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

    currency of amounts written without one
    start, months   the horizon; `horizon` is False when the scenario does not give a sound one
    ids      what each array declares: {"owners": ("xai", "tesla"), ...}
    origins  facts that values of the record being read were taken from, by key
    """

    facts: Facts
    folder: Folder
    currency: str = "USD"
    start: Month = 0
    months: int = 1
    horizon: bool = True
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    origins: dict[str, Fact] = field(default_factory=dict)
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


def _tried(piece: Callable[[], T]) -> T | ExafleetError:
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
        return self._read(value, at)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be written."""
        return self._schema()

    def _read(self, value: object, at: Where) -> Any:
        raise NotImplementedError

    def _schema(self) -> dict[str, Any]:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def validate(value: object, info: Any) -> Any:
            at = Where(info.context, info.data or {}, info.field_name or "")
            try:
                return self.read(value, at)
            except Wrong as error:
                raise PydanticCustomError("wrong", "wrong", {"wrongs": error.wrongs}) from None

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

    def _read(self, value: object, at: Where) -> float | int:
        number = self._number(value, at)
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

    def _number(self, value: object, at: Where) -> float:
        """In the record's unit; the range is not checked yet."""
        if isinstance(value, bool) or not isinstance(value, int | float | str | dict):
            wrong("not a quantity", value, self.allowed())
        if isinstance(value, dict):
            return self._from_fact(value, at)
        if isinstance(value, str):
            return self._converted(self._parsed(value, at), at, value)
        if not self.bare:
            wrong("a number without a unit", value, self.allowed())
        try:
            return float(value)
        except OverflowError:
            wrong("out of range", value, self.span())

    def _parsed(self, text: str, at: Where) -> Quantity:
        dims = (*self.dims, *(("number",) if self.bare and "number" not in self.dims else ()))
        money = not _MONEY.isdisjoint(dims) and not _SIGN.search(text) and not _PLAIN.fullmatch(text)
        try:
            return parse(f"{at.reading.currency} {text}" if money else text, *dims)
        except ExafleetError as error:
            raise Wrong([((), Problem(what=p.what, got=shown(text), allowed=f"{p.allowed}, e.g. {self.example}",
                                      remedy=p.remedy)) for p in error.problems]) from None

    def _converted(self, found: Quantity, at: Where, written: object) -> float:
        factor = self.dims.get(found.dimension, 1.0)
        if found.dimension in self.chips:
            factor *= self._per_unit(at, written) ** self.chips[found.dimension]
        return found.value * factor * (at.reading.usd(found.currency) if found.dimension in _MONEY else 1.0)

    def _per_unit(self, at: Where, written: object) -> float:
        """Chips in one unit of the record's system; a system that is wrong itself is told there, not here."""
        name = at.data.get("system")
        if name is None:
            return 1.0
        try:
            return float(at.reading.system(name).chips)
        except ExafleetError:
            wrong(f"the number of chips in {name} is not known", written, remedy="Write it per unit of the system.")

    def _from_fact(self, value: Mapping[str, object], at: Where) -> float:
        """{ fact = "subject.term@at", times = 1.1 }"""
        found, times = self.fact(value, at)
        quantity = Quantity(value=found.value * times, dimension=terms()[found.term].dimension)
        return self._converted(quantity, at, found.key)

    def fact(self, value: Mapping[str, object], at: Where) -> tuple[Fact, float]:
        """The fact and the factor of { fact = ..., times = ... }; noted as the origin of the value. Raises Wrong."""
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
        at.reading.origins[at.name] = found
        return found, float(times)

    def allowed(self) -> str:
        """Units and an example, for messages."""
        each = ((words(d), of_dimension(d)) for d in self.dims)
        said = (f"a {d} in {', '.join(u[:8])}{', ...' if len(u) > 8 else ''}" for d, u in each)
        return f"{' or '.join(said)}, e.g. {self.example}"

    def span(self) -> str:
        """The range, for messages."""
        low, high = f"{self.low:g}", f"{self.high:g}"
        unit = "" if self.unit in ("1", "count") else f" {self.unit}"
        return f"from {low}{unit}" if math.isinf(self.high) else f"{low} to {high}{unit}"

    def _schema(self) -> dict[str, Any]:
        text = {"type": "string", "description": f"a {' or '.join(words(d) for d in self.dims)}, e.g. {self.example}"}
        number = [{"type": "number" if not self.whole else "integer"}] if self.bare else []
        return {"anyOf": [text, *number, FACT_SCHEMA]}

    def words(self) -> str:
        """What may be written, for the docs."""
        return " or ".join(words(d) for d in self.dims) + (" or a plain number" if self.bare else "")


_MONEY = frozenset({"money", "price_per_chip", "price_per_unit", "rent", "energy_price", "power_rent", "money_rate",
                    "unit_cost_rate", "token_price", "capex_per_power"})
_SIGN = re.compile(r"\$|USD|CNY|EUR|RMB|¥|€")
_PLAIN = re.compile(r"\s*[+-]?[\d.,_]*\s*")
FACT_SCHEMA: dict[str, Any] = {
    "type": "object", "required": ["fact"], "additionalProperties": False,
    "properties": {"fact": {"type": "string", "description": 'key of a fact, e.g. "grid-us.carbon_intensity@2025"'},
                   "times": {"type": "number", "description": "factor on the fact, 1 unless given"}}}


def amount(dimension: str, example: str, *, unit: str = "", **more: Any) -> Amount:
    """An Amount of one dimension in its base unit."""
    return Amount(dims={dimension: 1.0}, unit=unit or base_unit(dimension), example=example, **more)
