"""CSV tables beside a scenario: a monthly series by column, or one row per record.

A table is UTF-8 CSV with a header line, lies in the scenario's own folder and is small. Every mistake is a `Problem`
with file and line; nothing here raises for a user's mistake.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exafleet.terms.errors import Problem, nearest

MOST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """Header and numbered rows; every row has as many cells as the header."""

    name: str
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, name: str) -> list[tuple[int, str]]:
        """(line, cell) of one column, stripped."""
        index = self.header.index(name)
        return [(line, cells[index].strip()) for line, cells in self.rows]


@dataclass(slots=True)
class Folder:
    """The files beside a scenario. `used` holds the bytes of every file read, for the scenario's identity."""

    path: Path
    used: dict[str, bytes] = field(default_factory=dict)
    read: dict[str, Table | Problem] = field(default_factory=dict)

    def table(self, name: str) -> Table | Problem:
        """The table in file `name`, or what is wrong with it."""
        if name not in self.read:
            found = self.contents(name)
            self.read[name] = found if isinstance(found, Problem) else _parsed(name, found)
        return self.read[name]

    def contents(self, name: str) -> bytes | Problem:
        """The bytes of file `name`; a file outside the folder, missing or too large is a Problem."""
        place = self.inside(name)
        if isinstance(place, Problem):
            return place
        found = read_bytes(place, name)
        if isinstance(found, bytes):
            self.used[name] = found
        return found

    def inside(self, name: str) -> Path | Problem:
        """Where file `name` lies, refused when that is not in this folder: a scenario may be somebody else's."""
        path = Path(name)
        outside = Problem(what="a table must lie in the scenario's own folder", got=repr(name),
                          remedy="Put the file beside scenario.toml and write its name only.")
        if not name.strip() or "\0" in name or path.is_absolute() or ".." in path.parts or "\\" in name:
            return outside
        try:
            inside = (self.path / path).resolve().is_relative_to(self.path.resolve())
        except (OSError, RuntimeError):
            inside = False
        return self.path / path if inside else outside


def read_bytes(path: Path, name: str) -> bytes | Problem:
    """A file's bytes, or why it cannot be read; `name` is how the message calls it."""
    try:
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "no such file"
            return Problem(where=name, what=what, remedy="Check the name." if not path.is_dir() else "")
        if path.stat().st_size > MOST_BYTES:
            return Problem(where=name, what="the file is too large", got=f"{path.stat().st_size / 1e6:.1f} MB",
                           allowed=f"at most {MOST_BYTES / 1e6:.0f} MB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Problem(where=name, what="cannot be read", got=reason)


def decoded(data: bytes, name: str) -> str | Problem:
    """UTF-8 text with "\\n" line ends, or the line that is not UTF-8."""
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Problem(where=f"{name}:{line}", what="not UTF-8", got=f"byte 0x{data[error.start]:02x}",
                       remedy="Save the file as UTF-8.")


def _parsed(name: str, data: bytes) -> Table | Problem:
    text = decoded(data, name)
    if isinstance(text, Problem):
        return text
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, tuple(row)) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        return Problem(where=f"{name}:{reader.line_num}", what=f"not CSV: {error}")
    if len(rows) < 2:
        return Problem(where=name, what="the table is empty", allowed="a header line and at least one row")
    header = tuple(cell.strip() for cell in rows[0][1])
    return _shape_problem(name, header, rows) or Table(name, header, tuple(rows[1:]))


def _shape_problem(name: str, header: tuple[str, ...], rows: list[tuple[int, tuple[str, ...]]]) -> Problem | None:
    twice = next((h for h in header if header.count(h) > 1 or not h), None)
    if twice is not None:
        what = f'column "{twice}" twice' if twice else "a column has no name"
        return Problem(where=f"{name}:{rows[0][0]}", what=what)
    for line, row in rows[1:]:
        if len(row) != len(header):
            return Problem(where=f"{name}:{line}", what=f"{len(row)} cells under {len(header)} columns",
                           remedy='Put cells that hold a comma in "...".')
    return None


def missing_column(table: Table, column: str) -> Problem | None:
    """A Problem when the table lacks the column."""
    if column in table.header:
        return None
    return Problem(where=f"{table.name}:1", what=f'no column "{column}"', allowed=", ".join(table.header),
                   remedy=nearest(column, table.header))


def records(table: Table) -> list[tuple[int, dict[str, Any]]]:
    """(line, record) of each row: empty cells are left out, dotted columns nest, ";" separates the words of a list."""
    return [(line, _record(zip(table.header, cells, strict=True))) for line, cells in table.rows]


SPREADS = ("lead", "slip", "delay", "power_delay")
LISTS = ("cooling", "owners", "suppliers", "systems", "sites", *SPREADS)


def _record(cells: Iterable[tuple[str, str]]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for name, cell in cells:
        words = cell.strip()
        if words:
            _place(record, name.split("."), _words(name, words))
    return record


def _words(name: str, words: str) -> object:
    if name in LISTS and (";" in words or name not in SPREADS):
        return [part.strip() for part in words.split(";") if part.strip()]
    return words


def _place(record: dict[str, Any], keys: list[str], value: object) -> None:
    here = record
    for key in keys[:-1]:
        below = here.setdefault(key, {})
        if not isinstance(below, dict):
            return
        here = below
    here[keys[-1]] = value

