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

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from exafleet.facts import records
from exafleet.facts.records import Spread, Steps
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
    Term,
    Text,
    Tiers,
)
from exafleet.facts.scenario.rows import Inner, Payments, Rows, Shares
from exafleet.facts.scenario.values import FACT_SCHEMA, MEAN_MONTH, Amount, Kind, amount
from exafleet.terms.calendar import Month
from exafleet.terms.units import DATA

YEAR = 12 * MEAN_MONTH
SCHEMA_FILE = DATA / "scenario.schema.json"
DTYPES = ("bf16", "fp8", "fp4", "int8", "tf32", "fp6")
COOLING = ("air", "liquid")

POWER = amount("power", '"150 MW"', unit="W")
DURATION = amount("time", '"8 wk"', unit="s")
MONTHS = Amount(dims={"time": 1 / MEAN_MONTH}, unit="mo", example='"2 mo"', bare=True, whole=True, high=1200)
SHARE = Amount(dims={"number": 1.0}, unit="1", example='"30 %"', bare=True, high=1.0)
FACTOR = Amount(dims={"number": 1.0}, unit="1", example="1.2", bare=True)
PER_YEAR = Amount(dims={"rate": YEAR}, unit="1/yr", example='"12 %/yr"', high=10.0)
DOLLARS = amount("money", '"$4.0B"', unit="USD")
PER_MONTH = Amount(dims={"money_rate": MEAN_MONTH}, unit="USD/mo", example='"$200k/mo"')
UNIT_PRICE = Amount(dims={"price_per_unit": 1.0, "price_per_chip": 1.0}, chips={"price_per_chip": 1}, unit="USD/unit",
                    example='"$3.0M/rack"')
RENT = amount("rent", '"$2.20/GPU-hr"', unit="USD/GPU-s")
UNITS = Amount(dims={"system_units": 1.0, "chips": 1.0}, chips={"chips": -1}, unit="units", example='"12,500 units"',
               bare=True, whole=True)
SOME_UNITS = Amount(dims={"system_units": 1.0, "chips": 1.0}, chips={"chips": -1}, unit="units", example='"200 racks"')
PACE = Amount(dims={"install_rate": MEAN_MONTH, "system_units": 1.0}, unit="units/mo", example='"200 racks/mo"')
CHIPS = Amount(dims={"chips": 1.0}, unit="chips", example='"256 GPUs"', bare=True, whole=True)
LENT = amount("chips", '"12,000 GPUs"', unit="chips")
COUNT = Amount(dims={"number": 1.0, "tokens": 1.0}, unit="tokens", example="8192", bare=True, whole=True, low=1)
TOKENS = amount("tokens", '"1.5T tokens"', unit="tokens", low=1.0)
LATENCY = amount("time", '"50 ms"', unit="s", low=1e-9)
OWNER, SITE = Ref(to="owners", example='"xai"'), Ref(to="sites", example='"memphis"')
HELD = Subject(kind="system", complete=True, example='"gb200-nvl72"')
SYSTEM = Subject(kind="system", example='"gb200-nvl72"')
MODEL = Subject(kind="model", example='"llama-3.1-405b"')
DTYPE = Choice(words=DTYPES, example='"bf16"')


class Keys(BaseModel):
    """Keys of one TOML table; an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def key(meaning: str, *, default: Any = ..., **more: Any) -> Any:
    """A key with its meaning; without a default it must be given."""
    return Field(default=default, description=meaning, **more)


def kind_of(info: FieldInfo) -> Kind | None:
    """How a key's value is written."""
    return next((m for m in info.metadata if isinstance(m, Kind)), None)


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


class QueueKeys(Keys):
    """A better place in the queue."""

    premium: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example='"10 %"', bare=True, high=10.0)] = key(
        "share of the price paid more")
    sooner: Annotated[float, DURATION] = key("how much earlier those units come")
    units: Annotated[float, SOME_UNITS] = key("most units that can jump the queue")


PLACE = '{ premium = "5 %", sooner = "1 mo", units = 50 }'
QUEUES = Rows(example=f'[{PLACE}, {{ premium = "12 %", sooner = "3 mo", units = 20 }}]', of=Inner(
    make=records.Queue, example=PLACE,
    keys={name: kind for name, info in QueueKeys.model_fields.items() if (kind := kind_of(info)) is not None}))
