"""Layouts of a training job over chips: every legal one, in chunks of arrays; and the rules that make one legal.

A chunk is a struct of integer arrays that broadcast to [R, P, Z, M, O]. Rows R are (tp, cp, ep, etp, pp, mbs, cp_kind);
the inner axes are P the pairs (schedule, vpp), Z the pairs (zero, group), M the modes of recomputation and O those of
offload. A term is thus computed over the axes it depends on and no others, and only the last few sums have a value for
every candidate; what depends on (tp, cp, ep, etp, mbs, cp_kind) alone is computed once per distinct shard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.hardware import System
from exafleet.ops.collective import reach
from exafleet.step.limits import DUALPIPE, Limits
from exafleet.terms.layout import OFFLOAD, RECOMPUTE, SCHEDULE
from exafleet.terms.why import Why

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
# Candidates in a chunk: arrays of this size stay in the processor's cache.
CHUNK = 32768
SHARD = ("tp", "cp", "ep", "etp", "mbs", "cp_kind")
OUTER = (*SHARD, "pp", "dp")
# The axes of a chunk that each inner axis of a layout lies on; 0 are the rows.
INNER = {"schedule": 1, "vpp": 1, "zero": 2, "group": 2, "recompute": 3, "offload": 4}
DIMENSIONS = 5
# Stands for the data-parallel ranks that share a scale-up domain, in the list of groups to try.
OWN_DOMAIN = -1
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
    schedule: Ints
    group: Ints
    cp_kind: Ints
    offload: Ints

    @classmethod
    def of(cls, **axes: npt.ArrayLike) -> Layouts:
        """Layouts from some axes; ways left out are 1, zero is 1, and what is chosen by number is 0."""
        default = {f.name: 1 for f in fields(cls)} | dict.fromkeys(
            ("recompute", "schedule", "group", "cp_kind", "offload"), 0
        )
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

    @property
    def stages_held(self) -> Ints:
        """Pipeline stages whose parameters one chip holds: two in DualPipe, one from either end. [...] or []"""
        paired = self.schedule == DUALPIPE
        if paired.all() or not paired.any():
            # One number for all keeps what depends on it as small as its other axes.
            return np.asarray(2 if paired.size and paired.all() else 1)
        return np.where(paired, 2, 1)

    @property
    def replicas(self) -> Floats:
        """Ranks that hold the same dense parameters. [...]"""
        return np.asarray(self.dp * self.cp * self.stages_held, dtype=np.float64)

    @property
    def replicas_experts(self) -> Floats:
        """Ranks that hold the same expert parameters. [...]"""
        return self.replicas * (self.tp / (self.ep * self.etp))

    @property
    def shared(self) -> Floats:
        """Ranks among which ZeRO shares out dense states: all replicas, or those of a group. [...]"""
        return np.where(self.group == 0, self.replicas, self.group)

    @property
    def shared_experts(self) -> Floats:
        """The same of expert states; a group smaller than the expert-parallel ranks shares out nothing. [...]"""
        return np.where(self.group == 0, self.replicas_experts,
                        np.maximum(self.group * (self.tp / (self.ep * self.etp)), 1.0))

    def at(self, flat: npt.ArrayLike) -> Layouts:
        """The candidates at flat positions of the broadcast shape, as one-dimensional arrays."""
        shape, index = self.shape, np.asarray(flat)
        picked = {f.name: np.broadcast_to(getattr(self, f.name), shape).reshape(-1)[index] for f in fields(self)}
        return Layouts(**picked)

    def rows(self, places: npt.NDArray[np.intp]) -> Layouts:
        """The candidates of some rows of a chunk; axes that do not depend on the row stay as they are."""
        return Layouts(**{f.name: v[places] if (v := getattr(self, f.name)).shape[0] > 1 or f.name in OUTER else v
                          for f in fields(self)})

    def words(self) -> list[str]:
        """Each candidate in words, e.g. "TP8 PP4 DP72 MBS1 ZeRO-1"; axes of 1 are left out."""
        flat = self.at(np.arange(int(np.prod(self.shape, dtype=np.int64))))
        return [_words(flat, i) for i in range(flat.tp.size)]


def _words(flat: Layouts, i: int) -> str:
    named = (("TP", flat.tp), ("CP", flat.cp), ("EP", flat.ep), ("ETP", flat.etp), ("PP", flat.pp), ("VPP", flat.vpp),
             ("DP", flat.dp))
    etp_shown = flat.ep[i] > 1 or flat.etp[i] > 1
    shown = [f"{n}{v[i]}" for n, v in named if v[i] > 1 and (n != "ETP" or etp_shown)]
    group = f" in groups of {flat.group[i]}" if flat.group[i] else ""
    tail = [f"MBS{flat.mbs[i]}", f"ZeRO-{flat.zero[i]}{group}"]
    return " ".join([*shown, *tail, *_choices(flat, i)])


def _choices(flat: Layouts, i: int) -> list[str]:
    """What is chosen by number and is not the usual choice, in words."""
    chosen = ((RECOMPUTE, flat.recompute, "recompute "), (SCHEDULE, flat.schedule, ""),
              (OFFLOAD, flat.offload, "offload "))
    said = [lead + names[int(v[i])] for names, v, lead in chosen if v[i]]
    return [*said, "all-to-all CP"] if flat.cp_kind[i] else said


def join(first: Layouts, second: Layouts) -> Layouts:
    """Two lists of candidates one after the other (one-dimensional both)."""
    return Layouts(**{f.name: np.concatenate([getattr(first, f.name), getattr(second, f.name)]) for f in fields(first)})


def illegal(arch: Arch, system: System, seq: int, batch: int | Ints, chips: int | Ints, lay: Layouts) -> Ints:
    """Reason code of each candidate by its integers alone: Why.OK, NOT_DIVISIBLE, TOO_FEW or TOO_MANY. [...]"""
    even = (
        (batch % (lay.dp * lay.mbs) == 0) & _context_ok(arch, seq, lay) & _tensor_ok(arch, lay.tp)
        & _experts_ok(arch, lay) & interleaves(arch, batch, lay) & groups_ok(arch, lay)
    )
    code = np.where(even, Why.OK, Why.NOT_DIVISIBLE)
    code = np.where(lay.tp > reach(system), Why.TOO_MANY, code)
    code = np.where(lay.chips > chips, Why.TOO_MANY, code)
    return np.asarray(np.where(lay.chips < chips, Why.TOO_FEW, code), dtype=np.int64)


def interleaves(arch: Arch, batch: int | Ints, lay: Layouts) -> Mask:
    """Whether stages, their chunks and their schedule suit the blocks and the micro-batches. [...]

    The embedding and the head may fill two block places. Interleaving and zero-bubble need as many micro-batches as
    stages; DualPipe feeds both ends, so it needs stages and micro-batches in pairs, and twice as many micro-batches.
    """
    each = lay.dp * lay.mbs
    filled = (lay.pp > 1) & (batch >= lay.pp * each)
    paired = (lay.pp % 2 == 0) & (batch % (2 * each) == 0) & (batch >= 2 * lay.pp * each)
    alone = (lay.vpp == 1) & filled & ((lay.schedule != DUALPIPE) | paired)
    runs = np.where(lay.schedule == 0, (lay.vpp == 1) | filled, alone)
    return np.asarray((lay.pp * lay.vpp <= arch.layers + 2) & runs)


def groups_ok(arch: Arch, lay: Layouts) -> Mask:
    """Whether ZeRO shares something out, and its groups divide the data-parallel ranks and the experts' ones. [...]"""
    group = np.maximum(lay.group, 1)
    fits = (lay.zero > 0) & (lay.dp * lay.cp % group == 0)
    if arch.moe_layers:
        chips, experts = group * lay.tp, lay.ep * lay.etp
        fits = fits & ((chips % experts == 0) | (experts % chips == 0))
    return np.asarray((lay.group == 0) | fits)


