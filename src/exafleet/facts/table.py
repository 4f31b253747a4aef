"""Reads the CSV tables of facts, and says everything that is wrong with them at once, with file and line.

A table is UTF-8 CSV with the header `COLUMNS` in any order. Values are numbers in the row's unit (ISO dates where the
term is a date) and become base units here; nothing above this module sees a unit again.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path

from exafleet.facts.fact import KINDS, Fact
from exafleet.facts.subjects import COLUMNS as SUBJECT_COLUMNS
from exafleet.facts.subjects import Subject, Subjects, read_subjects, unresolved_chips
from exafleet.terms.calendar import published
from exafleet.terms.errors import FactError, Problem, nearest
from exafleet.terms.term import Term, terms
from exafleet.terms.units import base_unit, of_dimension, units

COLUMNS = ("subject", "term", "at", "value", "low", "high", "unit", "kind", "source", "where", "as_of", "note")
SOURCE_COLUMNS = ("source", "title", "url_or_ref", "date", "note")
SCHEMA = ("units.csv", "terms.csv", "sources.csv", "subjects.csv")
# Validation rows (measured_train.csv, measured_serve.csv) are compared with, never planned with: not facts.
MEASURED = "measured_"
# A new subject in a user's own table is welcome; one this close to a known id is far more likely a slip of the pen.
TYPO = 0.85


@dataclass(frozen=True, slots=True)
class Tables:
    """What reading gave: subjects, titles of sources, and every fact of every date."""

    subjects: Subjects
    sources: Mapping[str, str]
    facts: list[Fact]


@dataclass(slots=True)
class _Reader:
    """What is known while rows are read; `problems` grows."""

    subjects: Subjects
    sources: Mapping[str, str]
    problems: list[Problem]
    seen: dict[tuple[str, ...], str] = field(default_factory=dict)
    new: dict[str, Subject] = field(default_factory=dict)


def read_tables(data: Path, own: Sequence[Path], problems: list[Problem]) -> Tables:
    """Read the package's tables and the user's own; every mistake is added to `problems`."""
    subjects = _subjects(data / "subjects.csv", problems)
    sources = _sources(data / "sources.csv", problems)
    own_rows = {path: _rows(path, problems) for path in own}
    for path, (header, rows) in own_rows.items():
        if set(header) == set(SUBJECT_COLUMNS):
            subjects += read_subjects(_ordered(header, SUBJECT_COLUMNS, rows), path.name, problems)
    reader = _Reader(Subjects.of(subjects), sources, problems)
    problems += unresolved_chips(reader.subjects)
    facts: list[Fact] = []
    for path in sorted(data.glob("*.csv")):
        if path.name not in SCHEMA and not path.name.startswith(MEASURED):
            facts += _facts(reader, path.name, *_rows(path, problems), own=False)
    for path, (header, rows) in own_rows.items():
        if set(header) != set(SUBJECT_COLUMNS):
            facts += _facts(reader, path.name, header, rows, own=True)
    if reader.new:
        reader.subjects = Subjects.of([*reader.subjects.by_id.values(), *reader.new.values()])
    return Tables(reader.subjects, sources, facts)


def _rows(path: Path, problems: list[Problem]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header and numbered rows of a CSV file; ([], []) with a problem when it cannot be read."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problems.append(Problem(where=path.name, what="cannot be read", got=error.strerror or str(error)))
        return [], []
    except UnicodeDecodeError as error:
        problems.append(Problem(where=path.name, what="not UTF-8", got=f"byte {error.start} is no character",
                                remedy="Save the file as UTF-8."))
        return [], []
    rows: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows += [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        problems.append(Problem(where=f"{path.name}:{reader.line_num}", what=f"not CSV: {error}",
                                remedy='Put cells with a comma or quote in "...", and double a quote inside them.'))
        return [], []
    if not rows:
        problems.append(Problem(where=path.name, what="empty", allowed="a header line " + ",".join(COLUMNS)))
        return [], []
    return [c.strip() for c in rows[0][1]], rows[1:]


def _ordered(header: Sequence[str], columns: Sequence[str],
             rows: Sequence[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Rows with their cells in the order of `columns`; rows of another length are skipped here (told elsewhere)."""
    order = [header.index(c) for c in columns]
    asked = order == list(range(len(header)))
    for line, row in rows:
        if len(row) == len(header):
            yield line, row if asked else [row[i] for i in order]


