"""Failure and power figures as of a day, and what happens before anybody published them."""

import datetime

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.fleet.goodput import Reliability, goodput, reliability, usable_units
from exafleet.fleet.power import Activity, power, power_share
from exafleet.terms.errors import MissingFact

NOW, THEN = load_facts(datetime.date(2026, 11, 23)), load_facts(datetime.date(2024, 12, 19))


def test_restart_time_is_read_between_known_sizes():
    known = reliability(NOW)
    assert float(known.restart(16384)) == 200
    assert float(known.restart(1)) == 200
    assert 300 < float(known.restart(40_000)) < 600 < float(known.restart(90_000)) < 900


def test_in_2024_no_restart_times_by_size_were_public():
    assert reliability(THEN).restart_sizes == (1.0,)
    assert reliability(THEN).failure_rate * 86400 * 1000 == pytest.approx(3.79)


def test_nothing_is_invented_before_it_was_published():
    early = load_facts(datetime.date(2020, 1, 1))
    with pytest.raises(MissingFact, match="node_failure_rate"):
        reliability(early)
    with pytest.raises(MissingFact, match="power_share"):
        power_share(early, Activity.TRAINING)


def test_a_slow_store_costs_time_at_every_size():
    slow = Reliability(failure_rate=4e-8, detection=30, restart_sizes=(1.0,), restart_times=(300.0,), stall=10,
                       bytes_per_param=14, storage_bw=1e9)
    fast = Reliability(failure_rate=4e-8, detection=30, restart_sizes=(1.0,), restart_times=(300.0,), stall=10,
                       bytes_per_param=14, storage_bw=1e12)
    assert goodput(4e11, 1024, slow)["useful"] < goodput(4e11, 1024, fast)["useful"]
    assert goodput(4e11, 1024, fast, chip_write=1e6)["useful"] < goodput(4e11, 1024, fast)["useful"]


@pytest.mark.parametrize(("units", "availability", "sure"), [(1, 0.99, 1), (1, 0.5, 0), (10, 1.0, 10), (0, 0.9, 0)])
def test_usable_units_at_the_edges(units, availability, sure):
    assert usable_units(units, availability, 0.95) == sure


def test_power_broadcasts_over_sizes():
    parts = power(system(NOW, "gb200-nvl72"), NOW, Activity.SERVING, [72, 144])
    assert parts.values.shape == (2, 3)
    assert parts.names == ("accelerators", "servers", "cluster")
