"""A computation under every reading that the words of a claim leave: each way to choose its axes is tried once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.report.claims.amount import Amount, Mismatch
from exafleet.report.claims.asking import Asking, Branch, NotKnown, Skip
from exafleet.report.claims.claimed import Claimed
from exafleet.report.claims.vocabulary import evaluate
from exafleet.terms.errors import FactError, Problem

# More readings than this of one claim are a mistake of its author, not a question.
MOST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading: what was chosen on each axis, and what came of it.

    amount   None where a figure is not known; `lacks` says which
    """

    chosen: Mapping[str, str]
    amount: Amount | None
    lacks: str
    steps: tuple[str, ...]
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What every reading of a claim shares."""

    facts: Facts
    day: date
    subject: str
    baseline: str
    claims: Mapping[str, Claimed]
    kept: dict[Any, Any]


def readings(compute: Any, fixed: Mapping[str, Sequence[str]], given: Given, place: str) -> list[Reading]:
    """Every reading. Raises FactError with the place of a computation that makes no sense."""
    found: list[Reading] = []
    open_: list[dict[str, str]] = [{}]
    while open_:
        chosen = open_.pop()
        asking = Asking(facts=given.facts, day=given.day, subject=given.subject, baseline=given.baseline, fixed=fixed,
                        chosen=chosen, claims=given.claims, kept=given.kept)
        try:
            amount, lacks = evaluate(compute, asking), ""
        except Branch as branch:
            open_ += [{**chosen, branch.axis: option} for option in reversed(branch.options)]
            if len(found) + len(open_) > MOST:
                raise FactError(Problem(where=place, what="too many readings", got=f"more than {MOST:,}",
                                        remedy="Fix more of them under `conditions`.")) from None
            continue
        except NotKnown as missing:
            amount, lacks = None, missing.what
        except Skip:
            continue
        except Mismatch as error:
            raise FactError(Problem(where=place, what=f"this cannot be computed: {error}")) from None
        found.append(Reading(chosen=dict(chosen), amount=amount, lacks=lacks, steps=tuple(asking.steps),
                             facts=tuple(asking.used.values())))
    if not found:
        raise FactError(Problem(where=place, what="the conditions leave no reading",
                                got=", ".join(f"{axis}: {' or '.join(ways)}" for axis, ways in fixed.items())))
    return found


def merged(chosen: Sequence[Mapping[str, str]]) -> list[dict[str, tuple[str, ...]]]:
    """Readings in fewer words: those that differ on one axis become one with both options there.

    >>> merged([{"a": "1", "b": "x"}, {"a": "2", "b": "x"}])
    [{'a': ('1', '2'), 'b': ('x',)}]
    """
    sets: list[dict[str, tuple[str, ...]]] = [{axis: (option,) for axis, option in one.items()} for one in chosen]
    joined = True
    while joined:
        joined = False
        for i, one in enumerate(sets):
            for j in range(i + 1, len(sets)):
                apart = [axis for axis in one if one[axis] != sets[j].get(axis)]
                if set(one) == set(sets[j]) and len(apart) <= 1:
                    for axis in apart:
                        one[axis] = tuple(dict.fromkeys((*one[axis], *sets[j][axis])))
                    del sets[j]
                    joined = True
                    break
    return sets
