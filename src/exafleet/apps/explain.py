"""`exafleet explain`: where a number comes from, which way it goes, and what the answer would be were it another."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from exafleet.apps.options import Cluster, Form, Format, Lang, Language, Store, check_cluster

if TYPE_CHECKING:
    from exafleet.apps.opened import Opened
    from exafleet.apps.progress import Progress
    from exafleet.facts.world import World
    from exafleet.report.table import Report, Table
    from exafleet.sweep.whatif import WhatIf
    from exafleet.terms.errors import Problem

Found = TypeVar("Found")
_TOP = 5
_MOST_SPLIT = 12


class Shares(StrEnum):
    """Ways to share out the answer among several numbers."""

    shapley = "shapley"
    sobol = "sobol"


def explain(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help=("A fact (gb200-gpu.hbm_bw), a number of the scenario (offers.gb200-list.price), or a figure of the "
                  "report as TABLE.ROW (cost.hardware, orders.1)."),
        ),
    ],
    inside: Annotated[
        str,
        typer.Option("--in", metavar="RUN|JSON|SCENARIO", help="A kept run, the JSON of a report, or a scenario."),
    ],
    of: Annotated[
        str, typer.Option("--of", metavar="ANSWER", help="The answer asked about: cost, or one part of it.")
    ] = "cost",
    tornado: Annotated[
        int | None, typer.Option("--tornado", min=1, max=500, metavar="N", help="Vary N numbers one at a time.")
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option("--over", metavar="KEY", help="Numbers to vary; may be given again. Default: those in use."),
    ] = None,
    shares: Annotated[
        Shares | None, typer.Option("--shares", help="Share the answer out among the numbers of --over.")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=8, max=4096, metavar="N", help="Points for sobol, a power of two.")
    ] = 64,
    target: Annotated[
        str | None, typer.Option("--target", metavar="MONEY", help='Also the value at which the answer is this: "$8B".')
    ] = None,
    cluster: Cluster = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=256, metavar="N", help="Processes for tornado and shares.")
    ] = 1,
    store: Store = None,
    form: Form = Format.table,
    lang: Lang = Language.en,
) -> None:
    """Explain one number: its source and rivals, its path to the report, its effect, and where the answer turns.

    Every figure is a re-run of the scenario with the number changed. Ctrl-C prints what is finished.

    \b
    Examples:
      exafleet explain gb200-gpu.hbm_bw --in examples/xai-2024-12
      exafleet explain offers.gb200-list.price --in last --target "$8B"
      exafleet explain cost.energy --in plan.json --tornado 20
    """
    from exafleet.apps.opened import opened
    from exafleet.apps.output import show
    from exafleet.apps.progress import Progress

    _check(samples, tuple(over or ()), shares)
    answer, aim = _part(of), _money(target)
    check_cluster(cluster)
    progress = Progress.to_stderr()
    found = opened(inside, store=store, progress=progress, draws=1)
    if found.plan is None:
        show(_known_only(found, key), form, language=lang)
        return
    work = _Work(found, key, answer, progress, workers=workers, cluster=cluster)
    report, short = work.done(tornado, tuple(over or ()), shares, samples, aim)
    show(report, form, language=lang)
    if short:
        raise KeyboardInterrupt(f"{short} is not finished")


def _check(samples: int, over: tuple[str, ...], shares: Shares | None) -> None:
    """Raise FactError for options that cannot be meant."""
    from exafleet.terms.errors import FactError, Problem, raise_all

    problems = []
    if samples & (samples - 1):
        problems.append(Problem(where="--samples", what="not a power of two", got=str(samples),
                                allowed="8, 16, 32, 64, ... 4096"))
    twice = [key for i, key in enumerate(over) if key in over[:i]]
    if twice:
        problems.append(Problem(where="--over", what="the same number twice", got=", ".join(twice)))
    if shares is not None and len(over) > _MOST_SPLIT:
        problems.append(Problem(where="--over", what="too many numbers to share the answer out among",
                                got=str(len(over)), allowed=f"at most {_MOST_SPLIT} with --shares"))
    raise_all(FactError, problems)


def _part(words: str) -> str:
    """"cost", or a part of it however its words are joined."""
    from exafleet.plan.plan import PARTS
    from exafleet.sweep.whatif import COST
    from exafleet.terms.errors import FactError, Problem, nearest

    known = {_slug(name): name for name in (COST, *PARTS)}
    if _slug(words) not in known:
        raise FactError(Problem(where="--of", what="not an answer of a plan", got=repr(words),
                                allowed=", ".join(known.values()), remedy=nearest(words, known.values())))
    return known[_slug(words)]


def _slug(words: str) -> str:
    return "-".join(words.casefold().replace("-", " ").split())


def _money(words: str | None) -> float | None:
    from dataclasses import replace

    from exafleet.terms.errors import UnitError
    from exafleet.terms.units import parse

    if words is None:
        return None
    try:
        return parse(words, "money").value
    except UnitError as error:
        raise UnitError([replace(p, where="--target") for p in error.problems]) from None


class _Work:
    """The parts of one explanation, done one after the other until Ctrl-C."""

    def __init__(self, found: Opened, key: str, of: str, progress: Progress, *, workers: int,
                 cluster: str | None) -> None:
        from exafleet.sweep.whatif import WhatIf

        assert found.world is not None
        assert found.rates is not None
        assert found.plan is not None
        self.found, self.key, self.of, self.progress = found, key, of, progress
        self.asked: WhatIf = WhatIf(found.world, found.rates, found.plan)
        self.spread: dict[str, Any] = {"workers": workers, "cluster": cluster, "progress": progress.count}
        self.report = self._report()
        self.short, self.done_of, self.of_all = "", 0, 0

    def _report(self) -> Report:
        from exafleet.report.build import report

        assert self.found.world is not None
        assert self.found.rates is not None
        assert self.found.plan is not None
        return report(self.found.world, self.found.rates, self.found.plan)

    def done(self, tornado: int | None, over: tuple[str, ...], shares: Shares | None, samples: int,
             target: float | None) -> tuple[Report, str]:
        """The explanation, and the part Ctrl-C cut short."""
        from exafleet.report.explained import row_of, told
        from exafleet.sweep.whatif import known, meant
        from exafleet.terms.said import said

        self.key, over = meant(self.asked.world, self.key), tuple(meant(self.asked.world, key) for key in over)
        row = self._row()
        for key in over if row is not None else (self.key, *over):
            known(self.asked.world, key)
        notes = list(self.found.notes)
        tables: list[Table] = []
        if row is not None:
            table, index = row
            tables.append(row_of(table, index))
            self.of = self._answer_of(table, index)
            tornado = tornado or 10
        else:
            tables += self._number(target)
            notes += self._limits()
        tables += self._many(tornado, over, shares, samples)
        if self.short:
            counts = {"done": self.done_of, "all": self.of_all}
            notes.append(said("explain.cut short at", what=self.short, **counts) if self.of_all else
                         said("explain.cut short", what=self.short))
        return told(self.asked, self.key, tables, notes, self.of), self.short

    def _row(self) -> tuple[Table, int] | None:
        """The row of the report that the key names; None for a fact or a number of the scenario. Raises FactError."""
        from exafleet.sweep.whatif import numbers

        return None if self.key in numbers(self.asked.world) else row_called(self.key, self.report, self.asked.world)

    def _answer_of(self, table: Table, row: int) -> str:
        """A row of the cost is explained for its own part."""
        from exafleet.plan.plan import PARTS

        name = str(table.rows[row][0])
        return name if table.id == "cost" and name in PARTS else self.of

    def _number(self, target: float | None) -> list[Table]:
        from exafleet.report import explained
        from exafleet.sweep import explain as sweep
        from exafleet.sweep.passage import passage
        from exafleet.terms.said import said

        tables = [explained.number(self.asked.world, self.key)]
        stops = self._phase(said("explain.phase.path"), lambda: passage(self.asked, self.key))
        if stops is not None:
            tables.append(explained.passage(stops, self._tables(any(s.stop == "answer" for s in stops))))
        effect = self._phase(said("explain.phase.effect"), lambda: sweep.effect(self.asked, self.key, self.of))
        if effect is None:
            return tables
        tables.append(explained.effect(effect))
        turns = self._phase(said("explain.phase.turns"), lambda: sweep.turns(
            self.asked, self.key, self.of, target=target, progress=self.progress.count), lambda found: (*found,))
        # Where the search was cut short, that nothing was found says nothing.
        known = turns is not None and (turns or not self.short)
        return [*tables, explained.turns(self.asked.world, self.key, turns or ())] if known else tables

    def _limits(self) -> list[str]:
        """What a reader must know of a number that cannot be varied like others."""
        from math import isfinite

        from exafleet.sweep.passage import step
        from exafleet.sweep.whatif import only_in_draws
        from exafleet.terms.said import said

        value, factor = self.asked.world.value(self.key), step(self.asked, self.key)
        told = {"zero": value == 0, "endless": not isfinite(value), "draws": only_in_draws(self.key),
                "smaller": isfinite(value) and factor is not None and factor < 1.0}
        return [said(f"explain.note {name}", name=self.key) for name, holds in told.items() if holds]

    def _tables(self, moves: bool) -> list[str]:
        """Tables of the report with a row that rests on the number; what it moves, it moves in the cost."""
        linked = [t.title for t in self.report.tables if any(self.key in keys for keys in t.origins)]
        return list(dict.fromkeys([*linked, *([self.report.table("cost").title] if moves else [])]))

    def _many(self, tornado: int | None, over: tuple[str, ...], shares: Shares | None, samples: int) -> list[Table]:
        from exafleet.report import explained
        from exafleet.sweep import explain as sweep
        from exafleet.terms.said import said

        if self.short or (tornado is None and shares is None):
            return []
        keys = over or sweep.used(self.asked)
        bars: tuple[sweep.Bar, ...] = ()
        tables: list[Table] = []
        if tornado is not None or not over:
            bars = self._phase(said("explain.phase.tornado"), lambda: sweep.tornado(
                self.asked, keys, self.of, **self.spread), sweep.ordered, counted=True) or ()
        if tornado is not None and bars:
            tables.append(explained.tornado(self.asked.world, bars[:tornado]))
        if shares is None or self.short:
            return tables
        chosen = over or tuple(b.range.key for b in bars[:_TOP])
        ways = {Shares.shapley: lambda: sweep.shares(self.asked, chosen, self.of, **self.spread),
                Shares.sobol: lambda: sweep.sobol(self.asked, chosen, self.of, samples=samples, **self.spread)}
        split = self._phase(said("explain.phase.shares"), ways[shares], counted=True) if chosen else None
        return tables if split is None else [*tables, explained.split(split)]

    def _phase(self, name: str, work: Callable[[], Found],
               part: Callable[[list[Any]], Found] | None = None, *, counted: bool = False) -> Found | None:
        """What `work` gives; at Ctrl-C the finished part of it where there is one, and no more phases.

        counted   how many are finished is told
        """
        from exafleet.sweep.interrupted import Interrupted

        if self.short:
            return None
        try:
            with self.progress.phase(name):
                return work()
        except Interrupted as error:
            self.short = name
            self.done_of, self.of_all = (len(error.finished), error.of) if counted else (0, 0)
            return part([result for _, result in error.finished]) if part is not None else None
        except KeyboardInterrupt:
            self.short = name
            return None


def row_called(key: str, report: Report, world: World | None = None) -> tuple[Table, int]:
    """The table and row that "cost.hardware" or "orders.2" names; raises FactError with what is near.

    world   whose numbers may have been meant
    """
    from exafleet.terms.errors import FactError, Problem, nearest

    name, _, row = key.partition(".")
    table = next((t for t in report.tables if t.id == name), None)
    if table is None:
        raise FactError(_nothing(key, report, world))
    if row.isdecimal() and 1 <= int(row) <= len(table.rows):
        return table, int(row) - 1
    written = table.written()
    for columns in (1, len(table.columns)):
        found = [i for i, cells in enumerate(written) if row and _slug(row) in (_slug(c) for c in cells[:columns])]
        if len(found) == 1:
            return table, found[0]
        if found:
            raise FactError(Problem(where=key, what=f"{len(found)} rows of the report are called so",
                                    allowed=", ".join(f"{name}.{i + 1}" for i in found[:20])))
    names = [f"{name}.{_slug(cells[0])}" for cells in written]
    raise FactError(Problem(where=key, what=f'the table "{name}" has no such row',
                            allowed=f"a number from 1 to {len(written)}, or the words of a row" if written else
                            "nothing: the table is empty in this plan", remedy=nearest(key, dict.fromkeys(names))))


def _nothing(key: str, report: Report, world: World | None) -> Problem:
    """Why a key names no number and no row of a report."""
    from dataclasses import replace

    from exafleet.sweep.whatif import unknown
    from exafleet.terms.errors import Problem, nearest

    what = "neither a fact, nor a number of the scenario, nor a row of the report"
    rows = [f"{t.id}.{_slug(str(r[0]))}" for t in report.tables if t.id != "facts" for r in t.rows]
    if world is not None:
        found = unknown(world, key, what, rows)
    else:
        told = [str(r[0]) for t in report.tables if t.id == "facts" for r in t.rows]
        found = Problem(where=key, what=what, remedy=nearest(key, dict.fromkeys([*rows, *told])))
    tables = "tables of the report: " + ", ".join(t.id for t in report.tables)
    return found if found.allowed or found.got or found.remedy else replace(found, allowed=tables)


def _known_only(found: Opened, key: str) -> Report:
    """What the JSON of a report says by itself: the row of the key in its table of facts, or the figure."""
    from dataclasses import replace

    from exafleet.apps.tables import report_from_json
    from exafleet.report.explained import row_of
    from exafleet.terms.said import said

    assert found.report is not None
    told = report_from_json(found.report)
    facts = told.table("facts")
    line = next((i for i, row in enumerate(facts.rows) if row[0] == key), None)
    table, index = (facts, line) if line is not None else row_called(key, told)
    note = said("explain.note report", missing=said("explain.missing inputs", label=found.label))
    return replace(told, title=key, summary=(note,), tables=(row_of(table, index),))
