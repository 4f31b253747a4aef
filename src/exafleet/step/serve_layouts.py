"""Layouts of a served model: tensor, pipeline and attention-data parallelism and experts, as a struct of arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch

Floats = npt.NDArray[np.float64]
Range = tuple[int, int]
ANY: Range = (1, 1 << 30)
PIPELINES = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeLimits:
    """Inclusive range of each axis a search may use; `replica` bounds tp * dp * pp. `ep` 1 means experts are sliced."""

    tp: Range = ANY
    pp: Range = ANY
    dp: Range = ANY
    ep: Range = ANY
    replica: Range = (1, 1024)
    concurrency: Range = ANY


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeLayouts:
    """tp: tensor ways; pp: stages; dp: attention groups that share experts; ep: ways experts are spread. [C]"""

    tp: Floats
    pp: Floats
    dp: Floats
    ep: Floats
    etp: Floats = field(init=False)

    def __post_init__(self) -> None:
        # Experts lie on every chip of a stage: what `ep` does not spread is sliced.
        object.__setattr__(self, "etp", np.maximum(self.tp * self.dp / self.ep, 1.0))

    @property
    def replica(self) -> Floats:
        """Chips of one replica. [C]"""
        return self.tp * self.pp * self.dp

    def take(self, index: npt.ArrayLike) -> ServeLayouts:
        """The candidates at `index`."""
        at = np.asarray(index)
        return ServeLayouts(tp=self.tp[at], pp=self.pp[at], dp=self.dp[at], ep=self.ep[at])

    def words(self, index: int) -> str:
        """"TP8 PP2", "TP1 DP32 EP32"."""
        pairs = (("TP", self.tp), ("PP", self.pp), ("DP", self.dp), ("EP", self.ep))
        return " ".join(f"{n}{int(v[index])}" for n, v in pairs if n == "TP" or v[index] > 1)


def fixed(tp: npt.ArrayLike, pp: npt.ArrayLike = 1, dp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1) -> ServeLayouts:
    """Layouts from given numbers, broadcast against each other."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (tp, pp, dp, ep)))
    return ServeLayouts(tp=arrays[0], pp=arrays[1], dp=arrays[2], ep=arrays[3])


def from_words(text: str) -> ServeLayouts:
    """The layout that `ServeLayouts.words` wrote. [1]

    >>> from_words("TP2 PP2 DP4 EP8").words(0)
    'TP2 PP2 DP4 EP8'
    """
    told = {word.rstrip("0123456789"): float(word.lstrip("TPDE")) for word in text.split()}
    return fixed(*(told.get(axis, 1.0) for axis in ("TP", "PP", "DP", "EP")))


def layouts(arch: Arch, domain: int, chips: int, limits: ServeLimits) -> ServeLayouts:
    """Every layout that divides the model and fits `chips`; may be empty. [C]

    Tensor parallelism stays inside a scale-up domain (or 8 neighbours where there is none); groups are powers of two
    or even parts of the domain, so a 72-chip domain also sees 9, 18, 36 and 72.
    """
    rows = [row for row in _rows(arch, domain, chips) if _within(row, limits)]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return ServeLayouts(tp=table[:, 0], pp=table[:, 1], dp=table[:, 2], ep=table[:, 3])


def _within(row: tuple[int, int, int, int], limits: ServeLimits) -> bool:
    tp, pp, dp, ep = row
    axes = ((tp, limits.tp), (pp, limits.pp), (dp, limits.dp), (ep, limits.ep), (tp * pp * dp, limits.replica))
    return all(low <= value <= high for value, (low, high) in axes)


def _rows(arch: Arch, domain: int, chips: int) -> Iterator[tuple[int, int, int, int]]:
    for tp in _tensor(arch, domain, chips):
        for dp in _groups(arch, domain, chips // tp, tp):
            for pp in (p for p in PIPELINES if p <= arch.layers and tp * dp * p <= chips):
                if dp == 1:
                    yield tp, pp, dp, 1
                if arch.experts and tp * dp > 1 and tp * dp <= arch.experts:
                    yield tp, pp, dp, tp * dp


def _tensor(arch: Arch, domain: int, chips: int) -> Iterator[int]:
    """Powers of two that divide the heads and stay inside a domain."""
    heads = arch.heads or arch.ssm_heads
    ways = 1
    while ways <= min(max(domain, 8), chips) and heads % ways == 0:
        yield ways
        ways *= 2


def _groups(arch: Arch, domain: int, most: int, tp: int) -> list[int]:
    """Attention groups of a replica: 1, or for experts also powers of two and even parts of the domain."""
    if not arch.experts:
        return [1] if most >= 1 else []
    powers = {1 << e for e in range(11)}
    parts = {domain // tp // d for d in (1, 2, 3, 4, 6, 8) if domain % (tp * d) == 0}
    return sorted(g for g in powers | parts if 1 <= g <= most)
