"""Training runs beside their predictions: tokens/s of one accelerator, or step time where a source has only that.

Rows are grouped by accelerator, precision, family and stack; where several measured layouts of one run are in the
file, `choice` says how much throughput is lost by taking the one predicted fastest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.report.table import Report
from exafleet.report.validation import told
from exafleet.report.validation.score import NO_REASON, Choice, Judged, choice, rate_error, score
from exafleet.step.measured.training import Compared, Published
from exafleet.terms import format as words

LABELS = {"accelerator": "accelerator", "precision": "precision", "family": "family", "stack": "software stack",
          "vendor": "maker"}

DRAWN = ("accelerator", "stack", "family")


def judge(found: Sequence[Compared], facts: Facts) -> list[Judged]:
    """Each compared row with its error and the groups it counts in."""
    return [_judged(c, facts) for c in found]


def _judged(c: Compared, facts: Facts) -> Judged:
    predicted = c.predicted if c.predicted > 0 else math.nan
    missing = c.why or ("" if math.isfinite(predicted) else NO_REASON)
    return Judged(id=c.id, measured=c.measured, unit=c.unit, predicted=predicted, low=c.low, high=c.high,
                  error=rate_error(c.measured, predicted, c.unit), why=missing,
                  labels={} if c.row is None else labels_of(c.row, c.family, facts),
                  what="" if c.row is None else case(c.row), parts=None if c.steps is None else c.steps.time.at(0))


def labels_of(row: Published, family: str, facts: Facts) -> dict[str, str]:
    """The groups a run counts in."""
    chip = facts.subjects.by_id.get(row.chip)
    found = {"accelerator": row.chip, "precision": row.dtype, "family": family, "stack": row.stack or "default",
             "vendor": chip.vendor if chip else "", "task": row.task, "role": row.role}
    return {name: text for name, text in found.items() if text}


def case(row: Published) -> str:
    """A run in words: model, accelerators, number format, and the layout its source states."""
    names = {"tp": "TP", "cp": "CP", "ep": "EP", "etp": "ETP", "pp": "PP", "vpp": "VPP", "mbs": "MBS", "zero": "ZeRO-"}
    stated = [f"{names[axis]}{n}" for axis, n in row.layout.items()
              if axis in names and (n > 1 or axis in ("mbs", "zero"))]
    return f"{row.model} on {row.chips:,} {row.chip} {row.dtype}, {row.seq:,} tokens, {' '.join(stated)}".rstrip(", ")


def chosen(found: Sequence[Compared]) -> Choice:
    """What picking among measured layouts of the same run by prediction would have cost."""
    ready = [(c, c.row) for c in found if c.row and c.rate > 0 and c.predicted_rate > 0]
    return choice((_run(row), tuple(sorted(row.layout.items())), c.rate, c.predicted_rate) for c, row in ready)


def _run(row: Published) -> tuple[object, ...]:
    changes = tuple(sorted(row.changes.items()))
    return (row.model, row.arch, changes, row.chip, row.chips, row.dtype, row.recipe, row.seq, row.batch, row.stack,
            row.task, row.options)


def as_json(rows: Sequence[Judged], picked: Choice, facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures over all rows, by group, and one entry for every row."""
    return {
        "what": "training", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "choice": picked.as_json()},
        "groups": told.group_json(rows, labels_in(rows)),
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def labels_in(rows: Sequence[Judged]) -> list[str]:
    """Labels to group by; the task and the role of a row only where there are several."""
    several = [label for label in ("task", "role") if len({r.labels[label] for r in rows if label in r.labels}) > 1]
    return [*LABELS, *several]


def report(rows: Sequence[Judged], picked: Choice, facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures."""
    found = score(rows)
    tables = [told.group_table(rows, label, LABELS.get(label, label), picture=label in DRAWN)
              for label in labels_in(rows)]
    return Report(
        title=f"Training: predicted beside measured, {name}",
        subtitle=facts.told,
        summary=(*told.sentences(rows, found, "Throughput"), *choice_words(picked)),
        cards=cards(found), meta=told.meta(facts, rows_hash),
        tables=(*tables, told.unpredicted_table(rows), told.worst_table(rows, "step"),
                told.all_rows(rows, "Throughput of one accelerator", "family")),
    )


def cards(found: Any) -> tuple[tuple[str, str, str], ...]:
    """The figures people look for first."""
    if not found.predicted:
        return (("Rows compared", "0", f"of {found.rows:,}"),)
    return (
        ("Rows compared", words.count(found.predicted), f"of {found.rows:,}"),
        ("Median error", words.error(found.median), f"mean {words.error(found.mean)}"),
        ("Nine in ten within", words.error(found.p90), f"worst {words.error(found.worst)}"),
        ("Bias", words.change(found.bias), "median with sign"),
        ("In the 80 % band", words.percent(found.coverage), "80 % would be right"),
    )


def choice_words(picked: Choice) -> tuple[str, ...]:
    """What a choice by prediction loses, in a sentence."""
    if not picked.groups:
        return ()
    sentence = (f"In {picked.groups:,} runs with several measured layouts, taking the one predicted fastest loses "
            f"{words.error(picked.mean_loss)} of throughput on average (at worst {words.error(picked.worst_loss)}); "
            f"it is the fastest in {picked.right:,}.")
    return (sentence,)
