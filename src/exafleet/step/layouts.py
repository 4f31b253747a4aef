"""Layouts of a training job over chips: every legal one, in chunks of arrays; and the rules that make one legal.

A chunk is a struct of integer arrays of shape [R, I] after broadcasting: rows R are (tp, cp, ep, etp, pp, mbs), and the
inner axis I is (vpp, zero, recompute), which touch only cheap terms. What depends on rows alone is computed once per
row, and what depends on (tp, cp, ep, etp, mbs) alone once per distinct shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.hardware import System
from exafleet.ops.collective import reach
from exafleet.step.limits import RECOMPUTE, Limits
from exafleet.terms.why import Why

Ints = npt.NDArray[np.int64]
# Candidates in a chunk: arrays of this size stay in the processor's cache (measured in design/house.md's terms).
CHUNK = 8192
SHARD = ("tp", "cp", "ep", "etp", "mbs")
MOST_STAGES = 256
MOST_CHUNKS = 16
MOST_MICRO_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Layouts:
    """Candidates as integer arrays that broadcast against each other; see Limits for the axes."""

    tp: Ints
    cp: Ints
    ep: Ints
    etp: Ints
    pp: Ints
    vpp: Ints
    dp: Ints
    mbs: Ints
    zero: Ints
    recompute: Ints

    @classmethod
    def of(cls, **axes: npt.ArrayLike) -> Layouts:
        """Layouts from some axes; the others are 1 (zero: 1, recompute: 0)."""
        default = {f.name: 1 for f in fields(cls)} | {"recompute": 0}
        given = {**default, **axes}
        return cls(**{name: np.asarray(value, dtype=np.int64) for name, value in given.items()})

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape after broadcasting."""
        return np.broadcast_shapes(*(getattr(self, f.name).shape for f in fields(self)))

    @property
    def chips(self) -> Ints:
        """Chips each candidate takes. [...]"""
        return self.tp * self.cp * self.pp * self.dp

    def at(self, flat: npt.ArrayLike) -> Layouts:
        """The candidates at flat positions of the broadcast shape, as one-dimensional arrays."""
        shape, index = self.shape, np.asarray(flat)
        picked = {f.name: np.broadcast_to(getattr(self, f.name), shape).reshape(-1)[index] for f in fields(self)}
        return Layouts(**picked)

    def words(self) -> list[str]:
        """Each candidate in words, e.g. "TP8 PP4 DP72 MBS1 ZeRO-1"; axes of 1 are left out."""
        flat = self.at(np.arange(int(np.prod(self.shape, dtype=np.int64))))
        return [_words(flat, i) for i in range(flat.tp.size)]


def _words(flat: Layouts, i: int) -> str:
    named = (("TP", flat.tp), ("CP", flat.cp), ("EP", flat.ep), ("ETP", flat.etp), ("PP", flat.pp), ("VPP", flat.vpp),
             ("DP", flat.dp))
    etp_shown = flat.ep[i] > 1 or flat.etp[i] > 1
    shown = [f"{n}{v[i]}" for n, v in named if v[i] > 1 and (n != "ETP" or etp_shown)]
    tail = [f"MBS{flat.mbs[i]}", f"ZeRO-{flat.zero[i]}"]
    mode = RECOMPUTE[int(flat.recompute[i])]
    return " ".join([*shown, *tail] + ([] if mode == "none" else [f"recompute {mode}"]))


def join(first: Layouts, second: Layouts) -> Layouts:
    """Two lists of candidates one after the other (one-dimensional both)."""
    return Layouts(**{f.name: np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(first)})


def illegal(arch: Arch, system: System, seq: int, batch: int, chips: int | Ints, lay: Layouts) -> Ints:
    """Reason code of each candidate by its integers alone: Why.OK, NOT_DIVISIBLE, TOO_FEW or TOO_MANY. [...]"""
    micro = lay.dp * lay.mbs
    cut = (seq % (2 * lay.cp) == 0) | (lay.cp == 1)
    even = (
        (batch % micro == 0) & cut & _tensor_ok(arch, lay.tp) & _experts_ok(arch, lay) & interleaves(arch, batch, lay)
    )
    code = np.where(even, Why.OK, Why.NOT_DIVISIBLE)
    code = np.where(lay.tp > reach(system), Why.TOO_MANY, code)
    code = np.where(lay.chips > chips, Why.TOO_MANY, code)
    return np.asarray(np.where(lay.chips < chips, Why.TOO_FEW, code), dtype=np.int64)


def interleaves(arch: Arch, batch: int, lay: Layouts) -> npt.NDArray[np.bool_]:
    """Whether stages and their chunks suit the blocks and the micro-batches. [...]

    The embedding and the head may fill two block places; interleaving needs as many micro-batches as stages.
    """
    enough = (lay.vpp == 1) | (lay.pp > 1) & (batch >= lay.pp * lay.dp * lay.mbs)
    return np.asarray((lay.pp * lay.vpp <= arch.layers + 2) & enough)


def _tensor_ok(arch: Arch, tp: Ints) -> npt.NDArray[np.bool_]:
    heads = arch.heads or arch.ssm_heads
    shared = (arch.kv_heads % tp == 0) | (tp % max(arch.kv_heads, 1) == 0) | (arch.kv_lora > 0)
    return np.asarray((heads % tp == 0) & shared & (arch.hidden % tp == 0))


