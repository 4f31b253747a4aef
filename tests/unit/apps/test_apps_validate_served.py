"""`exafleet validate serving`: the package's held-out rows, a table of one's own in every form, and bad files."""

import csv
import json

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.service.measured.runs import METRICS, published
from tests.unit.service.test_service_measured_served import LIKE, table

BAD = [{"case_id": "two", "model": "Nobody-9B"}, {"case_id": "three", "accelerator": "XPU-1", "system": ""},
       {"case_id": "four", "tpot_ms": "nan"}, {"case_id": "five", "gpus": "6"},
       {"case_id": "six", "concurrency_or_batch": ""}]
# What is compared although nobody has factors of the engine.
OWN = {"case_id": "own", "framework": "Fast Engine 3"}


def run(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["validate", "serving", *map(str, words)])


def test_every_row_has_its_entries_in_json_and_a_reason_or_a_prediction(tmp_path):
    done = run("--rows", table(tmp_path / "rows.csv", {}, *BAD, OWN, {}), "--format", "json")
    assert done.exit_code == 0
    data = json.loads(done.stdout, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert list(dict.fromkeys(r["case_id"] for r in data["rows"])) == ["one", "two", "three", "four", "five", "six",
                                                                      "own"]
    assert sum(r["case_id"] == "one" for r in data["rows"]) == 2 * len(METRICS)
    for entry in data["rows"]:
        assert {"case_id", "metric", "measured", "unit", "predicted", "low", "high", "why"} <= set(entry)
        assert (entry["predicted"] is None) == bool(entry["why"])
        assert (entry["predicted"] is None) == (entry["case_id"] in {b["case_id"] for b in BAD})
    assert data["what"] == "serving"
    assert len(data["data_hash"]) == 64


def test_tables_for_people_name_groups_and_reasons(tmp_path):
    done = run("--rows", table(tmp_path / "rows.csv", {}, *BAD, OWN))
    assert done.exit_code == 0
    for word in ('unknown model "Nobody-9B"', 'unknown accelerator "XPU-1"', "7 rows with", "Time per output token",
                 "fast-engine-3"):
        assert word in done.stdout


def test_the_page_is_written_whole_and_the_table_not_printed(tmp_path):
    out = tmp_path / "answer.html"
    done = run("--rows", table(tmp_path / "rows.csv", {}, *BAD), "--format", "html", "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answer.html", "rows.csv"]


@pytest.mark.parametrize(("content", "said"), [
    (b"", "empty"), (b"a,b\n1,2\n", "lacks case_id, model"), (b"\xff\xfe\x00", "not UTF-8"),
    (",".join(LIKE).encode() + b"\n", "a header without rows"), (b'case_id,"x\n', "")])
def test_a_file_that_is_no_table_is_one_refusal_and_exit_2(tmp_path, content, said):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    done = run("--rows", path)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""
    assert "Traceback" not in done.output


def test_a_folder_or_a_file_that_is_not_there_and_a_role_nobody_has_are_told(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        done = run("--rows", path)
        assert (done.exit_code, path.name in done.stderr) == (2, True)
    done = run("--rows", table(tmp_path / "rows.csv", {}), "--role", "fit")
    assert done.exit_code == 2


def test_the_same_question_has_the_same_answer(tmp_path):
    path = table(tmp_path / "rows.csv", {}, *BAD)
    assert run("--rows", path, "--format", "json").stdout == run("--rows", path, "--format", "json").stdout


def test_without_rows_it_is_the_packages_held_out_rows_each_figure_once():
    done = run("--format", "json")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    held = [row for row in published() if row.role == "held_out"]
    assert [(r["case_id"], r["metric"]) for r in data["rows"]] == [(row.id, m) for row in held for m in row.given]
    assert set(data["overall"]["by_metric"]) == set(METRICS)


def test_a_users_own_facts_table_is_not_read_as_rows(tmp_path):
    path = tmp_path / "facts.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["subject", "term", "value"], ["h100-sxm", "hbm_bw", "3 TB/s"]])
    done = run("--rows", path)
    assert done.exit_code == 2
    assert "case_id" in done.stderr
