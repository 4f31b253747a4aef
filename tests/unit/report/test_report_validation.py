"""Statistics of validation against a second way of counting, and every row accounted for in every form."""

import json
import math
import re
import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.apps.output import as_json
from exafleet.report.html import page
from exafleet.report.table import Report
from exafleet.report.terminal import text
from exafleet.report.validation import told
from exafleet.report.validation.score import (
    Judged,
    choice,
    groups,
    rate_error,
    repeated,
    score,
    top_parts,
    unpredicted,
    worst,
)
from exafleet.terms.parts import Parts

RATES = st.floats(1e-3, 1e6)


def row(name, measured=100.0, predicted=110.0, *, unit="token/s", why="", chip="h100-sxm", band=0.2):
    return Judged(id=name, measured=measured, unit=unit, predicted=predicted, low=predicted * (1 - band),
                  high=predicted * (1 + band), error=rate_error(measured, predicted, unit), why=why,
                  labels={"accelerator": chip, "family": "dense"}, what=f"case {name}",
                  parts=Parts.of("s", {"mlp gemm": 3.0, "tp": 1.0, "cp": 0.0}))


LOST = replace(row("lost", predicted=math.nan, why="unknown accelerator"), labels={})
ROWS = [row("a"), row("b", 100.0, 50.0), row("c", 100.0, 130.0, chip="tpu-v5p"), LOST, row("d", 10.0, 10.5)]


@given(st.lists(st.tuples(RATES, RATES), min_size=1, max_size=30))
def test_a_score_is_what_counting_by_hand_gives(pairs):
    rows = [row(str(i), m, p) for i, (m, p) in enumerate(pairs)]
    errors = [p / m - 1 for m, p in pairs]
    found = score(rows)
    assert (found.rows, found.predicted) == (len(pairs), len(pairs))
    assert found.median == pytest.approx(statistics.median(map(abs, errors)))
    assert found.mean == pytest.approx(statistics.fmean(map(abs, errors)))
    assert found.bias == pytest.approx(statistics.median(errors))
    assert found.worst == pytest.approx(max(map(abs, errors)))
    assert found.coverage == pytest.approx(sum(0.8 * p <= m <= 1.2 * p for m, p in pairs) / len(pairs))
    assert sum(abs(e) <= found.p90 * (1 + 1e-9) for e in errors) >= 0.9 * (len(pairs) - 1)


@given(RATES, RATES)
def test_a_step_time_errs_as_its_rate_does(measured, predicted):
    assert rate_error(1 / measured, 1 / predicted, "s") == pytest.approx(rate_error(measured, predicted, "token/s"))


@pytest.mark.parametrize(
    ("measured", "predicted"), [(math.nan, 1.0), (1.0, math.nan), (0.0, 1.0), (1.0, 0.0), (1.0, math.inf)])
def test_what_cannot_be_compared_has_no_error(measured, predicted):
    assert math.isnan(rate_error(measured, predicted, "token/s"))


def test_groups_part_the_rows_that_could_be_read():
    found = groups(ROWS, "accelerator")
    assert list(found) == ["h100-sxm", "tpu-v5p"]
    assert sum(s.rows for s in found.values()) == len(ROWS) - 1
    assert sum(s.predicted for s in found.values()) == score(ROWS).predicted


def test_no_band_is_no_coverage():
    bare = [replace(r, low=math.nan, high=math.nan) for r in ROWS]
    assert math.isnan(score(bare).coverage)
    assert score(bare).median == score(ROWS).median
    table = told.group_table(bare, "accelerator", "accelerator")
    assert "in 80 % band" not in [c.title for c in table.columns]


def test_the_worst_is_the_furthest_by_ratio():
    assert [r.id for r in worst(ROWS)] == ["b", "c", "a", "d"]  # a half is further off than 1.3 times
    assert [r.id for r in worst(ROWS, 1)] == ["b"]


def test_rows_without_a_prediction_are_listed_by_reason():
    more = replace(LOST, id="gone")
    assert unpredicted([*ROWS, more]) == {"unknown accelerator": ["lost", "gone"]}
    assert repeated([*ROWS, replace(ROWS[0]), replace(ROWS[0])]) == ["a"]


