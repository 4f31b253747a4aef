"""What `facts check` looks at beyond single rows, and what changed between two dates.

Reading already refuses wrong rows; here the tables are looked at as a whole: does every chip, system and model have
the terms a plan needs, is every source used, does a listed figure contradict another.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from exafleet.facts.architecture import arch, arch_gaps, arch_ids
from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import CHIP_TERMS, chip_gaps, chip_ids, system_gaps, system_ids
from exafleet.terms.errors import FactError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A chip, system or model that cannot be planned with, and the terms it lacks."""

    subject: str
    kind: str
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Tables as a whole: contradictions are mistakes, gaps and disagreements are only to be known."""

    facts: int
    mistakes: tuple[Problem, ...]
    gaps: tuple[Gap, ...]
    disagreements: tuple[str, ...]
    unused_sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A key whose fact differs between two dates; `before` is None where nothing was known."""

    key: str
    before: Fact | None
    after: Fact


def check(facts: Facts) -> Review:
    """Look at the tables as a whole, as of the facts' date."""
    used = {f.source for by_at in facts.table.values() for many in by_at.values() for f in many}
    return Review(facts=len(facts), mistakes=tuple(_mistakes(facts)), gaps=tuple(gaps(facts)),
                  disagreements=tuple(disagreements(facts)), unused_sources=tuple(sorted(set(facts.sources) - used)))


def gaps(facts: Facts) -> list[Gap]:
    """Chips, systems and models that lack a term a plan needs."""
    found = [Gap(subject=i, kind="chip", lacks=_lacks(chip_gaps(facts, i))) for i in chip_ids(facts)]
    found += [Gap(subject=i, kind="system", lacks=_lacks(system_gaps(facts, i))) for i in system_ids(facts)]
    found += [Gap(subject=i, kind="model", lacks=_lacks(arch_gaps(facts, i))) for i in arch_ids(facts)]
    return [g for g in found if g.lacks]


def disagreements(facts: Facts) -> list[str]:
    """Keys where a losing fact of the same standing lies outside the winner's low and high."""
    found = []
    for fact in facts:
        others = [o for o in facts.competing(fact.key) if o.kind == fact.kind and o.own == fact.own]
        if any(not fact.low <= o.value <= fact.high for o in others):
            found.append(fact.key)
    return sorted(found)


def diff(before: Facts, after: Facts) -> list[Change]:
    """Keys that became known or whose winning fact changed, by key."""
    changes = []
    for fact in after:
        old = before.try_get(fact.key)
        if old is None or _told(old) != _told(fact):
            changes.append(Change(key=fact.key, before=old, after=fact))
    return sorted(changes, key=lambda c: c.key)


def _told(fact: Fact) -> tuple[float, float, float, str, str, str]:
    return fact.value, fact.low, fact.high, fact.kind, fact.source, fact.where


def _lacks(problems: list[Problem]) -> tuple[str, ...]:
    return tuple(p.what.split('"')[1] for p in problems)


def _mistakes(facts: Facts) -> list[Problem]:
    """Contradictions no single row shows."""
    found = [p for i in chip_ids(facts) for p in _chip_mistakes(facts, i)]
    for model in arch_ids(facts):
        if not arch_gaps(facts, model):
            try:
                arch(facts, model)
            except FactError as error:
                found += error.problems
    for system in system_ids(facts):
        found += _system_mistakes(facts, system)
    return found


def _chip_mistakes(facts: Facts, chip: str) -> list[Problem]:
    """A narrower number format is never slower, and no rating is zero."""
    peaks = facts.find(chip, "peak_flops")
    order = [d for d in ("tf32", "bf16", "fp8", "fp4") if d in peaks]
    found = [Problem(where=_place(peaks[b]), what=f"{chip}: {b} is slower than {a}")
             for a, b in pairwise(order) if peaks[b].value < peaks[a].value]
    known = [t for t in CHIP_TERMS if facts.try_get(f"{chip}.{t}") is not None]
    return found + [Problem(where=_place(f), what=f"{f.key}: zero") for t in known if t not in ("link_bw", "nic_bw")
                    for f in (facts.get(f"{chip}.{t}"),) if f.value <= 0]


def _system_mistakes(facts: Facts, system: str) -> list[Problem]:
    """A unit draws at least as much as its chips do when they sit idle, and never ten times their rating."""
    power, count = facts.try_get(f"{system}.power_max"), facts.try_value(f"{system}.chips")
    tdp = facts.try_value(f"{facts.subjects.by_id[system].chip}.tdp")
    if power is None or count is None or tdp is None or 0.5 <= power.value / (count * tdp) <= 10.0:
        return []
    return [Problem(where=_place(power), what=f"{power.key} does not fit its chips",
                    got=f"{power.value:g} W for {count:g} chips of {tdp:g} W")]


def _place(fact: Fact) -> str:
    return f"{fact.file}:{fact.line}"
