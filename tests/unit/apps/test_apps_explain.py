"""`exafleet explain` and `exafleet diff`: from a scenario, a kept run and the JSON of a report; bad input."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app

TINY = Path(__file__).parents[2] / "samples" / "tiny"


def run(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A scenario, a dearer copy of it, the run kept of the first and its report."""
    folder = tmp_path_factory.mktemp("explained")
    shutil.copytree(TINY, folder / "dear")
    toml = folder / "dear" / "scenario.toml"
    text = toml.read_text(encoding="utf-8")
    for old, new in (('energy_price = "$60/MWh"', 'energy_price = "$600/MWh"'),
                     ('late = "$200k/mo"', 'late = "$900k/mo"'), ('value = "$2M"', 'value = "$20M"')):
        assert old in text
        text = text.replace(old, new)
    toml.write_text(text, encoding="utf-8")
    store = folder / "runs.sqlite"
    done = run("plan", TINY, "--quick", "--json", folder / "a.json", "--store", store)
    assert done.exit_code == 0, done.stderr
    return folder, store


def test_a_fact_is_explained_from_a_kept_run(places):
    _, store = places
    done = run("explain", "h100-sxm.hbm_bw", "--in", "last", "--store", store, "--format", "json")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    assert {"number", "passage", "effect", "turns"} <= set(tables)
    assert tables["number"]["rows"][0][0] == "h100-sxm.hbm_bw"
    assert "rate" in {row[0] for row in tables["passage"]["rows"]}


def test_the_json_of_a_report_finds_its_run_and_a_figure_is_explained_for_its_part(places):
    folder, store = places
    done = run("explain", "cost.energy", "--in", folder / "a.json", "--store", store, "--tornado", "4", "--over",
               "sites.north.energy_price", "--over", "jobs.base.value", "--shares", "shapley", "--lang", "zh",
               "--format", "json")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    bars = {row[0]: row[4:6] for row in tables["tornado"]["rows"]}
    assert bars["sites.north.energy_price"][0] < 0 < bars["sites.north.energy_price"][1]
    assert bars["jobs.base.value"] == pytest.approx([0.0, 0.0], abs=1e-3)
    *shares, total = (row[1] for row in tables["shares"]["rows"])
    assert sum(shares) == pytest.approx(total)


def test_a_report_alone_says_what_it_holds_and_what_is_missing(places, tmp_path):
    folder, _ = places
    done = run("explain", "sites.north.pue", "--in", folder / "a.json", "--store", tmp_path / "none.sqlite")
    assert done.exit_code == 0, done.stderr
    assert "does not hold the scenario" in " ".join(done.stdout.split())
    assert "1.2" in done.stdout


def test_two_plans_differ_by_parts_that_sum_and_shares_that_sum(places):
    folder, store = places
    done = run("diff", "1", folder / "dear", "--store", store, "--format", "json")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    assert {r[0] for r in tables["inputs"]["rows"]} == {"sites.north.energy_price", "jobs.base.late", "jobs.base.value"}
    *parts, total = tables["money"]["rows"]
    assert sum(p[3] for p in parts) == pytest.approx(total[3], abs=1e-3)
    assert total[3] == pytest.approx(total[2] - total[1], abs=1e-3)
    *causes, whole = tables["why"]["rows"]
    assert sum(c[1] for c in causes) == pytest.approx(whole[1], abs=1e-3)
    assert whole[1] == pytest.approx(total[3], abs=1e-3)
    by_key = {row[0]: row for row in causes}
    assert by_key["jobs.base.value"][1] < 0 < by_key["sites.north.energy_price"][1]
    assert by_key["jobs.base.value"][2].startswith("value of runs -$")
    assert by_key["sites.north.energy_price"][2].startswith("energy $")
    # Each plan as it is costs no less in the base draw than the one with fractions of a unit made for that draw alone.
    first, second = (next(row for row in causes if row[0].startswith(name)) for name in ("the first", "the second"))
    assert first[1] <= 1e-3
    assert second[1] >= -1e-3
    assert all(re.search(r"its gap: at most \$[\d.,]+[kMB]?\)$", row[0]) for row in (first, second))
    # Draws are the difference of means less that of the base draw; the two reports tell both.
    base = json.loads((folder / "a.json").read_text(encoding="utf-8"))["tables"]["cost"]["rows"][-1][2]
    assert causes[-1][0] == "draws other than deliveries as quoted"
    assert tables["money"]["rows"][-1][1] != base


