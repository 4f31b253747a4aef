"""Columns and rows of a linear programme, collected as NumPy blocks and put together once.

A block is an array of indices of any shape; -1 marks a member that does not exist. Entries that touch a missing row
or column are dropped, so a rule can be written over the full shape without asking what was pruned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exafleet.market.market import Bools, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Number = npt.ArrayLike


def earlier(block: Ints, months: int | Ints = 1) -> Ints:
    """The same block `months` ago along its last axis; -1 before the beginning."""
    when = np.arange(block.shape[-1]) - np.broadcast_to(np.asarray(months)[..., None], block.shape)
    return np.where(when >= 0, np.take_along_axis(block, np.maximum(when, 0), axis=-1), -1)


class Members:
    """Named blocks of columns, or of rows, with their bounds."""

    def __init__(self) -> None:
        self.count = 0
        self._blocks: dict[str, Ints] = {}
        self._lower: list[Floats] = []
        self._upper: list[Floats] = []
        self._integer: list[Bools] = []

    def add(self, name: str, exists: Bools, lower: Number = 0.0, upper: Number = np.inf,
            integer: npt.ArrayLike = False) -> Ints:
        """A block with a member wherever `exists`; bounds broadcast over its shape. Returns its indices."""
        block = np.full(exists.shape, -1, dtype=np.int64)
        block[exists] = np.arange(self.count, self.count + int(exists.sum()))
        self.count += int(exists.sum())
        for kept, value in ((self._lower, lower), (self._upper, upper)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), exists.shape)[exists])
        self._integer.append(np.broadcast_to(np.asarray(integer, dtype=bool), exists.shape)[exists])
        self._blocks[name] = block
        return block

    def __getitem__(self, name: str) -> Ints:
        return self._blocks[name]

    def blocks(self) -> dict[str, Ints]:
        """Every block by name, in the order added."""
        return dict(self._blocks)

    @property
    def lower(self) -> Floats:
        """Lower bounds. [count]"""
        return np.concatenate([np.zeros(0), *self._lower])

    @property
    def upper(self) -> Floats:
        """Upper bounds. [count]"""
        return np.concatenate([np.zeros(0), *self._upper])

    @property
    def integer(self) -> Bools:
        """Which must be whole. [count]"""
        return np.concatenate([np.zeros(0, dtype=bool), *self._integer])


class Entries:
    """Coefficients of a sparse matrix, collected as blocks; coefficients that meet add up."""

    def __init__(self) -> None:
        self._row: list[Ints] = []
        self._column: list[Ints] = []
        self._value: list[Floats] = []

    def put(self, row: npt.ArrayLike, column: npt.ArrayLike, value: npt.ArrayLike) -> None:
        """Coefficients where both row and column exist; the three broadcast against each other."""
        rows, columns, values = np.broadcast_arrays(np.asarray(row), np.asarray(column), np.asarray(value, dtype=float))
        there = (rows >= 0) & (columns >= 0) & (values != 0)
        self._row.append(rows[there].astype(np.int64))
        self._column.append(columns[there].astype(np.int64))
        self._value.append(values[there])

    def matrix(self, rows: int, columns: int) -> csr_matrix:
        """The matrix, rows first. [rows, columns]"""
        from scipy.sparse import csr_matrix

        row, column, value = self.arrays()
        return csr_matrix((value, (row, column)), shape=(rows, columns))

    def arrays(self) -> tuple[Ints, Ints, Floats]:
        """Rows, columns and values of every coefficient."""
        none: Any = np.zeros(0, dtype=np.int64)
        return (np.concatenate([none, *self._row]), np.concatenate([none, *self._column]),
                np.concatenate([np.zeros(0), *self._value]))
