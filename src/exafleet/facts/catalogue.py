"""Every fact visible as of a date, by key; and the reader of the CSV tables they are kept in.

A table is one file of `data/` (or of a scenario folder) with the columns of `COLUMNS`. Several facts may share a key:
the best one wins (own facts, then `KINDS` order, then the newest) and the others are listed as competing. Facts
published after `as_of` do not exist. A `Facts` never changes: `with_fact` gives a new one that shares the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from exafleet.facts.fact import KINDS, Fact, split_key
from exafleet.facts.subjects import Subjects
from exafleet.facts.table import read_tables
from exafleet.terms.calendar import Month, month
from exafleet.terms.errors import FactError, MissingFact, OutOfRange, Problem, nearest
from exafleet.terms.said import Said, said
from exafleet.terms.term import Term, term, terms
from exafleet.terms.units import DATA, base_unit, parse

WHAT_IF = "what-if"
_RANK = {kind: rank for rank, kind in enumerate(KINDS)}
_Table = Mapping[tuple[str, str], Mapping[str, tuple[Fact, ...]]]


class _Watched(dict[tuple[str, str], Mapping[str, tuple[Fact, ...]]]):
    """A table that notes what is looked up in it."""

    def __init__(self, table: _Table, seen: set[tuple[str, str]]) -> None:
        super().__init__(table)
        self._seen = seen

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        """The facts of a subject and term."""
        self._seen.add(key)
        return super().get(key, default)


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by (subject, term) and qualifier, best first; `overlay` holds what-if values and wins over the table."""

    as_of: date
    subjects: Subjects
    sources: Mapping[str, str]
    table: _Table
    overlay: Mapping[tuple[str, str], Mapping[str, Fact]] = field(default_factory=dict)
    whole: bool = False  # no day was asked for: nothing is left out, and `as_of` is the day of the newest

    @property
    def told(self) -> Said:
        """Which facts these are, in words: "facts as of 2024-12-19", or all of them."""
        return said("facts.every" if self.whole else "facts.as of", day=self.as_of.isoformat())

    def get(self, key: str) -> Fact:
        """The fact at `key`; raises MissingFact with the nearest keys, or why the fact is not visible."""
        return self.history(key)[0]

    def try_get(self, key: str) -> Fact | None:
        """The fact at `key`, or None."""
        found = self._candidates(key)
        return found[0] if found else None

    def value(self, key: str) -> float:
        """Value at `key` in base units; raises MissingFact."""
        return self.get(key).value

    def try_value(self, key: str) -> float | None:
        """Value at `key` in base units, or None."""
        found = self.try_get(key)
        return None if found is None else found.value

    def find(self, subject: str, term: str) -> dict[str, Fact]:
        """Winning fact by qualifier of one term of one subject, e.g. {"bf16": ..., "fp8": ...}; {} when none."""
        found = {at: many[0] for at, many in self.table.get((subject, term), {}).items()}
        found.update(self.overlay.get((subject, term), {}))
        return found

    def monthly(self, subject: str, term: str, basis: str = "") -> dict[Month, Fact]:
        """Facts qualified "2025-10", or "on-demand:2025-10" when `basis` is "on-demand", by month, oldest first."""
        prefix = f"{basis}:" if basis else ""
        found = {}
        for at, fact in self.find(subject, term).items():
            day = at.removeprefix(prefix) if at.startswith(prefix) else ""
            if len(day) == 7 and day[4] == "-" and day[5].isdigit():
                found[month(day)] = fact
        return dict(sorted(found.items()))

    def competing(self, key: str) -> tuple[Fact, ...]:
        """Visible facts with this key that lost, best first."""
        return self._candidates(key)[1:]

    def history(self, key: str) -> tuple[Fact, ...]:
        """Winner and losers of a key, best first; raises MissingFact when there is none."""
        found = self._candidates(key)
        if not found:
            raise MissingFact(self._missing(key))
        return found

    def of(self, subject: str) -> list[Fact]:
        """Every winning fact of one subject, by term and qualifier."""
        return sorted((f for f in self if f.subject == subject), key=lambda f: (f.term, f.at))

    def search(self, words: str) -> list[Fact]:
        """Winning facts in whose key, subject name, note or source every word occurs, in any case."""
        wanted = words.casefold().split()
        return sorted((f for f in self if all(w in self._text(f) for w in wanted)), key=lambda f: f.key)

    def every(self) -> list[Fact]:
        """Winners, losers and what-if values, by key and best first."""
        rows = [f for by_at in self.overlay.values() for f in by_at.values()]
        rows += [f for by_at in self.table.values() for many in by_at.values() for f in many]
        return sorted(rows, key=lambda f: f.key)

    def holding(self, rows: Iterable[Fact]) -> Facts:
        """These facts and no others, with the same subjects and sources."""
        return replace(self, table=_table(rows), overlay={})

    def watched(self) -> tuple[Facts, set[tuple[str, str]]]:
        """The same facts, and a set that fills with the (subject, term) of everything asked of them by key."""
        seen: set[tuple[str, str]] = set()
        return replace(self, table=_Watched(self.table, seen)), seen

    def __iter__(self) -> Iterator[Fact]:
        for pair in [*self.table, *(p for p in self.overlay if p not in self.table)]:
            yield from self.find(*pair).values()

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def with_fact(self, key: str, value: float | str) -> Facts:
        """The same facts with one value replaced: a float in base units, or words such as "9 TB/s".

        Raises MissingFact for an unknown subject or term, UnitError or OutOfRange for a bad value.
        """
        subject, name, at = split_key(key)
        if subject not in self.subjects.by_id or name not in terms():
            raise MissingFact(self._missing(key))
        fact = _what_if(self.try_get(key), subject, term(name), at, value, self.as_of)
        pair = (subject, name)
        return replace(self, overlay={**self.overlay, pair: {**self.overlay.get(pair, {}), at: fact}})

    def without_own(self, subjects: Iterable[str]) -> Facts:
        """The same facts without the user's own about some subjects; the package's remain."""
        gone = set(subjects)
        kept = {pair: {at: tuple(f for f in many if not f.own) for at, many in by_at.items()}
                if pair[0] in gone else by_at for pair, by_at in self.table.items()}
        return replace(self, table={pair: {at: many for at, many in by_at.items() if many}
                                    for pair, by_at in kept.items()})

    @property
    def data_hash(self) -> str:
        """sha256 of every visible row and what-if value: equal hashes read equal numbers."""
        rows = [many for by_at in self.table.values() for many in by_at.values()]
        lines = [_line(f) for many in rows for f in many]
        lines += [_line(f) for by_at in self.overlay.values() for f in by_at.values()]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    def _candidates(self, key: str) -> tuple[Fact, ...]:
        subject, name, at = split_key(key)
        below = self.table.get((subject, name), {}).get(at, ())
        above = self.overlay.get((subject, name), {}).get(at)
        return below if above is None else (above, *below)

    def _missing(self, key: str) -> Problem:
        return missing(self, key)

    def _text(self, fact: Fact) -> str:
        name = self.subjects.by_id[fact.subject].name if fact.subject in self.subjects.by_id else ""
        return f"{fact.key} {name} {fact.note} {fact.source} {self.sources.get(fact.source, '')}".casefold()


