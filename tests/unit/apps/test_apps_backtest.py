"""`exafleet backtest`: the table, the same bytes twice, nothing known of the future, and what can be wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.facts import table as tables
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.fact import Fact
from exafleet.plan.policies import policy
from exafleet.replay.backtest import Knowledge, dates, truth
from exafleet.replay.rolling import Lived, Settings, decide, roll
from exafleet.terms.calendar import month_of
from exafleet.terms.units import DATA

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
        assert found[name]["at most"] >= found[name]["regret"]
        assert found[name]["useful chip-hours, lab"] > 0
    assert found["all-in-newest"]["hardware"] > found["nothing"]["hardware"]
    assert found["as reported"]["cost"] is None
    assert found["as reported"]["hardware"] == 8e6
    assert json.loads(told)["meta"]["hindsight_bound_usd"][0] <= best


def test_the_second_run_gives_the_same_bytes(folder: Path, told: str) -> None:
    assert run(str(folder), *QUICK, "--format", "json")[1] == told


def test_the_table_for_people(folder: Path) -> None:
    code, out, _ = run(str(folder), "--until", "2025-03-31", "--policies", "nothing", "--draws", "1")
    assert code == 0
    assert re.search(r"2024-\S* +nothing", out)
    assert "hindsight" in out
    assert re.search(r"From 2024-\S* nothing can cost less than -?\$[\d.,]+[MB]? \(proven\)", out)
    assert "hindsight_bound_usd" not in out, "raw lists are for programs"
    assert not re.search(r"\n +\d+ *\n", out), "no figure is cut in two"
    assert "Nothing is recorded of h100-dealer" in out


def test_the_table_in_chinese(folder: Path) -> None:
    code, out, _ = run(str(folder), "--until", "2025-03-31", "--policies", "nothing", "--draws", "1", "--lang", "zh")
    assert code == 0
    assert all(words in out for words in ("回测", "不下单", "事后最优", "据报道", "有用芯片小时", "已证明"))
    names = {"Tiny", "lab", "shop", "hgx", "h", "dealer", "gb", "maker"}
    assert set(re.findall(r"[A-Za-z]+", out)) - names - set(re.findall(r"[A-Za-z]+", str(folder) + HISTORY)) == set()


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
REAL = Fact.__init__


def forget() -> None:
    """Read the package's tables anew next time."""
    for cached in [x for x in vars(tables).values() if hasattr(x, "cache_clear")]:
        cached.cache_clear()


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

    def init(self: Fact, **given: object) -> None:
        if given["as_of"] > START:  # type: ignore[operator]
            more = (lambda v: v + 400) if given["unit"] == "date" else (lambda v: v * 1000)
            given |= {name: more(given[name]) for name in ("value", "low", "high")}
        REAL(self, **given)  # type: ignore[arg-type]

    forget()
    monkeypatch.setattr(Fact, "__init__", init)
    yield place
    monkeypatch.undo()
    forget()


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


