"""Watts of one accelerator's board while it serves, and joules per token, from what the engine's steps do.

A board draws power at idle, more while kernels run, and more for what they do: products, traffic of the memory, traffic
of the links. Each has one coefficient, a share of the chip's rated power, the same for every chip (data/power.csv;
docs/models/energy.md derives and fits them). Servers, network and cooling come on top in fleet/power.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import Chip
from exafleet.step.serve import (
    BAND,
    Machine,
    ServeTask,
    chunk_parts,
    decode_operators,
    decode_parts,
    prefill_operators,
    shared_chunk,
    stored,
)
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.terms.errors import MissingFact, Problem
from exafleet.terms.parts import Parts
from exafleet.work.counts import ELEMENT_BYTES, expert_width
from exafleet.work.operator import Work

Floats = npt.NDArray[np.float64]
BOARD = "accelerator-board"
# What a board's power is made of, in the order of its parts; the qualifiers of term board_share.
PIECES = ("idle", "running", "compute", "memory", "links")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Power of a board as shares of its rated power (data/power.csv).

    idle      with weights loaded and nothing to do                                      [1]
    running   while any kernel runs, whatever it does                                     [1]
    compute   at the dense peak of the products' format                                   [1]
    memory    at the bandwidth of the memory                                              [1]
    links     at the scale-up bandwidth                                                   [1]
    sigma     relative (log) uncertainty of the watts, one deviation                      [1]
    """

    idle: float
    running: float
    compute: float
    memory: float
    links: float
    sigma: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What one chip does in some stretch of time. Every array is [C].

    time      how long the stretch lasts                                                  [s]
    running   of it, while kernels run; the rest waits for the host or for requests        [s]
    compute   seconds its FLOPs would take at the dense peak of their formats              [s]
    memory    seconds its bytes would take at the memory's bandwidth                       [s]
    links     seconds its messages would take at the scale-up bandwidth                    [s]
    """

    time: Floats
    running: Floats
    compute: Floats
    memory: Floats
    links: Floats

    def share(self) -> Parts:
        """Running time, compute, memory and links as shares of the time; they need not add up to 1. [C, P]  [1]"""
        return Parts.of("1", {name: np.asarray(getattr(self, name) / self.time) for name in PIECES[1:]})


def board(facts: Facts, chip: Chip) -> Board:
    """The coefficients for a chip's board; raises MissingFact naming every missing one.

    A chip whose board nobody published takes the uncertainty of chips in general.
    """
    keys = {name: f"{BOARD}.board_share@{name}" for name in PIECES} | {"sigma": f"{BOARD}.board_sigma"}
    found = {name: facts.try_value(key) for name, key in keys.items()}
    gaps = [keys[name] for name, value in found.items() if value is None]
    if gaps:
        raise MissingFact([Problem(what=f"no power figure as of {facts.as_of.isoformat()}", got=key,
                                   remedy="Give it in a table of your own, with its source and date.") for key in gaps])
    own = facts.try_value(f"{chip.id}.board_sigma")
    value = {name: float(v) for name, v in found.items() if v is not None}
    return Board(**(value if own is None else value | {"sigma": own}))


def decode_use(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Use:
    """What one chip does for a token of each of `batch` sequences of every group: a step, or its share of one. [C]"""
    work, step = decode_operators(task, layouts, batch), decode_parts(task, on, layouts, batch)
    return scaled(_use(work, task, on, layouts, batch * task.queries, step), 1.0 / task.per_step)


def prefill_use(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Use:
    """What one chip does for one prompt, which may share its steps with others as in `prefill_parts`. [C]"""
    tokens, seq, before = shared_chunk(task, batch)
    use = _use(prefill_operators(task, layouts, tokens, seq, before, tokens / seq), task, on, layouts, tokens,
               chunk_parts(task, on, layouts, tokens, seq, before))
    return scaled(use, task.fresh_tokens / tokens)


def _use(work: Work, task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats, step: Parts) -> Use:
    work = as_checkpoints(stored(work, task), task)
    peak = np.array([on.chip.peak_flops.get(dtype if kind in ("gemm", "grouped") else "bf16", np.inf)
                     for kind, dtype in zip(work.kinds, work.dtypes, strict=True)])
    time = step.total
    host = step["host"] if "host" in step.names else np.zeros_like(time)
    return Use(time=time, running=time - host, compute=work.total(work.flops / peak),
               memory=work.total(work.nbytes) / on.chip.hbm_bw, links=_messages(task, on, layouts, tokens))


def as_checkpoints(work: Work, task: ServeTask) -> Work:
    """The same work in the formats of published FP4 checkpoints of experts: all but the experts' products in bf16.

    Times do not need it: what is slower for it is in the fitted factors. Joules do, for FLOPs and bytes are counted.
    """
    if task.dtype != "fp4" or not task.arch.moe_layers:
        return work
    kept = np.array([kind == "gemm" and dtype == task.dtype
                     for kind, dtype in zip(work.kinds, work.dtypes, strict=True)])
    wider = (ELEMENT_BYTES["bf16"] - ELEMENT_BYTES[task.dtype]) * work.groups * (work.m + work.n) * work.k
    return replace(work, nbytes=work.nbytes + wider * kept,
                   dtypes=tuple("bf16" if wide else dtype for wide, dtype in zip(kept, work.dtypes, strict=True)))


def _messages(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats) -> Floats:
    """Seconds a chip's messages of a step would take at its scale-up bandwidth. [C]  [s]"""
    arch, width = task.arch, ELEMENT_BYTES["bf16"]
    if not on.chip.link_bw:
        return np.zeros_like(layouts.tp)
    reductions = arch.attention_layers + arch.state_layers + arch.mlp_layers
    reduced = reductions * 2.0 * width * arch.hidden * tokens * (layouts.tp - 1.0) / layouts.tp
    each = tokens / layouts.tp * np.minimum(arch.topk, layouts.ep) * expert_width(arch)
    away = (layouts.ep - 1.0) / layouts.ep * (ELEMENT_BYTES[task.dtype] + width)
    exchanged = np.where(layouts.dp > 1, arch.moe_layers * each * away, 0.0)
    return np.asarray((reduced + exchanged) / on.chip.link_bw)


