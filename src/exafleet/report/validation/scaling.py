"""Throughput kept as runs grow: efficiency against the smallest size of a series, measured beside predicted.

Differences are told in points: predicted 95 % where 97 % was measured is -2 points. Errors of the rates stand beside,
because a model may be wrong by a constant and still scale rightly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.report import charts
from exafleet.report.table import Column, Report, Table
from exafleet.report.validation import told
from exafleet.report.validation.score import Judged, Score, score, score_of
from exafleet.report.validation.training import judge as judge_runs
from exafleet.step.measured.scaling import Scaled
from exafleet.terms import format as words

LABELS = {"accelerator": "accelerator", "vendor": "maker", "precision": "precision"}


def judge(found: Sequence[Scaled], facts: Facts) -> list[Judged]:
    """Each run with the error of its rate, its series, and its efficiency."""
    runs = judge_runs([s.run for s in found], facts)
    return [replace(run, labels={**run.labels, "series": s.series}, beside=_beside(s))
            for run, s in zip(runs, found, strict=True)]


def _beside(s: Scaled) -> dict[str, Any]:
    return {"series": s.series, "gpus": s.chips or None, "smallest": s.smallest, "efficiency_measured": s.measured,
            "efficiency_predicted": s.predicted, "difference_points": 100 * (s.predicted - s.measured)}


def differences(found: Sequence[Scaled]) -> np.typing.NDArray[np.float64]:
    """Predicted less measured efficiency of every run beyond the smallest of its series. [n]  [1]"""
    apart = np.array([s.predicted - s.measured for s in found if not s.smallest], dtype=np.float64)
    return np.asarray(apart[np.isfinite(apart)])


def efficiency_json(found: Sequence[Scaled]) -> dict[str, Any]:
    """Differences of efficiency in points."""
    apart = score_of(100 * differences(found), sum(not s.smallest for s in found))
    return {"rows": apart.predicted, "median_abs_points": apart.median, "mean_abs_points": apart.mean,
            "p90_abs_points": apart.p90, "worst_abs_points": apart.worst, "bias_points": apart.bias}


def series(found: Sequence[Scaled]) -> dict[str, list[Scaled]]:
    """Runs of each series with at least two sizes, from small to large."""
    names = dict.fromkeys(s.series for s in found if s.smallest)
    return {name: sorted((s for s in found if s.series == name and s.chips and math.isfinite(s.measured)),
                         key=lambda s: s.chips) for name in names}


def as_json(rows: Sequence[Judged], found: Sequence[Scaled], facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures over all rows, by series and group, and one entry for every row."""
    by_series = [{"by": "series", "name": name, **score([r for r in rows if r.labels.get("series") == name]).as_json(),
                  "efficiency": efficiency_json(members), "sizes": [_size(s) for s in members]}
                 for name, members in series(found).items()]
    return {
        "what": "scaling", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "series": len(by_series), "efficiency": efficiency_json(found)},
        "groups": [*by_series, *told.group_json(rows, list(LABELS))],
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def _size(s: Scaled) -> dict[str, Any]:
    return {"case_id": s.run.id, "gpus": s.chips, "efficiency_measured": s.measured,
            "efficiency_predicted": s.predicted, "difference_points": 100 * (s.predicted - s.measured)}


def report(rows: Sequence[Judged], found: Sequence[Scaled], facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures."""
    rates, apart = score(rows), score_of(differences(found), sum(not s.smallest for s in found))
    return Report(
        title=f"Scaling: predicted beside measured, {name}",
        subtitle=facts.told,
        summary=(*_sentences(apart, len(series(found))), *told.sentences(rows, rates, "Throughput")),
        cards=_cards(rates, apart), meta=told.meta(facts, rows_hash),
        tables=(_series_table(found), *(told.group_table(rows, label, title, picture=False)
                                        for label, title in LABELS.items()),
                told.unpredicted_table(rows), told.worst_table(rows, "step"),
                told.all_rows(rows, "Throughput of one accelerator", "accelerator")),
    )


def _sentences(apart: Score, count: int) -> tuple[str, ...]:
    if not apart.predicted:
        return ("No series has two sizes that could be compared.",)
    sentence = (f"{count:,} series, {apart.predicted:,} larger sizes: predicted efficiency differs from measured by "
            f"{words.points(apart.median)} in the median, {words.points(apart.p90)} for nine in ten, "
            f"{words.points(apart.worst)} at most; bias {words.points(apart.bias, signed=True)}.")
    return (sentence,)


def _cards(rates: Score, apart: Score) -> tuple[tuple[str, str, str], ...]:
    return (("Efficiency, median difference", words.points(apart.median), f"{apart.predicted} larger sizes"),
            ("Largest difference", words.points(apart.worst), "of efficiency"),
            ("Throughput, median error", words.error(rates.median), f"{rates.predicted} of {rates.rows} rows"))


def _series_table(found: Sequence[Scaled]) -> Table:
    rows, pictures = [], []
    for name, members in series(found).items():
        rows += [(name, s.chips, s.run.measured, s.run.predicted if s.run.predicted > 0 else None, s.measured,
                  told.known(s.predicted), told.known(s.predicted - s.measured)) for s in members]
        points = [{"chips": s.chips, "share": 100 * share, "kind": kind} for s in members
                  for kind, share in (("measured", s.measured), ("predicted", s.predicted)) if math.isfinite(share)]
        pictures.append((name, charts.kept(points, "kept, %")))
    return Table(
        id="series", title="Throughput kept as runs grow",
        lead="Tokens/s of one accelerator over that at the smallest size of the series. Batches grow with size too, "
             "in the measured runs and in the predicted ones.",
        empty="No series has two sizes.",
        columns=(Column(title="series"), Column(title="accelerators", kind="count"),
                 Column(title="measured, tokens/s each", kind="number"), Column(title="predicted", kind="number"),
                 Column(title="kept, measured", kind="error"), Column(title="kept, predicted", kind="error"),
                 Column(title="difference", kind="points")),
        rows=tuple(rows), charts=tuple(pictures),
    )
