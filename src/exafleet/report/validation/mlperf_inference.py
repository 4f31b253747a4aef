"""MLPerf Inference results beside the best deployment the search finds: throughput, and latencies at the limits.

One entry for each figure of each row. Errors are of the rate: a latency predicted too long is a negative error, like a
throughput predicted too low.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.report.table import Report
from exafleet.report.validation import told
from exafleet.report.validation.score import NO_REASON, Judged, score
from exafleet.report.validation.serving_power import by_metric, cards, labels_in, of_metric
from exafleet.service.measured.mlperf_tables import RATE, UNITS, MlperfCompared, MlperfRow
from exafleet.step.measured.training import Unread

LABELS = {"metric": "metric", "accelerator": "accelerator", "vendor": "maker", "model": "model",
          "scenario": "scenario", "precision": "precision", "by": "submitted by", "round": "round"}


def judge(found: Sequence[MlperfCompared], facts: Facts) -> list[Judged]:
    """One entry for each figure of each row, in order."""
    return [entry for c in found for entry in _entries(c, facts)]


def _entries(c: MlperfCompared, facts: Facts) -> list[Judged]:
    if isinstance(c.row, Unread):
        return [_entry(c, c.row.id, RATE, c.row.measured, {}, "")]
    labels, what = labels_of(c.row, facts), case(c)
    return [_entry(c, c.row.id, m, c.row.measured(m), labels | {"metric": m}, what) for m in c.row.metrics]


def _entry(c: MlperfCompared, name: str, metric: str, measured: float, labels: dict[str, str], what: str) -> Judged:
    predicted, low, high = c.predicted(metric)
    ratio = predicted / measured if predicted > 0 and measured > 0 else math.nan
    found = c.found
    return Judged(
        id=name, measured=measured, unit=UNITS[metric], predicted=predicted, low=low, high=high,
        error=(1.0 / ratio if metric != RATE else ratio) - 1.0,
        why=c.why or ("" if math.isfinite(predicted) else NO_REASON), labels=labels, what=what,
        parts=None if found is None else found.first if metric == "ttft_ms" else found.token,
        beside={"metric": metric, **_beside(c)})


def _beside(c: MlperfCompared) -> dict[str, Any]:
    assumed = {"assumed": c.row.note} if isinstance(c.row, MlperfRow) and c.row.note else {}
    if c.found is None or c.found.layout is None:
        return assumed
    return assumed | {"layout": c.found.layout.words, "concurrency": c.found.layout.concurrency}


def labels_of(row: MlperfRow, facts: Facts) -> dict[str, str]:
    """The groups a submission counts in."""
    return {"accelerator": row.chip, "vendor": facts.subjects.by_id[row.chip].vendor, "model": row.benchmark,
            "scenario": row.scenario, "precision": row.weight_dtype or row.dtype, "by": row.by, "round": row.round,
            "role": row.role}


def case(c: MlperfCompared) -> str:
    """A submission in words, with the layout that was found."""
    row = c.row
    assert isinstance(row, MlperfRow)
    layout = f", {c.found.layout.words}" if c.found is not None and c.found.layout is not None else ""
    return (f"{row.benchmark} {row.scenario} on {row.chips:,} {row.chip} {row.weight_dtype or row.dtype}, "
            f"{row.submitter} {row.round}{layout}")


def as_json(rows: Sequence[Judged], facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures by metric and group, and one entry for every row and metric."""
    return {
        "what": "mlperf-inference", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "by_metric": by_metric(rows, tuple(UNITS))},
        "groups": told.group_json(rows, _labels(rows)),
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def _labels(rows: Sequence[Judged]) -> list[str]:
    return [*LABELS, *(["role"] if "role" in labels_in(rows) else [])]


def report(rows: Sequence[Judged], facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures; groups are told for throughput."""
    shown = of_metric(rows, RATE)
    found = score(shown)
    tables = [told.group_table(rows, "metric", "metric"),
              *(told.group_table(shown, label, LABELS.get(label, label), what="of throughput",
                                 picture=label in ("accelerator", "model", "scenario"))
                for label in _labels(rows) if label != "metric")]
    return Report(
        title=f"MLPerf Inference: predicted beside measured, {name}",
        subtitle=facts.told,
        summary=told.sentences(shown, found, "Throughput"), cards=cards(found, "throughput"),
        meta=told.meta(facts, rows_hash),
        tables=(*tables, told.unpredicted_table(shown), told.worst_table(shown, "time per output token"),
                told.all_rows(shown, "Throughput of one accelerator", "accelerator")),
    )
