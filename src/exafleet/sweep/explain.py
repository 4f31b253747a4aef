"""One number explained: what it does to the answer, how far it may go, and where the answer turns."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.scenario.keys import band, is_scenario_key
from exafleet.sweep.attribution import shapley, subsets
from exafleet.sweep.interrupted import Interrupted
from exafleet.sweep.local import Progress, sweep
from exafleet.sweep.sensitivity import STEP
from exafleet.sweep.variations import fact_variations, in_words, scenario_variations
from exafleet.sweep.whatif import COST, Factors, Outcome, WhatIf, kept_values
from exafleet.terms.format import written

if TYPE_CHECKING:
    from exafleet.facts.world import World

# A change of the answer smaller than this share of the cost is the solver's tolerance.
NOTHING = 1e-9
# Factors tried outwards for where the answer turns, and how finely the place is found.
REACH = (1.25, 2.0, 3.0)
FINE = 0.03
_FAR = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """How far a number may go, as factors of its value; `assumed` where nobody gave a band. fact: of the band's."""

    key: str
    low: float
    high: float
    assumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a tenth less and more of a number do to the answer. [USD]

    kept, anew       elasticity with the decisions kept and planned anew, NaN where it cannot be said         [1]
    changes          what would be ordered otherwise at a tenth less, and more; "" where nothing
    """

    before: float
    less: float
    more: float
    kept: float
    before_anew: float
    less_anew: float
    more_anew: float
    anew: float
    changes: tuple[str, str]

    @property
    def none(self) -> bool:
        """Whether the number does nothing to this answer."""
        changes = (self.less, self.more, self.less_anew, self.more_anew)
        known = [abs(c) for c in changes if np.isfinite(c)]
        return bool(known) and max(known) <= NOTHING * max(abs(self.before), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar of the tornado: change of the answer at the ends of a number's range, decisions kept. [USD]"""

    range: Range
    at_low: float
    at_high: float

    @property
    def swing(self) -> float:
        """The larger of the two changes."""
        return max((abs(v) for v in (self.at_low, self.at_high) if np.isfinite(v)), default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A value of the number at which something turns, as a factor of today's.

    kind   "decision" (other orders are better), "system" (another system is bought most), "target" (the answer reaches
           what was asked, decisions kept), "target anew"
    what   in words: the orders that change, the system that wins; "" for a target
    """

    kind: str
    factor: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Shares of numbers in the answer: Shapley [USD] of going from the low to the high ends, or Sobol indices [1]."""

    method: str
    ranges: tuple[Range, ...]
    first: tuple[float, ...]
    total: tuple[float, ...]
    whole: float


def effect(asked: WhatIf, key: str, of: str = COST) -> Effect:
    """What one number does to the answer, by a tenth."""
    before, before_anew = (asked.value(p, of) for p in (asked.keeping.parts_before, asked.anew.parts_before))
    less, more = (asked.value(asked.kept(((key, f),)), of) - before for f in (1 - STEP, 1 + STEP))
    found = [asked.planned(((key, f),)) for f in (1 - STEP, 1 + STEP)]
    less_anew, more_anew = (asked.value(o.parts, of) - before_anew for o in found)
    return Effect(
        before=before, less=less, more=more, kept=_slope(less, more, before), before_anew=before_anew,
        less_anew=less_anew, more_anew=more_anew, anew=_slope(less_anew, more_anew, before_anew),
        changes=(asked.turned(found[0]), asked.turned(found[1])))


def _slope(less: float, more: float, before: float) -> float:
    return (more - less) / (2.0 * STEP * abs(before)) if before else float("nan")


def used(asked: WhatIf) -> tuple[str, ...]:
    """Every number the plan's cost can rest on with its decisions kept."""
    facts = fact_variations(asked.world, asked.base, asked.used, lambda world, system: asked.rates)
    return tuple(v.key for v in (*scenario_variations(asked.world, asked.base), *facts))


def range_of(world: World, key: str) -> Range:
    """The band its source or the scenario gives; else a tenth either way, which is an assumption."""
    if is_scenario_key(key):
        value, given = world.value(key), band(world.scenario, key)
        fact = world.origins.get(key)
        if given is None and fact is not None and fact.low < fact.high:
            value, given = fact.value, (fact.low, fact.high)
    else:
        fact = world.facts.get(key)
        value, given = fact.value, (fact.low, fact.high)
    if given is None or not value or not given[0] < given[1]:
        return Range(key=key, low=1.0 - STEP, high=1.0 + STEP, assumed=True)
    return Range(key=key, low=given[0] / value, high=given[1] / value, assumed=False)


def at(world: World, key: str, factor: float, digits: int = 17) -> str:
    """A number times a factor, as a person reads it. digits: significant ones that are kept."""
    if not is_scenario_key(key):
        fact = world.facts.get(key)
        return written(float(f"{fact.value * factor:.{digits}g}"), fact.unit)
    from dataclasses import replace

    one = next(k for k in world.keys() if k.key == key)  # noqa: SIM118  (not a mapping)
    return in_words(replace(one, value=float(f"{one.value * factor:.{digits}g}")))


def tornado(asked: WhatIf, keys: Sequence[str], of: str = COST, *, most: int | None = None, workers: int = 1,
            cluster: str | None = None, progress: Progress | None = None) -> tuple[Bar, ...]:
    """Bars of the numbers, largest swing first.

    most   keep this many

    Raises Interrupted with (place, Bar) of the finished ones.
    """
    ranges = [range_of(asked.world, key) for key in keys]
    bars = sweep(functools.partial(_bar, asked, of), ranges, workers=workers, cluster=cluster, progress=progress)
    return ordered(bars)[:most]


def ordered(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    """Largest swing first."""
    return tuple(sorted(bars, key=lambda b: (-b.swing, b.range.key)))


def _bar(asked: WhatIf, of: str, one: Range) -> Bar:
    before = asked.value(asked.keeping.parts_before, of)
    low, high = (kept_values(asked, of, ((one.key, f),)) - before for f in (one.low, one.high))
    return Bar(range=one, at_low=low, at_high=high)


def shares(asked: WhatIf, keys: Sequence[str], of: str = COST, *, seed: int = 0, workers: int = 1,
           cluster: str | None = None, progress: Progress | None = None) -> Split:
    """Shapley shares in what happens when every number goes from the low end of its range to the high one."""
    ranges = tuple(range_of(asked.world, key) for key in keys)
    needed = subsets(len(ranges), seed)
    worlds = [tuple((r.key, r.high if i in on else r.low) for i, r in enumerate(ranges)) for on in needed]
    found = sweep(functools.partial(kept_values, asked, of), worlds, workers=workers, cluster=cluster,
                  progress=progress)
    value = dict(zip(needed, found, strict=True))
    each = shapley(len(ranges), value.__getitem__, seed)
    whole = value[tuple(range(len(ranges)))] - value[()]
    return Split(method="shapley", ranges=ranges, first=tuple(each), total=(), whole=whole)


def sobol(asked: WhatIf, keys: Sequence[str], of: str = COST, *, samples: int = 32, seed: int = 0, workers: int = 1,
          cluster: str | None = None, progress: Progress | None = None) -> Split:
    """First-order and total Sobol indices of numbers spread evenly over their ranges.

    samples   a power of two; (numbers + 2) times as many worlds are costed
    """
    from scipy.stats import sobol_indices
    from scipy.stats.qmc import Sobol

    ranges = tuple(range_of(asked.world, key) for key in keys)
    d = len(ranges)
    low, high = np.array([r.low for r in ranges]), np.array([r.high for r in ranges])
    drawn = Sobol(2 * d, seed=np.random.Generator(np.random.PCG64(seed))).random(samples)
    a, b = (low + (high - low) * drawn[:, part] for part in (slice(0, d), slice(d, None)))
    mixed = [np.where(np.arange(d) == i, b, a) for i in range(d)]
    points: list[Factors] = [tuple(zip(keys, row, strict=True)) for block in (a, b, *mixed) for row in block.tolist()]
    found = np.array(sweep(functools.partial(kept_values, asked, of), points, workers=workers, cluster=cluster,
                           progress=progress))
    values = found.reshape(d + 2, 1, samples)
    spread = float(values[:2].std())
    if not np.isfinite(found).all() or spread <= NOTHING * max(float(np.abs(values).max()), 1.0):
        none = (float("nan"),) * d
        return Split(method="sobol", ranges=ranges, first=none, total=none, whole=spread)
    if d == 1:  # alone it makes all of the variance (SciPy's function asks for two or more)
        return Split(method="sobol", ranges=ranges, first=(1.0,), total=(1.0,), whole=spread)
    told = sobol_indices(func={"f_A": values[0], "f_B": values[1], "f_AB": values[2:]}, n=samples)
    return Split(method="sobol", ranges=ranges, first=tuple(np.ravel(told.first_order).tolist()),
                 total=tuple(np.ravel(told.total_order).tolist()), whole=spread)


def turns(asked: WhatIf, key: str, of: str = COST, *, target: float | None = None,
          progress: Progress | None = None) -> tuple[Turn, ...]:
    """The nearest values, below and above, at which another decision or system wins; and where a target is reached.

    Raises Interrupted with what was found.
    """
    found: list[Turn] = []
    steps = 4 if target is None else 6
    try:
        for side in (-1, 1):
            seen: dict[float, Outcome] = {}

            def look(factor: float, seen: dict[float, Outcome] = seen) -> Outcome:
                if factor not in seen:
                    seen[factor] = asked.planned(((key, factor),))
                return seen[factor]

            found += _turn(look, side, asked.turned, "decision")
            _tell(progress, 2 + side, steps)
            found += _turn(look, side, functools.partial(_winner, asked), "system")
            _tell(progress, 3 + side, steps)
        if target is not None:
            before = asked.keeping.parts_before
            found += _reached(lambda f: kept_values(asked, of, ((key, f),)), asked.value(before, of), target, "target")
            _tell(progress, 5, steps)
            free = asked.value(asked.anew.parts_before, of)
            found += _reached(lambda f: asked.value(asked.planned(((key, f),)).parts, of), free, target, "target anew")
            _tell(progress, 6, steps)
    except KeyboardInterrupt as error:
        raise Interrupted(list(enumerate(found)), steps) from error
    return tuple(found)


def _tell(progress: Progress | None, done: int, of: int) -> None:
    if progress is not None:
        progress(done, of)


def _winner(asked: WhatIf, found: Outcome) -> str:
    """The system most chips are bought of, where that is another one than today."""
    if not asked.turned(found):
        return ""
    today, then = asked.systems(asked.anew.bought), asked.systems(found.bought)
    best = max(then, key=lambda name: then[name])
    return best if then[best] > 0 and best != max(today, key=lambda name: today[name]) else ""


def _turn(look: Callable[[float], Outcome], side: int, turned: Callable[[Outcome], str], kind: str) -> list[Turn]:
    """The nearest factor on one side at which `turned` says something, bisected."""
    inside = 1.0
    for reach in REACH:
        outside = reach**side
        if turned(look(outside)):
            while abs(outside - inside) > FINE * inside:
                middle = float(np.sqrt(inside * outside))
                inside, outside = (inside, middle) if turned(look(middle)) else (middle, outside)
            return [Turn(kind=kind, factor=outside, what=turned(look(outside)))]
        inside = outside
    return []


def _reached(value: Callable[[float], float], today: float, target: float, kind: str) -> list[Turn]:
    """Where the answer reaches the target, nearest to today on each side."""
    from scipy.optimize import brentq

    found = []
    for side in (-1, 1):
        inside, here = 1.0, today
        for reach in (*REACH, _FAR):
            outside = reach**side
            there = value(outside)
            if not np.isfinite(there):
                break
            if (here - target) * (there - target) <= 0 and here != there:
                root = brentq(lambda f: value(f) - target, min(inside, outside), max(inside, outside), rtol=1e-4)
                found.append(Turn(kind=kind, factor=float(root), what=""))
                break
            inside, here = outside, there
    return found
