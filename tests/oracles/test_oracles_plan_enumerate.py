"""Small plans found by trying everything: integer decisions enumerated, recourse by a second programme written apart.

The second way shares nothing with the plan floor but the scenario: its own columns, its own costs, SciPy's linprog.
"""

import itertools
from datetime import date

import numpy as np
import pytest
from scipy.optimize import linprog

from exafleet.facts.deals import Offer, OpenOrder, Queue
from exafleet.facts.hardware import Chip, System
from exafleet.facts.records import Holding, Owner, ResearchJob, Risk, Scenario, Site, TrainJob
from exafleet.facts.steps import Spread, Steps
from exafleet.fleet.rates import Rates
from exafleet.market.draws import Draws, stated
from exafleet.market.market import MEAN_MONTH, Market, market_of
from exafleet.plan.decompose import solve_decomposed
from exafleet.plan.sets import sets
from exafleet.plan.solve import solve_market
from exafleet.plan.twostage import two_stage
from exafleet.plan.writtenout import solve_written_out

T, CHIPS, WATTS, PUE = 4, 8, 1e4, 1.2
START = 2025 * 12
CHIP = Chip(id="c", name="c", vendor="v", family="f", peak_flops={"bf16": 1e15}, hbm_bytes=8e10, hbm_bw=3e12,
            link_bw=4e11, nic_bw=5e10, tdp=700.0)
NODE = System(id="node", name="node", chip=CHIP, chips=CHIPS, domain=8, power_max=WATTS, liquid=False, racks=0.25)
ENERGY, RENT, UNSERVED, RESALE, DISCOUNT = 1e-8, 2e-9, 3e-3, 0.7, 0.1
TOKENS, RATE = 9e10, 2500.0   # 8 chips take two months, 16 take one
CONSTANT = Spread(low=MEAN_MONTH, mid=MEAN_MONTH, high=MEAN_MONTH)


def scenario(weight: float, power: float, budget: float | None) -> Scenario:
    offers = (
        Offer(id="a", supplier="s", system="node", price=Steps.constant(2.4e5), first=START, last=START + 1,
              lead=CONSTANT, supply=Steps.constant(2), total=3, deposit=0.3, fitting=4e3),
        Offer(id="b", supplier="s", system="node", price=Steps.constant(2.2e5), first=START, last=START,
              lead=Spread(low=2 * MEAN_MONTH, mid=2 * MEAN_MONTH, high=2 * MEAN_MONTH), supply=Steps.constant(2),
              total=2, queue=Queue(premium=0.04, sooner=MEAN_MONTH, units=1)),
    )
    owner = Owner(id="o", name="o", budget=None if budget is None else ((START, budget), (START + 2, budget)))
    open_order = OpenOrder(id="q", owner="o", supplier="s", system="node", units=1, promised=START + 1, price=2.3e5,
                           paid=0.2, slip=Spread(low=0.0, mid=0.0, high=0.0), cancel=0.35, defer=1e3, most_deferral=1)
    research = ResearchJob(id="r", owner="o", model="m", reference="node", unserved=UNSERVED,
                           demand=Steps(months=(START + 2,), values=(30.0,), before=14.0))
    train = TrainJob(id="t", owner="o", model="m", tokens=TOKENS, seq=1, batch=1.0, dtype="bf16", earliest=START,
                     due=START + 2, value=6e4, late=2e4, unfinished=3e4, least=8)
    site = Site(id="s", name="s", power=Steps.constant(power), cooling=("air",), install_rate=0.5 / (30 * 86400.0),
                pue=PUE, energy_price=Steps.constant(ENERGY), carbon=Steps.constant(0.0), rent=RENT)
    return Scenario(name="tiny", file="", as_of=date(2024, 12, 1), start=START, months=T, discount=DISCOUNT,
                    resale=RESALE, resale_most=Steps.constant(np.inf), owners=(owner,), sites=(site,), offers=offers,
                    open_orders=(open_order,),
                    holdings=(Holding(owner="o", site="s", system="node", units=1, bought=START - 12, price=2.5e5),),
                    rentals=(), jobs=(research, train), loans=(), moves=(), risk=Risk(alpha=0.5, weight=weight))


