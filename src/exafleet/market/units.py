"""All-in IT power of one unit of a system: what a site's power limit is counted in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from exafleet.facts.hardware import System
from exafleet.terms.said import said

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts


def unit_power(facts: Facts, systems: Mapping[str, System]) -> tuple[dict[str, float], tuple[str, ...]]:
    """IT power of one unit with its share of switches, storage and management [W], and a note where it is inferred.

    The published all-in figure of the chip (term it_power) where there is one; else the unit's rating (power_max)
    times the overhead of a cluster over its servers (term it_overhead).
    """
    power, inferred = {}, []
    overhead = facts.try_value("datacenter.it_overhead") or 1.0
    for name, system in systems.items():
        known = facts.try_value(f"{system.chip.id}.it_power")
        power[name] = system.power_max * overhead if known is None else known * system.chips
        if known is None:
            inferred.append(name)
    note = said("note.power inferred", overhead=f"{overhead:g}", systems=inferred)
    return power, (note,) if inferred else ()
