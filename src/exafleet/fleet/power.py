"""IT power of chips at work: rated power of their share of a unit, times the share of it that an activity draws.

Electricity and power limits are paid for the whole: accelerators, the server around them (CPUs, fans, switches of the
rack), and the cluster around the servers (network, storage, management). The three parts add up. PUE belongs to the
site and comes later; only `served_energy`, which tells a token's energy whole, takes it.
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


def serving_power(system: System, facts: Facts, board: npt.ArrayLike, chips: npt.ArrayLike = 1.0) -> Parts:
    """Mean IT power of chips that serve, from the watts of one accelerator's board. [..., P]  [W]

    board     mean power of a board, from service/energy.py; never more than its part of the unit's rating  [...]  [W]
    chips     how many                                                                                       [...]  [1]

    The server around the boards and the cluster around the servers draw what they are rated for.
    """
    rated = rated_power(system, facts)
    each = np.minimum(np.asarray(board, dtype=np.float64), rated["accelerators"])
    around = {name: rated[name] for name in rated.names if name != "accelerators"}
    return Parts.of("W", {"accelerators": each, **around}).scaled(chips)


def served_energy(system: System, facts: Facts, board: npt.ArrayLike, rate: npt.ArrayLike, *,
                  pue: float = 1.0) -> Parts:
    """Energy of one token with everything around the accelerators. [..., P]  [J/token]

    board     mean power of a board                                          [...]  [W]
    rate      tokens per second of one chip                                   [...]  [token/s]
    pue       facility power over IT power; what it adds is a part of its own  [1]
    """
    spent = serving_power(system, facts, board).scaled(1.0 / np.asarray(rate, dtype=np.float64))
    pieces = {name: spent[name] for name in spent.names} | {"cooling": spent.total * (pue - 1.0)}
    return Parts.of("J/token", pieces)


def _needed(facts: Facts, key: str) -> float:
    value = facts.try_value(key)
    if value is None:
        raise MissingFact(Problem(what=f"no power figure as of {facts.as_of.isoformat()}", got=key,
                                  remedy="Give it in a table of your own, with its source and date."))
    return value
