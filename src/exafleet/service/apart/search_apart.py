"""The best way to serve with prefill and decode apart, over all layouts, batches and ratios of the two pools.

Each side is first looked at by itself (`sides`), then what is left of them in pairs (`pairs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.disaggregated import Apart, serve_apart_at
from exafleet.service.apart.pairs import Matched, Sides, match
from exafleet.service.apart.sides import decode_candidates, prefill_candidates
from exafleet.step.serve import BAND, Machine, ServeTask
from exafleet.step.serve_layouts import ServeLimits, layouts
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApartLayout:
    """A deployment with prefill and decode apart, in words and numbers.

    prefill, decode              layouts in words
    prefill_chips, decode_chips  of one replica
    prefill_count, decode_count  replicas
    concurrency                  sequences running on one decode replica at the rate found
    """

    prefill: str
    prefill_chips: int
    prefill_count: int
    decode: str
    decode_chips: int
    decode_count: int
    concurrency: int

    @property
    def words(self) -> str:
        """"1 x TP4 for prefill, 4 x TP8 for decode"."""
        return f"{self.prefill_count} x {self.prefill} for prefill, {self.decode_count} x {self.decode} for decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApartFront:
    """Deployments of a pool by time per token, of each the most traffic within the time to first token. [N]

    rate     output tokens per second and chip of the pool      [token/s]
    speed    output tokens per second and user                   [token/s]
    ttft     mean time to first token                            [s]
    words    the deployment
    """

    rate: Floats
    speed: Floats
    ttft: Floats
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApartResult:
    """Answer of `search_apart`. Where `why` is not OK, the layout is the nearest miss, if any, and `rate` is 0.

    why             Why.OK, or what keeps every candidate from the target
    reasons         number of candidates of both sides and of pairs by reason, OK included
    rate            output tokens per second of all `chips`                                          [token/s]
    low, high       80 % band of `rate`                                                              [token/s]
    ttft, tpot      mean time to first token, per output token                                       [s]
    prefill_memory  parts of one chip's memory in either pool                                        [P]  [B]
    decode_memory
    busy            share of the prefill pool's time in use                                          [1]
    soonest         least time to first token of any candidate, alone                                [s]
    fastest         least time per output token of any candidate                                     [s]
    limit           the largest part of the time that misses its target; "" when OK
    """

    task: ServeTask
    systems: tuple[str, str]
    chips: int
    why: Why
    reasons: Mapping[Why, int]
    layout: ApartLayout | None = None
    rate: float = 0.0
    low: float = 0.0
    high: float = 0.0
    ttft: float = float("inf")
    tpot: float = float("inf")
    token: Parts | None = None
    first: Parts | None = None
    prefill_memory: Parts | None = None
    decode_memory: Parts | None = None
    busy: float = 0.0
    soonest: float = float("inf")
    fastest: float = float("inf")
    front: ApartFront | None = None
    limit: str = ""

    @property
    def rate_per_chip(self) -> float:
        """Output tokens per second and chip. [token/s]"""
        return self.rate / self.chips if self.chips else 0.0

    @property
    def candidates(self) -> int:
        """Layouts, batches and pairs looked at."""
        return sum(self.reasons.values())


def search_apart(task: ServeTask, prefill_on: Machine, decode_on: Machine, chips: int, ladder: Floats, *,
                 limits: ServeLimits, prefill_limits: ServeLimits | None = None) -> ApartResult:
    """Best deployment with prefill and decode apart on `chips` chips, at the task's targets.

    prefill_on, decode_on   systems of the two sides; the pool's chips may be of either
    chips                   of both sides together
    ladder                  sequences of one micro-batch of a decode group to try                        [R]
    limits                  ranges of the axes of decode
    prefill_limits          of prefill, where they are others
    """
    sides = sides_within(task, prefill_on, decode_on, chips, ladder, limits, prefill_limits or limits)
    if isinstance(sides, ApartResult):
        return sides
    fits, able = sides.fits(chips), sides.able()
    reasons = {Why.HBM_FULL: sides.prefill.full + sides.decode.full, Why.TOO_FEW: int((~fits).sum()),
               Why.TOO_SLOW: int((fits & ~able).sum()), Why.OK: int((fits & able).sum())}
    if not fits.any():
        return ApartResult(task=task, systems=_systems(sides), chips=chips, why=Why.TOO_FEW, reasons=reasons)
    found = match(sides, chips)
    good = (found.pairs.tpot() <= task.tpot) & (found.rate > 0)
    if not good.any():
        return too_slow(sides, chips, reasons)
    at = int(np.argmax(np.where(good, found.rate, -1.0)))
    one, other = (side.take([at]) for side in found.pairs.layouts())
    exact = serve_apart_at(task, prefill_on, decode_on, one, found.prefill_count[[at]], other,
                           found.decode_count[[at]], found.rate[[at]])
    return result(sides, chips, Why.OK, reasons, exact, _front(found, chips))


def sides_within(task: ServeTask, prefill_on: Machine, decode_on: Machine, chips: int, ladder: Floats,
                 limits: ServeLimits, prefill_limits: ServeLimits) -> Sides | ApartResult:
    """What is left of both sides of up to `chips` chips; a result that says why where nothing is."""
    systems = (prefill_on.system.id, decode_on.system.id)
    one = layouts(task.arch, prefill_on.net.domain, chips, prefill_limits)
    other = layouts(task.arch, decode_on.net.domain, chips, limits)
    if not len(one.tp) or not len(other.tp):
        return ApartResult(task=task, systems=systems, chips=chips, why=Why.NOT_DIVISIBLE,
                           reasons={Why.NOT_DIVISIBLE: 1}, limit="no layout within the limits")
    prefill = prefill_candidates(task, prefill_on, one)
    decode = decode_candidates(task, decode_on, other, ladder, limits.concurrency)
    if not len(prefill.layouts.tp) or not len(decode.tpot):
        return ApartResult(task=task, systems=systems, chips=chips, why=Why.HBM_FULL,
                           reasons={Why.HBM_FULL: prefill.full + decode.full})
    return Sides(task=task, prefill_on=prefill_on, decode_on=decode_on, prefill=prefill, decode=decode)


def too_slow(sides: Sides, chips: int, reasons: Mapping[Why, int]) -> ApartResult:
    """The pair that misses the targets by the smallest factor, one replica of each, nearly idle."""
    task = sides.task
    miss = np.maximum(sides.first / task.ttft, sides.decode.tpot / task.tpot)
    left, right = np.unravel_index(int(np.argmin(np.where(sides.fits(chips), miss, np.inf))), miss.shape)
    one, other = sides.prefill.layouts.take([left]), sides.decode.layouts.take([right])
    rate = 1e-3 * min(float(sides.ceiling[left]), float(sides.decode.requests[right]))
    exact = serve_apart_at(task, sides.prefill_on, sides.decode_on, one, 1, other, 1, rate)
    return result(sides, chips, Why.TOO_SLOW, reasons, exact)


def result(sides: Sides, chips: int, why: Why, reasons: Mapping[Why, int], exact: Apart,
           front: ApartFront | None = None) -> ApartResult:
    """One candidate as the answer."""
    task, token, first = sides.task, exact.token.at(0), exact.first.at(0)
    spread = float(np.exp(BAND * max(on.engine.sigma for on in (sides.prefill_on, sides.decode_on))))
    made = float(exact.rate[0]) if why is Why.OK else 0.0
    missed = first if first.total / task.ttft > token.total / task.tpot else token
    return ApartResult(
        task=task, systems=_systems(sides), chips=chips, why=why, reasons=dict(reasons), layout=layout_of(exact),
        rate=made, low=made / spread, high=made * spread, ttft=float(first.total), tpot=float(token.total),
        token=token, first=first, prefill_memory=exact.prefill_memory.at(0), decode_memory=exact.decode_memory.at(0),
        busy=float(exact.busy[0]), front=front, soonest=float(sides.first.min()),
        fastest=float(sides.decode.tpot.min()),
        limit="" if why is Why.OK else missed.names[int(np.argmax(missed.values))])


def _systems(sides: Sides) -> tuple[str, str]:
    return sides.prefill_on.system.id, sides.decode_on.system.id


def layout_of(exact: Apart) -> ApartLayout:
    """The first candidate in words and numbers."""
    return ApartLayout(
        prefill=exact.prefill.words(0), prefill_chips=int(exact.prefill.replica[0]),
        prefill_count=int(exact.prefill_count[0]), decode=exact.decode.words(0),
        decode_chips=int(exact.decode.replica[0]), decode_count=int(exact.decode_count[0]),
        concurrency=max(round(float(exact.running[0] / exact.decode_count[0])), 1))


def _front(found: Matched, chips: int) -> ApartFront:
    """Throughput against speed per user, of pairs whose first token comes in time."""
    pairs = found.pairs
    speed, rate = 1.0 / pairs.tpot(), found.rate * pairs.task.output_tokens / chips
    index = np.flatnonzero(rate > 0)
    order = index[np.lexsort((-speed[index], -rate[index]))]
    best = np.maximum.accumulate(np.concatenate([[0.0], speed[order][:-1]]))
    kept = order[speed[order] > best]
    one, other = pairs.take(kept).layouts()
    words = tuple(f"{int(found.prefill_count[k])} x {one.words(n)} for prefill, {int(found.decode_count[k])} x "
                  f"{other.words(n)} for decode" for n, k in enumerate(kept))
    return ApartFront(rate=rate[kept], speed=speed[kept], ttft=found.ttft[kept], words=words)
