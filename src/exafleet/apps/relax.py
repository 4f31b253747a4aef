"""When nothing fits: questions near the one asked that were tried and do have an answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from exafleet.step.limits import Limits
from exafleet.step.search import search_train

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.service.deploy import Deployment
    from exafleet.step.serve_layouts import ServeLimits
    from exafleet.step.train import TrainTask

_MOST_CHIPS = 1_000_000
_MOST_TRIES = 24


def train_relaxations(task: TrainTask, system: System, chips: int, facts: Facts, limits: Limits) -> tuple[str, ...]:
    """Sentences such as "--gpus 1152": each was searched and found to run."""
    found: list[str] = []
    if len(limits.free) < len(Limits().free) and _runs(task, system, chips, facts, Limits()):
        found.append("leave the layout free of ranges")
    for more in sizes_above(system, chips):
        if _runs(task, system, more, facts, limits):
            found.append(f"--gpus {more}: the smallest size tried that fits")
            break
    for batch in _batches(int(task.batch)):
        if _runs(replace(task, batch=batch), system, chips, facts, limits):
            found.append(f"--batch {batch}")
            break
    others = [d for d in ("bf16", "fp8") if d != task.dtype and d in system.chip.peak_flops]
    found += [f"--dtype {d}" for d in others if _runs(replace(task, dtype=d), system, chips, facts, limits)]
    shorter = task.seq // 4
    if shorter >= 512 and _runs(replace(task, seq=shorter), system, chips, facts, limits):
        found.append(f"--seq {shorter}")
    return tuple(found)


def serve_relaxations(asked: Deployment, system: System, facts: Facts, gpus: int | None, rate: float | None,
                      kinds: tuple[str, ...], limits: ServeLimits | None) -> tuple[str, ...]:
    """Sentences such as '--tpot "61 ms"': each was searched and found to run.

    asked    the search that found nothing
    gpus     size that was asked for, if any
    rate     demand that was asked for, if any      [token/s]
    kinds    of deployment that were looked at
    limits   ranges of the axes
    """
    from exafleet.apps.serve_found import found_by
    from exafleet.terms.why import Why

    task, worst = asked.task, asked.answer

    def runs(chips: int | None = gpus, ranges: ServeLimits | None = limits, **changes: float | str) -> bool:
        other = replace(task, **changes)  # type: ignore[arg-type]
        return bool(found_by(other, system, chips, facts, rate=rate, kinds=kinds, limits=ranges).best)

    found: list[str] = []
    if limits is not None and limits != type(limits)() and runs(ranges=None):
        found.append("leave --tp, --pp, --dp, --ep and --concurrency out")
    if worst.why is Why.TOO_SLOW:
        # The nearest miss, rounded up so that the words keep what they promise.
        ttft, tpot = max(task.ttft, _up(worst.ttft)), max(task.tpot, _up(worst.tpot))
        if runs(ttft=ttft, tpot=tpot):
            found.append(f'--ttft "{ttft * 1e3:g} ms" --tpot "{tpot * 1e3:g} ms"')
    for more in sizes_above(system, worst.chips) if rate is None else ():
        if runs(more):
            found.append(f"--gpus {more}: the smallest size tried that fits")
            break
    others = [d for d in ("bf16", "fp8", "fp4") if d != task.dtype and d in system.chip.peak_flops]
    found += [f"--dtype {d}" for d in others if runs(dtype=d)]
    if task.kv_dtype != "fp8" and runs(kv_dtype="fp8"):
        found.append("--kv-dtype fp8")
    shorter = int(task.input_tokens) // 4
    if worst.why is Why.HBM_FULL and shorter >= 1 and runs(input_tokens=shorter):
        found.append(f"--isl {shorter}")
    return tuple(found)


def _up(seconds: float) -> float:
    """A time rounded up to two digits of a millisecond or three in all."""
    step = 10.0 ** (math.floor(math.log10(seconds)) - 2)
    return round(math.ceil(seconds / step) * step, 9)


def sizes_above(system: System, chips: int) -> Iterator[int]:
    """Sizes above `chips`, in steps of at most 1.5: parts of a unit, then whole units."""
    steps = sorted(n * 2**e for n in (1, 3) for e in range(21))
    small = [n for n in steps if chips < n < system.chips]
    large = [n * system.chips for n in steps if chips < n * system.chips <= _MOST_CHIPS]
    yield from (small + large)[:_MOST_TRIES]


def _batches(batch: int) -> list[int]:
    """Nearby batches with more divisors: the powers of two around, and multiples of nine for racks of 72."""
    power = 1 << (batch - 1).bit_length()
    return [b for b in (power, power * 9 // 8, 2 * power, 4 * power) if b != batch]


def _runs(task: TrainTask, system: System, chips: int, facts: Facts, limits: Limits) -> bool:
    return search_train(task, system, chips, facts, limits=limits).best is not None
