"""Published power of chips with everything around them."""

import datetime

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.fleet.power import Activity, power, rated_power

FACTS = load_facts(datetime.date(2026, 11, 23))


@pytest.mark.parametrize(("name", "chip"), [("dgx-a100", "a100-80gb-sxm"), ("dgx-h100", "h100-sxm"),
                                            ("gb200-nvl72", "gb200-gpu"), ("gb300-nvl72", "gb300-gpu")])
def test_rated_all_in_power_of_a_chip(name, chip):
    # Epoch AI, IT power by chip: 926, 1,454, 2,090 and 2,217 W; sources differ by up to a tenth on rack ratings.
    published = FACTS.value(f"{chip}.it_power")
    assert float(rated_power(system(FACTS, name), FACTS).total) == pytest.approx(published, rel=0.1)


def test_a_hundred_thousand_h100_are_rated_at_about_150_megawatts():
    # SemiAnalysis, June 2024: 150 MW of critical IT power.
    assert float(rated_power(system(FACTS, "hgx-h100"), FACTS).total) * 1e5 == pytest.approx(150e6, rel=0.05)


def test_heavy_training_on_a_dgx_h100():
    # arXiv 2506.14551: about 76 % of 10.2 kW in computationally intensive training, without the cluster around it.
    drawn = power(system(FACTS, "dgx-h100"), FACTS, Activity.TRAINING, 8)
    assert float(drawn["accelerators"] + drawn["servers"]) == pytest.approx(0.76 * 10_200, rel=0.01)


def test_colossus_site_power_from_chips_upwards():
    # Epoch AI: 181 MW at the meter for 100,000 H100; rated IT power times a PUE of 1.25.
    site = FACTS.value("h100-sxm.facility_power@colossus-1")
    assert float(rated_power(system(FACTS, "hgx-h100"), FACTS).total) * 1.25 == pytest.approx(site, rel=0.05)
