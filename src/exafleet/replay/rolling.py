"""Rolling: plan, commit the coming months, live them as they really turn out, plan again with what is known by then.

At each date a policy decides with the world as known that day and with what was lived so far (plan/carry.py). Only the
decisions of the period until the next date are kept. Then the period is lived: what was ordered comes when it really
comes, the sites have the power they really have, and whoever runs the fleet does the best with it (the recourse),
believing of the months after the period what the plan believed.

Time-consistent: every plan has the same last month, the same used prices rule at the end, and the same attitude to
risk; what is behind is the same in all draws, so it moves the mean and the tail alike and no preference turns with it.
With one date and the whole horizon a rolling run is the plan itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws, stated
from exafleet.market.futures import draw
from exafleet.market.market import MEAN_MONTH, Floats, Ints, Market
from exafleet.plan import rules
from exafleet.plan.carry import (
    Key,
    Lived,
    Placed,
    Values,
    as_it_came,
    carried,
    first_names,
    programme,
    released,
    roomy,
    second_names,
    ways,
    wished,
    with_placements,
)
from exafleet.plan.gangs import settled_gangs, whole_gangs
from exafleet.plan.highs import Linear, Solver, Stop
from exafleet.plan.plan import PARTS, Plan
from exafleet.plan.policies import Policy, Wish
from exafleet.plan.read import WHOLE
from exafleet.plan.relax import no_plan
from exafleet.plan.revised import Revision
from exafleet.plan.sets import Sets, sets
from exafleet.plan.solve import choose
from exafleet.plan.twostage import TwoStage, two_stage
from exafleet.replay.revising import believed, decided, lived_until, may_revise, really, what_came
from exafleet.terms.parts import Parts

Said = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The world as known on a day: a market from the run's first month on, and its rates."""

    market: Market
    rates: Rates


Known = Callable[[int, int], View]
"""(which date, months to look at from the run's first month) -> what is known then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happens.

    market    prices and windows as each date's buyers met them; power, demand and money as they came about
    rates     what the machines really do
    quoted    months from order to arrival as quoted when ordered           [F, T]
    lead      the same as it really was                                     [F, T]
    slip      months open orders came later than promised                   [Q]
    accepted  most units a supplier took orders for, by month of order and place in the queue [F, T, places + 1]
    """

    market: Market
    rates: Rates
    quoted: Ints
    lead: Ints
    slip: Ints
    accepted: Floats


def truth_of(view: View, draws: Draws, n: int = 0) -> Truth:
    """A draw as what really happens, known all along but for its deliveries, demand and rates."""
    market, rates = view.market, view.rates
    jobs = {job.id: j for j, job in enumerate(market.scenario.jobs)}
    factor = np.array([draws.rate[n, jobs[name]] if name in jobs else 1.0 for name in rates.jobs])
    return Truth(
        market=replace(market, demand=market.demand * draws.demand[n]),
        rates=replace(rates, work_per_s=rates.work_per_s * factor[:, None, None]), quoted=draws.lead[0],
        lead=draws.lead[n], slip=draws.slip[n], accepted=accepted(market, draws.lead[0]))


def accepted(market: Market, quoted: Ints) -> Floats:
    """Units a supplier takes orders for by month of order: what it believes it can deliver in the month it quotes."""
    months, saved = market.months, sooner(market)
    taken = np.zeros((*market.can_order.shape, saved.shape[1]))
    for queued in range(saved.shape[1]):
        when = np.arange(months)[None, :] + np.maximum(quoted - saved[:, queued:queued + 1], 0)
        supply = np.take_along_axis(market.supply, np.minimum(when, months - 1), axis=1)
        taken[:, :, queued] = np.where((when < months) & market.can_order, supply, 0.0)
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A policy lived through.

    lived      everything decided and lived, by name
    decided    first-stage decisions of each period, by name
    objective  what each plan expected in all, past included          [dates] [USD]
    gap        of each plan                                            [dates]
    cost       by part, in present value at the run's first month     [USD]
    done       periods finished; fewer than there are dates when it was stopped
    """

    policy: Policy
    lived: Lived
    decided: tuple[Values, ...]
    objective: tuple[float, ...]
    gap: tuple[float, ...]
    cost: Parts
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How each plan is made: draws, seed, the gap asked for, and a way to stop."""

    draws: int = 5
    seed: int = 1
    gap: float = 0.01
    stop: Stop | None = None


