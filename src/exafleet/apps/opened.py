"""What `--in` of explain and the two sides of diff name: a run that was kept, the JSON of a report, or a scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exafleet.terms.errors import FactError, NoPlan, Problem
from exafleet.terms.said import said

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from exafleet.apps.progress import Progress
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates
    from exafleet.market.market import Floats
    from exafleet.plan.plan import Plan
    from exafleet.store.inputs import Inputs

# Gap of a plan made only to explain a number in it.
ROUGH = 0.02
ALLOWED = 'number or id of a kept run, "last", a JSON file of `exafleet plan --json`, or a scenario'


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """One plan, as far as it is known.

    label    how it is called in sentences
    world    what it was made of, with `rates` and `plan`; None where that was not kept
    run      row of the store; None for a plan that is not kept
    report   the JSON of a report, where nothing else is known
    notes    what a reader must know about it
    """

    label: str
    world: World | None = None
    rates: Rates | None = None
    plan: Plan | None = None
    run: Mapping[str, Any] | None = None
    report: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def opened(words: str, *, store: str | None, progress: Progress, where: str = "--in",
           draws: int | None = None, check: Callable[[World], None] | None = None) -> Opened:
    """The plan called `words`; a scenario that was not planned before is planned now.

    draws   for such a scenario; None for its own
    check   raises for a world that is not wanted, before it is planned

    Raises FactError for words that name nothing, StoreError, ScenarioError and NoPlan.
    """
    path = Path(words)
    if not words.strip() or "\0" in words:
        raise FactError(Problem(where=where, what="names nothing", got=repr(words), allowed=ALLOWED))
    if path.exists():
        return _file(path, store, progress, where, draws, check)
    if path.suffix in (".json", ".toml") or "/" in words or "\\" in words:
        raise FactError(Problem(where=where, what="no such file or folder", got=words, allowed=ALLOWED))
    from exafleet.store.database import location, open_store
    from exafleet.store.runs import find_run

    engine = open_store(location(store), create=False)
    return _run(engine, find_run(engine, words), progress)


def _file(path: Path, store: str | None, progress: Progress, where: str, draws: int | None,
          check: Callable[[World], None] | None) -> Opened:
    if path.is_file() and path.suffix != ".toml":
        data = report_file(path, where)
        found = _same_run(store, str(data["meta"].get("data", "")), data["meta"])
        if found is not None:
            return _run(*found, progress)
        return Opened(label=str(path), report=data, notes=())
    from exafleet.facts.world import load_world

    if path.is_dir() and not (path / "scenario.toml").exists():
        raise FactError(Problem(where=where, what="a folder without a scenario.toml", got=str(path), allowed=ALLOWED))
    with progress.phase("reading"):
        world = load_world(path)
    if check is not None:
        check(world)
    known = _same_run(store, world.data_hash, None)
    if known is not None:
        kept = _run(*known, progress)
        if kept.plan is not None:
            assert kept.run is not None
            return replace(kept, label=str(path), notes=(said("explain.note found", run=_name(kept.run)), *kept.notes))
    rates = _rated(world, progress)
    risk = world.scenario.risk
    plan = _solved(world, rates, draws or risk.draws, risk.seed, None, progress, gap=ROUGH if draws == 1 else 0.005)
    return Opened(label=str(path), world=world, rates=rates, plan=plan,
                  notes=(said("explain.note made", gap=plan.gap),) if draws == 1 else ())


def report_file(path: Path, where: str) -> Mapping[str, Any]:
    """The JSON of a report; raises FactError when the file holds something else."""
    import json

    refused = Problem(where=f"{where} {path}", what="is not the JSON of a report",
                      remedy="Write one with `exafleet plan SCENARIO --json FILE`.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise FactError(refused) from None
    if not _is_report(data):
        raise FactError(refused)
    return dict(data)


def _is_report(data: Any) -> bool:
    """Whether JSON has the shape every part of a report has, whatever its figures."""
    if not isinstance(data, dict) or not isinstance(data.get("meta"), dict) or not isinstance(data.get("title"), str):
        return False
    tables = data.get("tables")
    if not isinstance(tables, dict) or not {"cost", "facts"} <= set(tables):
        return False
    return all(isinstance(t, dict) and isinstance(t.get("columns"), list) and isinstance(t.get("rows"), list)
               and all(isinstance(c, dict) and isinstance(c.get("title"), str) for c in t["columns"])
               and all(isinstance(r, list) and len(r) == len(t["columns"]) for r in t["rows"]) for t in tables.values())


def _same_run(store: str | None, data_hash: str,
              meta: Mapping[str, Any] | None) -> tuple[Engine, dict[str, Any]] | None:
    """The newest kept run on the same data (and, where `meta` of a report is given, the same draws and seed)."""
    from exafleet import __version__
    from exafleet.store.database import StoreError, location, open_store
    from exafleet.store.runs import find_run, list_runs

    try:
        engine = open_store(location(store), create=False)
        runs = [r for r in list_runs(engine) if data_hash and r["data_hash"].startswith(data_hash)
                and (r["version"] == __version__ if meta is None else
                     (r["draws"], r["seed"]) == (meta.get("draws"), meta.get("seed")))]
        return (engine, find_run(engine, runs[-1]["id"])) if runs else None
    except StoreError:
        return None


def _name(run: Mapping[str, Any]) -> str:
    return said("explain.run", number=str(run["number"]), id=run["id"])


def _run(engine: Engine, run: Mapping[str, Any], progress: Progress) -> Opened:
    """A kept run with its world and its own decisions; only its report where its inputs were not kept."""
    import json

    from exafleet.store.inputs import inputs_of, world_of

    kept = inputs_of(engine, run["number"])
    if kept is None:
        return Opened(label=_name(run), run=run, report=json.loads(run["report"]))
    with progress.phase("reading"):
        world = world_of(kept)
    notes = _since(kept, world, run)
    rates = _rated(world, progress)
    plan, more = _again(world, rates, kept.first, run, progress)
    return Opened(label=_name(run), world=world, rates=rates, plan=plan, run=run, notes=(*notes, *more))


def _since(kept: Inputs, world: World, run: Mapping[str, Any]) -> tuple[str, ...]:
    """Whether the facts are still those of the run."""
    from exafleet.facts.catalogue import load_facts

    today, then = load_facts(kept.as_of), world.facts
    changed = {f.key for f in today if not any(o.source == f.source and o.value == f.value and o.low == f.low
                                               and o.high == f.high for o in _history(then, f.key))}
    changed |= {f.key for f in then if not f.own and today.try_get(f.key) is None}
    return (said("explain.note facts", run=_name(run), n=len(changed)),) if changed else ()


def _history(facts: Any, key: str) -> tuple[Any, ...]:
    found = facts.try_get(key)
    return () if found is None else (found, *facts.competing(key))


def _again(world: World, rates: Rates, first: Floats, run: Mapping[str, Any],
           progress: Progress) -> tuple[Plan, tuple[str, ...]]:
    """The plan of a run from its decisions; planned anew where they do not fit any more."""
    try:
        plan = _solved(world, rates, run["draws"], run["seed"], first, progress)
    except (ValueError, NoPlan):
        return _solved(world, rates, run["draws"], run["seed"], None, progress), (said("explain.note anew"),)
    then, now = run["objective"], plan.objective
    moved = abs(now - then) > 1e-6 * max(abs(then), 1.0)
    return plan, (said("explain.note model", run=_name(run), then=then, now=now),) if moved else ()


def _rated(world: World, progress: Progress) -> Rates:
    from exafleet.fleet.build import rates

    with progress.phase("rating"):
        return rates(world)


def _solved(world: World, rates: Rates, draws: int, seed: int, first: Floats | None, progress: Progress,
            gap: float = 0.005) -> Plan:
    from exafleet.apps.plan import stoppable
    from exafleet.market.market import market
    from exafleet.market.reduce import planned
    from exafleet.plan.solve import solve_market

    with progress.phase("solving"):
        sold = market(world, rates)
        futures = planned(sold, draws, seed, rates)
        plan, short = stoppable(lambda stop: solve_market(
            sold, rates, futures, stop=stop, first=first, gap=gap, method="started" if gap >= ROUGH else ""))
    if short:
        raise KeyboardInterrupt(short)
    return plan
