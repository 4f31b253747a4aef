"""The best way to serve with prefill and decode apart: pairs of layouts and the ratio of their replicas, at once.

Each side is first looked at by itself (`sides`). For every pair that is left, the number of prefill replicas is the
one at which prefill just keeps up with the decode replicas that fit beside it: what prefill carries grows with it, and
what decode carries falls, so that bisection over whole numbers finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.disaggregated import Apart, serve_apart_at
from exafleet.service.entry import Entry
from exafleet.service.packing import beside, packed, room_for_both, spanned
from exafleet.service.sides import DecodeSide, PrefillSide, decode_candidates, prefill_candidates
from exafleet.service.transfer import transfer_time
from exafleet.step.serve import BAND, Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts, ServeLimits, layouts
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Every prefill layout with every decode candidate. [C]

    left, right  of PrefillSide and of DecodeSide                               [C]
    near, far    transfer of a cache inside a scale-up domain, and outside       [C]  [s]
    """

    task: ServeTask
    prefill_on: Machine
    decode_on: Machine
    prefill: PrefillSide
    decode: DecodeSide
    left: Ints
    right: Ints
    near: Floats
    far: Floats

    def take(self, index: npt.ArrayLike) -> Pairs:
        """The pairs at `index`."""
        at = np.asarray(index)
        return Pairs(task=self.task, prefill_on=self.prefill_on, decode_on=self.decode_on, prefill=self.prefill,
                     decode=self.decode, left=self.left[at], right=self.right[at], near=self.near[at],
                     far=self.far[at])

    def sizes(self) -> tuple[Floats, Floats]:
        """Chips of a replica of prefill and of decode. [C], [C]"""
        return self.prefill.layouts.replica[self.left], self.decode.layouts.replica[self.right]

    def carried(self, count: Floats, others: Floats, ttft: float) -> Floats:
        """Requests per second that `count` prefill replicas take in within `ttft` seconds. [C]  [1/s]"""
        return self.entry(count, others).within(ttft)

    def entry(self, count: Floats, others: Floats) -> Entry:
        """The way to the first token with `count` replicas of prefill and `others` of decode. [C]"""
        first, second = self.sizes()
        steps = self.prefill.steps.take(self.left)
        same = self.prefill_on.system.id == self.decode_on.system.id
        together = same & (count * first + others * second <= self.decode_on.net.domain)
        return Entry(side=steps, servers=count * steps.servers, moved=np.where(together, self.near, self.far),
                     pairs=np.minimum(count * self.prefill.layouts.dp[self.left],
                                      others * self.decode.layouts.dp[self.right]),
                     layers=float(self.task.arch.layers), outside=self.prefill_on.engine.request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Pairs with the numbers of replicas that carry most in a pool. [C]

    rate    requests per second; 0 where the first token never comes in time     [C]  [1/s]
    ttft    time to first token at that rate                                     [C]  [s]
    """

    pairs: Pairs
    prefill_count: Floats
    decode_count: Floats
    rate: Floats
    ttft: Floats


def pair_up(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: PrefillSide,
            decode: DecodeSide, chips: int) -> Pairs:
    """All pairs of what is left of two sides that a pool holds one replica of each of. [C]"""
    left, right = np.nonzero(prefill.layouts.replica[:, None] + decode.layouts.replica <= chips)
    one, other = prefill.layouts.take(left), decode.layouts.take(right)
    near, far = (transfer_time(task, prefill_on, decode_on, one, other, together) for together in (True, False))
    return Pairs(task=task, prefill_on=prefill_on, decode_on=decode_on, prefill=prefill, decode=decode, left=left,
                 right=right, near=near, far=far)


def match(pairs: Pairs, chips: int) -> Matched:
    """The ratio of prefill to decode replicas that carries most in a pool, for each pair that may be on the front. [C]

    What prefill could carry if nobody had to wait bounds a pair cheaply. Of every decode candidate the pair with the
    highest bound is timed first; then those whose bound is above all that was found at least as fast for its users.
    """
    first, second = pairs.sizes()
    most = _most_prefill(first, second, pairs.decode_on.net.domain, chips)
    pairs, most = pairs.take(most >= 1), most[most >= 1]
    least, bound = _bounds(pairs, chips, most)
    order = np.lexsort((-bound, pairs.right))
    leads = order[np.unique(pairs.right[order], return_index=True)[1]]
    found = _matched(pairs.take(leads), chips, least[leads], most[leads])
    reached = _so_far(pairs.decode.tpot[found.pairs.right], found.rate, pairs.decode.tpot[pairs.right])
    rest = bound > reached * (1.0 + 1e-9)
    rest[leads] = False
    more = _matched(pairs.take(rest), chips, least[rest], most[rest])
    return Matched(pairs=pairs.take(np.concatenate([leads, np.flatnonzero(rest)])),
                   **{name: np.concatenate([getattr(found, name), getattr(more, name)])
                      for name in ("prefill_count", "decode_count", "rate", "ttft")})


def _bounds(pairs: Pairs, chips: int, most: Floats) -> tuple[Floats, Floats]:
    """Fewest prefill replicas that could keep up with decode, and requests per second that could be carried. [C]"""
    first, second = pairs.sizes()
    domain, each = pairs.decode_on.net.domain, pairs.decode.requests[pairs.right]
    ceiling = (pairs.prefill.steps.servers / pairs.prefill.steps.least)[pairs.left]

    def others(count: Floats) -> Floats:
        return beside(second, domain, chips, spanned(first, domain, count))

    least = _least(lambda n: n * ceiling >= others(n) * each, np.ones_like(most), most)
    fewer = np.maximum(least - 1.0, 1.0)
    bound = np.maximum(np.minimum(least * ceiling, others(least) * each), np.minimum(fewer * ceiling, others(fewer) * each))
    unhurried = pairs.prefill.steps.first + pairs.prefill_on.engine.request <= pairs.task.ttft
    return least, np.where(unhurried[pairs.left], bound, 0.0)


def _so_far(tpot: Floats, rate: Floats, asked: Floats) -> Floats:
    """The most that was found at no more than each time per token asked. [C]"""
    order = np.argsort(tpot)
    best = np.maximum.accumulate(np.concatenate([[0.0], rate[order]]))
    return np.asarray(best[np.searchsorted(tpot[order], asked, side="right")])


def _matched(pairs: Pairs, chips: int, low: Floats, high: Floats) -> Matched:
    """The best ratio of every pair, from `low` prefill replicas (too few at one less) up to `high`. [C]"""
    first, second = pairs.sizes()
    domain, each, ttft = pairs.decode_on.net.domain, pairs.decode.requests[pairs.right], pairs.task.ttft

    def others(count: Floats) -> Floats:
        return beside(second, domain, chips, spanned(first, domain, count))

    # Replicas carry together at least what they carry each by itself and far away.
    alone = pairs.carried(np.ones_like(first), np.full_like(first, 1e12), ttft)
    high = _least(lambda n: n * alone >= others(n) * each, low, high)
    enough = _least(lambda n: pairs.carried(n, others(n), ttft) >= others(n) * each, low, high)
    options = [_at(pairs, n, others(n), each) for n in (enough, np.maximum(enough - 1.0, 1.0))]
    better = options[1].rate > options[0].rate
    chosen = {name: np.where(better, getattr(options[1], name), getattr(options[0], name))
              for name in ("prefill_count", "decode_count", "rate", "ttft")}
    return Matched(pairs=pairs, **chosen)


def _most_prefill(first: Floats, second: Floats, domain: int, chips: int) -> Floats:
    """Most replicas of prefill that leave room for one of decode; 0 where the pool does not hold one of each. [C]"""
    most = np.floor(chips / first) + 1.0
    return _least(lambda n: beside(second, domain, chips, spanned(first, domain, n)) < 1, np.ones_like(most), most) - 1.0


def _least(enough: Callable[[Floats], npt.NDArray[np.bool_]], low: Floats, high: Floats) -> Floats:
    """The least whole number from `low` to `high` that is enough, or `high`; more is enough where less is. [C]"""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = np.floor((low + high) / 2.0)
        there = enough(middle)
        low, high = np.where(there, low, np.minimum(middle + 1.0, high)), np.where(there, middle, high)
    return high


def _at(pairs: Pairs, count: Floats, others: Floats, each: Floats) -> Matched:
    entry = pairs.entry(count, others)
    rate = np.minimum(entry.within(pairs.task.ttft), others * each)
    return Matched(pairs=pairs, prefill_count=count, decode_count=others, rate=rate, ttft=entry.time(rate))


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
    front: ApartFront | None = None
    limit: str = ""

    @property
    def rate_per_chip(self) -> float:
        """Output tokens per second and chip. [token/s]"""
        return self.rate / self.chips

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
    asked = prefill_limits or limits
    one = layouts(task.arch, prefill_on.net.domain, chips, asked)
    other = layouts(task.arch, decode_on.net.domain, chips, limits)
    systems = (prefill_on.system.id, decode_on.system.id)
    if not len(one.tp) or not len(other.tp):
        return ApartResult(task=task, systems=systems, chips=chips, why=Why.NOT_DIVISIBLE,
                           reasons={Why.NOT_DIVISIBLE: 1}, limit="no layout within the limits")
    prefill = prefill_candidates(task, prefill_on, one)
    decode = decode_candidates(task, decode_on, other, ladder, limits.concurrency)
    reasons = {Why.HBM_FULL: prefill.full + decode.full}
    if not len(prefill.layouts.tp) or not len(decode.tpot):
        return ApartResult(task=task, systems=systems, chips=chips, why=Why.HBM_FULL, reasons=reasons)
    pairs = pair_up(task, prefill_on, decode_on, prefill, decode, chips)
    found = match(pairs, chips)
    reasons |= {Why.TOO_FEW: len(pairs.left) - len(found.rate)}
    if not len(found.rate):
        return ApartResult(task=task, systems=systems, chips=chips, why=Why.TOO_FEW, reasons=reasons)
    tpot = decode.tpot[found.pairs.right]
    good = (tpot <= task.tpot) & (found.rate > 0)
    reasons |= {Why.TOO_SLOW: int((~good).sum()), Why.OK: int(good.sum())}
    at = int(np.argmax(np.where(good, found.rate, -1.0))) if good.any() else _nearest(found, tpot)
    return _answer(found, at, chips, bool(good.any()), reasons)


def _nearest(found: Matched, tpot: Floats) -> int:
    """The pair that misses the targets by the smallest factor, at its lowest load."""
    task = found.pairs.task
    soonest = found.pairs.entry(found.prefill_count, found.decode_count).time(np.zeros_like(tpot))
    return int(np.argmin(np.maximum(soonest / task.ttft, tpot / task.tpot)))


def _answer(found: Matched, at: int, chips: int, ok: bool, reasons: Mapping[Why, int]) -> ApartResult:
    pairs = found.pairs
    task, on = pairs.task, pairs.decode_on
    one, other = pairs.prefill.layouts.take(pairs.left[[at]]), pairs.decode.layouts.take(pairs.right[[at]])
    rate = found.rate[[at]] if ok else found.decode_count[[at]] * pairs.decode.requests[pairs.right[[at]]] * 1e-3
    exact = serve_apart_at(task, pairs.prefill_on, on, one, found.prefill_count[[at]], other, found.decode_count[[at]],
                           rate)
    token, first = exact.token.at(0), exact.first.at(0)
    spread = float(np.exp(BAND * max(on.engine.sigma, pairs.prefill_on.engine.sigma)))
    made = float(exact.rate[0]) if ok else 0.0
    missed = first if first.total / task.ttft > token.total / task.tpot else token
    return ApartResult(
        task=task, systems=(pairs.prefill_on.system.id, on.system.id), chips=chips,
        why=Why.OK if ok else Why.TOO_SLOW, reasons=dict(reasons), layout=layout_of(exact, 0), rate=made,
        low=made / spread, high=made * spread, ttft=float(first.total), tpot=float(token.total), token=token,
        first=first, prefill_memory=exact.prefill_memory.at(0), decode_memory=exact.decode_memory.at(0),
        busy=float(exact.busy[0]), front=_front(found, chips),
        limit="" if ok else missed.names[int(np.argmax(missed.values))])


def layout_of(exact: Apart, at: int) -> ApartLayout:
    """One candidate in words and numbers."""
    return ApartLayout(
        prefill=exact.prefill.words(at), prefill_chips=int(exact.prefill.replica[at]),
        prefill_count=int(exact.prefill_count[at]), decode=exact.decode.words(at),
        decode_chips=int(exact.decode.replica[at]), decode_count=int(exact.decode_count[at]),
        concurrency=max(round(float(exact.running[at] / exact.decode_count[at])), 1))


def _front(found: Matched, chips: int) -> ApartFront:
    """Throughput against speed per user, of pairs whose first token comes in time."""
    pairs = found.pairs
    speed, rate = 1.0 / pairs.decode.tpot[pairs.right], found.rate * pairs.task.output_tokens / chips
    index = np.flatnonzero(rate > 0)
    order = index[np.lexsort((-speed[index], -rate[index]))]
    best = np.maximum.accumulate(np.concatenate([[0.0], speed[order][:-1]]))
    kept = order[speed[order] > best]
    one, other = pairs.prefill.layouts.take(pairs.left[kept]), pairs.decode.layouts.take(pairs.right[kept])
    words = tuple(f"{int(found.prefill_count[k])} x {one.words(n)} for prefill, {int(found.decode_count[k])} x "
                  f"{other.words(n)} for decode" for n, k in enumerate(kept))
    return ApartFront(rate=rate[kept], speed=speed[kept], ttft=found.ttft[kept], words=words)
