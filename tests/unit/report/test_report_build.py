"""The report says what the plan says: the same numbers in every form, and nothing from a scenario is ever code."""

import html
import json
import re

import numpy as np
import pytest

from exafleet.report.build import report
from exafleet.report.html import page
from exafleet.report.table import Column, Report, Table
from exafleet.report.terminal import text


@pytest.fixture(scope="module")
def told(tiny):
    return report(tiny.world, tiny.rates, tiny.plan, tiny.trace)


def test_the_cost_parts_sum_to_the_total_and_to_the_objective(tiny, told):
    *parts, total = told.table("cost").rows
    for column in (1, 2, 3):
        assert sum(row[column] for row in parts) == pytest.approx(total[column], rel=1e-9, abs=1e-6)
    risk, cost = tiny.plan.market.scenario.risk, tiny.plan.cost.total
    worst = cost.max()  # three equally likely draws: the worst tenth is the worst draw
    assert 1 / len(cost) > 1 - risk.alpha
    assert (1 - risk.weight) * total[1] + risk.weight * worst == pytest.approx(tiny.plan.objective, rel=1e-9)
    assert f"{risk.weight * 100:.0f} %" in told.table("cost").lead


def test_cash_by_quarter_sums_to_cash_by_month(told):
    *quarters, total = told.table("cash").rows
    months = told.table("cash-by-month").rows
    assert sum(row[-1] for row in quarters) == pytest.approx(total[-1])
    assert sum(row[2] for row in months) == pytest.approx(total[-1])


def test_no_site_uses_more_power_than_it_has(told):
    for _month, _site, used, limit, _dark in told.table("power-by-month").rows:
        assert used <= limit * (1 + 1e-6)


def test_the_ledger_splits_what_is_owned(tiny, told):
    for *_, owned, used, lent, idle in told.table("ledger").rows:
        assert owned == pytest.approx(used + lent + idle, rel=1e-6, abs=1e-6)
    assert told.table("ledger").rows
    assert tiny.trace.owned.sum() > 0


def test_every_picture_can_be_drawn(told):
    import vl_convert

    drawn = 0
    for table in told.tables:
        for _caption, spec in table.charts:
            if table.rows:
                svg = vl_convert.vegalite_to_svg({**spec, "width": 600})
                assert svg.count("<path") > 2, table.id
                drawn += 1
    assert drawn >= 5


def test_json_carries_raw_values_with_units(told):
    found = json.loads(json.dumps(told.as_json(), allow_nan=False))
    power = found["tables"]["power"]
    assert [c["unit"] for c in power["columns"]][1:4] == ["W", "W", "W"]
    assert power["rows"][0][1] > 1e3


def test_the_page_asks_the_network_for_nothing(told):
    written = page(told)
    assert len(written.encode()) < 3 * 2**20
    body = re.sub(r"<script>.*?</script>", "", written, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", body)
    assert "http" not in re.sub(r'"\$schema":"https://vega.github.io/schema/[^"]*"', "", body)


def test_names_of_a_scenario_come_out_as_text():
    evil = '</script><script>alert("x")</script><img src=x onerror=alert(1)> [bold]red[/] \x1b[31m'
    table = Table(id="t", title=evil, lead=evil, columns=(Column(title=evil),), rows=((evil,),),
                  charts=((evil, {"data": {"values": [{"a": evil}]}}),))
    made = Report(title=evil, subtitle=evil, summary=(evil,), cards=((evil, evil, evil),), tables=(table,))
    written = page(made)
    assert evil not in written
    assert "<img src=x" not in written
    assert html.escape("<img src=x onerror=alert(1)>") in written
    plain = text(made)
    assert "\x1b" not in plain
    assert "[bold]red[/]" in plain


def test_an_empty_table_says_so_and_absence_is_a_dash():
    table = Table(id="t", title="Empty", lead="Never shown.", empty="Nothing at all.", columns=(Column(title="A"),),
                  rows=())
    made = Report(title="T", subtitle="", summary=(), cards=(), tables=(table,))
    assert "Nothing at all." in text(made)
    assert "Never shown" not in text(made)
    assert "Nothing at all." in page(made)
    assert Column(title="A", kind="money").written(None) == "–"


def test_the_terminal_keeps_to_its_width_and_leaves_long_tables_out(told):
    lines = text(told, width=100).split("\n")
    assert max(map(len, lines)) <= 100
    assert "Cash by month" not in "\n".join(lines)


def test_the_same_plan_gives_the_same_bytes(tiny, told):
    again = report(tiny.world, tiny.rates, tiny.plan, tiny.trace)
    assert page(again) == page(told)
    assert text(again) == text(told)


def test_worth_is_never_negative(told):
    binding = told.table("binding").rows
    assert all(np.isfinite(row[-1]) and row[-1] >= 0 for row in binding)
