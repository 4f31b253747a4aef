"""`exafleet facts`: every number the answers rest on, with its unit, its band, its source and its date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Form, Format, Own

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.check import Change
    from exafleet.facts.fact import Fact
    from exafleet.report.table import Table

app = typer.Typer(help=__doc__.partition(": ")[2].capitalize(), no_args_is_help=True)


@app.command()
def show(
    what: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT|KEY",
            help=("A chip, system, model, market, ... by id or name; or one fact by key, such as gb200-gpu.hbm_bw."),
        ),
    ],
    as_of: AsOf = None,
    own: Own = None,
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

    facts = facts_as_of(as_of, own)
    found = _by_key(facts, what)
    tables = [_key_table(facts, found)] if found else _subject_tables(facts, what)
    shown = found or [f for s in _subjects(facts, what) for f in facts.of(s)]
    data = {"as_of": facts.as_of.isoformat(), "facts": [_data(facts, f.key) for f in shown]}
    tables.append(_sources(facts, [h for f in shown for h in facts.history(f.key)]))
    print_report(_report(what, facts, tables), form, data)


@app.command()
def search(
    words: Annotated[list[str], typer.Argument(help="Words that all occur in the key, name, note or source.")],
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """Find facts in which every one of the words occurs.

    \b
    Example:
      exafleet facts search gb200 lead time
    """
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import show as print_report

    facts = facts_as_of(as_of, own)
    found = facts.search(" ".join(words))
    data = {"as_of": facts.as_of.isoformat(), "facts": [_data(facts, f.key) for f in found]}
    table = _table(
        "found", "Facts", f"Facts in which every word occurs: {len(found):,}.", [_row(f, f.key) for f in found]
    )
    print_report(_report(" ".join(words), facts, [table, _sources(facts, found)]), form, data)


@app.command()
def check(
    tables: Annotated[list[Path] | None, typer.Argument(help="Tables of your own to check with the package's.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List gaps, disagreements and unused sources too.")] = False,
) -> None:
    """Check every row of every table: term, unit, range, source, place and date.

    \b
    Examples:
      exafleet facts check
      exafleet facts check my-scenario/quotes.csv
    """
    from datetime import date

    from exafleet.facts.catalogue import load_facts
    from exafleet.facts.check import check as review
    from exafleet.terms.errors import FactError, raise_all

    facts = load_facts(date.max, own=tuple(tables or ()))
    found = review(facts)
    raise_all(FactError, found.mistakes)
    rows = sum(len(many) for by_at in facts.table.values() for many in by_at.values())
    typer.echo(
        f"{rows:,} rows: {found.facts:,} facts about {len(facts.subjects.by_id):,} subjects "
        f"from {len(facts.sources):,} sources. Nothing wrong was found."
    )
    remarks = [f"cannot be planned with: {g.kind} {g.subject} lacks {', '.join(g.lacks)}" for g in found.gaps]
    remarks += [f"sources of the same standing disagree: {key}" for key in found.disagreements]
    remarks += [f"source without facts: {source}" for source in found.unused_sources]
    if every:
        typer.echo("\n".join(remarks))
    elif remarks:
        typer.echo(
            f"Good to know: {len(found.gaps):,} subjects lack a term a plan needs, {len(found.disagreements):,} "
            "facts have sources that disagree (--all lists them)."
        )


@app.command()
def diff(
    as_of: Annotated[
        list[str], typer.Option("--as-of", metavar="DATE", help="Give it twice: the earlier day, the later.")
    ],
    words: Annotated[
        list[str] | None, typer.Argument(help="Only facts in which every one of these words occurs.")
    ] = None,
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
    from exafleet.facts.check import diff as difference
    from exafleet.terms.errors import FactError, Problem

    if len(as_of) != 2:
        raise FactError(Problem(where="--as-of", what="a difference needs two dates", got=", ".join(as_of) or "none"))
    days = sorted(d for d in map(day, as_of) if d is not None)
    before, after = (load_facts(d) for d in days)
    wanted = {f.key for f in after.search(" ".join(words or []))}
    changes = [c for c in difference(before, after) if c.key in wanted]
    data = {
        "from": days[0].isoformat(),
        "to": days[1].isoformat(),
        "changes": [
            {
                "key": c.key,
                "before": None if c.before is None else _plain(before, c.before),
                "after": _plain(after, c.after),
            }
            for c in changes
        ],
    }
    print_report(_report(f"Facts from {days[0]} to {days[1]}", after, [_diff_table(changes)]), form, data)


def _diff_table(changes: list[Change]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import written

    new = sum(c.before is None for c in changes)
    return Table(
        id="changes",
        title="What changed",
        lead=f"{new:,} facts became known, {len(changes) - new:,} changed.",
        empty="Nothing became known and nothing changed.",
        columns=tuple(Column(title=t) for t in ("fact", "before", "after", "kind", "source", "published")),
        rows=tuple(
            (
                c.key,
                None if c.before is None else written(c.before.value, c.before.unit),
                written(c.after.value, c.after.unit),
                c.after.kind,
                c.after.source,
                c.after.as_of.isoformat(),
            )
            for c in changes
        ),
    )


def _by_key(facts: Facts, what: str) -> list[Fact]:
    """Facts of one key; of every qualifier when the key names none; [] when `what` is not a key."""
    from exafleet.facts.fact import split_key
    from exafleet.facts.subjects import fold
    from exafleet.terms.term import terms

    subject, term, at = split_key(what)
    spoken = what in facts.subjects.by_id or fold(what) in facts.subjects.by_name
    if spoken or not subject or (term not in terms() and subject not in facts.subjects.by_id):
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
            rows += _rows(facts, fact, f"{fact.term}@{fact.at}" if fact.at else fact.term)
        lead = f"{subject.kind} {subject.id}" + (f": {subject.note}" if subject.note else "")
        tables.append(_table(subject_id, subject.name, lead, rows))
    return tables


def _key_table(facts: Facts, found: list[Fact]) -> Table:
    from exafleet.terms.term import term

    word = term(found[0].term)
    rows = [row for fact in found for row in _rows(facts, fact, fact.key)]
    notes = [f.note for f in found if f.note]
    return _table(
        "fact", found[0].key.partition("@")[0], f"{word.name}: {word.meaning} ({word.basis}). " + " ".join(notes), rows
    )


def _table(name: str, title: str, lead: str, rows: list[tuple[str, ...]]) -> Table:
    from exafleet.report.table import Column, Table

    titles = ("fact", "value", "low to high", "kind", "source: place in it", "published")
    return Table(
        id=name,
        title=title,
        lead=lead,
        empty="No fact is known as of this date.",
        columns=tuple(Column(title=t) for t in titles),
        rows=tuple(rows),
    )


def _sources(facts: Facts, shown: list[Fact]) -> Table:
    """What the short names of the sources stand for."""
    from exafleet.report.table import Column, Table

    names = dict.fromkeys(f.source for f in shown if f.source in facts.sources)
    return Table(
        id="sources",
        title="Sources",
        lead="What the short names stand for.",
        empty="No source is named.",
        columns=(Column(title="source"), Column(title="title")),
        rows=tuple((name, facts.sources[name]) for name in names),
    )


def _rows(facts: Facts, fact: Fact, label: str) -> list[tuple[str, ...]]:
    """A fact, and below it the rows with the same key that lost against it."""
    return [_row(fact, label), *(_row(other, "  competing") for other in facts.competing(fact.key))]


def _row(fact: Fact, label: str) -> tuple[str, ...]:
    from exafleet.terms.format import written

    around = "" if fact.low == fact.high else f"{written(fact.low, fact.unit)} to {written(fact.high, fact.unit)}"
    return (
        label,
        written(fact.value, fact.unit),
        around,
        fact.kind,
        f"{fact.source}: {fact.where}",
        fact.as_of.isoformat(),
    )


def _report(title: str, facts: Facts, tables: list[Table]) -> Any:
    from exafleet.report.table import Report

    return Report(title=title, subtitle=facts.told, summary=(), cards=(), tables=tuple(tables))


def _data(facts: Facts, key: str) -> dict[str, Any]:
    """One fact with everything known about it, in base units."""
    fact, *others = facts.history(key)
    return {**_plain(facts, fact), "competing": [_plain(facts, f) for f in others]}


def _plain(facts: Facts, fact: Fact) -> dict[str, Any]:
    from exafleet.terms.format import written
    from exafleet.terms.term import term
    from exafleet.terms.units import base_unit

    return {
        "key": fact.key,
        "value": fact.value,
        "low": fact.low,
        "high": fact.high,
        "unit": base_unit(term(fact.term).dimension),
        "written": written(fact.value, fact.unit),
        "kind": fact.kind,
        "source": fact.source,
        "title": facts.sources.get(fact.source, ""),
        "where": fact.where,
        "published": fact.as_of.isoformat(),
        "note": fact.note,
    }