def roll(policy: Policy, known: Known, truth: Truth, dates: Sequence[int], settings: Settings | None = None,
         said: Said | None = None, begin: tuple[Values, float, float] | None = None) -> Life:
    """Live one policy through, re-planning at each date (month indices, the first is 0).

    said    told (policy, periods done, periods in all) before each period
    begin   decisions of the first date where a plan was made already, what it expects [USD], and its gap

    Stopped, or at Ctrl-C, the periods finished so far come back.
    """
    asked = settings or Settings()
    ends = [*dates[1:], truth.market.months]
    values: Values = {}
    lived, decided, objective, gap = Lived(), [], [], []
    try:
        for k, (now, end) in enumerate(zip(dates, ends, strict=True)):
            if said is not None:
                said(policy.name, k, len(dates))
            view = known(k, min(truth.market.months, now + (policy.window or truth.market.months)))
            values, expected, left = begin if begin and not k else decide(view, lived, policy, asked, values)
            if asked.stop is not None and asked.stop():
                break
            lived = live(view, truth, lived, values, end)
            decided.append({key: v for key, v in values.items() if now <= month_of(key) < end})
            objective.append(expected)
            gap.append(left)
    except KeyboardInterrupt:
        pass
    return Life(policy=policy, lived=lived, decided=tuple(decided), objective=tuple(objective), gap=tuple(gap),
                cost=account(truth, lived), done=len(decided))


def month_of(key: Key) -> int:
    """Month index of a first-stage decision."""
    if key[0] in ("order", "tier", "placed", "lots"):
        return int(key[3])
    if key[0] == "slot":
        return int(key[4]) if len(key) > 4 else 0  # an order's place, or an open order's
    if key[0] == "revised":
        return int(key[-2])
    return 0 if key[0] in ("keep", "cancel", "swap") else int(key[-1])


# ----------------------------------------------------------------------------------------------------------- decide
def decide(view: View, lived: Lived, policy: Policy, asked: Settings,
           before: Values | None = None) -> tuple[Values, float, float]:
    """First-stage decisions of every month from now on, what the plan expects in all [USD], and its gap.

    before   decisions of the plan before, to start from
    """
    market = at_dates_only(view.market)
    draws = from_now(market, policy.draws or asked.draws, asked.seed, view.rates, lived.months)
    found = _sets(market, view.rates, draws, lived.placements())
    revised = (*believed(view.market, lived), *may_revise(view.market, lived))
    p = carried(_believed(market, draws, found, lived, revised), lived)
    if policy.orders is not None:
        p = _ordered(p, policy.orders(market, draws, lived.months, _made(lived)), lived.months)
    if before:
        p = replace(p, start=first_names(p.build).vector({**before, **lived.first}))
    answer = choose(p)(p, asked.gap, asked.stop or _never, None)[1]
    if answer.status == "infeasible" and lived.months:
        p = _lenient(p)
        answer = choose(p)(p, asked.gap, asked.stop or _never, None)[1]
    if answer.status == "infeasible":
        raise no_plan(p)
    if answer.status == "nothing":
        raise KeyboardInterrupt
    x = np.where(p.whole, np.round(answer.x), answer.x)
    names = first_names(p.build)
    money = p.build.money
    gap = (answer.value - answer.bound) / abs(answer.value) if answer.value else 0.0
    return names.values(x, range(view.market.months)), answer.value * money, gap


def decided_by(plan: Plan, rates: Rates) -> Values:
    """The decisions of a plan made once, by name, as a rolling plan would have taken them on its first day."""
    draws = plan.draws
    names = first_names(two_stage(plan.market, draws, sets(plan.market, rates, draws)).build)
    found = names.values(plan.first, range(plan.market.months))
    return {("revised", "open", key[1], 0, key[2], key[3], 0, 0) if key[0] == "change" else key: units
            for key, units in found.items()}


def _never() -> bool:
    return False


def at_dates_only(market: Market) -> Market:
    """The market without columns for orders that change between two plans, and without others' money for them.

    What can be revised at the dates themselves comes on top (`revising.py`).
    """
    risk = replace(market.scenario.risk, react=0)
    orders = tuple(replace(q, change=()) for q in market.scenario.open_orders)
    return replace(market, scenario=replace(market.scenario, risk=risk, open_orders=orders, finance=()))


