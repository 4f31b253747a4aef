"""`exafleet ask`: what a month, a megawatt or a look ahead is worth; buy now or wait; what would change the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Cluster, Form, Format, Lang, Language, Scenario, check_cluster

if TYPE_CHECKING:
    from exafleet.apps.progress import Progress
    from exafleet.facts.world import World
    from exafleet.plan.plan import Plan
    from exafleet.report.table import Table
    from exafleet.sweep.answers.ground import Ground, Means

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=(
    "Ask a plan: what a month earlier or a megawatt is worth, buy now or wait, buy or rent, what to know would be "
    "worth, what naive plans cost more, what would have to be true for another plan to win."))

Draws = Annotated[int | None, typer.Option("--draws", min=1, max=1000, metavar="N", help=(
    "Futures plans are made for; the first is the quoted one. Default: the scenario's."))]
Fresh = Annotated[int, typer.Option("--fresh", min=2, max=10_000, metavar="N", help=(
    "Other futures all plans are judged by."))]
Seed = Annotated[int | None, typer.Option("--seed", min=0, max=2**31 - 1, metavar="N", help=(
    "Seed of the futures. Default: the scenario's."))]
Gap = Annotated[float, typer.Option("--gap", min=0.0, max=20.0, metavar="PERCENT", help=(
    "How far from the best a plan may be proven to be. [%]"))]
Workers = Annotated[int, typer.Option("--workers", min=1, max=1024, metavar="N", help=(
    "Processes on this machine. The answer is the same to the byte."))]


@dataclass(slots=True)
class Asked:
    """A question's ground, the plan where one is needed, and what the question adds."""

    ground: Ground
    by: Means
    more: dict[str, Any] = field(default_factory=dict)
    made: Plan | None = None

    @property
    def plan(self) -> Plan:
        """The plan of the ground, made once."""
        from exafleet.sweep.answers.ground import planned

        if self.made is None:
            self.made = planned(self.ground)
        return self.made


