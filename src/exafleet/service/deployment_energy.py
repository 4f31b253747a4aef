"""Energy of a deployment that a search found, at the most it carries or at less: below it, batches are smaller.

A deployment that carries less than it could runs as few sequences as that takes; boards wait when even one is too fast.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.service.apart.search_apart import ApartResult
from exafleet.service.energy import Pool, TokenEnergy, energy_per_token, split_energy
from exafleet.service.search import ServeResult
from exafleet.service.steady import serve_step
from exafleet.step.serve import Machine, decode_parts
from exafleet.step.serve_layouts import fixed, from_words

Floats = npt.NDArray[np.float64]
# Numbers of sequences that are tried between one for every group and those of the most traffic.
STEPS = 100


def deployment_energy(found: ServeResult | ApartResult, on: Machine, facts: Facts, *, rate: float | None = None,
                      prefill_on: Machine | None = None) -> TokenEnergy:
    """Energy of a token of the deployment that a search found; raises ValueError where it found none. [1]

    on           the system; of the decode pool where there are two
    rate         output tokens per second it carries, no more than `found.rate`; that where it is not given  [token/s]
    prefill_on   system of the prefill pool, where it is another
    """
    if found.layout is None or not found.rate > 0:
        raise ValueError(f"no deployment: {found.why.name}")
    carried = found.rate if rate is None else min(rate, found.rate)
    if isinstance(found, ApartResult):
        return _apart(found, on, prefill_on or on, facts, carried)
    return _together(found, on, facts, carried)


def _together(found: ServeResult, on: Machine, facts: Facts, carried: float) -> TokenEnergy:
    lay, task = found.layout, found.task
    assert lay is not None
    ways, each = fixed(lay.tp, lay.pp, lay.dp, lay.ep), carried / lay.replicas

    def rates(running: Floats) -> Floats:
        return serve_step(task, on, ways.take(np.zeros(running.shape, dtype=int)), running).rate

    running = float(lay.concurrency) if carried == found.rate else fewest(rates, lay.dp * lay.pp, lay.concurrency, each)
    return energy_per_token(task, on, ways, running, each, facts)


def _apart(found: ApartResult, on: Machine, prefill_on: Machine, facts: Facts, carried: float) -> TokenEnergy:
    lay, task = found.layout, found.task
    assert lay is not None
    one, other = from_words(lay.prefill), from_words(lay.decode)
    groups = float(other.dp[0] * other.pp[0])

    def rates(running: Floats) -> Floats:
        steps = decode_parts(task, on, other.take(np.zeros(running.shape, dtype=int)), running / groups)
        return np.asarray(running * task.per_step / steps.total)

    running = fewest(rates, groups, lay.concurrency, carried / lay.decode_count)
    prefill = Pool(on=prefill_on, layouts=one, replicas=lay.prefill_count)
    decode = Pool(on=on, layouts=other, replicas=lay.decode_count)
    return split_energy(task, prefill, decode, running * lay.decode_count, carried, facts)


def fewest(rates: Callable[[Floats], Floats], groups: float, most: float, wanted: float) -> float:
    """Sequences of a replica that make `wanted` tokens a second: one for each group at least, `most` at most.

    rates   tokens per second of a replica by its sequences     [N] -> [N]  [token/s]

    >>> round(fewest(lambda running: 10.0 * running, 1.0, 64.0, 300.0), 6)
    30.0
    """
    tried = np.geomspace(groups, max(most, groups), STEPS)
    return float(np.interp(wanted, np.maximum.accumulate(rates(tried)), tried))
