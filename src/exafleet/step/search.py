"""The best training layout over all legal ones, the trade of time against memory, and why the rest do not run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.step.layouts import DIMENSIONS, Layouts, Rows, groups_ok, interleaves, join, rows
from exafleet.step.limits import Limits
from exafleet.step.memory import held, memory_total
from exafleet.step.memory import usable as usable_bytes
from exafleet.step.pipeline import stage
from exafleet.step.shards import Shards
from exafleet.step.train import (
    Setting,
    Steps,
    TrainTask,
    columns,
    evaluate,
    gathered,
    has_dtype,
    setting,
    shard_tables,
)
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a search found.

    best     the fastest layout that fits, as one-row Steps; None when nothing runs
    pareto   layouts of which none is both slower and fuller than another, fastest first
    why      reason -> candidates, Why.OK among them
    count    candidates looked at
    """

    best: Steps | None
    pareto: Steps | None
    why: dict[Why, int]
    count: int


def search_train(task: TrainTask, system: System, chips: int, facts: Facts, *, limits: Limits | None = None,
                 memory: bool = True) -> TrainResult:
    """Time every legal layout of a task on exactly `chips` chips of a system.

    limits   ranges of the axes; free where none is given
    memory   False lets layouts through that do not fit (for runs known to have run)

    Raises MissingFact when a figure of the chip, its fabric or the software is not known as of the facts' date.
    """
    found = rows(task.arch, system, task.seq, task.batch, chips, limits or Limits())
    if not found.count:
        return TrainResult(best=None, pareto=None, why={Why.NOT_DIVISIBLE: 1}, count=0)
    at = setting(task, system, facts)
    if not has_dtype(task, at):
        return TrainResult(best=None, pareto=None, why={Why.NO_DTYPE: found.count}, count=found.count)
    front, counts, seen = _scan(task, at, found, memory)
    if not front:
        return TrainResult(best=None, pareto=None, why=counts, count=seen)
    kept = front[0]
    for more in front[1:]:
        kept = join(kept, more)
    steps = evaluate(task, system, facts, kept, chips)
    order = _pareto(steps.time.total, steps.memory.total)
    return TrainResult(best=_only(steps, order[:1], task, system, facts, chips),
                       pareto=_only(steps, order, task, system, facts, chips), why=counts, count=seen)


def _only(
    steps: Steps, order: npt.NDArray[np.intp], task: TrainTask, system: System, facts: Facts, chips: int
) -> Steps:
    return evaluate(task, system, facts, steps.layouts.at(order), chips)


def _scan(task: TrainTask, at: Setting, found: Rows, bounded: bool) -> tuple[list[Layouts], dict[Why, int], int]:
    """Pareto candidates of every chunk, and how many candidates each reason stopped."""
    tab, place = shard_tables(task, at, found.outer)
    usable = usable_bytes(at.system.chip.hbm_bytes, at.memory) if bounded else np.inf
    counts, front, start, seen = dict.fromkeys(Why, 0), [], 0, 0
    for lay in found.chunks():
        size = lay.tp.shape[0]
        time, memory, code = _chunk(task, at, lay, tab, place[start : start + size], usable)
        start += size
        seen += int((code != Why.NOT_DIVISIBLE).sum())
        for w, n in enumerate(np.bincount(code.reshape(-1), minlength=len(counts))):
            counts[Why(w)] += int(n)
        fits = np.flatnonzero(code.reshape(-1) == Why.OK)
        if fits.size:
            front.append(lay.at(fits[_pareto(time.reshape(-1)[fits], memory.reshape(-1)[fits])]))
    return front, {w: n for w, n in counts.items() if n}, seen


def _chunk(task: TrainTask, at: Setting, lay: Layouts, tab: Shards, place: npt.NDArray[np.intp],
           usable: float) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Step time, memory and reason of one chunk [R, P, Z, M, O]."""
    pipe = stage(task.arch, task.batch, lay)
    has = held(task.arch, lay, pipe.share)
    here = gathered(tab, place, (lay.tp.shape[0],) + (1,) * (DIMENSIONS - 1))
    with np.errstate(invalid="ignore"):  # out of reach is an endless time, and endless less endless is no number
        spent, _ = columns(task, at, lay, here, pipe, has)
    shape = lay.shape
    time = np.broadcast_to(sum(spent.values()), shape)
    memory = np.broadcast_to(
        memory_total(task.arch, at.memory, lay, here, pipe.share, pipe.micro_batches, has), shape)
    # Rows are legal already; schedules and groups tie them to the inner axes.
    legal = interleaves(task.arch, task.batch, lay) & groups_ok(task.arch, lay)
    runs = np.where(np.isfinite(time), np.where(memory > usable, Why.HBM_FULL, Why.OK), Why.TOO_MANY)
    if np.isnan(at.host_bw):
        runs = np.where(lay.offload > 0, Why.NO_FACTS, runs)
    return time, memory, np.where(legal, runs, Why.NOT_DIVISIBLE)


def _pareto(time: Floats, memory: Floats) -> npt.NDArray[np.intp]:
    """Positions of points that no other beats in both, by rising time; ties keep the first."""
    order = np.lexsort((memory, time))
    least = np.minimum.accumulate(memory[order])
    better = np.concatenate([[True], memory[order][1:] < least[:-1]])
    return np.asarray(order[better], dtype=np.intp)