def rates() -> Rates:
    sizes = np.array([[[8, 0]], [[8, 16]]])
    work = np.array([[[8.0, 0.0]], [[8 * RATE, 16 * RATE * 0.9]]])
    power = sizes * (0.8 * WATTS / CHIPS)
    return Rates(jobs=("r", "t"), systems=("node",), units=("chip-s", "token"), sizes=sizes, work_per_s=work, low=work,
                 high=work, power=power, goodput=np.ones_like(work), mfu=np.zeros_like(work),
                 why=np.where(work > 0, 0, 6), layout=((("", ""),), (("", ""),)))


def draws(market: Market, n: int) -> Draws:
    lead = np.array([[1, 2], [2, 2], [1, 3]])[:n]
    return stated(market, n, lead=np.repeat(lead[:, :, None], T, axis=2), slip=np.array([[0], [1], [0]])[:n],
                  demand=np.ones((n, 2, T)) * np.array([1.0, 1.3, 0.8])[:n, None, None],
                  rate=np.array([[1.0, 1.0], [0.9, 1.1], [1.0, 0.8]])[:n])


def enumerate_plans(s: Scenario, market, d: Draws) -> float:
    """Least risk-adjusted cost over every whole decision."""
    options = [None] + [(z, t0) for z in (8, 16) for t0 in range(T)]
    best = np.inf
    choices = itertools.product(range(3), range(3), range(3), range(2), ("d0", "d1", "cancel"))
    for a0, a1, b, bq, kept in choices:
        if a0 + a1 > 3 or b + bq > 2 or a0 > 2 or a1 > 2:
            continue
        orders = [(2.4e5, 0.3, 4e3, 0.0, 0, d.lead[:, 0, 0], a0), (2.4e5, 0.3, 4e3, 0.0, 1, 1 + d.lead[:, 0, 1], a1),
                  (2.2e5, 0.0, 0.0, 0.0, 0, d.lead[:, 1, 0], b), (2.2e5, 0.0, 0.0, 0.04, 0, d.lead[:, 1, 0] - 1, bq)]
        supplied = {}
        for at, amount in ((2, b), (1, bq)):
            supplied[at] = supplied.get(at, 0) + amount
        if max(supplied.values()) > 2:
            continue
        if not affordable(s, orders, kept, d):
            continue
        quoted = deliveries(orders, kept, d, 0)
        for option in options:
            if option is not None and 1 + quoted[:option[1] + 1].sum() < option[0] / CHIPS:
                continue
            cost = np.array([fixed(market, orders, kept, d, n) + recourse(s, market, orders, kept, option, d, n)
                             for n in range(d.count)])
            best = min(best, risk(s, cost))
    return best


def risk(s: Scenario, cost: np.ndarray) -> float:
    worst = np.sort(cost)[::-1]
    tail, left, total = 1 - s.risk.alpha, 1 - s.risk.alpha, 0.0
    for c in worst:
        share = min(left, 1 / len(cost))
        total, left = total + share * c, left - share
    return (1 - s.risk.weight) * cost.mean() + s.risk.weight * total / tail


def open_month(kept: str, d: Draws, n: int) -> int:
    return 1 + int(d.slip[n, 0]) + (kept == "d1")


def deliveries(orders, kept, d: Draws, n: int) -> np.ndarray:
    units = np.zeros(T)
    for *_, when, amount in orders:
        if when[n] < T:
            units[when[n]] += amount
    if kept != "cancel" and open_month(kept, d, n) < T:
        units[open_month(kept, d, n)] += 1
    return units


def payments(orders, kept, d: Draws, n: int) -> list[tuple[int, float]]:
    """(month, USD); a month of T or more is the end."""
    paid = []
    for price, deposit, fitting, premium, month, when, amount in orders:
        paid += [(month, amount * price * (deposit + premium)),
                 (int(when[n]), amount * (price * (1 - deposit) + fitting))]
    if kept == "cancel":
        return [*paid, (0, 2.3e5 * (0.35 - 0.2))]
    return [*paid, (0, 1e3 * (kept == "d1")), (open_month(kept, d, n), 2.3e5 * 0.8)]


