"""The report says what the plan says: the same numbers in every form, and nothing from a scenario is ever code."""

import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from exafleet.report import charts
from exafleet.report.build import report
from exafleet.report.html import TEMPLATES, page
from exafleet.report.sections.worth import headline
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
    assert """default-src 'none'""" in written
    body = re.sub(r"(<script[^>]*>).*?</script>", r"\1", written, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", body)
    body = body.replace("http-equiv", "")
    assert "http" not in re.sub(r'"\$schema":"https://vega.github.io/schema/[^"]*"', "", body)


def _contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours written #rrggbb."""
    def light(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(w * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)
                   for w, v in zip((0.2126, 0.7152, 0.0722), parts, strict=True))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_colour_of_a_picture_shows_on_white_and_on_dark():
    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"--paper: (#[0-9a-f]{6})", css)[:2]
    for colour in charts.PALETTE:
        assert min(_contrast(colour, light), _contrast(colour, dark)) >= 3, colour
    for paper, ink, soft in ((light, *re.findall(r"--(?:ink|soft): (#[0-9a-f]{6})", css)[:2]),
                             (dark, *re.findall(r"--(?:ink|soft): (#[0-9a-f]{6})", css)[2:4])):
        assert min(_contrast(ink, paper), _contrast(soft, paper)) >= 4.5


def test_every_row_of_a_section_names_numbers_that_the_report_explains(told):
    known = {key for keys in told.table("facts").origins for key in keys}
    assert {"scenario.discount", "sites.north.power", "gb200-nvl72.power_max"} <= known
    for name in ("open-orders", "training", "demand", "power", "energy", "cost", "queue", "speeds"):
        table = told.table(name)
        assert len(table.origins) == len(table.rows) > 0, name
        assert all(table.origins), name
        assert {key for keys in table.origins for key in keys} <= known, name
    assert all(t.how for t in told.tables)


def test_the_page_links_each_row_to_its_numbers_and_to_their_source(told):
    written = page(told)
    anchors = set(re.findall(r' id="([^"]+)"', written))
    links = set(re.findall(r'href="#([^"]+)"', written))
    assert links <= anchors
    assert sum(link.startswith("fact-") for link in links) > 10


def test_a_picture_of_nothing_is_a_sentence():
    assert charts.is_empty(charts.bars([], [], "v", "t", "c"))
    assert charts.is_empty(charts.bars([{"month": "2025-01", "v": 0.0, "c": "a"}], ["2025-01"], "v", "t", "c"))
    assert not charts.is_empty(charts.bars([{"month": "2025-01", "v": 1, "c": "a"}], ["2025-01"], "v", "t", "c"))
    table = Table(id="t", title="T", lead="L", columns=(Column(title="A"),), rows=(("a",),),
                  charts=(("", charts.bars([], [], "v", "t", "c")),))
    written = page(Report(title="T", subtitle="", summary=(), cards=(), tables=(table,)))
    assert "There is nothing to draw here" in written
    assert 'class="chart"' not in written


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


def test_where_no_rule_binds_the_headline_looks_at_the_money(tiny):
    value = np.zeros_like(tiny.plan.budget_value)
    plan = replace(tiny.plan, binding=(), budget_value=value)
    assert headline(plan) == "No rule of the scenario binds."
    scarce = value.copy()
    scarce[0, 1] = 0.4
    said = headline(replace(plan, budget_value=scarce))
    assert plan.market.scenario.owners[0].id in said
    assert "saves 0.4 USD" in said
