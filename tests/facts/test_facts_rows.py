"""Every row of every table of the package is sound, sourced, and blind to the future."""

from __future__ import annotations

import csv
import re
from datetime import date, timedelta

import pytest

from exafleet.facts.architecture import arch, arch_gaps, arch_ids
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.check import check, diff
from exafleet.facts.hardware import chip, chip_gaps, chip_ids, system, system_gaps, system_ids
from exafleet.facts.table import SCHEMA
from exafleet.terms.calendar import month, month_name
from exafleet.terms.term import terms
from exafleet.terms.units import DATA, of_dimension

ALWAYS = date.max
THEN = date(2024, 12, 19)


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts(ALWAYS)


def _rows(facts: Facts) -> list:
    return [f for by_at in facts.table.values() for many in by_at.values() for f in many]


def test_every_row_is_read_and_none_twice(facts: Facts) -> None:
    lines = 0
    for path in DATA.glob("*.csv"):
        if path.name not in SCHEMA and not path.name.startswith("measured_"):
            with path.open(encoding="utf-8", newline="") as file:
                lines += sum(1 for _ in csv.DictReader(file))
    assert lines == len(_rows(facts)) > 3000


def test_tables_as_a_whole_hold_no_contradiction(facts: Facts) -> None:
    assert check(facts).mistakes == ()


def test_every_row_says_where_it_can_be_read(facts: Facts) -> None:
    assert [f.key for f in _rows(facts) if not (f.source in facts.sources and f.where)] == []


def test_no_row_names_a_machine_or_a_note_of_the_makers(facts: Facts) -> None:
    words = ("corpus", "ledger id", "survey notes", "seed article")
    tables = [p.read_text(encoding="utf-8") for p in DATA.glob("*.csv")]
    assert [w for w in words for t in tables if w in t] == []
    absolute = re.compile(r"[,\" ](/[a-z]+/[a-z]+/[^,\"]*)")
    assert [found for t in tables for found in absolute.findall(t)] == []


def test_estimates_and_inferences_say_why(facts: Facts) -> None:
    silent = {f.key for f in _rows(facts)
              if f.kind == "inferred" and f.source == "exafleet" and not f.note and not f.where.startswith("docs/")}
    assert silent == set()


def test_terms_have_a_dimension_with_units_and_a_range() -> None:
    for word in terms().values():
        assert of_dimension(word.dimension), word.name
        assert word.low < word.high, word.name
        assert word.meaning, word.name


def test_the_chips_systems_and_models_that_were_asked_for_are_there(facts: Facts) -> None:
    assert len(chip_ids(facts)) >= 45
    assert len(system_ids(facts)) >= 21
    assert len(arch_ids(facts)) >= 116
    assert {"a100-40gb-sxm", "h100-sxm", "gb200-gpu", "rubin", "rubin-ultra", "mi250x", "mi455x", "tpu-v4", "tpu7x",
            "trainium2", "gaudi3", "rtx-4090"} <= set(chip_ids(facts))
    assert {"gpt-moe-1.8t", "grok-1", "grok-2", "llama-3.1-405b", "deepseek-v3", "gpt-oss-120b"} <= set(arch_ids(facts))


def test_what_lacks_no_term_can_be_planned_with(facts: Facts) -> None:
    for name in chip_ids(facts):
        if not chip_gaps(facts, name):
            assert chip(facts, name).hbm_bw > 0
    for name in system_ids(facts):
        if not system_gaps(facts, name):
            assert system(facts, name).power_max > 0
    for name in arch_ids(facts):
        if not arch_gaps(facts, name):
            assert arch(facts, name).layers > 0


def test_incomplete_subjects_are_the_ones_the_docs_name(facts: Facts) -> None:
    text = (DATA.parents[2] / "docs" / "adding-a-fact.md").read_text(encoding="utf-8")
    assert [g.subject for g in check(facts).gaps if f"`{g.subject}`" not in text] == []


def test_nothing_published_later_is_visible() -> None:
    for day in (date(2020, 1, 1), date(2022, 6, 30), THEN, date(2026, 1, 5)):
        seen = load_facts(day)
        assert all(f.as_of <= day for f in _rows(seen))


