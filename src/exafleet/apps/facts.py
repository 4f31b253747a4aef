"""`exafleet facts`: every number the answers rest on, with its unit, its band, its source and its date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Form, Format

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.fact import Fact
    from exafleet.report.table import Table

app = typer.Typer(help=__doc__.partition(": ")[2].capitalize(), no_args_is_help=True)


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="SUBJECT|KEY", help=(
        "A chip, system, model, market, ... by id or name; or one fact by key, such as gb200-gpu.hbm_bw."))],
    as_of: AsOf = None,
    form: Form = Format.table,
) -> None:
    """Show every fact about one subject, or one fact with the rows that compete with it.

    \b
    Examples:
      exafleet facts show gb200-nvl72
      exafleet facts show h100-sxm.peak_flops@fp8 --as-of 2024-12-19
    """
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import show as print_report

    facts = facts_as_of(as_of)
    found = _by_key(facts, what)
    tables = [_key_table(facts, found)] if found else _subject_tables(facts, what)
    keys = [f.key for f in found] if found else [f.key for s in _subjects(facts, what) for f in facts.of(s)]
    data = {"as_of": facts.as_of.isoformat(), "facts": [_data(facts, k) for k in keys]}
    print_report(_report(what, facts, tables), form, data)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words that all occur in the key, name, note or source.")],
    as_of: AsOf = None,
    form: Form = Format.table,
) -> None:
    """Find facts in which every one of the words occurs.

    \b
    Example:
      exafleet facts search gb200 lead time
    """
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import show as print_report

    facts = facts_as_of(as_of)
    found = facts.search(" ".join(words))
    data = {"as_of": facts.as_of.isoformat(), "facts": [_data(facts, f.key) for f in found]}
    lead = f"{len(found):,} facts in which every word occurs."
    table = _table("found", "Facts", lead, [_row(facts, f, f.key) for f in found])
    print_report(_report(" ".join(words), facts, [table]), form, data)


@app.command()
def check(
    tables: Annotated[list[Path] | None, typer.Argument(help="Tables of your own to check with the package's.")] = None,
) -> None:
    """Check every row of every table: term, unit, range, source, place and date.

    \b
    Examples:
      exafleet facts check
      exafleet facts check my-scenario/quotes.csv
    """
    from datetime import date

    from exafleet.facts.catalogue import load_facts

    facts = load_facts(date.max, own=tuple(tables or ()))
    rows = sum(len(many) for by_at in facts.table.values() for many in by_at.values())
    typer.echo(f"{rows:,} rows: {len(facts):,} facts about {len(facts.subjects.by_id):,} subjects "
               f"from {len(facts.sources):,} sources. Nothing wrong was found.")


@app.command()
def diff(
    as_of: Annotated[list[str], typer.Option("--as-of", metavar="DATE", help="Give it twice: the earlier day, the later.")],
    words: Annotated[list[str] | None, typer.Argument(help="Only facts in which every one of these words occurs.")] = None,
    form: Form = Format.table,
) -> None:
    """Show what became known, and what changed, between two days.

    \b
    Example:
      exafleet facts diff --as-of 2024-06-30 --as-of 2024-12-19 gb200
    """
    from exafleet.apps.inputs import day
    from exafleet.apps.output import show as print_report
    from exafleet.facts.catalogue import load_facts
    from exafleet.terms.errors import FactError, Problem

    if len(as_of) != 2:
        raise FactError(Problem(where="--as-of", what="a difference needs two dates", got=", ".join(as_of) or "none"))
    days = sorted(d for d in map(day, as_of) if d is not None)
    before, after = (load_facts(d) for d in days)
    changes = _changes(before, after, " ".join(words or []))
    data = {"from": days[0].isoformat(), "to": days[1].isoformat(),
            "changes": [{"key": f.key, "before": None if old is None else old.value, "after": f.value, "unit": f.unit,
                         "source": f.source, "published": f.as_of.isoformat()} for old, f in changes]}
    print_report(_report(f"Facts from {days[0]} to {days[1]}", after, [_diff_table(changes)]), form, data)


def _changes(before: Facts, after: Facts, words: str) -> list[tuple[Fact | None, Fact]]:
    """(old, new) of every key whose winner differs; old is None where nothing was known."""
    pairs = [(before.try_get(f.key), f) for f in (after.search(words) if words else sorted(after, key=lambda f: f.key))]
    return [(old, new) for old, new in pairs
            if old is None or (old.value, old.low, old.high, old.source) != (new.value, new.low, new.high, new.source)]


def _diff_table(changes: list[tuple[Fact | None, Fact]]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import written

    new = sum(old is None for old, _ in changes)
    return Table(
        id="changes", title="What changed", lead=f"{new:,} facts became known, {len(changes) - new:,} changed.",
        empty="Nothing became known and nothing changed.",
        columns=tuple(Column(title=t) for t in ("fact", "before", "after", "kind", "source", "published")),
        rows=tuple((f.key, None if old is None else written(old.value, old.unit), written(f.value, f.unit), f.kind,
                    f.source, f.as_of.isoformat()) for old, f in changes))


def _by_key(facts: Facts, what: str) -> list[Fact]:
    """Facts of one key; of every qualifier when the key names none; [] when `what` is not a key."""
    from exafleet.facts.fact import split_key
    from exafleet.terms.term import terms

    subject, term, at = split_key(what)
    if what in facts.subjects.by_id or not subject or (term not in terms() and "@" not in what):
        return []
    if subject not in facts.subjects.by_id and term in terms():
        subject = facts.subjects.resolve(subject).id
        what = f"{subject}.{term}@{at}" if at else f"{subject}.{term}"
    if not at and facts.try_get(what) is None and facts.find(subject, term):
        return [f for _, f in sorted(facts.find(subject, term).items())]
    return [facts.get(what)]


def _subjects(facts: Facts, what: str) -> list[str]:
    """The subject called `what`, and the chip it holds when it is a system."""
    subject = facts.subjects.resolve(what)
    return [subject.id, subject.chip] if subject.chip in facts.subjects.by_id else [subject.id]


def _subject_tables(facts: Facts, what: str) -> list[Table]:
    tables = []
    for subject_id in _subjects(facts, what):
        subject = facts.subjects.by_id[subject_id]
        rows = []
        for fact in facts.of(subject_id):
            label = f"{fact.term}@{fact.at}" if fact.at else fact.term
            rows += [_row(facts, fact, label), *(_row(facts, c, "  competing") for c in facts.competing(fact.key))]
        lead = f"{subject.kind} {subject.id}" + (f": {subject.note}" if subject.note else "")
        tables.append(_table(subject_id, subject.name, lead, rows))
    return tables


def _key_table(facts: Facts, found: list[Fact]) -> Table:
    from exafleet.terms.term import term

    word = term(found[0].term)
    rows = []
    for fact in found:
        rows += [_row(facts, fact, fact.key), *(_row(facts, c, "  competing") for c in facts.competing(fact.key))]
    notes = [f.note for f in found if f.note]
    return _table("fact", found[0].key.partition("@")[0], f"{word.name}: {word.meaning} ({word.basis}). "
                  + " ".join(notes), rows)


def _table(name: str, title: str, lead: str, rows: list[tuple[str, ...]]) -> Table:
    from exafleet.report.table import Column, Table

    titles = ("fact", "value", "low to high", "kind", "source", "place in the source", "published")
    return Table(id=name, title=title, lead=lead, empty="No fact is known as of this date.",
                 columns=tuple(Column(title=t) for t in titles), rows=tuple(rows))


def _row(facts: Facts, fact: Fact, label: str) -> tuple[str, ...]:
    from exafleet.terms.format import written

    around = "" if fact.low == fact.high else f"{written(fact.low, fact.unit)} to {written(fact.high, fact.unit)}"
    source = facts.sources.get(fact.source, fact.source)
    return (label, written(fact.value, fact.unit), around, fact.kind, f"{source} [{fact.source}]", fact.where,
            fact.as_of.isoformat())


def _report(title: str, facts: Facts, tables: list[Table]) -> Any:
    from exafleet.report.table import Report

    return Report(title=title, subtitle=f"as of {facts.as_of.isoformat()}", summary=(), cards=(), tables=tuple(tables))


def _data(facts: Facts, key: str) -> dict[str, Any]:
    """One fact with everything known about it, in base units."""
    fact, *others = facts.history(key)
    return {**_plain(facts, fact), "competing": [_plain(facts, f) for f in others]}


def _plain(facts: Facts, fact: Fact) -> dict[str, Any]:
    from exafleet.terms.format import written
    from exafleet.terms.term import term
    from exafleet.terms.units import base_unit

    return {"key": fact.key, "value": fact.value, "low": fact.low, "high": fact.high,
            "unit": base_unit(term(fact.term).dimension), "written": written(fact.value, fact.unit), "kind": fact.kind,
            "source": fact.source, "title": facts.sources.get(fact.source, ""), "where": fact.where,
            "published": fact.as_of.isoformat(), "note": fact.note}
