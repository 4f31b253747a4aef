"""What suppliers, landlords and lenders offer, as data: offers, orders, rentals, money, channels, rules of trade."""

from __future__ import annotations

from dataclasses import dataclass

from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month


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
