"""Fits the few factors of the serving step to the `fit` rows of data/measured_serve.csv and prints them.

    python tools/fit_serving.py

Nine numbers for everybody: host time of a step by engine, time of a request outside the engine, slowdown of decode,
prefill and dequantised products over the sum of the operators, hidden launches, bunching of a closed loop. A weak pull
keeps each near its value before the fit where the rows do not decide. The printed rows go into data/serving.csv.
"""

from __future__ import annotations

import datetime
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.runs import ServeRow, log_errors, predict_row, read_rows
from exafleet.step.serve import Machine, machine

ENGINES = ("trtllm", "sglang", "vllm")
# name: (before the fit, lowest, highest)
FACTORS = {"trtllm": (1e-3, 0.0, 8e-3), "sglang": (1e-3, 0.0, 8e-3), "vllm": (1e-3, 0.0, 8e-3),
           "request": (0.05, 0.0, 0.3), "decode": (1.1, 0.7, 1.6), "prefill": (1.2, 0.7, 2.5),
           "hidden": (0.3, 0.0, 0.9), "dequantise": (1.5, 1.0, 4.0), "bunching": (0.1, 0.0, 0.5)}
WEIGHT = {"tpot": 1.0, "rate_per_chip": 0.7, "ttft": 0.3}
PULL = 0.5
Floats = npt.NDArray[np.float64]


def with_factors(on: Machine, engine: str, values: dict[str, float]) -> Machine:
    """The machine with these factors in place of the facts'."""
    shared = {name: value for name, value in values.items() if name not in ENGINES}
    return replace(on, engine=replace(on.engine, overhead=values[engine], **shared))


def errors(rows: Sequence[ServeRow], facts: Facts, machines: dict[tuple[str, str], Machine],
           values: dict[str, float]) -> list[tuple[str, float]]:
    """Metric and log error of every figure of every row."""
    found = []
    for row in rows:
        on = with_factors(machines[row.system, row.engine], row.engine, values)
        predicted = predict_row(row, facts, on)
        found += list(log_errors(row, predicted).items()) if predicted else []
    return found


def main() -> None:
    """Fit, and print the factors with the spread of what is left."""
    from scipy.optimize import least_squares

    facts = load_facts(datetime.date.max)
    rows = [row for row in read_rows() if row.role == "fit"]
    machines = {(r.system, r.engine): machine(system(facts, r.system), facts, r.engine) for r in rows}
    start, low, high = (np.array(column) for column in zip(*FACTORS.values(), strict=True))

    def values(unit: Floats) -> dict[str, float]:
        return dict(zip(FACTORS, (low + (high - low) * unit).tolist(), strict=True))

    def residuals(unit: Floats) -> Floats:
        found = errors(rows, facts, machines, values(unit))
        pull = PULL * (unit - (start - low) / (high - low))
        return np.array([WEIGHT[name] * error for name, error in found] + pull.tolist())

    solved = least_squares(residuals, (start - low) / (high - low), bounds=(0, 1), loss="soft_l1", f_scale=0.2,
                           diff_step=0.02, max_nfev=15)
    for name, value in values(solved.x).items():
        print(f"{name:12s} {value:.5g}")
    left = errors(rows, facts, machines, values(solved.x))
    for metric in WEIGHT:
        these = np.array([e for name, e in left if name == metric])
        print(f"{metric:14s} rows {len(these):4d}  median error {np.median(abs(np.expm1(these))):.3f}  "
              f"bias {math.expm1(np.median(these)):+.3f}  spread {np.sqrt(np.mean(np.clip(these, -1, 1) ** 2)):.3f}")


if __name__ == "__main__":
    main()
