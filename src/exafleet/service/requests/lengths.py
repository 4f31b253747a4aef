"""How long prompts and answers are: a distribution as a handful of equally likely sample requests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.requests.trace import Trace

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
    """Sample requests of a trace: as many groups by answer as samples by prompt in each, scaled to the exact means."""
    side = max(int(np.sqrt(min(points, trace.count))), 1)
    order = np.argsort(trace.output, kind="stable")
    picked = np.concatenate([_evenly(group[np.argsort(trace.fresh[group], kind="stable")], side)
                             for group in np.array_split(order, side)])

    def exact(values: npt.NDArray[np.int64]) -> Floats:
        return np.asarray(values[picked] * (values.mean() / values[picked].mean()))

    fresh = np.maximum(exact(trace.fresh), 1.0)
    return Lengths(input=fresh + exact(trace.input - trace.fresh + 1) - 1.0, fresh=fresh,
                   output=np.maximum(exact(trace.output), 1.0))


def _evenly(values: npt.NDArray[np.intp], many: int) -> npt.NDArray[np.intp]:
    return values[((np.arange(many) + 0.5) * len(values) / many).astype(np.int64)]


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
