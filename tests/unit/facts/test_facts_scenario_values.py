"""What the sample says is what the records hold: every way of writing a value, in the record's unit."""

from __future__ import annotations

import shutil
from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from exafleet.facts import deals, records
from exafleet.facts.deals import OpenOrder
from exafleet.facts.records import ResearchJob, ServeJob, TrainJob
from exafleet.facts.steps import Spread, Steps
from exafleet.facts.world import World, load_world
from exafleet.terms.calendar import month

TINY = Path(__file__).parents[2] / "samples" / "tiny"
TEXT = (TINY / "scenario.toml").read_text(encoding="utf-8")
WEEK, DAY, HOUR = 7 * 86400.0, 86400.0, 3600.0
MONTH = 365.25 / 12 * 86400.0


@pytest.fixture(scope="module")
def tiny() -> World:
    return load_world(TINY)


def swapped(folder: Path, *swaps: tuple[str, str], text: str = TEXT) -> World:
    """The tiny scenario with some of its text replaced."""
    for old, new in swaps:
        assert old in text
        text = text.replace(old, new, 1)
    shutil.copy(TINY / "demand.csv", folder / "demand.csv")
    (folder / "scenario.toml").write_text(text, encoding="utf-8")
    return load_world(folder)


def close(found: object, wanted: float) -> None:
    np.testing.assert_allclose(float(found), wanted, rtol=1e-12)  # type: ignore[arg-type]


def test_the_head(tiny: World) -> None:
    asked = tiny.scenario
    assert (asked.name, asked.as_of, asked.start, asked.months) == ("Tiny", date(2024, 12, 19), month("2025-01"), 12)
    assert (asked.discount, asked.resale) == (pytest.approx(0.10), 0.72)
    assert asked.risk == records.Risk(draws=3, seed=1, alpha=0.9, weight=0.2, react=3)
    assert asked.file == "scenario.toml"


def test_owners(tiny: World) -> None:
    lab, shop = tiny.scenario.owners
    assert lab.budget == ((month("2025-01"), 12e6), (month("2025-07"), 8e6))
    assert lab.quota == (("north", Steps.constant(1.5e6)),)
    assert (lab.priority, shop.priority, shop.budget, shop.quota) == (2.0, 1.0, None, ())


def test_sites(tiny: World) -> None:
    north, south = tiny.scenario.sites
    np.testing.assert_array_equal(north.power.at([month("2024-12"), month("2025-06"), month("2025-07")]),
                                  [0.0, 1e6, 2e6])
    assert (north.cooling, south.cooling, south.owners) == (("air", "liquid"), ("air",), ("shop",))
    close(north.install_rate, 1 / DAY)
    close(south.install_rate, 2 / WEEK)
    close(north.energy_price.before, 60 / 3.6e9)
    close(north.carbon.before, 0.4 / 3.6e6)
    close(north.rent, 150 / 1000 / MONTH)
    close(south.energy_price.at([month("2025-12")])[0], 90 / 3.6e9)


