"""The mean of the worst: as the minimum that defines it, and at its ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.plan.risk import tail

COSTS = st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0.01, 1.0)), min_size=1, max_size=12)


@given(COSTS, st.floats(0.0, 0.99))
def test_the_worst_as_rockafellar_and_uryasev_define_it(draws: list[tuple[float, float]], alpha: float) -> None:
    cost, weight = np.array(draws).T
    probability = weight / weight.sum()
    share = tail(cost, probability, alpha)
    least = min(t + float(probability @ np.maximum(cost - t, 0.0)) / (1.0 - alpha) for t in cost.tolist())
    assert share.sum() == pytest.approx(1.0)
    assert float(share @ cost) == pytest.approx(least, rel=1e-9, abs=1e-9)


def test_with_alpha_one_only_the_worst_counts() -> None:
    assert tail(np.array([1.0, 5.0, 3.0]), np.full(3, 1 / 3), 1.0).tolist() == [0.0, 1.0, 0.0]
