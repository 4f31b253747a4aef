"""Daly's exact expectation against a small seeded simulation of failing, restarting and checkpointing."""

import numpy as np
import pytest

from exafleet.fleet.goodput import daly_interval, time_shares, usable_units, young_interval


def simulate(rng, mtbf, stall, interval, restart, segments):
    """Clock until `segments` stretches of work and checkpoint are done, by kind of time."""
    spent = {"useful": segments * interval, "checkpoint": segments * stall, "rework": 0.0, "restart": 0.0}
    done = 0
    while done < segments:
        failure = rng.exponential(mtbf)
        whole = int(min(failure // (interval + stall), segments - done))
        done += whole
        if done == segments:
            break
        spent["rework"] += failure - whole * (interval + stall)
        while (again := rng.exponential(mtbf)) < restart:
            spent["restart"] += again
        spent["restart"] += restart
    return spent


@pytest.mark.parametrize(("mtbf", "stall", "restart"), [(10_000, 30, 600), (1_080, 10, 600), (3_000, 120, 200)])
def test_shares_are_those_of_a_simulated_run(mtbf, stall, restart):
    rng, interval = np.random.default_rng(7), float(daly_interval(stall, mtbf))
    spent = simulate(rng, mtbf, stall, interval, restart, 60_000)
    total = sum(spent.values())
    shares = time_shares(mtbf, stall=stall, interval=interval, restart=restart)
    for name, seconds in spent.items():
        assert float(shares[name]) == pytest.approx(seconds / total, abs=0.006), name


@pytest.mark.parametrize("mtbf", [600.0, 5_000.0, 1e5])
def test_dalys_interval_is_the_best_of_a_fine_grid(mtbf):
    grid = np.geomspace(5, 5 * mtbf, 4000)
    useful = time_shares(mtbf, stall=20, interval=grid, restart=300)["useful"]
    at_daly = time_shares(mtbf, stall=20, interval=daly_interval(20, mtbf), restart=300)["useful"]
    assert float(at_daly) == pytest.approx(useful.max(), rel=1e-4)
    assert float(daly_interval(1e-6 * mtbf, mtbf)) == pytest.approx(float(young_interval(1e-6 * mtbf, mtbf)), rel=2e-3)


def test_usable_units_against_drawn_outages():
    up = np.random.default_rng(3).binomial(144, 0.97, size=200_000)
    sure = usable_units(144, 0.97, 0.95)
    assert (up >= sure).mean() >= 0.95 > (up >= sure + 1).mean()
