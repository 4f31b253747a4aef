"""`exafleet cost`: published cost models, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Form, Format, Own

if TYPE_CHECKING:
    from exafleet.report.table import Cell, Report, Table
    from exafleet.terms.parts import Parts

app = typer.Typer(help="What training runs and clusters cost, by published rules, part by part.", no_args_is_help=True)


@app.command()
def training(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model whose training run is known, or `all`.")],
    money_of: Annotated[
        str | None,
        typer.Option("--money-of", metavar="MONTH", help="In money of a month (2025-06). Default: of its publication."),
    ] = None,
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """Hardware used up and energy of a training run, by Epoch's rule.

    Chips and servers lose value as newer ones offer more computing per dollar; a run pays for what they lose meanwhile.

    \\b
    Examples:
      exafleet cost training llama-3.1-405b --money-of 2025-06
      exafleet cost training all
    """
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import show
    from exafleet.market.cost import inflation, progress_of, run_ids, run_of, training_cost

    facts = facts_as_of(as_of, own)
    names = run_ids(facts) if model == "all" else [model.casefold().replace(" ", "-")]
    found: dict[str, Parts] = {}
    for name in names:
        parts = training_cost(run_of(facts, name), progress_of(facts))
        factor = 1.0 if money_of is None else inflation(facts, name, money_of)
        found[name] = type(parts)(names=parts.names, values=parts.values * factor, unit=parts.unit)
    lead = f"In money of {money_of or 'the month of publication'}; docs/models/cost.md has the rule."
    table = _table("training", "Cost of training runs", lead, found)
    data = {"rule": "epoch", "money_of": money_of, "unit": "USD", "runs": _data(found)}
    show(_report("Training cost", table), form, data)


@app.command()
def cluster(
    tier: Annotated[str, typer.Option("--tier", metavar="TIER", help="gold, hyperscaler, silver, or all.")] = "all",
    gpus: Annotated[
        int | None, typer.Option("--gpus", min=1, max=10**7, metavar="N", help="Default: 4,096, as published.")
    ] = None,
    rent: Annotated[
        str | None, typer.Option("--rent", metavar="PRICE", help='Such as "2.20 USD/h". Default: as published.')
    ] = None,
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """A month of a rented cluster with what no bill shows: lost time, setup, debugging.

    The published default case of SemiAnalysis' calculator. Another size or rent keeps its shares for support and lost
    time, and its amounts for everything else.

    \\b
    Example:
      exafleet cost cluster --tier gold --gpus 2048 --rent "2.20 USD/h"
    """
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import show
    from exafleet.apps.serve_cost import rent_of
    from exafleet.market.cost import rented, tiers
    from exafleet.market.cost import tier as of_tier
    from exafleet.terms.errors import FactError, Problem, nearest

    facts = facts_as_of(as_of, own)
    known = tiers(facts)
    if tier != "all" and tier not in known:
        raise FactError(Problem(where="--tier", what="no such tier", got=repr(tier), allowed=", ".join([*known, "all"]),
                                remedy=nearest(tier, known)))
    price = None if rent is None else rent_of(rent, "--rent")
    asked = known if tier == "all" else [tier]
    found = {name: rented(of_tier(facts, name, gpus=gpus, rent=price)) for name in asked}
    lead = "USD a month, setup spread over 36 months; docs/models/cost.md tells what is published and what inferred."
    data = {"rule": "clustermax", "unit": "USD", "per": "month", "tiers": _data(found)}
    show(_report("Cluster cost", _table("cluster", "A month of a cluster", lead, found)), form, data)


def _data(found: dict[str, Parts]) -> dict[str, Any]:
    return {name: {"parts": dict(zip(parts.names, parts.values.tolist(), strict=True)), "total": float(parts.total)}
            for name, parts in found.items()}


def _table(name: str, title: str, lead: str, found: dict[str, Parts]) -> Table:
    from exafleet.report.table import Column, Table

    parts = next(iter(found.values())).names if found else ()
    rows: list[tuple[Cell, ...]] = [(part, *(float(p[part]) for p in found.values())) for part in parts]
    rows.append(("total", *(float(p.total) for p in found.values())))
    return Table(id=name, title=title, lead=lead, rows=tuple(rows) if found else (),
                 columns=(Column(title="part"), *(Column(title=n, kind="money") for n in found)))


def _report(title: str, table: Table) -> Report:
    from exafleet.report.table import Report

    return Report(title=title, subtitle="", summary=(), cards=(), tables=(table,))
