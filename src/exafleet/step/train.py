"""Time and memory of one training step, for many layouts at once.

Time parts are exposed time, so they add up to the step; what compute hides is told in `shadow`, which does not add.
The step is `batch / (dp * mbs)` micro-batches through the slowest pipeline stage, the pipeline's filling and draining
(step/pipeline.py), the exposed data-parallel traffic, the optimizer, the host and stragglers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System
from exafleet.ops.collective import Fabric, fabric
from exafleet.ops.efficiency import Efficiency, efficiency
from exafleet.step.layouts import SHARD, Layouts, distinct_rows, illegal
from exafleet.step.memory import Held, MemoryPractice, States, held, memory_columns, memory_practice, usable
from exafleet.step.pipeline import Stage, bubble, levelled, stage, turn
from exafleet.step.practice import Band, Practice, band, known_stack, practice, stack_of
from exafleet.step.replicas import Traffic, data_parallel, offloaded, own, traffic
from exafleet.step.shards import COMPUTE, Shards, Timed, shards, timed
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why
from exafleet.work.counts import flops_per_token
from exafleet.work.recipes import FUSED, recipe

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TIME = (*COMPUTE, "embedding+loss", "recompute", "tp", "cp", "ep", "pp bubble", "pp p2p", "dp", "optimizer",
        "offload", "host", "straggler")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainTask:
    """One training step to be timed.

    seq      tokens in a sequence                                            [token]
    batch    sequences in a step; an array where candidates differ in it     [1] or [C]
    dtype    of the matrix products of the blocks: "bf16", "fp8", "fp4", "int8"
    recipe   how its low-precision tensors are scaled: a name of work.recipes; "" is the usual one of the chip
    wide     share of the blocks whose products stay in bf16
    stack    subject of the software stack; "" is the tuned one of the vendor
    release  of the stack, "YY.MM"; None is the newest known, "" the stack as a whole
    options  settings of the software: names of step.practice.OPTIONS; None is what the stack's users switch on
    sample   mean length of samples packed into a sequence; 0 where a sequence is one sample   [token]
    frozen   weights are not trained, only small adapters beside them (LoRA)
    each     bytes of one parameter's weight, gradient and optimizer state; None is what the stack does
    """

    arch: Arch
    seq: int
    batch: int | Ints
    dtype: str = "bf16"
    recipe: str = ""
    wide: float = 0.0
    stack: str = ""
    release: str | None = None
    options: tuple[str, ...] | None = None
    sample: int = 0
    frozen: bool = False
    each: States | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Everything about hardware and software a step needs, read from facts once.

    host_bw   of one chip to its host's memory, one direction; nan where it is not known     [B/s]
    """

    system: System
    eff: Efficiency
    net: Fabric
    how: Practice
    band: Band
    each: States
    host_bw: float
    memory: MemoryPractice


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Steps of candidates [C].

    time      exposed parts of TIME                                  [C, P]  [s]
    shadow    hidden communication, does not add to the step          [C, 7]  [s]
    memory    parts of one chip of the fullest stage                  [C, 8]  [B]
    tokens_per_s, mfu                                                 [C]
    low, high 80 % band of tokens_per_s                               [C]     [token/s]
    why       Why.OK, or why it cannot run                            [C]
    """

    layouts: Layouts
    time: Parts
    shadow: Parts
    memory: Parts
    usable: float
    tokens_per_s: Floats
    mfu: Floats
    low: Floats
    high: Floats
    why: Ints

    def row(self, i: int) -> Steps:
        """The i-th candidate alone, as one-row Steps."""
        return self.rows(np.array([i]))

    def rows(self, places: npt.NDArray[np.intp]) -> Steps:
        """Some candidates in some order."""
        time, shadow, memory = (Parts(names=p.names, values=p.values[places], unit=p.unit)
                                for p in (self.time, self.shadow, self.memory))
        return replace(self, layouts=self.layouts.at(places), tokens_per_s=self.tokens_per_s[places],
                       mfu=self.mfu[places], low=self.low[places], high=self.high[places], why=self.why[places],
                       time=time, shadow=shadow, memory=memory)


def sequences(tokens: float, seq: int) -> int:
    """Sequences in a global batch of so many tokens.

    Whole sequences are kept as they are. What is not whole becomes the number within 5 % that a power of two divides
    best, because data-parallel ways must divide it: 16M tokens of 8,192 are 2,048 sequences (people mean 16 x 2^20).

    >>> sequences(16e6, 8192), sequences(8192 * 9216, 8192), sequences(60e6, 4096)
    (2048, 9216, 14336)
    """
    number = tokens / seq
    if number == round(number):
        return int(number)
    for power in range(30, -1, -1):
        rounded: int = round(number / 2**power) * 2**power
        if abs(rounded - number) <= 0.05 * number:
            return rounded
    return max(1, round(number))


def setting(task: TrainTask, system: System, facts: Facts) -> Setting:
    """Curves, fabric, practice and band as of the facts' date; raises FactError for an unknown stack, MissingFact."""
    stack = known_stack(facts, stack_of(task.stack, system.chip.vendor))
    eff = efficiency(facts, system.chip)
    around = band(facts, stack, task.arch.kind)
    how = practice(facts, stack, task.dtype, system.chip.family, task.release, task.options)
    memory = memory_practice(facts, stack, task.dtype, system.chip.family)
    if task.each is not None:
        memory = replace(memory, each=task.each)
    return Setting(system=system, eff=eff, net=fabric(facts, system, how.network), how=how,
                   each=task.each or States(gradient=how.gradient_bytes),
                   host_bw=facts.try_value(f"{system.chip.id}.host_bw") or np.nan, memory=memory,
                   band=around.wider(eff.sigma) if task.dtype in eff.inferred else around)


