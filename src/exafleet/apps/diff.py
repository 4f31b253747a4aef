"""`exafleet diff`: what differs between two plans of one scenario, and which input makes how much of it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from exafleet.apps.options import Cluster, Form, Format, Lang, Language, Store, check_cluster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from exafleet.apps.opened import Opened
    from exafleet.apps.progress import Progress
    from exafleet.facts.world import World
    from exafleet.report.table import Table

_PLAN = "A kept run (number, id, last), the JSON of a report, or a scenario."


def diff(
    first: Annotated[str, typer.Argument(metavar="PLAN_A", help=_PLAN)],
    second: Annotated[str, typer.Argument(metavar="PLAN_B", help=_PLAN)],
    why: Annotated[
        bool, typer.Option("--why/--no-why", help="Share the difference of cost out among the inputs that differ.")
    ] = True,
    cluster: Cluster = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, metavar="N", help="Processes that plan the mixtures.")
    ] = 1,
    store: Store = None,
    form: Form = Format.table,
    lang: Lang = Language.en,
) -> None:
    """Compare two plans: inputs, money, orders and dates that differ, and why.

    Inputs are switched from the first plan to the second in every combination, each planned anew; their shares
    (Shapley) and what draws and whole units add sum to the difference of cost. Ctrl-C prints the rest.

    \b
    Examples:
      exafleet diff 3 last
      exafleet diff plan-may.json plan-june.json
      exafleet diff examples/xai-2024-12 my-variant --no-why
    """
    from exafleet.apps.opened import opened
    from exafleet.apps.output import show
    from exafleet.apps.progress import Progress
    from exafleet.report.differences import compared
    from exafleet.terms.said import said

    check_cluster(cluster)
    progress = Progress.to_stderr()
    a = opened(first, store=store, progress=progress, where="PLAN_A")
    b = opened(second, store=store, progress=progress, where="PLAN_B", check=functools.partial(_same_question, a))
    spoken = _language(a, b, lang.value)
    told = _told(a, spoken), _told(b, spoken)
    _check(*told)
    notes = [*a.notes, *b.notes]
    missing = [x.label for x in (a, b) if x.world is None]
    if missing:
        notes.append(said("diff.note missing", names=missing))
    tables = _tables(a, b, *told)
    short = False
    if why and not missing and any(t.rows for t in tables):
        table = _why(a, b, *told, progress=progress, workers=workers, cluster=cluster)
        short = table is None
        tables += [] if table is None else [table]
        notes += [said("explain.cut short", what=said("diff.why.title"))] if short else []
    show(compared(*told, (a.label, b.label), tables, notes), form, language=lang)
    if short:
        raise KeyboardInterrupt("the reasons are not finished")


def _language(a: Opened, b: Opened, asked: str) -> str:
    """The language to compare in: that of a side of which only the report is known, else the one asked for."""
    return next((str(side.report.get("language", asked)) for side in (a, b)
                 if side.plan is None and side.report is not None), asked)


def _told(side: Opened, language: str) -> Mapping[str, Any]:
    """The report of a side as plain data, in a language where it is made now."""
    if side.plan is None or side.world is None or side.rates is None:
        assert side.report is not None
        return side.report
    from exafleet.report.build import report

    return report(side.world, side.rates, side.plan).as_json(language)


def _check(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Raise FactError for plans that have nothing in common."""
    from exafleet.report.differences import related, told_keys

    if not related(str(a["title"]), told_keys(a), str(b["title"]), told_keys(b)):
        _refuse(str(a["title"]), str(b["title"]))


def _same_question(a: Opened, world: World) -> None:
    """The same of a world that is not planned yet."""
    from exafleet.report.differences import record_keys, related, told_keys

    title, names = world.scenario.name, record_keys(k.key for k in world.keys())  # noqa: SIM118  (not a mapping)
    if a.world is not None:
        first, keys = a.world.scenario.name, record_keys(k.key for k in a.world.keys())  # noqa: SIM118
    else:
        assert a.report is not None
        first, keys = str(a.report["title"]), told_keys(a.report)
    if not related(first, keys, title, names):
        _refuse(first, title)


def _refuse(first: str, second: str) -> NoReturn:
    from exafleet.terms.errors import FactError, Problem

    raise FactError(Problem(what="the plans are of two different scenarios", got=f"{first} and {second}",
                            allowed="two plans of one scenario, with the same name or mostly the same records"))


def _tables(a: Opened, b: Opened, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Table]:
    from exafleet.report import differences
    from exafleet.sweep.difference import changes

    if a.world is not None and b.world is not None:
        inputs = differences.inputs(a.world, b.world, changes(a.world, b.world))
    else:
        inputs = differences.inputs_told(old, new)
    return [inputs, differences.money(old, new), differences.orders(old, new), differences.others(old, new),
            differences.dates(old, new), differences.rules(old, new)]


def _why(a: Opened, b: Opened, old: Mapping[str, Any], new: Mapping[str, Any], *, progress: Progress, workers: int,
         cluster: str | None) -> Table | None:
    """The shares; None where Ctrl-C came first."""
    from exafleet.report import differences
    from exafleet.sweep import difference

    assert a.world is not None
    assert b.world is not None
    found = difference.changes(a.world, b.world)
    try:
        with progress.phase("why"):
            shares = difference.why(a.world, b.world, found, workers=workers, cluster=cluster, progress=progress.count)
    except KeyboardInterrupt:
        return None
    return differences.why(shares, old, new, (_gap(a), _gap(b)))


def _gap(side: Opened) -> float:
    """How far the objective of a plan may be from the best one. [USD]"""
    assert side.plan is not None
    return side.plan.gap * abs(side.plan.objective)
