"""The scenario file as pydantic models: which keys there are, what each means and how it is written.

Everything that describes the format comes from here: reading (facts/scenario.py), the JSON Schema that editors use
(data/scenario.schema.json, written by `python -m exafleet.facts.scenario.docs`) and the tables of docs/scenario.md.
Keys and defaults are those of facts/records.py. Importing this imports pydantic: do it inside a function.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from exafleet.facts import deals, records, sharing
from exafleet.facts.scenario.kinds import (
    TABLE_SCHEMA,
    AMonth,
    Budget,
    Choice,
    Day,
    Flag,
    Id,
    Quantiles,
    Quota,
    Ref,
    Series,
    Several,
    Subject,
    Text,
)
from exafleet.facts.scenario.schema_deals import (
    AllocationKeys,
    ChannelKeys,
    FairnessKeys,
    FinanceKeys,
    LoanKeys,
    MoveKeys,
    OfferKeys,
    OpenOrderKeys,
    QueueKeys,
    RentalKeys,
    RuleKeys,
    ShareKeys,
    SwapKeys,
    TransferKeys,
)
from exafleet.facts.scenario.schema_words import (
    CHIPS,
    COOLING,
    COUNT,
    DOLLARS,
    DTYPE,
    DURATION,
    FACTOR,
    HELD,
    LATENCY,
    MODEL,
    MONTHS,
    OWNER,
    PER_MONTH,
    PER_YEAR,
    POWER,
    RENT,
    SHARE,
    SITE,
    SYSTEM,
    TOKENS,
    UNIT_PRICE,
    UNITS,
    Keys,
    key,
)
from exafleet.facts.scenario.values import FACT_SCHEMA, MEAN_MONTH, Amount, amount
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month


class ScenarioKeys(Keys):
    """What is asked: the name, the day it is asked on, the horizon and how money is counted."""

    schema_: Annotated[int, Amount(dims={"number": 1.0}, unit="1", example="1", bare=True, whole=True, low=1,
                                   high=1)] = key(
        "version of this format", default=1, alias="schema")
    name: Annotated[str, Text(most=200, example='"xAI and Tesla, December 2024"')] = key("what the plan is called")
    summary: Annotated[str | None, Text()] = key("one sentence for the reader of the plan", default=None)
    as_of: Annotated[date, Day()] = key("the day the question is asked; facts published later are not seen")
    start: Annotated[Month, AMonth()] = key("first month of the plan")
    months: Annotated[int, Amount(dims={"number": 1.0, "time": 1 / MEAN_MONTH}, unit="mo", example="24", bare=True,
                                  whole=True, low=1, high=360)] = key("length of the plan, at most 360")
    currency: Annotated[str, Choice(words=("USD", "CNY", "EUR"), example='"USD"')] = key(
        "of amounts written without one, as in \"3.0M/rack\"; every amount is converted to US dollars at the last "
        "monthly rate known on `as_of`", default="USD")
    discount: Annotated[float, PER_YEAR] = key("discount rate of money, a year")
    resale: Annotated[float | None, replace(SHARE, example='"72 %"')] = key(
        "share of its value a used unit keeps after one year; left out: the fact chip-owners.residual_share@1yr",
        default=None)
    resale_most: Annotated[Steps | None, Series(of=amount("chips", '"5,000 GPUs"', unit="chips"))] = key(
        "used chips the market takes in a month, all owners and systems together; left out: nothing is sold before "
        "the end, where what is left still counts at its used value", default=None)


class RiskKeys(Keys):
    """How uncertainty is treated: minimise (1 - weight) x mean + weight x CVaR(alpha) of the cost over the draws."""

    draws: Annotated[int, Amount(dims={"number": 1.0}, unit="1", example="5", bare=True, whole=True, low=1,
                                 high=100_000)] = key("draws of deliveries, the quoted ones being the first", default=5)
    seed: Annotated[int, Amount(dims={"number": 1.0}, unit="1", example="1", bare=True, whole=True,
                                high=2**31)] = key("seed of the draws", default=1)
    alpha: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example="0.9", bare=True, high=0.999)] = key(
        "the tail that counts: 0.9 is the worst tenth", default=0.9)
    weight: Annotated[float, SHARE] = key("weight of the tail against the mean", default=0.0)
    react: Annotated[int, replace(MONTHS, example='"3 mo"')] = key(
        "months between two looks at the order book, the first of them so long after the start; at each look what has "
        "not arrived in a draw may be cancelled or deferred there, and more ordered; 0: orders stand as placed",
        default=0)


LEFT = "left out: the fact gpu-market.{}"
VOLATILITY = Amount(dims={"number": 1.0}, unit="1", example='"20 %"', bare=True, high=5.0)
CORRELATION = Amount(dims={"number": 1.0}, unit="1", example="0.5", bare=True, low=-1.0, high=1.0)
RATIO = Amount(dims={"number": 1.0}, unit="1", example="1.3", bare=True, low=0.01, high=100.0)


def left(meaning: str, name: str) -> Any:
    """A key whose value comes from a fitted or assumed fact where it is left out."""
    return key(f"{meaning}; {LEFT.format(name)}", default=None)


class UncertaintyKeys(Keys):
    """How the future may differ from what is quoted, in the draws: everything is a share, a spread or a correlation."""

    fitted: Annotated[bool, Flag(example="false")] = key(
        "what is left out comes from the fitted facts; false: it is as quoted", default=True)
    delay_common: Annotated[float, SHARE] = left("share of the variance of delays that hits every delivery",
                                                 "delay_common")
    delay_supplier: Annotated[float, SHARE] = left("share that hits every delivery of one supplier", "delay_supplier")
    delay_system: Annotated[float, SHARE] = left("share that hits every delivery of one system", "delay_system")
    power_delay: Annotated[Spread | None, Quantiles(of=DURATION, example='["0 mo", "2 mo", "6 mo"]')] = key(
        "how much later than stated each step up of a site's power comes; left out: by `power_stretch`", default=None)
    power_stretch: Annotated[Spread | None, Quantiles(of=RATIO, example="[0.8, 1.1, 1.9]")] = key(
        "time until a step up of a site's power over the time stated, never sooner than stated; left out: the fact "
        "deliveries-site.schedule_ratio", default=None)
    power_common: Annotated[float, SHARE] = left("share of the variance of sites' delays that all sites have in common",
                                                 "power_common")
    price_volatility: Annotated[float, VOLATILITY] = left(
        "standard deviation of the log of a purchase price after one year", "price_volatility")
    price_drift: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example="-0.1", bare=True, low=-3.0,
                                         high=3.0)] = key(
        "growth of the log of purchase prices a year, in the draws, on top of what is stated", default=0.0)
    price_common: Annotated[float, SHARE] = left("share of their variance that all offers have in common",
                                                 "price_common")
    rent_volatility: Annotated[float, VOLATILITY] = left(
        "standard deviation of the log of a rental price after one year", "rent_volatility")
    rent_common: Annotated[float, SHARE] = left("share of their variance that all rentals have in common",
                                                "rent_common")
    rent_half_life: Annotated[float | None, replace(DURATION, low=86400.0, example='"18 mo"')] = key(
        "after which half of a move of rental prices is undone; left out: never", default=None)
    demand_volatility: Annotated[float, VOLATILITY] = key(
        "standard deviation of the log of demand after one year; grows with the root of time", default=0.0)
    demand_common: Annotated[float, SHARE] = key("share of its variance that all jobs have in common", default=0.0)
    rate_common: Annotated[float, SHARE] = left(
        "share of the variance of the model error of rates that all jobs have in common", "rate_common")
    failure_spread: Annotated[float, VOLATILITY] = left(
        "standard deviation of the log of how often machines fail", "failure_spread")
    resale_volatility: Annotated[float, VOLATILITY] = left(
        "standard deviation of the log of used prices after one year, beside the common move of new ones",
        "resale_volatility")
    price_with_rent: Annotated[float, CORRELATION] = left("correlation of the common shocks of the two",
                                                          "price_with_rent")
    price_with_demand: Annotated[float, CORRELATION] = key("the same", default=0.0)
    price_with_delay: Annotated[float, CORRELATION] = key("the same", default=0.0)
    rent_with_demand: Annotated[float, CORRELATION] = left("the same", "rent_with_demand")
    rent_with_delay: Annotated[float, CORRELATION] = left("the same", "rent_with_delay")
    demand_with_delay: Annotated[float, CORRELATION] = key("the same", default=0.0)
    power_with_delay: Annotated[float, CORRELATION] = left("the same", "power_with_delay")
    sample: Annotated[int, Amount(dims={"number": 1.0}, unit="1", example="2000", bare=True, whole=True, low=0,
                                  high=20_000)] = key(
        "draws from which those of the plan are chosen, each with the weight of those it stands for and the worst "
        "tenth kept; 0: as many as the plan has", default=0)


class EventKeys(Keys):
    """Something that may happen, and then hits many at once: one connector, one export rule, one late grid."""

    id: Annotated[str, Id(example='"connector"')] = key("what the answers call it")
    probability: Annotated[float, SHARE] = key("that it happens")
    either: Annotated[str | None, Text(most=200, example='"tariff of 2026"')] = key(
        "a question of which this is one outcome: exactly one of those with the same words happens, and their "
        "probabilities sum to 1", default=None)
    first: Annotated[Month | None, AMonth()] = key(
        "month from which it counts: for deliveries and power that come in it or later, for orders and rents from "
        "then on; left out: the start", default=None)
    suppliers: Annotated[Any, Several(of=Text(most=200, example='"Dell"'), example='["Dell"]')] = key(
        "whose deliveries, offers and rentals it hits; left out, and no systems either: everybody's", default=())
    systems: Annotated[Any, Several(of=HELD, example='["gb200-nvl72"]')] = key("which systems it hits", default=())
    sites: Annotated[Any, Several(of=SITE, example='["memphis"]')] = key("whose power it hits; left out: every site",
                                                                         default=())
    delay: Annotated[Spread | None, Quantiles(of=DURATION, example='"3 mo"')] = key(
        "how much later those deliveries come", default=None)
    power_delay: Annotated[Spread | None, Quantiles(of=DURATION, example='"6 mo"')] = key(
        "how much later the power of those sites comes", default=None)
    ban: Annotated[bool, Flag()] = key("nothing of those is delivered any more; what was paid comes back",
                                       default=False)
    price: Annotated[float, replace(RATIO, example="1.25")] = key("factor on their purchase prices", default=1.0)
    rent: Annotated[float, replace(RATIO, example="1.5")] = key("factor on their rental prices", default=1.0)
    demand: Annotated[float, replace(RATIO, low=0.0, example="0.7")] = key("factor on all demand", default=1.0)


class OwnerKeys(Keys):
    """Who pays and who uses."""

    id: Annotated[str, Id(example='"xai"')] = key("what the other records call this owner")
    name: Annotated[str | None, Text(most=200)] = key("in full; left out: the id", default=None)
    budget: Annotated[Any, Budget(of=DOLLARS, example='{ "2025-01" = "$4.0B" }')] = key(
        'money by the month it becomes available; a single sum is available at the start; "unlimited" or left out: no '
        "limit", default=None)
    quota: Annotated[Any, Quota(of=Series(of=POWER), example='{ memphis = "100 MW" }')] = key(
        "facility power this owner may use, by site; sites not named: no limit", default=())
    priority: Annotated[float, FACTOR] = key("weight of this owner's penalties against the other owners'", default=1.0)
    book: Annotated[str, Id(example='"group"')] = key(
        "a book shared with every owner that names the same; left out: a book of its own, from which nobody else's "
        "units are paid unless a loan or transfer says so", default="")
    tier: Annotated[int, Amount(dims={"number": 1.0}, unit="1", example="2", bare=True, whole=True, low=1,
                                high=20)] = key("1 is served before 2, where fairness goes by tiers", default=1)
    weight: Annotated[float, replace(FACTOR, high=1e6)] = key(
        "share against the other owners', where fairness is max-min or proportional", default=1.0)


class SiteKeys(Keys):
    """A place with power."""

    id: Annotated[str, Id()] = key("what the other records call this site")
    name: Annotated[str | None, Text(most=200)] = key("in full; left out: the id", default=None)
    power: Annotated[Steps, Series(of=POWER, example='{ "2025-01" = "150 MW", "2025-07" = "250 MW" }')] = key(
        "limit at the meter, cooling included; zero before its first month")
    cooling: Annotated[Any, Several(of=Choice(words=COOLING), empty=False, example='["air", "liquid"]')] = key(
        "kinds of cooling there are")
    install_rate: Annotated[float, amount("install_rate", '"4 racks/day"', unit="racks/s")] = key(
        "rack positions that can be installed; a server may take a fraction of one")
    pue: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example="1.2", bare=True, low=1.0, high=3.0)] = key(
        "facility power over IT power")
    energy_price: Annotated[Steps | None, Series(of=amount("energy_price", '"$60/MWh"', unit="USD/J"),
                                                 capacity=False)] = key(
        "of electricity; left out: the newest fact energy_price of `region`", default=None)
    carbon: Annotated[Steps | None, Series(of=amount("carbon_intensity", '"400 g/kWh"', unit="kg/J"),
                                           capacity=False)] = key(
        "emissions of the electricity; left out: the newest fact carbon_intensity of `grid`", default=None)
    region: Annotated[str | None, Subject(kind="site", example='"site-us-texas"')] = key(
        "place whose energy price the facts know", default=None)
    grid: Annotated[str | None, Subject(kind="site", example='"grid-us-tex-erco"')] = key(
        "grid whose carbon intensity the facts know", default=None)
    rent: Annotated[float, amount("power_rent", '"$150/kW/mo"', unit="USD/W/s")] = key(
        "of powered space, on facility power in use", default=0.0)
    owners: Annotated[Any, Several(of=OWNER, example='["xai", "tesla"]')] = key(
        "who may install here; left out: everybody", default=())


class HoldingKeys(Keys):
    """Units owned and installed when the plan starts."""

    owner: Annotated[str, OWNER] = key("whose")
    site: Annotated[str, SITE] = key("where")
    system: Annotated[str, HELD] = key("what")
    units: Annotated[int, UNITS] = key("how many; accelerators count by the unit's number of them")
    bought: Annotated[Month, AMonth(example='"2024-08"')] = key("month of purchase")
    price: Annotated[float | None, UNIT_PRICE] = key(
        "what one unit cost; left out: the newest fact unit_price up to the month of purchase", default=None)


class JobKeys(Keys):
    """What every job has."""

    id: Annotated[str, Id(example='"grok-3"')] = key("what the plan calls it")
    owner: Annotated[str, OWNER] = key("whose work it is")
    model: Annotated[str, MODEL] = key("architecture of the facts, or of a facts.csv beside the scenario")
    systems: Annotated[Any, Several(of=SYSTEM, example='["gb200-nvl72"]')] = key(
        "systems it may run on; left out: any", default=())
    sites: Annotated[Any, Several(of=SITE, example='["memphis"]')] = key("sites it may run at; left out: any",
                                                                         default=())
    rent: Annotated[bool, Flag()] = key("it may run on rented accelerators", default=True)


class TrainKeys(JobKeys):
    """A training run."""

    kind: Literal["train"] = key('"train"')
    tokens: Annotated[float | None, TOKENS] = key("to train on; either this or `flops`", default=None)
    flops: Annotated[float | None, amount("flop", '"1e26 FLOP"', unit="FLOP", low=1.0)] = key(
        "to train with, counted as 6 x active parameters x tokens, with the parameters as published", default=None)
    seq: Annotated[int, COUNT] = key("sequence length in tokens")
    batch: Annotated[float, TOKENS] = key(
        "global batch; tokens that are no whole number of sequences become the number of sequences within 5 % that "
        "divides best (racks of 72 share a batch evenly when it has a factor of nine)")
    dtype: Annotated[str, DTYPE] = key("of the matrix products; lower precision is never assumed")
    earliest: Annotated[Month | None, AMonth()] = key("month it can start; left out: the start", default=None)
    due: Annotated[Month, AMonth()] = key("month by whose end it should be done")
    value: Annotated[float, DOLLARS] = key("earned when done within the plan", default=0.0)
    late: Annotated[float, PER_MONTH] = key("penalty of one month's lateness", default=0.0)
    unfinished: Annotated[float, DOLLARS] = key("penalty when not done within the plan", default=0.0)
    least: Annotated[int, CHIPS] = key("fewest accelerators it runs on", default=1)
    most: Annotated[int, CHIPS] = key("most accelerators it runs on; 0 is no limit", default=0)
    required: Annotated[bool, Flag(example="false")] = key(
        "it must be done by `due` if everything comes as quoted, or there is no plan", default=False)


class ServeKeys(JobKeys):
    """A service at a latency target."""

    kind: Literal["serve"] = key('"serve"')
    input_tokens: Annotated[int, COUNT] = key("tokens of a mean request")
    output_tokens: Annotated[int, COUNT] = key("tokens of a mean answer")
    ttft: Annotated[float, LATENCY] = key("target of the time to the first token")
    tpot: Annotated[float, LATENCY] = key("target of the time per output token")
    dtype: Annotated[str, DTYPE] = key("of the matrix products and weights")
    kv_dtype: Annotated[str, DTYPE] = key("of the key-value cache", default="bf16")
    demand: Annotated[Steps, Series(of=amount("token_rate", '"20 ktokens/s"', unit="tokens/s"))] = key(
        "output tokens; zero before its first month")
    unserved: Annotated[float, amount("token_price", '"$5/Mtoken"', unit="USD/token")] = key(
        "penalty of output tokens not served")


class ResearchKeys(JobKeys):
    """A baseline load in hours of a reference system; other systems count by their speed on the model."""

    kind: Literal["research"] = key('"research"')
    reference: Annotated[str, HELD] = key("system whose accelerators the demand is counted in")
    demand: Annotated[Steps, Series(of=Amount(dims={"chips": 1.0, "gpu_rate": 1.0}, unit="chips",
                                              example='"30k GPU-hours/mo"'))] = key(
        "accelerators kept busy, or their hours a month; zero before its first month")
    unserved: Annotated[float, RENT] = key("penalty of a reference accelerator's time not served")
    dtype: Annotated[str, DTYPE] = key("of the matrix products", default="bf16")


class ArrivedKeys(Keys):
    """What really came when; only `exafleet backtest` lives by it, and a plan never sees what is dated later."""

    offer: Annotated[str, Ref(to="offers", example='"gb200-list"')] = key(
        "offer that was ordered from; either this or `order`", default="")
    ordered: Annotated[Month, AMonth()] = key(
        "month of order, and every later one until the next such record", default=0)
    order: Annotated[str, Ref(to="open_orders", example='"hopper-h200"')] = key("open order that came", default="")
    arrived: Annotated[Month, AMonth(example='"2025-07"')] = key("month it came")


class ReportedKeys(Keys):
    """What somebody is reported to have had installed; nothing plans with it, `exafleet backtest` prints it beside."""

    owner: Annotated[str, OWNER] = key("whose")
    site: Annotated[str, SITE] = key("where")
    system: Annotated[str, HELD] = key("what")
    units: Annotated[int, UNITS] = key("how many stood there; accelerators count by the unit's number of them")
    month: Annotated[Month, AMonth()] = key("from this month on, until the next report of the same")
    spent: Annotated[float, DOLLARS] = key("what the site is reported to have cost by then", default=0.0)


class FactsKeys(Keys):
    """Own facts, which win over the package's. facts.csv and subjects.csv beside the scenario are always read."""

    files: Annotated[Any, Several(of=Text(example='"quotes.csv"'), example='["quotes.csv"]')] = key(
        "more tables of facts beside the scenario", default=())
    set: dict[str, Any] = key(
        'facts by key: "h100-sxm.hbm_bw" = "3.2 TB/s", or { value = "3.2 TB/s", source = "own measurement" }',
        default_factory=dict, json_schema_extra={"example": '{ "h100-sxm.hbm_bw" = "3.2 TB/s" }'})


