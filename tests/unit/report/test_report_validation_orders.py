"""Orders of deployments: ranks, choices and pairs, worked by hand; ties; the report and the JSON of serving."""

import csv
import json
import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.apps.output import as_json
from exafleet.facts.catalogue import load_facts
from exafleet.report.terminal import text
from exafleet.report.validation import serving
from exafleet.report.validation.orders import Point, orders
from exafleet.service.measured.predict import compare_served
from exafleet.service.measured.run_tables import read_served
from tests.unit.service.test_service_measured_served import LIKE

FACTS = load_facts(date(2026, 11, 26))


def point(rate, predicted, group="g", fixed="f", **axes):
    return Point(rate=rate, predicted=predicted, group=group, axes=axes or {"layouts": rate}, fixed=fixed)


def test_ranks_of_a_group_worked_by_hand():
    # Ranks 1 2 3 4 against 2 1 3 4: one exchange, 1 - 6 * 2 / (4 * 15).
    found = orders([point(10, 25), point(20, 15), point(30, 35), point(40, 45)])
    assert (found.groups, found.good) == (1, 1.0)
    assert found.spearman == pytest.approx(0.8)


def test_the_median_over_groups_and_the_share_of_good_choices():
    right = [point(r, r, "right") for r in (10, 20, 30, 40)]
    wrong = [point(r, 50 - r, "wrong") for r in (10, 20, 30, 40)]
    near = [point(r, p, "near") for r, p in ((10, 10), (20, 20), (38, 45), (40, 40))]
    found = orders([*right, *wrong, *near])
    assert found.groups == 3
    assert found.spearman == pytest.approx(0.8)
    # Near: the choice gives 38 of 40, within a tenth.
    assert found.good == pytest.approx(2 / 3)


def test_groups_of_fewer_than_four_or_of_one_rate_say_nothing():
    found = orders([point(r, r, "few") for r in (1, 2, 3)] + [point(5, p, "flat") for p in (1, 2, 3, 4)])
    assert found.groups == 0
    assert math.isnan(found.spearman)
    assert math.isnan(found.good)
    assert math.isnan(orders([]).spearman)
    assert orders([]).sentences() == ()


def test_predictions_that_are_all_alike_have_no_rank():
    assert orders([point(r, 7.0) for r in (1, 2, 3, 4)]).spearman == 0.0


def test_points_without_a_prediction_or_a_rate_count_nowhere():
    known = [point(r, r) for r in (10, 20, 30, 40)]
    assert orders([*known, point(100, math.nan), point(math.nan, 5), point(0, 5)]) == orders(known)


def test_pairs_differ_in_one_thing_alone():
    # Two chips under two layouts: two pairs of chips (one right), two of layouts (both right).
    found = orders([point(10, 10, chips="a", layouts=1), point(20, 20, chips="b", layouts=1),
                    point(40, 40, chips="a", layouts=2), point(30, 50, chips="b", layouts=2)])
    assert found.pairs == {"chips": (2, 0.5), "layouts": (2, 1.0)}
    # Of other lengths nothing is compared.
    apart = orders([point(10, 10, fixed=1, chips="a"), point(20, 5, fixed=2, chips="b")])
    assert apart.pairs["chips"][0] == 0
    assert math.isnan(apart.pairs["chips"][1])


def test_a_tie_has_no_order_and_what_was_measured_twice_counts_with_its_mean():
    assert orders([point(100, 1, chips="a"), point(101, 2, chips="b")]).pairs["chips"][0] == 0
    twice = [point(10, 30, chips="a"), point(30, 10, chips="a"), point(25, 21, chips="b")]
    assert orders(twice).pairs["chips"] == (1, 1.0)


@given(st.lists(st.integers(1, 10**6), min_size=4, max_size=12, unique=True), st.floats(0.01, 100), st.randoms())
def test_a_constant_factor_changes_no_order_and_neither_does_the_order_of_the_rows(rates, factor, shuffled):
    points = [point(r, factor * r) for r in rates]
    shuffled.shuffle(points)
    found = orders(points)
    assert found.spearman == pytest.approx(1.0)
    assert found.good == 1.0
    assert found.pairs["layouts"][0] == 0 or found.pairs["layouts"][1] == 1.0


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=4, max_size=20))
def test_rank_correlation_is_that_of_ranks_with_ties_in_their_middle(values):
    from scipy.stats import spearmanr

    a, b = zip(*values, strict=True)
    if len(set(a)) > 1 and len(set(b)) > 1:
        found = orders([point(float(x), float(y)) for x, y in values])
        assert found.spearman == pytest.approx(float(spearmanr(a, b).statistic), abs=1e-9)


