"""Deployments of both kinds side by side: what a pool carries most with, or the fewest chips for a demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.service.apart.search_apart import ApartResult, search_apart
from exafleet.service.search import ServeResult, refused, rungs, search_on
from exafleet.service.sizing import size_apart, size_serve
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serve_layouts import ServeLimits
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
TOGETHER, APART = "aggregated", "disaggregated"
KINDS = (TOGETHER, APART)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Deployments of a pool that no other of either kind beats in both ways, from most throughput on. [N]

    rate     output tokens per second and chip       [token/s]
    speed    output tokens per second and user        [token/s]
    ttft     mean time to first token                 [s]
    kind     "aggregated" or "disaggregated"
    words    the deployment
    """

    rate: Floats
    speed: Floats
    ttft: Floats
    kind: tuple[str, ...]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Answers by kind, and which is the better one.

    found   of every kind that was asked for
    best    the kind with most output tokens per second and chip, or fewest chips for a demand; "" where none runs
    front   of both kinds together; None where no pool was given
    """

    task: ServeTask
    system: str
    found: dict[str, ServeResult | ApartResult]
    best: str
    front: Front | None

    @property
    def answer(self) -> ServeResult | ApartResult:
        """The better one; where none runs, the one that gets furthest: late before too large before impossible."""
        if self.best:
            return self.found[self.best]
        order = (Why.TOO_SLOW, Why.TOO_FEW, Why.HBM_FULL, Why.NOT_DIVISIBLE, Why.NO_DTYPE)
        return min(self.found.values(), key=lambda r: (order.index(r.why), _miss(r)))


def deploy(task: ServeTask, system: System, chips: int, facts: Facts, *, kinds: tuple[str, ...] = KINDS,
           limits: ServeLimits | None = None, prefill: System | None = None,
           prefill_limits: ServeLimits | None = None) -> Deployment:
    """The most traffic of a pool of `chips` chips at the task's targets, by kind.

    chips           of the pool, both sides of it where they are apart
    kinds           "aggregated", "disaggregated" or both
    limits          ranges of the axes
    prefill         system of the prefill side, where it is another
    prefill_limits  ranges of the axes of prefill, where they are others

    Raises MissingFact when efficiency, fabric or serving figures are not known.
    """
    on, within = machine(system, facts, task.engine), limits or ServeLimits()
    other = on if prefill is None else machine(prefill, facts, task.engine)
    found: dict[str, ServeResult | ApartResult] = {}
    if TOGETHER in kinds:
        found[TOGETHER] = search_on(task, on, chips, within)
    if APART in kinds and (why := max(refused(task, m) for m in (on, other))) is not Why.OK:
        found[APART] = ApartResult(task=task, systems=(other.system.id, system.id), chips=chips, why=why,
                                   reasons={why: 1})
    elif APART in kinds:
        found[APART] = search_apart(task, other, on, chips, rungs(), limits=within, prefill_limits=prefill_limits)
    running = {kind: r for kind, r in found.items() if r.why is Why.OK}
    best = max(running, key=lambda kind: running[kind].rate_per_chip, default="")
    return Deployment(task=task, system=system.id, found=found, best=best, front=_merged(found))


def deploy_for(task: ServeTask, system: System, rate: float, facts: Facts, *, kinds: tuple[str, ...] = KINDS,
               limits: ServeLimits | None = None, prefill_limits: ServeLimits | None = None) -> Deployment:
    """The fewest chips that carry a demand at the task's targets, by kind.

    rate   output tokens per second     [token/s]

    The other arguments are those of `deploy`.
    """
    on, within = machine(system, facts, task.engine), limits or ServeLimits()
    found: dict[str, ServeResult | ApartResult] = {}
    if TOGETHER in kinds:
        found[TOGETHER] = size_serve(task, on, rate, within)
    if APART in kinds and (why := refused(task, on)) is not Why.OK:
        found[APART] = ApartResult(task=task, systems=(system.id, system.id), chips=0, why=why, reasons={why: 1})
    elif APART in kinds:
        found[APART] = size_apart(task, on, on, rate, rungs(), limits=within, prefill_limits=prefill_limits)
    running = {kind: r for kind, r in found.items() if r.why is Why.OK}
    best = min(running, key=lambda kind: running[kind].chips, default="")
    return Deployment(task=task, system=system.id, found=found, best=best, front=None)


def _miss(found: ServeResult | ApartResult) -> float:
    """By what factor the nearest candidate misses a target. [1]"""
    return max(found.ttft / found.task.ttft, found.tpot / found.task.tpot)


def _merged(found: dict[str, ServeResult | ApartResult]) -> Front | None:
    """The fronts of both kinds as one."""
    fronts = [(kind, r.front) for kind, r in found.items() if r.front is not None]
    if not fronts:
        return None
    rate, speed, ttft = (np.concatenate([getattr(f, name) for _, f in fronts]) for name in ("rate", "speed", "ttft"))
    kinds = [kind for kind, f in fronts for _ in f.words]
    words = [w for _, f in fronts for w in f.words]
    # The aggregated front holds late first tokens where none comes in time; beside others that do, they do not count.
    late = ttft > next(iter(found.values())).task.ttft
    order = np.lexsort((-speed, -rate))
    order = order[~late[order]] if not late.all() else order
    before = np.maximum.accumulate(np.concatenate([[0.0], speed[order][:-1]]))
    kept = order[speed[order] > before]
    return Front(rate=rate[kept], speed=speed[kept], ttft=ttft[kept], kind=tuple(kinds[i] for i in kept),
                 words=tuple(words[i] for i in kept))
