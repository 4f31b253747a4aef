"""The scenario as data: frozen records in base units, as read from scenario.toml and its tables.

These are the questions (owners, sites, offers, jobs); the market floor turns them into arrays by month. Every record
carries `where` ("scenario.toml:41") so that a later floor can still say which line it is talking about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from exafleet.terms.calendar import Month


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A monthly step function: each value holds from its month until the next one; `before` holds before the first."""

    months: tuple[Month, ...]
    values: tuple[float, ...]
    before: float = 0.0

    @classmethod
    def constant(cls, value: float) -> Steps:
        """The same value in every month."""
        return cls(months=(), values=(), before=value)

    def at(self, months: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Values in the given months. [T]"""
        index = np.searchsorted(np.asarray(self.months, dtype=np.int64), np.asarray(months), side="right")
        return np.concatenate([[self.before], np.asarray(self.values, dtype=np.float64)])[index]

    def scaled(self, factor: float) -> Steps:
        """Every value times `factor`."""
        return Steps(months=self.months, values=tuple(v * factor for v in self.values), before=self.before * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An uncertain duration as three quantiles (10 %, 50 %, 90 %). [s]  low == mid == high means certain."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who pays and who uses.

    budget    money that becomes available, by month it arrives; None is unlimited   [USD]
    quota     facility power this owner may use at a site; sites not named: no limit  [W]
    priority  weight on this owner's lateness and shortage penalties                  [1]
    book      name of a book shared with other owners; "" is a book of its own
    tier      1 is served before 2, where fairness goes by tiers
    weight    share against the other owners', where fairness goes by shares          [1]
    """

    id: str
    name: str
    where: str = ""
    budget: tuple[tuple[Month, float], ...] | None = None
    quota: tuple[tuple[str, Steps], ...] = ()
    priority: float = 1.0
    book: str = ""
    tier: int = 1
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place with power.

    power         facility limit at the meter, PUE included                 [W]
    cooling       kinds of cooling present: "air", "liquid"
    install_rate  rack positions that can be installed                      [1/s]
    pue           facility power over IT power                              [1]
    energy_price  electricity                                               [USD/J]
    carbon        emissions of the electricity                              [kg/J]
    rent          price of powered space, on facility power in use          [USD/W/s]
    owners        who may install here; empty is everybody
    """

    id: str
    name: str
    power: Steps
    cooling: tuple[str, ...]
    install_rate: float
    pue: float
    energy_price: Steps
    carbon: Steps
    where: str = ""
    rent: float = 0.0
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Units owned and installed at the start. `price` is what one unit cost, for its resale value. [USD]"""

    owner: str
    site: str
    system: str
    units: int
    bought: Month
    price: float
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A better place in the queue: pay `premium` times the price more, arrive `sooner`, for at most `units` units."""

    premium: float
    sooner: float
    units: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """An instalment: a share of the price, so many months after (before, if negative) the order or the arrival."""

    anchor: str
    months: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """A promise to order at least `units` over the plan; what is missing costs `penalty` of the price of a unit.

    owner   who promised and pays
    """

    units: float
    penalty: float
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Units of an open order may become units of the offer `to`: at most a share of them, for a fee.

    fee    share of the old price that is lost; what was paid beyond it counts towards the new price  [1]
    most   share of the order's units                                                                  [1]
    """

    to: str
    fee: float = 0.0
    most: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A pool that several offers draw on, because one factory or one foundry makes them all.

    most     accelerators that arrive from these offers in a month, as quoted       [chips]
    shares   of the pool that an owner may have at most; owners not named: all of it
    """

    id: str
    offers: tuple[str, ...]
    most: Steps
    where: str = ""
    shares: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finance:
    """Somebody else's money for units that are ordered: a loan on them, or a lease.

    kind       "loan": a share of the price is lent when a unit arrives; "lease": the lessor pays the whole price then
    offers     whose units it may pay for; empty is all
    advance    share of the price that is lent                                          [1]
    rate       interest a year, charged monthly as a twelfth                            [1]
    term       months from arrival to the last payment
    interest_only   months at the beginning in which a loan pays interest alone
    fee        share of what is paid out, when it is paid out                           [1]
    most       sum of what is paid out, at quoted prices                                [USD]
    rent       monthly payment of a lease as a share of the price; 0: what `rate` and `buyout` make of it  [1]
    end        of a lease: "return" the units, or keep them at their used price; "buy" them for `buyout`
    buyout     share of the price                                                       [1]
    """

    id: str
    kind: str
    lender: str
    term: int
    where: str = ""
    owners: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    advance: float = 1.0
    rate: float = 0.0
    interest_only: int = 0
    fee: float = 0.0
    most: float = float("inf")
    rent: float = 0.0
    end: str = "return"
    buyout: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A way to sell used units: a share of the used price for as many chips as it takes in a month."""

    id: str
    share: float
    most: Steps
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRule:
    """A tariff or a ban with its dates, certain; what may or may not come is an event of the draws.

    kind       "tariff": a share of the price, on arrival, or on installing at the sites that are named
               "ban": nothing is ordered, or arrives, or is installed (`stage`)
    first, last   months in which it holds; last None: for good
    suppliers, systems   whom it hits; where neither are named, everything
    sites      where it holds; empty is everywhere
    rate       of a tariff, on the price                                                [1]
    """

    id: str
    kind: str
    first: Month
    where: str = ""
    last: Month | None = None
    stage: str = "arrival"
    suppliers: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A supplier's offer of whole units of one system.

    price     of one unit by month of order, network share included                     [USD/unit]
    tiers     (from this many units in one order, factor on the price)
    first, last   months in which orders are taken
    lead      order to arrival at the site                                              [s]
    deposit   share of the price paid at order; the rest is paid on arrival             [1]
    payments  instalments that add up to the price, in place of `deposit`
    least     units of one order, unless it is none;  multiple: orders come in whole multiples of it
    framework  a total that was promised
    queues    several places in the queue, in place of `queue`
    cancel    share of the price lost when cancelled before arrival                     [1]
    supply    most units that can arrive in a month, from this offer                    [units/month]
    total     most units over the whole horizon                                         [units]
    fitting   cost of shipping and installing one unit                                  [USD/unit]
    """

    id: str
    supplier: str
    system: str
    price: Steps
    first: Month
    last: Month
    lead: Spread
    supply: Steps
    total: float
    where: str = ""
    deposit: float = 0.0
    cancel: float = 1.0
    tiers: tuple[tuple[int, float], ...] = ()
    queue: Queue | None = None
    fitting: float = 0.0
    owners: tuple[str, ...] = ()
    payments: tuple[Payment, ...] = ()
    least: int = 0
    multiple: int = 1
    framework: Framework | None = None
    queues: tuple[Queue, ...] = ()

    @property
    def schedule(self) -> tuple[Payment, ...]:
        """When which share of the price is paid."""
        return self.payments or (Payment(anchor="order", months=0, share=self.deposit),
                                 Payment(anchor="arrival", months=0, share=1.0 - self.deposit))

    @property
    def places(self) -> tuple[Queue, ...]:
        """Every place in the queue that is for sale."""
        return self.queues or ((self.queue,) if self.queue else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order placed before the plan starts: it can be kept, deferred or cancelled.

    promised  month the supplier quoted;  slip: how much later it may come        [s]
    price     of one unit;  paid: share already paid;  cancel: share lost when cancelled
    defer     cost of moving one unit one month later                             [USD/unit/month]
    change    offers into which units of this order may be changed
    """

    id: str
    owner: str
    supplier: str
    system: str
    units: int
    promised: Month
    price: float
    paid: float
    slip: Spread
    where: str = ""
    cancel: float = 1.0
    defer: float = 0.0
    most_deferral: int = 12
    change: tuple[Conversion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """Accelerators rented in somebody else's building.

    price   of one chip by month the contract starts          [USD/s]
    term    months one contract lasts; 1 is on demand
    most    chips that can be rented at once, by month         [chips]
    block   chips in one contract                              [chips]
    wait    months from signing to use
    take    share of a contract's price that is paid whether it is used or not        [1]
    over    price of one chip used beyond that share; None: the price of the month of use   [USD/s]
    prepay  share of what a contract commits to that is paid at signing               [1]
    interruptions, lost   how often rented chips are taken away, and the work lost each time  [1/s], [s]
    """

    id: str
    provider: str
    system: str
    price: Steps
    term: int
    most: Steps
    first: Month
    last: Month
    where: str = ""
    block: int = 8
    wait: int = 0
    owners: tuple[str, ...] = ()
    take: float = 1.0
    over: Steps | None = None
    prepay: float = 0.0
    interruptions: float = 0.0
    lost: float = 0.0

    @property
    def useful(self) -> float:
        """Share of the time that is left between interruptions."""
        return max(0.0, 1.0 - self.interruptions * self.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJob:
    """One training run.

    tokens        to train on                                    [token]
    seq, batch    sequence length, and global batch              [token]
    dtype         of the matrix products ("bf16", "fp8", "fp4"); lower precision is never assumed
    due           month by whose end it should be done; later costs `late` per month and `value` is still earned
    value         earned when done within the horizon            [USD]
    late          penalty of one month's lateness                [USD/month]
    unfinished    penalty when not done within the horizon       [USD]
    least, most   chips in the gang; most 0 means no limit       [chips]
    required      the plan must finish it by `due` if everything comes as quoted, or there is no plan
    """

    id: str
    owner: str
    model: str
    tokens: float
    seq: int
    batch: float
    dtype: str
    earliest: Month
    due: Month
    where: str = ""
    value: float = 0.0
    late: float = 0.0
    unfinished: float = 0.0
    least: int = 1
    most: int = 0
    systems: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    rent: bool = True
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeJob:
    """A service at a latency target.

    input_tokens, output_tokens   mean request                      [token]
    ttft, tpot    targets: first token, time per output token       [s]
    demand        output tokens                                     [token/s]
    unserved      penalty of one output token not served            [USD/token]
    """

    id: str
    owner: str
    model: str
    input_tokens: int
    output_tokens: int
    ttft: float
    tpot: float
    dtype: str
    demand: Steps
    unserved: float
    where: str = ""
    kv_dtype: str = "bf16"
    systems: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    rent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ResearchJob:
    """A baseline load in GPU-hours of a reference system; other systems count by their speed on `model`.

    demand    reference chips kept busy on average                [chips]
    unserved  penalty of one reference chip-second not served     [USD/s]
    """

    id: str
    owner: str
    model: str
    reference: str
    demand: Steps
    unserved: float
    where: str = ""
    dtype: str = "bf16"
    systems: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    rent: bool = True


Job = TrainJob | ServeJob | ResearchJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Leave for one owner to use another's chips where they stand. price [USD/s per chip]; most [chips]

    systems   that may be lent; empty is all
    notice    months from asking lent chips back to having them: what is lent stays lent at least that long
    restart   work of a lent chip that is lost when it goes back                        [s]
    """

    lender: str
    borrower: str
    price: float
    most: Steps
    where: str = ""
    systems: tuple[str, ...] = ()
    notice: int = 0
    restart: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """An owner's part in a cohort: members lend each other the systems that both name.

    systems          of this part; empty is all
    nominal          chips it may call its own; None: what it owns                      [chips]
    borrowing_limit  most chips of others it uses at once; with `nominal`, most it uses beyond that; None: no limit
    lending_limit    most of its own chips that others use at once; None: no limit      [chips]
    price            paid to this owner for one lent chip                               [USD/s]
    market_share     the same as a share of the cheapest rent on demand; 0 where `price` says it
    notice, restart  as in a loan, for what this owner lends
    """

    owner: str
    cohort: str
    where: str = ""
    systems: tuple[str, ...] = ()
    nominal: Steps | None = None
    borrowing_limit: Steps | None = None
    lending_limit: Steps | None = None
    price: Steps | None = None
    market_share: float = 0.0
    notice: int = 0
    restart: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Units of a system, or places in the delivery queue, that one owner may pass on to another.

    kind     "units": installed units, as things arrive; "slot": units on order, decided now
    orders   open orders and offers whose slots may go; empty is all of the seller's of this system
    price    of one unit, paid to the seller; None: its used price, or what the seller has paid for the slot [USD/unit]
    most     units a month; of slots, units in all                                      [units]
    start, end   sites a unit leaves and goes to; "" is any, the same one when both are ""
    cost     of moving and connecting one unit, paid by the buyer                       [USD/unit]
    months   without use
    """

    id: str
    kind: str
    seller: str
    buyer: str
    system: str
    most: Steps
    where: str = ""
    orders: tuple[str, ...] = ()
    price: Steps | None = None
    start: str = ""
    end: str = ""
    cost: float = 0.0
    months: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Places in the delivery queue that two owners may exchange: a unit of one open order for a unit of the other.

    price   paid by the owner of `first` to the owner of `second` for one unit; may be negative [USD/unit]
    most    units                                                                       [units]
    """

    id: str
    first: str
    second: str
    most: float
    where: str = ""
    price: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """What is done for the owner who comes off worst.

    rule    "none"; "tiers": tier by tier; "max-min": the least useful work of an owner, over what it would have
            alone, counts; "proportional": every owner gets its weight's share of what it would have with everything
    price   of one whole unit of that share; None: what all the work stated is worth     [USD]
    alone   plan each owner by itself as well, to say what sharing is worth to it
    """

    rule: str = "none"
    price: float | None = None
    alone: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Units can be moved from one site to another: cost of one unit [USD], months without use, most units a month."""

    start: str
    end: str
    cost: float
    months: int
    most: float
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What really came, as known by the scenario's day: of an offer, by month of order, or an open order.

    offer, ordered   units ordered from the offer in this month, and later until the next such record
    order            id of an open order, where it is one
    arrived          month in which they came
    """

    arrived: Month
    offer: str = ""
    order: str = ""
    ordered: Month = 0
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What an owner is reported to have had installed at a site from a month on; nothing plans with it.

    spent   what the site is reported to have cost by then; 0 when nobody said   [USD]
    """

    owner: str
    site: str
    system: str
    units: int
    month: Month
    spent: float = 0.0
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """How uncertainty is treated: minimise (1 - weight) * mean + weight * CVaR(alpha) over `draws` draws.

    react   months between two looks at the order book, at which each draw may cancel, defer and order again; 0: never
    """

    draws: int = 5
    seed: int = 1
    alpha: float = 0.9
    weight: float = 0.0
    react: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """How the future may differ from what is quoted. Shares and correlations are of normal scores; 0 is none.

    delay_common, delay_supplier, delay_system   shares of a delivery's delay that hit everything, everything of one
                                                 supplier, everything of one system              [1]
    power_delay        how much later than stated the power of a site may come; None: as stated  [s]
    power_stretch      time until a step up of a site's power over the time stated; never sooner than stated; None: 1
    power_common       share of that delay that all sites have in common                         [1]
    price_volatility   standard deviation of the log of a purchase price after one year          [1]
    price_drift        growth of the log of purchase prices on top of what is stated, a year     [1]
    price_common       share of a price's moves that all offers have in common                   [1]
    rent_volatility, rent_common   the same of rental prices                                     [1]
    rent_half_life     after which half of a rental price's move is undone; inf: never           [s]
    demand_volatility, demand_common   the same of what is asked for; it grows with the root of time [1]
    rate_common        share of the model error of rates that all jobs have in common            [1]
    failure_spread     standard deviation of the log of how often machines fail                  [1]
    resale_volatility  standard deviation of the log of used prices after one year, on top of the common move of
                       purchase prices                                                           [1]
    *_with_*           correlation of the common shocks of two of these                          [1]
    sample             draws that those of the plan are chosen from, tails kept; 0: the plan's own
    """

    delay_common: float = 0.0
    delay_supplier: float = 0.3
    delay_system: float = 0.4
    power_delay: Spread | None = None
    power_stretch: Spread | None = None
    power_common: float = 0.0
    price_volatility: float = 0.0
    price_drift: float = 0.0
    price_common: float = 0.0
    rent_volatility: float = 0.0
    rent_half_life: float = math.inf
    rent_common: float = 0.0
    demand_volatility: float = 0.0
    demand_common: float = 0.0
    rate_common: float = 0.0
    failure_spread: float = 0.0
    resale_volatility: float = 0.0
    price_with_rent: float = 0.0
    price_with_demand: float = 0.0
    price_with_delay: float = 0.0
    rent_with_demand: float = 0.0
    rent_with_delay: float = 0.0
    demand_with_delay: float = 0.0
    power_with_delay: float = 0.0
    sample: int = 0
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that may happen and then hits many at once: one connector, one export rule, one late grid.

    probability  that it happens; events with the same `either` exclude each other and one of them happens  [1]
    first        month from which it counts: deliveries and power that come in it or later, orders and rents from then
    suppliers, systems, sites   whom it hits; where neither suppliers nor systems are named, every delivery; where no
                 sites are named, every site
    delay        how much later those deliveries come                                            [s]
    power_delay  how much later the power of those sites comes                                   [s]
    ban          nothing of those is delivered any more; what was paid for it comes back
    price, rent, demand   factor on purchase prices, rental prices of those systems, on all demand    [1]
    """

    id: str
    probability: float
    first: Month
    either: str = ""
    suppliers: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    delay: Spread | None = None
    power_delay: Spread | None = None
    ban: bool = False
    price: float = 1.0
    rent: float = 1.0
    demand: float = 1.0
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything a plan is asked about. Tuples keep the order of the file, which fixes the order of every array.

    discount     rate of money, a year                                                          [1]
    resale       share of its value a used unit keeps after one year                            [1]
    resale_most  used chips the market takes in a month, all owners and systems together; None: nothing can be
                 sold before the end                                                        [chips]
    """

    name: str
    file: str
    as_of: date
    start: Month
    months: int
    discount: float
    resale: float
    owners: tuple[Owner, ...]
    sites: tuple[Site, ...]
    holdings: tuple[Holding, ...]
    offers: tuple[Offer, ...]
    open_orders: tuple[OpenOrder, ...]
    rentals: tuple[Rental, ...]
    jobs: tuple[Job, ...]
    loans: tuple[Loan, ...]
    moves: tuple[Move, ...]
    risk: Risk
    summary: str = ""
    sources: tuple[tuple[str, str], ...] = ()
    arrived: tuple[Arrived, ...] = ()
    reported: tuple[Reported, ...] = ()
    resale_most: Steps | None = None
    allocations: tuple[Allocation, ...] = ()
    finance: tuple[Finance, ...] = ()
    rules: tuple[TradeRule, ...] = ()
    channels: tuple[Channel, ...] = ()
    sharing: tuple[Share, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    swaps: tuple[Swap, ...] = ()
    fairness: Fairness = field(default_factory=Fairness)
    uncertainty: Uncertainty = field(default_factory=Uncertainty)
    events: tuple[Event, ...] = ()
