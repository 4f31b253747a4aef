"""Units lent: who holds them, within whose limits, and what a notice means.

Under a plain loan a borrower uses what it needs each month. Under one with a notice, or with work lost at the end,
units are handed over: what is handed over is the borrower's, used or not, until it goes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from exafleet.facts.sharing import Share
from exafleet.market.lending import Lending, named
from exafleet.market.market import Bools, Floats, Ints
from exafleet.plan.blocks import earlier

if TYPE_CHECKING:
    from exafleet.plan.build import Activities, Build


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """D ways to hand units over, and the agreement of each activity.

    agreement, holder   of each way                                                     [D]
    act_agreement       agreement an activity needs; -1 on own or rented units          [X]
    act_grant           way its units are handed over; -1 where they are not            [X]
    """

    agreement: Ints
    holder: Ints
    act_agreement: Ints
    act_grant: Ints


def grants(lending: Lending, acts: Activities) -> Grants:
    """The agreement of every activity on somebody else's units, and where units are handed over for it."""
    agreement = np.full(len(acts.job), -1, dtype=np.int64)
    other = acts.lender != acts.owner
    agreement[other] = lending.first[acts.lender[other], acts.owner[other], acts.system[other]]
    held = np.append(lending.held, False)[agreement]
    pairs, at = np.unique(np.column_stack([agreement, acts.place])[held], axis=0, return_inverse=True)
    grant = np.full(len(acts.job), -1, dtype=np.int64)
    grant[held] = at.ravel()
    pairs = pairs.reshape(-1, 2)
    return Grants(agreement=pairs[:, 0], holder=pairs[:, 1], act_agreement=agreement, act_grant=grant)


def held(b: Build) -> tuple[Ints, Ints, Ints]:
    """Columns of units that are somebody else's for the month, their agreement and their system. [Z, T], [Z], [Z]"""
    acts, given = b.acts, b.grants
    plain = np.flatnonzero((given.act_agreement >= 0) & (given.act_grant < 0))
    column = np.concatenate([acts.column[plain], b.y["granted"]])
    agreement = np.concatenate([given.act_agreement[plain], given.agreement])
    system = np.concatenate([acts.system[plain], b.sets.holder_system[given.holder]])
    return column, agreement, system


def handed_over(b: Build) -> None:
    """Units handed over: those before, plus given, less gone back; what was given stays for the notice at least."""
    given, notice = b.y["given"], b.lending.notice[b.grants.agreement]
    row = b.rows.add("handed over", given >= 0, lower=0.0, upper=0.0)
    b.recourse.put(row, b.y["granted"], 1.0)
    b.recourse.put(row, earlier(b.y["granted"]), -1.0)
    b.recourse.put(row, given, -1.0)
    b.recourse.put(row, b.y["back"], 1.0)
    bound = b.rows.add("notice", (notice > 0)[:, None] & (given >= 0), lower=0.0, upper=np.inf)
    b.recourse.put(bound, b.y["granted"], 1.0)
    for ago in range(int(notice.max(initial=0))):
        b.recourse.put(np.where((notice > ago)[:, None], bound, -1), earlier(given, ago), -1.0)


def lent_use(b: Build) -> None:
    """A borrower uses what was handed over, less the work lost in the last month before units go back."""
    granted, back = b.y["granted"], b.y["back"]
    row = b.rows.add("lent use", granted >= 0, lower=-np.inf, upper=0.0)
    b.recourse.put(row, granted, -1.0)
    lost = np.minimum(b.lending.restart[b.grants.agreement][:, None] / b.market.seconds, 1.0)
    b.recourse.put(earlier(row), back, np.concatenate([np.zeros_like(lost[:, :1]), lost[:, :-1]], axis=1))
    which = np.flatnonzero(b.grants.act_grant >= 0)
    b.recourse.put(row[b.grants.act_grant[which]], b.acts.column[which], 1.0)


def sharing_limits(b: Build) -> None:
    """What an owner lends and borrows of a cohort's systems stays within its limits there."""
    column, agreement, system = held(b)
    chips = b.market.chips[system][:, None]
    lender, borrower = b.lending.lender[agreement], b.lending.borrower[agreement]
    most = limits(b)
    for name, side, limit in (("lending limit", lender, most[0]), ("borrowing limit", borrower, most[1])):
        row = b.rows.add(name, np.isfinite(limit), lower=-np.inf, upper=limit)
        for p, (o, covers) in enumerate(_shares(b)):
            mine = (side == o) & covers[system]
            b.recourse.put(row[p], column[mine], chips[mine])
    _nominal(b, column, borrower, system, chips)


def _nominal(b: Build, column: Ints, borrower: Ints, system: Ints, chips: Floats) -> None:
    """With a nominal quota, use of own and others' units together stays within it and the borrowing limit."""
    limit = limits(b)[2]
    row = b.rows.add("nominal", np.isfinite(limit), lower=-np.inf, upper=limit)
    acts = b.acts
    own = (b.grants.act_agreement < 0) & (acts.place < len(b.sets.holder_owner))
    for p, (o, covers) in enumerate(_shares(b)):
        mine, theirs = own & (acts.owner == o) & covers[acts.system], (borrower == o) & covers[system]
        b.recourse.put(row[p], acts.column[mine], b.market.chips[acts.system[mine]][:, None])
        b.recourse.put(row[p], column[theirs], chips[theirs])


def _shares(b: Build) -> list[tuple[int, Bools]]:
    """Owner and systems of every part of a cohort."""
    return [(b.index.owner[s.owner], named(b.market, s.systems)) for s in b.market.scenario.sharing]


def limits(b: Build) -> Floats:
    """Lending limit, borrowing limit, and nominal quota with what may be borrowed; inf for none. [3, P, T] [chips]"""
    market = b.market
    months = np.arange(market.start, market.start + market.months)
    found = np.full((3, len(market.scenario.sharing), market.months), np.inf)
    for p, share in enumerate(market.scenario.sharing):
        found[:, p] = _limits(share, months)
    return found


def _limits(share: Share, months: Ints) -> Floats:
    none = np.full(len(months), np.inf)
    lend = none if share.lending_limit is None else share.lending_limit.at(months)
    borrow = none if share.borrowing_limit is None else share.borrowing_limit.at(months)
    if share.nominal is None:
        return np.array([lend, borrow, none])
    return np.array([lend, none, share.nominal.at(months) + borrow])
