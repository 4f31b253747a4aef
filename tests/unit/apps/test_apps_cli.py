"""The command line: answers, exit codes, JSON, light start, bad input, interrupts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet import __version__
from exafleet.apps import files
from exafleet.apps.main import app
from exafleet.apps.options import sequences, span
from exafleet.terms.errors import FactError

ROOT = Path(__file__).resolve().parents[3]
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"
HEAVY = ("numpy", "scipy", "highspy", "altair", "sqlalchemy", "pydantic", "rich", "jinja2")


def run(*words, **environment):
    return CliRunner(env={"COLUMNS": "120", **environment}).invoke(app, list(words))


def start(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-c", ENTRY, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def starter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / "mine"
    assert run("scenario", "new", str(folder)).exit_code == 0
    return folder


def test_version():
    done = run("--version")
    assert (done.exit_code, done.stdout) == (0, f"exafleet {__version__}\n")


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_nothing_heavy_is_imported_to_say_little(words):
    code = f"import sys\nsys.argv = ['exafleet', *{words!r}]\nfrom exafleet.apps.main import main\ntry:\n    main()\n"
    code += f"except SystemExit:\n    pass\nsys.stderr.write(','.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["facts", "show", "gb200-nvl72"],
        ["facts", "show", "h100-sxm.peak_flops"],
        ["facts", "search", "gb200", "hbm_bw"],
        ["facts", "diff", "--as-of", "2024-06-30", "--as-of", "2024-12-19", "gb200-nvl72"],
        ["model", "show", "llama-3.1-405b"],
        ["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8"],
        ["serve", "llama-3-8b", "--system", "hgx-h100"],
        ["compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h200", "--gpus", "8"],
        ["compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h200", "--gpus", "8", "--serve"],
    ],
)
def test_an_answer_is_a_table_or_json(words):
    table, data = run(*words), run(*words, "--format", "json")
    assert (table.exit_code, data.exit_code) == (0, 0)
    assert len(table.stdout.splitlines()) > 3
    assert json.loads(data.stdout)


def test_parts_of_a_training_step_add_up():
    d = json.loads(run("train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--format", "json").stdout)
    assert sum(d["time_parts"].values()) == pytest.approx(d["step_time"])
    assert sum(d["memory_parts"].values()) == pytest.approx(d["memory"])
    assert d["tokens_per_s"] == pytest.approx(d["batch_sequences"] * d["seq"] / d["step_time"])
    assert d["tokens_per_s_low"] < d["tokens_per_s"] < d["tokens_per_s_high"]


def test_a_range_holds_the_layout():
    words = ("train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--format", "json")
    free, held = json.loads(run(*words).stdout), json.loads(run(*words, "--tp", "8").stdout)
    assert "TP8" in held["layout"]
    assert held["tokens_per_s"] <= free["tokens_per_s"]


def test_computed_parameters_are_the_published_ones():
    d = json.loads(run("model", "show", "llama-3.1-405b", "--format", "json").stdout)
    assert d["parameters"] == pytest.approx(405e9, rel=0.01)  # Llama 3 paper, table 3
    assert sum(d["parameters_by_part"].values()) == d["parameters"] == d["active_parameters"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["facts", "show", "gb200"], "can mean"),
        (["facts", "show", "h100-sxm.hbm_bww"], "unknown term"),
        (["facts", "show", "h100-smx"], "h100-sxm"),
        (["facts", "diff", "--as-of", "2024"], "two dates"),
        (["facts", "show", "h100-sxm", "--as-of", "last week"], "not a date"),
        (["model", "show", "nowhere/config.json"], "cannot be read"),
        (["train", "llama-3-8b", "--system", "h100", "--gpus", "8"], "can mean"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--tp", "3..2"], "--tp"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--batch", "4 kWh"], "--batch"),
        (["serve", "llama-3-8b", "--system", "hgx-h100", "--ttft", "2"], "without a unit"),
        (["compare", "llama-3-8b", "--systems", ",", "--gpus", "8"], "no system is named"),
        (["scenario", "check", "nowhere"], "no such file"),
        (["plan", "nowhere"], "no such file"),
        (["runs", "show", "last", "--store", "nowhere/runs.sqlite"], "no runs have been stored"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "0"], "--gpus"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--batch", "0"], "--batch"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--batch", "99999999999"], "--batch"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--schedule", "gpipe"], "zero-bubble"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--offload", "7"], "--offload"),
        (["train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--group", "x"], "--group"),
        (["nosuch"], "No such command"),
    ],
)
def test_bad_input_is_told_and_exits_with_2(words, said):
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        ["train", "llama-3.1-405b", "--system", "gb200-nvl72", "--gpus", "8"],
        ["serve", "llama-3-70b", "--system", "hgx-h100", "--gpus", "1"],
        ["serve", "llama-3-70b", "--system", "hgx-h100", "--tpot", "1 ms"],
    ],
)
def test_no_answer_exits_with_3_and_its_relaxations_hold(words):
    done = run(*words)
    assert done.exit_code == 3
    first = next(line for line in done.stderr.splitlines() if line.startswith("  - --"))
    changed = first.removeprefix("  - ").partition(":")[0].replace('"', "").replace(" ms", "ms").split()
    for option, value in zip(changed[::2], changed[1::2], strict=True):
        words = [*words, option, value]
    assert run(*words).exit_code == 0


def test_debug_shows_the_traceback():
    assert isinstance(run("--debug", "facts", "show", "gb200").exception, FactError)


def test_span_and_batch():
    assert span(None, "--tp") is None
    assert sequences("1_024", 8192) == 1024
    for none in ("0", "1e12", "8000 tokens of air"):
        with pytest.raises(FactError, match="--batch"):
            sequences(none, 8192)


def test_a_new_scenario_is_sound_and_nothing_is_overwritten(starter):
    assert run("scenario", "check", str(starter)).exit_code == 0
    before = (starter / "scenario.toml").read_text(encoding="utf-8")
    again = run("scenario", "new", str(starter))
    assert again.exit_code == 2
    assert len(again.stderr.splitlines()) == 2
    assert (starter / "scenario.toml").read_text(encoding="utf-8") == before


def test_the_schema_is_a_schema():
    assert json.loads(run("scenario", "schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_the_starter_plans_is_kept_once_and_shown_again(starter, tmp_path):
    store = str(tmp_path / "runs.sqlite")
    page, data = tmp_path / "plan.html", tmp_path / "plan.json"
    words = ("plan", str(starter), "--quick", "--store", store, "--html", str(page), "--json", str(data))
    first, second = run(*words), run(*words)
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr
    assert first.stdout == second.stdout
    assert "kept before" in second.stderr
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert json.loads(data.read_text(encoding="utf-8"))["tables"]
    listed = json.loads(run("runs", "list", "--store", store, "--format", "json").stdout)["runs"]
    assert [r["number"] for r in listed] == [1]
    assert run("runs", "show", "last", "--store", store).stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert json.loads(run("runs", "show", "1", "--store", store, "--format", "json").stdout) == json.loads(
        data.read_text()
    )
    for part in ("plan", "costs", "ledger", "rates"):
        assert json.loads(run("runs", "show", "1", "--part", part, "--store", store, "--format", "json").stdout)[part]


def test_a_store_that_cannot_be_written_costs_a_warning_and_not_the_plan(starter, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("plan", str(starter), "--quick", "--store", str(tmp_path / "file" / "runs.sqlite"))
    assert done.exit_code == 0
    assert "warning: this run was not kept" in done.stderr
    assert "Order book" in done.stdout


def test_a_place_that_cannot_be_written_is_told_before_the_work(starter, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("plan", str(starter), "--html", str(tmp_path / "file" / "plan.html"))
    assert done.exit_code == 2
    assert "plan.html" in done.stderr
    assert done.stdout == ""


def test_every_form_of_a_report_is_written_in_the_language_asked(starter, tmp_path):
    names = {form: tmp_path / f"plan.{form}" for form in ("html", "xlsx", "markdown", "json")}
    words = [word for form, path in names.items() for word in (f"--{form}", str(path))]
    done = run("plan", str(starter), "--quick", "--no-store", "--lang", "zh", *words)
    assert done.exit_code == 0, done.stderr
    assert "订单簿" in done.stdout
    assert '<html lang="zh-CN">' in names["html"].read_text(encoding="utf-8")
    assert "## 订单簿" in names["markdown"].read_text(encoding="utf-8")
    assert json.loads(names["json"].read_text(encoding="utf-8"))["language"] == "zh"
    assert names["xlsx"].read_bytes().startswith(b"PK")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in names.values())


def test_files_that_cannot_be_are_told_before_the_work(starter, tmp_path):
    (tmp_path / "folder").mkdir()
    done = run("plan", str(starter), "--xlsx", str(tmp_path / "folder"))
    assert (done.exit_code, done.stdout) == (2, "")
    assert str(tmp_path / "folder") in done.stderr
    same = str(tmp_path / "plan.html")
    done = run("plan", str(starter), "--html", same, "--markdown", f"{tmp_path}/folder/../plan.html", "--json", same)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--markdown: the same file as --html" in done.stderr
    assert "--json: the same file as --html" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_full_disk_leaves_the_earlier_report(starter, tmp_path, monkeypatch):
    page = tmp_path / "plan.html"
    page.write_text("earlier")
    calls = []

    def full(handle):
        calls.append(handle)
        if len(calls) > 1:  # the look before the work succeeds
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    done = run("plan", str(starter), "--quick", "--no-store", "--html", str(page))
    monkeypatch.undo()
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr
    assert page.read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.html"]


def test_ctrl_c_is_one_line_and_leaves_the_earlier_report(tmp_path):
    (tmp_path / "plan.json").write_text("earlier")
    process = start("plan", str(ROOT / "examples" / "xai-2024-12"), "--no-store", "--json", str(tmp_path / "plan.json"))
    time.sleep(3.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; nothing was written" in err if not out else "stopped; " in err and "xAI and Tesla" in out
    assert "Traceback" not in err
    assert (tmp_path / "plan.json").read_text() == "earlier"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_ctrl_c_in_the_middle_of_a_solve_ends_the_command(tmp_path):
    """A solver that only looks at its `stop` stands in for HiGHS: the interrupt must reach it, and be told."""
    code = "import time\nfrom exafleet.apps.plan import stoppable\nfrom exafleet.apps.errors import reported\n"
    code += "def solve(stop):\n    print('solving', flush=True)\n    while not stop():\n        time.sleep(0.01)\n"
    code += "    raise KeyboardInterrupt\n"
    code += "import typer\ntry:\n    with reported():\n        stoppable(solve)\nexcept typer.Exit as left:\n"
    code += "    raise SystemExit(left.exit_code)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "solving\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "\nexafleet: stopped; nothing was written.\n")


def test_a_closed_pipe_is_silent():
    process = start("facts", "search", "nvidia")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_an_empty_scenario_and_a_syntax_error_are_told_with_their_line(tmp_path):
    (tmp_path / "scenario.toml").write_text("")
    assert "empty scenario" in run("plan", str(tmp_path)).stderr
    (tmp_path / "scenario.toml").write_text('[scenario]\nname = "x\n')
    done = run("scenario", "check", str(tmp_path))
    assert done.exit_code == 2
    assert "scenario.toml:2" in done.stderr


def test_ten_thousand_jobs_are_checked_in_seconds(starter, tmp_path):
    text = (starter / "scenario.toml").read_text(encoding="utf-8")
    head, _, rest = text.partition('[[jobs]]\nkind = "train"')
    train, _, tail = ('[[jobs]]\nkind = "train"' + rest).partition('[[jobs]]\nkind = "serve"')
    many = "".join(train.replace('id = "our-8b"', f'id = "run-{i}"') for i in range(10_000))
    (tmp_path / "scenario.toml").write_text(head + many + '[[jobs]]\nkind = "serve"' + tail, encoding="utf-8")
    began = time.process_time()
    done = run("scenario", "check", str(tmp_path))
    assert done.exit_code == 0, done.stderr[:2000]
    assert "10,001 jobs" in done.stdout
    assert time.process_time() - began < 60


def test_every_range_that_is_not_understood_is_told_at_once():
    done = run("train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--tp", "0", "--cp-kind", "star",
               "--zero", "9")
    assert done.exit_code == 2
    assert [o for o in ("--tp", "--cp-kind", "--zero") if o not in done.stderr] == []


def test_axes_are_chosen_by_name_by_number_or_all():
    words = ("train", "llama-3-70b", "--system", "hgx-h100", "--gpus", "64", "--pp", "4", "--vpp", "1",
             "--batch", "256", "--format", "json")
    by_name, by_number, every = (
        json.loads(run(*words, "--schedule", s).stdout) for s in ("zero-bubble", "1", "all"))
    assert "zero-bubble" in by_name["layout"]
    assert by_name["layout"] == by_number["layout"]
    assert every["step_time"] <= by_name["step_time"]
    assert every["candidates"] > by_name["candidates"]


def test_a_layout_out_of_reach_names_its_axis():
    done = run("train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "64", "--tp", "16", "--mbs", "3")
    assert done.exit_code == 3
    assert "--tp 16" in done.stderr
    assert "--mbs 3" in done.stderr


def test_a_range_of_sizes_lists_the_fastest_of_each_that_pays():
    words = ("train", "llama-3-8b", "--system", "hgx-h100", "--batch", "256", "--tp", "1..2", "--format", "json")
    d = json.loads(run(*words, "--gpus", "8..64").stdout)
    sizes = [s["gpus"] for s in d["sizes"]]
    assert sizes == sorted(sizes)
    assert {8, 64} <= set(sizes)
    times = [s["step_time"] for s in d["sizes"]]
    assert times == sorted(times, reverse=True)
    alone = json.loads(run(*words, "--gpus", "8").stdout)
    assert alone["step_time"] == d["sizes"][0]["step_time"]
    assert "sizes" not in alone


def test_a_solver_that_is_not_installed_is_told_before_any_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    done = run("plan", "no-such-folder", "--solver", "ortools")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "the package ortools is not installed" in done.stderr
    assert "pip install 'exafleet[ortools]'" in done.stderr