def test_the_share_of_an_input_is_the_sum_of_its_parts(places):
    """Each input's share is told by part, and numbers taken from a fact are switched with it."""
    from exafleet.facts.world import load_world
    from exafleet.sweep.difference import changes, groups, why

    folder, _ = places
    a, b = load_world(TINY), load_world(folder / "dear")
    found = why(a, b, changes(a, b))
    assert sum(g.share for g in found.groups) == pytest.approx(found.planned, rel=1e-9)
    assert all(g.share == pytest.approx(sum(g.parts)) for g in found.groups)
    for key in sorted(a.origins):
        other = a.with_fact(a.origins[key].key, a.origins[key].value * 1.1)
        both, = groups(a, other, changes(a, other))
        assert a.origins[key].key in {c.key for c in both}
        assert {"fact", "number"} == {c.kind for c in both}


def test_what_is_no_quantity_reads_as_a_scenario_writes_it(places, tmp_path):
    """Months, names and choices that differ are words, and rules that bind otherwise are told."""
    _, store = places
    shutil.copytree(TINY, tmp_path / "later")
    toml = tmp_path / "later" / "scenario.toml"
    text = toml.read_text(encoding="utf-8")
    due = re.search(r'^due = "(\d{4}-\d{2})"', text, re.MULTILINE)
    toml.write_text(text.replace(due[0], 'due = "2026-02"', 1), encoding="utf-8")
    done = run("diff", "1", tmp_path / "later", "--store", store, "--no-why", "--format", "json", "--lang", "zh")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    assert [row[:3] for row in tables["inputs"]["rows"]] == [["jobs.base.due", due[1], "2026-02"]]
    assert all(row[3] != row[4] or row[5] != row[6] for row in tables["rules"]["rows"])


def test_in_chinese_places_and_orders_are_told_in_chinese(places, tmp_path):
    """The words of both reports, not only those of the comparison."""
    folder, store = places
    shutil.copytree(folder / "dear", tmp_path / "kept")
    toml = tmp_path / "kept" / "scenario.toml"
    text = toml.read_text(encoding="utf-8")
    toml.write_text(text.replace('cancel = "40 %"', 'cancel = "100 %"'), encoding="utf-8")
    done = run("diff", "1", tmp_path / "kept", "--store", store, "--no-why", "--format", "json", "--lang", "zh")
    assert done.exit_code == 0, done.stderr
    tables = json.loads(done.stdout)["tables"]
    told = [str(cell) for name in ("others", "rules", "money", "orders") for row in tables[name]["rows"]
            for cell in row]
    assert "shop至lab" in told, "the place of a rule"
    assert tables["others"]["rows"], "an open order is kept in one plan and cancelled in the other"
    names = {"lab", "shop", "north", "south", "hgx", "gb", "nvl", "h", "ordered", "gpu", "list", "dealer", "maker",
             "base"}
    words = {word for cell in told for word in re.findall(r"[A-Za-z]+", cell)}
    assert words - names - {"GPU", "MW", "kW"} == set()


def test_a_plan_does_not_differ_from_itself(places):
    folder, store = places
    for other in (TINY, "last", folder / "a.json"):
        done = run("diff", "1", other, "--store", store, "--format", "json")
        assert done.exit_code == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["tables"] == {}
        assert told["summary"][0] == "The two plans are the same."


