"""[uncertainty] and [[events]]: what is written, what facts give, and what contradicts itself."""

from __future__ import annotations

import functools
import math
import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import pytest

from exafleet.facts import catalogue, world
from exafleet.facts.records import Uncertainty
from exafleet.facts.steps import Spread
from exafleet.facts.world import World, load_world
from exafleet.market.market import MEAN_MONTH, named_systems
from exafleet.terms.errors import ScenarioError

TINY = Path(__file__).parents[2] / "samples" / "tiny"
TEXT = (TINY / "scenario.toml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True, scope="module")
def _facts_once() -> Iterator[None]:
    """The package's tables do not change between tests: read them once a date."""
    once = functools.lru_cache(catalogue.load_facts)

    def load_facts(as_of: date, own: Sequence[Path] = ()) -> catalogue.Facts:
        return catalogue.load_facts(as_of, own) if own else once(as_of)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "load_facts", load_facts)
        yield


def load(folder: Path, more: str, day: str = "2024-12-19") -> World:
    shutil.copy(TINY / "demand.csv", folder / "demand.csv")
    (folder / "scenario.toml").write_text(TEXT.replace("2024-12-19", day, 1) + "\n" + more, encoding="utf-8")
    return load_world(folder)


def told(folder: Path, more: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(folder, more)
    return [str(p) for p in caught.value.problems]


def line(start: str, more: str) -> int:
    return next(i for i, row in enumerate((TEXT + "\n" + more).split("\n")) if row.startswith(start)) + 1


def test_what_is_left_out_comes_from_the_facts_of_the_day(tmp_path: Path) -> None:
    found = load(tmp_path, "")
    given, origin = found.scenario.uncertainty, found.origins["uncertainty.rent_volatility"]
    assert given.rent_volatility == found.facts.value(origin.key)
    assert origin.as_of <= date(2024, 12, 19)
    assert given.power_stretch is not None
    assert given.power_stretch.mid == found.facts.value(found.origins["uncertainty.power_stretch"].key)
    assert given.demand_volatility == 0
    later = load(tmp_path, "", "2026-06-30")
    assert later.origins["uncertainty.rent_volatility"].at == "2026-06"


def test_what_is_written_wins_and_nothing_else_may_be_wanted(tmp_path: Path) -> None:
    more = ('[uncertainty]\nfitted = false\nrent_volatility = "40 %"\nrent_half_life = "18 mo"\n'
            'power_delay = ["0 mo", "2 mo", "6 mo"]\nrent_with_delay = -0.2\n')
    given = load(tmp_path, more).scenario.uncertainty
    assert given.rent_volatility == 0.4
    assert given.rent_half_life == pytest.approx(18 * MEAN_MONTH)
    assert given.power_delay == Spread(low=0.0, mid=2 * MEAN_MONTH, high=6 * MEAN_MONTH)
    assert given.rent_with_delay == -0.2
    sure = Uncertainty()
    assert (given.price_volatility, given.power_stretch) == (sure.price_volatility, None)
    assert math.isinf(sure.rent_half_life)


def test_a_what_if_changes_a_fitted_number(tmp_path: Path) -> None:
    found = load(tmp_path, "")
    key = found.origins["uncertainty.rent_volatility"].key
    assert found.with_fact(key, 0.5).scenario.uncertainty.rent_volatility == 0.5
    assert found.with_fact("uncertainty.rent_volatility", 0.6).scenario.uncertainty.rent_volatility == 0.6


def test_an_event_is_read_whole(tmp_path: Path) -> None:
    found = load(tmp_path, '[[events]]\nid = "connector"\nprobability = "30 %"\nsystems = ["gb200-nvl72"]\n'
                           'delay = "3 mo"\n[[events]]\nid = "grid"\nprobability = 0.1\nfirst = "2025-06"\n'
                           'sites = ["north"]\npower_delay = ["1 mo", "3 mo", "9 mo"]\ndemand = 0.8\n').scenario
    connector, grid = found.events
    assert (connector.probability, connector.systems, connector.first) == (0.3, ("gb200-nvl72",), found.start)
    assert connector.delay is not None
    assert connector.delay.mid == 3 * MEAN_MONTH
    assert (grid.sites, grid.demand, grid.first - found.start) == (("north",), 0.8, 5)
    assert "gb200-nvl72" in named_systems(found)


@pytest.mark.parametrize(("more", "at", "said"), [
    ("[uncertainty]\nrent_with_delay = 1.5", "rent_with_delay", "out of range"),
    ("[uncertainty]\nprice_volatility = -0.1", "price_volatility", "must not be negative"),
    ('[uncertainty]\ndelay_common = "60 %"\ndelay_supplier = 0.5', "[uncertainty]", "parts of one"),
    ("[uncertainty]\nprice_with_rent = 0.9\nrent_with_demand = 0.9\nprice_with_demand = -0.9", "[uncertainty]",
     "contradict each other"),
    ("[uncertainty]\nrent_volatilty = 0.3", "rent_volatilty", "unknown key"),
    ('[uncertainty]\npower_delay = ["3 mo", "2 mo", "6 mo"]', "power_delay", "low <= mid <= high"),
    ('[uncertainty]\nrent_half_life = "1 h"', "rent_half_life", "out of range"),
    ('[[events]]\nid = "e"\nprobability = 1.2\ndelay = "1 mo"', "probability = 1.2", "out of range"),
    ('[[events]]\nid = "e"\nprobability = 0.2', "[[events]]", "changes nothing"),
    ('[[events]]\nid = "e"\nprobability = 0.2\nban = true\nsystems = ["hgx-a100-80gb"]', "systems = [\"hgx-a",
     "is sold or rented here"),
    ('[[events]]\nid = "e"\nprobability = 0.2\nban = true\nsuppliers = ["delaer"]', "suppliers", "nobody called"),
    ('[[events]]\nid = "e"\nprobability = 0.2\nprice = 0', "price = 0", "out of range"),
    ('[[events]]\nid = "e"\nprobability = 0.2\nsites = ["nroth"]\npower_delay = "1 mo"', "sites = [\"nr", "nroth"),
])
def test_a_mistake_is_told_with_its_line(tmp_path: Path, more: str, at: str, said: str) -> None:
    found = told(tmp_path, more)
    assert len(found) == 1, found
    assert said in found[0]
    assert f"scenario.toml:{line(at, more)} " in found[0], found[0]


def test_outcomes_that_do_not_sum_to_one_and_every_mistake_at_once(tmp_path: Path) -> None:
    more = ('[uncertainty]\nprice_volatility = -1\n[[events]]\nid = "a"\nprobability = 0.5\neither = "tariff"\n'
            'price = 1.2\n[[events]]\nid = "b"\nprobability = 0.3\neither = "tariff"\n')
    found = "\n".join(told(tmp_path, more))
    assert 'outcomes of "tariff" do not sum to 1' in found
    assert "0.5 + 0.3 = 0.8" in found
    assert "must not be negative" in found
    load(tmp_path, more.replace("price_volatility = -1", "").replace("probability = 0.3", "probability = 0.5"))


def test_nearest_name_is_offered(tmp_path: Path) -> None:
    found = told(tmp_path, '[[events]]\nid = "e"\nprobability = 0.2\nban = true\nsuppliers = ["delaer"]')
    assert "dealer" in found[0]


def test_events_may_stand_in_a_table(tmp_path: Path) -> None:
    rows = "id,probability,systems,delay\nlate,20 %,gb200-nvl72;hgx-h100,1 mo;2 mo;3 mo\n"
    (tmp_path / "events.csv").write_text(rows, encoding="utf-8")
    assert "[tables]" not in TEXT
    event = load(tmp_path, '[tables]\nevents = "events.csv"\n').scenario.events[0]
    assert event.systems == ("gb200-nvl72", "hgx-h100")
    assert event.delay == Spread(low=MEAN_MONTH, mid=2 * MEAN_MONTH, high=3 * MEAN_MONTH)
