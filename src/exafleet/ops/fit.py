"""Fits the curves of efficiency.py and collective.py to measured times, with the model's own formulas.

What is minimised is relative error: a kernel of 5 us counts as much as one of 50 ms. tools/fit_efficiency.py fits the
package's tables with these functions, apps/calibrate.py those of a user's own machine. SciPy is imported late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from exafleet.ops.collective import Channel, Fabric, all_gather, all_reduce, all_to_all, p2p, reduce_scatter
from exafleet.ops.efficiency import Attention, Moving, Product
from exafleet.ops.roofline import attention_time, grouped_time, memory_time, product_time
from exafleet.terms.errors import FactError, Problem

Floats = npt.NDArray[np.float64]
T = TypeVar("T")
# Points a curve needs for each number that is fitted to them.
POINTS_PER_NUMBER = 2
# Start, lowest and highest value of each number of a product; one that is not here keeps its default.
PRODUCT_RANGES: Mapping[str, tuple[float, float, float]] = {
    "launch": (5e-6, 1e-8, 1e-2), "compute": (0.7, 0.01, 1.5), "memory": (0.8, 0.01, 1.5), "corner": (4.0, 1.0, 20.0),
    "m0": (30.0, 0.0, 4096.0), "n0": (30.0, 0.0, 4096.0), "k0": (30.0, 0.0, 4096.0),
}
GROUPED_RANGE = (0.02, 1.5)
# Widths of attention's heads that are tried.
WIDTHS = (0.0, *(float(w) for w in np.geomspace(1.0, 512.0, 28)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(Generic[T]):
    """A curve, the points it was fitted to, and their rms log error about it."""

    curve: T
    points: int
    sigma: float


def enough(points: int, numbers: int, what: str) -> None:
    """Raise FactError when `points` are too few to fit `numbers` of a curve."""
    needed = POINTS_PER_NUMBER * numbers
    if points < needed:
        raise FactError(Problem(what=f"too few points for the curve of {what}", got=str(points),
                                allowed=f"{needed} or more",
                                remedy="Give the measurement more time, or leave out --quick."))


def log_error(fitted: npt.ArrayLike, measured: npt.ArrayLike) -> float:
    """Root mean square of the log error.

    >>> round(log_error([1.1, 1.1], [1.0, 1.0]), 3)
    0.095
    """
    return float(np.sqrt(np.mean(np.log(np.asarray(fitted) / np.asarray(measured)) ** 2)))


def relative(columns: list[Floats], values: Floats) -> list[float]:
    """Coefficients, none below zero, of the sum of columns that lies nearest to `values` in log; outliers count less.

    columns  one for each coefficient    [N]
    values   what the sum should give    [N]

    Least squares of the ratio give a start and which coefficients are zero; left at that, a sum too low by any factor
    would count for less than one twice too high.
    """
    from scipy.optimize import least_squares, nnls

    table = np.stack(np.broadcast_arrays(*columns, values), axis=-1)[:, :-1]
    share = table / values[:, None]
    scale = np.maximum(np.abs(share).max(axis=0), 1e-300)
    start, _ = nnls(share / scale, np.ones(len(values)))
    free = start > 0.0
    found = least_squares(lambda x: np.log((share[:, free] / scale[free]) @ np.exp(x)), np.log(start[free]),
                          loss="soft_l1", f_scale=0.1)
    start[free] = np.exp(found.x)
    return [float(v) for v in start / scale]


def saturating(seq: Floats, share: Floats) -> tuple[float, float]:
    """top and half of share = top * s / (s + half): a straight line in 1/s, weighted by the share itself."""
    slope, cut = np.polyfit(1.0 / seq, 1.0 / share, 1, w=share)
    return 1.0 / float(cut), float(slope / cut)


# ------------------------------------------------------------------------------------------------------- operators
def product(m: Floats, n: Floats, k: Floats, nbytes: Floats, time: Floats, *, peak: float,
            hbm_bw: float) -> Fitted[Product]:
    """The curve of matrix products; `grouped` stays 1.

    m, n, k, nbytes  sizes, and traffic of the kernel       [N]
    time             measured                               [N]  [s]
    peak, hbm_bw     dense peak of the dtype, and memory    [FLOP/s]
    """
    enough(len(time), len(PRODUCT_RANGES), "matrix products")

    def predict(curve: Product) -> Floats:
        return product_time(m, n, k, nbytes, peak=peak, hbm_bw=hbm_bw, curve=curve)

    curve = _least(_first_guess(float(time.min())), PRODUCT_RANGES, predict, time)
    return Fitted(curve=curve, points=len(time), sigma=log_error(predict(curve), time))


def _first_guess(shortest: float) -> Product:
    """Starting values; a number that is neither fitted nor has a default is a mistake of this module."""
    start = {name: value for name, (value, _, _) in PRODUCT_RANGES.items()} | {"grouped": 1.0}
    start["launch"] = min(max(shortest / 2, 1e-7), 5e-3)
    loose = [f.name for f in fields(Product) if f.name not in start and f.default is MISSING]
    if loose:
        raise TypeError(f"ops/fit.py does not know how to fit {', '.join(loose)} of Product")
    return Product(**start)


def _least(start: Product, ranges: Mapping[str, tuple[float, float, float]], predict: Callable[[Product], Floats],
           time: Floats) -> Product:
    """The product curve with the least log error, large ones counting less; the best of three starts."""
    from scipy.optimize import least_squares

    names = list(ranges)
    low, high = (np.array([_inner(n, ranges[n][i]) for n in names]) for i in (1, 2))

    def curve(x: Floats) -> Product:
        return replace(start, **{n: _outer(n, float(v)) for n, v in zip(names, x, strict=True)})

    best: tuple[float, Product] | None = None
    for lost in (0.0, 30.0, 300.0):
        first = replace(start, m0=lost, n0=lost, k0=lost)
        x0 = np.clip([_inner(n, getattr(first, n)) for n in names], low + 1e-9, high - 1e-9)
        found = least_squares(lambda x: np.log(predict(curve(x)) / time), x0, bounds=(low, high), loss="soft_l1",
                              f_scale=0.1, max_nfev=400)
        if best is None or found.cost < best[0]:
            best = (float(found.cost), curve(found.x))
    assert best is not None
    return best[1]


def _inner(name: str, value: float) -> float:
    """Offsets by their root, everything else by its logarithm: steps of like worth all over the range."""
    return math.sqrt(value) if name in ("m0", "n0", "k0") else math.log(value)


def _outer(name: str, value: float) -> float:
    return value * value if name in ("m0", "n0", "k0") else math.exp(value)


def grouped(m: Floats, n: Floats, k: Floats, nbytes: Floats, groups: Floats, time: Floats, *, peak: float,
            hbm_bw: float, curve: Product) -> Fitted[Product]:
    """The product curve with `grouped` fitted to products of several groups in one kernel.

    m, n, k, groups  sizes of one product, and how many there are    [N]
    nbytes, time     of the kernel                                   [N]
    """
    from scipy.optimize import minimize_scalar

    enough(len(time), 1, "grouped products")

    def predict(share: float) -> Floats:
        return grouped_time(m, n, k, nbytes, peak=peak, hbm_bw=hbm_bw, curve=replace(curve, grouped=share),
                            groups=groups)

    found = minimize_scalar(lambda x: log_error(predict(math.exp(x)), time), method="bounded",
                            bounds=tuple(math.log(v) for v in GROUPED_RANGE))
    share = math.exp(float(found.x))
    return Fitted(curve=replace(curve, grouped=share), points=len(time), sigma=log_error(predict(share), time))


def attention(flops: Floats, seq: Floats, backward: npt.NDArray[np.bool_], time: Floats, head: Floats, *,
              peak: float) -> Fitted[Attention]:
    """The curve of flash attention, with the width of head that fits best; one width alone tells nothing of it (0).

    flops, seq, backward  work, sequence length, and whether it is the backward pass    [N]
    time                  measured                                                      [N]  [s]
    head                  width of the heads as the model counts it                     [N]
    """
    enough(int((~backward).sum()), 3, "forward attention")
    enough(int(backward.sum()), 1, "backward attention")
    found: list[tuple[float, Attention]] = []
    for width in WIDTHS if np.ptp(head) > 0 else WIDTHS[:1]:
        curve = _attention(flops, seq, backward, time, head, peak, width)
        if curve is not None:
            found.append((log_error(_flash(flops, seq, backward, head, peak, curve), time), curve))
    if not found:
        raise FactError(Problem(what="attention does not level off at the lengths that were measured",
                                remedy="Give the measurement more time: longer sequences are needed."))
    sigma, curve = min(found, key=lambda one: one[0])
    return Fitted(curve=curve, points=len(time), sigma=sigma)


def _attention(flops: Floats, seq: Floats, backward: npt.NDArray[np.bool_], time: Floats, head: Floats, peak: float,
               width: float) -> Attention | None:
    """The curve of one width: t = launch + flops / (peak top) (1 + half / s) is a sum of three columns."""
    # The model's own time of a curve with top 1 and nothing else says how much longer narrow heads take.
    plain = Attention(launch=0.0, top=1.0, half=0.0, backward=1.0, width=width)
    ideal, ahead = _flash(flops, seq, np.zeros_like(backward), head, peak, plain), ~backward
    launch, slope, bend = relative([np.ones(1), ideal[ahead], ideal[ahead] / seq[ahead]], time[ahead])
    if slope <= 0.0:
        return None
    # The backward pass has the same launch in the model; what is left of its time gives its speed.
    left = np.maximum(time[backward] - launch, 0.2 * time[backward])
    slower = float(np.median(ideal[backward] * slope * (1.0 + bend / slope / seq[backward]) / left))
    return replace(plain, launch=launch, top=1.0 / slope, half=bend / slope, backward=slower)


def _flash(flops: Floats, seq: Floats, backward: npt.NDArray[np.bool_], head: Floats, peak: float,
           curve: Attention) -> Floats:
    return attention_time(flops, 0.0, seq, peak=peak, hbm_bw=1.0, curve=curve, moving=Moving(launch=0.0, share=1.0),
                          backward=backward, head=head)


def moving(nbytes: Floats, time: Floats, *, hbm_bw: float, what: str = "memory-bound kernels") -> Fitted[Moving]:
    """The curve of memory-bound kernels, a straight line in bytes.

    nbytes, time  of each kernel                    [N]
    hbm_bw        memory bandwidth of the chip      [B/s]
    """
    enough(len(time), 2, what)
    launch, slope = relative([np.ones(1), nbytes / hbm_bw], time)
    if slope <= 0.0:
        raise FactError(Problem(what=f"the time of {what} does not grow with their bytes at the sizes measured",
                                remedy="Give the measurement more time: larger sizes are needed."))
    curve = Moving(launch=launch, share=1.0 / slope)
    return Fitted(curve=curve, points=len(time), sigma=log_error(memory_time(nbytes, hbm_bw=hbm_bw, curve=curve), time))


# ----------------------------------------------------------------------------------------------------- collectives
_TIMES = {"all_gather": all_gather, "reduce_scatter": reduce_scatter, "all_reduce": all_reduce,
          "all_to_all": all_to_all}


def passes(kind: str, ranks: int) -> float:
    """Times each byte of the message crosses one chip's link.

    >>> passes("all_reduce", 8), passes("p2p", 2)
    (1.75, 1.0)
    """
    return 1.0 if kind == "p2p" else (2.0 if kind == "all_reduce" else 1.0) * (ranks - 1) / ranks


def channel(nbytes: Floats, time: Floats, kind: str, ranks: int, bandwidths: Floats, halves: Floats) -> Channel:
    """Latency, bandwidth and half message with the least error in log time, on a grid that holds no outlier dear.

    nbytes, time   whole message of a collective of `ranks` chips in one domain, and its time    [N]
    bandwidths     tried                                                                         [A]  [B/s]
    halves         tried                                                                         [B]
    """
    start = float(np.median(np.sort(time)[:4]))
    best, found = math.inf, (0.0, 0.0)
    for half in halves:
        moved = passes(kind, ranks) * nbytes * (1.0 + np.sqrt(half / nbytes))
        error = np.mean(np.abs(np.log((start + moved / bandwidths[:, None]) / time)), axis=-1)
        if error.min() < best:
            best, found = float(error.min()), (float(bandwidths[error.argmin()]), float(half))
    return Channel(latency=start / max(math.log2(ranks), 1.0), bandwidth=found[0], half=found[1])


def collective(nbytes: Floats, time: Floats, kind: str, ranks: int) -> Fitted[Channel]:
    """The channel of one collective inside a scale-up domain, looked for around what was measured.

    nbytes, time  whole message, and its time    [N]
    """
    enough(len(time), 3, kind)
    fastest = passes(kind, ranks) * float(np.max(nbytes / time))
    found = channel(nbytes, time, kind, ranks, np.geomspace(0.7 * fastest, 2.5 * fastest, 160),
                    np.geomspace(max(float(nbytes.min()) / 10, 1.0), float(nbytes.max()), 60))
    return Fitted(curve=found, points=len(time), sigma=log_error(collective_time(nbytes, kind, ranks, found), time))


def collective_time(nbytes: Floats, kind: str, ranks: int, channel: Channel) -> Floats:
    """Time of a collective inside one domain, as the model has it. [N]  [s]"""
    net = Fabric(system="", domain=ranks, link={kind: channel}, nic={})
    return p2p(nbytes, 1, net) if kind == "p2p" else _TIMES[kind](nbytes, ranks, 1, net)
