"""`exafleet plan` and `exafleet rates`: a scenario in, an order book and its reasons out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.apps.errors import INTERRUPTED
from exafleet.apps.options import AsOf, Cluster, Form, Format, Lang, Language, Scenario, Store, check_cluster

if TYPE_CHECKING:
    from exafleet.apps.progress import Progress
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates
    from exafleet.plan.plan import Plan
    from exafleet.report.table import Report
    from exafleet.sweep.sensitivity import Sensitivity


class Solver(StrEnum):
    """Which programme solves the plan."""

    highs = "highs"
    ortools = "ortools"


# Part of a run's identity: two plans made with different ones are two runs.
QUICK = "quick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything a plan run produced. `cut_short` says what Ctrl-C left out; empty when nothing was."""

    world: World
    rates: Rates
    plan: Plan
    report: Report
    cut_short: str = ""


def plan(
    scenario: Scenario,
    as_of: AsOf = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws",
            min=1,
            max=1000,
            metavar="N",
            help=("Futures to plan for; the first is always the quoted one. Default: the scenario's."),
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, max=2**31 - 1, metavar="N", help="Seed of the futures. Default: the scenario's."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help=("Write the report as one self-contained HTML file with charts.")),
    ] = None,
    xlsx: Annotated[
        Path | None, typer.Option("--xlsx", metavar="FILE", help="Write the report as an Excel workbook with formulas.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write the report as Markdown.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON (docs/report.schema.json).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what would change the answer.")] = False,
    solver: Annotated[
        Solver,
        typer.Option("--solver", help="What solves the plan. ortools: OR-tools, an extra, to check HiGHS by."),
    ] = Solver.highs,
    cluster: Cluster = None,
    no_store: Annotated[bool, typer.Option("--no-store", help="Do not keep this run.")] = False,
    store: Store = None,
    form: Form = Format.table,
    lang: Lang = Language.en,
) -> None:
    """Turn a scenario into an order book: what to order, defer, rent and run when, what it costs, and why.

    The answer goes to the terminal; the same tables go to --html, --xlsx, --markdown and --json. The same scenario,
    facts and seed give the same bytes.

    \b
    Examples:
      exafleet plan examples/xai-2024-12
      exafleet plan examples/xai-2024-12 --as-of 2024-12-19 --draws 10 --html plan.html
      exafleet plan examples/startup-64-h100 --lang zh --html plan.html --xlsx plan.xlsx
    """
    from exafleet.apps.files import check_writable, write_bytes
    from exafleet.apps.output import as_json, show
    from exafleet.apps.progress import Progress

    files = _files(html=html, xlsx=xlsx, markdown=markdown, json=json)
    for file in files.values():
        check_writable(file)
    check_cluster(cluster)
    _check_solver(solver)
    progress = Progress.to_stderr()
    found = answer(
        scenario, as_of=as_of, draws=draws, seed=seed, quick=quick, cluster=cluster, progress=progress, solver=solver
    )
    if found.cut_short:  # shown, not written: the files of an earlier, finished plan are worth more
        show(found.report, form, language=lang)
        raise KeyboardInterrupt(found.cut_short)
    if files:
        with progress.phase("writing"):
            made = [(file, _written(found.report, form_of, lang)) for form_of, file in files.items()]
            for file, content in made:
                write_bytes(file, content)
    show(found.report, form, language=lang)
    if not no_store:
        words = (QUICK if quick else "", f"solver {solver.value}" if solver is not Solver.highs else "")
        keep(found, as_json(found.report.as_json()), store, options=" ".join(w for w in words if w))


def _check_solver(solver: Solver) -> None:
    """A solver that is not installed is told before long work begins."""
    if solver is Solver.ortools:
        from exafleet.plan.secondsolver import check_second_solver

        check_second_solver("--solver ortools")


def _files(**asked: Path | None) -> dict[str, Path]:
    """The files asked for by form; raises FactError when two forms would go to one file."""
    from exafleet.terms.errors import FactError, Problem

    files = {form: path for form, path in asked.items() if path is not None}
    places: dict[str, str] = {}
    problems = []
    for form, path in files.items():
        first = places.setdefault(os.path.realpath(path), form)
        if first != form and os.path.realpath(path) != os.path.realpath(os.devnull):
            problems.append(Problem(where=f"--{form}", what=f"the same file as --{first}", got=str(path),
                                    remedy="Give each form a file of its own."))
    if problems:
        raise FactError(problems)
    return files


def _written(report: Report, form: str, language: str) -> bytes:
    """The report in one form as the bytes of a file."""
    if form == "xlsx":
        from exafleet.report.workbook import workbook

        return workbook(report, language)
    if form == "html":
        from exafleet.report.html import page

        return page(report, language).encode()
    if form == "markdown":
        from exafleet.report.markdown import markdown

        return markdown(report, language).encode()
    from exafleet.apps.output import as_json

    return as_json(report.as_json(language)).encode()


