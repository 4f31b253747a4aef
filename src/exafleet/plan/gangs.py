"""What a gang does in the base draw, month by month, once it is placed: nothing is left to decide.

In the base draw a synchronous run has its whole gang from the month it starts until it is done. So what it uses, and
how far it has come, follow from its placement: those columns of the base draw are fixed by the first stage.
"""

from __future__ import annotations

import numpy as np

from exafleet.market.market import Floats, Ints
from exafleet.plan.blocks import earlier
from exafleet.plan.build import Build, may_start, settled


def settled_gangs(b: Build) -> Ints:
    """Gangs of options whose use is settled. [g]"""
    return np.flatnonzero(settled(b.sets, b.job_owner)[b.sets.gang_option])


def lacking(b: Build) -> tuple[Ints, Ints]:
    """(absent column, run column) of every settled gang and month: no more is absent than is in use."""
    gangs = settled_gangs(b)
    absent, run = b.y["absent"][b.sets.gang_place[gangs]], b.acts.column[len(b.sets.pair_job):][gangs]
    there = (absent >= 0) & (run >= 0)
    return absent[there], run[there]


def strength(b: Build, g: int) -> Floats:
    """Units of gang g in use in each month, by month of start: all of them until the run is done. [T start, T]"""
    sets, months = b.sets, b.market.months
    option = sets.gang_option[g]
    units = sets.option_chips[option] / b.market.chips[sets.option_system[option]]
    step = sets.gang_share[g] * units * b.market.seconds * b.draws.rate[0, sets.option_job[option]]
    done = np.concatenate([[0.0], step.cumsum()])
    before = done[None, :-1] - done[:-1, None]   # share done by the beginning of a month, for each month of start
    part = np.clip((1.0 - before) / np.maximum(step, 1e-300), 0.0, 1.0)
    return np.asarray(np.where(np.arange(months)[None, :] >= np.arange(months)[:, None], units * part, 0.0))


def whole_gangs(b: Build) -> None:
    """In the base draw a gang uses all its units from the month it starts until it is done.

    Units that do not stand there, or have no power, are absent, at a price no plan would choose.
    """
    sets, started = b.sets, b.x["started"]
    run = b.acts.column[len(sets.pair_job):]
    open_to = may_start(b.market, sets)
    for g in settled_gangs(b):
        option = sets.gang_option[g]
        begin = np.flatnonzero(open_to[option])
        units = strength(b, int(g))[begin]
        ago = earlier(started[option][None])[0]
        for first, sign in ((started[option, begin], 1.0), (ago[begin], -1.0)):
            column, at = np.broadcast_arrays(run[g][None, :], first[:, None])
            there = (units > 0) & (column >= 0) & (at >= 0)
            b.fixed.append((column[there], at[there], sign * units[there]))
