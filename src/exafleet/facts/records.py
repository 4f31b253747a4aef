"""The scenario as data: frozen records in base units, as read from scenario.toml and its tables.

These are the questions (owners, sites, offers, jobs); the market floor turns them into arrays by month. Every record
carries `where` ("scenario.toml:41") so that a later floor can still say which line it is talking about.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date

from exafleet.facts.deals import Allocation, Channel, Finance, Offer, OpenOrder, Rental, TradeRule
from exafleet.facts.sharing import Fairness, Loan, Share, Swap, Transfer
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.calendar import Month


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
