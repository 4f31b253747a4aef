"""Rows of a user's table as cells of text, and the numbers in them; what cannot be used says why."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from exafleet.terms.errors import ExafleetError, FactError, Problem

Cells = Mapping[str, str]
Row = TypeVar("Row")
# No count of accelerators, sequences or tokens is larger; what is would overflow.
MOST = 10**9
# Where a row has cells that no column names: they lie under this key.
BEYOND = "cells beyond the last column"


class NotUsable(Exception):
    """A row that cannot be compared; the text is the reason a reader is told."""


def cells_of(path: Path) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Header, and rows with their lines; raises FactError for what is no CSV in UTF-8 or has no row."""
    reader = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        found = [(reader.line_num, [c.strip() for c in row]) for row in reader if row]
    except csv.Error as error:
        raise FactError(Problem(where=f"{path.name}:{reader.line_num}", what=f"not CSV: {error}")) from None
    if not found:
        raise FactError(Problem(where=path.name, what="empty", allowed="a header line and rows"))
    header = found[0][1]
    if len(found) == 1:
        raise FactError(Problem(where=path.name, what="a header without rows"))
    return header, [(line, _named(header, row)) for line, row in found[1:]]


def rows_of(path: Path, what: str, required: Sequence[str], either: Sequence[str] = ()) -> list[tuple[int, Cells]]:
    """Rows with their lines of a table that has every required column, and one of `either` where there are any.

    what   the rows are of, for the reader of a FactError, which names every column that is missing
    """
    header, rows = cells_of(path)
    lacks = [c for c in required if c not in header]
    if either and not set(either) & set(header):
        lacks.append(" or ".join(either))
    if lacks:
        raise FactError(Problem(where=f"{path.name}:1", what=f"no table of {what}: lacks {', '.join(lacks)}",
                                got=", ".join(header[:12]) or "an empty line", allowed=", ".join((*required, *either)),
                                remedy="docs/validation-rows.md describes the columns."))
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FactError(Problem(where=path.name, what="cannot be read", got=error.strerror or str(error))) from None
    except UnicodeDecodeError as error:
        raise FactError(Problem(where=path.name, what="not UTF-8", got=f"byte {error.start} is no character",
                                remedy="Save the file as UTF-8.")) from None


def _named(header: list[str], row: list[str]) -> Cells:
    """Cells by column; those a short row lacks are empty."""
    found = dict.fromkeys(header, "") | dict(zip(header, row, strict=False))
    beyond = [cell for cell in row[len(header):] if cell]
    return found | {BEYOND: ", ".join(beyond)} if beyond else found


def tried(read: Callable[[Cells], Row], cells: Cells) -> Row | NotUsable:
    """What a reader makes of a row, or why it can make nothing of it."""
    try:
        if cells.get(BEYOND):
            raise NotUsable(f"{BEYOND}: {cells[BEYOND]}")
        return read(cells)
    except NotUsable as reason:
        return reason
    except ExafleetError as error:
        return NotUsable("; ".join(p.what for p in error.problems))


def number(cells: Cells, column: str) -> float | None:
    """A positive number, None where the cell is empty. Raises NotUsable for anything else."""
    text = cells.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise NotUsable(f'{column} is no number: "{text}"') from None
    if not math.isfinite(value) or value <= 0:
        raise NotUsable(f"{column} must be a positive number, got {text}")
    return value


def whole(cells: Cells, column: str) -> int | None:
    """A positive integer, None where the cell is empty."""
    value = number(cells, column)
    if value is not None and value != round(value):
        raise NotUsable(f"{column} must be a whole number, got {cells[column]}")
    if value is not None and value > MOST:
        raise NotUsable(f"{column} must be at most {MOST:,}, got {cells[column]}")
    return None if value is None else round(value)


def needed(cells: Cells, column: str) -> int:
    """A positive integer that a row cannot do without."""
    value = whole(cells, column)
    if value is None:
        raise NotUsable(f"{column} is not stated")
    return value


def figure(cells: Cells, column: str) -> float:
    """A positive number that a row cannot do without."""
    value = number(cells, column)
    if value is None:
        raise NotUsable(f"{column} is not stated")
    return value


def first_figure(cells: Cells, *columns: str) -> float:
    """The first of these columns with a positive number in it; nan when none has one."""
    for column in columns:
        try:
            value = number(cells, column)
        except NotUsable:
            continue
        if value is not None:
            return value
    return math.nan
