"""Reads traces of requests: when each arrived, how long its prompt and its answer were, what of it was cached.

Three layouts, told by their columns or keys; docs/models/service.md shows a line of each:
  Azure LLM inference   CSV    TIMESTAMP, ContextTokens, GeneratedTokens
  BurstGPT              CSV    Timestamp [s], Request tokens, Response tokens, ...
  Mooncake              JSONL  timestamp [ms], input_length, output_length, hash_ids of 512-token blocks
Lines must be in order of time. Every bad line is told at once, with its number.
"""

from __future__ import annotations

import csv
import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from exafleet.terms.errors import FactError, Problem

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Tokens of one prefix block in the Mooncake layout.
BLOCK_TOKENS = 512
# No prompt or answer has more tokens than this; a larger number is a slip.
MOST_TOKENS = 1 << 24
# Bad lines that are told one by one.
TOLD = 20
# Lines read at a time.
ROWS = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Requests in order of arrival. R of them; arrays are read-only.

    name        file it was read from
    layout      "Azure", "BurstGPT" or "Mooncake"
    arrival     after the first line of the file                             [R]  [s]
    input       tokens of the prompt                                         [R]  [token]
    output      tokens of the answer, at least one                           [R]  [token]
    hit         tokens of the prompt that the prefix cache held              [R]  [token]
    unanswered  requests of the file without an answer (0 tokens): not in the arrays
    """

    name: str
    layout: str
    arrival: Floats
    input: Ints
    output: Ints
    hit: Ints
    unanswered: int = 0

    def __post_init__(self) -> None:
        for name, kind in (("arrival", np.float64), ("input", np.int64), ("output", np.int64), ("hit", np.int64)):
            values = np.array(getattr(self, name), dtype=kind)
            values.flags.writeable = False
            object.__setattr__(self, name, values)

    @property
    def count(self) -> int:
        """Requests with an answer."""
        return len(self.arrival)

    @property
    def fresh(self) -> Ints:
        """Prompt tokens that must be computed: at least the last one. [R]  [token]"""
        return np.asarray(np.maximum(self.input - self.hit, 1))

    @property
    def span(self) -> float:
        """Time from the first arrival to the last. [s]"""
        return float(self.arrival[-1] - self.arrival[0]) if self.count else 0.0

    def faster(self, speed: float) -> Trace:
        """The same requests arriving `speed` times as fast."""
        return replace(self, arrival=self.arrival / speed)

    def spread(self) -> Trace:
        """The same requests with those of one time stamp spread evenly up to the next stamp (clocks that tick)."""
        stamps, first, many = np.unique(self.arrival, return_index=True, return_counts=True)
        width = np.diff(stamps, append=stamps[-1])
        place = np.arange(self.count) - np.repeat(first, many)
        return replace(self, arrival=self.arrival + np.repeat(width / many, many) * place)


@dataclass(slots=True)
class _Bad:
    """Mistakes found so far: the first ones in words, the rest as a number."""

    file: str
    told: list[Problem] = field(default_factory=list)
    more: int = 0

    def add(self, line: int, what: str, got: object = "", allowed: str = "", remedy: str = "") -> None:
        if len(self.told) < TOLD:
            self.told.append(Problem(where=f"{self.file}:{line}", what=what, got=_cell(got), allowed=allowed,
                                     remedy=remedy))
        else:
            self.more += 1

    def check(self) -> None:
        if self.more:
            self.told.append(Problem(where=self.file, what=f"{self.more:,} more bad lines"))
        if self.told:
            raise FactError(self.told)


def _cell(got: object) -> str:
    text = str(got)
    return text if len(text) <= 60 else text[:57] + "..."


def read_trace(path: Path, *, cache_blocks: int | None = None) -> Trace:
    """Requests of a file; raises FactError with every bad line.

    cache_blocks  blocks that a prefix cache shared by all requests holds, least recently used out first; None: any
                  number; 0: none
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(path, file, cache_blocks)
    except OSError as error:
        raise FactError(Problem(where=str(path), what="cannot be read", got=error.strerror or str(error))) from None
    except UnicodeDecodeError:
        raise FactError(_not_text(path)) from None