class TablesKeys(Keys):
    """Arrays kept as CSV files beside the scenario, one row per record with the keys as columns."""

    owners: Annotated[str | None, Text()] = key("file of [[owners]]", default=None)
    sites: Annotated[str | None, Text()] = key("file of [[sites]]", default=None)
    holdings: Annotated[str | None, Text()] = key("file of [[holdings]]", default=None)
    offers: Annotated[str | None, Text(example='"offers.csv"')] = key("file of [[offers]]", default=None)
    open_orders: Annotated[str | None, Text()] = key("file of [[open_orders]]", default=None)
    rentals: Annotated[str | None, Text()] = key("file of [[rentals]]", default=None)
    jobs: Annotated[str | None, Text()] = key("file of [[jobs]]", default=None)
    loans: Annotated[str | None, Text()] = key("file of [[loans]]", default=None)
    moves: Annotated[str | None, Text()] = key("file of [[moves]]", default=None)
    sharing: Annotated[str | None, Text()] = key("file of [[sharing]]", default=None)
    transfers: Annotated[str | None, Text()] = key("file of [[transfers]]", default=None)
    swaps: Annotated[str | None, Text()] = key("file of [[swaps]]", default=None)
    allocations: Annotated[str | None, Text()] = key("file of [[allocations]]", default=None)
    events: Annotated[str | None, Text()] = key("file of [[events]]", default=None)
    finance: Annotated[str | None, Text()] = key("file of [[finance]]", default=None)
    rules: Annotated[str | None, Text()] = key("file of [[rules]]", default=None)
    channels: Annotated[str | None, Text()] = key("file of [[channels]]", default=None)
    arrived: Annotated[str | None, Text()] = key("file of [[arrived]]", default=None)
    reported: Annotated[str | None, Text()] = key("file of [[reported]]", default=None)