FRAMEWORK = Inner(make=records.Framework, example='{ units = "500 racks", penalty = "20 %" }', defaults={"owner": ""},
                  keys={"units": SOME_UNITS, "penalty": SHARE, "owner": OWNER})
CHANGE = Rows(example='[{ to = "gb300-list", fee = "5 %", most = "40 %" }]', of=Inner(
    make=records.Conversion, example='{ to = "gb300-list", fee = "5 %", most = "40 %" }',
    defaults={"fee": 0.0, "most": 1.0},
    keys={"to": Ref(to="offers", example='"gb300-list"'), "fee": SHARE, "most": SHARE}))


class OfferKeys(Keys):
    """A supplier's offer of whole units of one system."""

    id: Annotated[str, Id(example='"gb200-dell"')] = key("what the order book calls this offer")
    supplier: Annotated[str, Text(most=200, example='"Dell"')] = key("who sells")
    system: Annotated[str, HELD] = key("what is sold")
    price: Annotated[Steps | None, Series(of=UNIT_PRICE, capacity=False,
                                          example='{ "2025-01" = "$3.0M/rack", "2025-07" = "$2.8M/rack" }')] = key(
        "of one unit by month of order, or per accelerator; left out: the newest fact unit_price", default=None)
    first: Annotated[Month | None, AMonth()] = key("first month orders are taken; left out: the start", default=None)
    last: Annotated[Month | None, AMonth()] = key("last month orders are taken; left out: the end", default=None)
    lead: Annotated[Spread | None, Quantiles(of=DURATION, example='["6 wk", "8 wk", "20 wk"]')] = key(
        "order to arrival: certain, or 10 %, 50 % and 90 % quantiles; left out: the newest fact lead_time",
        default=None)
    supply: Annotated[Steps, Series(of=PACE)] = key("most units that arrive in a month; zero before its first month")
    total: Annotated[float | None, SOME_UNITS] = key(
        "most units over the whole plan; left out: what `supply` adds up to", default=None)
    deposit: Annotated[float, SHARE] = key("share of the price paid at order; the rest on arrival", default=0.0)
    payments: Annotated[Any, Payments(share=SHARE, example='[{ at = "order", share = "30 %" }, { at = "2 mo before '
                                      'arrival", share = "50 %" }, { at = "arrival", share = "20 %" }]')] = key(
        "instalments that add up to the price, in place of `deposit`: at order, months after it, months before or "
        "after arrival, on arrival", default=())
    least: Annotated[int, UNITS] = key("fewest units of one order; 0: any number", default=0)
    multiple: Annotated[int, UNITS] = key("orders come in whole multiples of so many units", default=1)
    framework: Annotated[Any, FRAMEWORK] = key(
        "a total that was promised: units still missing at the end cost `penalty` of the last price, paid by `owner`, "
        "who must be named unless one owner alone may order", default=None)
    cancel: Annotated[float, SHARE] = key("share of the price lost when cancelled before arrival", default=1.0)
    tiers: Annotated[Any, Tiers(size=UNITS, example='[{ from = "100 racks", price = "-5 %" }]', price=Amount(
        dims={"number": 1.0}, unit="1", example='"-5 %"', bare=True, low=-0.99, high=10.0))] = key(
        "change of the price of the whole order from a size on", default=())
    queue: QueueKeys | None = key("a better place in the queue for a premium", default=None)
    queues: Annotated[Any, QUEUES] = key("several places in the queue, in place of `queue`: each its premium, how much "
                                         "sooner its units come, and how many there are", default=())
    fitting: Annotated[float, replace(UNIT_PRICE, example='"$450k/rack"')] = key(
        "shipping, network and installation of one unit", default=0.0)
    owners: Annotated[Any, Several(of=OWNER, example='["xai"]')] = key("who may order; left out: everybody", default=())


