"""`exafleet backtest`: the table, the same bytes twice, nothing known of the future, and what can be wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.facts import table as tables
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.fact import Fact
from exafleet.plan.policies import policy
from exafleet.replay.backtest import Knowledge, dates
from exafleet.replay.rolling import Lived, Settings, decide

TINY = Path(__file__).parents[2] / "samples" / "tiny"
HISTORY = """
[[known]]
as_of = 2025-03-01
[[known.arrived]]
order = "h100-ordered"
arrived = "2025-02"
[[known.sites]]
id = "north"
power = { "2025-01" = "1 MW", "2025-12" = "2 MW" }
[[known.reported]]
owner = "lab"
site = "north"
system = "hgx-h100"
units = 30
month = "2025-02"
spent = "$8M"

[[known]]
as_of = 2025-06-20
[[known.arrived]]
offer = "h100-dealer"
ordered = "2025-01"
arrived = "2025-06"
[[known.offers]]
id = "h100-dealer"
price = { "2024-12" = "$255,000/unit", "2025-04" = "$400,000/unit" }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("backtest") / "tiny"
    shutil.copytree(TINY, place)
    (place / "history.toml").write_text(HISTORY)
    return place


def run(*words: str) -> tuple[int, str, str]:
    found = CliRunner(env={"COLUMNS": "140"}).invoke(app, ["backtest", *words])
    return found.exit_code, found.stdout, found.stderr


QUICK = ("--until", "2025-06-30", "--policies", "deterministic,all-in-newest,nothing", "--draws", "1")


@pytest.fixture(scope="module")
def told(folder: Path) -> str:
    code, out, _ = run(str(folder), *QUICK, "--format", "json")
    assert code == 0
    return out


def rows(out: str) -> dict[str, dict[str, object]]:
    table = json.loads(out)["tables"]["backtest"]
    titles = [c["title"] for c in table["columns"]]
    return {row[1]: dict(zip(titles, row, strict=True)) for row in table["rows"]}


def test_a_row_for_each_policy_hindsight_and_the_report(told: str) -> None:
    found = rows(told)
    assert list(found) == ["deterministic", "all-in-newest", "nothing", "hindsight", "as reported"]
    best = found["hindsight"]["cost"]
    for name in ("deterministic", "all-in-newest", "nothing"):
        assert found[name]["regret"] == pytest.approx(found[name]["cost"] - best)
        assert found[name]["regret"] >= 0
        assert found[name]["useful chip-hours, lab"] > 0
    assert found["all-in-newest"]["spent on hardware"] > found["nothing"]["spent on hardware"]
    assert found["as reported"]["cost"] is None
    assert found["as reported"]["spent on hardware"] == 8e6
    assert json.loads(told)["meta"]["hindsight_bound_usd"][0] <= best


def test_the_second_run_gives_the_same_bytes(folder: Path, told: str) -> None:
    assert run(str(folder), *QUICK, "--format", "json")[1] == told


def test_the_table_for_people(folder: Path) -> None:
    code, out, _ = run(str(folder), "--until", "2025-03-31", "--policies", "nothing", "--draws", "1")
    assert code == 0
    assert re.search(r"2024-\S* +nothing", out)
    assert "hindsight" in out
    assert "Nothing is recorded of h100-dealer" in out


def test_one_month_several_starts_and_no_history() -> None:
    code, out, _ = run(str(TINY), "--from", "2025-01-02,2025-01-15", "--until", "2025-02-28", "--policies", "nothing",
                         "--every", "month", "--format", "json")
    assert code == 0
    starts = [row[0] for row in json.loads(out)["tables"]["backtest"]["rows"]]
    assert starts == ["2025-01-02", "2025-01-02", "2025-01-15", "2025-01-15"]
    planned = [row[2] for row in json.loads(out)["tables"]["plans"]["rows"] if row[0] == "2025-01-15"]
    assert planned == ["2025-01-15", "2025-02-01"]


def test_a_window_of_one_month() -> None:
    code, out, err = run(str(TINY), "--until", "2025-01-31", "--policies", "nothing", "--draws", "1")
    assert code == 0
    assert "hindsight" in out
    assert "no history.toml" in err


