"""What every validation prints: errors by group, rows without a prediction, the worst rows, and all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import exafleet
from exafleet.facts.catalogue import Facts
from exafleet.report import charts
from exafleet.report.table import Cell, Column, Table
from exafleet.report.validation.score import (
    WORST,
    Judged,
    Score,
    groups,
    judged,
    repeated,
    top_parts,
    unpredicted,
    worst,
)
from exafleet.terms import format as words

# A page with more rows than this would be slow to open; JSON holds every row.
MOST_LISTED = 2000
# With fewer rows than this a median says little; the tables say how many there are.
FEW = 5
IDS_SHOWN = 8


def meta(facts: Facts, rows_hash: str) -> dict[str, Any]:
    """The line that makes a validation repeatable."""
    return {"exafleet": exafleet.__version__, "data": facts.data_hash[:12], "rows": rows_hash[:12],
            "as of": facts.as_of.isoformat()}


def head(facts: Facts, rows_hash: str) -> dict[str, Any]:
    """The same for a program, with whole hashes."""
    return {"exafleet": exafleet.__version__, "data_hash": facts.data_hash, "rows_hash": rows_hash,
            "as_of": facts.as_of.isoformat()}


def group_json(rows: Sequence[Judged], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Score of every group of every label, flat."""
    return [{"by": label, "name": name, **found.as_json()}
            for label in labels for name, found in groups(rows, label).items()]


def unpredicted_json(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """Each reason with the rows it stopped."""
    return [{"why": why, "rows": len(ids), "case_ids": ids} for why, ids in unpredicted(rows).items()]


def known(value: float) -> float | None:
    """A figure, or None where there is none: a dash in tables."""
    return value if math.isfinite(value) else None


def score_cells(found: Score) -> tuple[Cell, ...]:
    """The cells of SCORE_COLUMNS."""
    return (found.rows, found.predicted, *(known(v) for v in (found.median, found.mean, found.p90, found.bias,
                                                              found.coverage)))


SCORE_COLUMNS = (
    Column(title="rows", kind="count"), Column(title="predicted", kind="count"),
    Column(title="median error", kind="error"), Column(title="mean", kind="error"), Column(title="p90", kind="error"),
    Column(title="bias", kind="change"), Column(title="in 80 % band", kind="share"),
)


def group_table(rows: Sequence[Judged], label: str, name: str, *, what: str = "of the rate",
                picture: bool = True) -> Table:
    """Errors of each group of one label."""
    found = groups(rows, label)
    few = [n for n, s in found.items() if 0 < s.predicted < FEW]
    lead = f"Error is predicted over measured, less one, {what}; bias is its median with sign."
    if few:
        lead += f" Fewer than {FEW} rows say little: {', '.join(few)}."
    errors = [{"group": row.labels[label], "error": 100 * row.error, "case": row.id}
              for row in judged(rows) if label in row.labels]
    spec = charts.spread(_thinned(errors), list(found), "error, %") if picture and errors else None
    shown = len(SCORE_COLUMNS) if any(math.isfinite(s.coverage) for s in found.values()) else -1
    return Table(
        id=f"by-{label}", title=f"By {name}", lead=lead, empty="No row could be read.",
        columns=(Column(title=name), *SCORE_COLUMNS[:shown]),
        rows=tuple((n, *score_cells(s)[:shown]) for n, s in found.items()),
        charts=((f"Error of each row{_thinned_words(errors)}", spec),) if spec else (),
    )


def unpredicted_table(rows: Sequence[Judged]) -> Table:
    """Rows without a prediction, by reason."""
    found = unpredicted(rows)
    count = sum(map(len, found.values()))
    return Table(
        id="unpredicted", title="Rows without a prediction",
        lead=f"{count:,} of {len(rows):,} rows; each is in the JSON with its reason.",
        empty="Every row has a prediction.",
        columns=(Column(title="why"), Column(title="rows", kind="count"), Column(title="which")),
        rows=tuple((why, len(ids), _some(ids)) for why, ids in found.items()),
    )


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:IDS_SHOWN])
    return shown if len(ids) <= IDS_SHOWN else f"{shown} and {len(ids) - IDS_SHOWN:,} more"


