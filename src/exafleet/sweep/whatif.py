"""One world with any of its numbers times a factor: costed with a plan's decisions kept, or planned anew.

Everything is a re-run: the facts are changed with `World.scaled`, what the scenario took from them follows, the systems
a fact belongs to are rated again, and the linear programme of the base draw is solved. Nothing is read off a slope.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.facts.fact import split_key
from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.market.market import Floats, market
from exafleet.plan.plan import PARTS, Plan
from exafleet.sweep.difference import held
from exafleet.sweep.sensitivity import WORTH, Anew, Keeping, base_case, base_draw, difference, rate_used, used_systems
from exafleet.sweep.variations import VARIED, Case, merged, other_tokens, rescaled
from exafleet.terms.errors import ExafleetError, FactError, Problem, nearest
from exafleet.terms.term import term

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates

COST = "cost"
# Parts of a scenario that say how draws differ from what is quoted.
_OF_DRAWS = {"risk", "uncertainty"}
# Most keys a refusal names, and letters of a value.
_MOST_NAMED, _LONG = 12, 60
Factors = tuple[tuple[str, float], ...]
# Numbers of a job that change neither how fast it runs nor how large it is.
_PLAIN = {"tokens", "value", "late", "unfinished", "unserved", "demand", "due", "earliest", "most", "least", "owner",
          "priority"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A world planned anew: cost by part [P] [USD], units by offer and chips by contract, what that saves [USD]."""

    parts: Floats
    bought: Mapping[str, float]
    saves: float


class WhatIf:
    """A plan and the world it was made for, asked "what if"."""

    def __init__(self, world: World, rates: Rates, plan: Plan) -> None:
        self.world, self.rates, self.made = world, rates, plan
        self.base, self.draws = base_case(plan, rates), base_draw(plan.draws)
        self.used = used_systems(plan)
        self._rated: dict[tuple[str, bool, Factors], Rates] = {}
        self._asked: dict[str, set[tuple[str, str]]] = {}

    def __reduce__(self) -> tuple[type, tuple[World, Rates, Plan]]:
        return type(self), (self.world, self.rates, self.made)

    @functools.cached_property
    def keeping(self) -> Keeping:
        """The plan's decisions."""
        return Keeping(self.base, self.draws, self.made.first)

    @functools.cached_property
    def anew(self) -> Anew:
        """The programme with its decisions free."""
        return Anew(self.base, self.draws)

    def kept(self, factors: Factors) -> Floats:
        """Cost by part with the decisions kept; NaN where that world has other decisions. [P] [USD]"""
        case = self.case(factors)
        return np.full(len(PARTS), np.nan) if case is None else self.keeping.parts(case)

    def planned(self, factors: Factors) -> Outcome:
        """The world planned anew, fractions of a unit allowed."""
        case = self.case(factors, wide=True)
        if case is None:
            return Outcome(parts=np.full(len(PARTS), np.nan), bought={}, saves=float("nan"))
        bought, parts = self.anew.plan(case)
        return Outcome(parts=parts, bought=bought, saves=self.anew.keeping.cost(case) - float(parts.sum()))

    def turned(self, found: Outcome) -> str:
        """What is ordered otherwise than today, in words; "" where today's orders are as good."""
        if not found.saves > WORTH * abs(float(found.parts.sum())):
            return ""
        return difference(self.anew.bought, found.bought)

    def systems(self, bought: Mapping[str, float]) -> dict[str, float]:
        """Chips ordered and reserved by system."""
        made, found = self.base.market, dict.fromkeys(self.base.market.systems, 0.0)
        chips = dict(zip(made.systems, made.chips.tolist(), strict=True))
        for offer in made.scenario.offers:
            found[offer.system] += bought.get(offer.id, 0.0) * chips[offer.system]
        for rental in made.scenario.rentals:
            found[rental.system] += bought.get(rental.id, 0.0)
        return found

    def uses(self, job: str, system: str) -> bool:
        """Whether the plan runs a job on a system in the base draw."""
        made = self.base.market
        holders = [made.systems[k] for k in self.made.holder_system.tolist()]
        holders += [r.system for r in made.scenario.rentals]
        busy = self.made.use[0][[j.id for j in made.scenario.jobs].index(job)].sum(axis=-1) > 0
        return any(b and name == system for name, b in zip(holders, busy.tolist(), strict=True))

    def value(self, parts: Floats, of: str = COST) -> float:
        """The answer asked for: the whole cost, or one part of it. [USD]"""
        return float(parts.sum()) if of == COST else float(parts[PARTS.index(of)])

    def changed(self, factors: Factors) -> World:
        """The world with these numbers times their factors; raises FactError, OutOfRange."""
        world = self.world
        for key, factor in factors:
            world = world.scaled(key, factor)
        return world

    def case(self, factors: Factors, *, wide: bool = False) -> Case | None:
        """The changed world as the programme takes it; None where a value is out of range or makes no sense.

        wide   rate every job on the systems a fact belongs to, not only those that use them in the plan
        """
        try:
            return self._case(factors, self.changed(factors), wide)
        except (ExafleetError, ValueError, ArithmeticError):
            return None

    def _case(self, factors: Factors, world: World, wide: bool) -> Case:
        rates = self.rated(factors, world, wide)
        sold = market(world, rates)
        sets = other_tokens(rescaled(self.base.sets, sold, self.base.rates, rates), self.base.market, sold)
        case = Case(market=sold, rates=rates, sets=sets)
        if any(is_scenario_key(key) and key.rpartition(".")[2] not in VARIED for key, _ in factors):
            return self._other_decisions(case)
        return case

    def _other_decisions(self, case: Case) -> Case:
        """Leads, supply, windows and the like move what can be decided: the programme's sets are made afresh."""
        from exafleet.market.futures import draw
        from exafleet.plan.sets import sets

        draws = draw(case.market, 1, self.draws.seed, rates=case.rates)
        return replace(case, draws=draws, sets=sets(case.market, case.rates, draws))

    def rated(self, factors: Factors, world: World, wide: bool = False) -> Rates:
        """The rates of the changed world; of systems it does not touch, those there are."""
        rates = self.rates
        for name in self._touched(factors):
            if wide or name in self.used:
                rates = merged(rates, self._rate(name, factors, world, wide), name)
        return rates

    def _touched(self, factors: Factors) -> tuple[str, ...]:
        """Systems whose rates a change may move."""
        every = self.rates.systems
        touched: set[str] = set()
        for key, _ in factors:
            if is_scenario_key(key):
                head, _, rest = key.partition(".")
                touched |= set(every) if head == "jobs" and rest.rpartition(".")[2] not in _PLAIN else set()
            else:
                touched |= set(self.resting_on(key))
        return tuple(name for name in every if name in touched)

    def resting_on(self, key: str) -> tuple[str, ...]:
        """Systems whose rates may read a fact. A fact of a chip or a system concerns that one's rates only.

        Such a one's rates are watched when they are made with another value; until then they may read any of its facts.
        """
        subject, name, _ = split_key(key)
        owners = {k: (k, self.world.system(k).chip.id) for k in self.rates.systems}
        mine = [k for k, subjects in owners.items() if subject in subjects]
        if mine:
            return tuple(k for k in mine if k not in self._asked or (subject, name) in self._asked[k])
        return tuple(k for k in owners if (subject, name) in self._read(k))

    def _read(self, system: str) -> set[tuple[str, str]]:
        """(subject, term) of every fact the rates of a system ask for."""
        if system not in self._asked:
            self._every(self.world, system)
        return self._asked[system]

    def _every(self, world: World, system: str) -> Rates:
        """Every job on one system; which facts that asks for is watched the first time."""
        if system in self._asked:
            return _rate_all(world, system)
        facts, seen = world.facts.watched()
        found = _rate_all(replace(world, facts=facts), system)
        self._asked[system] = seen
        return found

    def _rate(self, system: str, factors: Factors, world: World, wide: bool) -> Rates:
        mine = tuple(f for f in factors if not is_scenario_key(f[0]) or f[0].startswith("jobs."))
        if (system, wide, mine) not in self._rated:
            self._rated[system, wide, mine] = (
                self._every(world, system) if wide else rate_used(world, system, plan=self.made))
        return self._rated[system, wide, mine]


