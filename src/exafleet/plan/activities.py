"""Every way to use units, whose units they are, and where they are handed over to be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exafleet.market.lending import Lending
from exafleet.market.market import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Activities:
    """Every way to use units: pairs (serving, research), then gangs (training). X of them.

    job, place, system   place is a holder, then H + rental                      [X]
    owner                who pays for the use: the job's owner                   [X]
    lender               owner of the holder; the job's owner for a rental       [X]
    power                mean IT power of one unit in this use                   [X]  [W]
    column               recourse column: units in use; -1 where it cannot be    [X, T]
    """

    job: Ints
    place: Ints
    system: Ints
    owner: Ints
    lender: Ints
    power: Floats
    column: Ints


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
