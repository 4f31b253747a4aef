"""The serving model against published measurements it was not fitted on (docs/models/serving.md has the rule)."""

import csv
import datetime
import math
import zlib

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.runs import TABLE, log_errors, predict_row, read_rows
from exafleet.service.search import search_serve
from exafleet.step.serve import ServeTask, machine
from exafleet.terms.units import DATA

FACTS = load_facts(datetime.date(2026, 11, 23))
ROWS = read_rows()
METRICS = ("tpot", "rate_per_chip", "ttft")


def held_out(row):
    """The rule of docs/models/serving.md: two families never seen, and every fifth group of model and system."""
    return (row.model.startswith("qwen3") or row.system in ("mi300x-8", "gb200-nvl72")
            or zlib.crc32(f"{row.model}|{row.system}".encode()) % 5 == 0)


@pytest.fixture(scope="module")
def found():
    machines = {(r.system, r.engine): machine(system(FACTS, r.system), FACTS, r.engine) for r in ROWS}
    return [(row, predict_row(row, FACTS, machines[row.system, row.engine])) for row in ROWS]


def errors(found, metric, keep):
    """ln(predicted / measured) and the ln of the band's half width, of the rows `keep` takes."""
    pairs = [(log_errors(row, p)[metric], math.log(p.spread)) for row, p in found
             if keep(row) and p is not None and metric in log_errors(row, p)]
    return np.array(pairs).T


def test_roles_follow_the_written_rule():
    assert {row.case for row in ROWS if row.role == "held_out"} == {row.case for row in ROWS if held_out(row)}
    assert {row.role for row in ROWS} == {"fit", "held_out"}


def test_every_row_names_its_source_and_place():
    with (DATA / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 30
    assert all(row["source"] in FACTS.sources and row["where"] and row["date"] for row in rows)
    assert len({row["case"] for row in rows}) == len(rows)


def test_every_row_is_predicted(found):
    assert all(p is not None and p.tpot > 0 and math.isfinite(p.rate_per_chip) for _, p in found)


@pytest.mark.parametrize(("metric", "median", "p90"), [("tpot", 0.25, 0.65), ("rate_per_chip", 0.25, 0.80),
                                                       ("ttft", 0.55, 2.0)])
def test_errors_of_held_out_rows(found, metric, median, p90):
    error = np.abs(np.expm1(errors(found, metric, lambda r: r.role == "held_out")[0]))
    assert np.median(error) < median
    assert np.quantile(error, 0.9) < p90


@pytest.mark.parametrize("metric", ["tpot", "rate_per_chip"])
def test_the_80_percent_band_covers_about_four_in_five_held_out_rows(found, metric):
    error, half = errors(found, metric, lambda r: r.role == "held_out")
    assert 0.65 <= np.mean(np.abs(error) <= half) <= 0.92


@pytest.mark.parametrize(("name", "median"), [
    ("hgx-h100", 0.25), ("hgx-h200", 0.35), ("hgx-b200", 0.30), ("gb200-nvl72", 0.25), ("rtx-pro-6000-8", 0.25),
    ("hgx-a100-80gb", 0.30), ("gh200-96gb-1", 0.30), ("l40s-8", 0.25),
    # Nobody measured AMD's operators in a form we have: its curves are inferred, and too fast by two thirds here.
    ("mi300x-8", 0.90)])
def test_throughput_by_accelerator(found, name, median):
    error = np.abs(np.expm1(errors(found, "rate_per_chip", lambda r: r.system == name)[0]))
    assert len(error) >= 3
    assert np.median(error) < median


def test_predicted_and_measured_throughput_rank_alike(found):
    pairs = np.array([(p.rate_per_chip, r.rate_per_chip) for r, p in found if r.rate_per_chip > 0]).T
    ranks = np.argsort(np.argsort(pairs, axis=1), axis=1)
    assert np.corrcoef(ranks)[0, 1] > 0.95


def deepseek(name, dtype, chips, tpot):
    task = ServeTask(arch=arch(FACTS, "deepseek-v3"), input_tokens=1000, output_tokens=1000, ttft=5, tpot=tpot,
                     dtype=dtype, kv_dtype="fp8")
    return search_serve(task, system(FACTS, name), chips, FACTS)


@pytest.mark.parametrize("tpot", [0.020, 0.050])
def test_a_72_chip_domain_serves_deepseek_r1_several_times_better_than_8_chip_servers(tpot):
    # InferenceX, 2025 and 2026: GB200 NVL72 against H100 several-fold at 20 to 50 ms, and more the tighter the target.
    rack, servers = deepseek("gb200-nvl72", "fp4", 72, tpot), deepseek("hgx-h100", "fp8", 64, tpot)
    assert rack.rate_per_chip >= 3 * servers.rate_per_chip > 0


def test_the_rack_gains_most_where_the_target_is_tight():
    ratio = [deepseek("gb200-nvl72", "fp8", 72, t).rate_per_chip / deepseek("hgx-h100", "fp8", 64, t).rate_per_chip
             for t in (0.020, 0.030, 0.100)]
    assert min(ratio[:2]) > ratio[2] > 2