class OpenOrderKeys(Keys):
    """An order placed before the plan starts: it can be kept, deferred or cancelled."""

    id: Annotated[str, Id(example='"h200-ordered"')] = key("what the order book calls it")
    owner: Annotated[str, OWNER] = key("who ordered")
    supplier: Annotated[str, Text(most=200, example='"Dell"')] = key("from whom")
    system: Annotated[str, HELD] = key("what")
    units: Annotated[int, UNITS] = key("how many; accelerators count by the unit's number of them")
    promised: Annotated[Month, AMonth()] = key("month the supplier quoted")
    price: Annotated[float | None, UNIT_PRICE] = key("of one unit; left out: the newest fact unit_price", default=None)
    paid: Annotated[float, SHARE] = key("share of the price already paid")
    slip: Annotated[Spread, Quantiles(of=DURATION, example='["0 wk", "4 wk", "13 wk"]')] = key(
        "how much later than promised: certain, or 10 %, 50 % and 90 % quantiles")
    cancel: Annotated[float, SHARE] = key("share of the price lost when cancelled", default=1.0)
    defer: Annotated[float, Amount(dims={"unit_cost_rate": MEAN_MONTH}, unit="USD/unit/mo",
                                   example='"$2,000/unit/mo"')] = key("cost of one unit one month later", default=0.0)
    most_deferral: Annotated[int, MONTHS] = key("longest deferral", default=12)
    change: Annotated[Any, CHANGE] = key(
        "offers into which units of this order may be changed now: `fee` is the share of the old price that is lost, "
        "what was paid beyond it counts towards the new price; `most` is a share of the order; they come after the new "
        "offer's lead time, and out of its supply", default=())


class RentalKeys(Keys):
    """Accelerators rented in somebody else's building."""

    id: Annotated[str, Id(example='"h100-one-year"')] = key("what the plan calls it")
    provider: Annotated[str, Text(most=200, example='"Oracle"')] = key("who rents out")
    system: Annotated[str, HELD] = key("what")
    term: Annotated[int, Term(of=Amount(dims={"time": 1 / MEAN_MONTH}, unit="mo", example='"12 mo"', bare=True,
                                        whole=True, low=1, high=1200), example='"12 mo" or "on demand"')] = key(
        'length of one contract; "on demand" is one month')
    price: Annotated[Steps | None, Series(of=RENT, capacity=False)] = key(
        "of one accelerator by month the contract starts; left out: the newest fact rent of the chip at this term",
        default=None)
    most: Annotated[Steps, Series(of=LENT)] = key(
        "accelerators that can be rented at once; zero before its first month")
    first: Annotated[Month | None, AMonth()] = key("first month contracts start; left out: the start", default=None)
    last: Annotated[Month | None, AMonth()] = key("last month contracts start; left out: the end", default=None)
    block: Annotated[int, Amount(dims={"chips": 1.0}, unit="chips", example='"64 GPUs"', bare=True, whole=True,
                                 low=1)] = key("accelerators of one contract", default=8)
    wait: Annotated[int, MONTHS] = key("from signing to use", default=0)
    owners: Annotated[Any, Several(of=OWNER, example='["xai"]')] = key("who may rent; left out: everybody", default=())
    factor: Annotated[float, replace(SHARE, example='"42 %"')] = key(
        "on the price: what spot or preemptible capacity costs over the price given or known", default=1.0)
    take: Annotated[float, replace(SHARE, example='"70 %"')] = key(
        "take or pay: share of a contract that is paid whether it is used or not", default=1.0)
    over: Annotated[Steps | None, Series(of=RENT, capacity=False)] = key(
        "of one accelerator used beyond that share; left out: `price` in the month of use", default=None)
    prepay: Annotated[float, replace(SHARE, example='"20 %"')] = key(
        "share of what a contract commits to that is paid at signing", default=0.0)
    interruptions: Annotated[float, amount("rate", '"0.5 1/d"', unit="1/s")] = key(
        "how often everything rented here is taken away and comes back", default=0.0)
    lost: Annotated[float, replace(DURATION, example='"30 min"')] = key(
        "work lost at each interruption: since the last checkpoint, and starting anew", default=0.0)


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


NOTICE = key("from asking lent accelerators back to having them; they stay lent, and paid, at least that long",
             default=0)
RESTART = key("work of each lent accelerator that is lost when it goes back: since the last checkpoint, and starting "
              "anew", default=0.0)