def _not_text(path: Path) -> Problem:
    """The first line that is not UTF-8."""
    with path.open("rb") as file:
        for line, raw in enumerate(file, 1):
            if line == 1 and raw.startswith(b"\x1f\x8b"):
                return Problem(where=path.name, what="compressed", remedy="Unpack it first (gunzip).")
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError as error:
                return Problem(where=f"{path.name}:{line}", what="not UTF-8", got=f"byte 0x{raw[error.start]:02x}",
                               remedy="Save the file as UTF-8.")
    return Problem(where=path.name, what="not UTF-8", remedy="Save the file as UTF-8.")


def _read(path: Path, file: TextIO, cache_blocks: int | None) -> Trace:
    head = file.read(1 << 12)
    file.seek(0)
    if not head.strip():
        raise FactError(Problem(where=path.name, what="empty", allowed=_known()))
    bad = _Bad(path.name)
    if head.lstrip().startswith("{"):
        layout, blocks = "Mooncake", _json_blocks(file, bad, _Blocks(cache_blocks))
    else:
        layout, blocks = _csv_layout(file, path.name, bad)
    return _joined(path.name, layout, list(blocks), bad)


@dataclass(slots=True)
class _Lines:
    """Checked cells of some lines: arrival [s], tokens, and their line numbers."""

    arrival: Floats
    input: Ints
    output: Ints
    hit: Ints
    line: Ints


def _joined(name: str, layout: str, blocks: list[_Lines], bad: _Bad) -> Trace:
    """One trace of all lines; raises FactError when a line is bad or none is left."""
    arrival = np.concatenate([np.zeros(0), *(b.arrival for b in blocks)])
    given, answer, hit, line = (np.concatenate([np.zeros(0, dtype=np.int64), *(getattr(b, f) for b in blocks)])
                                for f in ("input", "output", "hit", "line"))
    _check_order(arrival, line, bad)
    bad.check()
    answered = answer > 0
    if not answered.any():
        raise FactError(Problem(where=name, what="no request with an answer", got=f"{len(arrival):,} lines of requests",
                                allowed="at least one request with output tokens"))
    return Trace(name=name, layout=layout, arrival=(arrival - arrival[0])[answered], input=given[answered],
                 output=answer[answered], hit=np.minimum(hit, given - 1)[answered],
                 unanswered=int((~answered).sum()))


def _check_order(arrival: Floats, line: Ints, bad: _Bad) -> None:
    early = np.flatnonzero(np.diff(arrival) < 0) + 1
    for i in early:
        bad.add(int(line[i]), "arrives before the line above it",
                f"{arrival[i - 1] - arrival[i]:.6g} s earlier", remedy="Sort the lines by time.")


def _check_tokens(lines: _Lines, bad: _Bad) -> None:
    """A prompt has at least a token, nothing is negative or beyond MOST_TOKENS; an answer of 0 tokens is a failure."""
    given, answer = lines.input, lines.output
    allowed = f"1 to {MOST_TOKENS:,}"
    for i in np.flatnonzero(((given <= 0) & (answer != 0)) | (given < 0) | (given > MOST_TOKENS)):
        bad.add(int(lines.line[i]), "tokens of the prompt out of range", given[i], allowed)
    for i in np.flatnonzero((answer < 0) | (answer > MOST_TOKENS)):
        bad.add(int(lines.line[i]), "tokens of the answer out of range", answer[i], f"0 (no answer) or {allowed}")


# ------------------------------------------------------------------------------------------------------------ CSV


