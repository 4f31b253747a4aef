"""The way to the first token where prefill and decode are apart: outside, queue, prefill, transfer of the cache."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.prefill_pool import OPEN, Arrivals, Prefill, prefill_wait, queueing
from exafleet.service.apart.transfer import exposed_transfer
from exafleet.terms.parts import Parts

Floats = npt.NDArray[np.float64]
# Bisection of the rate that a time allows, from a thousandth of the capacity up.
HALVINGS, LEAST = 24, 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A pool of prefill and its links to the pool that decodes. [C]

    side     prefill steps, of one replica
    servers  of the whole pool                          [C]
    moved    transfer of one prompt's cache             [C]  [s]
    pairs    transfers that run at once                 [C]
    layers   of the model                               [1]
    outside  time a request spends outside the engine   [1]  [s]
    later    time until the decode engine has told it   [C]  [s]
    """

    side: Prefill
    servers: Floats
    moved: Floats
    pairs: Floats
    layers: float
    outside: float
    later: Floats

    @property
    def capacity(self) -> Floats:
        """Requests per second that prefill and transfer carry at most. [C]  [1/s]"""
        with np.errstate(divide="ignore"):
            return np.asarray(np.minimum(self.servers / self.side.least, self.pairs / self.moved))

    def prompts(self, rate: Floats) -> Floats:
        """Prompts in a step at so many requests per second. [C]"""
        return self.side.packed(self.servers, rate)

    def waits(self, rate: Floats, prompts: Floats, come: Arrivals) -> tuple[Floats, Floats]:
        """Time before prefill, and what is seen of the transfer. [C]  [s]"""
        queue = prefill_wait(self.side, self.servers, rate, prompts, come)
        behind = queueing(rate * self.moved / self.pairs, self.moved, self.pairs, come)
        return queue, exposed_transfer(self.moved, self.side.time(prompts), self.layers) + behind

    def time(self, rate: Floats, come: Arrivals = OPEN) -> Floats:
        """Time to first token at so many requests per second. [C]  [s]"""
        prompts = self.prompts(rate * come.rush)
        queue, transfer = self.waits(rate, prompts, come)
        return np.asarray(self.side.time(prompts) + queue + transfer + self.outside + self.later)

    def parts(self, rate: Floats, come: Arrivals = OPEN) -> Parts:
        """Parts of the same. [C, P]  [s]"""
        prompts = self.prompts(rate * come.rush)
        queue, transfer = self.waits(rate, prompts, come)
        return self.side.parts(prompts) + Parts.of("s", {"queue": queue, "transfer": transfer,
                                                         "scheduling": self.later, "request": self.outside})

    def within(self, ttft: float) -> Floats:
        """Most requests per second whose first token comes within `ttft` seconds; 0 where none does. [C]  [1/s]

        The lowest rate that is tried is a thousandth of the capacity.
        """
        capacity = self.capacity
        low, high = np.log(capacity * LEAST), np.log(capacity)
        with np.errstate(invalid="ignore"):
            able = self.time(np.exp(low)) <= ttft
            for _ in range(HALVINGS):
                middle = (low + high) / 2.0
                late = self.time(np.exp(middle)) > ttft
                low, high = np.where(late, low, middle), np.where(late, middle, high)
        return np.where(able, np.exp(low), 0.0)