class LoanKeys(Keys):
    """Leave for one owner to use another's accelerators where they stand."""

    lender: Annotated[str, OWNER] = key("whose they are")
    borrower: Annotated[str, OWNER] = key("who may use them")
    price: Annotated[float, RENT] = key("paid to the lender for one accelerator")
    most: Annotated[Steps, Series(of=LENT)] = key("accelerators lent at once; zero before its first month")
    systems: Annotated[Any, Several(of=HELD, example='["hgx-h100"]')] = key("what may be lent; left out: everything",
                                                                            default=())
    notice: Annotated[int, MONTHS] = NOTICE
    restart: Annotated[float, replace(DURATION, example='"12 h"')] = RESTART


class MoveKeys(Keys):
    """Units can be moved from one site to another."""

    start: Annotated[str, SITE] = key("from")
    end: Annotated[str, SITE] = key("to")
    cost: Annotated[float, amount("price_per_unit", '"$10,000/unit"', unit="USD/unit")] = key("of one unit")
    months: Annotated[int, MONTHS] = key("without use")
    most: Annotated[float, PACE] = key("units a month")


class ShareKeys(Keys):
    """An owner's part in a cohort, whose members lend each other the systems that both name."""

    owner: Annotated[str, OWNER] = key("whose part")
    cohort: Annotated[str, Id(example='"group"')] = key("which cohort; owners that name the same one are its members")
    systems: Annotated[Any, Several(of=HELD, example='["hgx-h100"]')] = key("of this part; left out: every system",
                                                                            default=())
    nominal: Annotated[Steps | None, Series(of=LENT)] = key(
        "accelerators this owner may call its own; left out: what it owns", default=None)
    borrowing_limit: Annotated[Steps | None, Series(of=LENT)] = key(
        "most it uses beyond `nominal`, or, without it, most of others' accelerators it uses; left out: no limit",
        default=None)
    lending_limit: Annotated[Steps | None, Series(of=LENT)] = key(
        "most of its own accelerators that others use at once; left out: no limit", default=None)
    price: Annotated[Steps | None, Series(of=RENT, capacity=False)] = key(
        "paid to this owner for one lent accelerator, from book to book", default=None)
    market_share: Annotated[float, replace(SHARE, example='"80 %"')] = key(
        "the same price as a share of the cheapest rent on demand of the system in that month", default=0.0)
    notice: Annotated[int, MONTHS] = NOTICE
    restart: Annotated[float, replace(DURATION, example='"12 h"')] = RESTART


class TransferKeys(Keys):
    """Installed units, or places in the delivery queue, that one owner may pass on to another."""

    id: Annotated[str, Id(example='"h100-down"')] = key("what the plan calls it")
    kind: Annotated[str, Choice(words=("units", "slot"), example='"units"')] = key(
        '"units": installed units, as things arrive; "slot": units on order, decided now')
    seller: Annotated[str, OWNER] = key("whose they are")
    buyer: Annotated[str, OWNER] = key("whose they become")
    system: Annotated[str, HELD] = key("what")
    most: Annotated[Steps, Series(of=Amount(
        dims={"system_units": 1.0, "chips": 1.0, "install_rate": MEAN_MONTH}, chips={"chips": -1}, unit="units",
        example='"500 units"'))] = key("units in a month; of slots, units in all; zero before its first month")
    orders: Annotated[Any, Several(of=Id(example='"gb200-first-lot"'), example='["gb200-first-lot"]')] = key(
        "open orders and offers whose slots may go; left out: all of the seller's of this system", default=())
    price: Annotated[Steps | None, Series(of=UNIT_PRICE, capacity=False)] = key(
        "of one unit, paid to the seller; left out: the used price of units, what has been paid for a slot",
        default=None)
    start: Annotated[str | None, SITE] = key("site the units leave; left out: any", default=None)
    end: Annotated[str | None, SITE] = key("site they go to; left out: the one they stand at", default=None)
    cost: Annotated[float, amount("price_per_unit", '"$10,000/unit"', unit="USD/unit")] = key(
        "of moving and connecting one unit, paid by the buyer", default=0.0)
    months: Annotated[int, MONTHS] = key("without use", default=0)


