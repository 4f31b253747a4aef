"""Two plans side by side: inputs, money, orders and dates that differ, and which input makes how much of it.

Both sides come as the JSON of their reports, so a plan of which nothing else is left can be compared too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.report.table import Cell, Report, Table, column
from exafleet.sweep.difference import Change, Why, held
from exafleet.sweep.variations import in_words
from exafleet.terms.calendar import month
from exafleet.terms.format import written
from exafleet.terms.said import LANGUAGES, catalogue, joined, named, said

if TYPE_CHECKING:
    from exafleet.facts.world import World

Told = Mapping[str, Any]
_LONG = 60
# Columns of the report's tables, by their place: (what a row is known by), (its figures).
_ORDERS, _RUNS = ((0, 1, 2, 3), 4), (0, (5, 6))


@functools.cache
def _parts() -> Mapping[str, str]:
    """Names of the parts of cost by what they are called in any language."""
    found = {row[language]: key.partition(".")[2] for key, row in catalogue().items() if key.startswith("part.")
             for language in LANGUAGES}
    return {**found, **{catalogue()["text.total"][language]: "" for language in LANGUAGES}}


def costs(told: Told) -> dict[str, float]:
    """Mean present cost by part; the total left out. [USD]"""
    names = {str(row[0]): _parts().get(str(row[0]), str(row[0])) for row in told["tables"]["cost"]["rows"]}
    return {names[str(row[0])]: float(row[1]) for row in told["tables"]["cost"]["rows"] if names[str(row[0])]}


def numbers(told: Told) -> dict[str, tuple[Cell, ...]]:
    """Rows of the table of facts by key."""
    return {str(row[0]): tuple(row) for row in told["tables"]["facts"]["rows"]}


def record_keys(keys: Iterable[str]) -> set[str]:
    """Of the keys of a scenario, those of its records."""
    return {k for k in keys if is_scenario_key(k) and not k.startswith(("scenario.", "risk."))}


def told_keys(told: Told) -> set[str]:
    """The same of a report."""
    return record_keys(numbers(told))


def related(first: str, old: AbstractSet[str], second: str, new: AbstractSet[str]) -> bool:
    """Whether two plans can be of one scenario: the same name, or half of the numbers of their records."""
    return first == second or 2 * len(old & new) >= min(len(old), len(new)) > 0


def money(a: Told, b: Told) -> Table:
    """Cost by part on both sides; the differences sum to the last line."""
    old, new = costs(a), costs(b)
    names = [*old, *(n for n in new if n not in old)]
    rows: list[tuple[Cell, ...]] = [(named("part", n), old.get(n, 0.0), new.get(n, 0.0),
                                     new.get(n, 0.0) - old.get(n, 0.0)) for n in names]
    before, after = sum(old.values()), sum(new.values())
    same = all(row[3] == 0 for row in rows)
    rows.append((said("text.total"), before, after, after - before))
    return Table(
        id="money", title=said("diff.money.title"), lead=said("diff.money.lead", change=after - before),
        empty=said("diff.money.empty"), rows=() if same else tuple(rows),
        columns=(column("part"), column("first plan", "money"), column("second plan", "money"),
                 column("difference", "money")))


def orders(a: Told, b: Told) -> Table:
    """Orders by month, owner, system and supplier whose units differ."""
    old, new = _ordered(a), _ordered(b)
    rows = tuple((*_key(k), old.get(k, 0.0), new.get(k, 0.0), new.get(k, 0.0) - old.get(k, 0.0))
                 for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k))
    return Table(
        id="orders", title=said("diff.orders.title"), lead=said("diff.orders.lead", n=len(rows)),
        empty=said("diff.orders.empty"), rows=rows,
        columns=(column("order in", "month"), column("owner"), column("system"), column("supplier"),
                 column("first plan", "count"), column("second plan", "count"), column("difference", "count")))


def _key(key: tuple[str, ...]) -> tuple[Cell, ...]:
    return (month(key[0]), *key[1:])


def _ordered(told: Told) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    known, units = _ORDERS
    for row in told["tables"].get("orders", {"rows": ()})["rows"]:
        key = tuple(str(row[i]) for i in known)
        found[key] = found.get(key, 0.0) + float(row[units])
    return found


def others(a: Told, b: Told) -> Table:
    """Rows of the tables of open orders and rentals that only one of the two has."""
    rows: list[tuple[Cell, ...]] = []
    for name in ("open-orders", "rentals"):
        old, new = (_lines(t, name) for t in (a, b))
        rows += [(line, said("diff.yes"), said("diff.no")) for line in old if line not in new]
        rows += [(line, said("diff.no"), said("diff.yes")) for line in new if line not in old]
    return Table(
        id="others", title=said("diff.others.title"), lead=said("diff.others.lead", n=len(rows)),
        empty=said("diff.others.empty"), rows=tuple(rows),
        columns=(column("what"), column("first plan"), column("second plan")))


def _lines(told: Told, name: str) -> list[str]:
    rows = told["tables"].get(name, {"rows": ()})["rows"]
    return [" · ".join(f"{c:g}" if isinstance(c, float) else str(c) for c in row if c is not None) for row in rows]


def dates(a: Told, b: Told) -> Table:
    """Start and end of training runs, and where, where they differ."""
    old, new = _runs(a), _runs(b)
    rows = tuple((name, *_pair(old.get(name), new.get(name))) for name in dict.fromkeys((*old, *new))
                 if old.get(name) != new.get(name))
    return Table(
        id="dates", title=said("diff.dates.title"), lead=said("diff.dates.lead", n=len(rows)),
        empty=said("diff.dates.empty"), rows=rows,
        columns=(column("run"), column("first starts", "month"), column("second starts", "month"),
                 column("first done", "month"), column("second done", "month"), column("first where"),
                 column("second where")))


def _runs(told: Told) -> dict[str, tuple[Any, ...]]:
    rows = told["tables"].get("training", {"rows": ()})["rows"]
    return {str(row[0]): (row[5], row[6], " ".join(str(c) for c in (row[4], row[3], row[2]) if c is not None))
            for row in rows}


def _pair(old: tuple[Any, ...] | None, new: tuple[Any, ...] | None) -> tuple[Cell, ...]:
    a, b = old or (None, None, ""), new or (None, None, "")
    return (_month(a[0]), _month(b[0]), _month(a[1]), _month(b[1]), a[2], b[2])


def _month(text: Any) -> int | None:
    return None if text is None else int(month(str(text)))


def inputs(a: World, b: World, found: Sequence[Change]) -> Table:
    """Every input that differs, from the worlds themselves."""
    words = [{k.key: in_words(k) for k in w.keys()} for w in (a, b)]  # noqa: SIM118  (not a mapping)
    rows = tuple((c.key, *(_written(w, c, said_) for w, said_ in zip((a, b), words, strict=True)), _place(b, c.key))
                 for c in found)
    return _inputs(rows)


def inputs_told(a: Told, b: Told) -> Table:
    """Numbers that differ, as the two reports write them."""
    old, new = numbers(a), numbers(b)
    rows = tuple((k, old[k][1] if k in old else None, new[k][1] if k in new else None, (new.get(k) or old[k])[3])
                 for k in dict.fromkeys((*old, *new)) if old.get(k, ())[1:2] != new.get(k, ())[1:2])
    return _inputs(rows)


def _inputs(rows: tuple[tuple[Cell, ...], ...]) -> Table:
    return Table(
        id="inputs", title=said("diff.inputs.title"), lead=said("diff.inputs.lead", n=len(rows)),
        empty=said("diff.inputs.empty"), rows=rows, origins=tuple((str(r[0]),) for r in rows),
        columns=(column("key"), column("first plan"), column("second plan"), column("source")))


def _written(world: World, change: Change, words: Mapping[str, str]) -> Cell:
    if change.kind == "fact":
        fact = world.facts.try_get(change.key)
        return None if fact is None else written(fact.value, fact.unit)
    if change.kind in ("added", "removed"):
        return said("diff.yes") if held(world, change.key) is not None else said("diff.no")
    text = words.get(change.key) or str(held(world, change.key))
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


def _place(world: World, key: str) -> str:
    fact = world.facts.try_get(key) if not is_scenario_key(key) else None
    if fact is not None:
        return f"{fact.source}: {fact.where}"
    where, said_ = world.places.get(key, ("", ""))
    return f"{where}: {said_}" if said_ else where


def why(found: Why, difference: float) -> Table:
    """Shares of the groups of inputs, and what is left: draws, whole units and the solver's gap."""
    rows: list[tuple[Cell, ...]] = []
    for group in sorted(found.groups, key=lambda g: -abs(g.share)):
        shown: list[str] = [c.key for c in group.changes[:4]]
        more = len(group.changes) - len(shown)
        rows.append((joined([*shown, *([said("facts.more", more=more)] if more else [])]),
                     group.share if group.share == group.share else None))
    known = found.planned == found.planned
    if known:
        rows.append((said("diff.why.rest"), difference - found.planned))
    rows.append((said("text.total"), difference))
    return Table(
        id="why", title=said("diff.why.title"), lead=said("diff.why.lead") if known else said("diff.why.unknown"),
        rows=tuple(rows), columns=(column("cause"), column("share", "money")))


def compared(a: Told, b: Told, labels: tuple[str, str], tables: Sequence[Table], notes: Sequence[str]) -> Report:
    """The comparison as a report."""
    same = not any(t.rows for t in tables)
    change = sum(costs(b).values()) - sum(costs(a).values())
    lead = said("diff.same") if same else said("diff.summary", change=change)
    return Report(title=said("diff.title"), subtitle=said("diff.subtitle", first=labels[0], second=labels[1]),
                  summary=(lead, *notes), cards=(), tables=() if same else tuple(tables),
                  meta={"data": f"{a['meta'].get('data', '')} / {b['meta'].get('data', '')}"})
