"""Verdicts on a file of claims: computed, and told as JSON and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import exafleet
from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.report.claims import amount
from exafleet.report.claims.amount import DAY, Amount
from exafleet.report.claims.claimed import Claimed
from exafleet.report.claims.judge import Answer, Judged, PartAnswer, Verdict, judge
from exafleet.report.claims.readings import Given
from exafleet.report.claims.records import Claims
from exafleet.report.table import Cell, Column, Report, Table
from exafleet.terms.errors import FactError, Problem, nearest, raise_all
from exafleet.terms.format import written

# Ways listed in one sentence; JSON lists every one.
MOST_WAYS = 3
# With no more claims than this the terminal shows the steps of each.
FEW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A file of claims with the verdict on each; `left` names those that Ctrl-C left unchecked."""

    claims: Claims
    answers: tuple[Answer, ...]
    facts: Facts
    left: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Claims by verdict, every verdict named."""
        found = Counter(a.verdict for a in self.answers)
        return {v.value: found[v] for v in Verdict}


def check(claims: Claims, facts: Facts, only: Sequence[str] = (),
          told: Callable[[str, int, int], None] | None = None) -> Checked:
    """The verdict on every claim of a file, or on some by id.

    told   is called before each claim with its id, how many are done and how many there are

    Raises FactError with every mistake that only computing shows.
    """
    known = {c.id: c for c in claims.claims}
    unknown = [Problem(where="--only", what=f'no claim "{one}" in {claims.file}', remedy=nearest(one, known))
               for one in only if one not in known]
    if unknown:
        raise FactError(unknown)
    kept: dict[Any, Any] = {}
    said = {c.id: c.claimed for c in claims.claims}
    answers: list[Answer] = []
    problems: list[Problem] = []
    wanted = [known[one] for one in dict.fromkeys(only)] if only else list(claims.claims)
    for done, claim in enumerate(wanted):
        given = Given(facts=facts, day=claim.day, subject=claim.subject, baseline=claim.baseline, claims=said,
                      kept=kept)
        try:
            if told is not None:
                told(claim.id, done, len(wanted))
            answers.append(judge(claim, given))
        except FactError as error:
            problems += error.problems
        except KeyboardInterrupt:
            left = tuple(c.id for c in wanted[done:])
            return Checked(claims=claims, answers=tuple(answers), facts=facts, left=left)
    raise_all(FactError, problems)
    return Checked(claims=claims, answers=tuple(answers), facts=facts)


# ------------------------------------------------------------------------------------------------------------ JSON
def as_json(checked: Checked) -> dict[str, Any]:
    """Every verdict as plain data, figures in base units and days as ISO dates."""
    return {
        "claims": [_claim_json(a, checked.facts) for a in checked.answers],
        "title": checked.claims.title, "source": checked.claims.source, "as_of": checked.facts.as_of.isoformat(),
        "verdicts": checked.counts, "computed": sum(a.computed for a in checked.answers), **meta(checked),
    }


def meta(checked: Checked) -> dict[str, Any]:
    """What makes an answer repeatable."""
    return {"exafleet": exafleet.__version__, "data_hash": checked.facts.data_hash}


def _claim_json(answer: Answer, facts: Facts) -> dict[str, Any]:
    claim, best = answer.claim, answer.shown.reading.amount
    return {
        "id": claim.id,
        "verdict": answer.verdict.value,
        "computed": answer.computed,
        "value": None if best is None else _value(best.value, best, claim.quantity.name),
        "claimed": _claimed_json(claim.claimed, claim.quantity.name),
        "conditions": [_plain(one) for one in answer.true_when],
        "facts": [fact_json(f, facts) for f in used(answer)],
        "unit": None if best is None else amount.unit_of(best.dims),
        "low": None if best is None else _value(best.low, best, claim.quantity.name),
        "high": None if best is None else _value(best.high, best, claim.quantity.name),
        "value_written": ours(answer),
        "claimed_written": claim.claimed.written,
        "bound": claim.claimed.bound,
        "text": dict(claim.text),
        "quantity": claim.quantity.name,
        "subject": claim.subject,
        "baseline": claim.baseline,
        "made_on": claim.day.isoformat(),
        "words_fix": _plain(claim.conditions),
        "because": because(answer),
        "steps": list(answer.shown.reading.steps),
        "readings": [_reading_json(j, claim.quantity.name) for j in answer.judged],
        "would_hold": [_plain(one) for one in answer.beyond],
        "left_open": [_plain(one) for one in answer.maybe],
        "decided_by": list(answer.decides),
        "also": [_part_json(p) for p in answer.also],
        "note": claim.note,
    }


def _plain(one: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {axis: list(options) for axis, options in one.items()}


def _value(value: float, of: Amount, quantity: str) -> float | str | bool:
    if of.dims == DAY:
        return date.fromordinal(round(value)).isoformat()
    return bool(value) if quantity == "yes or no" else value


def _claimed_json(said: Claimed, quantity: str) -> Any:
    ends = [date.fromordinal(int(v)).isoformat() if said.dims == DAY else v for v in (said.low, said.high)]
    if quantity == "yes or no":
        return bool(said.low)
    return ends[0] if said.low == said.high else ends


def _reading_json(judged: Judged, quantity: str) -> dict[str, Any]:
    best = judged.reading.amount
    return {
        "chosen": dict(judged.reading.chosen),
        **{end: None if best is None else _value(getattr(best, end), best, quantity)
           for end in ("value", "low", "high")},
        "agreement": judged.agreement.value, "evidence": judged.hedge, "lacks": judged.why,
    }


def _part_json(part: PartAnswer) -> dict[str, Any]:
    best = part.judged[0].reading.amount
    return {
        "name": part.name, "claimed": part.claimed.written if part.claimed else None,
        "verdict": part.verdict.value if part.verdict else None,
        "unit": None if best is None else amount.unit_of(best.dims),
        "readings": [_reading_json(j, "") | {"written": said(j)} for j in part.judged],
        "steps": list(part.judged[0].reading.steps),
    }


def fact_json(fact: Fact, facts: Facts) -> dict[str, Any]:
    """A fact with its source and day."""
    return {"key": fact.key, "value": fact.value, "written": written(fact.value, fact.unit), "kind": fact.kind,
            "source": fact.source, "title": facts.sources.get(fact.source, ""), "where": fact.where,
            "published": fact.as_of.isoformat(), "note": fact.note}


def used(answer: Answer) -> list[Fact]:
    """Every fact of every reading and part, the shown reading's first."""
    every = [answer.shown, *answer.judged, *(j for p in answer.also for j in p.judged)]
    return list({f.key: f for j in every for f in j.reading.facts}.values())