class SwapKeys(Keys):
    """Places in the delivery queue that two owners may exchange, unit for unit."""

    id: Annotated[str, Id(example='"january-for-june"')] = key("what the plan calls it")
    first: Annotated[str, Ref(to="open_orders", example='"tesla-june"')] = key("open order of one owner")
    second: Annotated[str, Ref(to="open_orders", example='"xai-january"')] = key(
        "open order of the other, of the same system")
    most: Annotated[float, SOME_UNITS] = key("units that may be exchanged")
    price: Annotated[float, replace(UNIT_PRICE, low=-1e12)] = key(
        "paid for one unit by the owner of `first` to the owner of `second`; may be negative", default=0.0)


class FairnessKeys(Keys):
    """What is done for the owner who comes off worst."""

    rule: Annotated[str, Choice(words=("none", "tiers", "max-min", "proportional"), example='"max-min"')] = key(
        'none; "tiers": the owners of tier 1 are served before those of tier 2; "max-min": the least useful work of an '
        'owner, over what it would have alone; "proportional": every owner has its weight\'s share of what it would '
        "have with everything", default="none")
    price: Annotated[float | None, DOLLARS] = key(
        "worth of one whole unit of that share; left out: what all the work stated is worth", default=None)
    alone: Annotated[bool, Flag()] = key(
        "plan each owner by itself as well, to say what sharing is worth to it; max-min and proportional always do",
        default=False)


class AllocationKeys(Keys):
    """A pool that several offers draw on, because one factory or one foundry makes them all."""

    id: Annotated[str, Id(example='"cowos"')] = key("what the plan calls it")
    offers: Annotated[Any, Several(of=Ref(to="offers", example='"gb200-list"'), empty=False,
                                   example='["gb200-list", "gb300-list"]')] = key("offers that draw on it")
    most: Annotated[Steps, Series(of=LENT)] = key(
        "accelerators that arrive from these offers in a month, as quoted, for all owners together; zero before its "
        "first month")
    shares: Annotated[Any, Shares(owner=OWNER, share=SHARE, example='{ xai = "60 %" }')] = key(
        "most of the pool that an owner may have; owners not named: all of it", default=())


class FinanceKeys(Keys):
    """Somebody else's money for units that are ordered: a loan on them, or a lease. Which units, the plan says."""

    id: Annotated[str, Id(example='"ddtl"')] = key("what the plan calls it")
    kind: Annotated[str, Choice(words=("loan", "lease"), example='"loan"')] = key(
        '"loan": a share of the price is lent when a unit arrives; "lease": the lessor pays the whole price then')
    lender: Annotated[str, Text(most=200, example='"a bank"')] = key("who lends or leases")
    term: Annotated[int, replace(MONTHS, low=1, example='"60 mo"')] = key("from arrival to the last payment")
    owners: Annotated[Any, Several(of=OWNER, example='["xai"]')] = key("who may use it; left out: everybody",
                                                                       default=())
    offers: Annotated[Any, Several(of=Ref(to="offers", example='"gb200-list"'), example='["gb200-list"]')] = key(
        "whose units it may pay for; left out: every offer", default=())
    advance: Annotated[float, replace(SHARE, example='"80 %"')] = key("share of the price that a loan lends",
                                                                      default=1.0)
    rate: Annotated[float | None, replace(PER_YEAR, example='{ fact = "coreweave-ddtl-2.interest_rate" }')] = key(
        "interest a year, charged monthly as a twelfth; in place of `base` and `spread`", default=None)
    base: Annotated[float | None, replace(PER_YEAR, example='{ fact = "sofr.interest_rate@2024-12" }')] = key(
        "of a floating rate, held as it is: nobody publishes what it will be", default=None)
    spread: Annotated[float | None, replace(PER_YEAR, example='"6 %/yr"')] = key("on top of `base`", default=None)
    interest_only: Annotated[int, MONTHS] = key("months at the beginning in which a loan pays interest alone",
                                                default=0)
    fee: Annotated[float, SHARE] = key("share of what is paid out, when it is paid out", default=0.0)
    most: Annotated[float | None, DOLLARS] = key("sum of what is paid out; left out: no limit", default=None)
    rent: Annotated[float, replace(SHARE, example='"2.2 %"')] = key(
        "monthly payment of a lease as a share of the price, in advance; left out: what pays the price less `buyout` "
        "at `rate`", default=0.0)
    end: Annotated[str, Choice(words=("return", "buy"), example='"return"')] = key(
        'of a lease: "return" the units or keep them at their used price, as things arrive; "buy" them for `buyout`',
        default="return")
    buyout: Annotated[float, SHARE] = key("share of the price for which leased units are bought at the end",
                                          default=0.0)


