"""Published serving measurements (data/measured_serve.csv) beside what the model says of the same deployment.

A row is one engine, layout and load. `concurrency` is the number of requests kept running in a closed loop; "max"
rows queued every request at once, so the engine ran as many as it could. Rows are `fit` or `held_out` by the rule in
docs/models/serving.md, fixed before the fit; only tools/fit_serving.py may look at errors of `fit` rows.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import system
from exafleet.service.search import MOST_BATCH, RUNG
from exafleet.service.steady import ServeStep, serve_step
from exafleet.step.serve import BAND, Machine, ServeTask, machine
from exafleet.step.serve_layouts import fixed
from exafleet.terms.units import DATA
from exafleet.terms.why import Why

TABLE = "measured_serve.csv"
MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRow:
    """One published point. Unknown figures are nan; `tokens` are means (nominal times `mean_share`). Base units."""

    case: str
    model: str
    system: str
    dtype: str
    weight_dtype: str
    kv_dtype: str
    engine: str
    tp: int
    pp: int
    dp: int
    ep: int
    input_tokens: float
    output_tokens: float
    concurrency: float
    tpot: float
    ttft: float
    rate_per_chip: float
    role: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServePrediction:
    """What the model says of a row: medians, the factor of its 80 % band, and the candidate itself. Base units."""

    tpot: float
    ttft: float
    rate_per_chip: float
    spread: float
    concurrency: float
    step: ServeStep
    at: int


def read_rows(path: Path | None = None) -> list[ServeRow]:
    """Every row of the package's table, or of another file of the same columns."""
    with (path or DATA / TABLE).open(encoding="utf-8", newline="") as file:
        return [_row(row) for row in csv.DictReader(file)]


def _row(row: dict[str, str]) -> ServeRow:
    share, most = float(row["mean_share"]), row["concurrency"] == MAX
    return ServeRow(
        case=row["case"], model=row["model"], system=row["system"], dtype=row["dtype"],
        weight_dtype=row["weight_dtype"], kv_dtype=row["kv_dtype"], engine=row["engine"], tp=int(row["tp"]),
        pp=int(row["pp"]), dp=int(row["dp"]), ep=int(row["ep"]), input_tokens=float(row["input_tokens"]) * share,
        output_tokens=float(row["output_tokens"]) * share, concurrency=math.inf if most else float(row["concurrency"]),
        tpot=_number(row["time_per_token_ms"]) / 1e3, ttft=_number(row["first_token_ms"]) / 1e3,
        rate_per_chip=_number(row["tokens_per_s_per_chip"]), role=row["role"], source=row["source"])


def _number(text: str) -> float:
    return float(text) if text else math.nan


def predict_row(row: ServeRow, facts: Facts, on: Machine | None = None) -> ServePrediction | None:
    """The model's answer for a row's deployment, or None when not even one sequence fits in memory.

    Where the row's concurrency does not fit, the engine runs what fits and the rest waits; the time to first token of
    such rows is not predicted (nan), because it is set by how long the benchmark lasted.
    """
    on = on or machine(system(facts, row.system), facts, row.engine)
    task = ServeTask(arch=arch(facts, row.model), input_tokens=row.input_tokens, output_tokens=row.output_tokens,
                     ttft=math.inf, tpot=math.inf, dtype=row.dtype, weight_dtype=row.weight_dtype,
                     kv_dtype=row.kv_dtype,
                     engine=row.engine, closed=math.isfinite(row.concurrency))
    groups = row.dp * row.pp
    rungs = np.unique(np.round(RUNG ** np.arange(math.log(MOST_BATCH) / math.log(RUNG)))) * groups
    ladder = np.unique(np.append(rungs[rungs < row.concurrency], min(row.concurrency, MOST_BATCH * groups)))
    step = serve_step(task, on, fixed(np.full(ladder.shape, row.tp), row.pp, row.dp, row.ep), ladder)
    fits = np.flatnonzero(step.why == Why.OK)
    if not len(fits):
        return None
    # A closed loop runs all it is given; queued at once, the engine is judged at its best.
    at = int(fits[-1]) if task.closed else int(fits[np.argmax(step.rate[fits])])
    whole = not task.closed or step.concurrency[at] == row.concurrency
    return ServePrediction(tpot=float(step.token.total[at]), ttft=float(step.first.total[at]) if whole else math.nan,
                           rate_per_chip=float(step.rate[at] / step.layouts.replica[at]),
                           spread=math.exp(BAND * on.engine.sigma), concurrency=float(step.concurrency[at]),
                           step=step, at=at)


def log_errors(row: ServeRow, found: ServePrediction) -> dict[str, float]:
    """ln(predicted / measured) by metric; latency of "max" rows is not compared (they are judged by throughput)."""
    pairs = {"rate_per_chip": (found.rate_per_chip, row.rate_per_chip)}
    if math.isfinite(row.concurrency):
        pairs |= {"tpot": (found.tpot, row.tpot), "ttft": (found.ttft, row.ttft)}
    return {name: math.log(a / b) for name, (a, b) in pairs.items() if a > 0 and b > 0}