Job = Annotated[TrainKeys | ServeKeys | ResearchKeys, Field(discriminator="kind")]


class File(Keys):
    """A question for exafleet: who owns what, what can be had when and for how much, and what is to be done."""

    scenario: ScenarioKeys
    sources: dict[str, str] = key("texts that comments and facts refer to, by a short id", default_factory=dict)
    facts: FactsKeys | None = None
    tables: TablesKeys | None = None
    risk: RiskKeys | None = None
    uncertainty: UncertaintyKeys | None = None
    fairness: FairnessKeys | None = None
    owners: list[OwnerKeys] = Field(default_factory=list)
    sites: list[SiteKeys] = Field(default_factory=list)
    holdings: list[HoldingKeys] = Field(default_factory=list)
    offers: list[OfferKeys] = Field(default_factory=list)
    open_orders: list[OpenOrderKeys] = Field(default_factory=list)
    rentals: list[RentalKeys] = Field(default_factory=list)
    jobs: list[Job] = Field(default_factory=list)
    loans: list[LoanKeys] = Field(default_factory=list)
    moves: list[MoveKeys] = Field(default_factory=list)
    sharing: list[ShareKeys] = Field(default_factory=list)
    transfers: list[TransferKeys] = Field(default_factory=list)
    swaps: list[SwapKeys] = Field(default_factory=list)
    allocations: list[AllocationKeys] = Field(default_factory=list)
    events: list[EventKeys] = Field(default_factory=list)
    finance: list[FinanceKeys] = Field(default_factory=list)
    rules: list[RuleKeys] = Field(default_factory=list)
    channels: list[ChannelKeys] = Field(default_factory=list)
    arrived: list[ArrivedKeys] = Field(default_factory=list)
    reported: list[ReportedKeys] = Field(default_factory=list)


