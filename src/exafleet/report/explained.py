"""One number explained as tables: its source, the stops it passes, what it does to the answer, and where that turns."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exafleet.facts.fact import KINDS
from exafleet.facts.scenario.keys import is_scenario_key
from exafleet.report.table import Cell, Column, Report, Table, column
from exafleet.sweep import explain
from exafleet.sweep.explain import Bar, Effect, Split, Turn
from exafleet.sweep.passage import Stop
from exafleet.sweep.whatif import COST, WhatIf
from exafleet.terms.format import written
from exafleet.terms.said import joined, named, said

if TYPE_CHECKING:
    from exafleet.facts.fact import Fact
    from exafleet.facts.world import World

# What need not be said: a training step has one phase, and operators without another word run forward.
_PLAIN = {("step-phase", "step"), ("pass", "forward")}
# Digits of a value at which something turns: targets are found more finely than other orders.
_DIGITS = {"target": 5, "target anew": 5}
_MOST_STOPS = 8   # of one kind; the JSON of a plan's report has every rate


def number(world: World, key: str) -> Table:
    """The number with its source and date, and below it what lost against it, and why."""
    fact = world.origins.get(key) if is_scenario_key(key) else world.facts.get(key)
    rows: list[tuple[Cell, ...]] = []
    if is_scenario_key(key):
        one = next(k for k in world.keys() if k.key == key)  # noqa: SIM118  (not a mapping)
        rows.append((key, explain.at(world, key, 1.0), said("kind.scenario"), one.source, one.where,
                     world.scenario.as_of.isoformat(), said("explain.wins scenario") if fact is not None else ""))
    if fact is not None:
        best, *others = world.facts.history(fact.key)
        rows.append(_fact(world, best, said("explain.wins", n=len(others)) if others else said("explain.alone")))
        rows += [_fact(world, f, _lost(best, f)) for f in others]
    return Table(
        id="number", title=said("explain.number.title"), lead=said("explain.number.lead", name=key),
        columns=(column("key"), column("value"), column("kind"), column("source"), column("place"), column("date"),
                 column("standing")), rows=tuple(rows))


def _fact(world: World, fact: Fact, standing: str) -> tuple[Cell, ...]:
    value = written(fact.value, fact.unit)
    if fact.low < fact.high:
        value = said("facts.band", value=value, low=written(fact.low, fact.unit), high=written(fact.high, fact.unit))
    return (fact.key, value, named("kind", fact.kind), world.facts.sources.get(fact.source, fact.source), fact.where,
            fact.as_of.isoformat(), standing)


def _lost(best: Fact, other: Fact) -> str:
    """Why the facts floor preferred the winner."""
    if best.own and not other.own:
        return said("explain.lost own")
    if KINDS.index(best.kind) < KINDS.index(other.kind):
        return said("explain.lost kind", kind=named("kind", best.kind), other=named("kind", other.kind))
    if best.as_of > other.as_of:
        return said("explain.lost date", day=best.as_of.isoformat())
    return said("explain.lost order")


def passage(stops: Sequence[Stop], tables: Sequence[str]) -> Table:
    """Stops of a number on its way; `tables` of the report that it stands in or under."""
    rows: list[tuple[Cell, ...]] = []
    for kind in dict.fromkeys(s.stop for s in stops):
        mine = sorted((s for s in stops if s.stop == kind), key=lambda s: -s.weight)
        rows += [(named("explain.stop", s.stop), _where(s), _number(s.share), _number(s.change))
                 for s in mine[:_MOST_STOPS]]
        if len(mine) > _MOST_STOPS:
            rows.append((named("explain.stop", kind), said("facts.more", more=len(mine) - _MOST_STOPS), None, None))
    if tables:
        rows.append((said("explain.stop.report"), joined(list(tables)), None, None))
    return Table(
        id="passage", title=said("explain.passage.title"), lead=said("explain.passage.lead"),
        empty=said("explain.passage.empty"), rows=tuple(rows),
        columns=(column("stop"), column("where"), column("share of step", "share"), column("ten more does", "change")))


def _where(stop: Stop) -> str:
    """Names of the scenario first, then names of the program in the reader's language."""
    words = [named(group, name) for group, name in stop.what if (group, name) not in _PLAIN]
    first, *rest = [*([stop.where] if stop.where else []), *words]
    return functools.reduce(lambda told, word: said("explain.where", name=told, what=word), rest, first)