def scaled(use: Use, factor: npt.ArrayLike) -> Use:
    """`factor` such stretches one after the other. [C]"""
    by = np.asarray(factor, dtype=np.float64)
    return Use(time=use.time * by, running=use.running * by, compute=use.compute * by, memory=use.memory * by,
               links=use.links * by)


def together(one: Use, other: Use) -> Use:
    """Two stretches one after the other. [C]"""
    return Use(time=one.time + other.time, running=one.running + other.running, compute=one.compute + other.compute,
               memory=one.memory + other.memory, links=one.links + other.links)


def within(use: Use, time: Floats) -> Use:
    """The same work in a stretch of `time`: kernels cannot run for longer than that. [C]"""
    return Use(time=time, running=np.minimum(use.running, time), compute=use.compute, memory=use.memory,
               links=use.links)


def activity(task: ServeTask, on: Machine, layouts: ServeLayouts, concurrency: npt.ArrayLike,
             rate: npt.ArrayLike) -> Use:
    """What one chip of a replica does between two output tokens of a sequence. [C]

    concurrency  sequences running on the replica                                         [C]
    rate         output tokens per second of the replica, waiting of all kinds included    [C]  [token/s]

    In that time the chip goes through one decode step (with speculation, a share of one) and its share of the prompts
    of the sequences it runs.
    """
    running = np.broadcast_to(np.asarray(concurrency, dtype=np.float64), layouts.tp.shape)
    return within(together(*_phases(task, on, layouts, running)), running / np.asarray(rate, dtype=np.float64))


