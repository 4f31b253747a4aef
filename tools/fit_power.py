"""Fits the power of a board to the `fit` rows of data/measured_serve_power.csv and writes it into data/power.csv.

    python tools/fit_power.py [--report]      --report prints errors of the facts as they stand and writes nothing

Shares of the rated power for every chip: running, compute, memory, links, beside idle, which the rows do not decide
(hardly a board in them is) and which stays as it was before the fit. What a run did is reckoned at its
measured rate, so that errors of predicted times do not move them. A weak pull keeps each near its value before the fit
where the rows do not decide. Sigma comes from fits that leave one group out. Errors by role follow, and from the `fit`
rows of data/measured_serve_mlperf.csv the 99th percentile of latencies over their median, into data/serving.csv.
"""

from __future__ import annotations

import csv
import datetime
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.hardware import system
from exafleet.service.energy import BOARD, PIECES, Use, activity, split_activity
from exafleet.service.measured.mlperf_tables import FILE as MLPERF
from exafleet.service.measured.mlperf_tables import LIMITED, MlperfRow, read_mlperf
from exafleet.service.measured.power_tables import (
    FILE,
    PowerCompared,
    PowerRow,
    candidates,
    compare_power,
    of_groups,
    pool_of,
    read_power,
    running,
    task_of,
)
from exafleet.step.measured.training import Unread
from exafleet.step.serve import BAND, machine
from exafleet.terms.units import DATA

Floats = npt.NDArray[np.float64]
# Before the fit, lowest and highest (docs/models/energy.md).
BEFORE = {"running": (0.3, 0.1, 0.6), "compute": (0.6, 0.5, 0.9), "memory": (0.4, 0.2, 0.7), "links": (0.1, 0.0, 0.5)}
IDLE = 0.14
# Chips whose boards were measured; fitted rows are newer than those of before the fit.
MEASURED = ("b200-sxm", "b300-sxm", "h200-sxm")
BEFORE_FIT = "2023-12-31"
POWER, SERVING = DATA / "power.csv", DATA / "serving.csv"
PULL = 0.02


def told(row: PowerRow, facts: Facts) -> list[tuple[float, Use, float]]:
    """Measured watts of a board, what it did, and the chip's rated power: one for each pool with watts of its own."""
    on, task = machine(system(facts, row.system), facts, row.engine, row.release), task_of(row, facts)
    tdp, rate = on.chip.tdp, np.array([row.rate])
    if not row.prefill:
        ways = candidates(row, task.arch, on, row.decode).take([0])
        replicas = row.decode / ways.replica
        runs = running(task, on, ways, row.concurrency / replicas)
        return [(row.figures["avg_gpu_board_W"], activity(task, on, ways, runs, rate / replicas), tdp)]
    prefill, decode = (pool_of(row, task.arch, on, chips) for chips in (row.prefill, row.decode))
    assert prefill is not None
    assert decode is not None
    uses = split_activity(task, prefill, decode, row.concurrency, rate)
    return [(value, use, tdp) for value, use in zip((row.prefill_power, row.decode_power), uses, strict=True)
            if math.isfinite(value)]


def solved(points: Sequence[tuple[float, Use, float]]) -> Floats:
    """The shares that explain measured watts best, in relative error; idle is the first. [P]"""
    from scipy.optimize import lsq_linear

    start, low, high = (np.array(column) for column in zip(*BEFORE.values(), strict=True))
    rows = np.array([use.share().values[0] for _, use, _ in points])
    measured = np.array([value / tdp for value, _, tdp in points])
    pull = PULL * math.sqrt(len(points)) / (high - low)
    found = lsq_linear(np.vstack([rows / measured[:, None], np.diag(pull)]),
                       np.concatenate([1.0 - IDLE / measured, pull * start]), bounds=(low, high))
    return np.concatenate([[IDLE], found.x])


def left(points: Sequence[tuple[float, Use, float]], shares: Floats) -> Floats:
    """ln(predicted / measured) of the watts. [n]"""
    rows = np.array([[1.0, *(float(v) for v in use.share().values[0])] for _, use, _ in points])
    return np.asarray(np.log(rows @ shares * np.array([tdp for _, _, tdp in points])
                             / np.array([value for value, _, _ in points])))


