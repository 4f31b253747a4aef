"""Which database the runs are kept in, and opening it.

Order: the `--store` option, the variable EXAFLEET_STORE, a SQLite file in the user's data folder. A value with "://"
is a database URL, anything else the path of a SQLite file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from exafleet.store import schema
from exafleet.terms.errors import ExafleetError, Problem

VARIABLE = "EXAFLEET_STORE"
FILE = "runs.sqlite"


def _with_inputs(connection: Connection) -> None:
    """Runs of version 1 stay as they are; what they were asked with was not kept."""
    schema.metadata.create_all(connection, tables=[schema.fact_sets, schema.inputs, schema.input_files])


# From version n to n + 1: MIGRATIONS[n](connection).
MIGRATIONS: Mapping[int, Callable[[Connection], None]] = {1: _with_inputs}


class StoreError(ExafleetError):
    """The store cannot be opened, read or written."""


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The SQLite file in the folder this system keeps user data in."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "exafleet" / FILE
    base = environment.get("XDG_DATA_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share") / "exafleet" / FILE


def location(asked: str | None = None, environment: Mapping[str, str] = os.environ) -> URL:
    """URL of the store: `asked`, else the variable, else the default file; raises StoreError for a bad URL."""
    words = asked or environment.get(VARIABLE) or str(default_path(environment))
    if "://" not in words:
        return URL.create("sqlite", database=str(Path(words).expanduser()))
    try:
        return make_url(words)
    except ArgumentError:
        raise StoreError(
            Problem(what="not a database URL", allowed="a file, or e.g. postgresql+psycopg://user@host/exafleet")
        ) from None


def shown(url: URL) -> str:
    """The URL for people: a file as its path, a password never."""
    return url.database or "memory" if url.drivername == "sqlite" else url.render_as_string(hide_password=True)


def open_store(url: URL, *, create: bool = True) -> Engine:
    """An engine on a store with current tables.

    create   make the file and the tables where they are missing; otherwise that is a StoreError

    Raises StoreError when it cannot be opened, or was made by a newer exafleet.
    """
    try:
        engine = _engine(url, create)
        with engine.begin() as connection:
            _prepare(connection, url, create)
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StoreError(problem(url, error)) from error
    return engine


def problem(url: URL, error: Exception) -> Problem:
    """A database's complaint as a Problem, without its SQL."""
    if isinstance(error, NoSuchModuleError | ImportError):
        return Problem(
            where=shown(url),
            what=f'no driver for "{url.drivername}" is installed',
            remedy="Install one, e.g. pip install psycopg, and write postgresql+psycopg://...",
        )
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = str(cause.strerror if isinstance(cause, OSError) and cause.strerror else cause)
    return Problem(
        where=shown(url),
        what=f"the store cannot be used: {text.strip().splitlines()[0]}",
        remedy=f"Name another with --store or {VARIABLE}, or plan with --no-store.",
    )


def _engine(url: URL, create: bool) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url)
    file = Path(url.database) if url.database and url.database != ":memory:" else None
    if file is not None and not file.exists():
        if not create:
            raise FileNotFoundError(2, "no runs have been stored yet")
        file.parent.mkdir(parents=True, exist_ok=True)
    # Two plans may finish at once: the second waits for the first instead of failing. A file's connection is closed as
    # soon as it is given back (a pool would keep it open until the process ends); memory lives in its one connection.
    kept = None if file is None else NullPool
    engine = create_engine(url, connect_args={"timeout": 30}, poolclass=kept)
    event.listen(engine, "connect", _check_foreign_keys)
    return engine


def _check_foreign_keys(connection: Any, _record: object) -> None:
    """SQLite holds foreign keys only where a connection asks for it."""
    connection.execute("PRAGMA foreign_keys = ON")


def _prepare(connection: Connection, url: URL, create: bool) -> None:
    if not inspect(connection).has_table(schema.schema_version.name):
        if not create:
            raise FileNotFoundError(2, "no runs have been stored yet")
        _create(connection)
    found = connection.execute(select(schema.schema_version.c.version)).scalar_one()
    if found > schema.VERSION:
        raise StoreError(
            Problem(
                where=shown(url),
                what="this store was made by a newer exafleet",
                got=f"version {found}",
                allowed=f"version {schema.VERSION} or older",
                remedy="Update exafleet, or name another store.",
            )
        )
    for version in range(found, schema.VERSION):
        MIGRATIONS[version](connection)
        connection.execute(schema.schema_version.update().values(version=version + 1))


def _create(connection: Connection) -> None:
    """Make the tables in one transaction: of two processes that try, the second waits and finds them made."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    schema.metadata.create_all(connection)
    if connection.execute(select(schema.schema_version.c.version)).first() is None:
        connection.execute(insert(schema.schema_version).values(version=schema.VERSION))
