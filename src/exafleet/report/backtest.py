"""The tables of a backtest: what each policy cost, what it delivered, what it ordered when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from exafleet.plan.carry import Key, Lived, Values
from exafleet.plan.revised import Revision
from exafleet.replay.backtest import Backtest
from exafleet.replay.delivered import REFERENCE, Delivered
from exafleet.replay.hindsight import Hindsight
from exafleet.replay.revising import really
from exafleet.replay.rolling import sooner
from exafleet.report.table import Cell, Column, Report, Table

HINDSIGHT, REPORTED = "hindsight", "as reported"


def backtest_report(name: str, runs: Sequence[Backtest], meta: dict[str, object]) -> Report:
    """One report of all windows; each has its rows."""
    return Report(title=f"{name}: backtest", subtitle=_subtitle(runs), summary=tuple(_summary(runs)), cards=(),
                  tables=(_policies(runs), _orders(runs), _revised(runs), _plans(runs)), meta=dict(meta))


def _subtitle(runs: Sequence[Backtest]) -> str:
    days = ", ".join(run.when.days[0].isoformat() for run in runs)
    return f"planned from {days}; lived until {runs[-1].when.until.isoformat()}" if runs else ""


def _summary(runs: Sequence[Backtest]) -> Iterator[str]:
    for run in runs:
        if run.unrecorded:
            yield f"Nothing is recorded of {', '.join(run.unrecorded)}: what is ordered there comes as quoted."
            break
    yield from _unrated(runs)
    yield from _left_out(runs)
    reference = runs[0].speeds.reference if runs else REFERENCE
    yield (f"A useful chip-hour is what one accelerator of {reference} does of the same job in an hour, from Rates; "
           "chips count at the mean of the jobs.")


def _left_out(runs: Sequence[Backtest]) -> Iterator[str]:
    """What of the scenario no policy and no hindsight may use here, and why."""
    scenario = runs[0].truth.market.scenario if runs else None
    if scenario is None:
        return
    if scenario.finance:
        yield (f"Everything is paid in cash: {', '.join(m.id for m in scenario.finance)} left out, because the terms "
               "of the day each would be signed on are not known.")
    if scenario.fairness.rule != "none":
        yield (f"The rule of fairness ({scenario.fairness.rule}) is left out: it has shares of a whole plan's work, "
               "and here every plan is made again.")
    if scenario.risk.react:
        yield ("Orders are revised at every plan with what is known by then; no plan counts on the looks of its own "
               "draws (react), which would foresee them.")


def _unrated(runs: Sequence[Backtest]) -> Iterator[str]:
    """What plans could not reckon, a sentence for each job on each system, whatever the first day."""
    days: dict[tuple[str, str], set[date]] = {}
    for run in runs:
        for found in run.unrated:
            days.setdefault((found.job, found.system), set()).update(found.days)
    for (job, system), when in days.items():
        last = f" to {max(when).isoformat()}" if len(when) > 1 else ""
        yield (f"How fast {job} runs on {system} could not be reckoned from what was known on {min(when).isoformat()}"
               f"{last}: plans of those days took it to be of no use.")


def _owners(runs: Sequence[Backtest]) -> list[str]:
    return list(dict.fromkeys(o.id for run in runs for o in run.truth.market.scenario.owners))


def _policies(runs: Sequence[Backtest]) -> Table:
    owners = _owners(runs)
    columns = [Column(title="from"), Column(title="policy"), Column(title="cost", kind="money"),
               Column(title="regret", kind="money"), Column(title="at most", kind="money"),
               Column(title="hardware", kind="money"),
               *(Column(title=f"useful chip-hours, {o}", kind="count") for o in owners),
               *(Column(title=f"chips at the end, {o}", kind="count") for o in owners)]
    rows = tuple(row for run in runs for row in _rows(run, owners))
    return Table(id="backtest", title="What each policy would have made of it", lead=_lead(runs), rows=rows,
                 columns=tuple(columns), empty="No policy was lived through.")


def _rows(run: Backtest, owners: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    start = run.when.days[0].isoformat()
    for life, made in zip(run.lives, run.delivered, strict=True):
        yield (start, life.policy.name, *_regret(float(life.cost.total), run.best),
               _part(life.cost.names, life.cost.values), *_compute(made, owners))
    if run.best is not None and run.delivered_best is not None:
        yield (start, HINDSIGHT, *_regret(float(run.best.cost.total), run.best),
               _part(run.best.cost.names, run.best.cost.values), *_compute(run.delivered_best, owners))
    if run.reported is not None:
        spent = sum(run.reported.spent.values())
        yield (start, REPORTED, None, None, None, spent or None, *_compute(run.reported, owners))


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
        return "Cost in present value, value of runs and what is left at the end taken off; hindsight was not reached."
    wins: dict[str, int] = {}
    for run in told:
        near = min(run.lives, key=lambda life: float(life.cost.total)).policy.name
        wins[near] = wins.get(near, 0) + 1
    said = ", ".join(f"{name} ({n} of {len(told)})" if len(told) > 1 else name for name, n in wins.items())
    return ("Cost in present value, value of runs and what is left at the end taken off; regret against the best found "
            "with hindsight, and at most (proven) against anything. Hardware: what was spent on it. "
            f"Nearest to hindsight: {said}.")


def _orders(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "month": "month", "offer": "text", "owner": "text", "units": "count",
              "came": "month"}
    rows = tuple(row for run in runs for life in run.lives for row in _ordered(run, life.policy.name, life.decided))
    if any(run.best is not None for run in runs):
        rows += tuple(row for run in runs if run.best for row in _ordered(run, HINDSIGHT, (run.best.lived.first,)))
    return Table(id="orders", title="What they ordered", columns=tuple(Column(title=t, kind=k)
                                                                      for t, k in titles.items()),
                 rows=rows, wide=True, empty="Nobody ordered anything.",
                 lead="Orders as placed, and the month their units really came; a dash is after the end.")


def _ordered(run: Backtest, name: str, decided: Sequence[Values]) -> Iterator[tuple[Cell, ...]]:
    truth, start = run.truth, run.truth.market.start
    offers = {f.id: i for i, f in enumerate(truth.market.scenario.offers)}
    for key, units in sorted(((k, v) for one in decided for k, v in one.items() if k[0] == "order"),
                             key=lambda item: (item[0][3], item[0])):
        f, t = offers[str(key[1])], int(key[3])
        came = t + max(int(truth.lead[f, t]) - int(sooner(truth.market)[f, int(key[5])]), 0)
        yield (run.when.days[0].isoformat(), name, start + t, str(key[1]), str(key[2]), round(units),
               start + came if came < truth.market.months else None)


def _revised(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "month": "month", "order": "text", "owner": "text", "units": "count",
              "became": "text", "came": "month"}
    rows = tuple(row for run in runs for life in run.lives for row in _changes(run, life.policy.name, life.lived))
    if any(run.best is not None for run in runs):
        rows += tuple(row for run in runs if run.best for row in _changes(run, HINDSIGHT, run.best.lived))
    return Table(id="revised", title="What became of orders that stood", wide=True, rows=rows,
                 columns=tuple(Column(title=t, kind=k) for t, k in titles.items()),
                 empty="Every order stood as it was placed.",
                 lead="Units cancelled, deferred, or changed into units of another offer, in the month of the plan "
                      "that decided it, and the month they really came; a dash is after the end, or never.")


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
            yield (run.when.days[0].isoformat(), name, start + month, order, owner, round(units), became,
                   start + came if came is not None and came < true.months else None)


def _became(run: Backtest, key: Key, q: int) -> tuple[str, int | None]:
    """What the units of an order became, and the month index that came in."""
    if key[0] == "keep":
        return f"deferred by {key[2]} mo", int(run.truth.market.promised[q] + run.truth.slip[q]) + int(key[2])
    if key[0] == "cancel" or not key[-4]:
        return "cancelled", None
    found = really(run.truth.market, run.truth.lead,
                   Revision(what=key[1:4], month=int(key[-2]), into=str(key[-4]), option=int(key[-3])))
    return str(key[-4]), found.arrives


def _plans(runs: Sequence[Backtest]) -> Table:
    titles = {"from": "text", "policy": "text", "planned on": "text", "expected": "money", "gap": "share"}
    rows = tuple((run.when.days[0].isoformat(), life.policy.name, day.isoformat(), expected, gap)
                 for run in runs for life in run.lives
                 for day, expected, gap in zip(run.when.days, life.objective, life.gap, strict=False))
    return Table(id="plans", title="What each plan expected", rows=rows, wide=True, empty="No plan was made.",
                 columns=tuple(Column(title=t, kind=k) for t, k in titles.items()),
                 lead="Cost of the whole window as each plan saw it, what lay behind it included.")