def _rate_all(world: World, system: str) -> Rates:
    """Every job on one system, at every size."""
    from exafleet.fleet.build import rates

    given = world.scenario
    parts: dict[str, Any] = {name: tuple(r for r in getattr(given, name) if r.system == system)
                             for name in ("holdings", "open_orders", "offers", "rentals")}
    return rates(replace(world, scenario=replace(given, **parts)))


def known(world: World, key: str) -> None:
    """Raise FactError, saying what is near, where `key` is no number that can be varied."""
    if key not in numbers(world):
        raise FactError(unknown(world, key))
    fact = None if is_scenario_key(key) else world.facts.get(key)
    if fact is not None and term(fact.term).dimension == "date":
        raise FactError(Problem(where=key, what="is a date, which has no elasticity",
                                remedy=f"`exafleet facts show {key}` tells where it comes from."))


def numbers(world: World) -> dict[str, None]:
    """Keys of every number of a world: of the scenario, then of the facts."""
    return dict.fromkeys([*(k.key for k in world.keys()), *(f.key for f in world.facts)])  # noqa: SIM118


def meant(world: World, words: str) -> str:
    """The number meant by words in other letters (capitals, full width, blanks); the words as they are for none."""
    if words in (every := numbers(world)):
        return words
    plain = unicodedata.normalize("NFKC", words).strip().casefold()
    found = [key for key in every if key.casefold() == plain]
    return found[0] if len(found) == 1 else words


def unknown(world: World, key: str, what: str = "neither a fact nor a number of the scenario",
            others: Iterable[str] = ()) -> Problem:
    """Why a key is no number that can be varied, and what may have been meant. others: more words that can be asked."""
    every = numbers(world)
    below = [k for k in every if k.startswith((f"{key}.", f"{key}@"))] if key else []
    if below:
        return Problem(where=key, what="names several numbers; ask for one of them",
                       allowed=", ".join(below[:_MOST_NAMED]) + (", ..." if len(below) > _MOST_NAMED else ""))
    value = held(world, key)
    if value is not None:  # months and years are whole numbers too, but none that a tenth can be taken of
        return Problem(where=key, what="is no quantity, so it cannot be varied",
                       got="" if isinstance(value, int) else _short(value),
                       remedy="`exafleet diff` compares two scenarios in which it differs.")
    return Problem(where=key, what=what, remedy=nearest(key, [*every, *others]))


def _short(value: Any) -> str:
    return text if len(text := str(value)) <= _LONG else f"{text[:_LONG]} ..."


def only_in_draws(key: str) -> bool:
    """Whether a number acts on draws alone, and so not on deliveries as quoted, which what-ifs stand on."""
    return is_scenario_key(key) and key.partition(".")[0] in _OF_DRAWS


def kept_values(asked: WhatIf, of: str, factors: Factors) -> float:
    """The answer with the decisions kept; at the top of this module so that other processes find it. [USD]"""
    return asked.value(asked.kept(factors), of)