# -------------------------------------------------------------------------------------------------- serving, as told


def judged(path, *changes):
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, list(LIKE))
        out.writeheader()
        out.writerows({**LIKE, **change} for change in changes)
    found = compare_served(read_served(path, FACTS), FACTS)
    return serving.judge(found, FACTS), serving.ordered(found)


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    return judged(tmp_path_factory.mktemp("served") / "rows.csv", {}, {"case_id": "two", "ttft_ms": ""},
                  {"case_id": "three", "model": "Nobody-9B"}, {"case_id": "four", "tpot_ms": "fast"},
                  {"case_id": "five", "tp": "1", "gpus": "1", "weights_precision": "bf16"},
                  *({"case_id": f"load {n}", "concurrency_or_batch": str(n), "output_tok_s_per_gpu": str(40 * n**0.5)}
                    for n in (1, 4, 16, 256)))


def test_every_row_has_an_entry_for_each_figure_it_states(some):
    rows, found = some
    data = json.loads(as_json(serving.as_json(rows, found, FACTS, "0" * 64)),
                      parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    entries = [(r["case_id"], r["metric"]) for r in data["rows"] if not r["case_id"].startswith("load")]
    three = ["output_tok_s_per_gpu", "ttft_ms", "tpot_ms"]
    assert entries[:4] == [("one", m) for m in (*three, "e2e_ms")]
    assert entries[4:6] == [("two", m) for m in (three[0], three[2])]
    assert {m for name, m in entries if name == "three"} == set(three)
    assert {m for name, m in entries if name == "four"} == {three[0], three[1]}
    for entry in data["rows"]:
        assert (entry["predicted"] is None) == bool(entry["why"])
        assert entry["predicted"] is None or entry["low"] < entry["high"]
        assert entry["measured"] > 0
        assert entry["derived"] == (entry["metric"] == "e2e_ms")
    assert data["what"] == "serving"
    assert data["overall"]["by_metric"]["tpot_ms"]["rows"] == len([r for r in rows if r.beside["metric"] == "tpot_ms"])
    assert {g["by"] for g in data["groups"]} >= {"accelerator", "model", "engine", "service", "load", "speculation"}
    assert data["overall"]["orders"]["groups"] == 1


def test_figures_are_in_the_units_of_their_names(some):
    first = {r.beside["metric"]: r for r in some[0] if r.id == "one"}
    assert {m: r.measured for m, r in first.items()} == pytest.approx(
        {"output_tok_s_per_gpu": 500, "ttft_ms": 400, "tpot_ms": 20, "e2e_ms": 400 + 499 * 20})
    for row in first.values():
        assert row.error == pytest.approx(row.predicted / row.measured - 1)
    assert float(np.sum(first["tpot_ms"].parts.values)) * 1e3 == pytest.approx(first["tpot_ms"].predicted)


def test_the_terminal_shows_metrics_groups_orders_and_reasons(some):
    said = text(serving.report(*some, FACTS, "some rows", "0" * 64), width=140)
    for word in ("Serving: predicted beside measured", "Time per output token", "Throughput of one accelerator",
                 'unknown model "Nobody-9B"', 'tpot_ms is no number: "fast"', "rank correlation"):
        assert word in said


def test_a_table_of_which_nothing_can_be_compared_is_an_answer(tmp_path):
    rows, found = judged(tmp_path / "rows.csv", {"model": "Nobody-9B"}, {"accelerator": "XPU", "system": ""})
    data = json.loads(as_json(serving.as_json(rows, found, FACTS, "0" * 64)), parse_constant=pytest.fail)
    assert data["overall"]["predicted"] == 0
    assert "nothing to compare" in text(serving.report(rows, found, FACTS, "some rows", "0" * 64), width=140)
