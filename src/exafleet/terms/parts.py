"""Parts: named pieces of one quantity that add up to its total.

Step time, memory, energy, money and the plan's objective are all Parts, so "the printed parts sum to the total" is
one concept with one home. Time parts are *exposed* time (what the step waits for); overlapped time is a second,
non-adding Parts called a shadow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Named pieces along the last axis of `values`, all in `unit`.

    names   one per piece                      [P]
    values  read-only floats                   [..., P]
    unit    a base unit of the closed list
    """

    names: tuple[str, ...]
    values: Array
    unit: str

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.shape[-1:] != (len(self.names),):
            raise ValueError(f"{len(self.names)} names {self.names} for values of shape {values.shape}")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"a part is named twice: {self.names}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, unit: str, pieces: Mapping[str, npt.ArrayLike]) -> Parts:
        """Parts from name -> array; the arrays broadcast against each other."""
        columns = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in pieces.values()))
        return cls(names=tuple(pieces), values=np.moveaxis(np.stack(columns), 0, -1), unit=unit)

    @property
    def total(self) -> Array:
        """Sum of the pieces. [...]"""
        return np.asarray(self.values.sum(axis=-1))

    def __getitem__(self, name: str) -> Array:
        """One piece by name. [...]"""
        return self.values[..., self.names.index(name)]

    def at(self, index: int | tuple[int, ...]) -> Parts:
        """The Parts of one candidate."""
        return Parts(names=self.names, values=self.values[index], unit=self.unit)

    def share(self) -> Array:
        """Each piece over the total; 0 where the total is 0. [..., P]"""
        total = self.total[..., None]
        return np.divide(self.values, total, out=np.zeros_like(self.values), where=total != 0)

    def scaled(self, factor: npt.ArrayLike) -> Parts:
        """Every piece times a factor that broadcasts over the leading axes."""
        return Parts(names=self.names, values=self.values * np.asarray(factor, dtype=np.float64)[..., None],
                     unit=self.unit)

    def __add__(self, other: Parts) -> Parts:
        """Piecewise sum; names missing on one side count as zero there."""
        if other.unit != self.unit:
            raise ValueError(f"cannot add {other.unit} to {self.unit}")
        names = self.names + tuple(n for n in other.names if n not in self.names)
        pieces = {n: (self[n] if n in self.names else 0.0) + (other[n] if n in other.names else 0.0) for n in names}
        return Parts.of(self.unit, pieces)

    def as_dict(self) -> dict[str, float]:
        """name -> value of a single candidate (values of shape [P])."""
        return {n: float(v) for n, v in zip(self.names, self.values, strict=True)}
