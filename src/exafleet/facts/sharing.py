"""How owners share, as data: loans, cohorts, transfers, swaps and what counts as fair between them."""

from __future__ import annotations

from dataclasses import dataclass

from exafleet.facts.steps import Steps


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
