"""`exafleet validate`: every row accounted for, bad files refused in one line, answers written whole or not at all."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import exafleet
from exafleet.apps.main import app

ROOT = Path(__file__).resolve().parents[3]
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"
LIKE = {"case_id": "one", "source": "NVIDIA Megatron-Bridge performance summary, container 26.04", "date": "2026-04",
        "model": "Llama-3-8B", "accelerator": "GB200", "gpus": "8", "precision": "bf16", "global_batch_seqs": "128",
        "micro_batch": "2", "seq_len": "8192", "tp": "1", "pp": "1", "vp": "1", "cp": "1", "ep": "1", "etp": "1",
        "sharding": "zero1", "recompute": "none", "tokens_per_s_per_gpu": "20000"}
BAD = [{"case_id": "two", "model": "Nobody-9B"}, {"case_id": "three", "accelerator": "XPU-1"},
       {"case_id": "four", "tokens_per_s_per_gpu": "nan"}, {"case_id": "five", "gpus": "-8"},
       {"case_id": "six", "seq_len": "many"}, {"case_id": "seven", "tokens_per_s_per_gpu": "-1"}]


def run(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["validate", *map(str, words)])


def table(path, *changes):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(LIKE))
        writer.writeheader()
        writer.writerows({**LIKE, **change} for change in changes)
    return path


def test_every_row_has_one_entry_in_json_and_a_reason_or_a_prediction(tmp_path):
    path = table(tmp_path / "rows.csv", {}, *BAD, {"case_id": "one"}, {"case_id": ""})
    done = run("training", "--rows", path, "--format", "json")
    assert done.exit_code == 0
    data = json.loads(done.stdout)
    assert [r["case_id"] for r in data["rows"][:8]] == ["one", "two", "three", "four", "five", "six", "seven", "one"]
    assert len(data["rows"]) == 9 == data["overall"]["rows"]
    for entry in data["rows"]:
        assert set(entry) == {"case_id", "measured", "unit", "predicted", "low", "high", "why"}
        assert (entry["predicted"] is None) == bool(entry["why"])
        assert entry["predicted"] is None or entry["low"] < entry["predicted"] < entry["high"]
    assert data["overall"]["predicted"] == 3
    assert (data["exafleet"], len(data["data_hash"]), len(data["as_of"])) == (exafleet.__version__, 64, 10)


def test_the_table_names_unknown_models_and_accelerators(tmp_path):
    done = run("training", "--rows", table(tmp_path / "rows.csv", {}, *BAD))
    assert done.exit_code == 0
    assert 'unknown model "Nobody-9B"' in done.stdout
    assert 'unknown accelerator "XPU-1"' in done.stdout
    assert "7 rows read: 1 compared, 6 without a prediction" in done.stdout


@pytest.mark.parametrize("kind", ["training", "scaling"])
@pytest.mark.parametrize(("content", "said"), [
    (b"", "empty"), (b"a,b\n1,2\n", "lacks the columns"), (b"\xff\xfe\x00", "not UTF-8"),
    (",".join(LIKE).encode() + b"\n", ""), (b'case_id,"x\n', ""),
])
def test_a_file_that_is_no_table_is_one_line_and_exit_2(tmp_path, kind, content, said):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    done = run(kind, "--rows", path)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stdout == ""


@pytest.mark.parametrize("kind", ["training", "scaling"])
def test_a_folder_or_a_file_that_is_not_there_is_told(tmp_path, kind):
    for path in (tmp_path, tmp_path / "none.csv"):
        done = run(kind, "--rows", path)
        assert (done.exit_code, path.name in done.stderr) == (2, True)


def test_a_role_nobody_has_is_told_with_those_there_are():
    done = run("scaling", "--role", "band")
    assert done.exit_code == 2
    assert "held_out" in done.stderr


def test_the_page_is_written_whole_and_the_table_not_printed(tmp_path):
    out = tmp_path / "answer.html"
    done = run("training", "--rows", table(tmp_path / "rows.csv", {}, *BAD), "--format", "html", "--out", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answer.html", "rows.csv"]


def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path):
    done = run("training", "--out", tmp_path / "none" / "x.json", "--format", "json")
    assert done.exit_code == 2
    assert "x.json" in done.stderr


def test_the_same_question_has_the_same_answer(tmp_path):
    path = table(tmp_path / "rows.csv", {}, *BAD)
    assert run("training", "--rows", path, "--format", "json").stdout == run(
        "training", "--rows", path, "--format", "json").stdout


def test_scaling_of_the_package_is_told_in_points():
    data = json.loads(run("scaling", "--format", "json").stdout)
    series = [g for g in data["groups"] if g["by"] == "series"]
    assert len(series) == data["overall"]["series"] >= 8
    for group in series:
        first, *larger = group["sizes"]
        assert (first["efficiency_measured"], first["efficiency_predicted"]) == (1.0, 1.0)
        for size in larger:
            apart = 100 * (size["efficiency_predicted"] - size["efficiency_measured"])
            assert size["difference_points"] == pytest.approx(apart)
    assert len(data["rows"]) == data["overall"]["rows"]


def test_ctrl_c_is_one_line_and_leaves_the_earlier_answer(tmp_path):
    out = tmp_path / "answer.json"
    out.write_text("earlier", encoding="utf-8")
    # Open layouts are searched one by one: a thousand of them take far longer than this test waits.
    open_layout = {"gpus": "4096", "tp": "", "pp": "", "vp": "", "micro_batch": ""}
    path = table(tmp_path / "rows.csv", *({**open_layout, "case_id": str(i), "global_batch_seqs": str(4096 * (i + 1))}
                                          for i in range(1000)))
    words = ("validate", "training", "--rows", str(path), "--format", "json", "--out", str(out))
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, *words], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert out.read_text(encoding="utf-8") == "earlier"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answer.json", "rows.csv"]