def affordable(s: Scenario, orders, kept, d: Draws) -> bool:
    if s.owners[0].budget is None:
        return True
    cash = np.zeros(T)
    for month, usd in payments(orders, kept, d, 0):
        if month < T:
            cash[month] += usd
    return bool((cash.cumsum() <= income(s).cumsum() + 1e-6).all())


def income(s: Scenario) -> np.ndarray:
    money = np.zeros(T)
    for month, usd in s.owners[0].budget:
        money[month - START] += usd
    return money


def fixed(market, orders, kept, d: Draws, n: int) -> float:
    """Present cost of the decisions, late arrivals valued at the end."""
    discount, resale = market.discount, market.resale[0]
    cost = sum(usd * discount[min(month, T)] for month, usd in payments(orders, kept, d, n))
    late = sum(amount for *_, when, amount in orders if when[n] >= T)
    late += kept != "cancel" and open_month(kept, d, n) >= T
    return cost - late * resale[-1] * discount[-1]


def recourse(s: Scenario, market, orders, kept, option, d: Draws, n: int) -> float:  # noqa: PLR0915 (one flat oracle)
    """Least cost of what follows in draw n. Columns per month: wh, in, sold wh, install, sold in, use, run, short,
    done, hand, owed."""
    names = ("wh", "inst", "sw", "put", "si", "use", "run", "short", "done", "hand", "owed")
    at = {name: i * T + np.arange(T) for i, name in enumerate(names)}
    size = len(names) * T
    cost, bounds = np.zeros(size), [(0.0, None)] * size
    eq, eq_b, ub, ub_b = [], [], [], []
    arrives, sec, disc = deliveries(orders, kept, d, n), market.seconds, market.discount
    resale, limited = market.resale[0], s.owners[0].budget is not None
    paid = np.zeros(T)
    for month, usd in payments(orders, kept, d, n):
        if month < T:
            paid[month] += usd
    each = 0.8 * WATTS * PUE * ENERGY * sec + WATTS * PUE * RENT * sec
    demand = np.where(np.arange(T) >= 2, 30.0, 14.0) * d.demand[n, 0]
    z, t0 = option or (0, T)
    per_chip = {0: 0.0, 8: RATE, 16: 0.9 * RATE}[z]
    train = s.jobs[1]
    overdue = np.arange(T) >= 2
    constant = float((train.late * overdue * disc[:T]).sum() + train.unfinished * disc[T])
    for t in range(T):
        row = np.zeros(size)
        row[[at["wh"][t], at["sw"][t], at["put"][t]]] = 1
        if t:
            row[at["wh"][t - 1]] = -1
        eq.append(row)
        eq_b.append(arrives[t])
        row = np.zeros(size)
        row[[at["inst"][t], at["si"][t]]] = 1
        row[at["put"][t]] = -1
        if t:
            row[at["inst"][t - 1]] = -1
        eq.append(row)
        eq_b.append(1.0 if t == 0 else 0.0)
        row = np.zeros(size)
        row[[at["use"][t], at["run"][t]]] = 1
        row[at["inst"][t]] = -1
        ub.append(row)
        ub_b.append(0.0)
        row = np.zeros(size)
        row[[at["use"][t], at["run"][t]]] = WATTS * PUE / 1e4
        ub.append(row)
        ub_b.append(s.sites[0].power.before / 1e4)
        bounds[at["put"][t]] = (0.0, s.sites[0].install_rate * sec[t] / 0.25)
        row = np.zeros(size)
        row[at["use"][t]] = -8.0 * d.rate[n, 0]
        row[at["short"][t]] = -1
        ub.append(row)
        ub_b.append(-demand[t])
        bounds[at["run"][t]] = (0.0, z / CHIPS if t >= t0 else 0.0)
        row = np.zeros(size)
        row[at["done"][t]] = 1
        if t:
            row[at["done"][t - 1]] = -1
        row[at["run"][t]] = -per_chip * CHIPS * sec[t] / TOKENS * d.rate[n, 1]
        ub.append(row)
        ub_b.append(0.0)
        bounds[at["done"][t]] = (0.0, 1.0)
        if n == 0 and option and t >= t0:  # as quoted the whole gang runs without a break until it is done
            busy = min(1.0, max(0.0, (TOKENS - per_chip * z * sec[t0:t].sum()) / (per_chip * z * sec[t])))
            bounds[at["run"][t]] = (busy * z / CHIPS, busy * z / CHIPS)
        if limited:
            row = np.zeros(size)
            row[at["hand"][t]], row[at["owed"][t]] = 1, -1
            if t:
                row[at["hand"][t - 1]], row[at["owed"][t - 1]] = -1, 1
            row[[at["use"][t], at["run"][t]]] = each[t]
            row[[at["sw"][t], at["si"][t]]] = -resale[t]
            eq.append(row / 1e5)
            eq_b.append((income(s)[t] - paid[t]) / 1e5)
            cost[at["owed"][t]] = disc[t]
        cost[[at["use"][t], at["run"][t]]] = each[t] * disc[t]
        cost[[at["sw"][t], at["si"][t]]] = -resale[t] * disc[t]
        cost[at["short"][t]] = UNSERVED * sec[t] * disc[t]
        cost[at["done"][t]] = -train.late * overdue[t] * disc[t] - train.value * (
            disc[t] - (disc[t + 1] if t < T - 1 else 0.0))
    cost[at["done"][-1]] -= train.unfinished * disc[T]
    cost[[at["wh"][-1], at["inst"][-1]]] -= resale[T] * disc[T]
    found = linprog(cost / 1e3, A_ub=np.array(ub), b_ub=ub_b, A_eq=np.array(eq), b_eq=eq_b, bounds=bounds)
    assert found.status == 0 or (n == 0 and found.status == 2)  # a placement the base draw cannot honour
    return found.fun * 1e3 + constant if found.status == 0 else np.inf


