"""Peak memory beside its prediction, and what was said to fit beside what did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from exafleet.facts.catalogue import Facts
from exafleet.report.table import Column, Report, Table
from exafleet.report.validation import told
from exafleet.report.validation.score import Judged, Score, score, worst
from exafleet.step.measured.memory_tables import GIB, MemoryCompared, parts_of
from exafleet.step.measured.peaks import MemoryRow
from exafleet.terms import format as words

LABELS = {"stack": "software stack", "family": "family", "counted": "what the source counts", "sharing": "ZeRO level",
          "recompute": "recomputation"}
RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """What was said to fit beside what did: rows with a stated outcome and a prediction.

    right         said to fit and did                     false_fits      said to fit and ran out
    right_oom     said not to fit and ran out             false_refusals  said not to fit and did
    """

    right: int
    right_oom: int
    false_fits: int
    false_refusals: int

    @property
    def rows(self) -> int:
        """All of them."""
        return self.right + self.right_oom + self.false_fits + self.false_refusals

    def as_json(self) -> dict[str, Any]:
        """The table and its shares."""
        ran_out, ran = self.right_oom + self.false_fits, self.right + self.false_refusals
        return {"rows": self.rows, "accuracy": _share(self.right + self.right_oom, self.rows), "fits": self.right,
                "out_of_memory": self.right_oom, "false_fits": self.false_fits, "false_refusals": self.false_refusals,
                "false_fits_of_out_of_memory": _share(self.false_fits, ran_out),
                "false_refusals_of_fits": _share(self.false_refusals, ran)}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def fits(found: Sequence[MemoryCompared]) -> Fits:
    """Count the four cases."""
    said = [(c.fits, c.outcome) for c in found if c.fits is not None and c.outcome]
    count = said.count
    return Fits(right=count((True, "ok")), right_oom=count((False, "oom")), false_fits=count((True, "oom")),
                false_refusals=count((False, "ok")))


def judge(found: Sequence[MemoryCompared], facts: Facts) -> list[Judged]:
    """Each row with the error of its peak; the worst with their parts."""
    rows = [_judged(c) for c in found]
    furthest = {id(r) for r in worst(rows)}
    return [replace(r, parts=parts_of(c.row, facts)) if id(r) in furthest and c.row else r
            for r, c in zip(rows, found, strict=True)]


def _judged(c: MemoryCompared) -> Judged:
    off = c.predicted / c.measured - 1.0 if c.measured > 0 else math.nan
    return Judged(
        id=c.id, measured=c.measured / GIB, unit="GiB", predicted=c.predicted / GIB, low=math.nan, high=math.nan,
        error=off, why=c.why, labels={} if c.row is None else _labels(c.row), what="" if c.row is None else case(c.row),
        beside={"outcome": c.outcome or None, "predicted_fits": c.fits, "needed": c.needed / GIB,
                "usable": c.usable / GIB})


def _labels(row: MemoryRow) -> dict[str, str]:
    found = {"stack": row.stack, "family": row.arch.kind, "counted": row.measure or "only whether it fits",
             "sharing": f"ZeRO-{row.layout.get('zero', 1)}", "recompute": RECOMPUTE[row.layout.get("recompute", 0)],
             "role": row.role}
    return {name: text for name, text in found.items() if text}


def case(row: MemoryRow) -> str:
    """A run in words."""
    names = {"tp": "TP", "cp": "CP", "ep": "EP", "pp": "PP", "vpp": "VPP", "dp": "DP", "mbs": "MBS", "zero": "ZeRO-"}
    stated = [f"{names[a]}{n}" for a, n in row.layout.items() if a in names and (n > 1 or a in ("mbs", "zero"))]
    return f"{row.arch.name} {row.dtype}, {row.seq:,} tokens, {' '.join(stated)}"


def as_json(rows: Sequence[Judged], found: Sequence[MemoryCompared], facts: Facts, rows_hash: str) -> dict[str, Any]:
    """Figures over all rows, by group, and one entry for every row."""
    return {
        "what": "memory", **told.head(facts, rows_hash),
        "overall": {**score(rows).as_json(), "fits": fits(found).as_json()},
        "groups": told.group_json(rows, _grouped(rows)),
        "unpredicted": told.unpredicted_json(rows), "worst": told.worst_json(rows),
        "rows": [r.as_json() for r in rows],
    }


def _grouped(rows: Sequence[Judged]) -> list[str]:
    roles = {r.labels["role"] for r in rows if "role" in r.labels}
    return [*LABELS, *(["role"] if len(roles) > 1 else [])]


def report(rows: Sequence[Judged], found: Sequence[MemoryCompared], facts: Facts, name: str, rows_hash: str) -> Report:
    """The same as tables and pictures."""
    overall, said = score(rows), fits(found)
    return Report(
        title=f"Memory: predicted beside measured, {name}",
        subtitle=facts.told,
        summary=(*told.sentences(rows, overall, "Peak memory"), *_fit_sentences(said)),
        cards=_cards(overall, said), meta=told.meta(facts, rows_hash),
        tables=(_fits_table(said), *(told.group_table(rows, label, LABELS.get(label, label), what="of the peak",
                                                      picture=label == "stack") for label in _grouped(rows)),
                told.unpredicted_table(rows), told.worst_table(rows, "memory"),
                told.all_rows(rows, "Peak memory of one accelerator", "stack")),
    )


def _fit_sentences(said: Fits) -> tuple[str, ...]:
    if not said.rows:
        return ()
    d = said.as_json()
    sentence = (f"Of {said.rows:,} runs that fitted or ran out of memory, {words.error(d['accuracy'])} are foretold; "
                f"{said.false_fits:,} of {said.false_fits + said.right_oom:,} that ran out were said to fit, "
                f"{said.false_refusals:,} of {said.right + said.false_refusals:,} that fitted were refused.")
    return (sentence,)


def _cards(overall: Score, said: Fits) -> tuple[tuple[str, str, str], ...]:
    peak = ("Peak, median error", words.error(overall.median), f"{overall.predicted:,} peaks")
    if not said.rows:
        return (peak,)
    d = said.as_json()
    return (peak, ("Foretold", words.error(d["accuracy"]), f"of {said.rows:,} outcomes"),
            ('False "fits"', words.count(said.false_fits), f"of {said.false_fits + said.right_oom:,} out of memory"))


def _fits_table(said: Fits) -> Table:
    return Table(
        id="fits", title="Fits, or runs out of memory",
        lead="Rows whose outcome is stated, against what the run needs in all and what a process can have.",
        empty="No row states an outcome.",
        columns=(Column(title="measured"), Column(title="said to fit", kind="count"),
                 Column(title="said to run out", kind="count")),
        rows=(("fitted", said.right, said.false_refusals), ("ran out", said.false_fits, said.right_oom))
        if said.rows else (),
    )
