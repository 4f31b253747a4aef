"""Memory of one chip in training: parameters, gradients, optimizer state, activations, logits, buffers, runtime.

The peak is the largest of three moments: the backward pass of the first stage, which holds the embedding and the most
micro-batches in flight; that of the last one, which holds the output head and the loss; and the optimizer step, whose
temporaries come when the activations are gone. Parts are those of the fullest moment, so they add up to the peak.

What differs between software stacks is read from facts (data/memory.csv, written by tools/fit_memory.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.catalogue import Facts
from exafleet.step.activations import Keeps, Shard, kept, kept_bytes
from exafleet.step.layouts import Layouts
from exafleet.step.limits import DUALPIPE
from exafleet.terms.errors import MissingFact, Problem
from exafleet.terms.parts import Parts
from exafleet.work.counts import mtp_experts, parameters

Floats = npt.NDArray[np.float64]
SUBJECT = "training-practice"
# Parts in the order they are shown.
MEMORY = ("parameters", "gradients", "optimizer", "activations", "logits", "communication", "runtime", "fragmentation")
# Blocks whose gathered parameters ZeRO-3 holds at once: the one at work and the next one.
PREFETCH = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Parameters one chip works with, dense and expert ones apart. [...]  [params]

    largest_block   dense ones of one block before TP
    outside         the embedding or the output head, one or both, of this chip
    blocks          of the stage
    routed          whether there are experts at all
    """

    dense: Floats
    experts: Floats
    largest_block: float
    outside: Floats
    blocks: Floats
    routed: bool = True

    @property
    def total(self) -> Floats:
        """Both kinds."""
        return self.dense + self.experts if self.routed else self.dense


