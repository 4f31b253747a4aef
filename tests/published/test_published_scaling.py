"""Throughput that MLPerf Training runs keep as they grow, beside what the model says: never fitted.

Bounds lie a little above what was measured when they were set, in points: 95 % predicted where 97 % was measured is 2.
"""

from datetime import date

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.report.validation.scaling import differences
from exafleet.step.measured.scaling import Scaled, read_scaling, scaled
from exafleet.step.measured.training import compare

FACTS = load_facts(date(2026, 11, 23))


@pytest.fixture(scope="module")
def found() -> list[Scaled]:
    members = read_scaling()
    return scaled(members, compare([m.row for m in members], FACTS))


def told(rows: list[Scaled]) -> str:
    """The ten worst runs, for whoever reads a failure."""
    worst = sorted((s for s in rows if not s.smallest), key=lambda s: -abs(s.predicted - s.measured))[:10]
    return "\n".join(f"{s.series} at {s.chips:,}: keeps {s.predicted:.1%}, measured {s.measured:.1%}" for s in worst)


def test_every_run_has_a_prediction(found: list[Scaled]) -> None:
    assert len(found) == len(read_scaling())
    assert [(s.run.id, s.run.why) for s in found if s.run.why or not np.isfinite(s.predicted)] == []


def test_efficiency_lies_within_points_of_the_measured(found: list[Scaled]) -> None:
    apart = 100 * differences(found)
    assert len(apart) >= 20
    assert np.median(np.abs(apart)) <= 2.2, told(found)
    assert np.quantile(np.abs(apart), 0.9) <= 7.5, told(found)
    assert np.abs(apart).max() <= 14, told(found)
    assert abs(np.median(apart)) <= 2.2, told(found)


def test_the_405b_series_on_h100(found: list[Scaled]) -> None:
    """NVIDIA, MLPerf v5.0: 512 to 8,192 accelerators with batches of like size, the purest series of scale."""
    rows = [s for s in found if s.series.startswith("Llama 3.1 405B on h100-sxm") and not s.smallest]
    assert {s.chips for s in rows} == {2048, 2432, 2560, 8192}
    assert np.abs(100 * differences(rows)).max() <= 5, told(rows)


def test_scale_costs_something_and_the_model_knows_how_much(found: list[Scaled]) -> None:
    """Closer than the planner's rule of thumb that every accelerator more counts in full."""
    rows = [s for s in found if not s.smallest]
    naive = np.abs([1.0 - s.measured for s in rows])
    assert np.mean(np.abs(differences(found))) < 0.5 * naive.mean(), told(found)


def test_rates_themselves(found: list[Scaled]) -> None:
    """Times to train include evaluation, and int8 on TPU is measured nowhere else, so rates come out a little high."""
    off = np.abs(np.expm1([s.run.error for s in found]))
    assert np.median(off) <= 0.08
    gpus = np.abs(np.expm1([s.run.error for s in found if "tpu" not in s.series]))
    assert np.median(gpus) <= 0.05
    assert np.quantile(gpus, 0.9) <= 0.10
