"""Prefill layouts with decode candidates, and the ratio of their replicas that carries most in a pool.

For every pair the number of prefill replicas is the one at which prefill just keeps up with the decode replicas that
fit beside it: what prefill carries grows with it, and what decode carries falls, so that bisection over whole numbers
finds it. Arrays over pairs [C].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.disaggregated import later
from exafleet.service.apart.entry import Entry
from exafleet.service.apart.sides import DecodeSide, PrefillSide
from exafleet.service.apart.transfer import transfer_time
from exafleet.service.packing import beside, spanned
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is left of both sides, before they are paired. The pools may be of different systems."""

    task: ServeTask
    prefill_on: Machine
    decode_on: Machine
    prefill: PrefillSide
    decode: DecodeSide

    @property
    def soonest(self) -> Floats:
        """Time until a request that is alone has its first token made. [I]  [s]"""
        return np.asarray(self.prefill.steps.first + self.prefill_on.engine.request)

    @property
    def ceiling(self) -> Floats:
        """Requests per second that one replica of prefill could take in if none had to wait. [I]  [1/s]"""
        return np.asarray(self.prefill.steps.servers / self.prefill.steps.least)

    def fits(self, chips: float) -> npt.NDArray[np.bool_]:
        """Pairs of which a pool holds one replica each. [I, J]"""
        return np.asarray(self.prefill.layouts.replica[:, None] + self.decode.layouts.replica <= chips)

    def able(self) -> npt.NDArray[np.bool_]:
        """Pairs that could meet the targets if none had to wait. [I, J]"""
        return np.asarray((self.first <= self.task.ttft) & (self.decode.tpot <= self.task.tpot))

    @property
    def first(self) -> Floats:
        """Time to first token of a request that is alone with a decode engine so busy, but for the transfer. [I, J]

        [s]
        """
        return np.asarray(self.soonest[:, None] + later(self.task, self.decode_on, self.decode.tpot))

    def chip_time(self) -> Floats:
        """Chips times seconds that a request takes at the least, of both sides together. [I, J]  [s]"""
        into = self.prefill.layouts.replica / self.ceiling
        return np.asarray(into[:, None] + self.decode.layouts.replica / self.decode.requests)

    def pairs(self, left: Ints, right: Ints) -> Pairs:
        """The pairs of these indices of either side. [C]"""
        one, other = self.prefill.layouts.take(left), self.decode.layouts.take(right)
        near, far = (transfer_time(self.task, self.prefill_on, self.decode_on, one, other, together)
                     for together in (True, False))
        return Pairs(sides=self, left=left, right=right, near=near, far=far)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Some prefill layouts, each with a decode candidate. [C]

    left, right  of PrefillSide and of DecodeSide                               [C]
    near, far    transfer of a cache inside a scale-up domain, and outside       [C]  [s]
    """

    sides: Sides
    left: Ints
    right: Ints
    near: Floats
    far: Floats

    def take(self, index: npt.ArrayLike) -> Pairs:
        """The pairs at `index`."""
        at = np.asarray(index)
        return Pairs(sides=self.sides, left=self.left[at], right=self.right[at], near=self.near[at], far=self.far[at])

    @property
    def task(self) -> ServeTask:
        """The service."""
        return self.sides.task

    @property
    def domain(self) -> int:
        """Chips of a scale-up domain of the pool."""
        return self.sides.decode_on.net.domain

    def layouts(self) -> tuple[ServeLayouts, ServeLayouts]:
        """Both sides' layouts. [C], [C]"""
        return self.sides.prefill.layouts.take(self.left), self.sides.decode.layouts.take(self.right)

    def each(self) -> Floats:
        """Requests per second of one replica of decode. [C]  [1/s]"""
        return np.asarray(self.sides.decode.requests[self.right])

    def tpot(self) -> Floats:
        """Time per output token. [C]  [s]"""
        return np.asarray(self.sides.decode.tpot[self.right])

    def sizes(self) -> tuple[Floats, Floats]:
        """Chips of a replica of prefill and of decode. [C], [C]"""
        return self.sides.prefill.layouts.replica[self.left], self.sides.decode.layouts.replica[self.right]

    def carried(self, count: Floats, others: Floats) -> Floats:
        """Requests per second that `count` prefill replicas take in within the target. [C]  [1/s]"""
        return self.entry(count, others).within(self.task.ttft)

    def entry(self, count: Floats, others: Floats) -> Entry:
        """The way to the first token with `count` replicas of prefill and `others` of decode. [C]"""
        (first, second), (one, other) = self.sizes(), self.layouts()
        sides, steps = self.sides, self.sides.prefill.steps.take(self.left)
        same = sides.prefill_on.system.id == sides.decode_on.system.id
        together = same & (count * first + others * second <= self.domain)
        return Entry(side=steps, servers=count * steps.servers, moved=np.where(together, self.near, self.far),
                     pairs=np.minimum(count * one.dp, others * other.dp), layers=float(self.task.arch.layers),
                     outside=sides.prefill_on.engine.request,
                     later=later(self.task, sides.decode_on, self.tpot()))


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


