"""The tables of a backtest: what each policy cost, what it delivered, what it ordered when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from exafleet.plan.carry import Key, Lived, Values
from exafleet.plan.revised import Revision
from exafleet.replay.backtest import Backtest
from exafleet.replay.delivered import REFERENCE, Delivered
from exafleet.replay.hindsight import Hindsight
from exafleet.replay.revising import really
from exafleet.replay.rolling import sooner
from exafleet.report.table import Cell, Column, Report, Table
from exafleet.terms.said import named, said

HINDSIGHT = "hindsight"


def backtest_report(name: str, runs: Sequence[Backtest], meta: dict[str, object]) -> Report:
    """One report of all windows; each has its rows."""
    told = dict(meta) | {"every": named("backtest", f"every {meta['every']}")} if "every" in meta else dict(meta)
    return Report(title=said("backtest.title", name=name), subtitle=_subtitle(runs), summary=tuple(_summary(runs)),
                  cards=(), meta=told,
                  tables=(_policies(runs), _orders(runs), _revised(runs), _plans(runs)))


def _subtitle(runs: Sequence[Backtest]) -> str:
    days = [run.when.days[0].isoformat() for run in runs]
    return said("backtest.subtitle", days=days, until=runs[-1].when.until.isoformat()) if runs else ""


def _summary(runs: Sequence[Backtest]) -> Iterator[str]:
    for run in runs:
        if run.unrecorded:
            yield said("backtest.unrecorded", names=list(run.unrecorded))
            break
    yield from _unrated(runs)
    yield from _left_out(runs)
    reference = runs[0].speeds.reference if runs else REFERENCE
    yield said("backtest.reference", reference=reference)
    for run in runs:
        if run.best is not None:
            yield said("backtest.bound", day=run.when.days[0].isoformat(), bound=run.best.bound)


def _left_out(runs: Sequence[Backtest]) -> Iterator[str]:
    """What of the scenario no policy and no hindsight may use here, and why."""
    scenario = runs[0].truth.market.scenario if runs else None
    if scenario is None:
        return
    if scenario.finance:
        yield said("backtest.no finance", names=[m.id for m in scenario.finance])
    if scenario.fairness.rule != "none":
        yield said("backtest.no fairness", rule=scenario.fairness.rule)
    if scenario.risk.react:
        yield said("backtest.no looks")


def _unrated(runs: Sequence[Backtest]) -> Iterator[str]:
    """What plans could not reckon, a sentence for each job on each system, whatever the first day."""
    days: dict[tuple[str, str], set[date]] = {}
    for run in runs:
        for found in run.unrated:
            days.setdefault((found.job, found.system), set()).update(found.days)
    for (job, system), when in days.items():
        yield said("backtest.unrated long" if len(when) > 1 else "backtest.unrated", job=job, system=system,
                   day=min(when).isoformat(), last=max(when).isoformat())


def _owners(runs: Sequence[Backtest]) -> list[str]:
    return list(dict.fromkeys(o.id for run in runs for o in run.truth.market.scenario.owners))


def _policies(runs: Sequence[Backtest]) -> Table:
    owners = _owners(runs)
    columns = [Column(title=said("backtest.from")), Column(title=said("backtest.policy")),
               Column(title=said("backtest.cost"), kind="money"), Column(title=said("backtest.regret"), kind="money"),
               Column(title=said("backtest.at most"), kind="money"),
               Column(title=said("backtest.hardware"), kind="money"),
               *(Column(title=said("backtest.useful", owner=o), kind="short") for o in owners),
               *(Column(title=said("backtest.chips", owner=o), kind="count") for o in owners)]
    rows = tuple(row for run in runs for row in _rows(run, owners))
    return Table(id="backtest", title=said("backtest.policies"), lead=_lead(runs), rows=rows,
                 columns=tuple(columns), empty=said("backtest.policies empty"))


def _rows(run: Backtest, owners: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    start = run.when.days[0].isoformat()
    for life, made in zip(run.lives, run.delivered, strict=True):
        yield (start, _policy(life.policy.name), *_regret(float(life.cost.total), run.best),
               _part(life.cost.names, life.cost.values), *_compute(made, owners))
    if run.best is not None and run.delivered_best is not None:
        yield (start, _policy(HINDSIGHT), *_regret(float(run.best.cost.total), run.best),
               _part(run.best.cost.names, run.best.cost.values), *_compute(run.delivered_best, owners))
    if run.reported is not None:
        spent = sum(run.reported.spent.values())
        yield (start, _policy("reported"), None, None, None, spent or None, *_compute(run.reported, owners))


def _policy(name: str) -> str:
    """A policy, hindsight, or what was reported, in words."""
    return named("policy", name)


def _regret(cost: float, best: Hindsight | None) -> tuple[float, float | None, float | None]:
    """A cost, by how much it is above the best found with hindsight, and above what nothing can cost less than."""
    return cost, None if best is None else cost - float(best.cost.total), None if best is None else cost - best.bound


def _part(names: Sequence[str], values: object) -> float:
    """Hardware, its queue premium and fitting."""
    cost = dict(zip(names, values, strict=True))  # type: ignore[call-overload]
    return float(sum(cost[name] for name in ("hardware", "queue premium", "fitting")))


def _compute(made: Delivered, owners: Sequence[str]) -> tuple[Cell, ...]:
    useful = tuple(made.useful.get(o) if made.useful is not None else None for o in owners)
    return (*useful, *(made.at_end.get(o) for o in owners))


def _lead(runs: Sequence[Backtest]) -> str:
    told = [run for run in runs if run.best is not None and run.lives]
    if not told:
        return said("backtest.lead blind")
    wins: dict[str, int] = {}
    for run in told:
        near = min(run.lives, key=lambda life: float(life.cost.total)).policy.name
        wins[near] = wins.get(near, 0) + 1
    return said("backtest.lead", nearest=[
        said("backtest.wins", name=_policy(name), n=n, all=len(told)) if len(told) > 1 else _policy(name)
        for name, n in wins.items()])


def _orders(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "month": "month", "offer": "text", "owner": "text", "units": "count",
              "came": "month"}
    rows = tuple(row for run in runs for life in run.lives for row in _ordered(run, life.policy.name, life.decided))
    if any(run.best is not None for run in runs):
        rows += tuple(row for run in runs if run.best for row in _ordered(run, HINDSIGHT, (run.best.lived.first,)))
    return Table(id="orders", title=said("backtest.orders"), columns=_columns(titles), rows=rows, wide=True,
                 empty=said("backtest.orders empty"), lead=said("backtest.orders lead"))


def _columns(titles: Mapping[str, str]) -> tuple[Column, ...]:
    """Columns by the name and the kind of each."""
    return tuple(Column(title=named("backtest", name), kind=kind) for name, kind in titles.items())


def _ordered(run: Backtest, name: str, decided: Sequence[Values]) -> Iterator[tuple[Cell, ...]]:
    truth, start = run.truth, run.truth.market.start
    offers = {f.id: i for i, f in enumerate(truth.market.scenario.offers)}
    for key, units in sorted(((k, v) for one in decided for k, v in one.items() if k[0] == "order"),
                             key=lambda item: (item[0][3], item[0])):
        f, t = offers[str(key[1])], int(key[3])
        came = t + max(int(truth.lead[f, t]) - int(sooner(truth.market)[f, int(key[5])]), 0)
        yield (run.when.days[0].isoformat(), _policy(name), start + t, str(key[1]), str(key[2]), round(units),
               start + came if came < truth.market.months else None)


def _revised(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "month": "month", "order": "text", "owner": "text", "units": "count",
              "became": "text", "came": "month"}
    rows = tuple(row for run in runs for life in run.lives for row in _changes(run, life.policy.name, life.lived))
    if any(run.best is not None for run in runs):
        rows += tuple(row for run in runs if run.best for row in _changes(run, HINDSIGHT, run.best.lived))
    return Table(id="revised", title=said("backtest.revised"), wide=True, rows=rows, columns=_columns(titles),
                 empty=said("backtest.revised empty"), lead=said("backtest.revised lead"))


def _changes(run: Backtest, name: str, lived: Lived) -> Iterator[tuple[Cell, ...]]:
    """Open orders cancelled and deferred on the first day, and every order revised at a later plan."""
    true, start = run.truth.market, run.truth.market.start
    orders = {q.id: (i, q) for i, q in enumerate(true.scenario.open_orders)}
    of_day = [(0, key, units) for key, units in lived.first.items()
              if key[0] == "cancel" or (key[0] == "keep" and int(key[2]) > 0)]
    later = [(int(key[-2]), key, units) for key, units in lived.first.items() if key[0] == "revised"]
    for month, key, units in sorted((*of_day, *later), key=lambda found: (found[0], str(found[1]))):
        if round(units) > 0:
            order = str(key[2] if key[0] == "revised" else key[1])
            owner = str(key[3]) if key[:2] == ("revised", "order") else orders[order][1].owner
            became, came = _became(run, key, orders[order][0] if order in orders else -1)
            yield (run.when.days[0].isoformat(), _policy(name), start + month, order, owner, round(units), became,
                   start + came if came is not None and came < true.months else None)


def _became(run: Backtest, key: Key, q: int) -> tuple[str, int | None]:
    """What the units of an order became, and the month index that came in."""
    if key[0] == "keep":
        late = int(run.truth.market.promised[q] + run.truth.slip[q]) + int(key[2])
        return said("backtest.deferred", n=int(key[2])), late
    if key[0] == "cancel" or not key[-4]:
        return said("backtest.cancelled"), None
    found = really(run.truth.market, run.truth.lead,
                   Revision(what=key[1:4], month=int(key[-2]), into=str(key[-4]), option=int(key[-3])))
    return str(key[-4]), found.arrives


def _plans(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "planned on": "text", "expected": "money", "gap": "share"}
    rows = tuple((run.when.days[0].isoformat(), _policy(life.policy.name), day.isoformat(), expected, gap)
                 for run in runs for life in run.lives
                 for day, expected, gap in zip(run.when.days, life.objective, life.gap, strict=False))
    return Table(id="plans", title=said("backtest.plans"), rows=rows, wide=True, empty=said("backtest.plans empty"),
                 columns=_columns(titles), lead=said("backtest.plans lead"))