def _columns_ok(file: str, header: Sequence[str], columns: Sequence[str], problems: list[Problem]) -> bool:
    if sorted(header) == sorted(columns):
        return True
    if header:
        lacks = [c for c in columns if c not in header]
        extra = [c for c in header if c not in columns] or [c for c in columns if header.count(c) > 1]
        what = "wrong columns" + (f", lacks {', '.join(lacks)}" if lacks else "")
        what += f", has {', '.join(map(repr, extra))}" if extra else ""
        problems.append(Problem(where=f"{file}:1", what=what, allowed=",".join(columns)))
    return False


def _lengths(file: str, header: Sequence[str], rows: Sequence[tuple[int, list[str]]],
             problems: list[Problem]) -> None:
    problems += [Problem(where=f"{file}:{line}", what=f"{len(row)} cells under {len(header)} columns",
                         remedy='Put cells that hold a comma in "...".')
                 for line, row in rows if len(row) != len(header)]


def _subjects(path: Path, problems: list[Problem]) -> list[Subject]:
    header, rows = _rows(path, problems)
    if not _columns_ok(path.name, header, SUBJECT_COLUMNS, problems):
        return []
    _lengths(path.name, header, rows, problems)
    return read_subjects(_ordered(header, SUBJECT_COLUMNS, rows), path.name, problems)


def _sources(path: Path, problems: list[Problem]) -> dict[str, str]:
    """Title by source id."""
    header, rows = _rows(path, problems)
    found: dict[str, str] = {}
    if not _columns_ok(path.name, header, SOURCE_COLUMNS, problems):
        return found
    _lengths(path.name, header, rows, problems)
    for line, (source, title, ref, dated, _) in _ordered(header, SOURCE_COLUMNS, rows):
        where = f"{path.name}:{line}"
        if not (source and title and ref and dated):
            problems.append(Problem(where=where, what="a source needs an id, title, reference and date"))
        elif source in found:
            problems.append(Problem(where=where, what=f'source "{source}" is defined twice'))
        found[source] = title
    return found


def _facts(reader: _Reader, file: str, header: list[str], rows: list[tuple[int, list[str]]], *,
           own: bool) -> list[Fact]:
    """Facts of one table."""
    if not _columns_ok(file, header, COLUMNS, reader.problems):
        return []
    _lengths(file, header, rows, reader.problems)
    facts = []
    for line, cells in _ordered(header, COLUMNS, rows):
        fact = _fact(reader, file, line, [c.strip() for c in cells], own)
        if fact is not None:
            facts.append(fact)
    return facts


def _fact(reader: _Reader, file: str, line: int, cells: list[str], own: bool) -> Fact | None:
    """One row as a fact, or None with its mistakes noted."""
    subject, name, at, value, low, high, unit, kind, source, where, as_of, note = cells
    wrong: list[Problem] = []
    place = f"{file}:{line}"
    word = terms().get(name)
    if word is None:
        wrong.append(Problem(what=f'unknown term "{name}"', remedy=nearest(name, terms())))
    if subject not in reader.subjects.by_id:
        _unknown_subject(reader, subject, own, file, line, wrong)
    if kind not in KINDS:
        wrong.append(Problem(what=f'unknown kind "{kind}"', allowed=", ".join(KINDS)))
    if not source or not where:
        wrong.append(Problem(what="no source" if not source else "no place in the source (column `where`)",
                             remedy="Say where the number can be read."))
    elif not own and source not in reader.sources:
        wrong.append(Problem(what=f'unknown source "{source}"', remedy=nearest(source, reader.sources)))
    if "@" in at:
        wrong.append(Problem(what="a qualifier holds no '@'", got=repr(at)))
    day = _day(as_of, wrong)
    numbers = _numbers(word, value, low, high, unit, wrong) if word is not None else None
    _note_duplicate(reader, (subject, name, at, source, where, as_of, value), place, wrong)
    if wrong or day is None or numbers is None:
        key = f"{subject}.{name}" + (f"@{at}" if at else "")
        reader.problems += [Problem(what=f"{key}: {p.what}", where=place, got=p.got, allowed=p.allowed,
                                    remedy=p.remedy) for p in wrong]
        return None
    return Fact(subject=subject, term=name, at=at, value=numbers[0], low=numbers[1], high=numbers[2], unit=unit,
                kind=kind, source=source, where=where, as_of=day, note=note, file=file, line=line, own=own)


