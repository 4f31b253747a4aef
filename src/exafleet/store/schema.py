"""The tables of the store. Only SQL that SQLite and PostgreSQL share.

Amounts are in base units (USD, W, chips); months are "2025-01". A run is known by `id`, which is made of everything
that decides its answer, so the same question asked twice is one run.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
)

VERSION = 2

metadata = MetaData()

# One row: the version of these tables. A store of a newer exafleet is refused, an older one is migrated.
schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(16), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("as_of", String(10), nullable=False),
    Column("version", String(32), nullable=False),
    Column("data_hash", String(64), nullable=False),
    Column("answer_hash", String(64), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("draws", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("objective", Double, nullable=False),
    Column("gap", Double, nullable=False),
    Column("report", Text, nullable=False),
    # When it was saved, in UTC. It says nothing about the answer and is not part of its id.
    Column("saved", DateTime, nullable=False, server_default=func.current_timestamp()),
)


def _run() -> Column[int]:
    return Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), nullable=False, index=True)


costs = Table(
    "costs",
    metadata,
    _run(),
    Column("part", String(64), nullable=False),
    Column("expected", Double, nullable=False),
    Column("base", Double, nullable=False),
    UniqueConstraint("run", "part"),
)

plan_lines = Table(
    "plan_lines",
    metadata,
    _run(),
    Column("line", Integer, nullable=False),
    Column("action", String(16), nullable=False),
    Column("month", String(7), nullable=False),
    Column("owner", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("amount", Double, nullable=False),
    Column("unit", String(8), nullable=False),
    Column("price", Double),
    Column("price_unit", String(12), nullable=False),
    Column("detail", Text, nullable=False),
    UniqueConstraint("run", "line"),
)

rates = Table(
    "rates",
    metadata,
    _run(),
    Column("job", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("unit", String(16), nullable=False),
    Column("work_per_s", Double, nullable=False),
    Column("low", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("power", Double, nullable=False),
    Column("goodput", Double, nullable=False),
    Column("mfu", Double, nullable=False),
    Column("why", String(16), nullable=False),
    Column("layout", Text, nullable=False),
    UniqueConstraint("run", "job", "system", "size"),
)

# Chips by owner, place, system and month with deliveries as quoted (draw 0). `lent` is the part of `used` that works
# for other owners.
ledger = Table(
    "ledger",
    metadata,
    _run(),
    Column("owner", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("rented", Boolean, nullable=False),
    Column("system", Text, nullable=False),
    Column("month", String(7), nullable=False),
    Column("chips", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("lent", Double, nullable=False),
    UniqueConstraint("run", "owner", "place", "system", "month"),
)

# Since version 2: what a run was asked with. Facts are kept once for all runs that saw the same ones.
fact_sets = Table(
    "fact_sets",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

inputs = Table(
    "inputs",
    metadata,
    Column("run", Integer, ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("file", Text, nullable=False),
    Column("as_of", String(10), nullable=False),
    Column("facts", String(64), ForeignKey("fact_sets.hash"), nullable=False),
    Column("first", LargeBinary, nullable=False),
)

input_files = Table(
    "input_files",
    metadata,
    _run(),
    Column("name", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("run", "name"),
)