def worst_table(rows: Sequence[Judged], parts_of: str) -> Table:
    """The rows furthest off, with what their prediction is made of."""
    found = worst(rows)
    return Table(
        id="worst", title=f"The {WORST} worst rows" if len(found) == WORST else "The worst rows",
        lead=f"Furthest off by ratio, with the largest parts of the predicted {parts_of}.",
        empty="No row has a prediction.",
        columns=(Column(title="row"), Column(title="case"), Column(title="measured"), Column(title="predicted"),
                 Column(title="error", kind="change"), Column(title="made of")),
        rows=tuple((r.id, r.what, amount(r.measured, r.unit), amount(r.predicted, r.unit), r.error,
                    top_parts(r.parts)) for r in found),
    )


def worst_json(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    """The rows furthest off, with every part of their prediction in base units."""
    return [{**r.as_json(), "error": r.error, "case": r.what, "parts": {} if r.parts is None else r.parts.as_dict(),
             "parts_unit": "" if r.parts is None else r.parts.unit} for r in worst(rows)]


def amount(value: float, unit: str) -> str:
    """A value with its unit as the source writes it; a dash where there is none."""
    return f"{words.significant(value)} {unit}" if math.isfinite(value) else "–"


def all_rows(rows: Sequence[Judged], axis: str, colour: str) -> Table:
    """Every row beside its prediction, with a picture of both on logarithmic axes."""
    units = Counter(r.unit for r in judged(rows)).most_common(1)
    unit = units[0][0] if units else ""
    points = [{"measured": r.measured, "predicted": r.predicted, "case": r.id, "kind": r.labels.get(colour, "")}
              for r in judged(rows) if r.unit == unit]
    caption = f"{axis}, {unit}: the line is a prediction that is right{_thinned_words(points)}"
    lead = f"All {len(rows):,} rows." if len(rows) <= MOST_LISTED else (
        f"The first {MOST_LISTED:,} of {len(rows):,} rows; JSON holds every row.")
    return Table(
        id="rows", title="Every row", lead=lead, empty="The file holds no row.", wide=True,
        columns=(Column(title="row"), Column(title="case"), Column(title="measured"), Column(title="predicted"),
                 Column(title="80 % band"), Column(title="error", kind="change"), Column(title="why not")),
        rows=tuple((r.id, r.what, amount(r.measured, r.unit), amount(r.predicted, r.unit), _band(r), known(r.error),
                    r.why) for r in rows[:MOST_LISTED]),
        charts=((caption, charts.against_measured(_thinned(points))),) if points else (),
    )


def _band(row: Judged) -> str:
    if not (math.isfinite(row.low) and math.isfinite(row.high)):
        return "–"
    return words.band(row.low, row.high, words.significant)


def _thinned(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most MOST_LISTED points, evenly over the file."""
    step = -(-len(points) // MOST_LISTED)
    return points[::step] if step > 1 else points


def _thinned_words(points: Sequence[Mapping[str, Any]]) -> str:
    step = -(-len(points) // MOST_LISTED)
    return f" (one row in {step:,} is drawn)" if step > 1 else ""


def sentences(rows: Sequence[Judged], found: Score, what: str) -> tuple[str, ...]:
    """Rows, errors and band in words; ids that stand twice."""
    missing, again = sum(bool(r.why) for r in rows), repeated(rows)
    told = [f"{len(rows):,} rows read: {found.predicted:,} compared, {missing:,} without a prediction"]
    silent = len(rows) - found.predicted - missing
    told[0] += f", {silent:,} without a measured figure." if silent else "."
    if found.predicted:
        told.append(
            f"{what}: median error {words.error(found.median)}, nine in ten rows within {words.error(found.p90)}, "
            f"bias {words.change(found.bias)}.")
    if math.isfinite(found.coverage):
        told.append(f"{words.percent(found.coverage)} of the measured values lie in the 80 % band.")
    if again:
        told.append(f"Ids on more than one row, each of which counts: {_some(again)}.")
    return tuple(told)
