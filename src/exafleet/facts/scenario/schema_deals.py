"""Keys of what is offered, financed, ruled, moved and shared: a part of the scenario file (schema.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from exafleet.facts import deals
from exafleet.facts.scenario.kinds import (
    AMonth,
    Choice,
    Flag,
    Id,
    Quantiles,
    Ref,
    Series,
    Several,
    Term,
    Text,
    Tiers,
)
from exafleet.facts.scenario.rows import Inner, Payments, Rows, Shares
from exafleet.facts.scenario.schema_words import (
    DOLLARS,
    DURATION,
    HELD,
    LENT,
    MONTHS,
    OWNER,
    PACE,
    PER_YEAR,
    RENT,
    SHARE,
    SITE,
    SOME_UNITS,
    SYSTEM,
    UNIT_PRICE,
    UNITS,
    Keys,
    key,
    kind_of,
)
from exafleet.facts.scenario.values import MEAN_MONTH, Amount, amount
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month


class QueueKeys(Keys):
    """A better place in the queue."""

    premium: Annotated[float, Amount(dims={"number": 1.0}, unit="1", example='"10 %"', bare=True, high=10.0)] = key(
        "share of the price paid more")
    sooner: Annotated[float, DURATION] = key("how much earlier those units come")
    units: Annotated[float, SOME_UNITS] = key("most units that can jump the queue")


PLACE = '{ premium = "5 %", sooner = "1 mo", units = 50 }'
QUEUES = Rows(example=f'[{PLACE}, {{ premium = "12 %", sooner = "3 mo", units = 20 }}]', of=Inner(
    make=deals.Queue, example=PLACE,
    keys={name: kind for name, info in QueueKeys.model_fields.items() if (kind := kind_of(info)) is not None}))
FRAMEWORK = Inner(make=deals.Framework, example='{ units = "500 racks", penalty = "20 %" }', defaults={"owner": ""},
                  keys={"units": SOME_UNITS, "penalty": SHARE, "owner": OWNER})
CHANGE = Rows(example='[{ to = "gb300-list", fee = "5 %", most = "40 %" }]', empty=True, of=Inner(
    make=deals.Conversion, example='{ to = "gb300-list", fee = "5 %", most = "40 %" }',
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
        "offer's lead time, and out of its supply; `[]` in history.toml: into none any more", default=())


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


class MoveKeys(Keys):
    """Units can be moved from one site to another."""

    start: Annotated[str, SITE] = key("from")
    end: Annotated[str, SITE] = key("to")
    cost: Annotated[float, amount("price_per_unit", '"$10,000/unit"', unit="USD/unit")] = key("of one unit")
    months: Annotated[int, MONTHS] = key("without use")
    most: Annotated[float, PACE] = key("units a month")