OPENED = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
from datetime import date
from pathlib import Path
from exafleet.plan.policies import policy
from exafleet.replay.backtest import Knowledge, dates, truth
from exafleet.replay.rolling import Lived, Settings, decide, roll
from exafleet.terms.calendar import month_of
known = Knowledge(path=Path(sys.argv[1]), when=dates(date(2025, 1, 15), date(2025, 3, 31), 3))
decide(known.view(0), Lived(), policy("planner"), Settings(draws=2))
print("\\n".join(str(x) for x in opened))
"""


def test_what_a_plan_reads_of_the_package_is_dated_or_says_nothing_of_the_world(folder: Path) -> None:
    """Every file of data that is opened holds dated facts, all of which the poison reaches, or only names and units."""
    done = subprocess.run([sys.executable, "-c", OPENED, str(folder)], capture_output=True, text=True, check=True)
    read = {Path(line).name for line in done.stdout.splitlines() if Path(line).parent == DATA}
    facts = {path.name for path in DATA.glob("*.csv") if path.read_text(encoding="utf-8").startswith("subject,term,")}
    assert facts, "the tables of facts must be found by their header"
    assert facts <= read, "tables of facts that no plan reads"
    assert read - facts == set(tables.SCHEMA), "neither facts nor names: measured runs carry no date that is kept to"


def test_the_poison_reaches_every_table_with_something_later(poisoned: Path) -> None:
    """The same row as known on the last day and as poisoned, by table: none with a later fact is left as it was."""
    later = [f for f in load_facts(date(2100, 1, 1)).every() if f.as_of > START]
    told = {(f.file, f.line): f for f in later}
    forget()
    assert {Path(f.file).name for f in later} >= {"prices.csv", "history.csv", "systems.csv", "uncertainty.csv"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fact, "__init__", REAL)
        clean = {(f.file, f.line): f for f in load_facts(date(2100, 1, 1)).every()}
    for place, fact in told.items():
        assert fact.value != clean[place].value or clean[place].value == 0, place


LAB = Path(__file__).parents[3] / "examples" / "history"
LAB_START = date(2024, 6, 1)


def changed(monkeypatch: pytest.MonkeyPatch, which: Callable[[Fact], bool], factor: float) -> None:
    """From now on facts of a kind are read with other values."""
    def init(self: Fact, **given: object) -> None:
        REAL(self, **given)  # type: ignore[arg-type]
        if which(self):
            given |= {name: given[name] + 400 if given["unit"] == "date" else given[name] * factor  # type: ignore[operator]
                      for name in ("value", "low", "high")}
            REAL(self, **given)  # type: ignore[arg-type]

    forget()
    monkeypatch.setattr(Fact, "__init__", init)


def of_the_lab(place: Path) -> bytes:
    known = Knowledge(path=place, when=dates(LAB_START, date(2025, 12, 31), 3))
    values, expected, _ = decide(known.view(0), Lived(), policy("planner"), Settings(draws=2))
    return repr((sorted(values.items()), expected)).encode()


def test_a_real_scenario_decides_the_same_whatever_came_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the lab, of which every later block is cut off and every later fact a thousand times as large."""
    before = of_the_lab(LAB)
    place = tmp_path / "history"
    shutil.copytree(LAB, place)
    head, *blocks = (LAB / "history.toml").read_text().split("[[known]]\n")
    day = [date.fromisoformat(block.split("\n")[0].removeprefix("as_of = ")) for block in blocks]
    kept = [block for block, when in zip(blocks, day, strict=True) if when <= LAB_START]
    assert 0 < len(kept) < len(blocks)
    (place / "history.toml").write_text("[[known]]\n".join([head, *kept]))
    changed(monkeypatch, lambda f: f.as_of > LAB_START, 1000)
    after = of_the_lab(place)
    monkeypatch.undo()
    forget()
    assert after == before


@pytest.mark.parametrize("known", ["prices.csv", "efficiency.csv", "systems.csv", "uncertainty.csv"])
def test_what_was_known_does_move_decisions(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That later facts move nothing would prove nothing, if facts of the day moved nothing either."""
    before = of_the_lab(LAB)
    changed(monkeypatch, lambda f: f.as_of <= LAB_START and f.unit != "date" and Path(f.file).name == known, 0.7)
    after = of_the_lab(LAB)
    monkeypatch.undo()
    forget()
    assert after != before


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


INTERRUPTED = """
import os, signal, sys
import exafleet.replay.backtest as b
real, calls = b.roll, []
def roll(*words, **more):
    calls.append(words)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*words, **more)
