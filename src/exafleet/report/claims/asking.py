"""One evaluation of a claim's computation: the reading it is made under, the steps it takes and the facts it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact, split_key
from exafleet.report.claims.amount import Amount, of_fact
from exafleet.report.claims.claimed import Claimed
from exafleet.terms.said import catalogue, named, said
from exafleet.terms.term import term


class Branch(Exception):
    """An axis of the reading that has not been chosen yet, with the options the claim's words leave."""

    def __init__(self, axis: str, options: Sequence[str]) -> None:
        super().__init__(axis)
        self.axis, self.options = axis, tuple(options)


class NotKnown(Exception):
    """A figure nobody has published, or not by the day that is asked; `what` says what would decide the claim."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Skip(Exception):
    """A reading that cannot be: its other choices leave no option the claim's words allow."""


@dataclass(slots=True)
class Asking:
    """What a computation may ask: facts, the claim's subject and day, the reading; and what it leaves behind.

    fixed    options the claim's words leave, by axis
    chosen   the reading so far; grows by `choose`
    claims   what each claim of the file says, for computations that compare one with another
    kept     results of models, shared by every reading and claim
    """

    facts: Facts
    day: date
    subject: str
    baseline: str
    fixed: Mapping[str, Sequence[str]]
    chosen: Mapping[str, str]
    claims: Mapping[str, Claimed]
    kept: dict[Any, Any]
    steps: list[str] = field(default_factory=list)
    used: dict[str, Fact] = field(default_factory=dict)

    def choose(self, axis: str, options: Sequence[str]) -> str:
        """The option of an axis this reading takes; raises Branch where several are left."""
        if axis in self.chosen:
            if self.chosen[axis] not in options:
                raise Skip
            return self.chosen[axis]
        asked = self.fixed.get(axis)
        left = [o for o in options if asked is None or o in asked]
        if not left:
            raise Skip
        if len(options) == 1:
            return left[0]
        raise Branch(axis, left)

    def within(self, chosen: Mapping[str, str]) -> Asking:
        """The same asking with some axes chosen for what is inside a word; steps and facts are shared."""
        return replace(self, chosen={**self.chosen, **chosen}) if chosen else self

    def fact(self, key: str) -> Amount:
        """A fact by key; raises NotKnown."""
        found = self.facts.try_get(key)
        if found is None:
            raise NotKnown(said("claims.why fact", fact=key, meaning=_meaning(split_key(key)[1])))
        return self.take(found)

    def take(self, found: Fact) -> Amount:
        """A fact that is used, with a step that says so."""
        self.used[found.key] = found
        amount = of_fact(found)
        self.say(said("claims.step.fact", fact=found.key, value=amount.written, kind=named("kind", found.kind),
                      source=found.source, day=found.as_of.isoformat()))
        return amount

    def say(self, step: str) -> None:
        """A step of the computation, once."""
        if step not in self.steps:
            self.steps.append(step)

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        """A result of a model, made once."""
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]


def _meaning(name: str) -> str:
    """What a term means, from the catalogue where it has the term."""
    return named("term", name) if f"term.{name}" in catalogue() else term(name).meaning