def sooner(market: Market) -> Ints:
    """Whole months each place in an offer's queue saves; place 0 is none. [F, places]"""
    offers = market.scenario.offers
    most = max((len(f.places) for f in offers), default=0)
    saved = np.zeros((len(offers), most + 1), dtype=np.int64)
    for f, offer in enumerate(offers):
        for i, place in enumerate(offer.places):
            saved[f, i + 1] = int(place.sooner / MEAN_MONTH + 0.5)
    return saved


# Factors of a draw that grow with the time from now, along their last axis.
_GROWING = ("price", "rent", "demand", "resale")


def from_now(market: Market, n: int, seed: int, rates: Rates, now: int) -> Draws:
    """Draws of what is to come: what lies behind is as it is known, and uncertainty grows from now on."""
    power = market.power.copy()
    power[:, :now] = power[:, now:now + 1]  # power that is there cannot be late any more
    drawn = draw(replace(market, power=power), n, seed, rates=rates)
    if not now:
        return drawn
    later = {}
    for name in _GROWING:
        value = np.ones_like(getattr(drawn, name))
        value[..., now:] = getattr(drawn, name)[..., :value.shape[-1] - now]
        later[name] = value
    return replace(drawn, **later)


def _sets(market: Market, rates: Rates, draws: Draws, placed: Sequence[Placed]) -> Sets:
    found = sets(market, rates, draws)
    return with_placements(found, market, placed, ways(market, rates, found, placed)) if placed else found


def _believed(market: Market, draws: Draws, found: Sets, lived: Lived, revised: Sequence[Revision] = ()) -> TwoStage:
    """The programme of what is known, with the past's orders open in their months and nothing else."""
    sold = market if not lived.months else replace(market, can_order=_only_ordered(market, lived))
    first = programme(sold, draws, found, rules=())
    arrival, due = as_it_came(sold, first.build.book, lived)
    return programme(sold, draws, found, arrival=arrival, due=due, revised=revised)