@pytest.mark.parametrize(("n", "weight", "power", "budget"), [
    (1, 0.0, 6e4, None), (2, 0.0, 3e4, None), (2, 0.0, 6e4, 3.0e5), (3, 0.4, 6e4, None)])
def test_plan_is_the_best_of_all(n: int, weight: float, power: float, budget: float | None) -> None:
    s = scenario(weight, power, budget)
    market = market_of(s, {"node": NODE}, {"node": WATTS})
    best = enumerate_plans(s, market, draws(market, n))
    problem = two_stage(market, draws(market, n), sets(market, rates(), draws(market, n)))
    for way in (solve_written_out, solve_decomposed):
        found = way(problem, 0.0)
        assert found.value * problem.build.money == pytest.approx(best, rel=1e-6)
        assert found.x[problem.build.x["order"]].sum() > 0.5


@pytest.mark.parametrize("method", ["written out", "decomposed"])
def test_the_base_draw_of_a_plan_has_whole_units_and_whole_gangs(method: str) -> None:
    """Whole units can only cost more than fractions: the plan's objective is at or above its proven bound."""
    s = scenario(0.0, 6e4, None)
    market = market_of(s, {"node": NODE}, {"node": WATTS})
    plan = solve_market(market, rates(), draws(market, 3), gap=0.0, method=method)
    for amounts in (plan.installed[0], plan.install[0], plan.sold_installed[0], plan.sold_warehouse[0]):
        assert amounts == pytest.approx(np.round(amounts), abs=1e-6)
    assert plan.bound <= plan.objective
    assert plan.objective == pytest.approx(float(plan.expected.total), rel=1e-9)
    assert plan.cost["broken gangs"] == pytest.approx(np.zeros(3))
    for run in plan.placements:
        use = plan.use[0, 1, 0, run.start:run.start + run.months]
        assert use[:-1] == pytest.approx(np.full(run.months - 1, run.chips))
        assert plan.installed[0, 0, run.start:run.start + run.months].min() * CHIPS >= run.chips - 1e-6
    assert plan.placements
