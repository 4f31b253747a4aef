"""What became known later: history.toml beside a scenario, dated blocks of records that change those written before.

    [[known]]
    as_of = 2025-02-17
    source = "who said so"
    [[known.sites]]
    id = "memphis"
    power = { "2025-02" = "361 MW" }

A block's record changes the keys it writes of the record with the same id, or adds a new one; `gone = true` takes it
away. On a day D only blocks with as_of <= D exist. What stands in the hall and what was on order (`STATE`) is taken
from blocks up to the day a plan starts on: after that it follows from what the plan does. Only what an order that
stands may be changed into (`TERMS`) can still become known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from exafleet.facts.scenario.document import ARRAY_NAMES, Document, Row, parse_text
from exafleet.facts.scenario.tables import Folder, decoded, read_bytes
from exafleet.terms.errors import Problem, ScenarioError, nearest, raise_all

FILE = "history.toml"
HEAD = ("as_of", "source", "forget")
STATE = ("holdings", "open_orders")
TERMS = {"open_orders": ("id", "change")}
# What nobody may take away: a run that has dealt with them must still find them.
STAY = ("owners", "sites", "offers", "rentals")
_IDENTITY: Mapping[str, tuple[str, ...]] = {
    "holdings": ("owner", "site", "system", "bought"), "loans": ("lender", "borrower", "systems"),
    "moves": ("start", "end"), "sharing": ("owner", "cohort", "systems"), "arrived": ("offer", "ordered", "order"),
    "reported": ("owner", "site", "system", "month")}


@dataclass(frozen=True, slots=True)
class Block:
    """One [[known]]: its day, its records in the order written, and subjects whose own facts it retires."""

    day: date
    rows: tuple[Row, ...]
    forget: tuple[str, ...]


def read_later(folder: Path, begins: date | None) -> tuple[Block, ...]:
    """Blocks of a folder's history.toml, () where there is none; raises ScenarioError with every mistake of its form.

    begins   the scenario's own day, before which nothing can have become known later
    """
    if not (folder / FILE).exists():
        return ()
    data = read_bytes(folder / FILE, FILE)
    text = data if isinstance(data, Problem) else decoded(data, FILE)
    if isinstance(text, Problem):
        raise ScenarioError(text)
    document = parse_text(text, FILE, Folder(folder))
    problems = list(_misplaced(document))
    blocks = [_block(document, i, raw, problems) for i, raw in enumerate(_known(document))]
    problems += _out_of_order(document, [b.day for b in blocks], begins)
    raise_all(ScenarioError, problems)
    return tuple(blocks)


def _known(document: Document) -> list[Any]:
    value = document.raw.get("known", [])
    return [raw for raw in value if isinstance(raw, dict)] if isinstance(value, list) else []


def _misplaced(document: Document) -> Iterator[Problem]:
    for name in document.raw:
        if name not in ("known", "sources"):
            yield Problem(where=document.place((name,)), what=f'unknown name "{name}"', allowed="[[known]], [sources]",
                          remedy="Write each record in a block, e.g. [[known.offers]] under [[known]] with as_of.")
    if not isinstance(document.raw.get("known", []), list):
        yield Problem(where=document.place(("known",)), what="known is a list of blocks",
                      remedy="Begin each block with [[known]].")


def _block(document: Document, i: int, raw: Mapping[str, Any], problems: list[Problem]) -> Block:
    allowed = (*HEAD, *ARRAY_NAMES)
    rows: list[Row] = []
    for name, value in raw.items():
        place = document.place(("known", i, name))
        if name not in allowed:
            problems.append(Problem(where=place, what=f'unknown name "{name}" in a [[known]]',
                                    allowed=", ".join(allowed), remedy=nearest(name, allowed)))
        elif name in ARRAY_NAMES:
            rows += _records(document, (i, name), value, problems)
    return Block(_day(document, i, raw, problems), tuple(rows), _forget(document, i, raw, problems))


def _records(document: Document, which: tuple[int, str], value: Any, problems: list[Problem]) -> Iterator[Row]:
    i, name = which
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        problems.append(Problem(where=document.place(("known", i, name)), what=f"{name} is a list of records",
                                remedy=f"Begin each record with [[known.{name}]]."))
        return
    for j, record in enumerate(value):
        line = document.lines.line(("known", i, name, j))
        if record.get("gone") is True and name in STAY:
            problems.append(Problem(
                where=f"{FILE}:{line} known.{name}", what=f"{name} cannot be gone", got=str(record.get("id", "")),
                remedy='Close it instead, e.g. last = "2025-06", or power = { "2025-06" = "0 MW" }.'))
        yield Row(name, record, f"{FILE}:{line}")


def _day(document: Document, i: int, raw: Mapping[str, Any], problems: list[Problem]) -> date:
    day = raw.get("as_of")
    if type(day) is date:
        return day
    problems.append(Problem(where=document.place(("known", i, "as_of")), what="a [[known]] needs the day it was known",
                            got=repr(day) if day is not None else "", remedy="Write e.g. as_of = 2025-02-17."))
    return date.max


def _forget(document: Document, i: int, raw: Mapping[str, Any], problems: list[Problem]) -> tuple[str, ...]:
    value = raw.get("forget", [])
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    problems.append(Problem(where=document.place(("known", i, "forget")), what="not a list of subjects",
                            got=str(value)[:80], allowed='["gb300-gpu", "gb300-nvl72"]'))
    return ()


def _out_of_order(document: Document, days: Sequence[date], begins: date | None) -> Iterator[Problem]:
    before = begins
    for i, day in enumerate(days):
        if day == date.max:
            continue
        if before is not None and day < before:
            first = before == begins
            yield Problem(where=document.place(("known", i, "as_of")), got=day.isoformat(),
                          what="earlier than the scenario's own as_of" if first else "earlier than the block before it",
                          allowed=f"{before.isoformat()} or later",
                          remedy="Write it in scenario.toml." if first else "Order the blocks by date.")
        before = max(day, before) if before is not None else day


def as_known(document: Document, blocks: Sequence[Block], day: date, state: date | None = None) -> Document:
    """The document with what is known on a day; of STATE, and of what is gone, only what was known on `state`."""
    start = day if state is None else state
    rows = tuple(found for block in blocks if block.day <= day for row in block.rows
                 if (found := row if block.day <= start else _after(row)) is not None)
    forget = tuple(dict.fromkeys(word for block in blocks if block.day <= day for word in block.forget))
    known = any(block.day <= day for block in blocks)
    return replace(document, later=rows, forget=forget, history=_history(document.folder.path) if known else b"")


def _history(folder: Path) -> bytes:
    """What a folder's history.toml holds; `read_later` has told what is wrong with it."""
    data = read_bytes(folder / FILE, FILE)
    return b"" if isinstance(data, Problem) else data


def _after(row: Row) -> Row | None:
    """What of a record counts when it became known after the day a plan starts on."""
    if row.raw.get("gone") is True:
        return None
    if row.array not in STATE:
        return row
    terms = {name: value for name, value in row.raw.items() if name in TERMS.get(row.array, ())}
    return replace(row, raw=terms, only=True) if len(terms) > 1 else None


def changed(rows: Sequence[Row], later: Sequence[Row], array: str) -> list[Row]:
    """Records with what became known of them; a changed record stands where its last change is written."""
    found = list(rows)
    for row in (r for r in later if r.array == array):
        at = next((i for i, old in enumerate(found) if _identity(old) == _identity(row)), None)
        if row.raw.get("gone") is True:
            found = found if at is None else [*found[:at], *found[at + 1:]]
        elif at is None:
            found += [] if row.only else [row]
        else:
            found[at] = replace(row, raw={**found[at].raw, **row.raw})
    return found


def _identity(row: Row) -> tuple[str, ...]:
    """What makes two records the same one."""
    return tuple(str(row.raw.get(name, "")) for name in _IDENTITY.get(row.array, ("id",)))