def _earlier(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.earlier import earlier

    found = earlier(asked.ground, asked.plan, (), asked.by)
    return [answers.earlier(asked.plan, found), answers.premium(asked.plan, found)]


def _power(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.earlier import power as megawatts

    return [answers.power(asked.plan, megawatts(asked.plan))]


def _wait(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.waiting import SLIPS, waiting

    more = asked.more
    return [answers.waiting(waiting(asked.ground, more.get("later", ()), more.get("slips", SLIPS), asked.by))]


def _own(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.owning import owning

    return [answers.rivals("owning", owning(asked.ground, None, asked.by))]


def _regret(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.regret import regret as rivals

    return [answers.rivals("regret", rivals(asked.ground, None, asked.by))]


def _information(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.information import information as known

    return [answers.information(known(asked.ground, asked.by))]


def _break_even(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.turning import turning

    return [answers.turning(turning(asked.ground, None, asked.by, most=asked.more.get("most", 2)))]


def _frontier(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.frontier import WEIGHTS
    from exafleet.sweep.answers.frontier import frontier as points

    return [answers.frontier(points(asked.ground, WEIGHTS, asked.by))]


def _foresight(asked: Asked) -> list[Table]:
    from exafleet.report.sections import answers
    from exafleet.sweep.answers.foresight import foresight as lived

    return [answers.foresight(lived(asked.ground, asked.by, asked.more.get("every", 0)))]


Question = Callable[[Asked], "list[Table]"]
QUESTIONS: dict[str, Question] = {
    "earlier": _earlier, "power": _power, "wait": _wait, "own": _own, "information": _information, "regret": _regret,
    "break-even": _break_even, "frontier": _frontier, "foresight": _foresight,
}
FRESH = 50


def _ask(name: str, scenario: Path, as_of: str | None, draws: int | None, fresh: int, seed: int | None, gap: float,
         workers: int, cluster: str | None, form: Format, lang: Language, **more: Any) -> None:
    from exafleet.apps.output import show
    from exafleet.apps.progress import Progress

    check_cluster(cluster)
    progress = Progress.to_stderr()
    world, ground = _ground(scenario, as_of, draws, fresh, seed, gap, progress)
    with progress.phase(name):
        tables = QUESTIONS[name](Asked(ground, _means(workers, cluster, progress), more))
    show(_report(world, ground, tables), form, language=lang)


def _means(workers: int, cluster: str | None, progress: Progress) -> Means:
    from exafleet.sweep.answers.ground import Means

    return Means(workers=workers, cluster=cluster, progress=progress.count)


def _ground(scenario: Path, as_of: str | None, draws: int | None, fresh: int, seed: int | None, gap: float,
            progress: Progress) -> tuple[World, Ground]:
    from exafleet.apps.inputs import day
    from exafleet.facts.world import load_world
    from exafleet.fleet.build import rates
    from exafleet.sweep.answers.ground import ground

    with progress.phase("reading"):
        world = load_world(scenario, as_of=day(as_of))
    with progress.phase("rating"):
        found = rates(world)
    risk = world.scenario.risk
    return world, ground(world, found, draws=draws or risk.draws, fresh=fresh, gap=gap / 100.0,
                         seed=risk.seed if seed is None else seed)


def _report(world: World, ground: Ground, tables: list[Table]) -> Any:
    import exafleet
    from exafleet.report.table import Report
    from exafleet.terms.said import said

    months = ground.market
    return Report(
        title=world.scenario.name, summary=(), cards=(), tables=tuple(tables),
        subtitle=said("report.subtitle", first=months.start, last=months.start + months.months - 1,
                      day=world.as_of.isoformat()),
        meta={"exafleet": exafleet.__version__, "data": world.data_hash[:12], "as of": world.as_of.isoformat(),
              "seed": ground.draws.seed, "draws": ground.draws.count, "fresh draws": ground.fresh.count - 1})


@app.command()
def earlier(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None,
            gap: Gap = 0.5, workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table,
            lang: Lang = Language.en) -> None:
    """What is a month earlier worth, per unit of each system on order, and the highest queue premium by month?

    \b
    Example:
      exafleet ask earlier examples/startup-64-h100
    """
    _ask("earlier", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang)


@app.command()
def power(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, seed: Seed = None, gap: Gap = 0.5,
          form: Form = Format.table, lang: Lang = Language.en) -> None:
    """What is one more MW worth at each site, in each month and from each month on?

    \b
    Example:
      exafleet ask power examples/xai-2024-12
    """
    _ask("power", scenario, as_of, draws, 2, seed, gap, 1, None, form, lang)


@app.command()
def wait(
    scenario: Scenario,
    later: Annotated[str | None, typer.Option("--next", metavar="SYSTEM,...", help=(
        "Systems of the next generation. Default: those not on sale within three months."))] = None,
    slips: Annotated[str, typer.Option("--slips", metavar="MONTHS,...", help=(
        "Months the next generation comes later than expected."))] = "0,3,6,9,12",
    as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None, gap: Gap = 0.5,
    workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table, lang: Lang = Language.en,
) -> None:
    """Buy now, or wait for the next generation? With the regret of each if the roadmap slips.

    \b
    Example:
      exafleet ask wait examples/xai-2024-12 --next gb300-nvl72,vr-nvl72 --slips 0,6,12
    """
    _ask("wait", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang,
         later=_names(later), slips=_months(slips))


def _names(words: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(w.strip() for w in (words or "").split(",") if w.strip()))


def _months(words: str) -> tuple[int, ...]:
    """Whole months from a list such as "0,3,6"; raises FactError."""
    from exafleet.terms.errors import FactError, Problem

    parts = [w.strip() for w in words.split(",")]
    wrong = [w for w in parts if not (w.isascii() and w.isdigit() and int(w) <= 120)]
    if wrong:
        raise FactError([Problem(where="--slips", what="not whole months", got=repr(w), allowed="0 to 120, as 0,3,6")
                         for w in wrong])
    return tuple(sorted({int(w) for w in parts}))


@app.command()
def own(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None,
        gap: Gap = 0.5, workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table,
        lang: Lang = Language.en) -> None:
    """Buy, lease or rent? Each alone beside the mix, on the same fresh futures.

    \b
    Example:
      exafleet ask own examples/startup-64-h100
    """
    _ask("own", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang)


@app.command()
def information(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None,
                gap: Gap = 0.5, workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table,
                lang: Lang = Language.en) -> None:
    """What would it be worth to know the future (EVPI), and what is it worth to plan for more than one (VSS)?

    \b
    Example:
      exafleet ask information examples/startup-64-h100
    """
    _ask("information", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang)


@app.command()
def regret(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None,
           gap: Gap = 0.5, workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table,
           lang: Lang = Language.en) -> None:
    """What do naive plans cost more: all-in on the newest, wait, spread evenly, last year's plan, nothing?

    \b
    Example:
      exafleet ask regret examples/startup-64-h100
    """
    _ask("regret", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang)


@app.command("break-even")
def break_even(
    scenario: Scenario,
    most: Annotated[int, typer.Option("--most", min=1, max=20, metavar="N", help=(
        "Other plans to ask about, those nearest to the plan first."))] = 2,
    as_of: AsOf = None, draws: Draws = None, fresh: Fresh = 20, seed: Seed = None, gap: Gap = 0.5,
    workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table, lang: Lang = Language.en,
) -> None:
    """What would have to be true for another plan to win?

    \b
    Example:
      exafleet ask break-even examples/startup-64-h100
    """
    _ask("break-even", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang, most=most)


@app.command()
def frontier(scenario: Scenario, as_of: AsOf = None, draws: Draws = None, fresh: Fresh = FRESH, seed: Seed = None,
             gap: Gap = 0.5, workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table,
             lang: Lang = Language.en) -> None:
    """Expected cost against the mean cost of the worst futures: the efficient frontier.

    \b
    Example:
      exafleet ask frontier examples/startup-64-h100
    """
    _ask("frontier", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang)


@app.command()
def foresight(
    scenario: Scenario,
    every: Annotated[int | None, typer.Option("--every", min=1, max=120, metavar="MONTHS", help=(
        "Months between two plans. Default: the scenario's react, else 3."))] = None,
    as_of: AsOf = None, draws: Draws = None, fresh: Fresh = 20, seed: Seed = None, gap: Gap = 0.5,
    workers: Workers = 1, cluster: Cluster = None, form: Form = Format.table, lang: Lang = Language.en,
) -> None:
    """By how much is the plan flattered, because each of its draws knows its own future?

    The same first decisions are lived through fresh futures and planned again as time passes.

    \b
    Example:
      exafleet ask foresight examples/university-one-node
    """
    _ask("foresight", scenario, as_of, draws, fresh, seed, gap, workers, cluster, form, lang, every=every or 0)