def held(arch: Arch, lay: Layouts, share: Floats, *, last: bool = False) -> Held:
    """Parameters on one chip of a stage with `share` of the blocks and the embedding (`last`: the output head).

    With one stage it is both, and in DualPipe, which holds a stage from either end; tied embeddings are kept once by
    one stage alone, and by the first and the last stage else.
    """
    counted = parameters(arch, mtp=True)
    ends = float(counted["embedding"] + counted["head"])
    routed = float(counted["experts"]) + mtp_experts(arch)
    blocks = float(counted.total) - ends - routed
    one = float(arch.hidden * arch.vocab if last else counted["embedding"])
    stages = lay.stages_held
    outside = np.where((lay.pp > 1) & (stages == 1), one, ends) / lay.tp
    dense = blocks * share * stages / lay.tp + outside
    experts = routed * share * stages / (lay.ep * lay.etp)
    return Held(dense=dense, experts=experts, largest_block=blocks / max(arch.layers, 1), outside=outside,
                blocks=share * arch.layers, routed=routed > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Bytes a parameter takes: as kept, as gradient, in the optimizer (master copy and moments), as it is gathered."""

    weight: float = 2.0
    gradient: float = 4.0
    optimizer: float = 12.0
    gathered: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPractice:
    """How a software stack uses memory, as of a date.

    each            bytes of a parameter, by use
    keeps           what a block keeps for the backward pass
    bucket          copy of the gradients in the buckets of data parallelism, per parameter            [B]
    step            temporary of the optimizer step under ZeRO, per parameter whole and per shard      [B]
    balanced        1 where stages are cut by compute and the output head counts as blocks, else 0
    pipeline        1 where ZeRO-3 keeps a pipeline stage gathered and its gradients unreduced, else 0
    runtime         context, libraries and communicators                                               [B]
    fragmentation   lost by the allocator, of activations, logits and buffers                          [1]
    limit           share of a chip's memory a process can have                                        [1]
    """

    each: States
    keeps: Keeps
    bucket: float
    step: float
    balanced: float
    pipeline: float
    runtime: float
    fragmentation: float
    limit: float


# Fields by record, and the terms they are read from.
TERMS = {
    States: {"weight": "weight_bytes", "gradient": "gradient_store_bytes", "optimizer": "optimizer_bytes"},
    Keeps: {"scores": "score_bytes", "dropout": "dropout_bytes", "hidden": "unfused_hidden_bytes",
            "ffn": "unfused_ffn_bytes", "logits": "logits_bytes", "gather": "gather_buffer_bytes",
            "sequence": "sequence_parallel", "selective": "selective_kind"},
    MemoryPractice: {"bucket": "bucket_bytes", "step": "step_bytes", "balanced": "balanced_stages",
                     "pipeline": "pipeline_gathered",
                     "runtime": "runtime_bytes", "fragmentation": "fragmentation", "limit": "memory_limit"},
}


def memory_practice(facts: Facts, stack: str, dtype: str = "", family: str = "") -> MemoryPractice:
    """Practice of a stack as of the facts' date. Raises MissingFact.

    A stack's own fact wins over everybody's; it may be given by dtype ("bf16") or by chip family ("hopper").
    """
    missing: list[str] = []
    made = {record: _values(facts, stack, (dtype, family.casefold(), ""), record, missing) for record in TERMS}
    if missing:
        raise MissingFact([Problem(what=f'no fact "{key}" is known as of {facts.as_of.isoformat()}')
                           for key in missing])
    return MemoryPractice(each=States(**made[States]), keeps=Keeps(**made[Keeps]), **made[MemoryPractice])


def _values(facts: Facts, stack: str, places: tuple[str, ...], record: type, missing: list[str]) -> dict[str, float]:
    found = {}
    for name, term in TERMS[record].items():
        known = [facts.find(subject, term).get(at) for subject in (stack, SUBJECT) for at in places]
        fact = next((f for f in known if f is not None), None)
        if fact is None:
            missing.append(f"{SUBJECT}.{term}")
        else:
            found[name] = fact.value
    return found


def usable(hbm_bytes: float, how: MemoryPractice) -> float:
    """Memory a training process can have on a chip. [B]"""
    return hbm_bytes * how.limit


def states(lay: Layouts, has: Held, each: States) -> tuple[Floats, Floats, Floats]:
    """Bytes of parameters, gradients and optimizer state after the data-parallel ranks share them out. [...]"""
    away = has.total - over_ranks(lay, has)
    # What level n shares out is there in whole below it: a product with 0 or 1 is cheaper than a choice.
    weights, gradients, optimizer = (nbytes * has.total - away * (nbytes * from_level(lay, level)) for nbytes, level in
                                     ((each.weight, 3), (each.gradient, 2), (each.optimizer, 1)))
    return weights, gradients, optimizer * on_chip(lay, has)


def on_chip(lay: Layouts, has: Held) -> Floats:
    """Share of the optimizer states on the chip: the block at work and the one that moves if the host has the rest."""
    if not lay.offload.any():
        return np.ones(1)
    return np.where(lay.offload > 0, np.minimum(1.0, 2.0 / np.maximum(has.blocks, 1.0)), 1.0)


def from_level(lay: Layouts, level: int) -> Floats:
    """1.0 where ZeRO is of this level or above, else 0.0; floats, because they multiply large arrays. [...]"""
    return (lay.zero >= level).astype(np.float64)


def gathered(lay: Layouts, has: Held, how: MemoryPractice) -> Floats:
    """Parameters gathered by ZeRO-3 for the blocks at work, and gradients that ZeRO-2 and 3 have yet to reduce. [B]

    The embedding or the head stays gathered throughout; under a pipeline, in some stacks, the whole stage does.
    """
    if not (lay.zero >= 2).any():
        return np.zeros(1)
    away, once = has.total - over_ranks(lay, has), has.largest_block / lay.tp
    block = np.minimum(has.outside + once, away)
    ahead = np.minimum(has.outside + PREFETCH * once, away)
    nbytes = block * (how.each.gathered * from_level(lay, 2)) + ahead * (how.each.gathered * from_level(lay, 3))
    if not how.pipeline:
        return np.asarray(nbytes)
    return np.where((lay.zero == 3) & (lay.pp > 1), (how.each.gathered + how.each.gradient) * away, nbytes)


def over_ranks(lay: Layouts, has: Held) -> Floats:
    """Parameters of one rank when ZeRO shares all of them out. [...]  [params]"""
    if not has.routed:
        return np.asarray(has.dense / lay.shared)
    return np.asarray(has.dense / lay.shared + has.experts / lay.shared_experts)


def in_flight(lay: Layouts, micro_batches: npt.ArrayLike, *, last: bool = False) -> Floats:
    """Micro-batches whose activations the first (or last) stage holds at once: 1F1B, interleaved over chunks. [...]

    The zero-bubble schedule holds what 1F1B does; DualPipe holds one more than there are stages, at either end.
    """
    # Chunks are held one by one: a warm-up of 2 (pp - 1 - rank) + (vpp - 1) pp of them, and the one at work.
    each = (lay.vpp > 1) / lay.vpp
    once = np.where(lay.vpp > 1, 1.0 + (lay.pp - 1) * (1.0 - each), 1.0) if last else lay.pp + (lay.pp - 1) * each
    once = np.where(lay.schedule == DUALPIPE, lay.pp + 1.0, once)
    return np.asarray(np.minimum(once, np.asarray(micro_batches)))


def end_shares(arch: Arch, lay: Layouts, share: Floats, how: MemoryPractice) -> tuple[Floats, Floats]:
    """Share of the blocks on the first and on the last stage. [...]

    A stack that cuts stages by compute counts the output head as so many blocks and gives earlier stages the larger
    part of what does not divide.
    """
    if not how.balanced:
        return share, share
    counted = parameters(arch)
    ends = float(counted["embedding"] + counted["head"])
    places = arch.layers * (1.0 + arch.hidden * arch.vocab / (float(counted.total) - ends))
    first = np.minimum(np.ceil(places / lay.pp - 1e-9), arch.layers)
    last = np.maximum(arch.layers - np.ceil(places * (lay.pp - 1) / lay.pp - 1e-9), 0.0)
    return first / arch.layers, np.where(lay.pp > 1, last, arch.layers) / arch.layers


Moment = tuple[Held, dict[str, Floats]]


def _moments(arch: Arch, how: MemoryPractice, lay: Layouts, tab: Mapping[str, Floats], share: Floats,
             micro: Floats, has: Held) -> list[Moment]:
    """A stage and what comes and goes on it: backward of the first and of the last stage, and the optimizer step."""
    shares = end_shares(arch, lay, share, how)
    # The embedding weighs what the head does, so equal stages hold equal states.
    first = held(arch, lay, shares[0]) if how.balanced else has
    end = held(arch, lay, shares[1], last=True) if how.balanced else has
    mode = lay.recompute
    blocks = np.where(mode == 0, tab["keep0"], np.where(mode == 1, tab["keep1"], tab["keep2"]))
    working = tab["working"] * (mode == 2).astype(np.float64)
    one = blocks * shares[0]
    ends = (one, blocks * shares[1] if how.balanced else one)
    near, far = (_on_chip(arch, lay, blocks, one * in_flight(lay, micro, last=last)) + working
                 for one, last in zip(ends, (False, True), strict=True))
    buffers = tab["buffers"] + gathered(lay, first, how)
    alone = (lay.pp == 1).astype(np.float64)
    moments = [(first, {"activations": near, "logits": tab["logits"] * alone, "communication": buffers}),
               (end, {"activations": far, "logits": tab["logits"], "communication": buffers})]
    return [*moments, (first, _at_step(how, lay, first, tab))] if how.step else moments


def _on_chip(arch: Arch, lay: Layouts, blocks: Floats, activations: Floats) -> Floats:
    """Activations that stay when the rest moves to the host: those of the block at work and of the one that moves."""
    if not (lay.offload == 2).any():
        return activations
    return np.where(lay.offload == 2, np.minimum(activations, 2.0 * blocks / arch.layers), activations)


def _at_step(how: MemoryPractice, lay: Layouts, has: Held, tab: Mapping[str, Floats]) -> dict[str, Floats]:
    """Temporaries of the optimizer step; the buffers of tensor parallelism are still there."""
    shared = (lay.zero >= 1) & (lay.shared > 1)
    temporary = how.step * (has.total + over_ranks(lay, has)) * shared
    return {"activations": np.zeros(1), "logits": np.zeros(1), "communication": tab["buffers"] + temporary}


def _lasting(how: MemoryPractice, lay: Layouts, has: Held) -> dict[str, Floats]:
    """What a stage holds throughout."""
    weights, gradients, optimizer = states(lay, has, how.each)
    return {"parameters": weights, "gradients": gradients + _buckets(how, lay, has), "optimizer": optimizer,
            "runtime": np.full(1, how.runtime)}


def _lasting_total(how: MemoryPractice, lay: Layouts, has: Held) -> Floats:
    """The sum of `_lasting` in few passes over the candidates."""
    each, here = how.each, how.each.optimizer * on_chip(lay, has)
    away = has.total - over_ranks(lay, has)
    saved = each.weight * from_level(lay, 3) + each.gradient * from_level(lay, 2) + here * from_level(lay, 1)
    whole = (each.weight + each.gradient + here) * has.total - away * saved
    return np.asarray(whole + (_buckets(how, lay, has) + how.runtime))


def _buckets(how: MemoryPractice, lay: Layouts, has: Held) -> Floats:
    return how.bucket * has.total * (lay.replicas > 1) if how.bucket else np.zeros(1)


def memory_total(arch: Arch, how: MemoryPractice, lay: Layouts, tab: Mapping[str, Floats], share: Floats,
                 micro: Floats, has: Held) -> Floats:
    """Peak memory of one chip of a pipeline whose fullest stage has `share` of the blocks. Broadcasts.  [B]"""
    factor = 1.0 + how.fragmentation
    groups: dict[tuple[int, int], tuple[Floats, list[Floats]]] = {}
    for stage, passing in _moments(arch, how, lay, tab, share, micro, has):
        buffers = passing["communication"]
        # What moments have in common is added once, in the few dimensions it has.
        key = (id(stage), id(buffers))
        if key not in groups:
            groups[key] = (_lasting_total(how, lay, stage) + factor * buffers, [])
        groups[key][1].append(passing["activations"] + passing["logits"])
    return _largest([common + factor * _largest(passing) for common, passing in groups.values()])


def _largest(arrays: list[Floats]) -> Floats:
    found = arrays[0]
    for other in arrays[1:]:
        found = np.maximum(found, other)
    return found


def _sum(parts: Mapping[str, Floats]) -> Floats:
    return np.asarray(sum(parts.values()))


def memory_columns(arch: Arch, how: MemoryPractice, lay: Layouts, tab: Mapping[str, Floats], share: Floats,
                   micro: Floats, has: Held) -> dict[str, Floats]:
    """Memory of one chip by part of MEMORY, at its fullest moment. Broadcasts."""
    moments = [{**_lasting(how, lay, stage), **passing, "fragmentation": how.fragmentation * _sum(passing)}
               for stage, passing in _moments(arch, how, lay, tab, share, micro, has)]
    fullest = np.argmax(np.stack(np.broadcast_arrays(*(_sum(m) for m in moments))), axis=0)
    return {name: np.choose(fullest, [m[name] for m in moments]) for name in MEMORY}


def memory_tables(arch: Arch, seq: int, dtype: str, how: MemoryPractice, lay: Layouts) -> dict[str, Floats]:
    """The tables `memory_columns` reads, for layouts as they are (no shard is looked up). [...]"""
    tokens = np.asarray(lay.mbs * seq / lay.cp, dtype=np.float64)
    shard = Shard(tokens=tokens, seq=seq, tp=lay.tp.astype(np.float64), etp=lay.etp.astype(np.float64),
                  kept=kept_bytes(dtype))
    found = kept(arch, shard, how.keeps)
    return {f"keep{i}": v for i, v in enumerate(found.blocks)} | {
        "working": found.working, "logits": found.logits, "buffers": found.buffers}


def memory_of(arch: Arch, seq: int, dtype: str, batch: npt.ArrayLike, how: MemoryPractice,
              lay: Layouts) -> Parts:
    """Memory of layouts [C] without their time: parts of one chip at its fullest moment. [C, M]  [B]"""
    tab = memory_tables(arch, seq, dtype, how, lay)
    share, micro = _even(arch, batch, lay)
    return Parts.of("B", memory_columns(arch, how, lay, tab, share, micro, held(arch, lay, share)))


def memory_after_backward(arch: Arch, seq: int, dtype: str, batch: npt.ArrayLike, how: MemoryPractice,
                          lay: Layouts) -> Floats:
    """Allocated at the optimizer step, which is what a log prints that resets its peak after the backward pass. [C]"""
    tab = memory_tables(arch, seq, dtype, how, lay)
    share, _ = _even(arch, batch, lay)
    shares = end_shares(arch, lay, share, how)
    first = held(arch, lay, shares[0])
    lasts = _lasting(how, lay, first)
    return np.asarray(_sum(lasts) - lasts["runtime"] + _sum(_at_step(how, lay, first, tab)))


def _even(arch: Arch, batch: npt.ArrayLike, lay: Layouts) -> tuple[Floats, Floats]:
    places = lay.pp * lay.vpp
    return -(-arch.layers // places) * lay.vpp / arch.layers, np.asarray(batch) / (lay.dp * lay.mbs)