def match(sides: Sides, chips: int) -> Matched:
    """The ratio of prefill to decode replicas that carries most in a pool, for each pair that may be on the front. [C]

    The chip time that a request takes at the least bounds what a pair can carry. The decode candidates with the least
    chip time for their time per token are paired and timed first; then every pair whose bound is above all that was
    found at least as fast for its users.
    """
    fits = sides.fits(chips) & (sides.first <= sides.task.ttft)
    bound = np.where(fits, chips / sides.chip_time(), 0.0)
    # Small replicas come close to their bound, large ones leave chips over.
    likely = bound * (1.0 - sides.prefill.layouts.replica[:, None] / (2.0 * chips))
    right = _rising(sides.decode.tpot, bound.max(axis=0, initial=0.0))
    left = likely[:, right].argmax(axis=0) if len(likely) else right
    first = _matched(sides.pairs(left, right), chips)
    reached = _so_far(first.pairs.tpot(), first.rate, sides.decode.tpot) * (1.0 + 1e-9)
    bound[left, right] = 0.0
    second = _matched(sides.pairs(*np.nonzero(bound > reached)), chips, reached)
    pairs = sides.pairs(*(np.concatenate([getattr(m.pairs, side) for m in (first, second)])
                          for side in ("left", "right")))
    return Matched(pairs=pairs, **{name: np.concatenate([getattr(m, name) for m in (first, second)])
                                   for name in ("prefill_count", "decode_count", "rate", "ttft")})


def _rising(tpot: Floats, bound: Floats) -> Ints:
    """Candidates whose bound is above that of all with a shorter time per token. [K]"""
    order = np.lexsort((-bound, tpot))
    before = np.maximum.accumulate(np.concatenate([[0.0], bound[order][:-1]]))
    return np.asarray(order[bound[order] > before])


def _so_far(tpot: Floats, rate: Floats, asked: Floats) -> Floats:
    """The most that was found at no more than each time per token asked. [C]"""
    order = np.argsort(tpot)
    best = np.maximum.accumulate(np.concatenate([[0.0], rate[order]]))
    return np.asarray(best[np.searchsorted(tpot[order], asked, side="right")])


def _matched(pairs: Pairs, chips: int, reached: Floats | None = None) -> Matched:
    """The best ratio of every pair that fits in the pool. [C]

    reached   requests per second of decode candidates below which a pair need not be timed     [J]  [1/s]
    """
    first, second = pairs.sizes()
    most = _most_prefill(first, second, pairs.domain, chips)
    pairs, most = pairs.take(most >= 1), most[most >= 1]
    least, bound = _bounds(pairs, chips, most)
    worth = bound > (0.0 if reached is None else reached[pairs.right])
    pairs, low, high = pairs.take(worth), least[worth], most[worth]
    others, each = _others(pairs, chips), pairs.each()
    # Replicas carry together at least what they carry each by itself and far away.
    alone = pairs.carried(np.ones_like(low), np.full_like(low, 1e12))
    high = least_whole(lambda n: n * alone >= others(n) * each, low, high)
    enough = least_whole(lambda n: pairs.carried(n, others(n)) >= others(n) * each, low, high)
    options = [_at(pairs, n, others(n)) for n in (enough, np.maximum(enough - 1.0, 1.0))]
    better = options[1].rate > options[0].rate
    chosen = {name: np.where(better, getattr(options[1], name), getattr(options[0], name))
              for name in ("prefill_count", "decode_count", "rate", "ttft")}
    return Matched(pairs=pairs, **chosen)


def _bounds(pairs: Pairs, chips: int, most: Floats) -> tuple[Floats, Floats]:
    """Fewest prefill replicas that could keep up with decode, and requests per second that could be carried. [C]"""
    others, each, ceiling = _others(pairs, chips), pairs.each(), pairs.sides.ceiling[pairs.left]
    least = least_whole(lambda n: n * ceiling >= others(n) * each, np.ones_like(most), most)
    fewer = np.maximum(least - 1.0, 1.0)
    return least, np.maximum(*(np.minimum(n * ceiling, others(n) * each) for n in (least, fewer)))


def _others(pairs: Pairs, chips: int) -> Callable[[Floats], Floats]:
    """Decode replicas that fit beside so many of prefill. [C]"""
    (first, second), domain = pairs.sizes(), pairs.domain
    return lambda count: beside(second, domain, chips, spanned(first, domain, count))


def _most_prefill(first: Floats, second: Floats, domain: int, chips: int) -> Floats:
    """Most replicas of prefill that leave room for one of decode; 0 where the pool does not hold one of each. [C]"""
    most = np.floor(chips / first) + 1.0
    full = least_whole(lambda n: beside(second, domain, chips, spanned(first, domain, n)) < 1, np.ones_like(most), most)
    return full - 1.0


def least_whole(enough: Callable[[Floats], npt.NDArray[np.bool_]], low: Floats, high: Floats) -> Floats:
    """The least whole number from `low` to `high` that is enough, or `high`; more is enough where less is. [C]"""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = np.floor((low + high) / 2.0)
        there = enough(middle)
        low, high = np.where(there, low, np.minimum(middle + 1.0, high)), np.where(there, middle, high)
    return high


def _at(pairs: Pairs, count: Floats, others: Floats) -> Matched:
    entry = pairs.entry(count, others)
    rate = np.minimum(entry.within(pairs.task.ttft), others * pairs.each())
    return Matched(pairs=pairs, prefill_count=count, decode_count=others, rate=rate, ttft=entry.time(rate))
