"""World: frozen, asked by key, changed only into a new one."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import FrozenInstanceError
from datetime import date
from pathlib import Path

import pytest

from exafleet.facts.steps import Spread, Steps
from exafleet.facts.world import World, load_world
from exafleet.terms.errors import ExafleetError, FactError, MissingFact, OutOfRange, ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny"


@pytest.fixture(scope="module")
def tiny() -> World:
    return load_world(TINY)


def test_a_file_and_its_folder_are_the_same_scenario(tiny: World) -> None:
    assert load_world(TINY / "scenario.toml").scenario == tiny.scenario
    assert load_world(str(TINY)).data_hash == tiny.data_hash


def test_a_world_is_frozen(tiny: World) -> None:
    with pytest.raises(FrozenInstanceError):
        tiny.facts = tiny.facts  # type: ignore[misc]


def test_every_key_can_be_read_and_is_placed(tiny: World) -> None:
    rows = (TINY / "scenario.toml").read_text(encoding="utf-8").split("\n")
    keys = tiny.keys()
    assert len({k.key for k in keys}) == len(keys) > 70
    for one in keys:
        assert tiny.value(one.key) == one.value
        if one.key.startswith("uncertainty.") and not one.where:   # left out: from the facts of the day
            continue
        file, _, line = one.where.partition(":")
        assert file == "scenario.toml"
        row = rows[int(line) - 1]
        assert row.startswith(("[[", one.term)) or one.term in row, one


def test_the_comment_beside_a_number_is_its_source(tiny: World) -> None:
    keys = tiny.keys()
    sources = {k.key: k.source for k in keys}
    assert sources["scenario.resale"] == "assumed"
    assert sources["owners.lab.budget"] == "made up"
    assert ("sources.house", "Numbers made up for tests") in tiny.scenario.sources
    assert ("scenario.resale", "assumed") in tiny.scenario.sources


@pytest.mark.parametrize(("key", "words", "value"), [
    ("offers.gb200-maker.price", "$4.0M/rack", 4e6),
    ("offers.gb200-maker.price", "$50,000/GPU", 72 * 50_000.0),
    ("offers.gb200-maker.lead", "10 wk", 10 * 604800.0),
    ("offers.gb200-maker.queue.premium", "20 %", 0.2),
    ("offers.gb200-maker.supply", "3 racks/mo", 3.0),
    ("sites.north.power", "3 MW", 3e6),
    ("jobs.base.tokens", "1T tokens", 1e12),
    ("jobs.app.demand", "1 ktokens/s", 1e3),
    ("owners.lab.budget", "$1M", 1e6),
    ("owners.lab.quota.north", "1 MW", 1e6),
    ("rentals.cloud-half-year.term", "12 mo", 12.0),
    ("holdings.lab:north:hgx-h100:2024-03.units", "64 GPUs", 8.0),
    ("loans.shop:lab.most", "8 GPUs", 8.0),
    ("moves.south:north.months", "2 mo", 2.0),
    ("scenario.resale", "60 %", 0.6),
    ("scenario.discount", "5 %/yr", 0.05),
    ("risk.weight", "50 %", 0.5),
    ("h100-sxm.hbm_bw", "3.0 TB/s", 3.0e12),
])
def test_what_if_in_words(tiny: World, key: str, words: str, value: float) -> None:
    before = tiny.value(key)
    changed = tiny.with_fact(key, words)
    assert changed.value(key) == pytest.approx(value, rel=1e-12)
    assert tiny.value(key) == before
    assert changed.data_hash != tiny.data_hash


def test_what_if_of_a_number_and_its_shape(tiny: World) -> None:
    assert tiny.with_fact("sites.north.power", 5e6).scenario.sites[0].power == Steps.constant(5e6)
    assert tiny.with_fact("offers.h100-dealer.lead", 10.0).scenario.offers[0].lead == Spread(low=10, mid=10, high=10)
    assert tiny.with_fact("owners.lab.budget", 7.0).scenario.owners[0].budget == ((tiny.scenario.start, 7.0),)
    assert tiny.with_fact("risk.draws", 50.0).scenario.risk.draws == 50


def test_scaling_keeps_the_shape(tiny: World) -> None:
    twice = tiny.scaled("sites.north.power", 2.0).scenario.sites[0].power
    assert (twice.months, twice.values) == (tiny.scenario.sites[0].power.months, (2e6, 4e6))
    assert tiny.scaled("offers.h100-dealer.lead", 0.5).scenario.offers[0].lead.high == 5 * 604800.0
    assert tiny.scaled("owners.lab.budget", 2.0).value("owners.lab.budget") == 40e6
    assert tiny.scaled("h100-sxm.hbm_bw", 1.1).value("h100-sxm.hbm_bw") == pytest.approx(
        1.1 * tiny.value("h100-sxm.hbm_bw"))


def test_only_the_named_number_changes(tiny: World) -> None:
    new, old = tiny.scaled("offers.gb200-maker.fitting", 2.0).keys(), tiny.keys()
    changed, before = ({k.key: k.value for k in keys} for keys in (new, old))
    assert {k for k in before if before[k] != changed[k]} == {"offers.gb200-maker.fitting"}


def test_changes_outlive_a_change_of_the_facts(tiny: World) -> None:
    both = tiny.scaled("sites.north.power", 2.0).with_fact("h100-sxm.hbm_bw", "3 TB/s")
    assert both.scenario.sites[0].power.values == (2e6, 4e6)
    other = tiny.with_fact("h100-sxm.hbm_bw", "3 TB/s").scaled("sites.north.power", 2.0)
    assert both.scenario == other.scenario
    assert both.data_hash == other.data_hash


@pytest.mark.parametrize("key", ["offers.gb200-maker.prise", "offers.nobody.price", "sites.north", "jobs.base.dtype",
                                 "scenario.name", "risk.wait"])
def test_unknown_keys_of_the_scenario(tiny: World, key: str) -> None:
    for ask in (lambda: tiny.value(key), lambda: tiny.scaled(key, 2.0), lambda: tiny.with_fact(key, 1.0)):
        with pytest.raises(ScenarioError, match=f'the scenario has no number "{key}"'):
            ask()


def test_unknown_keys_name_the_nearest(tiny: World) -> None:
    with pytest.raises(ScenarioError, match=r"Did you mean 'offers\.gb200-maker\.price'"):
        tiny.value("offers.gb200-maker.prise")
    with pytest.raises(MissingFact, match="Did you mean 'h100-sxm'"):
        tiny.value("h100-smx.hbm_bw")


@pytest.mark.parametrize(("key", "value"), [
    ("sites.north.power", -1.0), ("sites.north.pue", 0.5), ("offers.h100-dealer.deposit", 1.5),
    ("sites.north.power", float("nan")), ("jobs.base.tokens", float("inf")), ("h100-sxm.hbm_bw", 1.0)])
def test_values_out_of_range_are_refused(tiny: World, key: str, value: float) -> None:
    with pytest.raises(OutOfRange):
        tiny.with_fact(key, value)


@pytest.mark.parametrize(("key", "words"), [("sites.north.power", "3 MWh"), ("sites.north.power", "3"),
                                            ("jobs.base.tokens", "many"), ("offers.h100-dealer.price", "-$3/unit")])
def test_words_of_the_wrong_unit_are_refused(tiny: World, key: str, words: str) -> None:
    with pytest.raises(FactError, match=key):
        tiny.with_fact(key, words)


def test_the_day_can_be_asked_otherwise() -> None:
    early, late = load_world(TINY, as_of=date(2024, 10, 31)), load_world(TINY, as_of=date(2026, 6, 30))
    assert (early.as_of, early.scenario.as_of) == (date(2024, 10, 31), date(2024, 10, 31))
    assert all(f.as_of <= date(2024, 10, 31) for f in early.facts)
    assert len(late.facts) > len(early.facts)


def test_own_facts_win(tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path, dirs_exist_ok=True)
    header = "subject,term,at,value,low,high,unit,kind,source,where,as_of,note\n"
    (tmp_path / "facts.csv").write_text(header + "h100-sxm,hbm_bw,,3.0,,,TB/s,rumour,us,lab book,2024-12-01,\n",
                                        encoding="utf-8")
    (tmp_path / "more.csv").write_text(header + "h100-sxm,tdp,,650,,,W,rumour,us,lab book,2024-12-01,\n",
                                       encoding="utf-8")
    text = (TINY / "scenario.toml").read_text(encoding="utf-8")
    (tmp_path / "scenario.toml").write_text(
        text + '\n[facts]\nfiles = ["more.csv"]\n[facts.set]\n"hgx-h100.power_max" = "9.9 kW" # our meter\n'
        'gb200-nvl72.power_max = { value = "120 kW", source = "quote of 1 December" }\n', encoding="utf-8")
    world = load_world(tmp_path)
    assert world.value("h100-sxm.hbm_bw") == 3.0e12
    assert world.value("h100-sxm.tdp") == 650.0
    meter, quote = world.facts.get("hgx-h100.power_max"), world.facts.get("gb200-nvl72.power_max")
    assert (meter.value, meter.source, meter.own) == (9_900.0, "our meter", True)
    assert (quote.value, quote.source) == (120e3, "quote of 1 December")
    assert meter.where.startswith("scenario.toml:")
    assert world.data_hash != load_world(TINY).data_hash


def test_the_hash_sees_every_file_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(TINY, tmp_path / name)
    one, two = load_world(tmp_path / "a"), load_world(tmp_path / "b")
    assert one.data_hash == two.data_hash == load_world(TINY).data_hash
    (tmp_path / "b" / "unused.csv").write_text("x\n", encoding="utf-8")
    assert load_world(tmp_path / "b").data_hash == one.data_hash
    with (tmp_path / "b" / "demand.csv").open("a", encoding="utf-8") as file:
        file.write("2025-12,30 ktokens/s\n")
    assert load_world(tmp_path / "b").data_hash != one.data_hash


def test_a_world_can_be_sent_to_another_process(tiny: World) -> None:
    sent = pickle.loads(pickle.dumps(tiny.scaled("sites.north.power", 2.0)))
    assert sent.scenario.sites[0].power.values == (2e6, 4e6)
    assert sent.with_fact("h100-sxm.hbm_bw", "3 TB/s").value("h100-sxm.hbm_bw") == 3e12


def test_a_world_made_in_python_needs_no_file(tiny: World) -> None:
    world = World(facts=tiny.facts, scenario=tiny.scenario)
    other = world.with_fact("h100-sxm.hbm_bw", "3 TB/s").scaled("sites.north.power", 2.0)
    assert other.value("sites.north.power") == 2e6
    assert world.data_hash != world.scaled("sites.north.power", 2.0).data_hash
    keys = world.keys()
    assert {k.where.split(":")[0] for k in keys if k.where} == {"scenario.toml"}


def test_systems_and_models_by_name(tiny: World) -> None:
    assert tiny.system("gb200-nvl72").chips == 72
    assert tiny.arch("llama-3-8b").layers == 32
    with pytest.raises(ExafleetError, match="can mean"):
        tiny.system("GB200")
