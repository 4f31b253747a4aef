"""`exafleet draws`: what may happen in a scenario, before anything is planned."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Scenario

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.market.draws import Draws
    from exafleet.market.market import Floats, Ints, Market
    from exafleet.report.table import Report, Table

QUANTILES = (0.1, 0.5, 0.9)


class Forms(StrEnum):
    """How draws are printed."""

    table = "table"
    json = "json"
    csv = "csv"


def draws(
    scenario: Scenario,
    as_of: AsOf = None,
    draws: Annotated[
        int, typer.Option("--draws", min=2, max=20_000, metavar="N", help="Futures to draw; the first is as quoted.")
    ] = 1000,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, metavar="N", help="Seed of the futures. Default: the scenario's."),
    ] = None,
    form: Annotated[
        Forms, typer.Option("--format", help="Tables for people, JSON of them, or CSV with every number of every draw.")
    ] = Forms.table,
) -> None:
    """Show what may happen: when orders arrive, what they and rentals cost, when power comes, and on whose word.

    The first draw is as quoted; quantiles are over the others. The band of the rates is shown by `exafleet rates`.

    \b
    Examples:
      exafleet draws examples/xai-2024-12
      exafleet draws examples/xai-2024-12 --draws 200 --format csv > draws.csv
    """
    import sys

    from exafleet.apps.inputs import day
    from exafleet.apps.options import Format
    from exafleet.apps.output import show
    from exafleet.facts.world import load_world
    from exafleet.market.futures import draw
    from exafleet.market.market import market

    world = load_world(scenario, as_of=day(as_of))
    sold = market(world)
    found = draw(sold, draws, world.scenario.risk.seed if seed is None else seed)
    if form is Forms.csv:
        sys.stdout.write(as_csv(sold, found))
        return
    show(report(world, sold, found), Format(form.value))


def report(world: World, market: Market, draws: Draws) -> Report:
    """Tables of what may happen."""
    from exafleet.report.table import Report

    made = (_arrivals(market, draws), _prices(market, draws), _power(market, draws), _events(market, draws),
            _common(world), _sources(world))
    return Report(title=world.scenario.name, summary=(), cards=(), tables=made,
                  subtitle=f"as of {world.as_of.isoformat()}, {draws.count:,} draws, seed {draws.seed}")


def _table(id_: str, title: str, lead: str, columns: dict[str, str], rows: list[tuple[Any, ...]], empty: str) -> Table:
    from exafleet.report.table import Column, Table

    return Table(id=id_, title=title, lead=lead if rows else empty, empty=empty, rows=tuple(rows),
                 columns=tuple(Column(title=name, kind=kind) for name, kind in columns.items()))


def _quantile(values: Floats | Ints) -> list[float]:
    """10 %, 50 % and 90 % of the draws after the first, each a draw that is there."""
    import numpy as np

    return [float(v) for v in np.quantile(np.asarray(values, dtype=float)[1:], QUANTILES, method="inverted_cdf")]


def _arrivals(market: Market, draws: Draws) -> Table:
    import numpy as np

    rows: list[tuple[Any, ...]] = []
    for f, offer in enumerate(market.scenario.offers):
        open_months = np.flatnonzero(market.can_order[f])
        if len(open_months):
            t = int(open_months[0])
            rows.append(_arrival(market, offer.id, offer.system, t + draws.lead[:, f, t], draws.barred[:, f]))
    for q, order in enumerate(market.scenario.open_orders):
        rows.append(_arrival(market, order.id, order.system, market.promised[q] + draws.slip[:, q],
                             draws.barred_open[:, q]))
    return _table("arrivals", "Arrivals", "When open orders arrive, and what is ordered as soon as it can be.",
                  {"order": "text", "system": "text", "quoted": "text", "10 %": "text", "50 %": "text", "90 %": "text",
                   "after the plan": "share", "never": "share"}, rows, "Nothing is offered or on order.")


def _arrival(market: Market, name: str, system: str, month: Ints, barred: Ints) -> tuple[Any, ...]:
    from exafleet.terms.calendar import month_name

    never = month >= barred
    said = [month_name(market.start + int(m)) if m <= market.months + 120 else "much later"
            for m in (month[0], *_quantile(month))]
    return (name, system, *said, float((month[1:] >= market.months).mean()), float(never[1:].mean()))


def _prices(market: Market, draws: Draws) -> Table:
    """Prices a year on, or at the end of a shorter plan, over what is stated for that month."""
    rows: list[tuple[Any, ...]] = []
    t = min(12, market.months - 1)
    for i, offer in enumerate(market.scenario.offers):
        rows.append(("purchase", offer.id, offer.system, *_quantile(draws.price[:, i, t])))
    for i, rental in enumerate(market.scenario.rentals):
        rows.append(("rental", rental.id, rental.system, *_quantile(draws.rent[:, i, t])))
    for k, system in enumerate(market.systems):
        rows.append(("used", "", system, *_quantile(draws.resale[:, k, t])))
    return _table("prices", "Prices", f"Factor on what is stated, {t} months after the start.",
                  {"price": "text", "of": "text", "system": "text", "10 %": "number", "50 %": "number",
                   "90 %": "number"}, rows, "Nothing has a price.")


def _power(market: Market, draws: Draws) -> Table:
    import numpy as np

    rows: list[tuple[Any, ...]] = []
    for s, site in enumerate(market.scenario.sites):
        limit = market.power[s]
        steps = np.flatnonzero(np.diff(limit, prepend=limit[:1]) > 0) if np.isfinite(limit).all() else np.array([], int)
        for t in steps.tolist():
            there = draws.power[:, s] * limit >= limit[t] * (1 - 1e-9)
            when = np.where((there & (np.arange(market.months) >= t)).any(axis=1),
                            (there & (np.arange(market.months) >= t)).argmax(axis=1), market.months)
            rows.append(_step(market, site.id, limit[t], t, when))
    return _table("power", "Power of sites", "Month in which each step up of a site's power is there in full.",
                  {"site": "text", "facility power": "power", "stated": "text", "10 %": "text", "50 %": "text",
                   "90 %": "text", "after the plan": "share"}, rows, "No site's power grows within the plan.")


def _step(market: Market, site: str, power: float, stated: int, when: Ints) -> tuple[Any, ...]:
    from exafleet.terms.calendar import month_name

    said = [month_name(market.start + int(m)) if m < market.months else "after the plan" for m in _quantile(when)]
    return (site, float(power), month_name(market.start + stated), *said, float((when[1:] >= market.months).mean()))


def _events(market: Market, draws: Draws) -> Table:
    rows = [(event.id, event.either or "–", event.probability, float(draws.happened[1:, e].mean()))
            for e, event in enumerate(market.scenario.events)]
    return _table("events", "Events", "What may happen to many at once, as stated and as drawn.",
                  {"event": "text", "one of": "text", "stated": "share", "drawn": "share"}, rows,
                  "The scenario names no events.")


def _common(world: World) -> Table:
    from exafleet.market.futures import pairs
    from exafleet.market.shocks import FACTORS, correlation

    matrix = correlation(pairs(world.scenario.uncertainty))
    rows = [(name, *(float(v) for v in matrix[i])) for i, name in enumerate(FACTORS)]
    return _table("correlation", "Common shocks", "Correlations of what hits all of a kind at once.",
                  {"of": "text", **dict.fromkeys(FACTORS, "number")}, rows, "")


def _sources(world: World) -> Table:
    """Every number of [uncertainty] with its line, or the fact it comes from and how that was found."""
    rows: list[tuple[Any, ...]] = []
    for one in world.keys():  # noqa: SIM118  (a world is no mapping)
        if one.key.startswith("uncertainty."):
            fact = world.origins.get(one.key)
            said = f"{fact.key}: {fact.note}" if fact else (one.where or "as quoted unless it is written")
            name = one.key.removeprefix("uncertainty.")
            rows.append((name, _said(getattr(world.scenario.uncertainty, name)), said))
    return _table("sources", "On whose word", "Each number of [uncertainty], written, fitted or assumed.",
                  {"number": "text", "value": "text", "from": "text"}, rows, "")


def _said(value: Any) -> str:
    """A number, or the three of a spread; durations of a month and more in months."""
    from exafleet.facts.steps import Spread
    from exafleet.market.market import MEAN_MONTH

    if isinstance(value, Spread):
        return f"{_said(value.mid)} ({_said(value.low)} to {_said(value.high)})"
    if value == float("inf"):
        return "never"
    return f"{value / MEAN_MONTH:.3g} mo" if value >= 86_400 else f"{value:.3g}"


def as_csv(market: Market, draws: Draws) -> str:
    """Every number of every draw: draw, probability, what, of, month, value."""
    import csv
    import io

    from exafleet.terms.calendar import month_name

    scenario, text = market.scenario, io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("draw", "probability", "what", "of", "month", "value"))
    months = [month_name(market.start + t) for t in range(market.months)]
    monthly = (("lead", scenario.offers, draws.lead), ("price", scenario.offers, draws.price),
               ("rent", scenario.rentals, draws.rent), ("power", scenario.sites, draws.power),
               ("demand", scenario.jobs, draws.demand))
    for n, probability in enumerate(draws.probability.tolist()):
        for what, records, values in monthly:
            lines.writerows((n, probability, what, record.id, month, value) for i, record in enumerate(records)
                            for month, value in zip(months, values[n, i].tolist(), strict=True))
        lines.writerows((n, probability, "slip", q.id, "", s) for q, s in zip(
            scenario.open_orders, draws.slip[n].tolist(), strict=True))
        lines.writerows((n, probability, "event", e.id, "", int(h)) for e, h in zip(
            scenario.events, draws.happened[n].tolist(), strict=True))
    return text.getvalue()