def _experts_ok(arch: Arch, lay: Layouts) -> npt.NDArray[np.bool_]:
    if not arch.moe_layers:
        return np.asarray((lay.ep == 1) & (lay.etp == 1))
    ranks = lay.dp * lay.cp * lay.tp
    return np.asarray((arch.experts % lay.ep == 0) & (ranks % (lay.ep * lay.etp) == 0)
                      & ((lay.etp == 1) | (lay.etp == lay.tp)))


def divisors(number: int, most: int) -> Ints:
    """Divisors of a number up to `most`, in order."""
    tried = np.arange(1, min(number, most) + 1, dtype=np.int64)
    return np.asarray(tried[number % tried == 0])


def powers(most: int) -> Ints:
    """1, 2, 4, ... up to `most`."""
    return 2 ** np.arange(int(np.log2(max(most, 1))) + 1, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Legal (tp, cp, ep, etp, pp, dp, mbs) as columns [R], and the inner axis (vpp, zero, recompute) as rows [I]."""

    outer: Layouts
    inner: Layouts

    @property
    def count(self) -> int:
        """Candidates in all, before the rules of interleaving."""
        return int(self.outer.tp.size * self.inner.vpp.size)

    def chunks(self) -> Iterator[Layouts]:
        """Broadcastable chunks [R, 1] x [1, I] of about CHUNK candidates."""
        step = max(1, CHUNK // max(self.inner.vpp.size, 1))
        for start in range(0, self.outer.tp.size, step):
            cut = slice(start, start + step)
            rows = {a: getattr(self.outer, a)[cut, None] for a in ("tp", "cp", "ep", "etp", "pp", "dp", "mbs")}
            inner = {a: getattr(self.inner, a)[None, :] for a in ("vpp", "zero", "recompute")}
            yield Layouts(**rows, **inner)


def rows(arch: Arch, system: System, seq: int, batch: int, chips: int, limits: Limits) -> Rows:
    """Every layout of a job on exactly `chips` chips that the integers allow, within limits."""
    table = _cross({"tp": _tensor_ways(arch, system, chips), "cp": powers(min(chips, max(seq // 2, 1), 64)),
                    "pp": _stages(arch, chips)}, limits)
    table = _keep(table, chips % (table["tp"] * table["cp"] * table["pp"]) == 0)
    table["dp"] = chips // (table["tp"] * table["cp"] * table["pp"])
    table = _keep(table, limits.allows("dp", table["dp"]) & (batch % table["dp"] == 0))
    table = _expand(table, {"mbs": divisors(batch, MOST_MICRO_BATCH)}, limits)
    table = _keep(table, batch // table["dp"] % table["mbs"] == 0)
    if arch.moe_layers:
        table = _expand(table, {"ep": divisors(arch.experts, chips)}, limits)
        etp = np.concatenate([np.ones_like(table["tp"]), table["tp"]])
        table = {name: np.concatenate([v, v]) for name, v in table.items()}
        table = _keep(table | {"etp": etp}, (np.arange(etp.size) < etp.size // 2) | (etp > 1))
        table = _keep(table, limits.allows("etp", table["etp"]))
    else:
        table |= {"ep": np.ones_like(table["tp"]), "etp": np.ones_like(table["tp"])}
    one = np.ones(1, dtype=np.int64)
    outer = Layouts(**table, vpp=one, zero=one, recompute=0 * one)
    outer = replace(
        outer, **{a: np.broadcast_to(getattr(outer, a), table["tp"].shape) for a in ("vpp", "zero", "recompute")}
    )
    legal = illegal(arch, system, seq, batch, chips, outer) == Why.OK
    return Rows(outer=outer.at(np.flatnonzero(legal)), inner=_inner(arch, limits))


def _inner(arch: Arch, limits: Limits) -> Layouts:
    chunks = np.arange(1, min(arch.layers, MOST_CHUNKS) + 1, dtype=np.int64)
    axes = {"vpp": chunks[np.isin(chunks, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16])], "zero": np.arange(4),
            "recompute": np.arange(len(RECOMPUTE))}
    if limits.vpp is not None:
        axes["vpp"] = chunks
    return Layouts.of(**_cross(axes, limits))


def _tensor_ways(arch: Arch, system: System, chips: int) -> Ints:
    return divisors(max(arch.heads, arch.ssm_heads, 1), min(reach(system), chips, 64))


def _stages(arch: Arch, chips: int) -> Ints:
    return divisors(chips, min(arch.layers, MOST_STAGES, chips))


def _cross(axes: dict[str, Ints], limits: Limits) -> dict[str, Ints]:
    kept = [v[limits.allows(name, v)] for name, v in axes.items()]
    return {name: g.reshape(-1) for name, g in zip(axes, np.meshgrid(*kept, indexing="ij"), strict=True)}


def _expand(table: dict[str, Ints], axes: dict[str, Ints], limits: Limits) -> dict[str, Ints]:
    for name, values in axes.items():
        kept = values[limits.allows(name, values)]
        count = next(iter(table.values())).size
        table = {n: np.repeat(v, kept.size) for n, v in table.items()} | {name: np.tile(kept, count)}
    return table


def _keep(table: dict[str, Ints], mask: npt.NDArray[np.bool_]) -> dict[str, Ints]:
    return {name: v[mask] for name, v in table.items()}
