"""The best training layout over all legal ones, the trade of time against memory, and why the rest do not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.step.layouts import Layouts, Rows, join, rows
from exafleet.step.limits import Limits
from exafleet.step.memory import held, memory_total
from exafleet.step.memory import usable as usable_bytes
from exafleet.step.shards import Shards
from exafleet.step.train import (
    Setting,
    Steps,
    TrainTask,
    columns,
    dealt,
    evaluate,
    gathered,
    has_dtype,
    setting,
    shard_tables,
)
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


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
    found = rows(task.arch, system, task.seq, int(task.batch), chips, limits or Limits())
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


@dataclass(slots=True)
class _Front:
    """Pareto candidates so far: their time and memory by rising time, and the layouts found chunk by chunk."""

    time: Floats
    memory: Floats
    layouts: list[Layouts]

    def beats(self, time: Floats, memory: Floats) -> npt.NDArray[np.bool_]:
        """Whether a known layout is neither slower nor fuller than each point."""
        least = np.concatenate([[np.inf], self.memory])
        return np.asarray(least[np.searchsorted(self.time, time, side="right")] <= memory)

    def add(self, time: Floats, memory: Floats, lay: Layouts, places: npt.NDArray[np.intp]) -> None:
        """Take in the points at `places` of a chunk that nothing beats."""
        fresh = ~self.beats(time, memory)
        time, memory, places = time[fresh], memory[fresh], places[fresh]
        if not places.size:
            return
        best = _pareto(time, memory)
        self.layouts.append(lay.at(places[best]))
        all_time, all_memory = np.concatenate([self.time, time[best]]), np.concatenate([self.memory, memory[best]])
        order = _pareto(all_time, all_memory)
        self.time, self.memory = all_time[order], all_memory[order]


def _scan(task: TrainTask, at: Setting, found: Rows, bounded: bool) -> tuple[list[Layouts], dict[Why, int], int]:
    """Pareto candidates of every chunk, and how many candidates each reason stopped.

    Rows come by rising bound on their time. Memory is reckoned for every candidate, time only for rows that a known
    layout does not beat on both counts whatever the rest of their time is: what is left out could not be an answer.
    """
    tab, place = shard_tables(task, at, found.outer)
    bound = _least_time(task, at, found.outer, tab, place)
    order = np.argsort(bound[:, 0], kind="stable")
    found, bound, place = found.at(order), bound[order], place[order]
    usable = usable_bytes(at.system.chip.hbm_bytes, at.memory) if bounded else np.inf
    counts = np.zeros(len(Why), dtype=np.int64)
    counts[Why.NOT_DIVISIBLE] = found.listed - found.count
    front = _Front(np.empty(0), np.empty(0), [])
    for cut, lay in found.chunks():
        counts += _chunk(task, at, lay, gathered(tab, place[cut], lay.tp.shape), bound[cut], usable, front)
    return front.layouts, {Why(w): int(n) for w, n in enumerate(counts) if n}, found.count


def _least_time(task: TrainTask, at: Setting, outer: Layouts, tab: Shards, place: npt.NDArray[np.intp]) -> Floats:
    """What a row's step takes at least by recomputation: blocks dealt out evenly, no bubble, nothing else. [R, M]

    Software that counts the head as blocks may give the other stages up to a block less than that.
    """
    seen = 1.0 - at.how.tp_hidden
    work = np.stack([tab.total + seen * tab.tp + tab.cp + again for again in tab.again], axis=-1)
    work[:, 2] += seen * tab.tp_again
    spared = outer.pp / task.arch.layers if at.how.balanced else np.zeros(outer.pp.shape)
    share = np.maximum(1.0 - spared, 0.0) / outer.pp
    return np.asarray(work[place] * (share * task.batch / (outer.dp * outer.mbs))[:, None])


def _chunk(task: TrainTask, at: Setting, lay: Layouts, here: Mapping[str, Floats], bound: Floats, usable: float,
           front: _Front) -> Ints:
    """Candidates of a chunk [R, P, Z, M, O] by reason; those that may matter are timed and join the front."""
    pipe = dealt(task, at, lay, here)
    has = held(task.arch, lay, pipe.share)
    memory = np.broadcast_to(
        memory_total(task.arch, at.memory, lay, here, pipe.share, pipe.micro_batches, has), lay.shape)
    code = np.where(memory > usable, np.int64(Why.HBM_FULL), np.int64(Why.OK))
    if np.isnan(at.host_bw):
        code = np.where(lay.offload > 0, Why.NO_FACTS, code)
    fits = code == Why.OK
    least = np.where(fits, memory, np.inf).min(axis=(1, 2, 4))
    floor = np.take_along_axis(bound, np.broadcast_to(lay.recompute.reshape(1, -1), least.shape), axis=1)
    hopeful = np.isfinite(least) & ~front.beats(floor, least)
    rows = np.flatnonzero(hopeful.any(axis=1) | _cut_off(at))
    if rows.size:
        few = {name: v[rows] for name, v in here.items()}
        code[rows] = _timed(task, at, lay.rows(rows), few, memory[rows], code[rows], front)
    return np.bincount(code.reshape(-1), minlength=len(Why))


def _cut_off(at: Setting) -> bool:
    """Whether a level of the network is missing, so that every row must be timed to know whether it is within reach."""
    return not (at.net.link and at.net.nic)


def _timed(task: TrainTask, at: Setting, lay: Layouts, here: Mapping[str, Floats], memory: Floats, code: Ints,
           front: _Front) -> Ints:
    """Reasons once more, with endless times out of reach; what runs joins the front."""
    pipe = dealt(task, at, lay, here)
    with np.errstate(invalid="ignore"):  # out of reach is an endless time, and endless less endless is no number
        spent, _ = columns(task, at, lay, here, pipe, held(task.arch, lay, pipe.share))
    time = np.broadcast_to(sum(spent.values()), lay.shape)
    code = np.where((code <= Why.HBM_FULL) & ~np.isfinite(time), Why.TOO_MANY, code)
    places = np.flatnonzero(code.reshape(-1) == Why.OK)
    front.add(time.reshape(-1)[places], memory.reshape(-1)[places], lay, places)
    return code


def _pareto(time: Floats, memory: Floats) -> npt.NDArray[np.intp]:
    """Positions of points that no other beats in both, by rising time; ties keep the first."""
    order = np.lexsort((memory, time))
    least = np.minimum.accumulate(memory[order])
    better = np.concatenate([[True], memory[order][1:] < least[:-1]])
    return np.asarray(order[better], dtype=np.intp)
