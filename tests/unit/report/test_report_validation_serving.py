"""Validation of serving power and of MLPerf Inference: an entry for every row and figure, errors of the right sign."""

import csv
import json
from datetime import date

import pytest

from exafleet.apps.output import as_json
from exafleet.facts.catalogue import load_facts
from exafleet.report.terminal import text
from exafleet.report.validation import mlperf_inference, serving_power
from exafleet.service.measured.mlperf_tables import compare_mlperf, read_mlperf
from exafleet.service.measured.power_tables import compare_power, read_power
from tests.unit.service.test_service_measured_mlperf_tables import LIKE as SUBMISSION
from tests.unit.service.test_service_measured_mlperf_tables import OFFLINE
from tests.unit.service.test_service_measured_power_tables import LIKE as RUN

FACTS = load_facts(date(2026, 11, 23))


def table(path, like, *changes):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(like))
        writer.writeheader()
        writer.writerows({**like, **change} for change in changes)
    return path


@pytest.fixture(scope="module")
def power(tmp_path_factory):
    path = table(tmp_path_factory.mktemp("power") / "rows.csv", RUN, {},
                 {"case_id": "two", "J_per_input_tok": "", "J_per_total_tok": ""},
                 {"case_id": "three", "model": "Nobody-9B"}, {"case_id": "four", "gpus": "1", "tp": "1"})
    return serving_power.judge(compare_power(read_power(path, FACTS), FACTS), FACTS)


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    path = table(tmp_path_factory.mktemp("mlperf") / "rows.csv", SUBMISSION, {}, {"row_id": "I2", **OFFLINE},
                 {"row_id": "I3", "accelerator": ""})
    return mlperf_inference.judge(compare_mlperf(read_mlperf(path, FACTS), FACTS), FACTS)


def test_every_row_and_figure_of_power_has_one_entry(power):
    data = json.loads(as_json(serving_power.as_json(power, FACTS, "0" * 64)))
    found = [(r["case_id"], r["metric"]) for r in data["rows"]]
    every = ["j_per_output_tok", "j_per_input_tok", "j_per_total_tok", "avg_gpu_board_W"]
    assert found == [("one", m) for m in every] + [("two", m) for m in (every[0], every[3])] \
        + [(name, m) for name in ("three", "four") for m in every]
    for entry in data["rows"]:
        assert {"case_id", "measured", "unit", "predicted", "low", "high", "why", "metric"} <= set(entry)
        assert (entry["predicted"] is None) == bool(entry["why"])
        assert entry["measured"] > 0
    assert data["what"] == "serving-power"
    assert data["overall"]["by_metric"]["j_per_output_tok"]["rows"] == 3
    assert {g["by"] for g in data["groups"]} >= {"metric", "accelerator", "model", "framework", "concurrency", "pools"}


def test_errors_of_power_are_of_the_figure_itself(power):
    for row in power:
        if not row.why:
            assert row.error == pytest.approx(row.predicted / row.measured - 1)
            assert row.low < row.predicted < row.high


def test_every_row_and_figure_of_a_submission_has_one_entry(submissions):
    data = json.loads(as_json(mlperf_inference.as_json(submissions, FACTS, "0" * 64)))
    assert [(r["case_id"], r["metric"]) for r in data["rows"]] == [
        ("I1", "output_tok_s_per_gpu"), ("I1", "tpot_ms"), ("I1", "ttft_ms"), ("I2", "output_tok_s_per_gpu"),
        ("I3", "output_tok_s_per_gpu")]
    assert data["rows"][0]["layout"].startswith("TP")
    assert data["rows"][4]["why"] == "no accelerator is stated"
    assert {g["by"] for g in data["groups"]} >= {"accelerator", "vendor", "model", "scenario", "precision", "by"}


def test_a_latency_predicted_too_long_is_a_rate_predicted_too_low(submissions):
    for row in submissions[:3]:
        late = row.predicted > row.measured
        assert (row.error < 0) == (late if row.unit == "ms" else not late)


@pytest.mark.parametrize(("module", "rows", "words"), [
    (serving_power, "power", ("Energy of serving", "Joules per output token", "By concurrency", "unknown model")),
    (mlperf_inference, "submissions", ("MLPerf Inference", "By scenario", "By submitted by", "no accelerator")),
])
def test_the_terminal_shows_groups_and_reasons(module, rows, words, request):
    said = text(module.report(request.getfixturevalue(rows), FACTS, "some rows", "0" * 64), width=140)
    assert all(word in said for word in words)
