"""Every prefill layout with every decode candidate, and the ratio of their replicas that carries most in a pool.

For every pair the number of prefill replicas is the one at which prefill just keeps up with the decode replicas that
fit beside it: what prefill carries grows with it, and what decode carries falls, so that bisection over whole numbers
finds it. Arrays over pairs [C].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.entry import Entry
from exafleet.service.packing import beside, spanned
from exafleet.service.sides import DecodeSide, PrefillSide
from exafleet.service.transfer import transfer_time
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts

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

    def layouts(self) -> tuple[ServeLayouts, ServeLayouts]:
        """Both sides' layouts. [C], [C]"""
        return self.prefill.layouts.take(self.left), self.decode.layouts.take(self.right)

    def soonest(self) -> Floats:
        """Time to first token of a request that is alone, but for the transfer. [C]  [s]"""
        return np.asarray(self.prefill.steps.first[self.left] + self.prefill_on.engine.request)

    def ceiling(self) -> Floats:
        """Requests per second that one replica of prefill could take in if none had to wait. [C]  [1/s]"""
        return np.asarray((self.prefill.steps.servers / self.prefill.steps.least)[self.left])

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
    ceiling = pairs.ceiling()

    def others(count: Floats) -> Floats:
        return beside(second, domain, chips, spanned(first, domain, count))

    least = least_whole(lambda n: n * ceiling >= others(n) * each, np.ones_like(most), most)
    fewer = np.maximum(least - 1.0, 1.0)
    bound = np.maximum(*(np.minimum(n * ceiling, others(n) * each) for n in (least, fewer)))
    return least, np.where(pairs.soonest() <= pairs.task.ttft, bound, 0.0)


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
    high = least_whole(lambda n: n * alone >= others(n) * each, low, high)
    enough = least_whole(lambda n: pairs.carried(n, others(n), ttft) >= others(n) * each, low, high)
    options = [_at(pairs, n, others(n), each) for n in (enough, np.maximum(enough - 1.0, 1.0))]
    better = options[1].rate > options[0].rate
    chosen = {name: np.where(better, getattr(options[1], name), getattr(options[0], name))
              for name in ("prefill_count", "decode_count", "rate", "ttft")}
    return Matched(pairs=pairs, **chosen)


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


def _at(pairs: Pairs, count: Floats, others: Floats, each: Floats) -> Matched:
    entry = pairs.entry(count, others)
    rate = np.minimum(entry.within(pairs.task.ttft), others * each)
    return Matched(pairs=pairs, prefill_count=count, decode_count=others, rate=rate, ttft=entry.time(rate))