def test_a_choice_by_prediction_loses_what_the_fastest_had_more():
    rows = [("run", "tp8", 100.0, 90.0), ("run", "pp8", 80.0, 95.0), ("alone", "tp8", 5.0, 5.0)]
    found = choice(rows)
    assert (found.groups, found.right, found.mean_loss) == (1, 0, pytest.approx(0.2))
    again = [("run", "tp8", 60.0, 90.0), *rows]  # measured twice: 80 on average, so nothing is lost
    assert choice(again).mean_loss == pytest.approx(0.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), RATES, RATES), min_size=1, max_size=40), RATES)
def test_a_choice_does_not_depend_on_the_level_of_predictions(rows, factor):
    found, scaled = choice(rows), choice([(g, lay, m, p * factor) for g, lay, m, p in rows])
    assert found.groups == scaled.groups
    if found.groups:
        assert 0.0 <= found.mean_loss <= found.worst_loss < 1.0
        assert scaled.mean_loss == pytest.approx(found.mean_loss, abs=0.5)


def test_predictions_in_the_order_of_measurements_lose_nothing():
    rows = [("run", lay, float(m), float(m) ** 2) for lay, m in enumerate((3, 9, 27))]
    assert choice(rows).worst_loss == 0.0


def test_parts_are_told_as_shares_largest_first():
    assert top_parts(ROWS[0].parts) == "mlp gemm 75 %, tp 25 %"
    assert top_parts(None) == ""


def report(rows):
    return Report(title="T", subtitle="S", summary=told.sentences(rows, score(rows), "Throughput"), cards=(),
                  tables=(told.group_table(rows, "accelerator", "accelerator"), told.unpredicted_table(rows),
                          told.worst_table(rows, "step"), told.all_rows(rows, "Throughput", "family")))


def test_every_row_is_in_the_json_once_and_absence_is_null():
    found = json.loads(as_json({"rows": [r.as_json() for r in ROWS]}))["rows"]
    assert [r["case_id"] for r in found] == [r.id for r in ROWS]
    lost = found[3]
    assert (lost["predicted"], lost["low"], lost["high"], lost["why"]) == (None, None, None, "unknown accelerator")
    assert all((r["predicted"] is None) == bool(r["why"]) for r in found)


def test_groups_and_worst_rows_in_json_say_what_the_tables_say():
    data = told.group_json(ROWS, ["accelerator", "family"])
    assert {(g["by"], g["name"]): g["rows"] for g in data} == {
        ("accelerator", "h100-sxm"): 3, ("accelerator", "tpu-v5p"): 1, ("family", "dense"): 4}
    first = told.worst_json(ROWS)[0]
    assert (first["case_id"], first["parts"], first["parts_unit"]) == (
        "b", {"mlp gemm": 3.0, "tp": 1.0, "cp": 0.0}, "s")


def test_the_terminal_tells_rows_errors_and_reasons():
    said = text(report([*ROWS, replace(ROWS[0])]), width=120)
    assert "6 rows read: 5 compared, 1 without a prediction" in said
    assert "unknown accelerator" in said
    assert "Ids on more than one row, each of which counts: a." in said
    assert "-50.0 %" in said


def test_the_page_is_whole_offline_and_harmless():
    evil = replace(ROWS[0], id="<script>alert(1)</script>", why="</script><b>")
    html = page(report([*ROWS, evil]))
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html
    # The inlined library holds such words as text; the page around it may ask the network for nothing.
    body = re.sub(r"(<script[^>]*>).*?</script>", r"\1", html, flags=re.DOTALL)
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=", body)
    assert all(f">{r.id}</td>" in html for r in ROWS)


def test_every_picture_can_be_drawn():
    import vl_convert

    specs = [spec for table in report(ROWS).tables for _, spec in table.charts]
    assert len(specs) == 2
    for spec in specs:
        assert vl_convert.vegalite_to_svg({**spec, "width": 500}).count("<path") > 2


def test_a_picture_of_many_rows_is_thinned_and_says_so():
    many = [row(str(i), 100.0, 100.0 + i % 50) for i in range(3 * told.MOST_LISTED)]
    table = told.all_rows(many, "Throughput", "family")
    caption, spec = table.charts[0]
    assert len(spec["data"]["values"]) <= told.MOST_LISTED
    assert "one row in 3 is drawn" in caption
    assert len(table.rows) == told.MOST_LISTED
    assert "JSON holds every row" in table.lead
    assert score(many).predicted == len(many)


def test_nothing_compared_is_told_without_a_figure():
    said = text(report([LOST]), width=120)
    assert "1 rows read: 0 compared, 1 without a prediction" in said
    assert "nan" not in said.replace("unknown accelerator", "")