def main() -> None:
    """Fit, write and print; or print alone."""
    facts = load_facts(datetime.date.max)
    rows = [row for row in read_power(FILE, facts) if isinstance(row, PowerRow)]
    fit = [row for row in rows if row.role == "fit" and math.isfinite(row.rate)]
    points = {row.id: told(row, facts) for row in fit}
    shares = solved([p for row in fit for p in points[row.id]])
    groups = of_groups(fit)
    without = {name: solved([p for r in fit if r.group != name for p in points[r.id]]) for name in groups}
    apart = [left([p for r in members for p in points[r.id]], without[name]) for name, members in groups.items()]
    # Eight in ten of the rows left out lie in the band: their 80th percentile, not their spread, which two rows make.
    sigma = float(np.quantile(abs(np.concatenate(apart)), 0.8) / BAND)
    for name, share in zip((*PIECES, "sigma"), (*shares, sigma), strict=True):
        print(f"{name:10s} {share:.3f}")
    inside = left([p for row in fit for p in points[row.id]], shares)
    print(f"watts at the measured rate, {len(inside)} in {len(groups)} groups: "
          f"median error {np.median(abs(np.expm1(inside))):.3f}")
    ratios = tails(read_mlperf(MLPERF, facts))
    if "--report" not in sys.argv:
        fitted = {f"{BOARD}.board_share@{name}": share for name, share in zip(PIECES[1:], shares[1:], strict=True)}
        sigmas = {f"{chip}.board_sigma": sigma for chip in MEASURED} | {f"{BOARD}.board_sigma": 2.0 * sigma}
        rewrite(POWER, fitted | sigmas)
        rewrite(SERVING, {f"mlperf-inference.tail_ratio@{at}": ratio for at, ratio in ratios.items()})
        facts = load_facts(datetime.date.max)
    errors("fit rows, each group by a fit without it",
           [c for name, members in groups.items()
            for c in compare_power(members, with_shares(facts, without[name]))])
    for role in ("fit", "held_out"):
        errors(f"{role} rows, facts as they stand", compare_power([r for r in rows if r.role == role], facts))


def rewrite(path: Path, values: Mapping[str, float]) -> None:
    """Put values into the fitted rows of a table of facts, which are there already."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    at = {name: header.index(name) for name in ("subject", "term", "at", "value", "as_of")}
    left_over = set(values)
    for row in rows:
        key = f"{row[at['subject']]}.{row[at['term']]}" + (f"@{row[at['at']]}" if row[at["at"]] else "")
        if key in values and row[at["as_of"]] > BEFORE_FIT:
            row[at["value"]] = f"{round(values[key], 4):.3g}"
            left_over.discard(key)
    if left_over:
        raise SystemExit(f"{path.name} has no fitted row of {', '.join(sorted(left_over))}")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def with_shares(facts: Facts, shares: Floats) -> Facts:
    """The facts with these shares in place of theirs."""
    for name, share in zip(PIECES, shares, strict=True):
        facts = facts.with_fact(f"{BOARD}.board_share@{name}", float(share))
    return facts


def errors(what: str, found: Sequence[PowerCompared]) -> None:
    """Errors at the model's own rates, by metric."""
    print(what)
    for metric in ("j_per_output_tok", "avg_gpu_board_W"):
        these = [c for c in found if metric in c.row.figures]
        off = np.array([value for c in these if math.isfinite(value := _error(c, metric))])
        inside = [low <= c.row.figures[metric] <= high for c in these for _, low, high in (c.predicted(metric),)]
        print(f"  {metric:17s} {len(off):3d} of {len(these):3d}  median {np.median(abs(off)):.3f}  "
              f"p90 {np.quantile(abs(off), 0.9):.3f}  bias {np.median(off):+.3f}  in the band {np.mean(inside):.2f}")


def _error(c: PowerCompared, metric: str) -> float:
    return c.predicted(metric)[0] / c.row.figures[metric] - 1.0


def tails(rows: Sequence[MlperfRow | Unread]) -> dict[str, float]:
    """Median of the 99th percentile over the median, of rows that state both: "latency:scenario" -> ratio. [1]"""
    found = {}
    for metric in ("ttft", "tpot"):
        for scenario in LIMITED:
            ratio = [getattr(r, f"{metric}_p99") / getattr(r, f"{metric}_p50") for r in rows
                     if isinstance(r, MlperfRow) and r.role == "fit" and r.scenario == scenario]
            known = np.array([value for value in ratio if math.isfinite(value)])
            low, middle, high = np.quantile(known, (0.1, 0.5, 0.9))
            print(f"tail_ratio {metric}:{scenario:11s} {middle:.3g} ({low:.3g} to {high:.3g}) of {len(known)}")
            found[f"{metric}:{scenario}"] = float(middle)
    return found


if __name__ == "__main__":
    main()
