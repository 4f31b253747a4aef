"""Each rule, where it bites: the plan keeps it, and without the rule it would not."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import START, Instance, instance
from exafleet.facts.records import TrainJob
from exafleet.market.futures import base
from exafleet.market.market import Market
from exafleet.plan import commitments, rules
from exafleet.plan.plan import Plan
from exafleet.plan.solve import solve_market

SMALL = {"months": 8, "systems": 4, "sites": 3, "owners": 2, "jobs": 6, "sizes": 3, "scale": 0.01, "budget": False,
         "seed": 2}


@pytest.fixture(scope="module")
def case() -> Instance:
    return instance(**SMALL)


def solve(case: Instance, market: Market | None = None, without: rules.Rule | None = None) -> Plan:
    market = market or case.market
    return solve_market(market, case.rates, base(market), gap=0.001,
                        rules=tuple(rule for rule in rules.RULES if rule is not without))


def with_offers(case: Instance, **changes: object) -> Market:
    offers = tuple(replace(f, **changes) for f in case.market.scenario.offers)
    return replace(case.market, scenario=replace(case.market.scenario, offers=offers))


def owner_power(plan: Plan) -> np.ndarray:
    """Facility power by owner and site in the base draw. [O, S, T]"""
    market, power = plan.market, np.zeros(plan.market.quota.shape)
    for h, (o, s, k) in enumerate(zip(plan.holder_owner, plan.holder_site, plan.holder_system, strict=True)):
        chips = plan.use[0, :, h].sum(axis=0)
        power[o, s] += chips / market.chips[k] * market.unit_power[k] * market.pue[s]
    return power


def test_power(case: Instance) -> None:
    tight = replace(case.market, power=case.market.power * 0.1)
    assert (solve(case, tight).power[0] <= tight.power * (1 + 1e-6)).all()
    assert (solve(case, tight, without=rules.power).power[0] > tight.power * 1.01).any()


def test_quota(case: Instance) -> None:
    quota = np.full(case.market.quota.shape, 2e5)
    tight = replace(case.market, quota=quota)
    assert (owner_power(solve(case, tight)) <= quota * (1 + 1e-6)).all()
    assert (owner_power(solve(case, tight, without=rules.quota)) > quota * 1.01).any()


def test_install_rate(case: Instance) -> None:
    tight = replace(case.market, install=case.market.install * 0.02)

    def positions(plan: Plan) -> np.ndarray:
        done = np.zeros(tight.install.shape)
        np.add.at(done, plan.holder_site, plan.install[0] * tight.racks[plan.holder_system][:, None])
        return done

    assert (positions(solve(case, tight)) <= tight.install * (1 + 1e-6)).all()
    assert (positions(solve(case, tight, without=rules.install_rate)) > tight.install * 1.01).any()


def test_supply_and_total(case: Instance) -> None:
    found = solve(case)
    for f, offer in enumerate(case.market.scenario.offers):
        mine = [o for o in found.orders if o.offer == offer.id]
        assert sum(o.units for o in mine) <= offer.total
        for t in range(case.market.months):
            assert sum(o.units for o in mine if o.arrival == t) <= case.market.supply[f, t]


def test_queue_places_are_limited_and_arrive_sooner(case: Instance) -> None:
    # A place in the queue at half the price is always taken, so the only question is how many.
    free = tuple(replace(f, queue=replace(f.queue, premium=-0.5, units=1)) if f.queue else f
                 for f in case.market.scenario.offers)
    market = replace(case.market, scenario=replace(case.market.scenario, offers=free))
    queued = [o for o in solve(case, market).orders if o.queued]
    assert sum(o.units for o in queued) == 1
    assert queued[0].arrival - queued[0].month == 2


def test_a_tier_price_needs_its_units(case: Instance) -> None:
    market = with_offers(case, tiers=((3, 0.5),))
    found = [o for o in solve(case, market).orders if o.tier]
    assert found
    for order in found:
        same = [o.units for o in found if (o.offer, o.owner, o.month) == (order.offer, order.owner, order.month)]
        assert sum(same) >= 3
    plain = next(f for f in case.market.scenario.offers if f.id == found[0].offer)
    assert found[0].price == pytest.approx(0.5 * plain.price.at(START + found[0].month))


def test_open_orders_are_kept_deferred_or_cancelled(case: Instance) -> None:
    for cancel, defer in ((0.0, 1e9), (1.0, 0.0), (1.0, 1e9)):
        orders = tuple(replace(q, cancel=cancel, defer=defer, units=7) for q in case.market.scenario.open_orders)
        market = replace(case.market, scenario=replace(case.market.scenario, open_orders=orders))
        kept = solve(case, market).kept[0]
        assert kept.cancelled + sum(units for _, units, _ in kept.arrivals) == 7
        if defer > 1:
            assert all(months == 0 for _, _, months in kept.arrivals)


def test_a_gang_waits_for_its_units_as_quoted(case: Instance) -> None:
    found = solve(case)
    owner = {o.id: i for i, o in enumerate(case.market.scenario.owners)}
    assert found.placements
    for placed in (p for p in found.placements if not p.rented):
        lenders = {x.lender for x in case.market.scenario.loans if x.borrower == placed.owner} | {placed.owner}
        k = case.market.systems.index(placed.system)
        units = sum(case.market.holdings[owner[o], :, k].sum() + found.arrivals[0, owner[o], k, :placed.start + 1].sum()
                    for o in lenders)
        assert units * case.market.chips[k] >= placed.chips - 1e-6


def test_a_run_is_placed_once_and_uses_only_its_place(case: Instance) -> None:
    found = solve(case)
    assert len({p.job for p in found.placements}) == len(found.placements)
    jobs = [j.id for j in case.market.scenario.jobs]
    for j, job in enumerate(case.market.scenario.jobs):
        if isinstance(job, TrainJob):
            placed = [p for p in found.placements if p.job == jobs[j]]
            assert found.use[0, j].sum(axis=0).max() <= max((p.chips for p in placed), default=0) * (1 + 1e-6)
            assert not placed or found.use[0, j, :, :placed[0].start].sum() == 0


def test_reserved_accelerators_are_used_only_under_contract(case: Instance) -> None:
    cheap = replace(case.market, rental_price=case.market.rental_price * 0.2, rental_most=case.market.rental_most * 10)
    found = solve(case, cheap)
    assert found.contracts
    at = len(found.holder_owner) + np.arange(len(cheap.scenario.rentals))
    used = found.use[0][:, at].sum(axis=0)
    reserved = np.array([r.term > 1 for r in cheap.scenario.rentals])
    assert (used[reserved] <= found.reserved.sum(axis=1)[reserved] * (1 + 1e-6)).all()
    assert (found.reserved.sum(axis=1) <= cheap.rental_most).all()


def test_loans_stay_within_what_was_agreed(case: Instance) -> None:
    tight = replace(case.market, loan_most=np.full(case.market.loan_most.shape, 16.0))
    assert solve(case, tight).lent.max() <= 16.0 + 1e-6


def test_loans_move_cash_between_owners_and_cost_nothing_together(case: Instance) -> None:
    def price(usd: float) -> Market:
        loans = tuple(replace(x, price=usd) for x in case.market.scenario.loans)
        return replace(case.market, scenario=replace(case.market.scenario, loans=loans))

    free, dear = solve(case, price(0.0)), solve(case, price(1e-3))
    assert dear.objective == pytest.approx(free.objective, rel=2e-3)
    lent = (dear.lent[0, 0] * case.market.seconds).sum() * 1e-3
    assert lent > 0


def test_commitments_stay_within_the_budget(case: Instance) -> None:
    budget = np.full(case.market.budget.shape, 2e7)
    tight = replace(case.market, budget=budget)
    found = solve(case, tight)
    assert (found.cash[0].cumsum(axis=1) <= budget * (1 + 1e-6) + found.cost["overdraft"][0]).all()
    assert found.objective >= solve(case).bound - 1.0  # both are within a gap of their best


def test_moves_leave_one_site_and_reach_the_other(case: Instance) -> None:
    power = case.market.power.copy()
    power[0] *= 1e-3
    none = tuple(replace(q, units=0) for q in case.market.scenario.open_orders)
    stuck = replace(case.market, power=power, can_order=np.zeros_like(case.market.can_order),
                    resale=np.zeros_like(case.market.resale), scenario=replace(case.market.scenario, open_orders=none))
    found = solve(case, stuck)
    assert found.moved.sum() > 0
    for v, h in enumerate(found.lane_move):
        assert found.moved[0, v].max() <= case.market.scenario.moves[h].most + 1e-6


def test_a_rule_of_ones_own_can_be_added(case: Instance) -> None:
    def nothing_new(b: rules.Build) -> None:
        row = b.first_rows.add("nothing new", np.ones(1, dtype=bool), lower=-np.inf, upper=0.0)
        b.first.put(row, b.x["order"], 1.0)

    market = case.market
    found = solve_market(market, case.rates, base(market), rules=(*rules.RULES, nothing_new))
    assert not found.orders
    assert commitments.supply in rules.FIRST


def test_a_job_that_never_runs_is_named_with_its_reason(case: Instance) -> None:
    why = np.full_like(case.rates.why, 1)
    work = case.rates.work_per_s.copy()
    work[0], why[1:] = 0.0, case.rates.why[1:]
    rates = replace(case.rates, work_per_s=work, why=why)
    found = solve_market(case.market, rates, base(case.market))
    assert any(note.startswith("train0: never runs (") and "does not fit in memory" in note for note in found.notes)
