"""Whether what was computed agrees with what is claimed, and the verdict over all readings.

A reading agrees, differs, or is open:
- agrees where the figure, or any figure of its band, is one the claim allows (claimed.py has the tolerance); of a
  bound, where the figure itself keeps it; of a span, where both ends agree;
- a prediction of a model agrees by its best estimate, differs only where its whole 80 % band does, and is open between;
- a rumour leaves it open, and so does a figure nobody has published.
A figure that rests on estimates or on a model alone agrees "as an estimate": it cannot make a claim simply true, unless
the claim is a bound that the whole band keeps.

The verdict: true where every reading the words leave agrees; false where every one differs; true under conditions where
some agree, or all do as estimates; else not decidable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from exafleet.report.claims.amount import DAY, Amount, name, same_kind
from exafleet.report.claims.claimed import Claimed
from exafleet.report.claims.readings import Given, Reading, merged, readings
from exafleet.report.claims.records import Claim, Part
from exafleet.report.claims.vocabulary import axes_of
from exafleet.terms.errors import FactError, Problem
from exafleet.terms.said import said

ESTIMATE, MODEL = "as an estimate", "by the model alone"
_WEAK = ("estimate", "inferred")
Ways = tuple[Mapping[str, tuple[str, ...]], ...]


class Verdict(StrEnum):
    """The four answers."""

    TRUE = "true"
    CONDITIONAL = "true under conditions"
    FALSE = "false"
    OPEN = "not decidable"


class Agreement(StrEnum):
    """What one reading says of a claim."""

    AGREES = "agrees"
    DIFFERS = "differs"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A reading with what it says; `hedge` where it agrees as an estimate or by a model only, `why` if open."""

    reading: Reading
    agreement: Agreement
    hedge: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAnswer:
    """A further computation of a claim: its readings, and its verdict where it must hold too."""

    name: str
    claimed: Claimed | None
    judged: tuple[Judged, ...]
    verdict: Verdict | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The verdict on one claim.

    shown      the reading whose figure stands for the answer
    true_when  conditions under which it holds: options by axis, and what it rests on
    beyond     of a false claim: readings its words exclude under which the figure would hold
    maybe      of a false claim: readings its words exclude that a model's band leaves open
    decides    of one that is not decidable: what would decide it
    """

    claim: Claim
    verdict: Verdict
    shown: Judged
    judged: tuple[Judged, ...]
    true_when: Ways
    beyond: Ways
    maybe: Ways
    decides: tuple[str, ...]
    also: tuple[PartAnswer, ...]

    @property
    def computed(self) -> bool:
        """Whether figures or days were compared; else a cited yes or no, or the lack of a fact, answers."""
        return self.verdict is not Verdict.OPEN and self.claim.quantity.name != "yes or no"


def judge(claim: Claim, given: Given) -> Answer:
    """The verdict on one claim. Raises FactError with the place of what makes no sense."""
    place = claim.places["compute"]
    judged = tuple(_judged(r, claim.claimed, place) for r in readings(
        claim.compute, _fixed(claim.compute, claim), given, place))
    parts = tuple(_part(part, claim, given) for part in claim.also)
    verdict = _whole([_verdict(judged), *(p.verdict for p in parts if p.verdict is not None)])
    beyond, maybe = _beyond(claim, given, judged) if verdict is Verdict.FALSE else ((), ())
    return Answer(claim=claim, verdict=verdict, judged=judged, shown=_shown(judged, claim.claimed), beyond=beyond,
                  maybe=maybe,
                  true_when=_when(judged) if verdict is Verdict.CONDITIONAL else (), also=parts,
                  decides=_decides(judged, parts) if verdict is Verdict.OPEN else ())


def _fixed(compute: Any, claim: Claim) -> dict[str, tuple[str, ...]]:
    """The conditions that a computation has readings for."""
    axes = axes_of(compute)
    return {axis: ways for axis, ways in claim.conditions.items() if set(ways) & set(axes.get(axis, ()))}


def _part(part: Part, claim: Claim, given: Given) -> PartAnswer:
    found = readings(part.compute, _fixed(part.compute, claim), given, part.place)
    if part.claimed is None:
        return PartAnswer(name=part.name, claimed=None, verdict=None, judged=tuple(
            Judged(reading=r, agreement=Agreement.OPEN) for r in found))
    judged = tuple(_judged(r, part.claimed, part.place) for r in found)
    return PartAnswer(name=part.name, claimed=part.claimed, judged=judged, verdict=_verdict(judged))


# ------------------------------------------------------------------------------------------------------ one reading
def _judged(reading: Reading, claim: Claimed, place: str) -> Judged:
    """What a reading says of what is claimed; raises FactError where the two are not of one kind."""
    amount = reading.amount
    if amount is None:
        return Judged(reading=reading, agreement=Agreement.OPEN, why=reading.lacks)
    if not same_kind(amount.dims, claim.dims):
        raise FactError(Problem(where=place, what=f"this computes a {name(amount.dims)}, the claim is about a "
                                                  f"{name(claim.dims)}"))
    agreement = _predicted(amount, claim) if amount.predicted else _measured(amount, claim)
    if amount.kind == "rumour":
        rumours = [f"{f.key} ({f.source})" for f in reading.facts if f.kind == "rumour"]
        return Judged(reading=reading, agreement=Agreement.OPEN, why=said("claims.why rumour", facts=rumours))
    if agreement is Agreement.OPEN:
        return Judged(reading=reading, agreement=agreement,
                      why=said("claims.why band", band=amount.written, claimed=claim.written))
    hedge = _hedge(amount, claim) if agreement is Agreement.AGREES else ""
    return Judged(reading=reading, agreement=agreement, hedge=hedge)


def _measured(amount: Amount, claim: Claimed) -> Agreement:
    if claim.bound and claim.bound != "top":
        good = keeps(amount.value, claim)
    elif amount.spans:
        good = keeps(amount.low, _end(claim, claim.low)) and keeps(amount.high, _end(claim, claim.high))
    else:
        good = amount.low <= claim.top and amount.high >= claim.bottom
    return Agreement.AGREES if good else Agreement.DIFFERS


def _predicted(amount: Amount, claim: Claimed) -> Agreement:
    if keeps(amount.value, claim):
        return Agreement.AGREES
    if claim.bound and claim.bound != "top":
        within = keeps(amount.low, claim) or keeps(amount.high, claim)
    else:
        within = amount.low <= claim.top and amount.high >= claim.bottom
    return Agreement.OPEN if within else Agreement.DIFFERS


def keeps(value: float, claim: Claimed) -> bool:
    """Whether one figure is what a claim says, within its tolerance."""
    match claim.bound:
        case "least":
            return value >= claim.bottom
        case "most":
            return value <= claim.top
        case "above":
            return value > claim.high
        case "below":
            return value < claim.low
        case _:
            return claim.bottom <= value <= claim.top


def _end(claim: Claimed, value: float) -> Claimed:
    """One end of a claimed range as a claim of its own."""
    slack = claim.slack[0] if value == claim.low else claim.slack[1]
    return Claimed(low=value, high=value, slack=(slack, slack), dims=claim.dims)


def _hedge(amount: Amount, claim: Claimed) -> str:
    """What an agreement rests on where that is too little to make a claim simply true."""
    bounded = claim.bound in ("least", "most", "above", "below")
    if claim.dims == DAY or (bounded and keeps(amount.low, claim) and keeps(amount.high, claim)):
        return ""
    return MODEL if amount.predicted else ESTIMATE if amount.kind in _WEAK else ""


# -------------------------------------------------------------------------------------------------------- verdicts
def _verdict(judged: Sequence[Judged]) -> Verdict:
    said = {j.agreement for j in judged}
    if said == {Agreement.AGREES}:
        return Verdict.CONDITIONAL if all(j.hedge for j in judged) else Verdict.TRUE
    if Agreement.AGREES in said:
        return Verdict.CONDITIONAL
    return Verdict.OPEN if Agreement.OPEN in said else Verdict.FALSE


def _whole(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim with several parts: the worst."""
    order = (Verdict.FALSE, Verdict.OPEN, Verdict.CONDITIONAL, Verdict.TRUE)
    return min(verdicts, key=order.index)


