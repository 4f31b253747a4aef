"""The recourse without what can never matter: columns that stay at zero in every draw, rows that then say nothing.

Bounds are carried from row to row (what has not arrived cannot be installed, what is not installed cannot be used)
until nothing changes. Only columns held at zero are taken out, and rows that the bounds of the columns left keep by
themselves; so the answer is the same, and so are the duals: those of the rows left out are zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.market.market import Bools, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

TINY = 1e-9
MOST_PASSES = 1000   # a bound travels one month a pass; more than any horizon needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Row bounds over every draw and decision: the widest, and the narrowest (which may cross). [M2] each"""

    low: Floats
    high: Floats
    low_most: Floats
    high_least: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Lean:
    """Rows and columns of the recourse that matter. [M2], [Y]"""

    rows: Bools
    columns: Bools


def lean(matrix: csr_matrix, reach: Range, v_lower: Floats, v_upper: Floats) -> Lean:
    """What can matter in any draw. v_lower, v_upper [Y] are the widest bounds of the columns."""
    most = _most(matrix, reach, v_lower, v_upper)
    columns = (most > TINY) | (v_lower != 0.0)
    least, greatest = _activity(*_signs(matrix), np.where(columns, v_lower, 0.0), np.where(columns, v_upper, 0.0))
    rows = (least < reach.low_most - TINY) | (greatest > reach.high_least + TINY)
    return Lean(rows=rows, columns=columns)


def _most(matrix: csr_matrix, reach: Range, v_lower: Floats, v_upper: Floats) -> Floats:
    """Upper bound of each column by the rows, carried along until nothing moves to zero any more. [Y]"""
    most = v_upper.copy()
    there = np.flatnonzero((v_upper > 0) | (v_lower != 0))
    part = matrix.tocsc()[:, there]
    signs, entries = _signs(part), _Entries.of(part)
    low, high = v_lower[there], v_upper[there].copy()
    for _ in range(MOST_PASSES):
        new = np.minimum(high, entries.tighter(_activity(*signs, low, high), reach, low, high))
        with np.errstate(invalid="ignore"):
            still = not (high - new > 1e-7 * np.maximum(1.0, np.abs(new))).any()
        high = new
        if still:
            break
    most[there] = high
    return most


def _signs(matrix: Any) -> tuple[csr_matrix, csr_matrix]:
    return matrix.maximum(0.0).tocsr(), (-matrix).maximum(0.0).tocsr()


def _activity(positive: csr_matrix, negative: csr_matrix, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Least and greatest value of each row between the bounds of its columns. [M2] each"""
    return (_times(positive, low) - _times(negative, high), _times(positive, high) - _times(negative, low))


def _times(matrix: csr_matrix, v: Floats) -> Floats:
    """matrix @ v where v may be infinite and the matrix has no negative entries."""
    value = np.asarray(matrix @ np.where(np.isinf(v), 0.0, v))
    for sign in (1.0, -1.0):
        endless = (v == sign * np.inf).astype(float)
        if endless.any():
            value = np.where(matrix @ endless > 0, sign * np.inf, value)
    return value


@dataclass(frozen=True, slots=True)
class _Entries:
    """The entries of a matrix, column by column. `first` is where each column that has entries begins."""

    row: Ints
    column: Ints
    value: Floats
    filled: Ints
    first: Ints

    @classmethod
    def of(cls, matrix: Any) -> _Entries:
        count = np.diff(matrix.indptr)
        filled = np.flatnonzero(count)
        return cls(matrix.indices, np.repeat(np.arange(len(count)), count), matrix.data, filled,
                   matrix.indptr[:-1][filled])

    def tighter(self, activity: tuple[Floats, Floats], reach: Range, low: Floats, high: Floats) -> Floats:
        """Upper bound of each column that one row alone gives. [Y]"""
        found = high.copy()
        if not len(self.row):
            return found
        row, value, lowest = self.row, self.value, low[self.column]
        least, greatest = activity
        with np.errstate(invalid="ignore"):
            # value > 0: value y <= high - rest of the least;  value < 0: |value| y <= rest of the greatest - low
            room = np.where(value > 0, reach.high[row] - (least[row] - value * lowest),
                            (greatest[row] - value * lowest) - reach.low[row]) / np.abs(value)
        room = np.maximum(np.where(np.isnan(room), np.inf, room), lowest)
        found[self.filled] = np.minimum.reduceat(room, self.first)
        return found
