"""Tables several commands print: rates, and a report read back from its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exafleet.report.table import Column, Report, Table

if TYPE_CHECKING:
    from exafleet.facts.world import World
    from exafleet.fleet.rates import Rates


def rates_report(world: World, rates: Rates) -> Report:
    """Every (job, system, size) with its band, watts and layout, or the reason why it cannot run."""
    from exafleet.store.lines import rate_rows
    from exafleet.terms.format import band, short
    from exafleet.terms.why import SENTENCES, Why

    found = rate_rows(rates)
    runs = sum(r["why"] == Why.OK.name for r in found)
    rows = tuple(
        (
            r["job"],
            r["system"],
            r["size"],
            *(
                (
                    f"{short(r['work_per_s'])} {r['unit']}/s",
                    band(r["low"], r["high"], short),
                    r["power"],
                    r["mfu"] or None,
                    r["goodput"],
                    r["layout"],
                )
                if r["why"] == Why.OK.name
                else (None,) * 5 + (SENTENCES[Why[r["why"]]],)
            ),
        )
        for r in found
    )
    titles = {
        "job": "text",
        "system": "text",
        "chips": "count",
        "useful work": "text",
        "80 % band": "text",
        "IT power": "power",
        "MFU": "share",
        "goodput": "share",
        "layout, or why not": "text",
    }
    table = Table(
        id="rates",
        title="Rates",
        empty="No job to rate.",
        rows=rows,
        columns=tuple(Column(title=t, kind=k) for t, k in titles.items()),
        lead=f"Useful work with failures taken off, and its 80 % band; {runs:,} of {len(found):,} can run.",
    )
    return Report(
        title=world.scenario.name, subtitle=f"as of {world.as_of.isoformat()}", summary=(), cards=(), tables=(table,)
    )


def report_from_json(data: Mapping[str, Any]) -> Report:
    """A report as it was stored; charts are not part of it."""
    tables = [
        Table(
            id=t["id"],
            title=t["title"],
            lead=t["lead"],
            empty=t["lead"],
            columns=tuple(Column(title=c["title"], kind=c["kind"]) for c in t["columns"]),
            rows=tuple(tuple(row) for row in t["rows"]),
        )
        for t in data["tables"].values()
    ]
    return Report(
        title=data["title"],
        subtitle=data["subtitle"],
        summary=tuple(data["summary"]),
        cards=(),
        tables=tuple(tables),
        meta=dict(data["meta"]),
    )