@pytest.mark.parametrize(("words", "wrong"), [
    (("--until", "2024-11-30"), ["--until", "before the first plan", "2024-12-19 or later"]),
    (("--as-of", "2024-01-01", "--until", "2025-01-31"), ["before the day of the scenario", "2024-12-19 or later"]),
    (("--policies", "plannner", "--until", "2025-01-31"), ["unknown policy", "planner"]),
    (("--policies", "wait,wait", "--until", "2025-01-31"), ["the same policy twice"]),
    (("--from", "2025-02-01,2025-02-01", "--until", "2025-03-31"), ["the same day twice", "2025-02-01"]),
    (("--from", "2025-02-01", "--as-of", "2025-02-01", "--until", "2025-03-31"), ["given twice"]),
    (("--until", "soon"), ["--until", "not a date", "'soon'"]),
    (("--until", "2099-01-31"), ["too far", "at most 360 months"]),
    (("--until", "soon", "--policies", "x", "--as-of", "never"), ["--until", "--policies", "--as-of"]),
])
def test_what_is_wrong_is_told_at_once(words: tuple[str, ...], wrong: list[str]) -> None:
    code, out, err = run(str(TINY), *words)
    assert (code, out) == (2, "")
    for piece in wrong:
        assert piece in err
    assert "Traceback" not in err


# ---------------------------------------------------------------------------------------------------------- no leak
START = date(2025, 1, 15)


def decisions(place: Path) -> bytes:
    """What is decided on the first day of a backtest."""
    known = Knowledge(path=place, when=dates(START, date(2025, 7, 31), 3))
    values, expected, _ = decide(known.view(0), Lived(), policy("planner"), Settings(draws=2))
    return repr((sorted(values.items()), expected)).encode()


@pytest.fixture
def poisoned(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A world in which everything published after the first day is a thousand times as large, or said otherwise."""
    place = tmp_path / "poisoned"
    shutil.copytree(folder, place)
    text = (place / "history.toml").read_text()
    for old, new in (("$400,000", "$1"), ('"2025-06"', '"2025-01"'), ("2 MW", "9 MW"), ("units = 30", "units = 9")):
        assert old in text
        text = text.replace(old, new)
    (place / "history.toml").write_text(text)
    real = Fact.__init__

    def init(self: Fact, **given: object) -> None:
        if given["as_of"] > START:  # type: ignore[operator]
            more = (lambda v: v + 400) if given["unit"] == "date" else (lambda v: v * 1000)
            given |= {name: more(given[name]) for name in ("value", "low", "high")}
        real(self, **given)  # type: ignore[arg-type]

    for cached in [x for x in vars(tables).values() if hasattr(x, "cache_clear")]:
        cached.cache_clear()
    monkeypatch.setattr(Fact, "__init__", init)
    yield place
    monkeypatch.undo()
    for cached in [x for x in vars(tables).values() if hasattr(x, "cache_clear")]:
        cached.cache_clear()


def test_nothing_that_became_known_later_moves_a_decision(folder: Path, poisoned: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    changed = decisions(poisoned)
    then, later = load_facts(START), load_facts(date(2025, 7, 31))
    assert len(later) > len(then), "the poison must be in what is known later"
    monkeypatch.undo()
    assert decisions(folder) == changed


def test_a_plan_reads_no_fact_dated_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[date] = []
    real = Facts._candidates

    def candidates(self: Facts, key: str) -> tuple[Fact, ...]:
        found = real(self, key)
        seen.extend(f.as_of for f in found)
        return found

    monkeypatch.setattr(Facts, "_candidates", candidates)
    decisions(folder)
    assert len(seen) > 100
    assert max(seen) <= START


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_keeps_what_is_finished(folder: Path) -> None:
    words = [sys.executable, "-c", "from exafleet.apps.main import main; main()", "backtest", str(folder), "--until",
             "2025-12-31", "--every", "month", "--draws", "20"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(20)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=300)
    assert started.returncode == 130
    assert "stopped" in err
    assert "Traceback" not in err