def _context_ok(arch: Arch, seq: int, lay: Layouts) -> Mask:
    """A ring cuts a sequence in two pieces for every rank (so that causal work is even), an all-to-all in one."""
    ring = (lay.cp_kind == 0) & ((seq % (2 * lay.cp) == 0) | (lay.cp == 1))
    exchange = (lay.cp_kind == 1) & (lay.cp > 1) & (seq % lay.cp == 0) & (max(arch.heads, 1) % (lay.tp * lay.cp) == 0)
    return np.asarray(ring | (exchange & (arch.heads > 0)))


def _tensor_ok(arch: Arch, tp: Ints) -> Mask:
    heads = arch.heads or arch.ssm_heads
    shared = (arch.kv_heads % tp == 0) | (tp % max(arch.kv_heads, 1) == 0) | (arch.kv_lora > 0)
    return np.asarray((heads % tp == 0) & shared & (arch.hidden % tp == 0))


def _experts_ok(arch: Arch, lay: Layouts) -> Mask:
    if not arch.moe_layers:
        return np.asarray((lay.ep == 1) & (lay.etp == 1))
    ranks = lay.dp * lay.cp * lay.tp
    return np.asarray((arch.experts % lay.ep == 0) & (ranks % (lay.ep * lay.etp) == 0)
                      & ((lay.etp == 1) | (lay.etp == lay.tp)))