def rates(scenario: Scenario, as_of: AsOf = None, form: Form = Format.table) -> None:
    """Show the rates a plan would use: each job on each system at each size, with its band, or why it cannot run.

    \b
    Example:
      exafleet rates examples/startup-64-h100
    """
    from exafleet.apps.output import show
    from exafleet.apps.progress import Progress
    from exafleet.apps.tables import rates_report
    from exafleet.store.lines import rate_rows

    world, found = _rates(scenario, as_of, Progress.to_stderr())
    show(rates_report(world, found), form, {"as_of": world.as_of.isoformat(), "rates": rate_rows(found)})


def answer(
    scenario: Path,
    *,
    as_of: str | None,
    draws: int | None,
    seed: int | None,
    quick: bool,
    progress: Progress,
    cluster: str | None = None,
    solver: Solver = Solver.highs,
) -> Answer:
    """Scenario -> World -> Rates -> Draws -> Plan -> Trace -> Report; raises FactError and NoPlan."""
    from exafleet.fleet.goodput import chip_mtbf
    from exafleet.market.market import market
    from exafleet.market.reduce import planned
    from exafleet.plan.solve import solve_market
    from exafleet.replay.live import replay
    from exafleet.report.build import report
    from exafleet.sweep.sensitivity import sensitivity

    world, found = _rates(scenario, as_of, progress)
    risk = world.scenario.risk
    method = "" if solver is Solver.highs else solver.value
    with progress.phase("solving"):
        sold = market(world, found)
        futures = planned(sold, draws or risk.draws, risk.seed if seed is None else seed, found)
        plan, cut_short = stoppable(
            lambda stop: solve_market(sold, found, futures, stop=stop, progress=progress.solving, method=method))
    with progress.phase("replaying"):
        trace = replay(plan, found, chip_mtbf=chip_mtbf(world.facts), seed=futures.seed)
    what_if: tuple[Sensitivity, ...] = ()
    if not quick and not cut_short:
        try:
            with progress.phase("varying facts"):
                what_if = sensitivity(world, found, plan, cluster=cluster, progress=progress.count)
        except KeyboardInterrupt:
            cut_short = "what would change the answer was left out"
    told = report(world, found, plan, trace, what_if)
    return Answer(world=world, rates=found, plan=plan, report=told, cut_short=cut_short)


def stoppable(solve: Callable[[Callable[[], bool]], Plan]) -> tuple[Plan, str]:
    """The plan, solved beside the main thread, so that Ctrl-C ends the command even in the middle of a solve.

    The solver is asked to stop and waited for (leaving while it runs would crash it); a second Ctrl-C does not wait.
    The best plan known by then comes back with a word on its gap; KeyboardInterrupt when there is none yet.
    """
    from threading import Event, Thread

    asked, finished = Event(), Event()
    done: list[Plan | BaseException] = []

    def work() -> None:
        try:
            done.append(solve(asked.is_set))
        except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
            done.append(error)
        finished.set()

    Thread(target=work, daemon=True).start()
    try:
        finished.wait()
    except KeyboardInterrupt:
        asked.set()
        _wait_or_leave(finished.wait)
    if isinstance(done[0], BaseException):
        raise done[0]
    short = f"this is the best plan found so far, its gap {100 * done[0].gap:.2g} %" if asked.is_set() else ""
    return done[0], short


def _wait_or_leave(wait: Callable[[], object]) -> None:
    try:
        wait()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)


def _rates(scenario: Path, as_of: str | None, progress: Progress) -> tuple[World, Rates]:
    from exafleet.apps.inputs import day
    from exafleet.facts.world import load_world
    from exafleet.fleet.build import rates as build_rates

    with progress.phase("reading"):
        world = load_world(scenario, as_of=day(as_of))
    with progress.phase("rating"):
        return world, build_rates(world)


def keep(found: Answer, text: str, asked: str | None, *, options: str) -> None:
    """Store the run; a store that cannot be used is a warning, never a lost plan."""
    from exafleet import __version__
    from exafleet.apps.output import note
    from exafleet.store.database import StoreError, location, open_store
    from exafleet.store.runs import run_id, save_run

    world, plan = found.world, found.plan
    try:
        identity = run_id(
            version=__version__,
            data_hash=world.data_hash,
            scenario=world.scenario,
            options=f"{options} draws {plan.draws.count} seed {plan.draws.seed}",
        )
        saved = save_run(
            open_store(location(asked)),
            identity,
            version=__version__,
            data_hash=world.data_hash,
            rates=found.rates,
            plan=plan,
            report=text,
            world=world,
        )
    except StoreError as error:
        note(f"warning: this run was not kept. {error}")
        return
    if saved.known and not saved.same:
        note(f"warning: run {saved.number} ({saved.id}) asked the same question and got another answer.")
    else:
        note(f"This is run {saved.number} ({saved.id}){', kept before' if saved.known else ''}.")
