"""Two plans side by side: inputs, money, orders and dates that differ, and which input makes how much of it.

Both sides come as the JSON of their reports, so a plan of which nothing else is left can be compared too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

from exafleet.facts.scenario.document import UNREAD
from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.plan.plan import PARTS
from exafleet.report.table import Cell, Report, Table, column
from exafleet.sweep.difference import Change, Why, held, kind_of
from exafleet.sweep.variations import in_words
from exafleet.terms.calendar import month, month_name
from exafleet.terms.format import written
from exafleet.terms.said import LANGUAGES, catalogue, joined, named, said

if TYPE_CHECKING:
    from exafleet.facts.world import World

Told = Mapping[str, Any]
_LONG = 60
# Least relative difference of a worth, or of a part against the largest, that is told; most parts of a share.
_WORTH, _MOST_PARTS = 0.01, 3
# Columns of the report's tables, by their place: (what a row is known by), (its figures).
_ORDERS, _RUNS = ((0, 1, 2, 3), 4), (0, (5, 6))


@functools.cache
def _names(group: str) -> Mapping[str, str]:
    """Names of the program in a group of the catalogue by what they are called in any language."""
    return {row[language]: key.partition(".")[2] for key, row in catalogue().items() if key.startswith(f"{group}.")
            for language in LANGUAGES}


def _again(group: str, told: Any) -> str:
    """A name that a report tells in its language, so that it can be said in another."""
    return named(group, _names(group).get(str(told), str(told)))


def costs(told: Told, *, base: bool = False) -> dict[str, float]:
    """Mean present cost by part, or that of the base draw; the total left out. [USD]"""
    total = {catalogue()["text.total"][language] for language in LANGUAGES}
    return {_names("part").get(str(row[0]), str(row[0])): float(row[2 if base else 1])
            for row in told["tables"]["cost"]["rows"] if str(row[0]) not in total}


def numbers(told: Told) -> dict[str, tuple[Cell, ...]]:
    """Rows of the table of facts by key."""
    return {str(row[0]): tuple(row) for row in told["tables"]["facts"]["rows"]
            if str(row[0]).partition(".")[0] not in UNREAD}


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


def rules(a: Told, b: Told) -> Table:
    """Rules that bind, of the dearest that each report names, where months or worth differ."""
    old, new = _binding(a), _binding(b)
    none = (0, 0.0)
    rows: list[tuple[Cell, ...]] = []
    for key in dict.fromkeys((*old, *new)):
        (months, worth), (later, other) = old.get(key, none), new.get(key, none)
        if months != later or abs(worth - other) > _WORTH * max(abs(worth), abs(other)):
            rows.append((_again("rule", key[0]), key[1], _again("one-more-unit", key[2]), months, later, worth, other))
    rows.sort(key=lambda row: -abs(float(str(row[5])) - float(str(row[6]))))
    return Table(
        id="rules", title=said("diff.rules.title"), lead=said("diff.rules.lead", n=len(rows)),
        empty=said("diff.rules.empty"), rows=tuple(rows),
        columns=(column("rule"), column("at"), column("one more is"), column("first months", "count"),
                 column("second months", "count"), column("first worth", "money"), column("second worth", "money")))


def _binding(told: Told) -> dict[tuple[str, str, str], tuple[int, float]]:
    """Months and worth of each rule that binds, by rule, place and unit."""
    rows = told["tables"].get("binding", {"rows": ()})["rows"]
    return {(str(r[0]), str(r[1]), str(r[5])): (int(r[4] or 0), float(r[6] or 0.0)) for r in rows}


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
    if change.key in words:
        return words[change.key]
    return _shown(held(world, change.key), "Month" in kind_of(world, change.key))


def _shown(value: Any, date: bool) -> Cell:
    """What a scenario holds that is no quantity: a choice, a name, a month, a list of them."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return said("diff.yes") if value else said("diff.no")
    if isinstance(value, int) and date:
        return month_name(value)
    if isinstance(value, list | tuple | set | frozenset):
        parts = sorted(value) if isinstance(value, set | frozenset) else list(value)
        return joined([_shown(v, date) or "" for v in parts]) if parts else None
    return text if len(text := str(value)) <= _LONG else f"{text[:_LONG]} ..."


def _place(world: World, key: str) -> str:
    fact = world.facts.try_get(key) if not is_scenario_key(key) else None
    if fact is not None:
        return f"{fact.source}: {fact.where}"
    where, said_ = world.places.get(key, ("", ""))
    return f"{where}: {said_}" if said_ else where


def why(found: Why, a: Told, b: Told, gaps: tuple[float, float]) -> Table:
    """Shares of the groups of inputs, and what is left: how far each plan stands above the relaxed one; and draws.

    gaps   how far each plan's objective may be from the best one   [USD]
    """
    mean, base = ([sum(costs(x, base=only).values()) for x in (a, b)] for only in (False, True))
    difference = mean[1] - mean[0]
    rows: list[tuple[Cell, ...]] = []
    for group in sorted(found.groups, key=lambda g: -abs(g.share)):
        shown: list[str] = [c.key for c in group.changes[:4]]
        more = len(group.changes) - len(shown)
        rows.append((joined([*shown, *([said("facts.more", more=more)] if more else [])]),
                     group.share if group.share == group.share else None, _mostly(group.parts)))
    known = found.planned == found.planned
    if known:
        above = [cost - relaxed for cost, relaxed in zip(base, found.ends, strict=True)]
        rows.append((said("diff.why.first", gap=gaps[0]), -above[0], ""))
        rows.append((said("diff.why.second", gap=gaps[1]), above[1], ""))
        rows.append((said("diff.why.draws"), difference - (base[1] - base[0]), ""))
    rows.append((said("text.total"), difference, ""))
    return Table(
        id="why", title=said("diff.why.title"), lead=said("diff.why.lead") if known else said("diff.why.unknown"),
        rows=tuple(rows), columns=(column("cause"), column("share", "money"), column("mostly in")))


def _mostly(parts: Sequence[float]) -> str:
    """The parts of the cost that a share moves most: they need not have its sign."""
    moved = sorted((p for p in zip(PARTS, parts, strict=False) if p[1] == p[1] and p[1]), key=lambda p: -abs(p[1]))
    shown = [said("diff.why.part", part=named("part", name), change=change) for name, change in moved[:_MOST_PARTS]
             if abs(change) > _WORTH * abs(moved[0][1])]
    return joined(shown) if shown else ""


def compared(a: Told, b: Told, labels: tuple[str, str], tables: Sequence[Table], notes: Sequence[str]) -> Report:
    """The comparison as a report."""
    same = not any(t.rows for t in tables)
    change = sum(costs(b).values()) - sum(costs(a).values())
    lead = said("diff.same") if same else (
        said("diff.summary", change=change) if change >= 0 else said("diff.summary less", change=-change))
    return Report(title=said("diff.title"), subtitle=said("diff.subtitle", first=labels[0], second=labels[1]),
                  summary=(lead, *notes), cards=(), tables=() if same else tuple(tables),
                  meta={"data": f"{a['meta'].get('data', '')} / {b['meta'].get('data', '')}"})
