"""Saving a run and finding it again.

A run is one question and its answer: the rates it used, the plan's lines, its cost in parts and the ledger of who had
which chips where. `run_id` is made of everything that decides the answer, so a question asked twice is stored once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, func, insert, or_, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from exafleet.store import schema
from exafleet.store.database import StoreError, problem
from exafleet.store.inputs import keep_inputs
from exafleet.store.lines import cost_rows, ledger_rows, plan_rows, rate_rows
from exafleet.terms.errors import FactError, Problem

if TYPE_CHECKING:
    from exafleet.facts.records import Scenario
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates
    from exafleet.plan.plan import Plan

Row = Mapping[str, Any]
_BLOCK = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What saving did: `known` says the question was stored before, `same` that its answer was this one."""

    number: int
    id: str
    known: bool
    same: bool


def run_id(*, version: str, data_hash: str, scenario: Scenario, options: str = "") -> str:
    """16 hex digits made of everything that decides an answer; never of when or where it was computed.

    options   what else decides it, e.g. the number of draws and the seed given on the command line
    """
    # A scenario is the same one in whatever folder it lies.
    text = "\n".join((version, data_hash, repr(replace(scenario, file=PurePath(scenario.file).name)), options))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_run(
    engine: Engine, identity: str, *, version: str, data_hash: str, rates: Rates, plan: Plan, report: str,
    world: World | None = None,
) -> Saved:
    """Store a run, all of it or nothing; an answer that is stored already is only recognised.

    report   the report as JSON text
    world    what it was asked with, kept too where given: then the run can be explained and compared later

    Raises StoreError when the database refuses.
    """
    answer = hashlib.sha256(report.encode()).hexdigest()
    scenario = plan.market.scenario
    head = {
        "id": identity,
        "name": scenario.name,
        "as_of": scenario.as_of.isoformat(),
        "version": version,
        "data_hash": data_hash,
        "answer_hash": answer,
        "seed": plan.draws.seed,
        "draws": plan.draws.count,
        "status": plan.status,
        "objective": plan.objective,
        "gap": plan.gap,
        "report": report,
    }
    try:
        with engine.begin() as connection:
            found = _known(connection, identity, answer)
            if found is not None:
                if world is not None and found.same:
                    keep_inputs(connection, found.number, world, plan.first)
                return found
            number = connection.execute(insert(schema.runs).values(head).returning(schema.runs.c.number)).scalar_one()
            _fill(connection, number, schema.costs, cost_rows(plan))
            _fill(connection, number, schema.plan_lines, plan_rows(plan))
            _fill(connection, number, schema.rates, rate_rows(rates))
            _fill(connection, number, schema.ledger, ledger_rows(plan))
            if world is not None:
                keep_inputs(connection, number, world, plan.first)
    except IntegrityError:
        return _stored_meanwhile(engine, identity, answer)
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(problem(engine.url, error)) from error
    return Saved(number=number, id=identity, known=False, same=True)


def _stored_meanwhile(engine: Engine, identity: str, answer: str) -> Saved:
    """Another process stored the same run between our look and our insert."""
    with engine.begin() as connection:
        found = _known(connection, identity, answer)
    if found is None:
        raise StoreError(Problem(what=f"run {identity} could not be stored"))
    return found


def _known(connection: Connection, identity: str, answer: str) -> Saved | None:
    query = select(schema.runs.c.number, schema.runs.c.answer_hash).where(schema.runs.c.id == identity)
    row = connection.execute(query).first()
    return None if row is None else Saved(number=row.number, id=identity, known=True, same=row.answer_hash == answer)


def _fill(connection: Connection, number: int, table: Table, rows: Sequence[Row]) -> None:
    for first in range(0, len(rows), _BLOCK):
        connection.execute(insert(table), [{"run": number, **row} for row in rows[first : first + _BLOCK]])


def list_runs(engine: Engine) -> list[dict[str, Any]]:
    """Every run without its report, oldest first."""
    columns = [c for c in schema.runs.c if c.name != "report"]
    return _rows(engine, select(*columns).order_by(schema.runs.c.number))


def find_run(engine: Engine, words: str) -> dict[str, Any]:
    """The run called `words`: its number, its id or the beginning of it, or "last"; raises FactError."""
    query = select(schema.runs)
    if words == "last":
        query = query.where(schema.runs.c.number == select(func.max(schema.runs.c.number)).scalar_subquery())
    else:
        same = schema.runs.c.id.startswith(words.lower(), autoescape=True)
        number = [schema.runs.c.number == int(words)] if words.isdecimal() and len(words) < 10 else []
        query = query.where(or_(same, *number)) if words else query.where(schema.runs.c.number < 0)
    found = _rows(engine, query.order_by(schema.runs.c.number))
    exact = [r for r in found if words in (str(r["number"]), r["id"])]
    if len(exact or found) == 1:
        return (exact or found)[0]
    what = f'no run "{words}"' if not found else f'"{words}" is the beginning of {len(found)} runs'
    raise FactError(
        Problem(what=what, allowed=", ".join(r["id"] for r in found[:5]), remedy="`exafleet runs list` lists them.")
    )


def lines_of(engine: Engine, number: int, name: str) -> list[dict[str, Any]]:
    """Rows of one table of a run: "costs", "plan_lines", "rates" or "ledger"."""
    table = schema.metadata.tables[name]
    return _rows(engine, select(*(c for c in table.c if c.name != "run")).where(table.c.run == number))


def _rows(engine: Engine, query: Any) -> list[dict[str, Any]]:
    try:
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(problem(engine.url, error)) from error