JOBS: Mapping[str, tuple[type[Keys], type]] = {
    "train": (TrainKeys, records.TrainJob),
    "serve": (ServeKeys, records.ServeJob),
    "research": (ResearchKeys, records.ResearchJob),
}
ARRAYS: Mapping[str, tuple[type[Keys], type]] = {
    "owners": (OwnerKeys, records.Owner),
    "sites": (SiteKeys, records.Site),
    "holdings": (HoldingKeys, records.Holding),
    "offers": (OfferKeys, deals.Offer),
    "open_orders": (OpenOrderKeys, deals.OpenOrder),
    "rentals": (RentalKeys, deals.Rental),
    "jobs": (JobKeys, object),
    "loans": (LoanKeys, sharing.Loan),
    "moves": (MoveKeys, records.Move),
    "sharing": (ShareKeys, sharing.Share),
    "transfers": (TransferKeys, sharing.Transfer),
    "swaps": (SwapKeys, sharing.Swap),
    "allocations": (AllocationKeys, deals.Allocation),
    "events": (EventKeys, records.Event),
    "finance": (FinanceKeys, deals.Finance),
    "rules": (RuleKeys, deals.TradeRule),
    "channels": (ChannelKeys, deals.Channel),
    "arrived": (ArrivedKeys, records.Arrived),
    "reported": (ReportedKeys, records.Reported),
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a scenario file, for editors and other programs."""
    schema = _pruned(File.model_json_schema(by_alias=True))
    schema["$defs"] |= {"fact": FACT_SCHEMA, "table": TABLE_SCHEMA}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "exafleet scenario", **schema}


def _pruned(node: Any) -> Any:
    """Without what only Python sees: titles made from class names, and null, which TOML cannot write."""
    if isinstance(node, list):
        return [_pruned(value) for value in node if value != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    if node in (FACT_SCHEMA, TABLE_SCHEMA):
        return {"$ref": "#/$defs/fact" if node == FACT_SCHEMA else "#/$defs/table"}
    kept = {k: _pruned(v) for k, v in node.items()
            if k != "title" and not (k == "default" and v in (None, (), [], {}))}
    only = kept.pop("anyOf") if len(kept.get("anyOf", ())) == 1 else []
    return {**only[0], **kept} if only else kept


def schema_text() -> str:
    """Contents of data/scenario.schema.json."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def sections() -> Iterator[tuple[str, type[Keys]]]:
    """Every table of a scenario with its heading, in the order of the docs."""
    yield "[scenario]", ScenarioKeys
    yield "[risk]", RiskKeys
    yield "[uncertainty]", UncertaintyKeys
    yield "[fairness]", FairnessKeys
    yield from ((f"[[{name}]]", keys) for name, (keys, _) in ARRAYS.items() if name != "jobs")
    yield "queue (of an offer)", QueueKeys
    yield from ((f'[[jobs]] kind = "{kind}"', keys) for kind, (keys, _) in JOBS.items())
    yield "[facts]", FactsKeys
    yield "[tables]", TablesKeys
