"""Seconds of an operator on a chip: roofline times measured efficiency at this size. Everything broadcasts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.hardware import Chip
from exafleet.ops.efficiency import Attention, Efficiency, Moving, Product
from exafleet.work.operator import Work

Floats = npt.NDArray[np.float64]
# Head width that attention was measured at, and the widest that still gains: wider ones are cut in two by kernels.
MEASURED_HEAD, WIDEST_HEAD = 128.0, 256.0


def product_time(m: npt.ArrayLike, n: npt.ArrayLike, k: npt.ArrayLike, nbytes: npt.ArrayLike, *, peak: float,
                 hbm_bw: float, curve: Product, groups: npt.ArrayLike = 1.0) -> Floats:
    """Time of a matrix product, or of `groups` equal ones in one kernel. [s]

    m, n, k  sizes of one product                       [1]
    nbytes   traffic of the kernel                      [B]
    peak     dense peak of the dtype                    [FLOP/s]
    hbm_bw   memory bandwidth of the chip               [B/s]

    The offsets m0, n0, k0 are what tiles and pipeline ramps waste; the launch time is paid once per kernel.
    """
    m, n, k = (np.asarray(v, dtype=np.float64) for v in (m, n, k))
    work = 2.0 * np.asarray(groups) * (m + curve.m0) * (n + curve.n0) * (k + curve.k0)
    return curve.launch + rounded_max(work / (curve.compute * peak), np.asarray(nbytes) / (curve.memory * hbm_bw),
                                      curve.corner)


def grouped_time(m: npt.ArrayLike, n: npt.ArrayLike, k: npt.ArrayLike, nbytes: npt.ArrayLike, *, peak: float,
                 hbm_bw: float, curve: Product, groups: npt.ArrayLike) -> Floats:
    """Time of a grouped product: experts side by side in one kernel. [s]

    One group is a plain product. Many share the chip: `grouped` is the measured speed of many over one at the same
    total, reached as the groups grow (exponent 1 - 1 / groups).
    """
    groups = np.maximum(np.asarray(groups, dtype=np.float64), 1.0)
    m, n, k = (np.asarray(v, dtype=np.float64) for v in (m, n, k))
    work = 2.0 * groups * (m + curve.m0 / groups) * (n + curve.n0) * (k + curve.k0)
    slower = curve.grouped ** (1.0 - 1.0 / groups)
    moved = np.asarray(nbytes) / (curve.memory * hbm_bw)
    return curve.launch + rounded_max(work / (curve.compute * slower * peak), moved, curve.corner)


def rounded_max(a: npt.ArrayLike, b: npt.ArrayLike, q: float) -> Floats:
    """(a^q + b^q)^(1/q): the larger of two times, rounded where they meet.

    >>> float(rounded_max(3.0, 4.0, 2.0))
    5.0
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    big, small = np.maximum(a, b), np.minimum(a, b)
    ratio = np.divide(small, big, out=np.zeros(np.broadcast(a, b).shape), where=big > 0)
    return np.asarray(big * (1.0 + ratio**q) ** (1.0 / q))


def attention_time(flops: npt.ArrayLike, nbytes: npt.ArrayLike, seq: npt.ArrayLike, *, peak: float, hbm_bw: float,
                   curve: Attention, moving: Moving, backward: npt.ArrayLike = False,
                   head: npt.ArrayLike = MEASURED_HEAD) -> Floats:
    """Time of flash attention over sequences of `seq` tokens. [s]   peak: of bf16, which attention runs in.

    A score costs a softmax whatever the width of its head, so narrow heads do fewer FLOPs in the same time.
    """
    s = np.asarray(seq, dtype=np.float64)
    d = np.minimum(np.asarray(head, dtype=np.float64), WIDEST_HEAD)
    narrow = d / (d + curve.width) * (MEASURED_HEAD + curve.width) / MEASURED_HEAD
    share = curve.top * s / (s + curve.half) * np.where(backward, curve.backward, 1.0) * narrow
    return curve.launch + np.maximum(np.asarray(flops) / (peak * np.maximum(share, 1e-9)),
                                     np.asarray(nbytes) / (moving.share * hbm_bw))


def memory_time(nbytes: npt.ArrayLike, *, hbm_bw: float, curve: Moving) -> Floats:
    """Time of a kernel that only moves bytes. [s]"""
    return np.asarray(curve.launch + np.asarray(nbytes, dtype=np.float64) / (curve.share * hbm_bw))


def decode_time(nbytes: npt.ArrayLike, flops: npt.ArrayLike, *, peak: float, hbm_bw: float, curve: Moving,
                compute: float) -> Floats:
    """Time of decode attention: reading the cache, or multiplying with it where many heads share it (MLA). [s]"""
    return np.asarray(curve.launch + np.maximum(np.asarray(nbytes) / (curve.share * hbm_bw),
                                                np.asarray(flops) / (compute * peak)))


def operator_time(work: Work, chip: Chip, eff: Efficiency) -> Floats:
    """Time of one run of every operator on one chip. [..., O]  [s]

    A dtype the chip has no peak or no curve for gives inf: the caller turns it into Why.NO_DTYPE.
    """
    columns = [_one(work, o, chip, eff) for o in range(len(work.names))]
    return np.moveaxis(np.stack(columns), 0, -1)


def _one(work: Work, o: int, chip: Chip, eff: Efficiency) -> Floats:
    kind, dtype = work.kinds[o], work.dtypes[o]
    m, n, k, groups = work.m[..., o], work.n[..., o], work.k[..., o], work.groups[..., o]
    flops, nbytes = work.flops[..., o], work.nbytes[..., o]
    if kind in ("gemm", "grouped"):
        if dtype not in chip.peak_flops or dtype not in eff.product:
            return np.full(np.shape(m), np.inf)
        # Training has curves of its own where they differ; a chip without takes those of the dtype.
        peak, curve = chip.peak_flops[dtype], eff.product.get(work.curves[o], eff.product[dtype])
        time = grouped_time if kind == "grouped" else product_time
        return time(m, n, k, nbytes, peak=peak, hbm_bw=chip.hbm_bw, curve=curve, groups=groups)
    peak = chip.peak_flops["bf16"]
    if kind in ("attention", "mla"):
        curve_ = eff.mla if kind == "mla" else eff.attention
        return attention_time(flops, nbytes, m, peak=peak, hbm_bw=chip.hbm_bw, curve=curve_, moving=eff.moving,
                              backward=work.steps[o] == "dgrad", head=MEASURED_HEAD if kind == "mla" else k)
    if kind == "index":
        return decode_time(nbytes, flops, peak=chip.peak_flops.get(dtype, peak), hbm_bw=chip.hbm_bw, curve=eff.decode,
                           compute=eff.mla.top)
    if kind == "decode":
        return decode_time(nbytes, flops, peak=peak, hbm_bw=chip.hbm_bw, curve=eff.decode, compute=eff.mla.top)
    moved = memory_time(nbytes, hbm_bw=chip.hbm_bw, curve=eff.moving)
    return np.maximum(moved, flops / (eff.scan * peak)) if kind == "scan" else moved
