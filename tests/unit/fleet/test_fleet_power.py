"""All-in power of chips that serve: the boards' watts, with the server and the cluster around them."""

from datetime import date

import numpy as np
import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.fleet.power import Activity, power, rated_power, served_energy, serving_power

FACTS = load_facts(date(2026, 11, 23))
SYSTEMS = ("hgx-h100", "hgx-b200", "gb200-nvl72", "mi355x-8", "l40s-8")


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_board_at_its_limit_makes_the_rated_power(name):
    unit = system(FACTS, name)
    full = serving_power(unit, FACTS, unit.chip.tdp)
    assert full.names == rated_power(unit, FACTS).names
    assert full.values == pytest.approx(rated_power(unit, FACTS).values)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_watt_of_a_board_is_one_of_the_whole(name):
    unit = system(FACTS, name)
    low, high = (serving_power(unit, FACTS, share * unit.chip.tdp, 16) for share in (0.3, 0.5))
    assert high.total - low.total == pytest.approx(16 * 0.2 * unit.chip.tdp)
    assert (low["servers"], low["cluster"]) == (high["servers"], high["cluster"])


def test_it_broadcasts_and_parts_add_up():
    unit = system(FACTS, "hgx-h200")
    found = serving_power(unit, FACTS, np.array([200.0, 400.0, 600.0]), np.array([8.0, 8.0, 16.0]))
    assert found.values.shape == (3, 3)
    assert found.total == pytest.approx(found.values.sum(axis=-1))
    assert np.all(np.diff(found.total) > 0)


def test_the_share_of_servers_lies_among_what_boards_make_of_them():
    unit = system(FACTS, "hgx-b200")
    ends = [float(serving_power(unit, FACTS, share * unit.chip.tdp).total) for share in (0.2, 1.0)]
    assert ends[0] < float(power(unit, FACTS, Activity.SERVING).total) < ends[1]


def test_energy_of_a_token_is_power_over_rate_and_cooling_comes_on_top():
    unit = system(FACTS, "hgx-h200")
    found = served_energy(unit, FACTS, 450.0, 900.0, pue=1.2)
    within = float(serving_power(unit, FACTS, 450.0).total) / 900.0
    assert float(found.total) == pytest.approx(1.2 * within)
    assert float(found["cooling"]) == pytest.approx(0.2 * within)
    assert float(found["accelerators"]) == pytest.approx(0.5)
    assert float(served_energy(unit, FACTS, 450.0, 900.0)["cooling"]) == 0.0
