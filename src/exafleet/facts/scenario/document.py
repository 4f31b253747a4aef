"""A scenario as written: the TOML text with the line of each key, its records as rows, and what reading finds.

Nothing here knows what a key means; build.py, fill.py and checks.py do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from exafleet.facts import records, sharing
from exafleet.facts.fact import Fact
from exafleet.facts.scenario.tables import Folder
from exafleet.facts.scenario.toml_lines import Lines, Path, locate
from exafleet.terms.errors import Problem, ScenarioError

ARRAY_NAMES = ("owners", "sites", "holdings", "offers", "open_orders", "rentals", "jobs", "loans", "moves", "sharing",
               "transfers", "swaps", "allocations", "events", "finance", "rules",
               "channels", "arrived", "reported")
# Arrays that no plan reads: what was reported of others is printed beside a backtest.
UNREAD = ("reported",)
TABLE_NAMES = ("scenario", "sources", "facts", "tables", "risk", "uncertainty", "fairness")
MOST_DEEP = 40



@dataclass(frozen=True, slots=True)
class Row:
    """One record as written: the array it belongs to, its keys, and where it stands.

    path    of the record in the TOML text; () for a row of a table, all of whose keys stand at `where`
    only    changes a record that is there, and adds none
    """

    array: str
    raw: Any
    where: str
    path: Path = ()
    only: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A scenario file as written: its name, what TOML holds, the line of each key, and the files beside it.

    later   records of history.toml that are known on the day asked, in the order of their dates (later.py)
    forget  subjects whose own facts count no more on that day
    history what history.toml holds, where any of it is known on that day
    part    it is read over another horizon than its own, beyond which some of its records may lie
    """

    file: str
    raw: Mapping[str, Any]
    lines: Lines
    folder: Folder
    data: bytes
    later: tuple[Row, ...] = ()
    forget: tuple[str, ...] = ()
    history: bytes = b""
    part: bool = False

    def place(self, path: Path) -> str:
        """"scenario.toml:41 offers.gb200.price" of a path."""
        return f"{self.file}:{self.lines.line(path)} {self.label(path)}".rstrip()

    def key_place(self, row: Row, key: Path) -> str:
        """Where a key of a record stands; the record itself when the key is not written."""
        if row.path:
            return self.place((*row.path, *key))
        return f"{row.where} {'.'.join(str(k) for k in key)}".rstrip()

    def label(self, path: Path) -> str:
        """A path in words; an element of an array is called by its id where it has one."""
        words = ""
        here: Any = self.raw
        for step in path:
            here = _below(here, step)
            name = here.get("id") if isinstance(here, dict) else None
            if isinstance(step, int):
                words += f".{name}" if isinstance(name, str) and len(name) < 80 else f"[{step}]"
            else:
                words += f".{step}" if words else str(step)
        return words


def _below(here: Any, step: str | int) -> Any:
    try:
        return here[step]
    except (LookupError, TypeError):
        return None


@dataclass(slots=True)
class Found:
    """What reading gives: records with their rows by array, facts that values came from, notes and problems."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rows: dict[str, list[tuple[Row, Any]]] = field(default_factory=dict)
    origins: dict[str, Fact] = field(default_factory=dict)

    def of(self, array: str) -> tuple[Any, ...]:
        """The records of one array."""
        return tuple(record for _, record in self.rows.get(array, ()))


# --------------------------------------------------------------------------------------------------------- the text
def parse_text(text: str, file: str, folder: Folder) -> Document:
    """The document of a TOML text; raises ScenarioError with TOML's own line for a syntax error."""
    try:
        raw = tomllib.loads(text)
        _refuse_deep(raw, file)
        return Document(file, raw, locate(text), folder, text.encode())
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(_syntax(str(error), file, text)) from None
    except RecursionError:
        raise ScenarioError(_too_deep(file)) from None
    except ValueError as error:  # e.g. a number of more than 4300 digits
        raise ScenarioError(Problem(where=file, what=f"not TOML: {error}")) from None


def _syntax(message: str, file: str, text: str) -> Problem:
    found = re.search(r"\(at line (\d+), column (\d+)\)", message)
    line = int(found[1]) if found else text.count("\n") + 1
    what = re.sub(r"\s*\(at .*\)$", "", message)
    rows = text.split("\n")
    row = rows[line - 1].strip() if line <= len(rows) else ""
    remedy = ""
    if re.match(r"[A-Za-z_.-]+\s*=\s*[$€¥\d][^\"']*[A-Za-z%/]", row):
        remedy = 'Write a quantity in quotes, e.g. power = "150 MW".'
    return Problem(where=f"{file}:{line}", what=f"not TOML: {what[:1].lower()}{what[1:]}", got=row[:80], remedy=remedy)


def _too_deep(file: str) -> Problem:
    return Problem(where=file, what="nested too deeply", allowed=f"at most {MOST_DEEP} levels")


def _refuse_deep(raw: object, file: str) -> None:
    level = [raw]
    for _ in range(MOST_DEEP):
        level = [v for node in level if isinstance(node, dict | list)
                 for v in (node.values() if isinstance(node, dict) else node) if isinstance(v, dict | list)]
        if not level:
            return
    raise ScenarioError(_too_deep(file))


def as_of(document: Document) -> date | None:
    """The day a document asks on, None when it does not say or says it wrongly (`build` tells)."""
    top = document.raw.get("scenario")
    day = top.get("as_of") if isinstance(top, dict) else None
    try:
        return day if type(day) is date else date.fromisoformat(day) if isinstance(day, str) else None
    except ValueError:
        return None


def record_key(array: str, record: Any) -> str:
    """"offers.gb200", "loans.tesla:xai": what the keys of one record begin with."""
    from exafleet.terms.calendar import month_name

    match record:
        case records.Holding():
            return f"{array}.{record.owner}:{record.site}:{record.system}:{month_name(record.bought)}"
        case sharing.Loan():
            systems = f":{'+'.join(record.systems)}" if record.systems else ""
            return f"{array}.{record.lender}:{record.borrower}{systems}"
        case records.Arrived():
            return f"{array}.{record.order or f'{record.offer}:{month_name(record.ordered)}'}"
        case records.Reported():
            return f"{array}.{record.owner}:{record.site}:{record.system}:{month_name(record.month)}"
        case records.Move():
            return f"{array}.{record.start}:{record.end}"
        case sharing.Share():
            return f"{array}.{record.owner}:{record.cohort}:{'+'.join(record.systems) or 'all'}"
        case _:
            return f"{array}.{record.id}"
