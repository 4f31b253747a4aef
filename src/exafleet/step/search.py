"""The best training layout over all legal ones, the trade of time against memory, and why the rest do not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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
    evaluate_at,
    gathered,
    has_dtype,
    setting,
    shard_tables,
)
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Two sums of the same times in another order differ by no more than this share.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """What a search found.

    best     the fastest layout that fits, as one-row Steps; None when nothing runs
    pareto   layouts of which none is both slower and fuller than another, fastest first; `best` alone where only the
             fastest was asked for
    why      reason -> candidates, Why.OK among them; of a search for the fastest, those it looked at
    count    candidates listed
    """

    best: Steps | None
    pareto: Steps | None
    why: dict[Why, int]
    count: int


def search_train(task: TrainTask, system: System, chips: int, facts: Facts, *, limits: Limits | None = None,
                 memory: bool = True, trade: bool = True) -> TrainResult:
    """Time every legal layout of a task on exactly `chips` chips of a system.

    limits   ranges of the axes; free where none is given
    memory   False lets layouts through that do not fit (for runs known to have run)
    trade    False looks for the fastest alone, which it finds sooner; where nothing runs, `why` is as complete

    Raises MissingFact when a figure of the chip, its fabric or the software is not known as of the facts' date.
    """
    found = rows(task.arch, system, task.seq, int(task.batch), chips, limits or Limits())
    if not found.count:
        return TrainResult(best=None, pareto=None, why={Why.NOT_DIVISIBLE: 1}, count=0)
    at = setting(task, system, facts)
    if not has_dtype(task, at):
        return TrainResult(best=None, pareto=None, why={Why.NO_DTYPE: found.count}, count=found.count)
    front, counts, seen = _scan(task, at, found, memory, _Front() if trade else _Fastest())
    if not front:
        return TrainResult(best=None, pareto=None, why=counts, count=seen)
    kept = front[0]
    for more in front[1:]:
        kept = join(kept, more)
    steps = evaluate_at(task, at, kept, chips)
    order = _pareto(steps.time.total, steps.memory.total)
    return TrainResult(best=steps.rows(order[:1]), pareto=steps.rows(order if trade else order[:1]), why=counts,
                       count=seen)


@dataclass(slots=True)
class _Front:
    """Pareto candidates so far: their time and memory by rising time, and the layouts found chunk by chunk."""

    time: Floats = field(default_factory=lambda: np.empty(0))
    memory: Floats = field(default_factory=lambda: np.empty(0))
    found: list[tuple[int, Layouts]] = field(default_factory=list)

    def beats(self, time: Floats, memory: Floats) -> npt.NDArray[np.bool_]:
        """Whether a known layout is neither slower nor fuller than each point."""
        least = np.concatenate([[np.inf], self.memory])
        return np.asarray(least[np.searchsorted(self.time, time, side="right")] <= memory)

    def late(self, floor: Floats) -> npt.NDArray[np.bool_]:
        """Rows that need no look at all, by what they take at least; in a trade there are none. [R]"""
        return np.zeros(floor.shape, dtype=bool)

    def add(self, time: Floats, memory: Floats, lay: Layouts, places: npt.NDArray[np.intp], chunk: int) -> None:
        """Take in the points at `places` of a chunk that nothing beats."""
        fresh = ~self.beats(time, memory)
        time, memory, places = time[fresh], memory[fresh], places[fresh]
        if not places.size:
            return
        best = _pareto(time, memory)
        self.found.append((chunk, lay.at(places[best])))
        all_time, all_memory = np.concatenate([self.time, time[best]]), np.concatenate([self.memory, memory[best]])
        order = _pareto(all_time, all_memory)
        self.time, self.memory = all_time[order], all_memory[order]


@dataclass(slots=True)
class _Fastest:
    """The least time so far, and the layouts that took it or, but for rounding, no longer."""

    time: float = np.inf
    found: list[tuple[int, Layouts]] = field(default_factory=list)

    def beats(self, time: Floats, memory: Floats) -> npt.NDArray[np.bool_]:
        """Whether each point is slower; how full it is does not matter."""
        return np.asarray(np.broadcast_to(time > self.time * (1.0 + _ROUNDING), memory.shape))

    def late(self, floor: Floats) -> npt.NDArray[np.bool_]:
        """Rows that take longer at least. [R]"""
        return np.asarray(floor > self.time * (1.0 + _ROUNDING))

    def add(self, time: Floats, memory: Floats, lay: Layouts, places: npt.NDArray[np.intp], chunk: int) -> None:
        """Take in the fastest of the points at `places` of a chunk."""
        least = float(time.min(initial=np.inf))
        if not least <= self.time * (1.0 + _ROUNDING):
            return
        if least * (1.0 + _ROUNDING) < self.time:
            self.found.clear()
        self.time = min(self.time, least)
        near = time <= self.time * (1.0 + _ROUNDING)
        self.found.append((chunk, lay.at(places[near])))


def _scan(task: TrainTask, at: Setting, found: Rows, bounded: bool,
          front: _Front | _Fastest) -> tuple[list[Layouts], dict[Why, int], int]:
    """Candidates of every chunk that may be the answer, and how many candidates each reason stopped.

    Rows come by rising bound on their time. Memory is reckoned for every candidate, time only for rows that a known
    layout does not beat on both counts whatever the rest of their time is: what is left out could not be an answer.
    Where only the fastest is asked for, a row that takes longer at least is not looked at.
    """
    tab, place = shard_tables(task, at, found.outer)
    bound = _least_time(task, at, found.outer, tab, place)
    order = np.argsort(bound[:, 0], kind="stable")
    found, bound, place = found.at(order), bound[order], place[order]
    usable = usable_bytes(at.system.chip.hbm_bytes, at.memory) if bounded else np.inf
    counts = np.zeros(len(Why), dtype=np.int64)
    counts[Why.NOT_DIVISIBLE] = found.listed - found.count
    for number, cut, lay in _ordered(found, bound[:, 0], isinstance(front, _Fastest)):
        rows = np.flatnonzero(~front.late(bound[cut, 0]))
        if rows.size:
            cut, lay = (cut, lay) if rows.size == cut.size else (cut[rows], lay.rows(rows))
            counts += _chunk(task, at, lay, gathered(tab, place[cut], lay.tp.shape), bound[cut], usable, front, number)
    front.found.sort(key=lambda pair: pair[0])
    return [lay for _, lay in front.found], {Why(w): int(n) for w, n in enumerate(counts) if n}, found.count


def _ordered(found: Rows, floor: Floats, sooner: bool) -> Iterator[tuple[int, npt.NDArray[np.intp], Layouts]]:
    """Chunks with their numbers, as they are listed or, `sooner`, those first whose first row may be the fastest."""
    listed = ((i, cut, lay) for i, (cut, lay) in enumerate(found.chunks()))
    return iter(sorted(listed, key=lambda one: (float(floor[one[1][0]]), one[0])) if sooner else listed)


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
           front: _Front | _Fastest, number: int) -> Ints:
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
        code[rows] = _timed(task, at, lay.rows(rows), few, memory[rows], code[rows], front, number)
    return np.bincount(code.reshape(-1), minlength=len(Why))


def _cut_off(at: Setting) -> bool:
    """Whether a level of the network is missing, so that every row must be timed to know whether it is within reach."""
    return not (at.net.link and at.net.nic)


def _timed(task: TrainTask, at: Setting, lay: Layouts, here: Mapping[str, Floats], memory: Floats, code: Ints,
           front: _Front | _Fastest, number: int) -> Ints:
    """Reasons once more, with endless times out of reach; what runs joins the front."""
    pipe = dealt(task, at, lay, here)
    with np.errstate(invalid="ignore"):  # out of reach is an endless time, and endless less endless is no number
        spent, _ = columns(task, at, lay, here, pipe, held(task.arch, lay, pipe.share))
    time = np.broadcast_to(sum(spent.values()), lay.shape)
    code = np.where((code <= Why.HBM_FULL) & ~np.isfinite(time), Why.TOO_MANY, code)
    places = np.flatnonzero(code.reshape(-1) == Why.OK)
    front.add(time.reshape(-1)[places], memory.reshape(-1)[places], lay, places, number)
    return code


def _pareto(time: Floats, memory: Floats) -> npt.NDArray[np.intp]:
    """Positions of points that no other beats in both, by rising time; ties keep the first."""
    order = np.lexsort((memory, time))
    least = np.minimum.accumulate(memory[order])
    better = np.concatenate([[True], memory[order][1:] < least[:-1]])
    return np.asarray(order[better], dtype=np.intp)