def distinct_rows(table: Ints) -> tuple[Ints, Ints]:
    """Distinct rows of a table of whole numbers from 0 up, in order, and each row's place among them. [U, A], [R]

    Each row is read as one number, whose digits are its columns: numbers are sorted far faster than rows.
    """
    base = table.max(axis=0, initial=0).astype(object) + 1
    weight = np.append(np.cumprod(base[:0:-1])[::-1], 1)
    if int(weight[0]) * int(base[0]) > np.iinfo(np.int64).max:
        distinct, place = np.unique(table, axis=0, return_inverse=True)
        return distinct, place.reshape(-1)
    _, first, place = np.unique(table @ weight.astype(np.int64), return_index=True, return_inverse=True)
    return table[first], place


def divisors(number: int, most: int) -> Ints:
    """Divisors of a number up to `most`, in order."""
    tried = np.arange(1, min(number, most) + 1, dtype=np.int64)
    return np.asarray(tried[number % tried == 0])


def powers(most: int) -> Ints:
    """1, 2, 4, ... up to `most`."""
    return 2 ** np.arange(int(np.log2(max(most, 1))) + 1, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Legal rows as columns [R] of OUTER, and the inner axes as [P], [Z], [M], [O].

    outer    layouts of one-dimensional axes [R]; the inner axes are at their first value
    inner    layouts whose axes have the length of their own inner axis
    own      the group that stays inside a scale-up domain, illegal where there is none               [R]
    timing   which pairs (schedule, vpp) suit a row                                                   [R, P]
    sharing  which pairs (zero, group) suit a row                                                     [R, Z]
    """

    outer: Layouts
    inner: Layouts
    own: Ints
    timing: Mask
    sharing: Mask

    @property
    def listed(self) -> int:
        """Candidates of all rows, legal or not."""
        return self.timing.size * self.inner.zero.size * self._modes

    @property
    def count(self) -> int:
        """Legal candidates."""
        return int((self.timing.sum(axis=1) * self.sharing.sum(axis=1)).sum()) * self._modes

    @property
    def _modes(self) -> int:
        return int(self.inner.recompute.size * self.inner.offload.size)

    def at(self, order: npt.NDArray[np.intp]) -> Rows:
        """Some rows in some order."""
        return Rows(outer=self.outer.at(order), inner=self.inner, own=self.own[order], timing=self.timing[order],
                    sharing=self.sharing[order])

    def chunks(self) -> Iterator[tuple[npt.NDArray[np.intp], Layouts]]:
        """Chunks [R, P, Z, M, O] of about CHUNK candidates, all legal, with the numbers of their rows.

        Rows that the same pairs suit go together, and DualPipe goes apart, so that nothing is reckoned in vain.
        """
        marks = np.packbits(np.concatenate([self.timing, self.sharing], axis=1), axis=1)
        _, first, kind = np.unique(marks, axis=0, return_index=True, return_inverse=True)
        for i, row in enumerate(first):
            members, sharing = np.flatnonzero(kind.reshape(-1) == i), np.flatnonzero(self.sharing[row])
            for paired in (False, True):
                timing = np.flatnonzero(self.timing[row] & ((self.inner.schedule == DUALPIPE) == paired))
                yield from self._chunks(members, timing, sharing)

    def _chunks(self, members: npt.NDArray[np.intp], timing: npt.NDArray[np.intp],
                sharing: npt.NDArray[np.intp]) -> Iterator[tuple[npt.NDArray[np.intp], Layouts]]:
        """Chunks of some rows with some pairs of the inner axes."""
        chosen = {1: timing, 2: sharing}
        every = slice(None)
        inner = {a: _along(getattr(self.inner, a)[chosen.get(d, every)], d) for a, d in INNER.items()}
        step = max(1, CHUNK // max(timing.size * sharing.size * self._modes, 1))
        for start in range(0, members.size if timing.size and sharing.size else 0, step):
            cut = members[start : start + step]
            rows = {a: _along(getattr(self.outer, a)[cut], 0) for a in OUTER}
            group = np.where(inner["group"] == OWN_DOMAIN, _along(self.own[cut], 0), inner["group"])
            yield cut, Layouts(**rows, **(inner | {"group": group}))


def _along(values: Ints, dimension: int) -> Ints:
    """A one-dimensional array laid along one dimension of a chunk."""
    return values.reshape(tuple(-1 if d == dimension else 1 for d in range(DIMENSIONS)))


def rows(arch: Arch, system: System, seq: int, batch: int, chips: int, limits: Limits) -> Rows:
    """Every layout of a job on exactly `chips` chips that the integers allow, within limits."""
    table = _cross({"tp": _tensor_ways(arch, system, chips), "cp": powers(min(chips, max(seq // 2, 1), 64)),
                    "pp": _stages(arch, chips)}, limits)
    table = _keep(table, chips % (table["tp"] * table["cp"] * table["pp"]) == 0)
    table["dp"] = chips // (table["tp"] * table["cp"] * table["pp"])
    table = _keep(table, limits.allows("dp", table["dp"]) & (batch % table["dp"] == 0))
    table = _expand(table, {"mbs": divisors(batch, MOST_MICRO_BATCH), "cp_kind": np.arange(2)}, limits)
    table = _keep(table, (batch // table["dp"] % table["mbs"] == 0) & ((table["cp_kind"] == 0) | (table["cp"] > 1)))
    table = _with_experts(arch, chips, table, limits)
    size, inner = table["tp"].size, _inner(arch, chips, limits)
    first = dict.fromkeys(INNER, 0) | {"vpp": 1}
    outer = Layouts(**table, **{a: np.full(size, v, dtype=np.int64) for a, v in first.items()})
    outer = outer.at(np.flatnonzero(illegal(arch, system, seq, batch, chips, outer) == Why.OK))
    own = _own_domain(outer, reach(system))
    timing = replace(outer, **{a: getattr(outer, a)[:, None] for a in OUTER}, schedule=inner.schedule, vpp=inner.vpp)
    group = np.where(inner.group == OWN_DOMAIN, own[:, None], inner.group)
    sharing = replace(outer, **{a: getattr(outer, a)[:, None] for a in OUTER}, zero=inner.zero, group=group)
    return Rows(outer=outer, inner=inner, own=own, timing=interleaves(arch, batch, timing),
                sharing=np.broadcast_to(groups_ok(arch, sharing), group.shape))


def _with_experts(arch: Arch, chips: int, table: dict[str, Ints], limits: Limits) -> dict[str, Ints]:
    """Rows with every way to spread and to split the experts."""
    if not arch.moe_layers:
        ones = np.ones_like(table["tp"])
        return _keep(table | {"ep": ones, "etp": ones}, limits.allows("ep", ones) & limits.allows("etp", ones))
    table = _expand(table, {"ep": divisors(arch.experts, chips)}, limits)
    etp = np.concatenate([np.ones_like(table["tp"]), table["tp"]])
    table = {name: np.concatenate([v, v]) for name, v in table.items()}
    table = _keep(table | {"etp": etp}, (np.arange(etp.size) < etp.size // 2) | (etp > 1))
    return _keep(table, limits.allows("etp", table["etp"]))


def _own_domain(outer: Layouts, domain: int) -> Ints:
    """The most data-parallel ranks that divide all of them and share a scale-up domain. [R]

    Where that is one rank or all of them, a number that divides nothing, so that no candidate comes twice.
    """
    over, most = outer.dp * outer.cp, np.maximum(domain // outer.tp, 1)
    kinds, place = distinct_rows(np.stack([over, np.minimum(most, over)], axis=-1))
    found = np.array([int(divisors(int(n), int(m))[-1]) for n, m in kinds], dtype=np.int64)
    found = found[place] if found.size else np.zeros(0, dtype=np.int64)
    return np.where((found > 1) & (found < over), found, over + 1)


def _inner(arch: Arch, chips: int, limits: Limits) -> Layouts:
    chunks = np.arange(1, min(arch.layers, MOST_CHUNKS) + 1, dtype=np.int64)
    if limits.vpp is None:
        chunks = chunks[np.isin(chunks, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16])]
    # Only 1F1B is interleaved.
    timing = _cross({"schedule": np.arange(len(SCHEDULE)), "vpp": chunks}, limits)
    timing = _keep(timing, (timing["schedule"] == 0) | (timing["vpp"] == 1))
    sharing = _cross({"zero": np.arange(4), "group": _groups(chips, limits)}, replace(limits, group=None))
    sharing = _keep(sharing, (sharing["group"] == 0) | (sharing["zero"] > 0))
    modes = {"recompute": np.arange(len(RECOMPUTE)), "offload": np.arange(len(OFFLOAD) if limits.offload else 1)}
    return Layouts.of(**timing, **sharing, **{a: v[limits.allows(a, v)] for a, v in modes.items()})


def _groups(chips: int, limits: Limits) -> Ints:
    """Groups to try: all ranks and those of a scale-up domain, or within a range every divisor there is."""
    if limits.group is None:
        return np.array([0, OWN_DOMAIN], dtype=np.int64)
    least, most = limits.group
    every = np.concatenate([np.zeros(1, dtype=np.int64), divisors(chips, min(most, chips))])
    return every[(every >= least) & (every <= most)]


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


def _keep(table: dict[str, Ints], mask: Mask) -> dict[str, Ints]:
    return {name: v[mask] for name, v in table.items()}
