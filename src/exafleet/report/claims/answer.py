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
from exafleet.report.claims.judge import ESTIMATE, MODEL, Answer, Judged, PartAnswer, Verdict, judge
from exafleet.report.claims.readings import Given
from exafleet.report.claims.records import Claims
from exafleet.report.table import Cell, Column, Report, Table
from exafleet.terms.errors import FactError, Problem, nearest, raise_all
from exafleet.terms.format import written
from exafleet.terms.said import ENGLISH, named, said, say

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
    claimed = {c.id: c.claimed for c in claims.claims}
    answers: list[Answer] = []
    problems: list[Problem] = []
    wanted = [known[one] for one in dict.fromkeys(only)] if only else list(claims.claims)
    for done, claim in enumerate(wanted):
        given = Given(facts=facts, day=claim.day, subject=claim.subject, baseline=claim.baseline, claims=claimed,
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
def as_json(checked: Checked, language: str = ENGLISH) -> dict[str, Any]:
    """Every verdict as plain data, figures in base units and days as ISO dates; sentences are in a language."""
    return {
        "claims": [_claim_json(a, checked.facts, language) for a in checked.answers],
        "title": say(checked.claims.title, language), "source": checked.claims.source,
        "as_of": checked.facts.as_of.isoformat(),
        "facts": say(checked.facts.told, language), "language": language,
        "verdicts": checked.counts, "computed": sum(a.computed for a in checked.answers), **meta(checked),
    }


def meta(checked: Checked) -> dict[str, Any]:
    """What makes an answer repeatable."""
    return {"exafleet": exafleet.__version__, "data_hash": checked.facts.data_hash}


def _claim_json(answer: Answer, facts: Facts, language: str) -> dict[str, Any]:
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
        "value_written": say(ours(answer), language),
        "verdict_written": say(verdict(answer.verdict), language),
        "claimed_written": say(claim.claimed.written, language),
        "bound": claim.claimed.bound,
        "text": dict(claim.text),
        "quantity": claim.quantity.name,
        "subject": claim.subject,
        "baseline": claim.baseline,
        "made_on": claim.day.isoformat(),
        "words_fix": _plain(claim.conditions),
        "because": because(answer, language),
        "steps": [say(s, language) for s in answer.shown.reading.steps],
        "readings": [_reading_json(j, claim.quantity.name, language) for j in answer.judged],
        "would_hold": [_plain(one) for one in answer.beyond],
        "left_open": [_plain(one) for one in answer.maybe],
        "decided_by": [say(one, language) for one in answer.decides],
        "also": [_part_json(p, language) for p in answer.also],
        "note": say(claim.note, language),
    }


