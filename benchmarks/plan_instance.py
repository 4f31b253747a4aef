"""Random planning instances of any size: invented but plausible owners, sites, systems, offers and jobs, with Rates.

Nothing here is a fact; it measures how fast plans are solved and feeds the tests with small problems of every shape.

    python benchmarks/plan_instance.py --months 30 --systems 7 --sites 4 --owners 2 --jobs 8 --draws 5
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

from exafleet.facts.deals import Offer, OpenOrder, Queue, Rental
from exafleet.facts.hardware import Chip, System
from exafleet.facts.records import Holding, Job, Move, Owner, ResearchJob, Risk, Scenario, ServeJob, Site, TrainJob
from exafleet.facts.sharing import Loan
from exafleet.facts.steps import Spread, Steps
from exafleet.fleet.rates import Rates
from exafleet.market.market import MEAN_MONTH, Market, market_of
from exafleet.terms.why import Why

START = 2025 * 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A market and its rates."""

    market: Market
    rates: Rates


def instance(*, months: int = 30, systems: int = 7, sites: int = 4, owners: int = 2, jobs: int = 8, seed: int = 0,
             scale: float = 1.0, budget: bool = True, sizes: int = 6, weight: float = 0.0, money: float = 1.0,
             discount: float = 0.08) -> Instance:
    """An instance of any size; `scale` shrinks fleet, sites and demand together, `money` multiplies every amount."""
    rng = np.random.Generator(np.random.PCG64(seed))
    machines = {s.id: s for s in (_system(i) for i in range(systems))}
    people = _owners(owners, months, scale, budget, money)
    names = [p.id for p in people]
    places = tuple(_site(i, months, scale, money, rng) for i in range(sites))
    work = tuple(_job(i, names, months, scale, money, rng) for i in range(jobs))
    scenario = Scenario(
        name="random", file="", as_of=date(2024, 12, 31), start=START, months=months, discount=discount, resale=0.65,
        resale_most=Steps.constant(np.inf),
        owners=people, sites=places, holdings=_holdings(names, places, scale, money),
        offers=tuple(_offer(i, k, months, scale, money) for i, k in enumerate(machines)),
        open_orders=_open_orders(names, list(machines), months, scale, money), rentals=_rentals(machines, scale, money),
        jobs=work, loans=_loans(names, scale, money), moves=_moves(places, money),
        risk=Risk(weight=weight))
    power = {name: s.power_max for name, s in machines.items()}
    return Instance(market=market_of(scenario, machines, power), rates=_rates(work, machines, sizes, scale))


def _system(i: int) -> System:
    liquid = i >= 2
    chips = 72 if liquid else 8
    watts = chips * (1450.0 if not liquid else 2000.0 + 120.0 * i)
    chip = Chip(id=f"c{i}", name=f"c{i}", vendor="v", family="f", tdp=1000.0, peak_flops={"bf16": 1e15},
                hbm_bytes=8e10, hbm_bw=3e12, link_bw=4.5e11, nic_bw=5e10)
    return System(id=f"sys{i}", name=f"sys{i}", chip=chip, chips=chips, domain=chips, power_max=watts, liquid=liquid,
                  racks=1.0 if liquid else 0.25)


def _owners(count: int, months: int, scale: float, budget: bool, money: float) -> tuple[Owner, ...]:
    def income(i: int) -> tuple[tuple[int, float], ...]:
        return tuple((START + t, 1.2e9 * scale * money / (1 + i)) for t in range(0, months, 3))

    return tuple(Owner(id=f"owner{i}", name=f"owner {i}", budget=income(i) if budget else None, priority=1.0 + i)
                 for i in range(count))


