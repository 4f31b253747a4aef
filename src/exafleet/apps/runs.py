"""`exafleet runs`: the plans that were kept, and who had which accelerators where."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import Form, Format, Store

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from exafleet.report.table import Report, Table

app = typer.Typer(help="The plans that were kept, and who had which accelerators where.", no_args_is_help=True)


class Part(StrEnum):
    """Tables of a run."""

    report = "report"
    plan = "plan"
    costs = "costs"
    ledger = "ledger"
    rates = "rates"


_TABLES = {Part.plan: "plan_lines", Part.costs: "costs", Part.ledger: "ledger", Part.rates: "rates"}


@app.command("list")
def list_(store: Store = None, form: Form = Format.table) -> None:
    """List every run that was kept, oldest first.

    \b
    Example:
      exafleet runs list
    """
    from exafleet.apps.output import show as print_report
    from exafleet.store.runs import list_runs

    engine = _open(store)
    rows = [{**r, "saved": r["saved"].isoformat(sep=" ")} for r in list_runs(engine)]
    titles = ("number", "id", "name", "as_of", "draws", "seed", "objective", "status", "version", "saved")
    table = _table("runs", "Runs", f"{len(rows):,} runs, oldest first.", titles, rows, money=("objective",))
    print_report(_report("Runs", _where(engine), table), form, {"runs": rows})


@app.command()
def show(
    run: Annotated[
        str, typer.Argument(metavar="ID", help='Number or id of a run, the beginning of its id, or "last".')
    ],
    part: Annotated[Part, typer.Option("--part", help="What to show of it.")] = Part.report,
    store: Store = None,
    form: Form = Format.table,
) -> None:
    """Show a run again: its report, order book, cost, ledger of accelerators, or rates.

    \b
    Examples:
      exafleet runs show last
      exafleet runs show 3 --part ledger --format json
    """
    from exafleet.apps.output import show as print_report
    from exafleet.store.runs import find_run, lines_of

    engine = _open(store)
    found = find_run(engine, run)
    if part is Part.report:
        _show_report(found, form)
        return
    rows = lines_of(engine, found["number"], _TABLES[part])
    titles = tuple(rows[0]) if rows else ()
    table = _table(
        part.value, part.value.capitalize(), f"{len(rows):,} rows.", titles, rows, money=("expected", "base")
    )
    print_report(_report(found["name"], f"run {found['number']} ({found['id']})", table), form, {part.value: rows})


def _open(store: str | None) -> Engine:
    from exafleet.store.database import location, open_store

    return open_store(location(store), create=False)


def _where(engine: Engine) -> str:
    from exafleet.store.database import shown

    return f"kept in {shown(engine.url)}"


def _show_report(found: dict[str, Any], form: Format) -> None:
    """The report as it was stored."""
    import json
    import sys

    if form is Format.json:
        sys.stdout.write(found["report"])
        return
    from exafleet.apps.output import show as print_report
    from exafleet.apps.tables import report_from_json

    print_report(report_from_json(json.loads(found["report"])), form)


def _table(
    name: str, title: str, lead: str, titles: tuple[str, ...], rows: list[dict[str, Any]], money: tuple[str, ...] = ()
) -> Table:
    from exafleet.report.table import Column, Table

    kinds = {t: "money" if t in money else "number" for t in titles if any(isinstance(r[t], int | float) for r in rows)}
    return Table(
        id=name,
        title=title,
        lead=lead,
        empty="Nothing was kept.",
        columns=tuple(Column(title=t.replace("_", " "), kind=kinds.get(t, "text")) for t in titles),
        rows=tuple(tuple(str(r[t]) if isinstance(r[t], bool) else r[t] for t in titles) for r in rows),
    )


def _report(title: str, subtitle: str, table: Table) -> Report:
    from exafleet.report.table import Report

    return Report(title=title, subtitle=subtitle, summary=(), cards=(), tables=(table,))
