"""`exafleet backtest`: what each way of planning would have made of what really happened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.apps.options import Form, Format, Lang, Language, Scenario
from exafleet.terms.errors import ExafleetError, FactError, Problem, nearest

if TYPE_CHECKING:
    from exafleet.apps.progress import Progress
    from exafleet.fleet.rates import Rates
    from exafleet.plan.highs import Stop
    from exafleet.plan.policies import Policy
    from exafleet.replay.backtest import Backtest, Dates

DATE = '"2024-12-19", "2024-12" or "2024"'
LONGEST = 360


class Every(StrEnum):
    """How often it is planned anew."""

    month = "month"
    quarter = "quarter"


def backtest(
    scenario: Scenario,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="Day of the first plan. Default: the scenario's own."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE",
                     help="Last day lived. Default: the last day its history.toml tells of."),
    ] = None,
    starts: Annotated[
        str | None,
        typer.Option("--from", metavar="DATES", help="Several first days, with commas between, in one table."),
    ] = None,
    every: Annotated[Every, typer.Option("--every", help="How often it is planned anew.")] = Every.quarter,
    policies: Annotated[
        str | None,
        typer.Option("--policies", metavar="NAMES", help="Policies to compare, with commas between. Default: all."),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=1, max=1000, metavar="N", help="Futures the planner looks at.")] = 5,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, metavar="N", help="Seed of the futures. Default: the scenario's."),
    ] = None,
    gap: Annotated[
        float, typer.Option("--gap", min=0.0, max=0.5, metavar="SHARE",
                            help="Gap each plan is proven to; hindsight to a quarter of it.")] = 0.02,
    form: Form = Format.table,
    lang: Lang = Language.en,
) -> None:
    """Plan with what was known on a day, live through what really happened, plan again, and compare.

    Each plan sees only facts and records of its own date. Beside the policies stand the best that hindsight could
    have done and what the buyer is reported to have installed.

    \b
    Examples:
      exafleet backtest examples/xai-2024-12 --until 2026-06-30
      exafleet backtest examples/history --from 2023-06-01,2024-06-01,2024-12-01,2025-06-01 --every month
    """
    from exafleet.apps.output import note, show
    from exafleet.apps.progress import Progress
    from exafleet.plan.highs import stoppable
    from exafleet.report.backtest import backtest_report

    chosen, windows = _asked(scenario, as_of, until, starts, every, policies)
    progress = Progress.to_stderr()
    with progress.phase("backtest"), stoppable(None) as stop:
        runs = list(_runs(scenario, windows, chosen, (draws, seed, gap), stop, progress))
    if not (scenario if scenario.is_dir() else scenario.parent).joinpath("history.toml").exists():
        note("note: there is no history.toml beside the scenario: what is ordered comes as quoted.")
    stopped = next((run.stopped for run in runs if run.stopped), "")
    if any(run.lives for run in runs) or not stopped:
        show(backtest_report(runs[0].truth.market.scenario.name, runs, _meta(runs, every, draws, gap)),
             form, language=lang)
    if stopped:
        raise KeyboardInterrupt(f"{stopped}; what was finished by then is above" if any(r.lives for r in runs)
                                else f"{stopped}; no policy was finished")


def _runs(scenario: Path, windows: Sequence[Dates], chosen: Sequence[Policy], how: tuple[int, int | None, float],
          stop: Stop, progress: Progress) -> Iterator[Backtest]:
    from exafleet.replay.backtest import Knowledge
    from exafleet.replay.backtest import backtest as lived
    from exafleet.replay.rolling import Settings

    known: dict[str, Rates] = {}
    for when in windows:
        knowledge = Knowledge(path=scenario, when=when, said=progress.step, shared=known)
        asked = how[1] if how[1] is not None else knowledge.world(when.days[0]).scenario.risk.seed

        def said(policy: str, done: int, total: int, start: date = when.days[0]) -> None:
            progress.step(f"from {start.isoformat()}, {policy}: plan {done + 1} of {total}")

        run = lived(knowledge, chosen, Settings(draws=how[0], seed=asked, gap=how[2], stop=stop), said)
        yield run
        if run.stopped:
            return


def _meta(runs: Sequence[Backtest], every: Every, draws: int, gap: float) -> dict[str, object]:
    from exafleet import __version__

    return {"version": __version__, "until": runs[0].when.until.isoformat(), "every": every.value, "draws": draws,
            "gap": gap, "reference": runs[0].speeds.reference,
            "hindsight_bound_usd": [run.best.bound if run.best is not None else None for run in runs]}


# ------------------------------------------------------------------------------------------------------ what was asked
def _asked(scenario: Path, as_of: str | None, until: str | None, starts: str | None, every: Every,
           policies: str | None) -> tuple[list[Policy], list[Dates]]:
    """Policies and windows; raises FactError with everything that is wrong with the words."""
    from exafleet.facts.world import known_days
    from exafleet.replay.backtest import EVERY, dates

    problems: list[Problem] = []
    month, days = known_days(scenario)
    first = _starts(as_of, starts, days[:1], problems)
    last = _day("--until", until, problems) if until is not None else _month_end(days[-1]) if days else None
    chosen = _policies(policies, problems)
    problems += _windows(first, last, days[0] if days else None, month, default=until is None)
    if problems:
        raise FactError(problems)
    assert last is not None
    return chosen, [dates(day, last, EVERY[every.value], month) for day in first]


def _starts(as_of: str | None, starts: str | None, own: Sequence[date], problems: list[Problem]) -> list[date]:
    if as_of is not None and starts is not None:
        problems.append(Problem(where="--from", what="the first day is given twice", got=f"--as-of {as_of} and --from",
                                remedy="Use one of the two."))
    if starts is None and as_of is None:
        return list(own)
    words = [w.strip() for w in starts.split(",")] if starts is not None else [as_of or ""]
    found = [day for day in (_day("--from" if starts is not None else "--as-of", w, problems) for w in words) if day]
    problems += [Problem(where="--from", what="the same day twice", got=day.isoformat())
                 for day in sorted({d for d in found if found.count(d) > 1})]
    return found


def _day(option: str, words: str, problems: list[Problem]) -> date | None:
    from exafleet.apps.inputs import day

    try:
        return day(words)
    except ExafleetError:
        problems.append(Problem(where=option, what="not a date", got=repr(words), allowed=DATE))
        return None


def _month_end(day: date) -> date:
    from exafleet.terms.calendar import month_end, month_of

    return month_end(month_of(day))


def _windows(first: Sequence[date], last: date | None, own: date | None, month: int, *,
             default: bool) -> Iterator[Problem]:
    from exafleet.terms.calendar import month_name, month_of

    for day in first:
        if own is not None and day < own:
            yield Problem(where="--as-of / --from", what="before the day of the scenario, of which it knows nothing",
                          got=day.isoformat(), allowed=f"{own.isoformat()} or later",
                          remedy="Write a scenario of that day, and what came later in its history.toml.")
        if last is not None and last < day:
            yield Problem(where="--until", what="before the first plan", got=last.isoformat(),
                          allowed=f"{day.isoformat()} or later",
                          remedy="Say until when, e.g. --until 2026-06-30." if default else "")
        elif last is not None and month_of(last) < month:
            yield Problem(where="--until", what="before the scenario's first month", got=last.isoformat(),
                          allowed=f"{month_name(month)} or later")
        elif last is not None and month_of(last) - month_of(day) >= LONGEST:
            yield Problem(where="--until", what="too far from the first plan", got=last.isoformat(),
                          allowed=f"at most {LONGEST} months")


def _policies(words: str | None, problems: list[Problem]) -> list[Policy]:
    from exafleet.plan.policies import POLICIES, policy

    names = [p.name for p in POLICIES] if words is None else [w.strip() for w in words.split(",")]
    for name in dict.fromkeys(names):
        if policy(name) is None:
            known = [p.name for p in POLICIES]
            problems.append(Problem(where="--policies", what="unknown policy", got=repr(name), allowed=", ".join(known),
                                    remedy=nearest(name, known)))
        elif names.count(name) > 1:
            problems.append(Problem(where="--policies", what="the same policy twice", got=repr(name)))
    return [p for p in (policy(name) for name in names) if p is not None]
