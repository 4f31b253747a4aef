"""A pool that only works on prompts: what a step of it takes, how prompts share steps, how long they wait.

A server of the pool is one micro-batch of one attention group. Prompts shorter than a chunk share a step when several
wait. Everything broadcasts over candidates [C].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.step.serve import Machine, ServeTask, prefill_parts
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.terms.parts import Parts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefill:
    """Prefill of one replica: what a step takes that serves one prompt, and one filled up to a chunk. [C]

    alone    parts of a step with one prompt                          [C, P]  [s]
    filled   parts of a step with `most` prompts                      [C, P]  [s]
    first    time of a step with one prompt                           [C]  [s]
    more     time that each further prompt adds to it                 [C]  [s]
    most     prompts in a full step; 1 where a prompt fills one        [1]
    servers  micro-batches that work at once on one replica           [C]
    """

    alone: Parts
    filled: Parts
    first: Floats
    more: Floats
    most: float
    servers: Floats

    @property
    def least(self) -> Floats:
        """Time of a server per prompt when steps are full. [C]  [s]"""
        return np.asarray(self.time(np.asarray(self.most)) / self.most)

    def time(self, prompts: Floats) -> Floats:
        """Time of a step with so many prompts. [C]  [s]"""
        return np.asarray(self.first + (prompts - 1.0) * self.more)

    def parts(self, prompts: Floats) -> Parts:
        """Parts of the same. [C, P]  [s]"""
        if self.most <= 1:
            return self.alone
        share = ((prompts - 1.0) / (self.most - 1.0))[..., None]
        return Parts(names=self.alone.names, unit="s",
                     values=self.alone.values * (1.0 - share) + self.filled.values * share)

    def packed(self, servers: Floats, rate: Floats) -> Floats:
        """Prompts of a step: those that come while the step before it runs. [C]

        servers  of the whole pool        [C]
        rate     prompts per second       [C]  [1/s]

        A step of k takes a + b k, and k = rate / servers (a + b k) of them come meanwhile.
        """
        if self.most <= 1:
            return np.ones_like(rate)
        each = rate / servers
        free = 1.0 - each * self.more
        prompts = np.where(free > 0, each * (self.first - self.more) / np.maximum(free, 1e-12), np.inf)
        return np.asarray(np.clip(prompts, 1.0, self.most))

    def take(self, index: npt.ArrayLike) -> Prefill:
        """The candidates at `index`."""
        at = np.asarray(index)
        alone, filled = (Parts(names=p.names, values=p.values[at], unit=p.unit) for p in (self.alone, self.filled))
        return Prefill(alone=alone, filled=filled, first=self.first[at], more=self.more[at], most=self.most,
                       servers=self.servers[at])


def prefill_side(task: ServeTask, on: Machine, layouts: ServeLayouts) -> Prefill:
    """Prefill steps of each layout, without decoding beside them. [C]"""
    each = min(task.fresh_tokens, task.chunk)
    most = max(float(np.floor(task.chunk / each)), 1.0)
    # The batch at which `prefill_parts` puts one prompt in a step.
    single = each * task.output_tokens / task.fresh_tokens * np.ones_like(layouts.tp)
    alone = prefill_parts(task, on, layouts, single)
    filled = prefill_parts(task, on, layouts, single * most).scaled(most) if most > 1 else alone
    first = alone.total
    with np.errstate(invalid="ignore"):
        more = (filled.total - first) / (most - 1.0) if most > 1 else np.zeros_like(first)
    return Prefill(alone=alone, filled=filled, first=first, more=more, most=most, servers=layouts.dp * layouts.pp)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """How the customers of a closed loop come to a group of servers. `OPEN` are those who come at random (Poisson).

    among    customers of a closed loop, of whom one who arrives meets only the others                   [C]
    scatter  how far they stray from the order and spacing they left in, in time: one deviation          [C]  [s]
    rush     how much closer together they come than on average, while they come at all                  [C]
    spread   squared coefficient of variation of the servers' time: 0 fixed, 1 exponential               [1]
    """

    among: npt.ArrayLike = np.inf
    scatter: npt.ArrayLike = np.inf
    rush: Floats | float = 1.0
    spread: float = 0.0


OPEN = Arrivals()


def queueing(load: Floats, service: Floats, servers: Floats, come: Arrivals = OPEN) -> Floats:
    """Mean time in front of a group of servers; inf from a load of 1 of an open queue. [C]  [s]

    load     share of the servers' time in use     [C]
    service  time of one customer                  [C]  [s]
    servers  how many of them                      [C]
    come     how they come

    Sakasegawa's formula for M/M/c, times (1 + spread) / 2 for M/G/c; exact for one server. Customers who go round a
    loop of nearly fixed times come back nearly as evenly as they were let through, and wait less: the queue then
    stands above x with exp(-2 x (x / n + 1 - load)) as that of n periodic sources does.

    >>> float(queueing(np.array(0.5), np.array(2.0), np.array(1.0)))
    1.0
    """
    if come is OPEN:
        line = load ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / np.maximum(1.0 - load, 1e-12)
        return np.where(load >= 1.0, np.inf, 0.5 * (service / servers) * line)
    loop = np.asarray(come.among, dtype=np.float64)
    met = np.minimum(load * come.rush, 1.0) * (1.0 - 1.0 / np.maximum(loop, 1.0))
    line = met ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / np.maximum(1.0 - met, 1e-12)
    wait = (1.0 + come.spread) / 2.0 * (service / servers) * line * _evened(met, servers / service, come)
    return np.asarray(np.minimum(wait, np.maximum(loop - servers, 0.0) * (service / servers)))


def _evened(load: Floats, speed: Floats, come: Arrivals) -> Floats:
    """Wait of customers who scatter over few places, over that of customers who come at random. [C]

    speed   customers per second that the servers work off     [C]  [1/s]

    A scatter of s places lets as many customers bunch as 4 s / sqrt(pi) periodic sources would. The ratio is
    sqrt(pi) z exp(z^2) erfc(z), here by its close bound 2 z / (z + sqrt(z^2 + 4 / pi)).
    """
    with np.errstate(invalid="ignore"):
        places = 4.0 / np.sqrt(np.pi) * np.asarray(come.scatter, dtype=np.float64) * speed
        z = np.maximum(1.0 - load, 1e-12) * np.sqrt(np.minimum(places, 1e12) / 2.0)
    return np.asarray(2.0 * z / (z + np.sqrt(z * z + 4.0 / np.pi)))


def prefill_wait(side: Prefill, servers: Floats, rate: Floats, prompts: Floats, come: Arrivals = OPEN) -> Floats:
    """Mean time a prompt waits for others before its prefill; inf where they come faster than it works. [C]  [s]

    side     what steps take
    servers  of the whole pool                    [C]
    rate     prompts per second                   [C]  [1/s]
    prompts  in a step at this rate               [C]
    come     how they come

    While steps have room, nobody waits longer than for the end of a running one.
    """
    least = side.least
    overall = queueing(rate * least / servers, least, servers, come)
    if side.most <= 1:
        return overall
    single = queueing(rate * side.first / servers, side.first, servers, come)
    return np.asarray(np.maximum(np.minimum(single, side.time(prompts) / 2.0), overall))
