"""What a scenario says of a number that is not one number: a value by month, and an uncertain duration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.terms.calendar import Month


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A monthly step function: each value holds from its month until the next one; `before` holds before the first."""

    months: tuple[Month, ...]
    values: tuple[float, ...]
    before: float = 0.0

    @classmethod
    def constant(cls, value: float) -> Steps:
        """The same value in every month."""
        return cls(months=(), values=(), before=value)

    def at(self, months: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Values in the given months. [T]"""
        index = np.searchsorted(np.asarray(self.months, dtype=np.int64), np.asarray(months), side="right")
        return np.concatenate([[self.before], np.asarray(self.values, dtype=np.float64)])[index]

    def scaled(self, factor: float) -> Steps:
        """Every value times `factor`."""
        return Steps(months=self.months, values=tuple(v * factor for v in self.values), before=self.before * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An uncertain duration as three quantiles (10 %, 50 %, 90 %). [s]  low == mid == high means certain."""

    low: float
    mid: float
    high: float