def _when(judged: Sequence[Judged]) -> Ways:
    """Conditions under which a claim holds, in few words; what it rests on is one of them."""
    agreeing = [{**j.reading.chosen, **({"evidence": j.hedge} if j.hedge else {})} for j in judged
                if j.agreement is Agreement.AGREES]
    return tuple(sorted(merged(agreeing), key=lambda one: "evidence" in one))


def _beyond(claim: Claim, given: Given, judged: Sequence[Judged]) -> tuple[Ways, Ways]:
    """Readings that the words of a false claim exclude: those under which it would hold, and those left open."""
    if not claim.conditions or any(j.agreement is not Agreement.DIFFERS for j in judged):
        return (), ()
    place = claim.places["compute"]
    every = [_judged(r, claim.claimed, place) for r in readings(claim.compute, {}, given, place)]
    holds, open_ = (merged([dict(j.reading.chosen) for j in every if j.agreement is agreement])
                    for agreement in (Agreement.AGREES, Agreement.OPEN))
    return tuple(holds), tuple(open_)


def _shown(judged: Sequence[Judged], said: Claimed) -> Judged:
    """The reading that stands for the answer: one that agrees, else the one nearest to what is claimed."""
    agreeing = [j for j in judged if j.agreement is Agreement.AGREES]
    known = agreeing or [j for j in judged if j.reading.amount is not None]
    return min(known, key=lambda j: _distance(j.reading.amount, said), default=judged[0])


def _distance(amount: Amount | None, said: Claimed) -> float:
    assert amount is not None
    if said.dims == DAY or amount.value <= 0 or said.middle <= 0:
        return abs(amount.value - said.middle)
    return abs(math.log(amount.value / said.middle))


def _decides(judged: Sequence[Judged], parts: Sequence[PartAnswer]) -> tuple[str, ...]:
    every = [*judged, *(j for p in parts if p.verdict is not None for j in p.judged)]
    return tuple(dict.fromkeys(j.why for j in every if j.why))
