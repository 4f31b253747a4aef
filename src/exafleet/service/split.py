"""What a ratio of two systems is made of: memory, the rest of the chip, the scale-up domain, the number format.

Each is moved from one system to the other, alone and after others, and the throughput of every mixture is searched
anew. What a step is worth depends on what was moved before it, so it has a range over the orders, and its share is the
geometric mean over all of them (Shapley's value of the logarithm): the shares multiply to the whole ratio.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.service.curve import serve_curve
from exafleet.step.serve import ServeTask

PIECES = ("memory", "chip", "domain", "format")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two deployments that are compared: `chips` chips of a system, and the service as it runs there."""

    task: ServeTask
    system: System
    chips: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one of PIECES multiplies throughput by.

    factor      its share: all shares multiply to the ratio          [1]
    low, high   the least and the most over the orders of moving      [1]
    """

    name: str
    factor: float
    low: float
    high: float


def mixture(moved: frozenset[str], a: Side, b: Side) -> Side:
    """Side `a` with some of PIECES as `b` has them; the domain brings its system's pool of chips with it."""
    house, chip, memory = (b if name in moved else a for name in ("domain", "chip", "memory"))
    mixed = replace(chip.system.chip, hbm_bytes=memory.system.chip.hbm_bytes, hbm_bw=memory.system.chip.hbm_bw)
    formats = b.task if "format" in moved else a.task
    return Side(task=formats, system=replace(house.system, chip=mixed), chips=house.chips)


def split(a: Side, b: Side, facts: Facts, tpot: float) -> tuple[Piece, ...]:
    """The pieces of the ratio of `b` to `a` at one time per token; () where no order of moving serves all the way."""
    sets = {frozenset(order[:i]) for order in permutations(PIECES) for i in range(len(PIECES) + 1)}
    rates = {moved: _rate(mixture(moved, a, b), facts, tpot) for moved in sets}
    return pieces(rates)


def pieces(rates: Mapping[frozenset[str], float], names: tuple[str, ...] = PIECES) -> tuple[Piece, ...]:
    """Shares of a ratio from the rates of every mixture, over those orders along which every rate is positive.

    >>> table = {frozenset(): 1.0, frozenset("a"): 2.0, frozenset("b"): 3.0, frozenset("ab"): 6.0}
    >>> [round(p.factor, 6) for p in pieces(table, ("a", "b"))]
    [2.0, 3.0]
    """
    orders = [o for o in permutations(names) if all(rates[frozenset(o[:i])] > 0 for i in range(len(o) + 1))]
    return tuple(_piece(name, [_step(rates.__getitem__, order, name) for order in orders]) for name in names
                 if orders)


def _step(rate: Callable[[frozenset[str]], float], order: tuple[str, ...], name: str) -> float:
    at = order.index(name)
    return rate(frozenset(order[:at + 1])) / rate(frozenset(order[:at]))


def _piece(name: str, steps: list[float]) -> Piece:
    mean = math.exp(sum(math.log(s) for s in steps) / len(steps))
    return Piece(name=name, factor=mean, low=min(steps), high=max(steps))


def _rate(side: Side, facts: Facts, tpot: float) -> float:
    point, = serve_curve(side.task, side.system, side.chips, facts, [tpot])
    return point.rate if point else 0.0