def _only_ordered(market: Market, lived: Lived) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether orders are taken: behind us, only where some were placed."""
    able, offers = market.can_order.copy(), {f.id: i for i, f in enumerate(market.scenario.offers)}
    able[:, :lived.months] = False
    for key in lived.first:
        if key[0] == "order" and key[1] in offers:
            able[offers[str(key[1])], int(key[3])] = True
    return able


def _made(lived: Lived) -> tuple[Wish, ...]:
    """Orders placed so far."""
    return tuple(sorted(Wish(str(k[1]), str(k[2]), int(k[3]), round(v)) for k, v in lived.first.items()
                        if k[0] == "order"))


def _ordered(p: TwoStage, wishes: Sequence[Wish], now: int) -> TwoStage:
    """The programme with its orders from now on fixed to these, and those placed before as they are."""
    value = wished(p, wishes)
    column = ~np.isnan(value) & (first_names(p.build).month >= now)
    return replace(p, x_lower=np.where(column, value, p.x_lower), x_upper=np.where(column, value, p.x_upper))


def _lenient(p: TwoStage) -> TwoStage:
    """Without the demand that required runs end in time: a plan that is made again must go on with what it has."""
    upper, lower = p.first_upper.copy(), p.first_lower.copy()
    for name in ("required run", "gang power"):
        block = p.build.first_rows.blocks().get(name, np.zeros(0, dtype=np.int64))
        at = block[block >= 0].ravel()
        lower[at], upper[at] = -np.inf, np.inf
    return replace(p, first_lower=lower, first_upper=upper)


# ------------------------------------------------------------------------------------------------------------- live
def live(view: View, truth: Truth, lived: Lived, decisions: Values, end: int) -> Lived:
    """The months up to `end` lived with these decisions, of which those of later months are only intentions."""
    market = _met(truth.market, view.market, end)
    now = lived.months
    mine = {**lived.first, **{key: v for key, v in decisions.items() if month_of(key) >= now}}
    intended = Lived(months=end, first={k: v for k, v in mine.items() if k[0] == "started"}).placements()
    first = _framed(market, truth, intended, ())
    arrival, due = _arrivals(truth, view, first, end)
    revised = {key: lived_until(truth.market, truth.lead, view.market, r, end)
               for key, r in decided(view.market, lived, decisions).items()}
    p = carried(anything(_framed(market, truth, intended, LIVED_BY, arrival, due, tuple(revised.values()))), lived)
    x = first_names(p.build).vector(mine)
    y = recourse(p, x, now)
    late = _lacking(p, y, range(now, end))
    if late:  # their racks have not come: these runs go on with what there is
        y = recourse(released(p, late), x, now)
    second = {key: v for key, v in second_names(p.build).values(y, range(now, end)).items() if key[0] not in UNPAID}
    kept = {key: v for key, v in mine.items() if month_of(key) < end}
    return Lived(months=end, first=kept, second={**lived.second, **second}, came=_came(first, arrival[0], end),
                 due=_due(first, due[0], end), revised=what_came(revised, end))


def _framed(market: Market, truth: Truth, placed: Sequence[Placed], rule_set: Sequence[rules.Rule],
            arrival: Ints | None = None, due: Ints | None = None, revised: Sequence[Revision] = ()) -> TwoStage:
    """The programme of one draw, the truth, in which every order that could be quoted within the horizon exists."""
    market = at_dates_only(market)
    draws = quoted(market, truth)
    found = sets(market, truth.rates, draws)
    found = with_placements(found, market, placed, ways(market, truth.rates, found, placed))
    return programme(market, draws, found, rules=rule_set, arrival=arrival, due=due, revised=revised)


def _met(truth: Market, believed: Market, end: int) -> Market:
    """The true market up to a month index, and after it what is believed of it."""
    from exafleet.replay.splice import STATE, spliced

    return spliced(truth, believed, range(end, truth.months), STATE)


def _lacking(p: TwoStage, y: Floats, months: range) -> list[int]:
    """Options whose gangs lack units in these months."""
    b = p.build
    absent = b.y["absent"][:, months.start:months.stop]
    short = np.where(absent >= 0, np.append(y, 0.0)[absent], 0.0).max(axis=1, initial=0.0) > ZERO
    gangs = [g for g in settled_gangs(b) if short[b.sets.gang_place[g]]]
    return sorted({int(b.sets.gang_option[g]) for g in gangs})


# The rules of what happens: nothing is decided about orders between two plans.
LIVED_BY = tuple(rule for rule in rules.RECOURSE if rule not in (
    rules.later_orders, rules.later_cancelled, rules.later_supply, rules.later_allocation))


def anything(p: TwoStage) -> TwoStage:
    """Without bounds on what an owner can ever have: they come from offers, not from what was ordered."""
    market = p.build.market
    return roomy(p, np.full((len(market.scenario.owners), len(market.systems)), np.inf))


def quoted(market: Market, truth: Truth) -> Draws:
    """The quotes as they were, as one draw."""
    return stated(market, 1, lead=truth.quoted[None], slip=truth.slip[None])


def true_arrivals(truth: Truth, p: TwoStage) -> Ints:
    """Month each possible order of a book really comes in. [1, C]"""
    book = p.build.book
    lead = truth.lead[book.offer, book.month] - sooner(truth.market)[book.offer, book.queued]
    return np.asarray(book.month + np.maximum(lead, 0))[None]


def _arrivals(truth: Truth, view: View, p: TwoStage, end: int) -> tuple[Ints, Ints]:
    """Months of arrival: true ones before `end`; after it what is believed, but not before `end`."""
    book, market = p.build.book, p.build.market
    arrival, due = true_arrivals(truth, p), book.due.copy()
    mine = {f.id: i for i, f in enumerate(view.market.scenario.offers)}
    lead = np.floor(view.market.lead[:, 1] + 0.5).astype(np.int64)
    saved = sooner(market)[book.offer, book.queued]
    for c in np.flatnonzero(arrival[0] >= end):
        offer = market.scenario.offers[book.offer[c]].id
        quote = int(lead[mine[offer]]) if offer in mine else int(truth.quoted[book.offer[c], book.month[c]])
        arrival[0, c] = max(end, int(book.month[c]) + max(quote - int(saved[c]), 0))
    quoted = {q.id: i for i, q in enumerate(view.market.scenario.open_orders)}
    for q, order in enumerate(market.scenario.open_orders):
        slip = view.market.slip[quoted[order.id], 1] if order.id in quoted else 0.0
        believed = np.maximum(market.promised[q] + int(slip + 0.5) + np.arange(due.shape[2]), end)
        due[0, q] = np.where(due[0, q] < end, due[0, q], believed)
    return arrival, due


def _came(p: TwoStage, arrival: Ints, end: int) -> Mapping[tuple[str, int, int], int]:
    book, offers = p.build.book, [f.id for f in p.build.market.scenario.offers]
    return {(offers[book.offer[c]], int(book.month[c]), int(book.queued[c])): int(arrival[c])
            for c in np.flatnonzero(arrival < end)}


def _due(p: TwoStage, due: Ints, end: int) -> Mapping[tuple[str, int], int]:
    return {(order.id, int(d)): int(due[q, d]) for q, order in enumerate(p.build.market.scenario.open_orders)
            for d in np.flatnonzero(due[q] < end)}


def recourse(p: TwoStage, x: Floats, now: int) -> Floats:
    """The best that can be done with these decisions from a month on, in whole units. [Y]"""
    taken = p.couple[0] @ x
    least, most = p.bounds(0, x)
    problem = Linear(rows=p.recourse, lower=p.lower[0] - taken, upper=p.upper[0] - taken, v_lower=least,
                     v_upper=most, cost=p.cost2[0])
    loose = Solver(problem).solve()
    if not len(loose.v):
        raise RuntimeError(f"the recourse is {loose.status}")
    whole = np.zeros(len(p.y_lower), dtype=bool)
    for name in WHOLE:
        block = p.build.y[name][..., now:]
        whole[block[block >= 0]] = True
    found = Solver(replace(problem, whole=whole), mip_rel_gap=1e-4, mip_max_nodes=200).solve()
    return np.where(whole, np.round(found.v), found.v) if len(found.v) else loose.v


# ---------------------------------------------------------------------------------------------------------- account
# What a plan is told to do at any price, and what no book contains: gangs that are not whole.
UNPAID = ("missing", "absent")


def frame(truth: Truth, lived: Lived, rule_set: Sequence[rules.Rule] = ()) -> TwoStage:
    """The programme a life is accounted in: the true market over all months, every order coming when it really came."""
    first = _framed(truth.market, truth, lived.placements(), ())
    revised = tuple(really(truth.market, truth.lead, r) for r in lived.revised.values())
    return _framed(truth.market, truth, lived.placements(), rule_set, true_arrivals(truth, first), revised=revised)


def point(p: TwoStage, lived: Lived) -> tuple[Floats, Floats]:
    """A life as a point of its frame: first stage [X] and recourse [Y].

    Raises RuntimeError when the frame has no place for something that was lived: a cost would be lost.
    """
    first, second = first_names(p.build), second_names(p.build)
    lost = [k for values, names in ((lived.first, set(first.keys)), (lived.second, set(second.keys)))
            for k, v in values.items() if abs(v) > ZERO and k not in names]
    if lost:
        raise RuntimeError(f"no place in the books for {lost[:3]}")
    return first.vector(lived.first), second.vector(lived.second)


def account(truth: Truth, lived: Lived) -> Parts:
    """Cost of a life by part, at true prices, in present value."""
    p = frame(truth, lived)
    x, y = point(p, lived)
    cost = p.parts1[0] @ x + p.parts2 @ y + p.part_constant[0]
    return Parts(names=PARTS, values=np.where(np.abs(cost) < CENT, 0.0, cost), unit="USD")


ZERO, CENT = 1e-6, 1e-2
TRUE_RULES = tuple(rule for rule in LIVED_BY if rule not in (whole_gangs, rules.full_strength))


def violations(truth: Truth, lived: Lived) -> dict[str, float]:
    """By how much a life breaks the rules of the truth, by block of rows, in solver units: all should be nothing."""
    p = frame(truth, lived, TRUE_RULES)
    x, y = point(p, lived)
    activity = p.recourse @ y + p.couple[0] @ x
    over = np.maximum(np.maximum(p.lower[0] - activity, activity - p.upper[0]), 0.0)
    return {name: float(over[block[block >= 0]].max(initial=0.0)) for name, block in p.build.rows.blocks().items()}