def _moments(cells: Sequence[str]) -> Floats:
    """Dates with a time of day, in UTC. [s]"""
    tail = "+00:00" if cells[0].endswith("+00:00") else "Z" if cells[0].endswith("Z") else ""
    plain = [c.removesuffix(tail) for c in cells] if tail else cells
    if max(map(len, plain)) > 40:
        raise ValueError
    ticks = np.array(plain, dtype="datetime64[ns]")
    if np.isnat(ticks).any():
        raise ValueError
    return np.asarray((ticks - _EPOCH) / np.timedelta64(1, "ns")) * 1e-9


_EPOCH = np.datetime64("2020-01-01", "ns")


def _seconds(cells: Sequence[str]) -> Floats:
    """Plain numbers. [s]"""
    found = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    if not np.isfinite(found).all():
        raise ValueError
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """Columns of a CSV layout: time, prompt, answer; `reads` turns the cells of the first into seconds."""

    name: str
    columns: tuple[str, str, str]
    reads: Callable[[Sequence[str]], Floats]
    time: str


_CSV = (
    _Layout(name="Azure", columns=("TIMESTAMP", "ContextTokens", "GeneratedTokens"), reads=_moments,
            time='a moment in UTC, "2023-11-16 18:17:03.97996"'),
    _Layout(name="BurstGPT", columns=("Timestamp", "Request tokens", "Response tokens"), reads=_seconds,
            time="seconds"),
)
_KEYS = ("timestamp", "input_length", "output_length")


def _known() -> str:
    tables = "; ".join(f"{x.name}: {', '.join(x.columns)}" for x in _CSV)
    return f"{tables}; Mooncake: JSON lines with {', '.join(_KEYS)}"


def _csv_layout(file: TextIO, name: str, bad: _Bad) -> tuple[str, Iterator[_Lines]]:
    """The layout whose columns the header has; raises FactError naming what each known one lacks."""
    reader = csv.reader(file)
    header = [c.strip() for c in next((row for row in reader if row), [])]
    for layout in _CSV:
        if set(layout.columns) <= set(header):
            return layout.name, _csv_blocks(reader, header, layout, bad)
    lacks = "; ".join(f"{x.name} lacks {', '.join(c for c in x.columns if c not in header)}" for x in _CSV)
    raise FactError(Problem(where=f"{name}:1", what=f"no known layout of a trace: {lacks}",
                            got=_cell(", ".join(header)), allowed=_known()))


def _csv_blocks(reader: Iterator[list[str]], header: list[str], layout: _Layout, bad: _Bad) -> Iterator[_Lines]:
    at = [header.index(c) for c in layout.columns]
    line = reader.line_num + 1  # type: ignore[attr-defined]
    while True:
        try:
            rows = list(islice(reader, ROWS))
        except csv.Error as error:
            bad.add(reader.line_num, f"not CSV: {error}")  # type: ignore[attr-defined]
            return
        if not rows:
            return
        yield _csv_lines(rows, line, at, len(header), layout, bad)
        line = reader.line_num + 1  # type: ignore[attr-defined]


def _csv_lines(rows: list[list[str]], line: int, at: list[int], width: int, layout: _Layout, bad: _Bad) -> _Lines:
    """Cells of a block at once; where that fails, line by line to tell which are bad."""
    numbers = np.array([line + i for i, row in enumerate(rows) if row], dtype=np.int64)
    kept = [row for row in rows if row]
    try:
        lines = _cells(kept, numbers, at, layout)
    except (ValueError, IndexError, OverflowError):
        good = [i for i, row in enumerate(kept) if _told(row, int(numbers[i]), at, width, layout, bad)]
        lines = _cells([kept[i] for i in good], numbers[good], at, layout)
    _check_tokens(lines, bad)
    return lines


def _cells(rows: list[list[str]], numbers: Ints, at: list[int], layout: _Layout) -> _Lines:
    n = len(rows)
    if not n:
        none = np.zeros(0, dtype=np.int64)
        return _Lines(np.zeros(0), none, none, none, none)
    columns = list(zip(*rows, strict=False))  # as many as the shortest row has cells
    given, answer = (np.fromiter(map(int, columns[a]), dtype=np.int64, count=n) for a in at[1:])
    return _Lines(layout.reads(columns[at[0]]), given, answer, np.zeros(n, dtype=np.int64), numbers)


