"""When no deployment serves: what is missing, the best that can be reached, and what was tried and does run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.service.deploy import Deployment
    from exafleet.step.serve import Machine, ServeTask
    from exafleet.step.serve_layouts import ServeLimits
    from exafleet.terms.errors import NothingFits


def nothing_serves(found: Deployment, system: System, facts: Facts, gpus: int | None, rate: float | None,
                   kinds: tuple[str, ...], limits: ServeLimits | None) -> NothingFits:
    """The reason, what is needed and what is there, and questions near this one that do have an answer."""
    from exafleet.apps.relax import serve_relaxations
    from exafleet.terms.errors import NothingFits, Problem
    from exafleet.terms.why import SENTENCES, Why

    worst, task = found.answer, found.task
    many = f"{worst.chips:,} accelerator{'s' if worst.chips > 1 else ''}"
    where = f" on {many} of" if worst.chips else " on"
    what = f"{task.arch.name} in {task.dtype}{where} {system.name}: {SENTENCES[worst.why]}"
    if worst.why is Why.TOO_SLOW:
        what += _reachable(found)
    elif worst.why is Why.HBM_FULL:
        what += _needed(task, system, facts, worst.chips, limits)
    return NothingFits(Problem(what=what),
                       relaxations=serve_relaxations(found, system, facts, gpus, rate, kinds, limits))


def _reachable(found: Deployment) -> str:
    """The best of each target by itself, and the largest part of what is missed."""
    from exafleet.terms.format import duration

    worst = found.answer
    soonest, fastest = (min(getattr(r, name) for r in found.found.values()) for name in ("soonest", "fastest"))
    apart = "" if soonest > worst.task.ttft or fastest > worst.task.tpot else ", but not both at once"
    return (f" (the largest part of what is missed is {worst.limit}; the best reachable is a first token after "
            f"{duration(soonest)} and one every {duration(fastest)}{apart})")


def _needed(task: ServeTask, system: System, facts: Facts, chips: int, limits: ServeLimits | None) -> str:
    """Memory of the layout that needs least of it for one request, against what a chip gives."""
    import numpy as np

    from exafleet.service.steady import full
    from exafleet.step.serve import machine
    from exafleet.step.serve_layouts import ServeLimits, layouts
    from exafleet.step.serve_memory import memory
    from exafleet.terms import format as words
    from exafleet.terms.format import data

    on = machine(system, facts, task.engine)
    every = layouts(task.arch, on.net.domain, chips, limits or ServeLimits())
    one = memory(task.arch, every, np.ones_like(every.tp), task.weights, task.kv_dtype, task.context, task.chunk)
    if not full(one, on).all():
        return " at the loads that were asked for"
    least = one.at(int(np.argmin(one.total)))
    weights = float(least["dense weights"] + least["expert weights"])
    there = _given(on, weights)
    cached = float(least["key-value cache"])
    room = max(there - float(least.total) + cached, 0.0)
    longest = (f"; the cache of its {task.context:,.0f} tokens takes {data(cached)}, and there is room for about "
               f"{words.significant(task.context * room / cached)}") if weights < there else ""
    return (f" (one request needs {data(float(least.total))} of a chip, {data(weights)} of them weights; "
            f"there are {data(there)} of {data(on.chip.hbm_bytes)}{longest})")


def _given(on: Machine, weights: float) -> float:
    """Memory of a chip that engines use: all of it for weights, but a share of what these leave. [B]"""
    return weights + max(on.chip.hbm_bytes - weights, 0.0) * (1.0 - on.engine.reserve) if weights < on.chip.hbm_bytes \
        else on.chip.hbm_bytes
