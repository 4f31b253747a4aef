"""Tables of MLPerf submissions: what rows mean, what is searched for them, and what is told of the others."""

import csv
import math
from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.mlperf_tables import (
    FILE,
    RATE,
    MlperfRow,
    compare_mlperf,
    in_process,
    named,
    read_mlperf,
    tail,
    task_of,
)
from exafleet.step.measured.training import Unread
from exafleet.step.serve import machine
from exafleet.terms.errors import FactError

FACTS = load_facts(date(2026, 11, 23))
LIKE = {"row_id": "I1", "round": "v5.1", "submitter": "NVIDIA", "accelerator": "NVIDIA H200-SXM-141GB", "n_accel": "8",
        "model": "llama2-70b-99.9", "scenario": "Server", "result_tokens_per_s": "32000",
        "tokens_per_s_per_accel_DERIVED": "4000", "mean_output_tokens_per_sample": "300", "valid": "VALID",
        "ttft_p99_ms": "1800", "ttft_p50_ms": "200", "tpot_p99_ms": "190", "tpot_p50_ms": "150",
        "ttft_limit_ms": "2000", "tpot_limit_ms": "200", "weight_precision": "fp8",
        "software": "TensorRT 10.11, CUDA 12.9", "notes": ""}
OFFLINE = {"scenario": "Offline", "ttft_p99_ms": "", "ttft_p50_ms": "", "tpot_p99_ms": "", "tpot_p50_ms": "",
           "ttft_limit_ms": "", "tpot_limit_ms": ""}


def read(tmp_path, *changes):
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(LIKE))
        writer.writeheader()
        writer.writerows({**LIKE, **change} for change in changes)
    return read_mlperf(path, FACTS)


def test_a_row_is_read_in_base_units_with_the_prompt_of_its_data_set(tmp_path):
    row = read(tmp_path, {})[0]
    assert (row.chip, row.system, row.chips, row.benchmark) == ("h200-sxm", "hgx-h200", 8, "llama2-70b")
    assert (row.scenario, row.dtype, row.engine, row.by) == ("server", "fp8", "trtllm", "maker")
    assert (row.rate, row.tpot, row.ttft_p50) == (4000, 0.2, 0.2)
    assert (row.input_tokens, row.output_tokens) == (FACTS.value("mlperf-inference.mean_input@llama2-70b"), 300)
    assert row.metrics == (RATE, "tpot_ms", "ttft_ms")
    assert [row.measured(m) for m in row.metrics] == pytest.approx([4000, 150, 200])


def test_an_offline_row_has_no_limit_and_no_latency(tmp_path):
    row = read(tmp_path, OFFLINE)[0]
    assert (row.metrics, row.ttft, row.tpot) == ((RATE,), math.inf, math.inf)
    assert (task_of(row, FACTS).ttft, task_of(row, FACTS).tpot) == (math.inf, math.inf)


def test_a_limit_on_the_tail_is_a_tighter_one_on_the_mean(tmp_path):
    row = read(tmp_path, {})[0]
    task = task_of(row, FACTS)
    assert task.tpot == pytest.approx(0.2 / tail("tpot", "server", FACTS))
    assert tail("ttft", "server", FACTS) > tail("tpot", "server", FACTS) > 1.0
    found = compare_mlperf([row], FACTS)[0]
    assert found.found.tpot <= task.tpot
    assert found.found.ttft <= task.ttft


def test_a_load_generator_in_the_engine_s_process_adds_nothing_to_the_first_token(tmp_path):
    row = read(tmp_path, {})[0]
    inside = in_process(row, FACTS)
    for term in ("request_overhead", "first_token_steps"):
        assert inside.value(f"serving-engine.{term}") == 0.0 < FACTS.value(f"serving-engine.{term}")
    alone = machine(system(FACTS, row.system), inside, row.engine).engine
    assert (alone.request, alone.waits) == (0.0, 0.0)
    assert alone.decode == machine(system(FACTS, row.system), FACTS, row.engine).engine.decode


def test_what_a_row_leaves_out_the_rules_tell(tmp_path):
    row, interactive = read(tmp_path, {"ttft_limit_ms": "", "tpot_limit_ms": "", "mean_output_tokens_per_sample": ""},
                            {"ttft_limit_ms": "", "tpot_limit_ms": "", "scenario": "Interactive"})
    assert (row.ttft, row.tpot, row.output_tokens) == pytest.approx((2.0, 0.2, 294.45))
    assert (interactive.ttft, interactive.tpot) == pytest.approx((0.45, 0.04))


def test_a_format_that_was_downloaded_is_not_the_one_served(tmp_path):
    old, new = read(tmp_path, {"round": "v4.1", "weight_precision": "fp16"}, {"weight_precision": "fp16"})
    assert (old.dtype, new.dtype) == ("fp8", "bf16")
    assert "taken as fp8" in old.note


@pytest.mark.parametrize(("change", "why"), [
    ({"accelerator": ""}, "no accelerator is stated"), ({"n_accel": ""}, "n_accel is not stated"),
    ({"model": "nobody-9b"}, 'unknown model "nobody-9b"'), ({"scenario": "MultiStream"}, "unknown scenario"),
    ({"valid": "INVALID"}, "the submission is INVALID"), ({"weight_precision": "fp5"}, "unknown precision"),
    ({"accelerator": "AMD Instinct MI300X (x8), AMD Instinct MI325X (x8)"}, "several kinds of accelerators"),
    ({"model": "mixtral-8x22b"}, "the mean prompt of mixtral-8x22b in MLPerf is not known"),
    ({"model": "mixtral-8x7b", "scenario": "Interactive", "ttft_limit_ms": ""}, "is not stated and not known"),
    ({"result_tokens_per_s": "", "tokens_per_s_per_accel_DERIVED": ""}, "result_tokens_per_s is not stated"),
])
def test_a_bad_row_stays_with_its_reason(tmp_path, change, why):
    good, bad = read(tmp_path, {"row_id": "good"}, change)
    assert isinstance(good, MlperfRow)
    assert isinstance(bad, Unread)
    assert why in bad.why
    assert [c.why for c in compare_mlperf([bad], FACTS)] == [bad.why]


def test_a_file_of_another_kind_is_refused_with_every_missing_column(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("row_id,model\na,b\n", encoding="utf-8")
    with pytest.raises(FactError, match="weight_precision"):
        read_mlperf(path, FACTS)


def test_looser_scenarios_carry_more(tmp_path):
    rows = read(tmp_path, OFFLINE, {}, {"scenario": "Interactive", "ttft_limit_ms": "450", "tpot_limit_ms": "40"})
    rates = [c.predicted(RATE)[0] for c in compare_mlperf(rows, FACTS)]
    assert rates[0] >= rates[1] > rates[2] > 0


def test_rows_that_ask_the_same_get_the_same_answer(tmp_path):
    rows = read(tmp_path, {}, {"row_id": "I2", "submitter": "Dell", "tokens_per_s_per_accel_DERIVED": "3900"})
    found = compare_mlperf(rows, FACTS)
    assert found[0].found is found[1].found
    assert [c.row for c in found] == rows


def test_names_of_benchmarks_carry_their_accuracy_and_scenario():
    assert named("llama3.1-405b") == named("llama3.1-405b-interactive") == "llama3.1-405b"


def test_every_row_of_the_package_is_read_and_has_a_role_kept_by_model_and_chip():
    rows = read_mlperf(FILE, FACTS)
    assert all(isinstance(row, MlperfRow) for row in rows)
    roles = {}
    for row in rows:
        assert row.role in ("fit", "held_out")
        assert roles.setdefault((row.model, row.chip), row.role) == row.role
