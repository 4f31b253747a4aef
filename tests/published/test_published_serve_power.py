"""Published power of serving runs: rows the fit never saw, and the ranges of watts that were published of boards."""

import math
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.energy import energy_per_token
from exafleet.service.measured.mlperf_tables import FILE as SUBMISSIONS
from exafleet.service.measured.mlperf_tables import RATE, compare_mlperf, read_mlperf
from exafleet.service.measured.power_tables import FILE, compare_power, read_power
from exafleet.service.steady import serve_step
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(date(2026, 12, 1))


def errors(metric):
    found = compare_power([row for row in read_power(FILE, FACTS) if row.role == "held_out"], FACTS)
    return [c.predicted(metric)[0] / c.row.figures[metric] - 1 for c in found if metric in c.row.figures]


def test_joules_of_rows_the_fit_never_saw():
    off = np.abs(errors("j_per_output_tok"))
    assert len(off) >= 10
    assert np.median(off) <= 0.15
    assert np.max(off) <= 0.5


def test_watts_of_rows_the_fit_never_saw():
    off = np.abs(errors("avg_gpu_board_W"))
    assert np.median(off) <= 0.15


@pytest.mark.parametrize(("name", "dtype", "low", "high"), [
    ("hgx-b200", "fp4", "serving:1", "serving:256"), ("hgx-b300", "fp4", "serving-low", "serving-high"),
    ("hgx-h200", "fp8", "serving-low", "serving-high")])
def test_boards_draw_what_was_published_from_one_user_to_many(name, dtype, low, high):
    """Which models made a range is not told: a mixture of experts stands for them."""
    on = machine(system(FACTS, name), FACTS)
    task = ServeTask(arch=arch(FACTS, "deepseek-v3"), input_tokens=7372.8, output_tokens=921.6, ttft=math.inf,
                     tpot=math.inf, dtype=dtype, kv_dtype="fp8", closed=True)
    step = serve_step(task, on, fixed([8, 8]), [1.0, 256.0])
    found = energy_per_token(task, on, step.layouts, step.concurrency, step.rate, FACTS).power
    published = [FACTS.value(f"{on.chip.id}.chip_power@{at}") for at in (low, high)]
    assert found == pytest.approx(published, rel=0.35)


def test_submissions_of_models_and_chips_held_out():
    rows = [row for row in read_mlperf(SUBMISSIONS, FACTS) if row.role == "held_out"]
    found = compare_mlperf(rows, FACTS)
    off = [abs(c.predicted(RATE)[0] / c.row.rate - 1) for c in found if not c.why]
    assert len(off) == len(rows)
    assert np.median(off) <= 0.35
