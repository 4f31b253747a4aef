"""The whole decisions nearest to a point keep every rule of the first stage and change no more than they must."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.plan_instance import instance
from exafleet.market.futures import draw
from exafleet.plan.nearest import nearest_whole
from exafleet.plan.rules import RULES
from exafleet.plan.sets import sets
from exafleet.plan.space import Space, space
from exafleet.plan.twostage import two_stage


@pytest.fixture(scope="module")
def small() -> Space:
    """The first stage of a small fleet with runs, queue and tiers."""
    case = instance(months=8, systems=4, sites=2, owners=2, jobs=4, scale=0.05, sizes=2, seed=2)
    draws = draw(case.market, 2, 0)
    return space(two_stage(case.market, draws, sets(case.market, case.rates, draws), RULES))


def _nothing(s: Space) -> np.ndarray:
    """What costs no decision: every column where it may be zero."""
    return np.clip(np.zeros(len(s.lower)), s.lower, s.upper)


def _starts(s: Space) -> np.ndarray:
    """Starts of one run, in the order of their columns."""
    runs = s.run[s.start]
    return np.flatnonzero(s.run == runs[0])


def test_a_whole_point_is_nearest_to_itself(small: Space) -> None:
    z = nearest_whole(small, _nothing(small))
    assert z is not None
    again = nearest_whole(small, z)
    assert again is not None
    np.testing.assert_allclose(again[small.whole], z[small.whole], atol=1e-6)


def test_it_keeps_the_rules_and_is_whole(small: Space) -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    amounts = np.flatnonzero(small.whole & ~small.start & (small.upper > 1))
    point = _nothing(small)
    point[rng.choice(amounts, 6, replace=False)] = rng.uniform(0.2, 2.8, 6)
    z = nearest_whole(small, point)
    assert z is not None
    assert (np.abs(z[small.whole] - np.round(z[small.whole])) < 1e-9).all()
    value = small.rows @ z
    assert (value >= small.low - 1e-6).all()
    assert (value <= small.high + 1e-6).all()
    assert (z >= small.lower - 1e-9).all()
    assert (z <= small.upper + 1e-9).all()


@pytest.mark.parametrize(("shares", "begins"), [((0.2, 0.45, 0.25), 1), ((0.1, 0.2, 0.1), 0)])
def test_a_run_begins_whole_where_it_is_likeliest(small: Space, shares: tuple[float, ...], begins: int) -> None:
    """Spread over three months, none of them half: rounding each alone would lose the run."""
    at = _starts(small)[:len(shares)]
    point = _nothing(small)
    point[at] = shares
    z = nearest_whole(small, point)
    assert z is not None
    assert z[small.start].sum() == pytest.approx(begins)
    assert z[at[1]] == pytest.approx(begins)


def test_none_where_no_decision_keeps_the_rules(small: Space) -> None:
    impossible = replace(small, low=np.full(len(small.low), 1e9), high=np.full(len(small.high), 2e9))
    assert nearest_whole(impossible, _nothing(small)) is None