def _phases(task: ServeTask, on: Machine, layouts: ServeLayouts, running: Floats) -> tuple[Use, Use]:
    """A decode step, and the share of prompts that falls between two output tokens of a sequence. [C]"""
    batch = _batch(layouts, running)
    prompts = scaled(prefill_use(task, on, layouts, batch), batch / task.output_tokens)
    return decode_use(task, on, layouts, batch), prompts


def _batch(layouts: ServeLayouts, running: Floats) -> Floats:
    """Sequences of one micro-batch on one group. [C]"""
    return np.maximum(running / (layouts.dp * layouts.pp), 1.0)


def board_power(use: Use, facts: Facts, chip: Chip) -> Parts:
    """Mean power of one accelerator's board over a stretch of time. [C, P]  [W]

    Between idle and the chip's rated power: a board that would draw more is held there by its clock, and then every
    part above idle is the same share of what it would be.
    """
    return watts(use, board(facts, chip), chip.tdp)


def watts(use: Use, on: Board, tdp: float) -> Parts:
    """The same from the coefficients of a board. [C, P]  [W]"""
    share = use.share()
    above = {name: getattr(on, name) * share[name] for name in PIECES[1:]}
    asked = np.sum(list(above.values()), axis=0)
    kept = np.minimum(1.0, (1.0 - on.idle) / np.maximum(asked, 1e-12))
    return Parts.of("W", {"idle": on.idle * tdp, **{name: value * kept * tdp for name, value in above.items()}})


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEnergy:
    """Energy of the accelerators' boards for one token. Every array is [C].

    parts           of one output token's, everything counted: "prefill", "decode", and "idle", which boards draw
                    whatever they do                                                        [C, P]  [J/token]
    low, high       80 % band of its total                                                   [J/token]
    power           mean power of one board                                                  [W]
    pieces          what it is made of, PIECES                                               [C, P]  [W]
    power_spread    factor of its 80 % band                                                  [1]
    prefill_power   of a board in the prefill pool; of one pool for both, while it prefills   [W]
    decode_power    the same of decode                                                        [W]
    """

    parts: Parts
    low: Floats
    high: Floats
    power: Floats
    pieces: Parts
    power_spread: Floats
    prefill_power: Floats
    decode_power: Floats
    input_tokens: float
    output_tokens: float

    @property
    def output(self) -> Floats:
        """All the energy over the output tokens: the total of `parts`. [C]  [J/token]"""
        return self.parts.total

    @property
    def input(self) -> Floats:
        """All the energy over the input tokens. [C]  [J/token]"""
        return np.asarray(self.output * self.output_tokens / self.input_tokens)

    @property
    def every(self) -> Floats:
        """All the energy over all tokens. [C]  [J/token]"""
        return np.asarray(self.output * self.output_tokens / (self.input_tokens + self.output_tokens))


