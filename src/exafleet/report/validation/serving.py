"""Served models beside their predictions: an entry for every figure of every row, and whether the order is right.

Errors are of the figure itself: predicted over measured, less one; of a time as of a rate. Groups are told for time per
output token and for throughput, which are the figures a plan rests on.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import system
from exafleet.report.table import Report, Table
from exafleet.report.validation import told
from exafleet.report.validation.orders import Orders, Point, orders
from exafleet.report.validation.score import NO_REASON, Judged, judged, score
from exafleet.service.measured.predict import Compared
from exafleet.service.measured.runs import METRICS, UNITS, Served, pool_text
from exafleet.terms import format as words

LABELS = {"metric": "metric", "accelerator": "accelerator", "vendor": "maker", "model": "model", "engine": "engine",
          "precision": "precision", "family": "family", "service": "service", "load": "concurrency",
          "speculation": "speculation"}
SHOWN = ("tpot_ms", "output_tok_s_per_gpu")
NAMES = {"tpot_ms": "Time per output token", "ttft_ms": "Time to the first token", "e2e_ms": "Time of a request",
         "output_tok_s_per_gpu": "Throughput of one accelerator"}
# Upper ends of the bands of concurrency, of one replica's group, that rows are told by.
LOADS = (8, 64, 512)
DRAWN = ("accelerator", "engine")


def judge(found: Sequence[Compared], facts: Facts) -> list[Judged]:
    """One entry for each figure of each row, in order; one with the reason for a row without any."""
    return [entry for c in found for entry in _entries(c, facts)]


def _entries(c: Compared, facts: Facts) -> list[Judged]:
    read = c.row if isinstance(c.row, Served) else None
    labels = labels_of(read, c.kind, facts) if read else {}
    what = case(read) if read else ""
    stated = c.row.given or {SHOWN[1]: math.nan}
    return [_entry(c, metric, value, labels, what) for metric, value in stated.items()]


def _entry(c: Compared, metric: str, measured: float, labels: dict[str, str], what: str) -> Judged:
    unit = METRICS[metric]
    said = c.figures.get(metric, math.nan)
    low, high = c.band.get(metric, (math.nan, math.nan))
    known = said > 0 and measured > 0
    return Judged(
        id=c.row.id, measured=measured / unit, unit=UNITS[metric], predicted=said / unit, low=said * low / unit,
        high=said * high / unit, error=said / measured - 1.0 if known else math.nan,
        why=c.why or ("" if math.isfinite(said) else NO_REASON), what=what,
        labels=labels | {"metric": metric} if labels else {}, parts=c.parts if metric == "tpot_ms" else None,
        beside={"metric": metric, "derived": isinstance(c.row, Served) and metric in c.row.derived})


def labels_of(row: Served, kind: str, facts: Facts) -> dict[str, str]:
    """The groups a row counts in."""
    chip = system(facts, row.system).chip
    service = "apart" if row.prefill or row.phase else "all queued" if math.isinf(row.concurrency) else "loop"
    drafts = "not told" if math.isnan(row.draft) else "none" if row.draft == 0 else "yes"
    found = {"accelerator": chip.id, "vendor": chip.vendor, "model": row.model, "engine": row.engine,
             "precision": f"{row.dtype} of {row.weight_dtype}" if row.weight_dtype else row.dtype, "family": kind,
             "service": service, "load": load(row.concurrency), "speculation": drafts, "role": row.role}
    return {name: text for name, text in found.items() if text}


def load(concurrency: float) -> str:
    """A band of concurrency in words.

    >>> load(4), load(64), load(1000), load(float("inf"))
    ('1 to 8', '9 to 64', 'more than 512', 'all queued')
    """
    if math.isinf(concurrency):
        return "all queued"
    low = 1
    for high in LOADS:
        if concurrency <= high:
            return f"{low} to {high}"
        low = high + 1
    return f"more than {LOADS[-1]}"


def case(row: Served) -> str:
    """A row in words."""
    pools = f"{pool_text(row.prefill)} to {pool_text(row.decode)}" if row.prefill else pool_text(row.decode)
    at_once = "all queued" if math.isinf(row.concurrency) else f"{row.concurrency:,.0f} at once"
    return (f"{row.model} {row.weight_dtype or row.dtype} on {row.system} by {row.engine}, {pools}, "
            f"{row.input_tokens:,.0f} in {row.output_tokens:,.0f} out, {at_once}")


def ordered(found: Sequence[Compared]) -> Orders:
    """Whether throughput of one accelerator is predicted in the right order."""
    metric = "output_tok_s_per_gpu"
    return orders([_point(c.row, c.row.given[metric], c.figures[metric]) for c in found
                   if isinstance(c.row, Served) and metric in c.row.given and metric in c.figures])


def _point(row: Served, rate: float, predicted: float) -> Point:
    lengths = (round(row.input_tokens), round(row.output_tokens))
    formats = (row.dtype, row.weight_dtype)
    layout: Hashable = (pool_text(row.prefill), pool_text(row.decode))
    return Point(rate=rate, predicted=predicted, group=(row.model, row.system, formats, row.engine, lengths),
                 axes={"accelerators": (row.system, row.dtype), "layouts": layout, "engines": row.engine},
                 fixed=(row.model, row.weight_dtype or row.dtype, lengths, row.concurrency))


def as_json(rows: Sequence[Judged], found: Orders, facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures over all, by metric and by group, and one entry for every row and metric."""
    return {
        "what": "serving", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "orders": found.as_json(),
                    "by_metric": {m: score(of_metric(rows, m)).as_json() for m in METRICS if of_metric(rows, m)}},
        "groups": [{"metric": m, **entry} for m in METRICS for entry in told.group_json(of_metric(rows, m),
                                                                                       labels_in(rows))],
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def of_metric(rows: Sequence[Judged], metric: str) -> list[Judged]:
    """Entries of one metric."""
    return [r for r in rows if r.beside["metric"] == metric]


