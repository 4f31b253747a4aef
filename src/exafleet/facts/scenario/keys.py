"""The numbers of a scenario by key: listed, read, set and scaled without reading the file again.

A key is the record's own key and the name of its field: "offers.gb200-maker.price", "owners.lab.quota.north",
"offers.gb200-maker.queue.premium", "jobs.base.tokens", "scenario.discount", "risk.weight".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

from exafleet.facts.deals import Queue
from exafleet.facts.records import Scenario
from exafleet.facts.scenario.document import ARRAY_NAMES, record_key
from exafleet.facts.scenario.kinds import Budget, Quantiles, Quota, Series, Term
from exafleet.facts.scenario.values import Amount, Kind, Reading, Where, Wrong
from exafleet.facts.steps import Spread, Steps
from exafleet.terms.errors import OutOfRange, Problem, ScenarioError, nearest

HEADS = ("scenario", "risk", "uncertainty", *ARRAY_NAMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioKey:
    """One number of a scenario.

    value   in `unit`: a series counts with its value in the plan's first month (or its first one that is not zero),
            a spread with its middle, a budget with its sum
    shape   "number", "series", "spread" or "budget"
    where   file and line
    source  the comment beside it, or the fact it was taken from
    """

    key: str
    value: float
    unit: str
    term: str
    shape: str
    where: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a key's value is kept, how it is written, and how a new one is put there."""

    value: Any
    kind: Kind
    term: str
    put: Callable[[Any], Scenario]
    record: Any


def is_scenario_key(key: str) -> bool:
    """Keys of facts begin with a subject, keys of a scenario with one of its tables."""
    return key.split(".", 1)[0] in HEADS and "." in key


def keys(scenario: Scenario) -> Iterator[ScenarioKey]:
    """Every number of a scenario, in the order of its records; without lines and sources."""
    for key, slot in _slots(scenario):
        yield ScenarioKey(key=key, value=number(slot.value, scenario.start), unit=_amount(slot.kind).unit,
                          term=slot.term, shape=_shape(slot.value), where=getattr(slot.record, "where", ""))


def value(scenario: Scenario, key: str) -> float:
    """One number by key; raises ScenarioError with the nearest keys."""
    return number(_slot(scenario, key).value, scenario.start)


def band(scenario: Scenario, key: str) -> tuple[float, float] | None:
    """Low and high of a spread by key; None for a key that has no band. Raises ScenarioError for an unknown one."""
    held = _slot(scenario, key).value
    return (held.low, held.high) if isinstance(held, Spread) else None


def scaled(scenario: Scenario, key: str, factor: float) -> Scenario:
    """The scenario with one number, or every number of its series or spread, times `factor`.

    Raises ScenarioError for an unknown key, OutOfRange for a result the key does not allow.
    """
    slot = _slot(scenario, key)
    return slot.put(_checked(key, slot, _times(slot.value, factor)))


def with_value(scenario: Scenario, key: str, new: float | str, reading: Reading) -> Scenario:
    """The scenario with one number replaced: a float in the key's unit, or words such as "250 MW".

    A series becomes constant, a spread certain, a budget one sum at the start. Raises ScenarioError for an unknown
    key, UnitError or OutOfRange for a bad value.
    """
    slot = _slot(scenario, key)
    if isinstance(new, str):
        try:
            system = getattr(slot.record, "system", None)
            made = slot.kind.read(new, Where(reading, {"system": system} if system else {}, slot.term))
        except Wrong as error:
            raise ScenarioError(Problem(where=key, what=p.what, got=p.got, allowed=p.allowed, remedy=p.remedy)
                                for _, p in error.wrongs) from None
        return slot.put(made)
    return slot.put(_checked(key, slot, _made(slot.value, float(new), scenario.start)))


def number(held: Any, start: int) -> float:
    """One number that stands for a value of any shape."""
    if isinstance(held, Steps):
        series = (float(held.at([start])[0]), *held.values)
        return next((v for v in series if v), 0.0)
    if isinstance(held, Spread):
        return held.mid
    if isinstance(held, tuple):
        return float(sum(v for _, v in held))
    return float(held)


def _shape(held: Any) -> str:
    return {Steps: "series", Spread: "spread", tuple: "budget"}.get(type(held), "number")


def _times(held: Any, factor: float) -> Any:
    if isinstance(held, Steps):
        return held.scaled(factor)
    if isinstance(held, Spread):
        return Spread(low=held.low * factor, mid=held.mid * factor, high=held.high * factor)
    if isinstance(held, tuple):
        return tuple((m, v * factor) for m, v in held)
    return held * factor


def _made(held: Any, new: float, start: int) -> Any:
    if isinstance(held, Steps):
        return Steps.constant(new)
    if isinstance(held, Spread):
        return Spread(low=new, mid=new, high=new)
    return ((start, new),) if isinstance(held, tuple) else new


