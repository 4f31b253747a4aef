"""What a rate is made of: the time parts of its steps and the operators in them, under the layout that was chosen.

`chosen` finds again how a job runs on a system at a size; `spent` times that same layout under any facts, so that two
worlds can be compared part by part and operator by operator. A training step is one phase; a service has two, an
output token and the first token; a run of research has its own step and that of its reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import arch
from exafleet.facts.hardware import System, system
from exafleet.facts.records import Job, ResearchJob, TrainJob
from exafleet.facts.world import World
from exafleet.fleet.build import Bench, fastest_gang, research_run, serving_result, serving_task, training_task
from exafleet.service.steady import serve_step
from exafleet.step.layouts import Layouts
from exafleet.step.serve import (
    Machine,
    ServeTask,
    classes,
    curve_times,
    decode_operators,
    machine,
    prefill_operators,
    shared_chunk,
)
from exafleet.step.serve_layouts import ServeLayouts, fixed
from exafleet.step.shards import as_run
from exafleet.step.train import TrainTask, evaluate_at, setting, shard_work
from exafleet.terms.errors import FactError
from exafleet.work.operator import Work

Floats = npt.NDArray[np.float64]
PHASES = ("step", "reference step", "output token", "first token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A training step as it was laid out: `system` and chips are those that work. phase: of PHASES."""

    phase: str
    system: str
    task: TrainTask
    layouts: Layouts
    chips: int

    @property
    def words(self) -> str:
        """The layout in words."""
        return self.layouts.words()[0]

    def doing(self, other: Run) -> Run:
        """This layout at the work of another run of the same kind."""
        return replace(self, task=other.task) if isinstance(other, Trained) else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A replica as it was laid out, with `concurrency` sequences at once."""

    system: str
    task: ServeTask
    layouts: ServeLayouts
    concurrency: float

    @property
    def words(self) -> str:
        """The layout in words."""
        return f"{self.layouts.words(0)}, {self.concurrency:.0f} at once"

    def doing(self, other: Run) -> Run:
        """This layout at the work of another run of the same kind."""
        return replace(self, task=other.task) if isinstance(other, Served) else self


Run = Trained | Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Exposed time of a step under some facts. [s]

    parts      by (phase, part); the parts of a phase add up to it
    operators  by (phase, part, operator, pass); those of a part add up to it, where it is made of operators
    """

    parts: Mapping[tuple[str, str], float]
    operators: Mapping[tuple[str, str, str, str], float]

    def whole(self, phase: str) -> float:
        """Time of a phase. [s]"""
        return sum(v for (name, _), v in self.parts.items() if name == phase)


def chosen(world: World, job: Job, name: str, size: int) -> tuple[Run, ...]:
    """How a job runs on a system at a size of its rates; () where it does not, or a figure is not known."""
    bench = Bench(world.facts)
    try:
        on = system(bench.facts, name)
        if isinstance(job, TrainJob):
            return _gang(bench, training_task(job, arch(bench.facts, job.model)), on, size)
        if isinstance(job, ResearchJob):
            return _research(bench, job, on)
        found = serving_result(bench, serving_task(job, arch(bench.facts, job.model)), on)
    except FactError:
        return ()
    if found.layout is None or not found.rate:
        return ()
    lay = found.layout
    return (Served(system=name, task=found.task, layouts=fixed(lay.tp, lay.pp, lay.dp, lay.ep),
                   concurrency=float(lay.concurrency)),)


def _gang(bench: Bench, task: TrainTask, on: System, size: int) -> tuple[Trained, ...]:
    best = fastest_gang(bench, task, on, size)[0]
    return () if best is None else (_trained("step", task, on, best.layouts),)


def _trained(phase: str, task: TrainTask, on: System, lay: Layouts) -> Trained:
    return Trained(phase=phase, system=on.id, task=task, layouts=lay, chips=int(lay.chips[0]))


def _research(bench: Bench, job: ResearchJob, on: System) -> tuple[Trained, ...]:
    """The run on the system itself and on the one its speed is told in."""
    found = []
    for phase, name in (("step", on.id), ("reference step", job.reference)):
        here = on if name == on.id else system(bench.facts, name)
        task, best, _ = research_run(bench, job, arch(bench.facts, job.model), here)
        if best is not None and not (phase != "step" and name == on.id):
            found.append(_trained(phase, task, here, best.layouts))
    return tuple(found)


def spent(world: World, run: Run) -> Spent:
    """Time of a run's layout under the facts of a world; raises FactError where a figure is not known."""
    return _step(world, run) if isinstance(run, Trained) else _service(world, run)


def _step(world: World, run: Trained) -> Spent:
    at = setting(run.task, system(world.facts, run.system), world.facts)
    time = evaluate_at(run.task, at, run.layouts, run.chips).time
    base, _ = shard_work(run.task, at, run.layouts)
    parts = {name: float(time[name][0]) for name in time.names}
    return Spent(parts={(run.phase, name): value for name, value in parts.items()},
                 operators=dict(_by_operator(run.phase, base.work, as_run(run.task.arch, base, at.how)[0], parts)))


def _service(world: World, run: Served) -> Spent:
    task, on, lay = run.task, machine(system(world.facts, run.system), world.facts, run.task.engine), run.layouts
    step = serve_step(task, on, lay, run.concurrency)
    batch = np.maximum(run.concurrency / (lay.dp * lay.pp), 1.0)
    tokens, seq, before = shared_chunk(task, batch)
    phases = (("output token", "decode", step.token, decode_operators(task, lay, batch)),
              ("first token", "prefill", step.first,
               prefill_operators(task, lay, tokens, seq, before, tokens / seq)))
    parts: dict[tuple[str, str], float] = {}
    operators: dict[tuple[str, str, str, str], float] = {}
    for phase, kind, times, work in phases:
        told = {name: float(times[name][0]) for name in times.names}
        parts |= {(phase, name): value for name, value in told.items()}
        operators |= dict(_by_operator(phase, work, _as_served(work, task, on, kind)[0], told))
    return Spent(parts=parts, operators=operators)


def _as_served(work: Work, task: ServeTask, on: Machine, kind: str) -> Floats:
    """Times of operators as the engine runs them, before its pace. [C, O]  [s]"""
    how = on.engine.of(kind, task.form)
    moving, launch = curve_times(work, task, on)
    return np.asarray(moving * np.array([getattr(how, c) for c in classes(work)]) + how.launch * launch)


def _by_operator(phase: str, work: Work, times: Floats,
                 parts: Mapping[str, float]) -> Iterator[tuple[tuple[str, str, str, str], float]]:
    """Operators of one candidate with their shares of the part they belong to. times [O]"""
    whole: dict[str, float] = {}
    each: dict[tuple[str, str, str, str], float] = {}
    for name, part, way, time in zip(work.names, work.parts, work.steps, times.tolist(), strict=True):
        whole[part] = whole.get(part, 0.0) + time
        each[phase, part, name, way] = each.get((phase, part, name, way), 0.0) + time
    for key, time in each.items():
        if key[1] in parts and whole[key[1]] > 0:
            yield key, parts[key[1]] * time / whole[key[1]]