def missing(facts: Facts, key: str) -> Problem:
    """Why there is no fact at `key`: an unknown subject or term, another qualifier, or simply not known by then."""
    subject, name, _ = split_key(key)
    if subject not in facts.subjects.by_id:
        return Problem(what=f'no fact "{key}": unknown subject "{subject}"',
                       remedy=nearest(subject, facts.subjects.by_id))
    if name not in terms():
        return Problem(what=f'no fact "{key}": unknown term "{name}"', remedy=nearest(name, terms()))
    others = sorted(facts.find(subject, name))
    if others:
        shown = ", ".join(f"{subject}.{name}@{o}" if o else f"{subject}.{name}" for o in others[:8])
        return Problem(what=f'no fact "{key}"', allowed=shown + (", ..." if len(others) > 8 else ""))
    return Problem(what=f'no fact "{key}" is known as of {facts.as_of.isoformat()}',
                   remedy="Give it in a table of your own in the scenario folder, with its source and date.")


def load_facts(as_of: date, own: Sequence[Path] = (), data: Path = DATA) -> Facts:
    """Read every table of `data` and the user's `own` tables, as of a date.

    own    CSV files of the same columns (or of subjects.csv, for new subjects); their facts win over the package's

    Raises one FactError that lists every mistake of every file with file and line.
    """
    problems: list[Problem] = []
    read = read_tables(data, own, problems)
    if problems:
        raise FactError(problems)
    visible = (f for f in read.facts if f.as_of <= as_of)
    return Facts(as_of=as_of, subjects=read.subjects, sources=read.sources, table=_table(visible))


def _table(facts: Iterable[Fact]) -> _Table:
    """Facts by (subject, term) and qualifier, best first."""
    found: dict[tuple[str, str], dict[str, list[Fact]]] = {}
    for fact in facts:
        found.setdefault((fact.subject, fact.term), {}).setdefault(fact.at, []).append(fact)
    return {pair: {at: tuple(sorted(many, key=_order)) if len(many) > 1 else (many[0],)
                   for at, many in by_at.items()}
            for pair, by_at in found.items()}


def _order(fact: Fact) -> tuple[bool, int, int]:
    return (not fact.own, _RANK[fact.kind], -fact.as_of.toordinal())


def _line(f: Fact) -> str:
    return "|".join((f.key, repr(f.value), repr(f.low), repr(f.high), f.kind, f.source, f.where,
                     f.as_of.isoformat(), str(f.own)))


def _what_if(old: Fact | None, subject: str, word: Term, at: str, value: float | str, as_of: date) -> Fact:
    number = parse(value, word.dimension).value if isinstance(value, str) else float(value)
    key = f"{subject}.{word.name}@{at}" if at else f"{subject}.{word.name}"
    if not word.low <= number <= word.high:
        raise OutOfRange(Problem(what=f"{key} is out of range", got=str(value),
                                 allowed=f"{word.low:g} to {word.high:g} {base_unit(word.dimension)}"))
    written = old.unit if old is not None else base_unit(word.dimension)
    return Fact(subject=subject, term=word.name, at=at, value=number, low=number, high=number, unit=written,
                kind="inferred", source=WHAT_IF, where="with_fact", as_of=as_of, own=True,
                note="" if old is None else f"instead of {old.value:g} ({old.source})")