b.roll = roll
from exafleet.apps.main import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_in_the_third_policy_shows_the_two_that_are_done(folder: Path, told: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED, "backtest", str(folder), "--until", "2025-06-30", "--draws", "1",
             "--policies", "all-in-newest,nothing,deterministic", "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "stopped at the plan of 2024-12-19 of deterministic; what was finished by then is above" in done.stderr
    found, whole = rows(done.stdout), rows(told)
    assert list(found) == ["all-in-newest", "nothing", "as reported"]
    for name in ("all-in-newest", "nothing"):
        assert found[name]["cost"] == whole[name]["cost"]
        assert found[name]["regret"] is None
        assert found[name]["at most"] is None


def test_what_a_plan_could_not_rate_is_told(tmp_path: Path) -> None:
    """Before anybody published how fast training runs, a plan is blind, and must not pass for a plan."""
    place = tmp_path / "early"
    shutil.copytree(LAB, place)
    for file in ("scenario.toml", "history.toml"):
        text = (place / file).read_text()
        (place / file).write_text(text.replace('model = "llama-13b"', 'model = "llama-3-8b"'))
    code, out, _ = run(str(place), "--as-of", "2023-06-01", "--until", "2024-05-31", "--policies", "deterministic",
                       "--draws", "1", "--format", "json")
    assert code == 0
    words = " ".join(json.loads(out)["summary"])
    assert re.search(r"How fast experiments runs on hgx-h100 could not be reckoned .* on 2023-06-01 to 2024-\S+: plans "
                     r"of those days took it to be of no use", words)


# ------------------------------------------------------------------------------------------------------ orders revised
NEWS = """
[[known]]
as_of = 2025-03-20
[[known.offers]]
id = "h200-new"
supplier = "dealer"
system = "hgx-h200"
price = "$60,000/unit"
first = "2025-05"
lead = "4 wk"
supply = "20 units/mo"
fitting = "$15,000/unit"
[[known.open_orders]]
id = "h100-ordered"
change = [{ to = "h200-new", fee = "5 %", most = "40 %" }]
"""


def test_forty_per_cent_of_an_open_order_move_to_what_was_announced_since(tmp_path: Path) -> None:
    """Decided by the first plan that knows of it, within the share agreed, and never by one that does not."""
    place = tmp_path / "tiny"
    shutil.copytree(TINY, place)
    text = (place / "scenario.toml").read_text()
    before, after = text.split('id = "h100-ordered"')
    for old, new in (("units = 4", "units = 10"), ('"2025-02"', '"2025-09"'), ('"40 %"', '"100 %"')):
        after = after.replace(old, new, 1)   # ten units in September that cannot be cancelled
    (place / "scenario.toml").write_text(before + 'id = "h100-ordered"' + after)
    (place / "history.toml").write_text(NEWS)
    words = (str(place), "--until", "2025-12-31", "--policies", "deterministic,nothing", "--draws", "1", "--format",
             "json")
    code, out, err = run(*words)
    assert code == 0, err
    table = json.loads(out)["tables"]["revised"]
    found = [dict(zip([c["title"] for c in table["columns"]], row, strict=True)) for row in table["rows"]]
    moved = [row for row in found if row["became"] == "h200-new" and row["policy"] == "deterministic"]
    assert moved, found
    assert sum(row["units"] for row in moved) == 4
    assert {row["month"] for row in moved} == {"2025-04"}, "the first plan after 20 March"
    assert {row["came"] for row in moved} == {"2025-06"}, "ordered when it opens in May, and four weeks later"
    assert all(row["order"] == "h100-ordered" for row in moved)


LATER = """
[[known]]
as_of = 2025-06-20
[[known.arrived]]
offer = "h100-dealer"
ordered = "2025-01"
arrived = "ARRIVED"
[[known.offers]]
id = "h200-new"
price = "PRICE"
[[known.open_orders]]
id = "h100-ordered"
change = CHANGE
"""


def test_a_later_plan_and_what_it_revises_know_nothing_of_what_came_after_it(tmp_path: Path) -> None:
    """The plans of January and April decide, and their months are lived, the same whatever is told in June."""
    found = []
    for i, (arrived, price, change) in enumerate((("2025-06", "$60,000/unit", (
            '[{ to = "h200-new", most = "20 %" }]')), ("2025-05", "$1,000/unit", (
            '[{ to = "h200-new", most = "100 %" }]')))):
        place = tmp_path / f"tiny{i}"
        shutil.copytree(TINY, place)
        before, after = (place / "scenario.toml").read_text().split('id = "h100-ordered"')
        for old, new in (("units = 4", "units = 10"), ('"2025-02"', '"2025-09"'), ('"40 %"', '"100 %"')):
            after = after.replace(old, new, 1)
        (place / "scenario.toml").write_text(before + 'id = "h100-ordered"' + after)
        told = LATER.replace("ARRIVED", arrived).replace("PRICE", price).replace("CHANGE", change)
        (place / "history.toml").write_text(NEWS + told)
        known = Knowledge(path=place, when=dates(date(2024, 12, 19), date(2025, 12, 31), 3, month_of(date(2025, 1, 1))))
        life = roll(policy("deterministic"), known.view, truth(known), known.when.index, Settings(draws=1, gap=0.02))
        found.append((life, [key for one in life.decided for key in one if key[0] == "revised"]))
    (one, revised), (two, again) = found
    assert repr(one.decided[:2]) == repr(two.decided[:2])
    lived = [{k: v for k, v in life.lived.second.items() if int(k[-1]) < 3} for life in (one, two)]
    assert lived[0] == lived[1]
    assert any(key[-2] == 3 for key in revised), "the plan of April must revise something"
    assert repr(one.decided) != repr(two.decided) or revised != again, "what June tells must matter to July"
