"""How long prompts and answers are: a distribution as a handful of equally likely sample requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.trace import Trace

Floats = npt.NDArray[np.float64]
# Sample requests that stand for a distribution.
POINTS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """A distribution of lengths as equally likely sample requests. [N]  [token]

    fresh   prompt tokens to compute; `input` counts those found in the prefix cache too
    output  at least 1
    """

    input: Floats
    fresh: Floats
    output: Floats

    @property
    def context(self) -> float:
        """Cached tokens of a sequence while it decodes, mean over sequences and time. [token]"""
        after = np.maximum(self.output - 1.0, 1e-9)
        return float((after * (self.input + self.output / 2.0)).sum() / after.sum())

    @property
    def reserved(self) -> float:
        """Tokens a running sequence reserves, mean over time. [token]"""
        after = np.maximum(self.output - 1.0, 1e-9)
        return float((after * (self.input + self.output)).sum() / after.sum())


def lengths_of(trace: Trace, points: int = POINTS) -> Lengths:
    """Sample requests of a trace: evenly spaced among those sorted by answer, then by prompt."""
    order = np.lexsort((trace.fresh, trace.output))
    picked = order[np.unique(((np.arange(points) + 0.5) * len(order) / points).astype(np.int64))]
    return Lengths(input=trace.input[picked].astype(np.float64), fresh=trace.fresh[picked].astype(np.float64),
                   output=trace.output[picked].astype(np.float64))


def lengths(input_tokens: float, output_tokens: float, *, input_scv: float = 0.0, output_scv: float = 0.0,
            prefix_hit: float = 0.0, points: int = POINTS) -> Lengths:
    """Independent log-normal lengths of given means and squared coefficients of variation."""
    u = spread(2, points)
    given, answer = (_lognormal(mean, scv, at) for mean, scv, at in
                     ((input_tokens, input_scv, u[0]), (output_tokens, output_scv, u[1])))
    return Lengths(input=given, fresh=np.maximum(given * (1.0 - prefix_hit), 1.0), output=answer)


def _lognormal(mean: float, scv: float, u: Floats) -> Floats:
    from scipy.special import ndtri

    wide = np.log1p(scv)
    return np.asarray(np.maximum(mean * np.exp(np.sqrt(wide) * ndtri(u) - wide / 2.0), 1.0))


def spread(axes: int, points: int) -> Floats:
    """Points that fill a unit cube evenly (additive recurrence of the generalised golden ratio). [A, N]"""
    ratio = 2.0
    for _ in range(40):
        ratio = (1.0 + ratio) ** (1.0 / (axes + 1.0))
    steps = ratio ** -np.arange(1.0, axes + 1.0)
    return np.asarray((0.5 + steps[:, None] * np.arange(1.0, points + 1.0)) % 1.0)