def _site(i: int, months: int, scale: float, money: float, rng: np.random.Generator) -> Site:
    base = 1.2e8 * scale * float(rng.uniform(0.7, 1.3))
    steps = Steps(months=(START + months // 4, START + months // 2), values=(2 * base, 3 * base), before=base)
    cooling = (("air", "liquid"), ("liquid",), ("air", "liquid"), ("air",))[i % 4]
    return Site(id=f"site{i}", name=f"site {i}", power=steps, cooling=cooling, install_rate=12.0 * scale / 86400.0,
                pue=1.15 + 0.05 * (i % 3), energy_price=Steps.constant(money * 60e-6 / 3600),
                rent=money * 1e-8 * (i % 2), carbon=Steps.constant(1e-7))


def _holdings(owners: list[str], sites: tuple[Site, ...], scale: float, money: float) -> tuple[Holding, ...]:
    air = [s.id for s in sites if "air" in s.cooling]
    return tuple(Holding(owner=o, site=air[i % len(air)], system="sys0", units=max(1, int(6000 * scale / (i + 1))),
                         bought=START - 9, price=3e5 * money) for i, o in enumerate(owners) if air)


def _offer(i: int, system: str, months: int, scale: float, money: float) -> Offer:
    liquid = i >= 2
    price = money * (3e6 * (1 + 0.12 * (i - 2)) if liquid else 2.6e5 * (1 + 0.1 * i))
    first = START + max(0, min(months - 4, (i - 2) * 4))
    lead = np.array([3.0, 4.0, 7.0]) * MEAN_MONTH if liquid else np.array([1.0, 2.0, 3.0]) * MEAN_MONTH
    supply = np.ceil((200.0 if liquid else 800.0) * scale)
    return Offer(
        id=f"offer{i}", supplier=f"supplier{i % 3}", system=system, first=first, last=START + months - 1,
        price=Steps(months=(START + months // 2,), values=(0.9 * price,), before=price),
        lead=Spread(low=lead[0], mid=lead[1], high=lead[2]), supply=Steps.constant(supply), total=supply * months / 2,
        deposit=0.2, fitting=0.02 * price, tiers=((int(np.ceil(supply / 2)), 0.95),) if i == 3 else (),
        queue=Queue(premium=0.08, sooner=2 * MEAN_MONTH, units=np.ceil(supply)) if i == 2 else None)


def _open_orders(owners: list[str], systems: list[str], months: int, scale: float,
                 money: float) -> tuple[OpenOrder, ...]:
    if len(systems) < 3 or not owners:
        return ()
    slip = Spread(low=0.0, mid=MEAN_MONTH, high=4 * MEAN_MONTH)
    return (OpenOrder(id="open0", owner=owners[0], supplier="supplier2", system="sys2", units=max(1, int(360 * scale)),
                      promised=START + 1, price=3e6 * money, paid=0.2, slip=slip, cancel=0.3, defer=1e4 * money,
                      most_deferral=min(6, months - 1)),)


def _rentals(machines: dict[str, System], scale: float, money: float) -> tuple[Rental, ...]:
    most = Steps.constant(np.ceil(4000 * scale / 8) * 8)
    return tuple(Rental(id=f"rent{i}", provider="cloud", system=k, price=Steps.constant(money * price / 3600),
                        term=term, most=most, first=START, last=START + 600, block=64 if term > 1 else 8)
                 for i, (k, price, term) in enumerate(zip(list(machines) * 2, (3.2, 2.1), (1, 12), strict=False)))


def _loans(owners: list[str], scale: float, money: float) -> tuple[Loan, ...]:
    return tuple(Loan(lender=a, borrower=b, price=money * 2.0 / 3600, most=Steps.constant(20000 * scale))
                 for a, b in pairwise(owners))


def _moves(sites: tuple[Site, ...], money: float) -> tuple[Move, ...]:
    return tuple(Move(start=a.id, end=b.id, cost=2e4 * money, months=1, most=100.0)
                 for a, b in zip(sites[:1], sites[2:3], strict=False))


def _job(i: int, owners: list[str], months: int, scale: float, money: float, rng: np.random.Generator) -> Job:
    owner = owners[i % len(owners)]
    level = scale * float(rng.uniform(0.6, 1.4))
    if i % 4 in (0, 2):
        due = START + min(months - 1, 6 + 3 * i)
        return TrainJob(id=f"train{i}", owner=owner, model="m", tokens=6e13 * level, seq=8192, batch=1.6e7,
                        dtype="bf16", earliest=START + i, due=due, value=1.5e9 * level * money,
                        late=8e7 * level * money,
                        unfinished=3e8 * level * money, least=8)
    ramp = Steps(months=tuple(START + t for t in range(1, months)),
                 values=tuple(float(np.exp(0.05 * t)) for t in range(1, months)), before=1.0)
    if i % 4 == 1:
        return ServeJob(id=f"serve{i}", owner=owner, model="m", input_tokens=1000, output_tokens=500, ttft=1.0,
                        tpot=0.05, dtype="fp8", demand=ramp.scaled(3e6 * level), unserved=4e-6 * money)
    return ResearchJob(id=f"research{i}", owner=owner, model="m", reference="sys0", unserved=money * 4.0 / 3600,
                       demand=ramp.scaled(6000 * level))


def _rates(jobs: tuple[Job, ...], machines: dict[str, System], sizes: int, scale: float) -> Rates:
    shape = (len(jobs), len(machines), sizes)
    size, work, power = np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape)
    for j, job in enumerate(jobs):
        for k, system in enumerate(machines.values()):
            speed = 1.0 if k < 2 else 2.2 * 1.25 ** (k - 2)
            chips, each = _candidates(job, system, sizes, scale)
            rate = {TrainJob: 1500.0, ServeJob: 900.0, ResearchJob: 1.0}[type(job)] * speed
            size[j, k, :len(chips)] = chips
            work[j, k, :len(chips)] = rate * chips * each
            power[j, k, :len(chips)] = chips * system.power_max / system.chips * 0.8
    why = np.where(work > 0, int(Why.OK), int(Why.TOO_MANY))
    layout = tuple(tuple(("",) * sizes for _ in machines) for _ in jobs)
    return Rates(jobs=tuple(j.id for j in jobs), systems=tuple(machines), units=tuple("token" for _ in jobs),
                 sizes=size, work_per_s=work, low=0.8 * work, high=1.2 * work, power=power,
                 goodput=np.where(work > 0, 0.95, 0.0), mfu=np.zeros(shape), why=why, layout=layout)


def _candidates(job: Job, system: System, sizes: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Gang sizes and the efficiency of each, falling slowly with size."""
    if not isinstance(job, TrainJob):
        return np.array([system.chips]), np.ones(1)
    units = np.unique(np.maximum(1, np.round(100000 * scale / system.chips * 0.5 ** np.arange(sizes))).astype(int))
    return units * system.chips, (units * system.chips / 1000.0) ** -0.04


def main() -> None:
    """Solve one instance, or the same one with several numbers of draws, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("months", 30), ("systems", 7), ("sites", 4), ("owners", 2), ("jobs", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--draws", default="5", help="one number, or several with commas between")
    parser.add_argument("--evaluate", type=int, default=0, metavar="N", help="cost the plan on N fresh draws too")
    parser.add_argument("--workers", type=int, default=1, help="threads of the evaluation")
    parser.add_argument("--gap", type=float, default=0.005)
    parser.add_argument("--method", default="")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    case = instance(months=given.months, systems=given.systems, sites=given.sites, owners=given.owners, jobs=given.jobs,
                    seed=given.seed)
    for count in (int(text) for text in given.draws.split(",")):
        measure(case, count, given)


def measure(case: Instance, count: int, given: argparse.Namespace) -> None:
    """CPU seconds and memory of one solve, and of an evaluation on fresh draws. Memory is the highest so far."""
    from exafleet.market.futures import draw
    from exafleet.plan.evaluate import evaluate
    from exafleet.plan.solve import solve_market

    began = time.process_time()

    def progress(phase: str, rounds: int, bound: float, value: float) -> None:
        if given.verbose:
            used = time.process_time() - began
            print(f"{used:7.1f} s  {phase:8s} {rounds:4d} {bound:14.6g} {value:14.6g}", flush=True)

    plan = solve_market(case.market, case.rates, draw(case.market, count, given.seed), gap=given.gap,
                        progress=progress, method=given.method)
    print(f"{count} draws, {plan.method}: {plan.status}, gap {plan.gap:.3%}, {plan.rounds} rounds, "
          f"{plan.rows:,} x {plan.columns:,}, {time.process_time() - began:.1f} CPU-s, {peak():.2f} GiB", flush=True)
    if given.evaluate:
        began = time.process_time()
        found = evaluate(case.market, case.rates, plan, draw(case.market, given.evaluate, given.seed + 1),
                         workers=given.workers)
        print(f"  {given.evaluate:,} fresh draws: mean {found.mean / abs(plan.objective):+.4f} of the objective, "
              f"{time.process_time() - began:.1f} CPU-s, {peak():.2f} GiB", flush=True)


def peak() -> float:
    """Highest memory so far. [GiB]"""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