def test_accelerators_count_by_the_unit(tiny: World) -> None:
    lab, shop = tiny.scenario.holdings
    assert (lab.units, lab.price) == (16, 270_000.0)
    assert (shop.units, shop.price) == (32 // 8, 8 * 35_000.0)


def test_offers(tiny: World) -> None:
    dealer, maker = tiny.scenario.offers
    assert dealer.tiers == ((8, 0.95),)
    assert dealer.lead == Spread(low=2 * WEEK, mid=4 * WEEK, high=10 * WEEK)
    assert maker.lead == Spread(low=8 * WEEK, mid=13 * WEEK, high=30 * WEEK)
    assert maker.queue == deals.Queue(premium=pytest.approx(0.1), sooner=6 * WEEK, units=2.0)
    np.testing.assert_allclose(maker.supply.at([month("2025-02"), month("2025-03"), month("2025-12")]), [0, 1, 2])
    np.testing.assert_allclose(dealer.price.at([month("2025-06"), month("2025-07")]), [255_000, 225_000])
    assert (maker.total, maker.deposit, maker.owners) == (4.0, 0.3, ("lab",))


def test_open_orders_and_rentals(tiny: World) -> None:
    order = tiny.scenario.open_orders[0]
    close(order.defer, 2000.0)
    assert (order.units, order.promised, order.paid, order.cancel, order.most_deferral) == (
        4, month("2025-02"), 0.2, 0.4, 6)
    spot, half = tiny.scenario.rentals
    close(spot.price.before, 2.97 / HOUR)
    assert (spot.term, spot.block, spot.wait) == (1, 8, 0)
    assert (half.term, half.block, half.wait, half.most.before) == (6, 64, 1, 256.0)


def test_jobs(tiny: World) -> None:
    base, app, ablations = tiny.scenario.jobs
    assert isinstance(base, TrainJob)
    assert isinstance(app, ServeJob)
    assert isinstance(ablations, ResearchJob)
    assert (base.tokens, base.batch, base.value) == (2e12, 4e6, 2e6)
    close(base.late, 200_000.0)
    close(app.unserved, 5e-6)
    assert (app.ttft, app.tpot) == (2.0, 0.05)
    np.testing.assert_allclose(app.demand.at([month("2024-12"), month("2025-01"), month("2025-05"), month("2026-01")]),
                               [0, 5e3, 10e3, 20e3])
    close(ablations.demand.before, 30_000 * HOUR / MONTH)
    close(ablations.unserved, 2.97 / HOUR)


def test_every_record_says_where_it_stands(tiny: World) -> None:
    rows = TEXT.split("\n")
    for name in ("owners", "sites", "holdings", "offers", "open_orders", "rentals", "jobs", "loans", "moves"):
        for record in getattr(tiny.scenario, name):
            assert rows[int(record.where.removeprefix("scenario.toml:")) - 1] == f"[[{name}]]"


@pytest.mark.parametrize(("written", "usd"), [("¥2,188,350/rack", 2_188_350), ("2,188,350 CNY/rack", 2_188_350),
                                              ("CNY 2.18835M/rack", 2_188_350)])
def test_yuan_are_converted_at_the_rate_of_the_day(tmp_path: Path, written: str, usd: float) -> None:
    world = swapped(tmp_path, ('"$450k/rack"', f'"{written}"'))
    known = {m: f for m, f in world.facts.monthly("cny", "fx").items() if m <= month("2024-12")}
    close(world.scenario.offers[1].fitting, usd / known[max(known)].value)
    assert 250_000 < world.scenario.offers[1].fitting < 350_000


def test_amounts_without_a_currency_are_in_the_scenarios(tmp_path: Path) -> None:
    euros = swapped(tmp_path, ('currency = "USD"', 'currency = "EUR"'), ('"$450k/rack"', '"450k/rack"'))
    signed = swapped(tmp_path, ('"$450k/rack"', '"€450k/rack"'))
    close(euros.scenario.offers[1].fitting, signed.scenario.offers[1].fitting)
    assert euros.scenario.offers[1].fitting > 450_000
    assert euros.scenario.offers[1].price.before == 3e6


def test_a_value_may_be_a_fact_and_follows_it(tmp_path: Path) -> None:
    fact = '{ fact = "hgx-h100.unit_price@2024-07", times = 0.5 }'
    world = swapped(tmp_path, ('price = "$260,000/unit"', f"price = {fact}"))
    close(world.scenario.open_orders[0].price, 288_142 / 2)
    dearer = world.with_fact("hgx-h100.unit_price@2024-07", "$300,000/unit")
    close(dearer.scenario.open_orders[0].price, 150_000)
    keys = world.keys()
    key = next(k for k in keys if k.key == "open_orders.h100-ordered.price")
    assert key.source.startswith("fact hgx-h100.unit_price@2024-07 (epoch-prices, 2024-07")


def test_what_is_left_out_comes_from_the_newest_fact(tmp_path: Path) -> None:
    world = swapped(tmp_path, ('price = "$3.0M/rack"\n', ""), ('supply = "8 units/mo"\ntotal = "24 units"',
                                                               'supply = "8 units/mo"'),
                    ('lead = { low = "8 wk", mid = "13 wk", high = "30 wk" }\n', ""),
                    ('price = "$2.97/GPU-hr"\n', ""), ("resale = 0.72 # assumed\n", ""))
    dealer, maker = world.scenario.offers
    assert maker.price.before == world.facts.value("gb200-nvl72.unit_price@2024-05")
    lead = world.facts.get("gb200-nvl72.lead_time@2024-10")
    assert maker.lead == Spread(low=lead.low, mid=lead.value, high=lead.high)
    assert dealer.total == pytest.approx(8 * 12)
    spot = world.facts.monthly("h100-sxm", "rent", "on-demand")
    assert world.scenario.rentals[0].price.before == spot[max(spot)].value
    assert world.scenario.resale == world.facts.value("chip-owners.residual_share@1yr")
    assert max(spot) <= month("2024-12")


def test_a_site_takes_its_energy_from_its_region_and_grid(tmp_path: Path) -> None:
    later = [("as_of = 2024-12-19", "as_of = 2026-06-30"), ('energy_price = "$60/MWh"', 'region = "site-us-texas"'),
             ('carbon = "400 g/kWh"', 'grid = "grid-us-tex-erco"')]
    north = swapped(tmp_path, *later).scenario.sites[0]
    close(north.energy_price.before, 72.5 / 3.6e9)
    close(north.carbon.before, 0.363 / 3.6e6)


def test_a_run_may_be_given_by_its_flops(tmp_path: Path) -> None:
    run = swapped(tmp_path, ('tokens = "2T tokens"', 'flops = "9.6e22 FLOP"')).scenario.jobs[0]
    assert isinstance(run, TrainJob)
    # 9.6e22 / (6 x 8.03e9 parameters)
    assert run.tokens == pytest.approx(1.99e12, rel=0.01)


def test_arrays_may_be_tables_of_the_same_keys(tmp_path: Path) -> None:
    start, end = TEXT.index("[[open_orders]]"), TEXT.index("[[rentals]]")
    (tmp_path / "orders.csv").write_text(
        "id,owner,supplier,system,units,promised,price,paid,cancel,defer,most_deferral,slip.low,slip.mid,slip.high\n"
        'h100-ordered,lab,dealer,hgx-h100,4,2025-02,"$260,000/unit",20 %,40 %,"$2,000/unit/mo",6,0 wk,2 wk,9 wk\n',
        encoding="utf-8")
    text = TEXT[:start] + TEXT[end:] + '\n[tables]\nopen_orders = "orders.csv"\n'
    by_table = swapped(tmp_path, text=text).scenario.open_orders[0]
    written = load_world(TINY).scenario.open_orders[0]
    assert by_table.where == "orders.csv:2"
    assert all(getattr(by_table, f.name) == getattr(written, f.name) for f in fields(OpenOrder) if f.name != "where")


def test_a_list_in_a_table_is_separated_by_semicolons(tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text(
        "id,power,cooling,install_rate,pue,energy_price,carbon,owners\n"
        "east,1 MW,air;liquid,1 racks/day,1.2,$60/MWh,400 g/kWh,lab;shop\n", encoding="utf-8")
    world = swapped(tmp_path, text=TEXT + '\n[tables]\nsites = "sites.csv"\n')
    assert [s.id for s in world.scenario.sites] == ["north", "south", "east"]
    assert world.scenario.sites[2].owners == ("lab", "shop")
    assert world.scenario.sites[2].cooling == ("air", "liquid")


def test_plain_numbers_in_a_column_take_the_unit_beside_it(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("month,app\n2025-01,5\n2025-04,10\n2025-09,20\n", encoding="utf-8")
    world = swapped(tmp_path, ('table = "demand.csv", column = "app"',
                               'table = "numbers.csv", column = "app", unit = "ktokens/s"'))
    assert world.scenario.jobs[1] == load_world(TINY).scenario.jobs[1]


def test_notes_tell_what_is_no_mistake(tmp_path: Path) -> None:
    swaps = (('first = "2025-01"\nlast = "2025-12"', 'first = "2026-01"\nlast = "2026-12"'),)
    notes = swapped(tmp_path, *swaps).notes
    assert len(notes) == 1
    assert notes[0].endswith("rentals.cloud-spot: cannot be had within the plan (2026-01 to 2026-12)")


def test_arrival_before_the_first_shipment_is_only_a_note(tmp_path: Path) -> None:
    swaps = (("as_of = 2024-12-19", "as_of = 2025-06-30"), ('start = "2025-01"', 'start = "2024-09"'),
             ('last = "2025-08"\nlead = { low = "8 wk"', 'last = "2025-08"\nlead = { low = "0 wk"'),
             ('price = "$3.0M/rack"\nfirst = "2025-01"', 'price = "$3.0M/rack"\nfirst = "2024-10"'),
             ('price = { "2024-12"', 'price = { "2024-09"'),
             ('energy_price = { "2025-01"', 'energy_price = { "2024-09"'))
    notes = swapped(tmp_path, *swaps).notes
    assert len(notes) == 1
    assert "could arrive in 2024-10, before gb200-nvl72 first shipped (2024-12" in notes[0]
