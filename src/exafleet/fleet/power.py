"""IT power of chips at work: rated power of their share of a unit, times the share of it that an activity draws.

Electricity and power limits are paid for the whole: accelerators, the server around them (CPUs, fans, switches of the
rack), and the cluster around the servers (network, storage, management). The three parts add up. PUE belongs to the
site and comes later.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.terms.errors import MissingFact, Problem
from exafleet.terms.parts import Parts

SERVER, CLUSTER = "gpu-server", "datacenter"


class Activity(StrEnum):
    """What chips are doing; the qualifier of term power_share."""

    TRAINING = "training"
    SERVING = "serving"
    IDLE = "idle"


def power_share(facts: Facts, activity: Activity) -> float:
    """Share of a server's rated power drawn in an activity. [1]   Raises MissingFact when nobody published one."""
    return _needed(facts, f"{SERVER}.power_share@{activity}")


def rated_power(system: System, facts: Facts) -> Parts:
    """Rated all-in IT power of one chip's share of a unit and of the cluster around it. [P]  [W]"""
    overhead = _needed(facts, f"{CLUSTER}.it_overhead")
    unit = system.power_max / system.chips
    # Some racks are rated below the sum of their chips' limits: the rating of the whole is what the site must supply.
    chip = min(system.chip.tdp, unit)
    return Parts.of("W", {"accelerators": chip, "servers": unit - chip, "cluster": unit * (overhead - 1.0)})


def power(system: System, facts: Facts, activity: Activity, chips: npt.ArrayLike = 1.0) -> Parts:
    """Mean IT power of chips in an activity, everything around them included. [..., P]  [W]

    chips     how many                                             [1]

    Servers scale as a whole with the activity (the share was measured at the server's plug); network and storage
    around them draw the same whether the servers compute or not.
    """
    rated, share = rated_power(system, facts), power_share(facts, activity)
    drawn = rated.values * np.where(np.array(rated.names) == "cluster", 1.0, share)
    return Parts(names=rated.names, values=np.asarray(chips, dtype=np.float64)[..., None] * drawn, unit="W")


def _needed(facts: Facts, key: str) -> float:
    value = facts.try_value(key)
    if value is None:
        raise MissingFact(Problem(what=f"no power figure as of {facts.as_of.isoformat()}", got=key,
                                  remedy="Give it in a table of your own, with its source and date."))
    return value
