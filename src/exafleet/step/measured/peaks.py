"""Published memory of training runs beside what the model says of it: data/measured_memory.csv, read and predicted.

A row states a peak in `measure`, or only whether the run was out of memory. Its role was fixed by a written rule before
any error was looked at (docs/models/memory.md): the SHA-256 of `model|chips|tp|pp|dp` modulo 10.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch, arch, transformer
from exafleet.facts.catalogue import Facts
from exafleet.step.layouts import Layouts
from exafleet.step.memory import MemoryPractice, memory_after_backward, memory_of, memory_practice
from exafleet.terms.parts import Parts
from exafleet.terms.units import DATA

Floats = npt.NDArray[np.float64]
FILE = DATA / "measured_memory.csv"
AXES = ("tp", "cp", "ep", "etp", "pp", "vpp", "dp", "mbs", "zero", "recompute")
# What a source calls its peak: all a step allocates; what is allocated after the backward pass; what the allocator
# reserves; what the device shows, with the runtime's own memory.
MEASURES = ("allocated", "after backward", "reserved", "device")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRow:
    """One run. `peak` is 0 where only `outcome` ("ok", "oom") is stated.

    family      of the chip
    hbm_bytes   its memory                                               [B]
    peak        as `measure` means it                               [B]
    """

    id: str
    arch: Arch
    stack: str
    dtype: str
    seq: int
    batch: int
    layout: dict[str, int]
    family: str
    hbm_bytes: float
    peak: float
    measure: str
    outcome: str
    source: str
    where: str
    date: str
    role: str
    note: str


def role(model: str, chips: int, tp: int, pp: int, dp: int) -> str:
    """The role of a configuration group: 0 to 6 of its hash "fit", 7 to 9 "held_out"."""
    digest = hashlib.sha256("|".join(map(str, (model, chips, tp, pp, dp))).encode()).hexdigest()
    return "fit" if int(digest, 16) % 10 < 7 else "held_out"


def published_memory(facts: Facts, path: Path = FILE) -> list[MemoryRow]:
    """Rows of the table, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(facts, cells) for cells in csv.DictReader(file)]


def _row(facts: Facts, cells: dict[str, str]) -> MemoryRow:
    return MemoryRow(
        id=cells["id"], arch=_arch(facts, cells), stack=cells["stack"], dtype=cells["dtype"], seq=int(cells["seq"]),
        batch=int(cells["batch"]), layout={a: int(cells[a]) for a in AXES if cells.get(a)},
        family=cells["family"], hbm_bytes=float(cells["hbm_gb"]) * 1e9, peak=float(cells["peak_gib"] or 0.0) * 2**30,
        measure=cells["measure"], outcome=cells["outcome"], source=cells["source"], where=cells["where"],
        date=cells["date"], role=cells["role"], note=cells["note"])


def _arch(facts: Facts, cells: dict[str, str]) -> Arch:
    """A model of the tables with the heads a run had, or a plain transformer with the dimensions of the row."""
    if not cells["hidden"]:
        known = arch(facts, cells["model"])
        heads = int(cells["heads"] or known.heads)
        return known if heads == known.heads else replace(
            known, heads=heads, kv_heads=heads, head_dim=known.hidden // heads)
    n = {c: int(cells[c]) for c in ("hidden", "layers", "heads", "kv_heads", "ffn", "vocab", "mlp_matrices", "tied")}
    return transformer(cells["model"], **n)


def need(rows: Sequence[MemoryRow], how: Callable[[MemoryRow], MemoryPractice]) -> Floats:
    """Memory of a chip that each run needs in all, to be held against `usable`. [R]  [B]"""
    return _by_group(rows, how, lambda row, practice, lay, batch: memory_of(
        row.arch, row.seq, row.dtype, batch, practice, lay).total)


def peaks(rows: Sequence[MemoryRow], how: Callable[[MemoryRow], MemoryPractice]) -> Floats:
    """Peak of each run as its source measures it. [R]  [B]"""
    return _by_group(rows, how, _measured)


def _measured(row: MemoryRow, how: MemoryPractice, lay: Layouts, batch: npt.NDArray[np.int64]) -> Floats:
    if row.measure == "after backward":
        return memory_after_backward(row.arch, row.seq, row.dtype, batch, how, lay)
    parts: Parts = memory_of(row.arch, row.seq, row.dtype, batch, how, lay)
    lost = {"allocated": ("runtime", "fragmentation"), "reserved": ("runtime",), "device": ()}[row.measure]
    return np.asarray(parts.total - sum(parts[n] for n in lost))


def _by_group(rows: Sequence[MemoryRow], how: Callable[[MemoryRow], MemoryPractice],
              of: Callable[[MemoryRow, MemoryPractice, Layouts, npt.NDArray[np.int64]], Floats]) -> Floats:
    """One call for all rows that differ in layout and batch alone."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        groups[(row.arch, row.stack, row.dtype, row.family, row.seq, row.measure)].append(i)
    found = np.zeros(len(rows))
    for places in groups.values():
        axes = {a: np.array([rows[i].layout.get(a, 0 if a == "recompute" else 1) for i in places]) for a in AXES}
        first = rows[places[0]]
        found[places] = of(first, how(first), Layouts.of(**axes), np.array([rows[i].batch for i in places]))
    return found


def practices(facts: Facts) -> Callable[[MemoryRow], MemoryPractice]:
    """The practice of each row's stack as of the facts' date."""
    return lambda row: memory_practice(facts, row.stack, row.dtype, row.family)
