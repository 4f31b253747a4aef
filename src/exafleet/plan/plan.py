"""Plan: the answer as arrays and short records. Nothing here computes; `read.py` fills it from a solution.

Axes: N draws (draw 0 is the base), O owners, S sites, K systems, F offers, J jobs, R rentals, G agreements, T months,
all in the order of the Market. H holders are (owner, site, system) triples that can hold units. A places are the
holders, then the rentals. V lanes are (move, owner, system) triples. Months are indices from the plan's first month.
"""

from __future__ import annotations

from dataclasses import dataclass

from exafleet.market.draws import Draws
from exafleet.market.market import Floats, Ints, Market
from exafleet.terms.parts import Parts

PARTS = (
    "hardware", "queue premium", "fitting", "cancellation", "deferral", "order change", "take or pay",
    "paid by others", "finance fees", "interest", "repaid", "lease rent", "tariffs", "reserved rent",
    "on-demand rent", "energy", "site rent", "moves", "lateness", "unfinished", "shortage (serve)",
    "shortage (research)", "overdraft", "broken gangs", "unfairness", "resale", "residual", "value of runs",
)
# Kinds of payment in the owners' books: the parts that move cash, with deposits apart, and what owners pay each other.
BOOKS = (*PARTS, "deposits", "loans", "slots", "hand-downs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Units ordered from one offer in one month.

    tier     index into the offer's tiers plus 1; 0 is the plain price
    price    of one unit, tier and queue premium included             [USD]
    arrival  month index it arrives as quoted (the base draw)
    place    in the queue: 0 is none, i the offer's i-th
    """

    offer: str
    owner: str
    system: str
    month: int
    units: int
    tier: int
    queued: bool
    price: float
    arrival: int
    place: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What becomes of an open order: `arrivals` are (month index as quoted, units, months deferred).

    changed   (offer, units, month index as quoted) of what was changed into another offer's units
    """

    order: str
    owner: str
    system: str
    arrivals: tuple[tuple[int, int, int], ...]
    cancelled: int
    changed: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is decided about orders as things arrive: the same line in every draw, with other units.

    kind     "order", "cancel", "defer" (one month)
    what     the offer, or the open order
    month    month index it is decided in; -1 for a deferral, which follows from the month of arrival
    arrival  month index the units arrive in, or would have; T is after the end
    units    in each draw                                                              [N]
    """

    kind: str
    what: str
    owner: str
    system: str
    month: int
    arrival: int
    units: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Units of an order, open or placed by this plan, that arrive at another owner; `by` a transfer or swap.

    arrival  month index as quoted
    """

    by: str
    order: str
    seller: str
    buyer: str
    system: str
    units: int
    arrival: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Funded:
    """Units of orders of one offer that a loan or a lease pays for, of one owner.

    units    in all
    paid     paid out                                                       [N]     [USD]
    owed     of a loan, at the end of each month                            [N, T]  [USD]
    """

    finance: str
    kind: str
    owner: str
    offer: str
    units: float
    paid: Floats
    owed: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Reserved accelerators: `chips` from month index `first` to `last`, both included. price [USD/s per chip]"""

    rental: str
    owner: str
    system: str
    signed: int
    blocks: int
    chips: int
    first: int
    last: int
    price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A training run as planned: a gang of `chips` at a site, or in a rental, from month index `start`.

    place    id of the site or of the rental
    months   it needs at full strength, in the base draw
    """

    job: str
    owner: str
    place: str
    rented: bool
    system: str
    chips: int
    start: int
    months: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A rule that binds, and what one more unit of it would be worth (present value, mean over draws).

    rule     "power", "quota", "install rate", "supply", "loan", "rental", "budget", ...
    place    the site, owner, offer, ... it holds for
    month    month index
    limit    the limit that binds, in `unit`
    price    worth of one more `unit`                                  [USD]
    unit     what one more means: "MW", "rack position", "unit", "chip", "USD"
    """

    rule: str
    place: str
    month: int
    limit: float
    price: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fair:
    """What fairness measures by.

    rule          of the scenario
    weight        of each owner                                                           [O]
    alone         mean useful work by itself, with what is its own; nan where unknown     [O] [chip-h]
    promised      useful work that a proportional share promises; nan where it does not   [O] [chip-h]
    alone_finish  month index in which each run is done by itself; -1 when it is not      [J]
    """

    rule: str
    weight: Floats
    alone: Floats
    promised: Floats
    alone_finish: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The answer. Units are whole in the orders; below them, in the draws, fractions of a unit are allowed.

    status        "optimal" (within the gap asked) or "stopped" (best so far)
    objective     risk-adjusted present cost that was minimised                             [USD]
    bound, gap    proven lower bound [USD]; (objective - bound) / |objective|
    cost          present cost by part in each draw; sums to that draw's share              [N, P] [USD]
    expected      its mean over draws                                                       [P]    [USD]

    holder_owner, holder_site, holder_system     indices                                    [H]
    lane_move, lane_owner, lane_system           indices                                    [V]
    arrivals      units that reach the owner                                                [N, O, K, T]
    warehouse     arrived but not installed at the month's end                              [N, O, K, T]
    install       taken from the warehouse to the site                                      [N, H, T]
    installed     standing at the site at the month's end                                   [N, H, T]
    sold          from the site (installed) and from the warehouse                          [N, H, T], [N, O, K, T]
    moved         units leaving on a lane                                                   [N, V, T]
    use           chips used by a job at a place, mean over the month                       [N, J, A, T]
    served, short work served and not served; 0 for training                                [N, J, T] [work/s]
    progress      share of a training run done by the month's end; 0 for other jobs         [N, J, T]
    finish        month index in which a run is done; -1 when it is not                     [N, J]
    useful        useful work of each job: hours of a chip of the fastest system it can use [N, J] [chip-h]
    fair          what each owner would have by itself
    lent          chips lent, by agreement (market/lending.py: loans, then pairs of cohorts)    [N, G, T]
    reclaimed     of those handed over for a time, chips that go back                       [N, G, T]
    lane_transfer, lane_ends                     transfers, and holders (from, to)          [E], [E, 2]
    handed        installed units handed down on them                                       [N, E, T]
    rented        chips rented on demand                                                    [N, R, O, T]
    reserved      chips held by contract                                                    [R, O, T]
    power         facility power in use, at the all-in rating the limit is counted in       [N, S, T] [W]
    energy        drawn at the meter                                                        [N, S, T] [J]
    cash          paid out, undiscounted, income negative                                   [N, O, T] [USD]
    books         the same by kind (BOOKS), and what falls due after the horizon as one month more
                                                                                            [N, B, O, T + 1] [USD]

    binding       rules that bind, dearest first
    rack_value    of one more unit of a system arriving for an owner in a month             [O, K, T] [USD]
    month_earlier of the same unit one month earlier                                        [O, K, T] [USD]
    power_value   of one more W at the meter of a site in a month                           [S, T]    [USD]
    budget_value  of one more USD of an owner's budget in a month                           [O, T]    [USD]
    premium       highest share of the price worth paying to arrive `sooner` (1 month where the offer has no queue),
                  by month of order, for the owner who gains most; NaN where no order can be placed [F, T]
    notes         what a reader must know: jobs that cannot run and why, what was assumed
    method        "written out", "decomposed", "ortools", "empty"; rounds of the decomposition; rows and columns solved
    first         the first stage as the programme's columns, for costing the same decisions in another world   [X]
    """

    market: Market
    draws: Draws
    status: str
    objective: float
    bound: float
    gap: float
    cost: Parts
    expected: Parts
    orders: tuple[Order, ...]
    kept: tuple[Kept, ...]
    contracts: tuple[Contract, ...]
    slots: tuple[Slot, ...]
    lane_transfer: Ints
    lane_ends: Ints
    placements: tuple[Placement, ...]
    changes: tuple[Change, ...]
    funded: tuple[Funded, ...]
    holder_owner: Ints
    holder_site: Ints
    holder_system: Ints
    lane_move: Ints
    lane_owner: Ints
    lane_system: Ints
    arrivals: Floats
    warehouse: Floats
    install: Floats
    installed: Floats
    sold_installed: Floats
    sold_warehouse: Floats
    moved: Floats
    use: Floats
    served: Floats
    short: Floats
    progress: Floats
    finish: Ints
    useful: Floats
    fair: Fair
    lent: Floats
    reclaimed: Floats
    handed: Floats
    rented: Floats
    reserved: Floats
    power: Floats
    energy: Floats
    cash: Floats
    books: Floats
    binding: tuple[Binding, ...]
    rack_value: Floats
    month_earlier: Floats
    power_value: Floats
    budget_value: Floats
    premium: Floats
    notes: tuple[str, ...]
    method: str
    rounds: int
    rows: int
    columns: int
    first: Floats
