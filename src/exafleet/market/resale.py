"""What a used unit is worth. One price per system and month: a used market does not ask what its seller once paid."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def resale_values(references: Iterable[tuple[int, float]], keeps: float, months: int) -> npt.NDArray[np.float64]:
    """Price of one used unit in each month, and at the end of the horizon. [months + 1] [USD]

    references  (month index, price) at which units of this system are, or were, first had for that price
    keeps       share of its value a unit keeps from one year to the next                    [1]

    The curve starts at the earliest reference and keeps `keeps` a year. It never exceeds what a new unit costs at the
    time, and never rises, so that nobody can live on buying and selling.
    """
    known = sorted(references)
    month = np.arange(months + 1)
    if not known:
        return np.zeros(months + 1)
    first, price = known[0]
    value = price * keeps ** (np.maximum(month - first, 0) / 12.0)
    for when, new in known:
        value = np.where(month >= when, np.minimum(value, new), value)
    return np.asarray(np.minimum.accumulate(value))