def test_price_and_delivery_months_do_not_precede_their_publication(facts: Facts) -> None:
    for fact in _rows(facts):
        if fact.term in ("rent", "rent_index", "chip_price", "unit_price", "fx"):
            stamp = next((p for p in fact.at.split(":") if len(p) == 7 and p[4] == "-" and p[5:].isdigit()), None)
            if stamp is not None:
                assert month(stamp) <= month(f"{fact.as_of:%Y-%m}"), fact.key


def test_at_the_end_of_2024_later_parts_are_only_rumours() -> None:
    then = load_facts(THEN)
    for name in ("gb300-gpu", "gb300-nvl72", "rubin", "vr-nvl72", "rubin-ultra", "deepseek-v3", "grok-2"):
        assert {f.kind for f in then.of(name)} <= {"rumour"}, name
    assert then.value("gb200-nvl72.power_max") == 120e3
    assert load_facts(ALWAYS).value("gb200-nvl72.power_max") == 132e3
    assert then.try_get("h100-sxm.rent@1yr:2025-10") is None


def test_a_day_adds_facts_and_takes_none_away(facts: Facts) -> None:
    dates = sorted({f.as_of for f in _rows(facts)})
    day = dates[len(dates) // 2]
    before, after = load_facts(day - timedelta(days=1)), load_facts(day)
    assert {f.key for f in before} <= {f.key for f in after}
    new = {c.key for c in diff(before, after)}
    assert new == {c.key for c in diff(before, after) if c.after.as_of <= day}
    assert new


@pytest.mark.parametrize(("key", "published"), [
    # NVIDIA H100 datasheet, dense; GB200 NVL72 page, dense; TPU v5p page; AMD MI300X data sheet.
    ("h100-sxm.peak_flops@bf16", 989e12), ("h100-sxm.hbm_bw", 3.35e12), ("gb200-gpu.peak_flops@fp8", 5e15),
    ("gb200-gpu.link_bw", 900e9), ("tpu-v5p.peak_flops@bf16", 459e12), ("mi300x.hbm_bytes", 192e9),
    ("h100-sxm.nic_bw", 50e9), ("h200-sxm.hbm_bytes", 141e9), ("gb200-nvl72.domain", 72),
    ("llama-3.1-405b.hidden", 16384), ("node-8.node_failure_rate@llama-3", 419 / (2048 * 54 * 86400)),
])
def test_figures_that_anyone_can_look_up(facts: Facts, key: str, published: float) -> None:
    assert facts.value(key) == pytest.approx(published, rel=2e-3)


def test_a_gb200_superchip_is_two_gpus_and_five_h100s_at_dense_peak(facts: Facts) -> None:
    assert facts.value("gb200-superchip.chips") == 2
    ratio = 2 * facts.value("gb200-gpu.peak_flops@bf16") / facts.value("h100-sxm.peak_flops@bf16")
    assert ratio == pytest.approx(5.06, abs=0.01)


def test_causes_of_failure_are_whole(facts: Facts) -> None:
    assert sum(f.value for f in facts.find("node-8", "failure_share").values()) == pytest.approx(1.0, abs=1e-3)


def test_rents_by_month_are_in_order_and_in_dollars_an_hour(facts: Facts) -> None:
    rents = facts.monthly("h100-sxm", "rent", "1yr")
    assert list(rents) == sorted(rents)
    assert rents[month("2025-10")].value * 3600 == pytest.approx(1.70)
    assert rents[month("2026-06")].value * 3600 == pytest.approx(2.65)


def test_every_currency_has_a_rate_for_every_month_of_the_prices(facts: Facts) -> None:
    for currency in ("cny", "eur"):
        months = list(facts.monthly(currency, "fx"))
        assert [month_name(m) for m in months] == [month_name(m) for m in range(months[0], months[-1] + 1)]
        assert month_name(months[0]) == "2020-01"
    # What the article of December 2024 implies: 7.24 to 7.27 yuan a dollar.
    assert facts.value("cny.fx@2024-12") == pytest.approx(7.26, abs=0.05)
