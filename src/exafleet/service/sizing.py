"""The fewest chips that carry a demand within the targets, waiting of an open service included.

Of one way to deploy, whole replicas are packed into scale-up domains. Requests come at random: the time to first token
that must stay below its target has the wait of an open queue in it, so that the load stays as far below capacity as
the target needs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.service.disaggregated import serve_apart_at
from exafleet.service.packing import room_for_both, spanned
from exafleet.service.pairs import Pairs, least_whole
from exafleet.service.search import ServeResult, answer, scan
from exafleet.service.search_apart import ApartResult, pairs_within, result, too_slow
from exafleet.service.steady import serve_step
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLimits
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
# Largest replica that is tried: the model must fit, and a demand seldom needs one replica to be larger.
LARGEST = 256
# Loads of the chosen replica among which the one that just carries its share of the demand is looked for.
LOADS = 256
# Pairs of layouts that are timed together.
BLOCK = 256


def largest(on: Machine, within: ServeLimits) -> int:
    """Chips of the largest replica that sizing tries."""
    return min(within.replica[1], max(LARGEST, on.net.domain))


def size_serve(task: ServeTask, on: Machine, rate: float, within: ServeLimits) -> ServeResult:
    """Fewest chips of replicas that both prefill and decode.

    rate     demand, output tokens per second          [token/s]
    within   ranges of the axes
    """
    found = scan(task, on, largest(on, within), within)
    if isinstance(found, ServeResult):
        return found
    step, size = found.step, found.step.layouts.replica
    if not found.good.any():
        nearest = int(np.argmin(np.maximum(step.first.total / task.ttft, step.token.total / task.tpot)))
        return answer(task, on, int(size[nearest]), step, nearest, Why.TOO_SLOW, found.reasons, step.rate / size)
    count = np.ceil(rate / np.where(found.good, step.rate, 1.0) * (1.0 - 1e-12))
    chips = np.where(found.good, spanned(size, on.net.domain, count), np.inf)
    best = int(np.lexsort((-step.rate * count, chips))[0])
    many, pool = float(count[best]), int(chips[best])
    loads = np.unique(np.round(np.geomspace(1.0, step.concurrency[best], LOADS)))
    chosen = serve_step(task, on, step.layouts.take(np.full(len(loads), best)), loads)
    at = int(np.argmax(np.append(chosen.rate[:-1] * many >= rate, True)))
    return answer(task, on, pool, chosen, at, Why.OK, found.reasons, chosen.rate * many / pool)


def size_apart(task: ServeTask, prefill_on: Machine, decode_on: Machine, rate: float, ladder: Floats, *,
               limits: ServeLimits, prefill_limits: ServeLimits | None = None) -> ApartResult:
    """Fewest chips of two pools, prefill and decode apart.

    rate            demand, output tokens per second                         [token/s]
    ladder          sequences of one micro-batch of a decode group to try     [R]
    limits          ranges of the axes of decode
    prefill_limits  of prefill, where they are others
    """
    most = largest(prefill_on, limits) + largest(decode_on, limits)
    pairs = pairs_within(task, prefill_on, decode_on, most, ladder, limits, prefill_limits or limits)
    if isinstance(pairs, ApartResult):
        return pairs
    timely = (pairs.decode.tpot[pairs.right] <= task.tpot) & (pairs.soonest() <= task.ttft)
    reasons = {Why.HBM_FULL: pairs.prefill.full + pairs.decode.full, Why.TOO_SLOW: int((~timely).sum()),
               Why.OK: int(timely.sum())}
    able, requests = pairs.take(timely), rate / task.output_tokens
    others = np.ceil(requests / able.decode.requests[able.right] * (1.0 - 1e-12))
    fewest = np.ceil(requests / able.ceiling())
    order = np.argsort(_chips(able, fewest, others), kind="stable")
    best = (np.inf, -1, 0.0)
    # The bound of a pair is the chips it would take if no prompt had to wait; pairs above the best are not timed.
    for block in np.array_split(order, max(len(order) // BLOCK, 1)) if len(order) else ():
        some = able.take(block)
        if _chips(some, fewest[block], others[block]).min() >= best[0]:
            break
        count, able_to = _keeping_up(some, fewest[block], others[block], requests)
        chips = np.where(able_to, _chips(some, count, others[block]), np.inf)
        at = int(np.argmin(chips))
        best = min(best, (float(chips[at]), int(block[at]), float(count[at])))
    if best[1] < 0:
        return too_slow(pairs, most, reasons)
    chosen = able.take([best[1]])
    one, other = chosen.layouts()
    exact = serve_apart_at(task, prefill_on, decode_on, one, best[2], other, others[[best[1]]], requests)
    return result(pairs, int(best[0]), Why.OK, reasons, exact)


def _chips(pairs: Pairs, count: Floats, others: Floats) -> Floats:
    """Chips that hold so many replicas of both sides. [C]"""
    first, second = pairs.sizes()
    return room_for_both(first, count, second, others, pairs.decode_on.net.domain)


def _keeping_up(pairs: Pairs, fewest: Floats, others: Floats,
                requests: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Fewest prefill replicas that take the demand in within the target, and whether they do. [C], [C]"""
    ttft = pairs.task.ttft
    alone = pairs.carried(np.ones_like(fewest), others, ttft)
    with np.errstate(divide="ignore"):
        most = np.maximum(np.where(alone > 0, np.ceil(requests / alone), 0.0), fewest) + 1.0
    count = least_whole(lambda n: pairs.carried(n, others, ttft) >= requests, fewest, most)
    return count, pairs.carried(count, others, ttft) >= requests
