"""Rates: the one narrow table between physics and plans.

For each (job, system, size): useful work per second with failures taken off, the watts drawn, a band, or the reason
why it cannot run. Below it there is no dollar and no date; above it no FLOP.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

__all__ = ["Rates", "Why"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Useful work per second of each job on each system at each size.

    jobs        ids                                                        [J]
    systems     ids                                                        [K]
    units       what one unit of work is: "token" or "chip-s"              [J]
    sizes       chips in the gang or replica; 0 pads unused places         [J, K, Z]
    work_per_s  median useful work, goodput included; 0 where it cannot    [J, K, Z]
    low, high   80 % band of work_per_s                                    [J, K, Z]
    power       mean IT power of those chips' share of their units         [J, K, Z]  [W]
    goodput     share of time that is useful                               [J, K, Z]  [1]
    mfu         model FLOP utilisation of dense peak, 0 if not training    [J, K, Z]  [1]
    why         reason code, Why.OK where it runs                          [J, K, Z]
    layout      the layout in words ("TP8 PP4 DP72"), "" where it cannot   [J][K][Z]
    """

    jobs: tuple[str, ...]
    systems: tuple[str, ...]
    units: tuple[str, ...]
    sizes: Ints
    work_per_s: Floats
    low: Floats
    high: Floats
    power: Floats
    goodput: Floats
    mfu: Floats
    why: Ints
    layout: tuple[tuple[tuple[str, ...], ...], ...]
