"""Throughput along the latency curve, and how far errors of the model move it.

The rate at a target is that of the best deployment which still meets it, so it falls in steps, and an error of the
times does more than scale it: what is a little slower than thought may miss the target altogether. Both are kept here
by one identity: a world in which every time is f times as long answers like ours with targets 1 / f as long, at 1 / f
of the rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.service.apart.search_apart import ApartFront
from exafleet.service.deploy import deploy
from exafleet.service.search import ServeFront
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serving_practice import ANY_ENGINE

Floats = npt.NDArray[np.float64]
# Errors looked at, in standard deviations, and how likely each is: steps far finer than the model knows its own error.
DEVIATIONS = np.linspace(-2.4, 2.4, 13)
WEIGHTS = np.exp(-0.5 * DEVIATIONS**2) / np.exp(-0.5 * DEVIATIONS**2).sum()
# An 80 % band leaves a tenth on either side.
TAIL = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePoint:
    """The best deployment that meets a target.

    rate   output tokens per second and chip      [token/s]
    ttft   mean time to first token                [s]
    tpot   mean time per further token              [s]
    words  layout and load
    """

    rate: float
    ttft: float
    tpot: float
    words: str


def serve_curve(task: ServeTask, system: System, chips: int, facts: Facts, tpots: Sequence[float],
                slower: float = 1.0) -> tuple[ServePoint | None, ...]:
    """The best deployment within the task's time to first token and each time per token; None where none meets both.

    tpots    targets that replace the task's, inf for none          [T]  [s]
    slower   factor on every time the model predicts                [1]
    """
    fronts = _fronts(task, system, chips, facts, slower)
    return tuple(_point(fronts, task.ttft, tpot, slower) for tpot in tpots)


def rates_by_error(task: ServeTask, system: System, chips: int, facts: Facts, tpots: Sequence[float]) -> Floats:
    """Rate per chip at each target if every time is off by each of DEVIATIONS; 0 where nothing meets it. [Z, T]"""
    factors = np.exp(machine(system, facts, task.engine).engine.sigma * DEVIATIONS)
    # Without a limit on the first token the candidates are the same in every world.
    once = _fronts(task, system, chips, facts, 1.0) if np.isinf(task.ttft) else None
    rates = np.zeros((len(factors), len(tpots)))
    for z, factor in enumerate(factors):
        fronts = _fronts(task, system, chips, facts, factor) if once is None else once
        points = [_point(fronts, task.ttft, tpot, factor) for tpot in tpots]
        rates[z] = [0.0 if point is None else point.rate for point in points]
    return rates


def _fronts(task: ServeTask, system: System, chips: int, facts: Facts, slower: float) -> list[ServeFront | ApartFront]:
    """Throughput against speed of either kind of deployment, first token in time in a world that is slower."""
    found = deploy(replace(task, ttft=task.ttft / slower, tpot=np.inf), system, chips, facts).found
    return [result.front for result in found.values() if result.front is not None]


def _point(fronts: Sequence[ServeFront | ApartFront], ttft: float, tpot: float, slower: float) -> ServePoint | None:
    points = [_best(front, ttft, tpot, slower) for front in fronts]
    return max((p for p in points if p is not None), key=lambda p: p.rate, default=None)


def _best(front: ServeFront | ApartFront, ttft: float, tpot: float, slower: float) -> ServePoint | None:
    good = (front.ttft * slower <= ttft) & (slower / front.speed <= tpot)
    if not good.any():
        return None
    at = int(np.argmax(np.where(good, front.rate, -1.0)))
    return ServePoint(rate=float(front.rate[at]) / slower, ttft=float(front.ttft[at]) * slower,
                      tpot=slower / float(front.speed[at]), words=front.words[at])


def band(rates: Floats) -> tuple[float, float]:
    """The 80 % band of a rate over the errors of its times. rates: of each of DEVIATIONS [Z]"""
    return _quantiles(rates, WEIGHTS)


def ratio_band(rates: Floats, base: Floats, shared: float) -> tuple[float, float]:
    """The 80 % band of a ratio of two rates; inf where the base may serve nothing, nan where neither may serve.

    rates, base   of each of DEVIATIONS                                                    [Z]
    shared        share of the variance of their errors that both systems have in common   [1]

    An error is the sum of a common deviation, which moves both at once, and of one of each system's own.

    >>> level = np.exp(-0.3 * DEVIATIONS)
    >>> [round(x, 3) for x in ratio_band(2.0 * level, level, 1.0)]
    [2.0, 2.0]
    """
    common, own = np.sqrt(shared), np.sqrt(1.0 - shared)
    first = _nearest(common * DEVIATIONS[:, None, None] + own * DEVIATIONS[None, :, None])
    second = _nearest(common * DEVIATIONS[:, None, None] + own * DEVIATIONS[None, None, :])
    above, below = np.broadcast_arrays(rates[first], base[second])
    some = np.flatnonzero((above > 0) | (below > 0))
    if not len(some):
        return np.nan, np.nan
    likely = (WEIGHTS[:, None, None] * WEIGHTS[None, :, None] * WEIGHTS[None, None, :]).ravel()[some]
    with np.errstate(divide="ignore"):
        return _quantiles(above.ravel()[some] / below.ravel()[some], likely)


def _nearest(deviation: Floats) -> npt.NDArray[np.intp]:
    """Index of the member of DEVIATIONS next to each."""
    step = DEVIATIONS[1] - DEVIATIONS[0]
    return np.asarray(np.clip(np.rint((deviation - DEVIATIONS[0]) / step), 0, len(DEVIATIONS) - 1), dtype=np.intp)


def _quantiles(values: Floats, weights: Floats) -> tuple[float, float]:
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    low, high = (values[order[np.searchsorted(passed, q * passed[-1])]] for q in (TAIL, 1.0 - TAIL))
    return float(low), float(high)


def shared_error(facts: Facts) -> float:
    """Share of the variance of throughput's error that two systems have in common for one model and its lengths."""
    return facts.value(f"{ANY_ENGINE}.error_shared")