def energy_per_token(task: ServeTask, on: Machine, layouts: ServeLayouts, concurrency: npt.ArrayLike,
                     rate: npt.ArrayLike, facts: Facts) -> TokenEnergy:
    """Energy of a token where the same chips prefill and decode. [C]

    concurrency  sequences running on one replica                                          [C]
    rate         output tokens per second of one replica, waiting of all kinds included     [C]  [token/s]
    """
    coefficients, tdp = board(facts, on.chip), on.chip.tdp
    running = np.broadcast_to(np.asarray(concurrency, dtype=np.float64), layouts.tp.shape)
    decode, prompts = _phases(task, on, layouts, running)
    both = within(together(decode, prompts), running / np.asarray(rate, dtype=np.float64))
    drawn = watts(both, coefficients, tdp)
    # A chip's joules between two tokens of its sequences, over the tokens of its share of the replica.
    each = both.time * layouts.replica / running
    asked = {name: _above(use, coefficients) for name, use in (("prefill", prompts), ("decode", decode))}
    kept = (drawn.total - drawn["idle"]) / np.maximum(asked["prefill"] + asked["decode"], 1e-30)
    parts = {name: value * kept * each for name, value in asked.items()} | {"idle": drawn["idle"] * each}
    return _energy(task, parts, drawn, on, coefficients, watts(prompts, coefficients, tdp).total,
                   watts(decode, coefficients, tdp).total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Chips that do one phase: machine, layouts of a replica [C], and how many replicas [C]."""

    on: Machine
    layouts: ServeLayouts
    replicas: npt.ArrayLike = 1.0

    @property
    def chips(self) -> Floats:
        """Chips of the pool. [C]"""
        return self.layouts.replica * np.asarray(self.replicas, dtype=np.float64)


def split_activity(task: ServeTask, prefill: Pool, decode: Pool, concurrency: npt.ArrayLike,
                   rate: npt.ArrayLike) -> tuple[Use, Use]:
    """What one chip of each pool does: from prompt to prompt, and between two output tokens of a sequence. [C]

    concurrency, rate   as for `split_energy`
    """
    served, replicas = np.asarray(rate, dtype=np.float64), np.asarray(decode.replicas, dtype=np.float64)
    running = np.asarray(concurrency, dtype=np.float64) / replicas
    steps = decode_use(task, decode.on, decode.layouts, _batch(decode.layouts, running))
    groups = prefill.layouts.dp * prefill.layouts.pp * np.asarray(prefill.replicas)
    prompts = prefill_use(task, prefill.on, prefill.layouts, np.ones_like(prefill.layouts.tp))
    return (within(prompts, task.output_tokens * groups / served), within(steps, running * replicas / served))


def split_energy(task: ServeTask, prefill: Pool, decode: Pool, concurrency: npt.ArrayLike, rate: npt.ArrayLike,
                 facts: Facts) -> TokenEnergy:
    """Energy of a token where one pool prefills and another decodes. [C]

    concurrency  sequences running in the decode pool                                       [C]
    rate         output tokens per second of the whole service                              [C]  [token/s]
    """
    served = np.asarray(rate, dtype=np.float64)
    prompts, steps = split_activity(task, prefill, decode, concurrency, rate)
    first, second = (watts(use, board(facts, pool.on.chip), pool.on.chip.tdp)
                     for use, pool in ((prompts, prefill), (steps, decode)))
    chips = prefill.chips + decode.chips
    mean = first.scaled(prefill.chips / chips) + second.scaled(decode.chips / chips)
    parts = {"prefill": (first.total - first["idle"]) * prefill.chips / served,
             "decode": (second.total - second["idle"]) * decode.chips / served, "idle": mean["idle"] * chips / served}
    return _energy(task, parts, mean, decode.on, board(facts, decode.on.chip), first.total, second.total)


def _above(use: Use, on: Board) -> Floats:
    """Power above idle averaged over a stretch, times its length, as seconds at the rated power. [C]  [s]"""
    return np.asarray(on.running * use.running + on.compute * use.compute + on.memory * use.memory
                      + on.links * use.links)


def _energy(task: ServeTask, parts: dict[str, Floats], drawn: Parts, on: Machine, coefficients: Board,
            prefill_power: Floats, decode_power: Floats) -> TokenEnergy:
    """With the band: idle costs a token more as the rate falls, and what is above idle adds power as the rate rises."""
    found = Parts.of("J/token", parts)
    lasting = drawn["idle"] / drawn.total
    spread = np.exp(BAND * np.hypot(coefficients.sigma, lasting * on.engine.sigma))
    steady = np.exp(BAND * np.hypot(coefficients.sigma, (1.0 - lasting) * on.engine.sigma))
    return TokenEnergy(parts=found, low=found.total / spread, high=found.total * spread, power=drawn.total,
                       pieces=drawn, power_spread=steady, prefill_power=prefill_power, decode_power=decode_power,
                       input_tokens=task.input_tokens, output_tokens=task.output_tokens)