def test_reports_alone_are_compared_as_far_as_they_go(places, tmp_path):
    folder, _ = places
    other = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    other["tables"]["cost"]["rows"][0][1] += 1000.0
    changed = tmp_path / "b.json"
    changed.write_text(json.dumps(other), encoding="utf-8")
    done = run("diff", folder / "a.json", changed, "--store", tmp_path / "none.sqlite", "--format", "json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["tables"]["money"]["rows"][-1][3] == pytest.approx(1000.0)
    assert any("is not kept" in note for note in told["summary"])
    assert "why" not in told["tables"]


def test_what_is_finished_is_shown_when_it_is_stopped(places, monkeypatch):
    _, store = places

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("exafleet.sweep.explain.effect", stop)
    done = run("explain", "scenario.resale", "--in", "last", "--store", store, "--format", "json")
    assert done.exit_code == 130
    told = json.loads(done.stdout)
    assert {"number", "passage"} <= set(told["tables"])
    assert "effect" not in told["tables"]
    assert any("the effect is not finished" in note for note in told["summary"])


def test_bars_that_are_finished_are_shown_when_the_tornado_is_stopped(places, monkeypatch):
    _, store = places

    def count(self, done, total):
        if self.phase_name == "the tornado" and done == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("exafleet.apps.progress.Progress.count", count)
    done = run("explain", "cost.total", "--in", "last", "--store", store, "--tornado", "20", "--format", "json")
    assert done.exit_code == 130
    told = json.loads(done.stdout)
    assert len(told["tables"]["tornado"]["rows"]) == 3
    assert any("the tornado is not finished; this is what 3 of " in note for note in told["summary"])


def test_turns_that_are_found_are_shown_when_the_rest_is_stopped(places, monkeypatch):
    """Where nothing was found yet, nothing is said of turns; where one was, it stands."""
    folder, store = places
    costs = json.loads((folder / "a.json").read_text(encoding="utf-8"))["tables"]["cost"]["rows"]
    target = f"{costs[-1][2] + 1e5:.0f} USD"  # the base draw's total, and a little more

    def explained(stop):
        def count(self, done, total):
            if self.phase_name == "where the answer turns" and done == stop:
                raise KeyboardInterrupt

        monkeypatch.setattr("exafleet.apps.progress.Progress.count", count)
        done = run("explain", "jobs.base.value", "--in", "last", "--store", store, "--target", target, "--format",
                   "json")
        return done.exit_code, json.loads(done.stdout)

    code, first = explained(1)
    assert (code, "turns" in first["tables"]) == (130, False)
    code, later = explained(5)
    assert code == 130
    assert [row[2] for row in later["tables"]["turns"]["rows"]] == ["the target is reached, decisions kept"]
    assert any("where the answer turns is not finished" in note for note in later["summary"])


def test_a_number_without_effect_says_so(places):
    _, store = places
    done = run("explain", "offers.h100-dealer.deposit", "--in", "last", "--store", store)
    assert done.exit_code == 0, done.stderr
    assert "has no effect on this answer" in " ".join(done.stdout.split())


@pytest.mark.parametrize(("key", "said"), [
    ("h100-sxm.hbm_bww", "h100-sxm.hbm_bw"), ("offers.h100-dealer.pric", "offers.h100-dealer.price"),
    ("cost.energie", "cost.energy"), ("orders.99", "no such row"), ("", "neither a fact"), ("nothing", "neither"),
    ("sites.north", "sites.north.power, "), ("h100-sxm", "h100-sxm.hbm_bw, "),
    ("h100-sxm.peak_flops", "h100-sxm.peak_flops@bf16, "), ("jobs.base.model", "is no quantity"),
    ("jobs.base.due", "is no quantity"), ("h100-sxm.announced", "is a date"),
])
def test_an_unknown_key_names_what_is_near(places, key, said):
    _, store = places
    done = run("explain", key, "--in", "last", "--store", store)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", ["H100-SXM.HBM_BW", " h100-sxm.hbm_bw ", "ｈ１００-sxm.hbm_bw"])
def test_a_key_in_other_letters_is_the_same_number(places, words):
    folder, store = places
    done = run("explain", "cost.energy", "--in", folder / "a.json", "--store", store, "--tornado", "1", "--over", words,
               "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert [row[0] for row in json.loads(done.stdout)["tables"]["tornado"]["rows"]] == ["h100-sxm.hbm_bw"]


def test_a_number_that_acts_on_draws_alone_is_told_so(places):
    _, store = places
    done = run("explain", "risk.draws", "--in", "last", "--store", store, "--format", "json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert any("acts on how draws differ" in note for note in told["summary"])
    assert all(v in (0.0, None) for row in told["tables"]["effect"]["rows"] for v in row[2:4])


@pytest.mark.parametrize(("key", "said"), [
    ("rentals.cloud-spot.take", "cannot be a tenth larger"), ("uncertainty.rent_half_life", "is endless"),
])
def test_a_number_at_the_end_of_its_range_is_explained_as_far_as_it_goes(places, key, said):
    _, store = places
    done = run("explain", key, "--in", "last", "--store", store)
    assert done.exit_code == 0, done.stderr
    assert said in " ".join(done.stdout.split())


def test_workers_give_the_same_bytes(places):
    """Tornado and shares in two processes, and the reasons of a difference: the same output as in one."""
    folder, store = places
    one, two = (run("explain", "cost.total", "--in", "1", "--store", store, "--tornado", "2", "--shares", "sobol",
                    "--samples", "8", "--over", "jobs.base.value", "--over", "h100-sxm.hbm_bw", "--workers", n)
                for n in ("1", "2"))
    assert one.exit_code == 0, one.stderr
    assert (two.exit_code, two.stdout) == (0, one.stdout)
    one, two = (run("diff", "1", folder / "dear", "--store", store, "--workers", n) for n in ("1", "2"))
    assert one.exit_code == 0, one.stderr
    assert (two.exit_code, two.stdout) == (0, one.stdout)


def test_one_number_makes_all_of_the_variance(places):
    folder, store = places
    done = run("explain", "cost.total", "--in", folder / "a.json", "--store", store, "--shares", "sobol", "--over",
               "jobs.base.value", "--samples", "8", "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["tables"]["shares"]["rows"][0][1:3] == [1.0, 1.0]


def test_a_scenario_of_another_question_is_refused_before_it_is_planned(places, monkeypatch):
    _, store = places
    monkeypatch.setattr("exafleet.apps.opened._rated", lambda *_: pytest.fail("rated"))
    examples = Path(__file__).parents[3] / "examples"
    folder, _ = places
    done = run("diff", folder / "a.json", examples / "university-one-node", "--store", store.parent / "none.sqlite")
    assert done.exit_code == 2
    assert "two different scenarios" in done.stderr


@pytest.mark.parametrize(("words", "said"), [
    (["explain", "scenario.discount", "--in", "77"], 'no run "77"'),
    (["explain", "scenario.discount", "--in", "../nowhere/at-all"], "no such file or folder"),
    (["explain", "scenario.discount", "--in", "{none}"], "is not the JSON of a report"),
    (["explain", "scenario.discount", "--in", "last", "--of", "glory"], "not an answer of a plan"),
    (["explain", "scenario.discount", "--in", "last", "--target", "8 apples"], "--target"),
    (["explain", "scenario.discount", "--in", "last", "--samples", "12"], "not a power of two"),
    (["explain", "scenario.discount", "--in", "last", "--over", "no.such"], "no.such"),
    (["explain", "scenario.discount", "--in", "last", *["--over", "scenario.resale"] * 2], "twice"),
    (["explain", "scenario.discount", "--in", "last", "--shares", "shapley",
      *(w for i in range(13) for w in ("--over", f"k{i}"))], "at most 12"),
    (["explain", "scenario.discount", "--in", "{empty}"], "a folder without a scenario.toml"),
    (["explain", "scenario.discount", "--in", "last", "--target", "8 USD/h"], "unknown unit"),
    (["explain", "scenario.discount", "--in", "last", "--target", "nan"], "not a quantity"),
    (["diff", "last", "{empty}"], "PLAN_B: a folder without a scenario.toml"),
    (["diff", "last", "77"], 'no run "77"'),
    (["diff", "last", "{other}"], "two different scenarios"),
])
def test_bad_input_is_told_and_leaves_with_2(places, tmp_path, words, said):
    folder, store = places
    none, other = tmp_path / "none.json", tmp_path / "other.json"
    none.write_text('{"tables": [1, 2]}', encoding="utf-8")
    strange = json.loads((folder / "a.json").read_text(encoding="utf-8"))
    strange["title"], strange["meta"]["data"] = "Another", "0" * 12
    strange["tables"]["facts"]["rows"] = [["jobs.else.tokens", *row[1:]]
                                          for row in strange["tables"]["facts"]["rows"][:1]]
    other.write_text(json.dumps(strange), encoding="utf-8")
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run(*(w.format(none=none, other=other, empty=empty) for w in words), "--store", store)
    assert (done.exit_code, "Traceback" in done.stderr) == (2, False), done.stderr
    assert said in " ".join(done.stderr.split())