def shard_work(task: TrainTask, at: Setting, lay: Layouts) -> tuple[Timed, Ints]:
    """Timed operators of the distinct shards among layouts, and each layout row's place among them."""
    columns = np.stack([getattr(lay, a).reshape(-1) for a in SHARD], axis=-1)
    distinct, place = distinct_rows(columns)
    axes = {a: distinct[:, i] for i, a in enumerate(SHARD)}
    chip = at.system.chip
    base = timed(task.arch, task.seq, task.dtype, chip, at.eff, **axes,
                 recipe=recipe(task.dtype, chip.family, task.recipe), kernels=FUSED, gradient=at.each.gradient,
                 wide=task.wide, sample=task.sample, frozen=task.frozen)
    return base, place


def shard_tables(task: TrainTask, at: Setting, lay: Layouts) -> tuple[Shards, Ints]:
    """Tables of the distinct shards among layouts, and each layout row's place in them."""
    base, place = shard_work(task, at, lay)
    return shards(task.arch, base, at.net, at.how, at.memory.keeps), place


def dealt(task: TrainTask, at: Setting, lay: Layouts, tab: Mapping[str, Floats]) -> Stage:
    """How the stack deals blocks out to stages: evenly, or with the head counted as what it costs."""
    pipe = stage(task.arch, task.batch, lay)
    return levelled(task.arch, lay, pipe, tab) if at.how.balanced else pipe


def columns(task: TrainTask, at: Setting, lay: Layouts, tab: Mapping[str, Floats], pipe: Stage,
            has: Held) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Exposed and hidden time by part; all of COMPUTE is one column "compute". Broadcasts over layouts and tables.

    Parts come in the order of the axes they need, so that their sum grows to the full shape only at its end.
    """
    how, count = at.how, pipe.micro_batches
    one = turn(task.arch, how, at.net, lay, tab, pipe)
    moved_dp = traffic(lay, pipe, has, at.each, at.net, moe=bool(task.arch.moe_layers))
    if task.frozen:  # adapters are small: nothing is reduced, and only sharded parameters are gathered
        still = np.zeros_like(moved_dp.scatter)
        moved_dp = Traffic(gather=np.where(lay.zero == 3, moved_dp.gather, 0.0), scatter=still, between=still)
    dp_all, dp_seen = data_parallel(lay, pipe, moved_dp, one, how)
    mine = own(lay, has)
    moved, waited = offloaded(lay, mine * at.each.optimizer, _kept(lay, tab) * pipe.share, one, pipe, at.host_bw)
    spent = {
        "compute": one.compute * count, "embedding+loss": one.head * count, "recompute": one.again * count,
        "tp": one.tp * count, "cp": one.cp * count, "ep": one.ep * count, "pp p2p": one.send * count,
        "pp bubble": bubble(lay, one),
        "host": how.host_step + one.host * count,
        "optimizer": _optimizer(at, 0.0 * mine if task.frozen else mine), "dp": dp_seen, "offload": waited,
    }
    late = how.straggler * np.log2(np.maximum(lay.chips / 8.0, 1.0))
    spent["straggler"] = late * sum(spent.values())
    shadow = {name: part * count for name, part in one.hidden.items()} \
        | {"dp": dp_all - dp_seen, "offload": moved - waited}
    return spent, shadow


def _kept(lay: Layouts, tab: Mapping[str, Floats]) -> Floats:
    """Activations of one micro-batch through all blocks that its backward pass needs. [B]"""
    mode = lay.recompute
    return np.where(mode == 0, tab["keep0"], np.where(mode == 1, tab["keep1"], tab["keep2"]))


def _optimizer(at: Setting, mine: Floats) -> Floats:
    """Reading and writing master copies and moments, reading gradients, writing weights."""
    nbytes = mine * (2.0 * at.each.optimizer + at.each.gradient + at.each.weight)
    return np.asarray(nbytes / (at.system.chip.hbm_bw * at.eff.moving.share))


def gathered(tab: Shards, place: npt.NDArray[np.intp], shape: tuple[int, ...]) -> dict[str, Floats]:
    """The tables at each row's place, shaped like the rows."""
    plain = {name: getattr(tab, name) for name in ("total", "forward", "wgrad", "head", "tp", "tp_again", "ep",
                                                   "ep_again", "cp", "cp_all", "working", "logits", "buffers",
                                                   "message")}
    plain |= {f"again{i}": v for i, v in enumerate(tab.again)} | {f"keep{i}": v for i, v in enumerate(tab.activations)}
    return {name: v[place].reshape(shape) for name, v in plain.items()}


