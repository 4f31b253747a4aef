"""What a run was asked with, kept beside its answer: the scenario's files, every fact it could see, its decisions.

Facts are kept once per set: runs with the same facts share them. So a run can be explained, and compared with another,
after the facts or the scenario have changed.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import SQLAlchemyError

from exafleet.store import schema
from exafleet.store.database import StoreError, problem

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.market.market import Floats

_COLUMNS = ("subject", "term", "at", "value", "low", "high", "unit", "kind", "source", "where", "note", "file", "line",
            "own")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What was kept of one run.

    file    name of the scenario's file among `files`
    as_of   the day of its facts
    facts   their hash
    rows    every fact, as written by `_packed`
    first   decisions of the first stage by column                   [X]
    """

    file: str
    files: Mapping[str, bytes]
    as_of: date
    facts: str
    rows: bytes
    first: Floats


def keep_inputs(connection: Connection, run: int, world: World, first: Floats) -> None:
    """Store the inputs of run number `run` where they are not yet; nothing for a scenario that was made in Python."""
    there = connection.execute(select(schema.inputs.c.run).where(schema.inputs.c.run == run)).first()
    if world.document is None or there is not None:
        return
    facts = world.facts
    known = select(schema.fact_sets.c.hash).where(schema.fact_sets.c.hash == facts.data_hash)
    if connection.execute(known).first() is None:
        connection.execute(insert(schema.fact_sets).values(hash=facts.data_hash, content=_packed(world)))
    decided = zlib.compress(np.asarray(first, dtype="<f8").tobytes())
    connection.execute(insert(schema.inputs).values(run=run, file=world.document.file, as_of=facts.as_of.isoformat(),
                                                    facts=facts.data_hash, first=decided))
    files = [{"run": run, "name": name, "content": data} for name, data in sorted(world.files().items())]
    connection.execute(insert(schema.input_files), files)


def inputs_of(engine: Engine, run: int) -> Inputs | None:
    """What run number `run` was asked with; None where it was kept by an exafleet that did not keep it."""
    files = select(schema.input_files.c.name, schema.input_files.c.content).where(schema.input_files.c.run == run)
    head = select(schema.inputs, schema.fact_sets.c.content).join(schema.fact_sets).where(schema.inputs.c.run == run)
    try:
        with engine.connect() as connection:
            row = connection.execute(head).first()
            held = {name: bytes(content) for name, content in connection.execute(files)}
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(problem(engine.url, error)) from error
    if row is None:
        return None
    first = np.frombuffer(zlib.decompress(row.first), dtype="<f8").astype(np.float64)
    return Inputs(file=row.file, files=held, as_of=date.fromisoformat(row.as_of), facts=row.facts, rows=row.content,
                  first=first)


def world_of(kept: Inputs) -> World:
    """The world a run was made in: its scenario, and the facts as they were then. Raises ScenarioError."""
    from exafleet.facts.world import load_world

    with tempfile.TemporaryDirectory() as folder:
        for name, content in kept.files.items():
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        world = load_world(Path(folder, kept.file), as_of=kept.as_of)
    return world if world.facts.data_hash == kept.facts else world.with_facts(world.facts.holding(_unpacked(kept.rows)))


def _packed(world: World) -> bytes:
    rows = [[*(getattr(f, c) for c in _COLUMNS), f.as_of.isoformat()] for f in world.facts.every()]
    return zlib.compress(json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode(), 6)


def _unpacked(packed: bytes) -> list[Any]:
    from exafleet.facts.fact import Fact

    return [Fact(**dict(zip(_COLUMNS, row[:-1], strict=True)), as_of=date.fromisoformat(row[-1]))
            for row in json.loads(zlib.decompress(packed))]