def _checked(key: str, slot: _Slot, new: Any) -> Any:
    """The new value, whole where the key is; raises OutOfRange."""
    amount = _amount(slot.kind)
    for one in _numbers(new):
        if not (math.isfinite(one) and amount.low <= one <= amount.high):
            raise OutOfRange(Problem(where=key, what="out of range", got=f"{one:g}", allowed=amount.span()))
    return round(new) if amount.whole else new


def _numbers(held: Any) -> tuple[float, ...]:
    if isinstance(held, Steps):
        return (held.before, *held.values)
    if isinstance(held, Spread):
        return (held.low, held.mid, held.high)
    return tuple(v for _, v in held) if isinstance(held, tuple) else (float(held),)


def _amount(kind: Kind) -> Amount:
    while not isinstance(kind, Amount):
        kind = kind.of  # type: ignore[attr-defined]
    return kind


# ------------------------------------------------------------------------------------------------- finding the number
def _slot(scenario: Scenario, key: str) -> _Slot:
    array = key.split(".", 1)[0]
    near = [(k, s) for k, s in _slots(scenario, (array,) if array in HEADS else HEADS, key)]
    found = next((slot for k, slot in near if k == key), None)
    if found is None:
        known = [k for k, _ in _slots(scenario)]
        raise ScenarioError(Problem(what=f'the scenario has no number "{key}"', remedy=nearest(key, known)))
    return found


def _slots(scenario: Scenario, heads: tuple[str, ...] = HEADS, key: str = "") -> Iterator[tuple[str, _Slot]]:
    """Every number of these tables; only of the record `key` begins with when that is given."""
    for head in heads:
        if head in ("scenario", "risk", "uncertainty"):
            yield from _top(scenario, head)
            continue
        many = getattr(scenario, head)
        for index, record in enumerate(many):
            name = record_key(head, record)
            if key.startswith(f"{name}.") or not key:
                yield from _of_record(name, record, _model(head, record), _putter(scenario, head, index))


def _putter(scenario: Scenario, array: str, index: int) -> Callable[[Any], Scenario]:
    """Puts a changed record where it was."""

    def put(record: Any) -> Scenario:
        many = getattr(scenario, array)
        changed: dict[str, Any] = {array: (*many[:index], record, *many[index + 1:])}
        return replace(scenario, **changed)

    return put


def _top(scenario: Scenario, head: str) -> Iterator[tuple[str, _Slot]]:
    from exafleet.facts.scenario.schema import RiskKeys, ScenarioKeys, UncertaintyKeys

    if head == "risk":
        yield from _of_record("risk", scenario.risk, RiskKeys, lambda risk: replace(scenario, risk=risk))
        return
    if head == "uncertainty":
        yield from _of_record("uncertainty", scenario.uncertainty, UncertaintyKeys,
                              lambda changed: replace(scenario, uncertainty=changed))
        return
    yield from _of_record("scenario", scenario, ScenarioKeys, lambda changed: changed)


def _of_record(name: str, record: Any, model: Any, put: Callable[[Any], Scenario]) -> Iterator[tuple[str, _Slot]]:
    from exafleet.facts.scenario.schema_deals import QueueKeys
    from exafleet.facts.scenario.schema_words import kind_of

    held = {f.name for f in fields(record)}
    for term, info in model.model_fields.items():
        kind, value = kind_of(info), getattr(record, term, None)
        if isinstance(value, Queue):
            yield from _of_record(f"{name}.{term}", value, QueueKeys,
                                  lambda queue: put(replace(record, queue=queue)))
        elif isinstance(kind, Quota):
            yield from _quotas(name, record, kind, put)
        elif isinstance(kind, Amount | Series | Quantiles | Budget | Term) and term in held and value is not None:
            yield f"{name}.{term}", _Slot(value, kind, term, _field_putter(record, term, put), record)


def _field_putter(record: Any, term: str, put: Callable[[Any], Scenario]) -> Callable[[Any], Scenario]:
    return lambda value: put(replace(record, **{term: value}))


def _quotas(name: str, owner: Any, kind: Quota, put: Callable[[Any], Scenario]) -> Iterator[tuple[str, _Slot]]:
    for index, (site, steps) in enumerate(owner.quota):
        def put_quota(new: Any, index: int = index, site: str = site) -> Scenario:
            return put(replace(owner, quota=(*owner.quota[:index], (site, new), *owner.quota[index + 1:])))

        yield f"{name}.quota.{site}", _Slot(steps, kind.of, "quota", put_quota, owner)


def _model(array: str, record: Any) -> Any:
    from exafleet.facts.scenario.schema import ARRAYS, JOBS

    if array != "jobs":
        return ARRAYS[array][0]
    return next(model for model, kind in JOBS.values() if isinstance(record, kind))
