"""Energy of serving beside its prediction: joules per token and watts of an accelerator's board, an entry per figure.

A row of the file gives one entry for every figure it states, and one entry with the reason where it states none or has
no prediction. Errors are of the figure itself: predicted over measured, less one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import system
from exafleet.report.table import Report
from exafleet.report.validation import told
from exafleet.report.validation.score import NO_REASON, Judged, score
from exafleet.service.measured.power_tables import METRICS, PowerCompared, PowerRow
from exafleet.terms import format as words

LABELS = {"metric": "metric", "accelerator": "accelerator", "vendor": "maker", "model": "model",
          "framework": "framework", "precision": "precision", "pools": "one pool or two", "concurrency": "concurrency"}
SHOWN = "j_per_output_tok"
# Upper ends of the bands of concurrency that rows are grouped by.
BANDS = (8, 64)


def judge(found: Sequence[PowerCompared], facts: Facts) -> list[Judged]:
    """One entry for each figure of each row, in order."""
    return [entry for c in found for entry in _entries(c, facts)]


def _entries(c: PowerCompared, facts: Facts) -> list[Judged]:
    labels, what = (labels_of(c.row, facts), case(c.row, c.layout)) if isinstance(c.row, PowerRow) else ({}, "")
    stated = c.row.figures or {SHOWN: math.nan}
    return [_entry(c, metric, value, labels and labels | {"metric": metric}, what) for metric, value in stated.items()]


def _entry(c: PowerCompared, metric: str, measured: float, labels: dict[str, str], what: str) -> Judged:
    predicted, low, high = c.predicted(metric)
    known = predicted > 0 and measured > 0
    return Judged(
        id=c.row.id, measured=measured, unit=METRICS[metric][1], predicted=predicted, low=low, high=high,
        error=predicted / measured - 1.0 if known else math.nan,
        why=c.why or ("" if math.isfinite(predicted) else NO_REASON), labels=labels, what=what,
        parts=None if c.energy is None else c.energy.parts.at(0), beside={"metric": metric, **_beside(c)})


def _beside(c: PowerCompared) -> dict[str, Any]:
    if c.energy is None:
        return {}
    return {"layout": c.layout, "prefill_board_W": float(c.energy.prefill_power[0]),
            "decode_board_W": float(c.energy.decode_power[0])}


def labels_of(row: PowerRow, facts: Facts) -> dict[str, str]:
    """The groups a run counts in."""
    chip = system(facts, row.system).chip
    return {"accelerator": chip.id, "vendor": chip.vendor, "model": row.model, "framework": row.engine or "not known",
            "precision": row.weight_dtype or row.dtype, "pools": "two" if row.prefill else "one",
            "concurrency": band(row.concurrency), "role": row.role}


def band(concurrency: float) -> str:
    """A band of concurrency in words.

    >>> band(4), band(64), band(256)
    ('1 to 8', '9 to 64', 'more than 64')
    """
    low, high = BANDS
    if concurrency <= low:
        return f"1 to {low}"
    return f"{low + 1} to {high}" if concurrency <= high else f"more than {high}"


def case(row: PowerRow, layout: str) -> str:
    """A run in words."""
    chips = f"{row.prefill}+{row.decode}" if row.prefill else f"{row.chips}"
    return (f"{row.model} {row.weight_dtype or row.dtype} on {chips} of {row.system} {layout}, "
            f"{row.input_tokens:,.0f} in {row.output_tokens:,.0f} out, {row.concurrency:,.0f} at once")


def as_json(rows: Sequence[Judged], facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures by metric and group, and one entry for every row and metric."""
    return {
        "what": "serving-power", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "by_metric": by_metric(rows, tuple(METRICS))},
        "groups": told.group_json(rows, labels_in(rows)),
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def by_metric(rows: Sequence[Judged], metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Score of each metric that occurs."""
    of = {metric: [r for r in rows if r.labels.get("metric") == metric] for metric in metrics}
    return {metric: score(members).as_json() for metric, members in of.items() if members}


def labels_in(rows: Sequence[Judged]) -> list[str]:
    """Labels to group by; the role of a row only where there are several."""
    several = len({r.labels["role"] for r in rows if "role" in r.labels}) > 1
    return [*LABELS, "role"] if several else list(LABELS)


def of_metric(rows: Sequence[Judged], metric: str) -> list[Judged]:
    """Entries of one metric, those that could not be read included."""
    return [r for r in rows if r.beside["metric"] == metric]


def report(rows: Sequence[Judged], facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures; groups are told for joules per output token."""
    shown = of_metric(rows, SHOWN)
    found = score(shown)
    tables = [told.group_table(rows, "metric", "metric", what="of the figure"),
              *(told.group_table(shown, label, LABELS.get(label, label), what="of joules per output token",
                                 picture=label in ("accelerator", "model"))
                for label in labels_in(rows) if label != "metric")]
    return Report(
        title=f"Energy of serving: predicted beside measured, {name}",
        subtitle=facts.told,
        summary=told.sentences(shown, found, "Joules per output token"), cards=cards(found, "J per output token"),
        meta=told.meta(facts, rows_hash),
        tables=(*tables, told.unpredicted_table(shown), told.worst_table(shown, "energy"),
                told.all_rows(shown, "Energy of an output token", "accelerator")),
    )


def cards(found: Any, what: str) -> tuple[tuple[str, str, str], ...]:
    """The figures people look for first."""
    if not found.predicted:
        return (("Rows compared", "0", f"of {found.rows:,}"),)
    return (
        ("Rows compared", words.count(found.predicted), f"of {found.rows:,}, {what}"),
        ("Median error", words.error(found.median), f"mean {words.error(found.mean)}"),
        ("Nine in ten within", words.error(found.p90), f"worst {words.error(found.worst)}"),
        ("Bias", words.change(found.bias), "median with sign"),
        ("In the 80 % band", words.percent(found.coverage), "80 % would be right"),
    )
