"""Errors of predictions as a few figures, of rows of any kind (training, scaling, memory).

An error is predicted over measured, less one, of the rate: a step predicted too long is a negative error, like a
throughput predicted too low.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exafleet.terms.parts import Parts

WORST = 10
NO_REASON = "the model gives no prediction and no reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One row beside its prediction.

    measured, predicted, low, high   in `unit`; nan where there is none; low to high is the 80 % band
    error    predicted over measured less one, of the rate; nan where either is missing              [1]
    why      why there is no prediction; "" where there is one
    labels   the groups it counts in: {"accelerator": "h100-sxm", "family": "MoE", ...}
    what     the case in words
    parts    what the prediction is made of
    beside   further figures of this kind of row, for JSON
    """

    id: str
    measured: float
    unit: str
    predicted: float
    low: float
    high: float
    error: float
    why: str
    labels: dict[str, str]
    what: str = ""
    parts: Parts | None = None
    beside: dict[str, Any] = field(default_factory=dict)

    @property
    def inside(self) -> bool:
        """Whether the measured value lies in the band."""
        return min(self.low, self.high) <= self.measured <= max(self.low, self.high)

    def as_json(self) -> dict[str, Any]:
        """The row as a program reads it."""
        return {"case_id": self.id, "measured": self.measured, "unit": self.unit, "predicted": self.predicted,
                "low": self.low, "high": self.high, "why": self.why, **self.beside}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of some rows; nan where no row has both values.

    rows, predicted   how many there are, and how many of them have an error
    median, mean, p90, worst   of the error without its sign    [1]
    bias              median of the signed error                [1]
    coverage          share of rows inside the 80 % band        [1]
    """

    rows: int
    predicted: int
    median: float
    mean: float
    p90: float
    worst: float
    bias: float
    coverage: float

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {"rows": self.rows, "predicted": self.predicted, "median_abs_error": self.median,
                "mean_abs_error": self.mean, "p90_abs_error": self.p90, "worst_abs_error": self.worst,
                "bias": self.bias, "coverage": self.coverage}


def rate_error(measured: float, predicted: float, unit: str) -> float:
    """Error of the rate, whatever the unit is; nan where there is no prediction. [1]

    >>> rate_error(100.0, 110.0, "token/s"), rate_error(1.0, 2.0, "s")
    (0.10000000000000009, -0.5)
    """
    if not (predicted > 0 and measured > 0 and math.isfinite(predicted) and math.isfinite(measured)):
        return math.nan
    return (measured / predicted if unit == "s" else predicted / measured) - 1.0


def score(rows: Sequence[Judged]) -> Score:
    """Errors of rows as a few figures."""
    known = judged(rows)
    banded = [r.inside for r in known if math.isfinite(r.low) and math.isfinite(r.high)]
    return score_of(np.array([r.error for r in known]), len(rows), float(np.mean(banded)) if banded else math.nan)


def score_of(errors: np.typing.NDArray[np.float64], rows: int, coverage: float = math.nan) -> Score:
    """Score of errors that are known [n], of so many rows."""
    if not errors.size:
        return Score(rows=rows, predicted=0, median=math.nan, mean=math.nan, p90=math.nan, worst=math.nan,
                     bias=math.nan, coverage=math.nan)
    size = np.abs(errors)
    return Score(rows=rows, predicted=errors.size, median=float(np.median(size)), mean=float(size.mean()),
                 p90=float(np.quantile(size, 0.9)), worst=float(size.max()), bias=float(np.median(errors)),
                 coverage=coverage)


def judged(rows: Iterable[Judged]) -> list[Judged]:
    """Rows that have an error."""
    return [r for r in rows if math.isfinite(r.error)]


def groups(rows: Sequence[Judged], label: str) -> dict[str, Score]:
    """Score of each group of a label, in order of name; rows that could not be read are in none."""
    members: defaultdict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        if label in row.labels:
            members[row.labels[label]].append(row)
    return {name: score(members[name]) for name in sorted(members)}


def worst(rows: Sequence[Judged], most: int = WORST) -> list[Judged]:
    """Rows that are furthest off, by the ratio of the two values: a half and a double are equally far."""
    return sorted(judged(rows), key=lambda r: -abs(math.log1p(max(r.error, -1 + 1e-12))))[:most]


def unpredicted(rows: Sequence[Judged]) -> dict[str, list[str]]:
    """Reason -> ids of the rows without a prediction, most frequent first."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.why:
            found[row.why].append(row.id)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def repeated(rows: Sequence[Judged]) -> list[str]:
    """Ids that stand on more than one row, in order."""
    seen: set[str] = set()
    again: dict[str, None] = {}
    for row in rows:
        if row.id in seen:
            again[row.id] = None
        seen.add(row.id)
    return list(again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What picking the best layout by prediction costs, over groups of measured layouts of the same run.

    groups            groups with at least two measured layouts that have a prediction
    right             groups where the fastest layout was picked
    mean_loss, worst_loss   throughput lost against the fastest measured layout of the group    [1]
    """

    groups: int
    right: int
    mean_loss: float
    worst_loss: float

    def as_json(self) -> dict[str, Any]:
        """The figures by name."""
        return {"groups": self.groups, "right": self.right, "mean_throughput_lost": self.mean_loss,
                "worst_throughput_lost": self.worst_loss}


def choice(rows: Iterable[tuple[Hashable, Hashable, float, float]]) -> Choice:
    """Choice among (group, layout, measured rate, predicted rate); a layout measured again counts with its mean."""
    measured: defaultdict[Hashable, defaultdict[Hashable, list[tuple[float, float]]]]
    measured = defaultdict(lambda: defaultdict(list))
    for group, layout, was, said in rows:
        measured[group][layout].append((was, said))
    lost = [_lost(np.array([np.mean(v, axis=0) for v in by.values()])) for by in measured.values() if len(by) > 1]
    return Choice(groups=len(lost), right=sum(v == 0 for v in lost),
                  mean_loss=float(np.mean(lost)) if lost else math.nan, worst_loss=max(lost, default=math.nan))


def _lost(rates: np.typing.NDArray[np.float64]) -> float:
    """Share of throughput lost by taking the layout predicted fastest. rates: (measured, predicted) [n, 2]"""
    return float(1.0 - rates[np.argmax(rates[:, 1]), 0] / rates[:, 0].max())


def top_parts(parts: Parts | None, most: int = 4) -> str:
    """The largest parts of a prediction as shares of it: "mlp gemm 41 %, tp 18 %"."""
    if parts is None or not float(parts.total) > 0:
        return ""
    shares = sorted(zip(parts.names, parts.share(), strict=True), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares[:most] if share >= 0.005)