def _plain(one: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {axis: list(options) for axis, options in one.items()}


def _value(value: float, of: Amount, quantity: str) -> float | str | bool:
    if of.dims == DAY:
        return date.fromordinal(round(value)).isoformat()
    return bool(value) if quantity == "yes or no" else value


def _claimed_json(claimed: Claimed, quantity: str) -> Any:
    ends = [date.fromordinal(int(v)).isoformat() if claimed.dims == DAY else v for v in (claimed.low, claimed.high)]
    if quantity == "yes or no":
        return bool(claimed.low)
    return ends[0] if claimed.low == claimed.high else ends


def _reading_json(judged: Judged, quantity: str, language: str) -> dict[str, Any]:
    best = judged.reading.amount
    return {
        "chosen": dict(judged.reading.chosen),
        **{end: None if best is None else _value(getattr(best, end), best, quantity)
           for end in ("value", "low", "high")},
        "agreement": judged.agreement.value, "evidence": judged.hedge, "lacks": say(judged.why, language),
    }


def _part_json(part: PartAnswer, language: str) -> dict[str, Any]:
    best = part.judged[0].reading.amount
    return {
        "name": say(part.name, language), "claimed": say(part.claimed.written, language) if part.claimed else None,
        "verdict": part.verdict.value if part.verdict else None,
        "unit": None if best is None else amount.unit_of(best.dims),
        "readings": [_reading_json(j, "", language) | {"written": say(figure(j), language)} for j in part.judged],
        "steps": [say(s, language) for s in part.judged[0].reading.steps],
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
def figure(judged: Judged) -> str:
    """The figure of a reading in words, or that none is known."""
    return said("claims.not known") if judged.reading.amount is None else judged.reading.amount.written


def ours(answer: Answer) -> str:
    """Our figure in words of the claim's quantity."""
    best, name = answer.shown.reading.amount, answer.claim.quantity.name
    if best is None:
        return said("claims.not known")
    if name == "yes or no":
        known = said("claims.yes" if best.value else "claims.no")
        return said("claims.only rumour") if best.kind == "rumour" else known
    if name == "share":
        banded = best.low != best.high
        return said("claims.share band" if banded else "claims.share", middle=best.value, low=best.low, high=best.high)
    if name in ("speed-up", "ratio"):
        return best.told(times=True)
    return best.written


def way(one: Mapping[str, Sequence[str]]) -> str:
    """Options by axis in words."""
    parts = [said("claims.way", axis=named("claims.axis", axis),
                  options=_chain([_option(o) for o in options], lambda a, b: said("claims.or", first=a, rest=b)))
             for axis, options in one.items()]
    return _chain(parts, lambda a, b: said("claims.and", first=a, rest=b)) if parts else ""


def _chain(parts: Sequence[str], both: Callable[[str, str], str]) -> str:
    """Parts one after another; `both` joins the first and the rest."""
    return parts[0] if len(parts) == 1 else both(parts[0], _chain(parts[1:], both))


def _option(option: str) -> str:
    return named("claims.hedge", option) if option in (ESTIMATE, MODEL) else named("claims.option", option)


def ways(every: Sequence[Mapping[str, Sequence[str]]]) -> str:
    """Several of them, the first few in full."""
    shown = [way(one) for one in every[:MOST_WAYS]]
    more = len(every) - MOST_WAYS
    return _chain([*shown, said("claims.ways more", n=more)] if more > 0 else shown,
                  lambda a, b: said("claims.ways", first=a, rest=b))


def reading(judged: Judged) -> str:
    """What a reading chose, in words."""
    return way({axis: (option,) for axis, option in judged.reading.chosen.items()})


def verdict(found: Verdict) -> str:
    """A verdict in words."""
    return named("claims.verdict", found.value)


def agreement(judged: Judged) -> str:
    """What a reading says of the claim."""
    return named("claims.agreement", judged.agreement.value)


def hedge(judged: Judged) -> str:
    """What an agreement rests on where that is little, or what would decide it."""
    return named("claims.hedge", judged.hedge) if judged.hedge else judged.why


def part(found: PartAnswer) -> str:
    """What a further computation has to give, and its verdict; "" where it only informs."""
    if found.claimed is None or found.verdict is None:
        return ""
    return said("claims.part", claimed=found.claimed.written, verdict=verdict(found.verdict))


def because(answer: Answer, language: str = ENGLISH) -> str:
    """Why the verdict is what it is, in a sentence or two."""
    between = " " if language == ENGLISH else ""
    return between.join(say(sentence, language) for sentence in _because(answer))


def _because(answer: Answer) -> Iterator[str]:
    match answer.verdict:
        case Verdict.TRUE:
            if len(answer.judged) > 1:
                yield said("claims.however")
        case Verdict.CONDITIONAL:
            yield said("claims.true where", ways=ways(answer.true_when))
        case Verdict.FALSE:
            yield from _false(answer)
        case _:
            yield said("claims.decided", what=list(answer.decides))


def _false(answer: Answer) -> Iterator[str]:
    """What is right instead, and where the figure may have come from."""
    failed = [p.name for p in answer.also if p.verdict is Verdict.FALSE]
    known = [j.reading.amount for j in answer.judged if j.reading.amount is not None]
    if failed:
        yield said("claims.fails", parts=failed)
    if len(known) > 1:
        low, high = min(known, key=lambda a: a.value), max(known, key=lambda a: a.value)
        yield said("claims.gives", low=amount.spoken(low.value, low.dims), high=amount.spoken(high.value, high.dims))
    if answer.beyond:
        yield said("claims.would hold", ways=ways(answer.beyond))
    if answer.maybe:
        yield said("claims.left open", ways=ways(answer.maybe))


# ---------------------------------------------------------------------------------------------------------- tables
def report(checked: Checked, language: str = ENGLISH) -> Report:
    """Verdicts as tables; the steps of each where there are few. `language` chooses the words of the claims."""
    tables = [_verdicts(checked, language)]
    if len(checked.answers) <= FEW:
        for answer in checked.answers:
            tables += [_readings_table(answer), *([_parts_table(answer)] if answer.also else []),
                       _steps_table(answer), _facts_table(answer)]
    return Report(
        title=checked.claims.title, cards=(), tables=tuple(tables), subtitle=subtitle(checked),
        summary=(counted(checked), said("claims.computed of", n=sum(a.computed for a in checked.answers),
                                        total=len(checked.answers))),
        meta={"exafleet": exafleet.__version__},
    )


def subtitle(checked: Checked) -> str:
    """The day of the claims, and which facts they are held against."""
    return said("claims.subtitle", day=checked.claims.day.isoformat(), facts=checked.facts.told)


def counted(checked: Checked) -> str:
    """Claims by verdict in a sentence."""
    return said("claims.counted", true=checked.counts[Verdict.TRUE], conditional=checked.counts[Verdict.CONDITIONAL],
                false=checked.counts[Verdict.FALSE], open=checked.counts[Verdict.OPEN])


def _columns(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title=named("claims.column", t)) for t in titles)


def spoken(text: Mapping[str, str], language: str = ENGLISH) -> str:
    """A claim's words in a language where it has them, else in English, else in its first."""
    return text.get(language) or text.get("en") or next(iter(text.values()), "")


def _verdicts(checked: Checked, language: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (a.claim.id, spoken(a.claim.text, language), verdict(a.verdict), a.claim.claimed.written, ours(a),
         because(a, language)) for a in checked.answers]
    return Table(id="verdicts", title=said("claims.verdicts"), lead=said("claims.lead"), rows=tuple(rows),
                 columns=_columns("id", "claim", "verdict", "claimed", "ours", "because"),
                 empty=said("claims.no claim"))


def _readings_table(answer: Answer) -> Table:
    rows = tuple((reading(j) or said("claims.as it stands"), figure(j),
                  said("claims.hedged", agreement=agreement(j), hedge=hedge(j)) if j.hedge else agreement(j))
                 for j in answer.judged)
    return Table(id=f"readings-{answer.claim.id}", title=said("claims.every reading of", id=answer.claim.id), rows=rows,
                 columns=_columns("reading", "figure", "the claim"),
                 lead=said("claims.readings lead", claimed=answer.claim.claimed.written))


def _parts_table(answer: Answer) -> Table:
    rows = tuple((p.name, reading(j), figure(j), part(p)) for p in answer.also for j in p.judged)
    return Table(id=f"also-{answer.claim.id}", title=said("claims.beside of", id=answer.claim.id), rows=rows,
                 columns=_columns("what", "reading", "figure", "claimed"), lead=said("claims.parts lead"))


def _steps_table(answer: Answer) -> Table:
    chosen = reading(answer.shown)
    return Table(id=f"steps-{answer.claim.id}", title=said("claims.computation of", id=answer.claim.id),
                 columns=_columns("step"), rows=tuple((s,) for s in answer.shown.reading.steps),
                 empty=said("claims.no steps" if answer.shown.reading.amount is None else "claims.no steps needed"),
                 lead=said("claims.steps lead of", way=chosen) if chosen else said("claims.steps lead"))


def _facts_table(answer: Answer) -> Table:
    rows = tuple((f.key, written(f.value, f.unit), named("kind", f.kind),
                  said("claims.source", source=f.source, place=f.where), f.as_of.isoformat()) for f in used(answer))
    return Table(id=f"facts-{answer.claim.id}", title=said("claims.facts of", id=answer.claim.id), rows=rows,
                 columns=_columns("fact", "value", "kind", "place", "published"),
                 lead=said("claims.facts lead"), empty=said("claims.facts empty"))
