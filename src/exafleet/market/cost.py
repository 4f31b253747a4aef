"""What a training run, a rented cluster and a fleet of one's own cost: published rules, each in named parts.

    training_cost   Epoch's rule: price-performance decides what the hardware is worth and how fast it is used up [1]
    rented          the lines of a rented cluster, those of no bill included [2]
    owned           our own: annuities of what is bought, energy, the site, people, less what is left, by useful hour

[1] sources.csv: epoch-training-costs    [2] sources.csv: clustermax-tco
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from exafleet.facts.catalogue import Facts
from exafleet.terms.errors import FactError, MissingFact, Problem, nearest
from exafleet.terms.parts import Parts

HOUR = 3600.0
YEAR = 365.25 * 24 * HOUR
MONTH = YEAR / 12
# A cluster's bill counts months of 30 days: 4,096 GPUs at 2.00 USD/h are 5,898,240 USD/mo in [2].
BILLED_HOURS = 720.0
RULE, TIER, RUN = "epoch-cost", "clustermax-", "run-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run, as the rule sees it.

    chip_time    time of the run times its chips                                      [s]
    price        of one chip with its share of the server, on the day it was first to be had [USD/GPU]
    held         from that day to the start of the run                                [s]
    chip_share   of the price that is the chip itself                                 [1]
    power        drawn on average by one chip's share of the server                   [W]
    pue          facility power over IT power                                         [1]
    energy_price of the year                                                          [USD/J]
    """

    chip_time: float
    price: float
    held: float
    chip_share: float
    power: float
    pue: float
    energy_price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How the rule uses hardware up.

    growth   price-performance of accelerators     [decades a year]
    network  switches and cables, of the price of the whole cluster [1]
    """

    growth: float
    network: float


def worth(price: float, held: float, growth: float) -> float:
    """What hardware bought for `price` is worth after a time, newer hardware being better. [USD]

    >>> round(worth(1000.0, YEAR, 0.14), 1)
    724.4
    """
    return price * math.pow(10.0, -growth * held / YEAR)


def used_up(value: float, growth: float) -> float:
    """What hardware loses a second when it is replaced at the rate of progress. [USD/s]"""
    return value * growth * math.log(10.0) / YEAR


def training_cost(run: Run, progress: Progress) -> Parts:
    """Chips, servers, network and energy of a training run, in money of its own day. [USD]"""
    hardware = used_up(worth(run.price, run.held, progress.growth), progress.growth) * run.chip_time
    return Parts.of("USD", {
        "chips": hardware * run.chip_share,
        "servers": hardware * (1.0 - run.chip_share),
        "network": hardware * progress.network / (1.0 - progress.network),
        "energy": run.power * run.pue * run.chip_time * run.energy_price,
    })


def run_ids(facts: Facts) -> list[str]:
    """Models whose training run is known well enough to be costed."""
    return [s.id.removeprefix(RUN) for s in facts.subjects.of_kind("event")
            if s.id.startswith(RUN) and facts.try_get(f"{s.id}.chip_hours")]


def run_of(facts: Facts, model: str) -> Run:
    """The training run of a model; raises FactError for an unknown one, MissingFact for one that lacks a number."""
    known = run_ids(facts)
    wanted = next((k for k in known if k.casefold() == model.casefold().replace(" ", "-")), None)
    if wanted is None:
        raise FactError(Problem(where="MODEL", what="no training run of this model is known", got=repr(model),
                                allowed=", ".join(known), remedy=nearest(model.casefold(), known)))
    subject = RUN + wanted
    chip = facts.subjects.by_id[subject].chip
    hardware = f"epoch-{chip}"
    began, first = facts.value(f"{subject}.training_start"), facts.value(f"{hardware}.first_bought")
    power = facts.value(f"{chip}.tdp") * facts.value(f"{hardware}.server_power_ratio")
    year = date.fromordinal(int(facts.value(f"{subject}.announced"))).year
    return Run(
        chip_time=facts.value(f"{subject}.chip_hours"),
        price=facts.value(f"{hardware}.server_price"),
        held=max(0.0, began - first) * 24 * HOUR,
        chip_share=1.0 / facts.value(f"{hardware}.server_price_ratio"),
        power=power * facts.value(f"{hardware}.power_share@training"),
        pue=facts.value(f"{subject}.pue"),
        energy_price=facts.value(f"{RULE}.energy_price@industrial:{year}"),
    )


def progress_of(facts: Facts) -> Progress:
    """The constants of the rule."""
    return Progress(
        growth=facts.value(f"{RULE}.price_performance_growth"), network=facts.value(f"{RULE}.network_share")
    )


def inflation(facts: Facts, model: str, month: str) -> float:
    """Prices of a month over those of the month in which a model was published; raises MissingFact. [1]"""
    day = date.fromordinal(int(facts.value(f"{RUN}{model}.announced")))
    now, then = (facts.try_value(f"{RULE}.price_index@{m}") for m in (month, f"{day:%Y-%m}"))
    if now is None or then is None:
        known = sorted(facts.find(RULE, "price_index"))
        raise MissingFact(Problem(where="--money-of", what="no price index of that month", got=repr(month),
                                  allowed=", ".join(known)))
    return now / then


@dataclass(frozen=True, slots=True, kw_only=True)
class Rented:
    """A rented cluster.

    gpus      accelerators                                                [1]
    rent      of one                                                      [USD/s]
    lines     what else is billed or paid by the month, by name           [USD/s]
    support   uplift on everything billed                                 [1]
    goodput   of the rent, lost to failures and restarts                  [1]
    setup     paid once                                                   [USD]
    months    over which setup is spread                                  [1]
    """

    gpus: float
    rent: float
    lines: Mapping[str, float]
    support: float
    goodput: float
    setup: float
    months: float


BILLED, OFF_BILL = ("storage", "network", "control plane", "cpu"), ("debugging",)


def rented(cluster: Rented) -> Parts:
    """Monthly cost of a rented cluster, setup spread over its term; months of 30 days for the rent. [USD/mo as USD]"""
    gpu = cluster.rent * cluster.gpus * BILLED_HOURS * HOUR
    billed = {"gpu": gpu, **{n: cluster.lines.get(n, 0.0) * MONTH for n in BILLED}}
    return Parts.of("USD", {
        **billed,
        "support": cluster.support * sum(billed.values()),
        "goodput": cluster.goodput * gpu,
        "setup": cluster.setup / cluster.months,
        **{n: cluster.lines.get(n, 0.0) * MONTH for n in OFF_BILL},
    })


def tiers(facts: Facts) -> list[str]:
    """Tiers of clouds whose default case is published."""
    return [s.id.removeprefix(TIER) for s in facts.subjects.of_kind("market")
            if s.id.startswith(TIER) and facts.try_get(f"{s.id}.cluster_size")]


def tier(facts: Facts, name: str, *, gpus: float | None = None, rent: float | None = None) -> Rented:
    """The published default case of a tier; another size or rent keeps its shares for support and goodput.

    What a rate or a share was is inferred from the amounts: they are printed, it is not.
    """
    subject = TIER + name
    lines = {at: f.value for at, f in facts.find(subject, "monthly_cost").items()}
    size = facts.value(f"{subject}.cluster_size")
    gpu = lines["gpu"] * MONTH
    billed = sum(lines.get(n, 0.0) for n in ("gpu", *BILLED)) * MONTH
    return Rented(
        gpus=size if gpus is None else gpus,
        rent=gpu / (size * BILLED_HOURS * HOUR) if rent is None else rent,
        lines={n: lines.get(n, 0.0) for n in (*BILLED, *OFF_BILL)},
        support=lines.get("support", 0.0) * MONTH / billed,
        goodput=lines.get("goodput", 0.0) * MONTH / gpu,
        setup=facts.value(f"{subject}.setup_cost"),
        months=facts.value(f"{subject}.contract_length") / MONTH,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bought:
    """One part of what is bought: price [USD], life [s], and what is left of the price at its end [1]."""

    price: float
    life: float
    left: float = 0.0


def annuity(bought: Bought, interest: float) -> float:
    """Even payments over the life of what was bought, interest paid, what is left counted. [USD/s]

    interest   a year, compounded each year [1]

    >>> round(annuity(Bought(price=100.0, life=5 * YEAR), 0.0) * YEAR, 9)
    20.0
    """
    years = bought.life / YEAR
    kept = bought.left * bought.price * math.pow(1.0 + interest, -years)
    factor = 1.0 / years if interest == 0 else interest / -math.expm1(-years * math.log1p(interest))
    return (bought.price - kept) * factor / YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A fleet of one's own.

    chips         accelerators                                         [1]
    bought        what was bought, by name
    interest      a year                                               [1]
    power         drawn by the IT on average                           [W]
    pue           facility power over IT power                         [1]
    energy_price  of electricity                                       [USD/J]
    by_time       what is paid by time, by name: colocation, staff, support [USD/s]
    goodput       useful share of the time                             [1]
    growth        None for annuities; else Epoch's rule, hardware used up at the rate of progress [decades a year]
    """

    chips: float
    bought: Mapping[str, Bought]
    interest: float
    power: float
    pue: float
    energy_price: float
    by_time: Mapping[str, float]
    goodput: float
    growth: float | None = None


def owned(fleet: Owned) -> Parts:
    """Cost of one useful chip-hour; "goodput" is what hours without use add to it. [USD/GPU-h as USD]

    Annuities hold interest and what is left at the end of each life. Epoch's rule has no interest and no end: the
    newer the hardware, the more of its price it loses.
    """
    lost = {name: annuity(one, fleet.interest) if fleet.growth is None else used_up(one.price, fleet.growth)
            for name, one in fleet.bought.items()}
    rate = {**lost, "energy": fleet.power * fleet.pue * fleet.energy_price, **fleet.by_time}
    hours = {name: one * HOUR / fleet.chips for name, one in rate.items()}
    return Parts.of("USD", {**hours, "goodput": sum(hours.values()) * (1.0 / fleet.goodput - 1.0)})