# ----------------------------------------------------------------------------------------------------------- words
def said(judged: Judged) -> str:
    """The figure of a reading in words, or that none is known."""
    return "not known" if judged.reading.amount is None else judged.reading.amount.written


def ours(answer: Answer) -> str:
    """Our figure in words of the claim's quantity."""
    best, name = answer.shown.reading.amount, answer.claim.quantity.name
    if best is None:
        return "not known"
    if name == "yes or no":
        return "no better evidence than a rumour" if best.kind == "rumour" else "yes" if best.value else "no"
    if name == "share":
        from exafleet.terms.format import percent

        ends = "" if best.low == best.high else f" ({percent(best.low)} to {percent(best.high)})"
        return percent(best.value) + ends
    if name in ("speed-up", "ratio"):
        return best.written.replace(" (", "x (", 1) if " (" in best.written else f"{best.written}x"
    return best.written


def way(one: Mapping[str, Sequence[str]]) -> str:
    """Options by axis in words."""
    return ", ".join(f"{axis}: {' or '.join(ways)}" for axis, ways in one.items())


def ways(every: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """Several of them, the first few in full."""
    more = len(every) - MOST_WAYS
    return "; or ".join(way(one) for one in every[:MOST_WAYS]) + (f"; or {more} more" if more > 0 else "")


def because(answer: Answer) -> str:
    """Why the verdict is what it is, in a sentence or two."""
    match answer.verdict:
        case Verdict.TRUE:
            return "However its words are read." if len(answer.judged) > 1 else ""
        case Verdict.CONDITIONAL:
            return f"True where {ways(answer.true_when)}."
        case Verdict.FALSE:
            return " ".join(_false(answer))
        case _:
            return "Would be decided by " + "; ".join(answer.decides) + "."


def _false(answer: Answer) -> Iterator[str]:
    """What is right instead, and where the figure may have come from."""
    failed = [p.name for p in answer.also if p.verdict is Verdict.FALSE]
    known = [j.reading.amount for j in answer.judged if j.reading.amount is not None]
    if failed:
        yield f"Does not hold for: {', '.join(failed)}."
    if len(known) > 1:
        low, high = min(known, key=lambda a: a.value), max(known, key=lambda a: a.value)
        yield (f"Its readings give {amount.spoken(low.value, low.dims)} to "
               f"{amount.spoken(high.value, high.dims)}.")
    if answer.beyond:
        yield f"Its figure would hold where {ways(answer.beyond)}."
    if answer.maybe:
        yield f"The model leaves it open where {ways(answer.maybe)}."


# ---------------------------------------------------------------------------------------------------------- tables
def report(checked: Checked) -> Report:
    """Verdicts as tables; the steps of each where there are few."""
    tables = [_verdicts(checked)]
    if len(checked.answers) <= FEW:
        for answer in checked.answers:
            tables += [_readings_table(answer), *([_parts_table(answer)] if answer.also else []),
                       _steps_table(answer), _facts_table(answer)]
    counts = ", ".join(f"{n} {verdict}" for verdict, n in checked.counts.items())
    return Report(
        title=checked.claims.title, cards=(), tables=tuple(tables),
        subtitle=f"claims of {checked.claims.day.isoformat()}, facts as of {checked.facts.as_of.isoformat()}",
        summary=(f"Claims: {counts}.", (
            f"Computed: {sum(a.computed for a in checked.answers)} of {len(checked.answers)}; the others rest on one "
            "cited fact, or on the lack of one.")),
        meta={"exafleet": exafleet.__version__},
    )


def _columns(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title=t) for t in titles)


