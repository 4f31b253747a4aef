"""Chips and systems as the physics floors need them: plain floats in base units, read from facts as of a date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from exafleet.facts.catalogue import Facts, missing
from exafleet.facts.subjects import Subject
from exafleet.terms.errors import FactError, MissingFact, Problem, raise_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One accelerator as its users count it (one GPU package, one TPU chip), never a superchip or a rack.

    peak_flops   dense datasheet peak by dtype: "fp32" "tf32" "bf16" "fp8" "fp6" "fp4" "int8"   [FLOP/s]
    hbm_bytes    memory of one chip                                                            [B]
    hbm_bw       memory bandwidth of one chip                                                  [B/s]
    link_bw      scale-up bandwidth of one chip, one direction; 0 where there is none           [B/s]
    nic_bw       scale-out bandwidth of one chip, one direction; 0 where there is none          [B/s]
    tdp          rated power of one chip                                                       [W]
    """

    id: str
    name: str
    vendor: str
    family: str
    peak_flops: Mapping[str, float]
    hbm_bytes: float
    hbm_bw: float
    link_bw: float
    nic_bw: float
    tdp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is ordered and installed as one piece: a server, a rack, a pod.

    chips        accelerators in one unit                                                   [1]
    domain       accelerators that share one scale-up domain                                [1]
    power_max    rated IT power of one unit, hosts and network included                      [W]
    liquid       the unit needs liquid cooling
    racks        rack positions one unit takes (an 8-GPU air-cooled server: 0.25)            [1]
    """

    id: str
    name: str
    chip: Chip
    chips: int
    domain: int
    power_max: float
    liquid: bool
    racks: float


CHIP_TERMS = ("hbm_bytes", "hbm_bw", "link_bw", "nic_bw", "tdp")
SYSTEM_TERMS = ("chips", "domain", "power_max", "liquid", "racks")


def chip_ids(facts: Facts) -> tuple[str, ...]:
    """Every chip of the tables, complete or not."""
    return tuple(s.id for s in facts.subjects.of_kind("chip"))


def system_ids(facts: Facts) -> tuple[str, ...]:
    """Every system of the tables, complete or not."""
    return tuple(s.id for s in facts.subjects.of_kind("system"))


def systems_of(facts: Facts, chip_id: str) -> tuple[str, ...]:
    """Systems that hold this chip."""
    return tuple(s.id for s in facts.subjects.of_kind("system") if s.chip == chip_id)


def chip(facts: Facts, name: str, *, where: str = "") -> Chip:
    """The chip called `name` (id, name or alias) as of the facts' date.

    where    file, line and key of the name, for the message

    Raises FactError for an unknown or ambiguous name, MissingFact with every term that is not known.
    """
    subject = facts.subjects.resolve(name, "chip", where=where)
    raise_all(MissingFact, chip_gaps(facts, subject.id))
    value = {t: facts.value(f"{subject.id}.{t}") for t in CHIP_TERMS}
    peaks = {dtype: fact.value for dtype, fact in facts.find(subject.id, "peak_flops").items()}
    return Chip(id=subject.id, name=subject.name, vendor=subject.vendor, family=subject.family,
                peak_flops=peaks, **value)


def chip_gaps(facts: Facts, chip_id: str) -> list[Problem]:
    """One problem per term of a chip that is not known; [] when it can be planned with."""
    gaps = [missing(facts, f"{chip_id}.{t}") for t in CHIP_TERMS if facts.try_get(f"{chip_id}.{t}") is None]
    if not facts.find(chip_id, "peak_flops"):
        gaps.append(missing(facts, f"{chip_id}.peak_flops@bf16"))
    return gaps


def system(facts: Facts, name: str, *, where: str = "") -> System:
    """The system called `name`, or the only system that holds the chip called `name`, as of the facts' date.

    Raises FactError for an unknown or ambiguous name, MissingFact with every term that is not known of the system
    and of its chip.
    """
    subject = _system_subject(facts, name, where)
    raise_all(MissingFact, system_gaps(facts, subject.id))
    value = {t: facts.value(f"{subject.id}.{t}") for t in SYSTEM_TERMS}
    return System(id=subject.id, name=subject.name, chip=chip(facts, subject.chip), chips=round(value["chips"]),
                  domain=round(value["domain"]), power_max=value["power_max"], liquid=value["liquid"] > 0,
                  racks=value["racks"])


def system_gaps(facts: Facts, system_id: str) -> list[Problem]:
    """One problem per term of a system or its chip that is not known; [] when it can be planned with."""
    gaps = [missing(facts, f"{system_id}.{t}") for t in SYSTEM_TERMS if facts.try_get(f"{system_id}.{t}") is None]
    return gaps + chip_gaps(facts, facts.subjects.by_id[system_id].chip)


def _system_subject(facts: Facts, name: str, where: str) -> Subject:
    subject = facts.subjects.resolve(name, "system", "chip", where=where)
    if subject.kind == "system":
        return subject
    holders = systems_of(facts, subject.id)
    if len(holders) == 1:
        return facts.subjects.by_id[holders[0]]
    named = "; ".join(f"{h} = {facts.subjects.by_id[h].name}" for h in holders)
    what = f'"{name}" is a chip, and {len(holders)} systems hold it' if holders else f'no system holds "{name}"'
    what += f" ({subject.note})" if subject.note else ""
    raise FactError(Problem(where=where, what=what, allowed=named, remedy="Write the id of a system."))