def labels_in(rows: Sequence[Judged]) -> list[str]:
    """Labels to group by; the role of a row only where there are several."""
    several = len({r.labels["role"] for r in rows if "role" in r.labels}) > 1
    return [*(label for label in LABELS if label != "metric"), *(["role"] if several else [])]


def report(rows: Sequence[Judged], found: Orders, facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures."""
    whole = {r.id for r in rows}
    lines = [f"{len(whole):,} rows with {len(rows):,} figures."]
    lines += [f"{NAMES[m]}: {_line(of_metric(rows, m))}" for m in METRICS if of_metric(rows, m)]
    tables = [_grouped(rows, label, metric) for metric in SHOWN if judged(of_metric(rows, metric))
              for label in labels_in(rows)]
    return Report(
        title=f"Serving: predicted beside measured, {name}", subtitle=facts.told,
        summary=(*lines, *found.sentences()), cards=cards(rows), meta=told.meta(facts, rows_hash),
        tables=(metric_table(rows), *tables, told.unpredicted_table(rows), told.worst_table(rows, "time per token"),
                told.all_rows(rows, "Figures of one deployment", "metric")))


def metric_table(rows: Sequence[Judged]) -> Table:
    """Errors of every metric."""
    return told.group_table(rows, "metric", "metric", what="of the figure", picture=False)


def _grouped(rows: Sequence[Judged], label: str, metric: str) -> Table:
    from dataclasses import replace

    table = told.group_table(of_metric(rows, metric), label, LABELS.get(label, label), what="of the figure",
                             picture=label in DRAWN)
    title = f"{NAMES[metric]}: {table.title[0].lower()}{table.title[1:]}"
    return replace(table, id=f"{table.id}-{metric}", title=title)


def _line(rows: Sequence[Judged]) -> str:
    s = score(rows)
    if not s.predicted:
        return "nothing to compare."
    return (f"{s.predicted:,} compared, median error {words.error(s.median)}, mean {words.error(s.mean)}, nine in ten "
            f"within {words.error(s.p90)}, bias {words.change(s.bias)}, {words.percent(s.coverage)} in the 80 % band.")


def cards(rows: Sequence[Judged]) -> tuple[tuple[str, str, str], ...]:
    """The figures people look for first."""
    found = [(m, score(of_metric(rows, m))) for m in METRICS]
    return tuple((NAMES[m], words.error(s.median), f"median error of {s.predicted:,}; mean {words.error(s.mean)}")
                 for m, s in found if s.predicted)