def spoken(text: Mapping[str, str]) -> str:
    """A claim's words in English where it has them, else in its first language."""
    return text.get("en") or next(iter(text.values()), "")


def _verdicts(checked: Checked) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (a.claim.id, spoken(a.claim.text), a.verdict.value, a.claim.claimed.written, ours(a), because(a))
        for a in checked.answers]
    return Table(id="verdicts", title="Verdicts",
                 columns=_columns("id", "claim", "verdict", "claimed", "ours", "because"),
                 lead="What is claimed, what comes of it, and when it holds.", rows=tuple(rows),
                 empty="No claim to check.")


def _readings_table(answer: Answer) -> Table:
    rows = tuple((way({axis: (o,) for axis, o in j.reading.chosen.items()}) or "as it stands", said(j),
                  j.agreement.value + (f" ({j.hedge})" if j.hedge else "")) for j in answer.judged)
    return Table(id=f"readings-{answer.claim.id}", title=f"{answer.claim.id}: every reading", rows=rows,
                 columns=_columns("reading", "figure", "the claim"),
                 lead=f"Claimed is {answer.claim.claimed.written}.")


def _parts_table(answer: Answer) -> Table:
    rows = tuple((p.name, way({a: (o,) for a, o in j.reading.chosen.items()}), said(j),
                  "" if p.claimed is None else f"{p.claimed.written}: {p.verdict.value if p.verdict else ''}")
                 for p in answer.also for j in p.judged)
    return Table(id=f"also-{answer.claim.id}", title=f"{answer.claim.id}: beside it", rows=rows,
                 columns=_columns("what", "reading", "figure", "claimed"),
                 lead="Figures that inform, and those the claim names as well.")


def _steps_table(answer: Answer) -> Table:
    return Table(id=f"steps-{answer.claim.id}", title=f"{answer.claim.id}: the computation", columns=_columns("step"),
                 rows=tuple((s,) for s in answer.shown.reading.steps), empty="Nothing could be computed.",
                 lead=f"Of the reading shown{': ' if answer.shown.reading.chosen else ''}"
                      f"{way({a: (o,) for a, o in answer.shown.reading.chosen.items()})}.")


def _facts_table(answer: Answer) -> Table:
    rows = tuple((f.key, written(f.value, f.unit), f.kind, f"{f.source}: {f.where}", f.as_of.isoformat())
                 for f in used(answer))
    return Table(id=f"facts-{answer.claim.id}", title=f"{answer.claim.id}: facts", rows=rows,
                 columns=_columns("fact", "value", "kind", "source: place in it", "published"),
                 lead="Everything it rests on.", empty="It rests on no fact.")
