"""Parts add up, whatever is done to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.terms.parts import Parts

numbers = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2)


@given(numbers, numbers)
def test_the_sum_of_two_parts_totals_the_sum_of_their_totals(a, b):
    one = Parts.of("s", {"gemm": a[0], "attention": a[1]})
    two = Parts.of("s", {"attention": b[0], "bubble": b[1]})
    both = one + two
    assert both.names == ("gemm", "attention", "bubble")
    assert both.total == pytest.approx(one.total + two.total, abs=1e-3)


def test_shares_sum_to_one_and_an_empty_total_shares_nothing():
    parts = Parts.of("s", {"a": np.array([1.0, 0.0]), "b": np.array([3.0, 0.0])})
    assert parts.share().tolist() == [[0.25, 0.75], [0.0, 0.0]]
    assert parts.at(0).as_dict() == {"a": 1.0, "b": 3.0}


def test_parts_cannot_be_changed_or_mixed_with_another_unit():
    parts = Parts.of("s", {"a": 1.0})
    with pytest.raises(ValueError, match="read-only"):
        parts.values[0] = 2.0
    with pytest.raises(ValueError, match="cannot add J to s"):
        parts + Parts.of("J", {"a": 1.0})
    with pytest.raises(ValueError, match="2 names"):
        Parts(names=("a", "b"), values=np.zeros(3), unit="s")
    with pytest.raises(ValueError, match="named twice"):
        Parts(names=("a", "a"), values=np.zeros(2), unit="s")


def test_scaling_scales_every_piece():
    parts = Parts.of("W", {"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert parts.scaled([2.0, 10.0]).total.tolist() == [8.0, 60.0]