def _told(row: list[str], line: int, at: list[int], width: int, layout: _Layout, bad: _Bad) -> bool:
    """Whether a line can be read; says every cell of it that cannot."""
    if len(row) <= max(at):
        bad.add(line, f"{len(row)} cells of {width}", ",".join(row))
        return False
    before = len(bad.told) + bad.more
    for reads, a, allowed in ((lambda c: layout.reads([c]), at[0], layout.time), (_whole, at[1], "a whole number"),
                              (_whole, at[2], "a whole number")):
        try:
            reads(row[a])
        except (ValueError, OverflowError):
            bad.add(line, f"column {layout.columns[at.index(a)]!r} is not {allowed}", repr(row[a]))
    return len(bad.told) + bad.more == before


def _whole(cell: str) -> int:
    value = int(cell)
    if abs(value) >= 1 << 62:
        raise OverflowError
    return value


# ----------------------------------------------------------------------------------------------------------- JSON


class _Blocks:
    """A prefix cache of whole blocks, least recently used out first; `capacity` None never forgets."""

    __slots__ = ("capacity", "held")

    def __init__(self, capacity: int | None) -> None:
        self.capacity = capacity
        self.held: OrderedDict[int, None] | dict[int, None] = {} if capacity is None else OrderedDict()

    def hit(self, ids: Sequence[int]) -> int:
        """Leading blocks of a prompt that are held; afterwards it holds all of them."""
        held, found = self.held, 0
        for block in ids:
            if block not in held:
                break
            found += 1
        if self.capacity is None or not isinstance(held, OrderedDict):
            held.update(dict.fromkeys(ids[found:]))
            return found
        # The head of a prompt is the likeliest to come again, so it becomes the youngest.
        for block in reversed(ids):
            held[block] = None
            held.move_to_end(block)
        while len(held) > self.capacity:
            held.popitem(last=False)
        return found


def _json_blocks(file: Iterable[str], bad: _Bad, cache: _Blocks) -> Iterator[_Lines]:
    rows: list[tuple[float, int, int, int, int]] = []
    for line, text in enumerate(file, 1):
        row = _json_row(text, line, bad, cache)
        if row:
            rows.append(row)
    if rows:
        when, given, answer, hit, number = zip(*rows, strict=True)
        ints = [np.array(v, dtype=np.int64) for v in (given, answer, hit, number)]
        lines = _Lines(np.array(when) * 1e-3, *ints)
        _check_tokens(lines, bad)
        yield lines


def _json_row(text: str, line: int, bad: _Bad, cache: _Blocks) -> tuple[float, int, int, int, int] | None:
    """Time [ms], tokens of prompt and answer, cached tokens and number of a line; None where it is blank or bad."""
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        if text.strip():
            bad.add(line, "not JSON", text.strip())
        return None
    if not isinstance(row, dict):
        bad.add(line, "not a JSON object", text.strip())
        return None
    lacks = [key for key in _KEYS if key not in row]
    if lacks:
        bad.add(line, f"lacks {', '.join(lacks)}", ", ".join(map(str, row)), _known())
        return None
    when, given, answer = row["timestamp"], row["input_length"], row["output_length"]
    if not _number(when):
        bad.add(line, "timestamp is not milliseconds", when)
        return None
    for key, value in (("input_length", given), ("output_length", answer)):
        if type(value) is not int or abs(value) >= 1 << 62:
            bad.add(line, f"{key} is not a whole number", value)
            return None
    ids = row.get("hash_ids") or ()
    if ids and not _blocks_of(ids):
        bad.add(line, "hash_ids is not a list of whole numbers", ids)
        return None
    return when, given, answer, cache.hit(ids) * BLOCK_TOKENS if ids and answer > 0 else 0, line


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e18


def _blocks_of(ids: object) -> bool:
    return isinstance(ids, list) and set(map(type, ids)) == {int}