def evaluate(task: TrainTask, system: System, facts: Facts, lay: Layouts, chips: int | None = None) -> Steps:
    """Steps of given layouts (one-dimensional). chips: how many there are; None takes what each layout uses.

    Nothing raises for a candidate that cannot run: `why` says so. Raises MissingFact when a figure is not known.
    """
    return evaluate_at(task, setting(task, system, facts), lay, chips)


def evaluate_at(task: TrainTask, at: Setting, lay: Layouts, chips: int | None = None) -> Steps:
    """Steps of given layouts under a setting that has been read; see `evaluate`."""
    lay = lay.at(np.arange(int(np.prod(lay.shape, dtype=np.int64))))
    tab, place = shard_tables(task, at, lay)
    ran = run(task, at, lay, tab, place)
    memory = Parts.of("B", memory_columns(task.arch, at.memory, lay, ran.here, ran.pipe.share,
                                          ran.pipe.micro_batches, ran.has))
    whole = ran.pipe.share * ran.pipe.micro_batches
    split = {part: tab.compute[part][place] * whole for part in COMPUTE}
    time = Parts.of("s", {name: split[name] if name in split else ran.spent[name] for name in TIME})
    room = usable(at.system.chip.hbm_bytes, at.memory)
    why = reasons(task, at, lay, memory.total, time.total, room, lay.chips if chips is None else chips)
    return _steps(task, at, lay, time, Parts.of("s", ran.shadow), memory, room, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Step times of candidates and what they were made from: exposed and hidden parts, stage, tables, parameters."""

    spent: dict[str, Floats]
    shadow: dict[str, Floats]
    here: dict[str, Floats]
    pipe: Stage
    has: Held


def run(task: TrainTask, at: Setting, lay: Layouts, tab: Shards, place: Ints) -> Ran:
    """Times of candidates whose shard tables are known. place: each row's place in the tables."""
    here = gathered(tab, place, lay.tp.shape)
    pipe = dealt(task, at, lay, here)
    has = held(task.arch, lay, pipe.share)
    with np.errstate(invalid="ignore"):
        spent, shadow = columns(task, at, lay, here, pipe, has)
    return Ran(spent=spent, shadow=shadow, here=here, pipe=pipe, has=has)


def reasons(
    task: TrainTask, at: Setting, lay: Layouts, memory: Floats, time: Floats, usable: float, chips: npt.ArrayLike
) -> Ints:
    """Reason code of each candidate: integers first, then number format, reach of the network, memory."""
    code = illegal(task.arch, at.system, task.seq, task.batch, np.asarray(chips), lay)
    endless = Why.TOO_MANY if has_dtype(task, at) else Why.NO_DTYPE
    code = np.where((code == Why.OK) & (lay.offload > 0) & np.isnan(at.host_bw), Why.NO_FACTS, code)
    code = np.where((code == Why.OK) & ~np.isfinite(time), endless, code)
    return np.asarray(np.where((code == Why.OK) & (memory > usable), Why.HBM_FULL, code), dtype=np.int64)


def has_dtype(task: TrainTask, at: Setting) -> bool:
    """Whether the chip has a peak and a curve for the task's number format; without a network, time is endless too."""
    return task.dtype in at.system.chip.peak_flops and task.dtype in at.eff.product


def _steps(task: TrainTask, at: Setting, lay: Layouts, time: Parts, shadow: Parts, memory: Parts, usable: float,
           why: Ints) -> Steps:
    total = time.total
    rate = np.divide(task.batch * task.seq, total, out=np.zeros_like(total), where=np.isfinite(total))
    peak = at.system.chip.peak_flops.get(task.dtype, np.nan)
    mfu = rate * flops_per_token(task.arch, task.seq, mtp=True) / (lay.chips * peak)
    return Steps(layouts=lay, time=time, shadow=shadow, memory=memory, usable=usable, tokens_per_s=rate, mfu=mfu,
                 low=rate * at.band.low, high=rate * at.band.high, why=why)
