"""`exafleet validate serving-power` and `mlperf-inference`: the package's tables, a user's own, and bad files."""

import csv
import json

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.service.measured.mlperf_tables import FILE as SUBMISSIONS
from exafleet.service.measured.power_tables import FILE as POWER

COMMANDS = {"serving-power": (POWER, "case_id", "j_per_output_tok"),
            "mlperf-inference": (SUBMISSIONS, "row_id", "output_tok_s_per_gpu")}


def run(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["validate", *map(str, words)])


def some_rows(command, path, most=3):
    source, _, _ = COMMANDS[command]
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:most]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(rows[0]))
        out.writeheader()
        out.writerows([*rows, {**rows[0], "model": "nobody-9b"}])
    return path, rows


@pytest.mark.parametrize("command", COMMANDS)
def test_every_row_has_an_entry_with_its_metric_and_a_reason_or_a_prediction(command, tmp_path):
    path, rows = some_rows(command, tmp_path / "rows.csv")
    done = run(command, "--rows", path, "--format", "json")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    _, name, metric = COMMANDS[command]
    entries = [r for r in data["rows"] if r["metric"] == metric]
    assert [r["case_id"] for r in entries] == [r[name] for r in rows] + [rows[0][name]]
    assert entries[-1]["why"] == 'unknown model "nobody-9b"'
    for entry in data["rows"]:
        assert (entry["predicted"] is None) == bool(entry["why"])
        assert entry["predicted"] is None or entry["low"] < entry["predicted"] < entry["high"]
    assert data["what"] == command


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_of_another_kind_is_one_refusal(command, tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    done = run(command, "--rows", path)
    assert done.exit_code == 2
    assert "lacks" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_for_people_name_groups_and_reasons(command, tmp_path):
    path, _ = some_rows(command, tmp_path / "rows.csv")
    done = run(command, "--rows", path)
    assert done.exit_code == 0
    assert "By accelerator" in done.output
    assert "nobody-9b" in done.output
