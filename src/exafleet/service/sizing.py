"""The fewest chips that carry a demand within the targets, waiting of an open service included.

Of one way to deploy, whole replicas are packed into scale-up domains. Requests come at random: the time to first token
that must stay below its target has the wait of an open queue in it, so that the load stays as far below capacity as
the target needs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.disaggregated import serve_apart_at
from exafleet.service.apart.pairs import Pairs, least_whole
from exafleet.service.apart.search_apart import ApartResult, result, sides_within, too_slow
from exafleet.service.packing import room_for_both, spanned
from exafleet.service.search import ServeResult, answer, scan
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
    sides = sides_within(task, prefill_on, decode_on, most, ladder, limits, prefill_limits or limits)
    if isinstance(sides, ApartResult):
        return sides
    able, requests = sides.able(), rate / task.output_tokens
    reasons = {Why.HBM_FULL: sides.prefill.full + sides.decode.full, Why.TOO_SLOW: int((~able).sum()),
               Why.OK: int(able.sum())}
    fewest = np.ceil(requests / sides.ceiling)
    others = np.ceil(requests / sides.decode.requests * (1.0 - 1e-12))
    # Chips that a pair takes at the least: no prompt waits, no chip is left over. Pairs above the best are not timed.
    bound = np.where(able, (fewest * sides.prefill.layouts.replica)[:, None] + others * sides.decode.layouts.replica,
                     np.inf)
    order = np.argsort(bound, axis=None, kind="stable")[:int(able.sum())]
    best, chosen = np.inf, None
    for block in np.array_split(order, max(len(order) // BLOCK, 1)):
        if not len(block) or bound.flat[block[0]] >= best:
            break
        pairs = sides.pairs(*np.unravel_index(block, bound.shape))
        count, enough = _keeping_up(pairs, fewest[pairs.left], others[pairs.right], requests)
        chips = np.where(enough, _chips(pairs, count, others[pairs.right]), np.inf)
        at = int(np.argmin(chips))
        if chips[at] < best:
            best, chosen = float(chips[at]), (pairs.take([at]), count[[at]], others[pairs.right[[at]]])
    if chosen is None:
        return too_slow(sides, most, reasons)
    one, other = chosen[0].layouts()
    exact = serve_apart_at(task, prefill_on, decode_on, one, chosen[1], other, chosen[2], requests)
    return result(sides, int(best), Why.OK, reasons, exact)


def _chips(pairs: Pairs, count: Floats, others: Floats) -> Floats:
    """Chips that hold so many replicas of both sides. [C]"""
    first, second = pairs.sizes()
    return room_for_both(first, count, second, others, pairs.domain)


def _keeping_up(pairs: Pairs, fewest: Floats, others: Floats,
                requests: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Fewest prefill replicas that take the demand in within the target, and whether they do. [C], [C]"""
    alone = pairs.carried(np.ones_like(fewest), others)
    with np.errstate(divide="ignore"):
        most = np.maximum(np.where(alone > 0, np.ceil(requests / alone), 0.0), fewest) + 1.0
    count = least_whole(lambda n: pairs.carried(n, others) >= requests, fewest, most)
    return count, pairs.carried(count, others) >= requests
