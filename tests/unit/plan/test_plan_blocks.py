"""Blocks of columns and rows, and the shift of a block in time."""

import numpy as np

from exafleet.plan.blocks import Entries, Members
from exafleet.plan.commitments import earlier


def test_a_block_numbers_what_exists() -> None:
    columns = Members()
    columns.add("a", np.array([True, False, True]), upper=[1.0, 2.0, 3.0])
    block = columns.add("b", np.array([[True, False]]), lower=-1.0, integer=True)
    assert columns["a"].tolist() == [0, -1, 1]
    assert block.tolist() == [[2, -1]]
    assert columns.count == 3
    assert columns.upper.tolist() == [1.0, 3.0, np.inf]
    assert columns.lower.tolist() == [0.0, 0.0, -1.0]
    assert columns.integer.tolist() == [False, False, True]


def test_entries_on_missing_members_are_dropped_and_equal_ones_add() -> None:
    entries = Entries()
    entries.put(np.array([[0], [1], [-1]]), np.array([0, -1, 2]), 2.0)
    entries.put(0, 0, 0.5)
    assert entries.matrix(2, 3).toarray().tolist() == [[2.5, 0.0, 2.0], [2.0, 0.0, 2.0]]


def test_earlier_shifts_along_time_and_knows_the_beginning() -> None:
    block = np.array([[3, 4, 5], [6, -1, 8]])
    assert earlier(block).tolist() == [[-1, 3, 4], [-1, 6, -1]]
    assert earlier(block, np.array([0, 2])).tolist() == [[3, 4, 5], [-1, -1, 6]]