def effect(found: Effect) -> Table:
    """A tenth less and more, decisions kept and planned anew."""
    rows = ((said("explain.kept"), _number(found.before), _number(found.less), _number(found.more),
             _number(found.kept), ""),
            (said("explain.anew"), _number(found.before_anew), _number(found.less_anew), _number(found.more_anew),
             _number(found.anew), _changes(found)))
    lead = said("explain.effect.none") if found.none else said("explain.effect.lead")
    return Table(
        id="effect", title=said("explain.effect.title"), lead=lead, rows=rows,
        columns=(column("decisions"), column("answer", "money"), column("10 less", "money"),
                 column("10 more", "money"), column("elasticity", "number"), column("order book")))


def _changes(found: Effect) -> str:
    less, more = found.changes
    told = [*([said("explain.if less", changed=less)] if less else []),
            *([said("explain.if more", changed=more)] if more else [])]
    return joined(told) if told else said("explain.stays")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def turns(world: World, key: str, found: Sequence[Turn]) -> Table:
    """Values at which the answer turns."""
    rows = tuple((explain.at(world, key, t.factor, _DIGITS.get(t.kind, 3)), t.factor - 1.0,
                  named("explain.turn", t.kind), t.what)
                 for t in sorted(found, key=lambda t: (t.factor, t.kind)))
    reach = {"low": 1 / explain.REACH[-1], "high": explain.REACH[-1]}
    return Table(
        id="turns", title=said("explain.turns.title"), lead=said("explain.turns.lead", **reach),
        empty=said("explain.turns.empty", **reach), rows=rows,
        columns=(column("value"), column("change", "change"), column("what"), column("order book")))


def tornado(world: World, bars: Sequence[Bar]) -> Table:
    """One bar per number: the answer at both ends of its range."""
    rows = tuple((b.range.key, explain.at(world, b.range.key, 1.0), explain.at(world, b.range.key, b.range.low, 4),
                  explain.at(world, b.range.key, b.range.high, 4), _number(b.at_low), _number(b.at_high),
                  _ground(b.range)) for b in bars)
    return Table(
        id="tornado", title=said("explain.tornado.title"), lead=said("explain.tornado.lead", n=len(rows)),
        empty=said("explain.tornado.empty"), rows=rows, origins=tuple((b.range.key,) for b in bars),
        columns=(column("key"), column("today"), column("low end"), column("high end"), column("at low", "money"),
                 column("at high", "money"), column("range")))


def _ground(one: explain.Range) -> str:
    return said("explain.assumed") if one.assumed else said("explain.band")


def split(found: Split) -> Table:
    """Shares of several numbers."""
    if found.method == "sobol":
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (r.key, _number(a), _number(b), _ground(r))
            for r, a, b in zip(found.ranges, found.first, found.total, strict=True))
        columns: tuple[Column, ...] = (column("key"), column("by itself", "number"), column("with others", "number"),
                                       column("range"))
        lead = said("explain.sobol.lead", spread=found.whole)
    else:
        rows = tuple((r.key, _number(a), _ground(r)) for r, a in zip(found.ranges, found.first, strict=True))
        rows = (*rows, (said("text.total"), _number(found.whole), ""))
        columns = (column("key"), column("share", "money"), column("range"))
        lead = said("explain.shapley.lead")
    return Table(id="shares", title=said("explain.shares.title"), lead=lead, rows=rows, columns=columns)


def row_of(table: Table, row: int) -> Table:
    """One row of a report: a line per column, how the figures come about, and the keys they rest on."""
    cells = table.rows[row]
    rows: list[tuple[Cell, ...]] = [(c.title, _cell(c, cell)) for c, cell in zip(table.columns, cells, strict=True)]
    keys = table.origins[row] if table.origins else ()
    if table.how:
        rows.append((said("explain.how"), table.how))
    if keys:
        rows.append((said("explain.rests on"), joined(list(keys))))
    return Table(id="row", title=table.title, lead=table.lead, rows=tuple(rows), columns=(column("what"),
                                                                                        column("value")))


def _cell(one: Column, cell: Cell) -> Cell:
    """A cell of any column as text that can be said in every language."""
    if isinstance(cell, str) or cell is None or one.kind == "text":
        return cell
    return said(f"form.{one.kind}", value=cell)


def told(asked: WhatIf, key: str, tables: Sequence[Table], notes: Sequence[str], of: str) -> Report:
    """The explanation of `key` as a report."""
    scenario = asked.world.scenario
    answer = said("explain.cost") if of == COST else named("part", of)
    return Report(title=key, subtitle=said("explain.subtitle", name=scenario.name, day=asked.world.as_of.isoformat(),
                                           answer=answer),
                  summary=tuple(notes), cards=(), tables=tuple(tables),
                  meta={"data": asked.world.data_hash[:12], "seed": asked.made.draws.seed})