class ChannelKeys(Keys):
    """A way to sell used units, beside others. With any, every sale goes through one of them."""

    id: Annotated[str, Id(example='"broker"')] = key("what the plan calls it")
    share: Annotated[float, replace(SHARE, example='{ fact = "chip-owners.liquidation_factor@broker-90d" }')] = key(
        "of the used price that a seller gets")
    most: Annotated[Steps, Series(of=amount("chips", '"2,000 GPUs"', unit="chips"))] = key(
        "accelerators it takes in a month, all owners and systems together")


class RuleKeys(Keys):
    """A tariff or a ban with its dates. It is certain; what may come or not is an event."""

    id: Annotated[str, Id(example='"tariff-2025"')] = key("what the plan calls it")
    kind: Annotated[str, Choice(words=("tariff", "ban"), example='"tariff"')] = key("a share of the price, or a no")
    stage: Annotated[str, Choice(words=("order", "arrival", "install"), example='"arrival"')] = key(
        "of a ban: what may not be done; units that may not arrive come when it ends, or their money comes back where "
        "it does not end", default="arrival")
    first: Annotated[Month, AMonth()] = key("first month in which it holds")
    last: Annotated[Month | None, AMonth()] = key("last month; left out: for good", default=None)
    suppliers: Annotated[Any, Several(of=Text(example='"NVIDIA"'), example='["NVIDIA"]')] = key(
        "whose units it hits", default=())
    systems: Annotated[Any, Several(of=SYSTEM, example='["gb200-nvl72"]')] = key(
        "which units; with neither suppliers nor systems: all", default=())
    sites: Annotated[Any, Several(of=SITE, example='["memphis"]')] = key(
        "where it holds, which makes it a rule of installing; left out: everywhere", default=())
    rate: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example='"25 %"', bare=True, high=10.0)] = key(
        "of a tariff, on the price; on the cheapest price offered where sites are named", default=0.0)


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
    owners: list[OwnerKeys] = []
    sites: list[SiteKeys] = []
    holdings: list[HoldingKeys] = []
    offers: list[OfferKeys] = []
    open_orders: list[OpenOrderKeys] = []
    rentals: list[RentalKeys] = []
    jobs: list[Job] = []
    loans: list[LoanKeys] = []
    moves: list[MoveKeys] = []
    sharing: list[ShareKeys] = []
    transfers: list[TransferKeys] = []
    swaps: list[SwapKeys] = []
    allocations: list[AllocationKeys] = []
    events: list[EventKeys] = []
    finance: list[FinanceKeys] = []
    rules: list[RuleKeys] = []
    channels: list[ChannelKeys] = []
    arrived: list[ArrivedKeys] = []
    reported: list[ReportedKeys] = []


JOBS: Mapping[str, tuple[type[Keys], type]] = {
    "train": (TrainKeys, records.TrainJob),
    "serve": (ServeKeys, records.ServeJob),
    "research": (ResearchKeys, records.ResearchJob),
}
ARRAYS: Mapping[str, tuple[type[Keys], type]] = {
    "owners": (OwnerKeys, records.Owner),
    "sites": (SiteKeys, records.Site),
    "holdings": (HoldingKeys, records.Holding),
    "offers": (OfferKeys, records.Offer),
    "open_orders": (OpenOrderKeys, records.OpenOrder),
    "rentals": (RentalKeys, records.Rental),
    "jobs": (JobKeys, object),
    "loans": (LoanKeys, records.Loan),
    "moves": (MoveKeys, records.Move),
    "sharing": (ShareKeys, records.Share),
    "transfers": (TransferKeys, records.Transfer),
    "swaps": (SwapKeys, records.Swap),
    "allocations": (AllocationKeys, records.Allocation),
    "events": (EventKeys, records.Event),
    "finance": (FinanceKeys, records.Finance),
    "rules": (RuleKeys, records.TradeRule),
    "channels": (ChannelKeys, records.Channel),
    "arrived": (ArrivedKeys, records.Arrived),
    "reported": (ReportedKeys, records.Reported),
}
TABLES = ("scenario", "sources", "facts", "tables", "risk", "uncertainty", "fairness")


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