def _unknown_subject(reader: _Reader, subject: str, own: bool, file: str, line: int, wrong: list[Problem]) -> None:
    """A user's table may name subjects of its own; the package's, and slips of the pen, may not."""
    import difflib

    close = difflib.get_close_matches(subject.casefold(), reader.subjects.by_id, n=3, cutoff=TYPO if own else 0.5)
    sound = subject and subject == subject.casefold() and not any(c in subject for c in "@ \t,;")
    if own and sound and not close:
        reader.new[subject] = Subject(id=subject, name=subject, kind="practice", file=file, line=line,
                                      note="named in an own table")
        return
    remedy = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
    if own and not close:
        remedy = "An id is lower case, without spaces; new chips and systems are declared in a table of subjects."
    wrong.append(Problem(what=f'unknown subject "{subject}"', remedy=remedy))


def _note_duplicate(reader: _Reader, key: tuple[str, ...], place: str, wrong: list[Problem]) -> None:
    first = reader.seen.setdefault(key, place)
    if first is not place:
        wrong.append(Problem(what="the same fact twice", got=f"first at {first}"))


@lru_cache(maxsize=4096)
def _published(text: str) -> date:
    return published(text)


def _day(text: str, wrong: list[Problem]) -> date | None:
    try:
        return _published(text)
    except (FactError, ValueError):
        wrong.append(Problem(what="as_of is not a date", got=repr(text),
                             allowed='"YYYY-MM-DD", "YYYY-MM", "YYYY-Qn" or "YYYY"'))
        return None


def _numbers(word: Term, value: str, low: str, high: str, unit: str,
             wrong: list[Problem]) -> tuple[float, float, float] | None:
    """Value, low and high in base units, checked against the term's dimension and range."""
    known = units().get(unit)
    if known is None:
        wrong.append(Problem(what=f'unknown unit "{unit}"', allowed=", ".join(of_dimension(word.dimension)[:8]),
                             remedy=nearest(unit, of_dimension(word.dimension))))
        return None
    if known.dimension != word.dimension:
        wrong.append(Problem(what=f'unit "{unit}" is one of {known.dimension}, {word.name} needs {word.dimension}',
                             allowed=", ".join(of_dimension(word.dimension)[:8])))
        return None
    read = _day_number if word.dimension == "date" else _number
    middle = read(value, "value", wrong)
    bottom = read(low, "low", wrong) if low else middle
    top = read(high, "high", wrong) if high else middle
    if middle is None or bottom is None or top is None:
        return None
    if not bottom <= middle <= top:
        wrong.append(Problem(what="low <= value <= high does not hold",
                             got=f"{low or value}, {value}, {high or value}"))
        return None
    scale = known.to_base
    if bottom * scale < word.low or top * scale > word.high:
        wrong.append(Problem(what="out of range", got=f"{value} {unit}", allowed=_range(word)))
        return None
    return middle * scale, bottom * scale, top * scale


def _range(word: Term) -> str:
    if word.dimension == "date":
        return f"{date.fromordinal(int(word.low))} to {date.fromordinal(int(word.high))}"
    return f"{word.low:g} to {word.high:g} {base_unit(word.dimension)}"


def _number(text: str, column: str, wrong: list[Problem]) -> float | None:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    # float() also reads "1_000", "nan" and "infinity", none of which a table should hold.
    if not math.isfinite(number) or "_" in text:
        wrong.append(Problem(what=f"{column} is not a number", got=repr(text)))
        return None
    return number


def _day_number(text: str, column: str, wrong: list[Problem]) -> float | None:
    try:
        return float(date.fromisoformat(text).toordinal())
    except ValueError:
        wrong.append(Problem(what=f"{column} is not a date", got=repr(text), allowed='"YYYY-MM-DD"'))
        return None
