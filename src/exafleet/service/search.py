"""The best way to serve a model at a latency target: every layout times a ladder of concurrencies, at once.

The answer is the candidate with most output tokens per second and chip among those that fit in memory and meet both
targets; the Pareto set shows what slower or faster answers would carry. Candidates are the same whatever the task
asks, so a looser target or a faster chip can never give less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.service.packing import packed as packed
from exafleet.service.steady import ServeStep, full, serve_step
from exafleet.step.serve import BAND, Machine, ServeTask, machine
from exafleet.step.serve_layouts import ServeLayouts, ServeLimits, layouts
from exafleet.step.serve_memory import memory
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
# Each rung of concurrency carries about a sixth more than the one below: finer than the model knows.
RUNG = 1.16
# Most sequences one group runs at once: the largest batch serving engines capture graphs for.
MOST_BATCH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeLayout:
    """A deployment: tp * pp * dp chips are one replica, experts spread over ep of them; `concurrency` per replica."""

    tp: int
    pp: int
    dp: int
    ep: int
    replica: int
    replicas: int
    concurrency: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeFront:
    """Deployments that no other beats in both ways, from most throughput to most speed per user. [N]

    rate     output tokens per second and chip       [token/s]
    speed    output tokens per second and user        [token/s]
    ttft     mean time to first token                 [s]
    words    layout and concurrency in words
    """

    rate: Floats
    speed: Floats
    ttft: Floats
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeResult:
    """Answer of `search_serve`. Where `why` is not OK, `layout` is the nearest miss, and `rate` is 0.

    why         Why.OK, or what keeps every candidate from the target
    reasons     number of candidates by reason, OK included
    layout      the deployment; None when none fits in memory or the data type is missing
    rate        output tokens per second of all `chips`                        [token/s]
    low, high   80 % band of `rate`                                            [token/s]
    ttft, tpot  mean time to first token, per output token                     [s]
    token       parts of tpot                                                  [P]  [s]
    first       parts of ttft                                                  [P]  [s]
    memory      parts of one chip's memory                                     [P]  [B]
    soonest     least time to first token of any candidate                     [s]
    fastest     least time per output token of any candidate                   [s]
    limit       the largest part of the time that misses its target, or of memory; "" when OK
    candidates  layouts times concurrencies looked at
    """

    task: ServeTask
    system: str
    chips: int
    why: Why
    reasons: Mapping[Why, int]
    layout: ServeLayout | None
    rate: float
    low: float
    high: float
    ttft: float
    tpot: float
    token: Parts | None
    first: Parts | None
    memory: Parts | None
    front: ServeFront | None
    limit: str
    candidates: int
    soonest: float = float("inf")
    fastest: float = float("inf")

    @property
    def rate_per_chip(self) -> float:
        """Output tokens per second and chip. [token/s]"""
        return self.rate / self.chips


def search_serve(task: ServeTask, system: System, chips: int, facts: Facts, *,
                 limits: ServeLimits | None = None) -> ServeResult:
    """Best deployment of a service on `chips` chips of a system at the task's targets.

    chips   pool of chips; replicas are packed into scale-up domains, chips left over idle
    limits  ranges of tp, pp, dp, ep, replica size and concurrency

    Raises MissingFact when efficiency, fabric or serving figures of the system are not known; everything else is
    answered by `why`.
    """
    return search_on(task, machine(system, facts, task.engine), chips, limits or ServeLimits())


def search_on(task: ServeTask, on: Machine, chips: int, within: ServeLimits) -> ServeResult:
    """The same on a machine whose facts are already read."""
    found = scan(task, on, chips, within)
    if isinstance(found, ServeResult):
        return found
    per_chip = found.step.rate * packed(found.step.layouts.replica, on.net.domain, chips) / chips
    runs = bool(found.good.any())
    at = int(np.argmax(np.where(found.good, per_chip, -1.0))) if runs else _nearest(task, found.step)
    return answer(task, on, chips, found.step, at, Why.OK if runs else Why.TOO_SLOW, found.reasons, per_chip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """Every candidate that fits in memory. [C]

    step     times, memory and traffic of one replica                     [C]
    good     runs and meets both targets                                   [C]
    reasons  number of candidates by reason, OK and those that do not fit included
    """

    step: ServeStep
    good: npt.NDArray[np.bool_]
    reasons: Mapping[Why, int]


def scan(task: ServeTask, on: Machine, chips: int, within: ServeLimits) -> Scan | ServeResult:
    """Every layout of up to `chips` chips times every concurrency; a result that says why where there is none."""
    if (why := refused(task, on)) is not Why.OK:
        return _nothing(task, on.system, chips, why, {why: 1}, "no hardware for the data type")
    every = layouts(task.arch, on.net.domain, chips, within)
    if not len(every.tp):
        why = Why.NOT_DIVISIBLE
        return _nothing(task, on.system, chips, why, {why: 1}, "no layout within the limits")
    which, running, tight = _candidates(task, on, every, within)
    reasons = {Why.HBM_FULL: tight}
    if not len(which):
        used = memory(task.arch, every, np.ones_like(every.tp), task.weights, task.kv_dtype, task.context, task.chunk)
        part = used.at(int(np.argmin(used.total)))
        return _nothing(task, on.system, chips, Why.HBM_FULL, reasons, part.names[int(np.argmax(part.values))])
    step = serve_step(task, on, every.take(which), running)
    late = (step.first.total > task.ttft) | (step.token.total > task.tpot)
    why_each = np.where((step.why == Why.OK) & late, Why.TOO_SLOW, step.why)
    for code in np.unique(why_each):
        reasons[Why(int(code))] = reasons.get(Why(int(code)), 0) + int((why_each == code).sum())
    return Scan(step=step, good=why_each == Why.OK, reasons=reasons)


def refused(task: ServeTask, on: Machine) -> Why:
    """Why.NO_DTYPE where the chip cannot compute or store in the task's formats, else Why.OK.

    Products need hardware; stored weights and cache may be of any narrower format.
    """
    known = set(on.chip.peak_flops) & set(on.eff.product)
    stored = {"bf16", "fp8", "fp6", "fp4", "int8", "int4"}
    able = (stored | known) if task.dtype in known else stored - {task.dtype}
    return Why.NO_DTYPE if {task.dtype, task.weights, task.kv_dtype} - able else Why.OK


def rungs() -> Floats:
    """Sequences of one micro-batch of a group that are tried. [R]"""
    return np.unique(np.round(RUNG ** np.arange(np.log(MOST_BATCH) / np.log(RUNG))))


def _candidates(task: ServeTask, on: Machine, every: ServeLayouts,
                within: ServeLimits) -> tuple[npt.NDArray[np.intp], Floats, int]:
    """Layout and concurrency of each candidate that fits in memory, and how many did not. [C]"""
    ladder = rungs()
    which = np.repeat(np.arange(len(every.tp)), len(ladder))
    batch = np.tile(ladder, len(every.tp))
    running = batch * every.dp[which] * every.pp[which]
    low, high = within.concurrency
    inside = (running >= low) & (running <= high)
    used = memory(task.arch, every.take(which), batch, task.weights, task.kv_dtype, task.context, task.chunk)
    fits = ~full(used, on)
    return which[inside & fits], running[inside & fits], int((inside & ~fits).sum())


def _nearest(task: ServeTask, step: ServeStep) -> int:
    """The candidate that misses the targets by the smallest factor."""
    miss = np.maximum(step.first.total / task.ttft, step.token.total / task.tpot)
    return int(np.argmin(np.where(step.why == Why.OK, miss, np.inf)))


def answer(task: ServeTask, on: Machine, chips: int, step: ServeStep, at: int, why: Why, reasons: Mapping[Why, int],
           per_chip: Floats) -> ServeResult:
    """One candidate of a step as the result; `per_chip` are output tokens per second and chip of the pool. [C]"""
    lay, token, first = step.layouts, step.token.at(at), step.first.at(at)
    ok = why == Why.OK
    rate = float(per_chip[at]) * chips if ok else 0.0
    spread = float(np.exp(BAND * on.engine.sigma))
    chosen = ServeLayout(tp=int(lay.tp[at]), pp=int(lay.pp[at]), dp=int(lay.dp[at]), ep=int(lay.ep[at]),
                         replica=int(lay.replica[at]), concurrency=int(step.concurrency[at]), words=lay.words(at),
                         replicas=int(packed(lay.replica[at:at + 1], on.net.domain, chips)[0]))
    missed = first if first.total / task.ttft > token.total / task.tpot else token
    return ServeResult(task=task, system=on.system.id, chips=chips, why=why, reasons=dict(reasons), layout=chosen,
                       rate=rate, low=rate / spread, high=rate * spread, ttft=float(first.total),
                       tpot=float(token.total), token=token, first=first, memory=step.memory.at(at),
                       front=_front(task, step, per_chip), candidates=sum(reasons.values()),
                       soonest=float(np.min(step.first.total)), fastest=float(np.min(step.token.total)),
                       limit="" if ok else missed.names[int(np.argmax(missed.values))])


def _front(task: ServeTask, step: ServeStep, per_chip: Floats) -> ServeFront:
    """Throughput against speed per user, among candidates that reach the first token in time (all, if none does)."""
    usable = step.why == Why.OK
    timely = usable & (step.first.total <= task.ttft)
    index = np.flatnonzero(timely if timely.any() else usable)
    speed = 1.0 / step.token.total
    order = index[np.lexsort((-speed[index], -per_chip[index]))]
    best = np.maximum.accumulate(np.concatenate([[0.0], speed[order][:-1]]))
    kept = order[speed[order] > best]
    words = tuple(f"{step.layouts.words(i)}, {int(step.concurrency[i])} at once" for i in kept)
    return ServeFront(rate=per_chip[kept], speed=speed[kept], ttft=step.first.total[kept], words=words)


def _nothing(task: ServeTask, system: System, chips: int, why: Why, reasons: Mapping[Why, int],
             limit: str) -> ServeResult:
    return ServeResult(task=task, system=system.id, chips=chips, why=why, reasons=dict(reasons), layout=None, rate=0.0,
                       low=0.0, high=0.0, ttft=float("inf"), tpot=float("inf"), token=None, first=None, memory=None,
                       front=None, limit=limit, candidates=sum(reasons.values()))
