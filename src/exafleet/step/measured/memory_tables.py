"""Reads tables of measured memory in two column layouts, row by row, and puts the model's figures beside them.

  runs   the table of training runs (run_tables.py) with a column peak_mem_gib; rows without a peak say so
  jobs   jobs of one stack with the architecture in columns, a peak_mem_gb and an outcome, ok or oom

The package's own table, data/measured_memory.csv, is read by published_memory.py. A row that cannot be
compared is not dropped: it comes back as `Unread` with the reason.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import Arch, insane, transformer
from exafleet.facts.catalogue import Facts
from exafleet.step.layouts import Layouts
from exafleet.step.measured.cells import MOST, Cells, NotUsable, cells_of, first_figure, needed, number, tried, whole
from exafleet.step.measured.peaks import FILE, MemoryRow, need, peaks, published_memory
from exafleet.step.measured.run_tables import read_runs
from exafleet.step.measured.training import Published, Unread, shape
from exafleet.step.memory import MemoryPractice, memory_of, memory_practice, usable
from exafleet.terms.errors import ExafleetError, FactError, Problem
from exafleet.terms.parts import Parts

GIB = 2.0**30
JOBS = ("case_id", "hidden", "layers", "heads", "kv_heads", "ffn", "vocab", "accelerator", "gpus", "micro_batch",
        "grad_accum", "seq_len", "tp", "pp", "dp", "sharding", "peak_mem_gb", "outcome")
RUNS = ("case_id", "model", "accelerator", "gpus", "precision", "seq_len", "peak_mem_gib")
# What the peak of a stack's logs counts (published_memory.MEASURES); others print what the allocator reserves.
LOGS = {"stack-megatron-deepspeed": "device", "stack-primus": "device", "stack-megatron-plain": "allocated",
        "stack-nanotron": "after backward"}
JOB_STACK = "stack-nanotron"
OUTCOMES = ("ok", "oom")
# What the memory practice of a run depends on: its stack, number format and chip family.
Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryCompared:
    """One row beside its prediction.

    measured, predicted   peak as the source counts it; nan where it has none (a job that ran out)    [B]
    needed, usable        what the run needs in all, and what a process can have                        [B]
    outcome               "ok" or "oom" as measured; "" where it is not stated
    """

    row: MemoryRow | None
    id: str
    measured: float
    predicted: float
    needed: float
    usable: float
    outcome: str
    why: str

    @property
    def fits(self) -> bool | None:
        """Whether the model says that the run fits; None where it says nothing."""
        return None if math.isnan(self.needed) else self.needed <= self.usable


def read_memory(path: Path, facts: Facts) -> list[MemoryRow | Unread]:
    """Every row of a table of measured memory, in its order; raises FactError when the file is no such table."""
    if path == FILE:
        return list(published_memory(facts))
    header, rows = cells_of(path)
    if set(JOBS) <= set(header):
        same = _told_elsewhere([cells for _, cells in rows])
        return [_guarded(line, cells, lambda c: _job(c, same, facts)) for line, cells in rows]
    if set(RUNS) <= set(header):
        runs = read_runs(path, facts)
        return [_guarded(line, cells, lambda c, r=run: _of_run(c, r, facts))  # type: ignore[misc]
                for (line, cells), run in zip(rows, runs, strict=True)]
    nearest = min((RUNS, JOBS), key=lambda columns: len(set(columns) - set(header)))
    raise FactError(Problem(
        where=f"{path.name}:1", got=", ".join(header[:12]),
        what=f"no table of memory: lacks the columns {', '.join(c for c in nearest if c not in header)}",
        allowed=f"runs ({', '.join(RUNS)}, ...), or jobs ({', '.join(JOBS)})"))


def _guarded(line: int, cells: Cells, read: Callable[[Cells], MemoryRow]) -> MemoryRow | Unread:
    found = tried(read, cells)
    if isinstance(found, MemoryRow):
        return found
    return Unread(id=cells.get("case_id") or f"line-{line}", line=line, why=str(found), unit="GiB",
                  measured=first_figure(cells, "peak_mem_gib", "peak_mem_gb"))


# ------------------------------------------------------------------------------------------------------------ jobs


def _told_elsewhere(rows: Sequence[Cells]) -> dict[tuple[str, str, str], str]:
    """What rows of the same hidden width and layers say of a shape, where all that say something agree."""
    said: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for cells in rows:
        for column in ("kv_heads", "ffn", "tied"):
            if cells.get(column):
                said[(column, cells["hidden"], cells["layers"])].add(cells[column])
    return {key: next(iter(values)) for key, values in said.items() if len(values) == 1}


def _job(cells: Cells, same: dict[tuple[str, str, str], str], facts: Facts) -> MemoryRow:
    """A job with its architecture; blanks of the shape are taken from its likes. Raises NotUsable."""
    blank = {c: same.get((c, cells["hidden"], cells["layers"]), "") for c in ("kv_heads", "ffn", "tied")}
    model = _job_shape({**cells, **{c: cells.get(c) or text for c, text in blank.items()}})
    outcome, peak, layout = cells["outcome"], number(cells, "peak_mem_gb"), _job_layout(cells)
    if outcome not in OUTCOMES:
        raise NotUsable(f'outcome is "{outcome}", not ok or oom')
    chip = facts.subjects.resolve(cells["accelerator"], "chip")
    return MemoryRow(
        id=cells["case_id"], arch=model, stack=JOB_STACK, dtype="bf16", seq=needed(cells, "seq_len"),
        batch=_job_batch(cells, layout), layout=layout, family=chip.family,
        hbm_bytes=_hbm(cells["accelerator"], chip.id, facts),
        peak=(peak or 0.0) * GIB, measure=LOGS[JOB_STACK] if peak else "", outcome=outcome,
        source=cells.get("source", ""), where=cells.get("source_location", ""), date=cells.get("date", ""),
        role="given", note=cells.get("notes", ""))


def _job_shape(cells: Cells) -> Arch:
    size = {c: needed(cells, c) for c in ("hidden", "layers", "heads", "ffn", "vocab")}
    size |= {"kv_heads": whole(cells, "kv_heads") or size["heads"], "tied": int(cells["tied"] == "True"),
             "mlp_matrices": 2 if cells.get("mlp_gated") in ("0", "False") else 3}
    found = transformer(cells.get("model", "") or cells["case_id"], **size)
    wrong = insane(found)
    if wrong:
        raise NotUsable("; ".join(wrong))
    return found


def _job_layout(cells: Cells) -> dict[str, int]:
    ways = {c: needed(cells, c) for c in ("tp", "pp", "dp")}
    if math.prod(ways.values()) != needed(cells, "gpus"):
        raise NotUsable(f"TP x PP x DP = {math.prod(ways.values()):,} differs from {cells['gpus']} accelerators")
    return ways | {"mbs": needed(cells, "micro_batch"), "zero": _zero(cells["sharding"]), "recompute": 0}


def _job_batch(cells: Cells, layout: dict[str, int]) -> int:
    """Sequences of a step: of its micro-batches, because the column of the batch holds a budget in jobs that failed."""
    batch = layout["mbs"] * needed(cells, "grad_accum") * layout["dp"]
    if batch > MOST:
        raise NotUsable(f"a step of {batch:,} sequences")
    return batch


def _zero(sharding: str) -> int:
    found = re.match(r"zero([123])", sharding)
    if not found and sharding not in ("", "none"):
        raise NotUsable(f'unknown sharding "{sharding}"')
    return int(found[1]) if found else 0


def _hbm(accelerator: str, chip: str, facts: Facts) -> float:
    """Memory of an accelerator as its name tells it, else that of the chip. [B]"""
    told = re.search(r"(\d+) ?GB", accelerator)
    return float(told[1]) * 1e9 if told else facts.value(f"{chip}.hbm_bytes")


# ------------------------------------------------------------------------------------------------------------ runs


def _of_run(cells: Cells, run: Published | Unread, facts: Facts) -> MemoryRow:
    """A training run with a peak. Raises NotUsable."""
    peak = number(cells, "peak_mem_gib")
    if peak is None:
        raise NotUsable("no peak memory is stated")
    if isinstance(run, Unread):
        raise NotUsable(run.why)
    lacks = [a for a in ("tp", "cp", "pp", "mbs") if a not in run.layout]
    if lacks:
        raise NotUsable(f"{', '.join(lacks)} not stated")
    layout = {a: n for a, n in run.layout.items() if a in ("tp", "cp", "ep", "pp", "vpp", "mbs", "zero", "recompute")}
    ways = layout["tp"] * layout["cp"] * layout["pp"]
    return MemoryRow(
        id=run.id, arch=shape(run, facts), stack=run.stack, dtype=_dtype(cells, run), seq=run.seq, batch=run.batch,
        layout=layout | {"dp": run.chips // ways}, family=facts.subjects.by_id[run.chip].family,
        hbm_bytes=_hbm(cells["accelerator"], run.chip, facts), peak=peak * GIB,
        measure=LOGS.get(run.stack, "reserved"), outcome="ok", source=run.source, where=run.where, date=run.date,
        role=run.role, note=run.note)


def _dtype(cells: Cells, run: Published) -> str:
    """Megatron-DeepSpeed without the BF16 optimizer ran with the fp16 one, which keeps less."""
    old = run.stack == "stack-megatron-deepspeed" and "BF16 optimizer" not in cells.get("other_config", "")
    return "fp16" if old else run.dtype


# ------------------------------------------------------------------------------------------------------- comparing


def compare_memory(rows: Sequence[MemoryRow | Unread], facts: Facts,
                   told: Callable[[int], None] = lambda done: None) -> list[MemoryCompared]:
    """Every row beside its prediction; one entry for every row, in their order."""
    known = [row for row in rows if isinstance(row, MemoryRow)]
    how = _practices(known, facts)
    ready = [row for row in known if isinstance(how[_key(row)], MemoryPractice)]
    whole_need = dict(zip(map(id, ready), need(ready, lambda r: _sure(how, r)), strict=True))
    told(len(rows) - len(ready))
    counted = [row for row in ready if row.peak]
    of_peak = dict(zip(map(id, counted), peaks(counted, lambda r: _sure(how, r)), strict=True))
    told(len(rows))
    return [_unread(row) if isinstance(row, Unread) else
            _beside(row, how[_key(row)], whole_need.get(id(row)), of_peak.get(id(row))) for row in rows]


def _key(row: MemoryRow) -> Key:
    return row.stack, row.dtype, row.family


def _practices(rows: Sequence[MemoryRow], facts: Facts) -> dict[Key, MemoryPractice | str]:
    """How each stack uses memory, or why that is not known."""
    found: dict[Key, MemoryPractice | str] = {}
    for key in dict.fromkeys(map(_key, rows)):
        try:
            found[key] = memory_practice(facts, *key)
        except ExafleetError as error:
            found[key] = "; ".join(p.what for p in error.problems)
    return found


def _sure(how: dict[Key, MemoryPractice | str], row: MemoryRow) -> MemoryPractice:
    found = how[_key(row)]
    assert isinstance(found, MemoryPractice)
    return found


def _unread(row: Unread) -> MemoryCompared:
    return MemoryCompared(row=None, id=row.id, measured=row.measured * GIB, predicted=math.nan, needed=math.nan,
                          usable=math.nan, outcome="", why=row.why)


def _beside(row: MemoryRow, how: MemoryPractice | str, needs: float | None, peak: float | None) -> MemoryCompared:
    missing = how if isinstance(how, str) else ""
    return MemoryCompared(
        row=row, id=row.id, measured=row.peak or math.nan, outcome=row.outcome, why=missing,
        # A job that ran out of memory has no peak to compare with; what it needs in all stands in its place.
        predicted=math.nan if needs is None else float(needs if peak is None else peak),
        needed=math.nan if needs is None else float(needs),
        usable=math.nan if isinstance(how, str) else float(usable(row.hbm_bytes, how)))


def parts_of(row: MemoryRow, facts: Facts) -> Parts:
    """Memory of the fullest accelerator of a run, by part. [B]"""
    how = memory_practice(facts, *_key(row))
    axes = {a: np.array([n]) for a, n in row.layout.items()}
    return memory_of(row.arch, row.seq, row.dtype, np.array([row.batch]), how, Layouts.of(**axes)).at(0)
