"""One served model on one chip: the time of a decode step and of a prompt's prefill, from operators and messages.

A replica is `tp * dp * pp` chips: `dp` groups of `tp` chips share the experts of a stage (attention runs data-parallel
over the groups), and `pp` stages follow each other. What many requests make of these steps is the service floor's.
Everything broadcasts over candidates [C]; docs/models/serving.md derives the formulas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import Chip, System
from exafleet.ops.collective import Fabric, all_reduce, all_to_all, fabric, p2p
from exafleet.ops.efficiency import Efficiency, efficiency
from exafleet.ops.roofline import operator_time
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.step.serving_practice import CLASS, Engine, Phase, engine_of, form
from exafleet.terms.parts import Parts
from exafleet.work.counts import ELEMENT_BYTES, expert_width
from exafleet.work.operator import Work
from exafleet.work.operators import decode_work, prefill_work

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Normal quantile of an 80 % band: 10 % below, 10 % above.
BAND = 1.2816


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeTask:
    """A service at a latency target.

    input_tokens   mean prompt                                              [token]
    output_tokens  mean answer                                              [token]
    ttft, tpot     targets: mean time to first token, per output token      [s]
    dtype          of the matrix products of the blocks
    kv_dtype       of the key-value cache
    weight_dtype   of stored weights where they differ ("fp4" weights with "bf16" products); empty: as dtype
    prefix_hit     share of prompt tokens found in the cache                 [1]
    chunk          most prompt tokens in one engine step, per group           [token]
    engine         whose host overhead counts ("trtllm", "sglang", "vllm"); empty: their middle
    draft          tokens a draft head or model proposes in each step (MTP, EAGLE); 0: no speculation     [token]
    accept         probability that a proposed token is right, given that those before it were     [1]
    closed         requests come in a closed loop, as benchmarks send them, and bunch; open (Poisson) otherwise
    """

    arch: Arch
    input_tokens: float
    output_tokens: float
    ttft: float
    tpot: float
    dtype: str
    kv_dtype: str = "bf16"
    weight_dtype: str = ""
    prefix_hit: float = 0.0
    chunk: float = 8192.0
    engine: str = ""
    draft: int = 0
    accept: float = 0.0
    closed: bool = False

    @property
    def queries(self) -> float:
        """Tokens of a sequence that one step works on: the sure one and the proposed ones. [token]"""
        return 1.0 + self.draft

    @property
    def per_step(self) -> float:
        """Tokens a sequence gains in one step: a proposal counts only while all before it are right. [token]

        `draft` proposals that are each right with probability a give 1 + a + ... + a^draft.
        """
        return sum(self.accept**i for i in range(self.draft + 1)) if self.draft else 1.0

    @property
    def weights(self) -> str:
        """Format weights are stored in."""
        return self.weight_dtype or self.dtype

    @property
    def form(self) -> str:
        """Number format of products and stored weights, as factors of engines are told by."""
        return form(self.dtype, self.weights)

    @property
    def fresh_tokens(self) -> float:
        """Prompt tokens that must be computed; at least the last one. [token]"""
        return max(self.input_tokens * (1.0 - self.prefix_hit), 1.0)

    @property
    def context(self) -> float:
        """Mean cached tokens of a running sequence. [token]"""
        return self.input_tokens + self.output_tokens / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A system as the serving step sees it: chip, curves, fabric and engine practice."""

    system: System
    eff: Efficiency
    net: Fabric
    engine: Engine

    @property
    def chip(self) -> Chip:
        """The accelerator."""
        return self.system.chip


def machine(system: System, facts: Facts, engine: str = "", release: float | None = None) -> Machine:
    """Everything a serving step needs of a system; raises MissingFact naming every missing term.

    release  year the engine's release is of (2026.25 is the end of March); None is the newest that is known
    """
    eff, net = efficiency(facts, system.chip), fabric(facts, system)
    if system.domain == 1 and system.chip.link_bw > 0:
        # Cards of one server reach each other over PCIe, which is their link: no scale-up fabric, and no network.
        net = replace(net, domain=system.chips)
    latency = net.link["all_reduce"].latency if "all_reduce" in net.link else 0.0
    return Machine(system=system, eff=eff, net=net, engine=engine_of(facts, system.chip, engine, release,
                                                                     oneshot=latency, sigma=eff.sigma))


def decode_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats,
                 context: npt.ArrayLike | None = None) -> Parts:
    """Parts of one decode step: a token (with speculation, `per_step`) for each of `batch` sequences of every group.

    [C, P]  [s]

    context  mean cached tokens of a sequence; the task's where it is not given    [C]  [token]
    """
    how = on.engine.of("decode", task.form)
    some, (sequences, cached), where = distinct(layouts, batch, task.context if context is None else context)
    pieces = _operators(decode_operators(task, some, sequences, cached), task, on, how)
    pieces = {part: time[where] for part, time in pieces.items()}
    pieces |= communication(task, on, layouts, batch * task.queries, how)
    return _step(pieces | draft(task, pieces), on)


def draft(task: ServeTask, pieces: Mapping[str, Floats]) -> dict[str, Floats]:
    """Time of proposing tokens: each costs about one block and one more look at the vocabulary. [C]  [s]"""
    if not task.draft:
        return {}
    blocks = sum((value for part, value in pieces.items() if part != "embedding+loss"), start=np.zeros(1))
    return {"draft": task.draft * (blocks / task.arch.layers + pieces["embedding+loss"]) / task.queries}


def prefill_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Parts:
    """Parts of one prompt's prefill. [C, P]  [s]

    Prompts shorter than a chunk share steps with others that arrive in the same step (`batch` / output of them), so
    their products are larger; the time is the prompt's share.
    """
    tokens, seq, before = shared_chunk(task, batch)
    return chunk_parts(task, on, layouts, tokens, seq, before).scaled(task.fresh_tokens / tokens)


def shared_chunk(task: ServeTask, batch: Floats) -> tuple[Floats, float, float]:
    """Prompt tokens of a step in which a prompt is worked on [C], how many are of one prompt, cached ones before them.

    [token]
    """
    fresh = task.fresh_tokens
    each = min(fresh, task.chunk)
    return (np.clip(batch * fresh / task.output_tokens, each, task.chunk), each,
            task.input_tokens - fresh + (fresh - each) / 2.0)


def chunk_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: npt.ArrayLike, seq: npt.ArrayLike,
                before: npt.ArrayLike, sequences: npt.ArrayLike | None = None) -> Parts:
    """Parts of one engine step that works on prompts alone. [C, P]  [s]

    tokens     prompt tokens of the step on every group           [C]  [token]
    seq        tokens of one prompt (or chunk of it) in it         [C]  [token]
    before     cached tokens before them                           [C]  [token]
    sequences  prompts among them; as many as `seq` makes of them  [C]
    """
    how, many = on.engine.of("prefill", task.form), np.asarray(tokens, dtype=np.float64)
    ends = many / np.asarray(seq, dtype=np.float64) if sequences is None else sequences
    some, (own, length, cached, ended), where = distinct(layouts, many, seq, before, ends)
    pieces = _operators(prefill_operators(task, some, own, length, cached, ended), task, on, how)
    pieces = {part: time[where] for part, time in pieces.items()}
    return _step(pieces | communication(task, on, layouts, many, how), on)


def distinct(layouts: ServeLayouts, *load: npt.ArrayLike) -> tuple[ServeLayouts, list[Floats], Ints]:
    """Candidates whose operators differ, their loads, and which of them every candidate is. [U], [U], [...]

    A load is what operators depend on beside the layout [C]. Pipelines of any number of stages run the same operators,
    and so do loads that fill the same step.
    """
    axes = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (layouts.tp, layouts.dp, layouts.ep, *load)))
    rows = np.stack([axis.ravel() for axis in axes])
    order = np.lexsort(rows)
    new = np.concatenate([[True], (np.diff(rows[:, order]) != 0).any(axis=0)])[:rows.shape[1]]
    where = np.empty(rows.shape[1], dtype=np.int64)
    where[order] = np.cumsum(new) - 1
    tp, dp, ep, *others = rows[:, order[new]]
    return ServeLayouts(tp=tp, pp=np.ones_like(tp), dp=dp, ep=ep), others, where.reshape(axes[0].shape)


def decode_operators(task: ServeTask, layouts: ServeLayouts, batch: Floats,
                     context: npt.ArrayLike | None = None) -> Work:
    """Operators of one decode step on one chip."""
    return decode_work(task.arch, dtype=task.dtype, kv_dtype=task.kv_dtype, sequences=batch,
                       context=task.context if context is None else context, tp=layouts.tp, ep=layouts.ep,
                       etp=layouts.etp, queries=task.queries)


def prefill_operators(task: ServeTask, layouts: ServeLayouts, tokens: Floats, seq: npt.ArrayLike,
                      before: npt.ArrayLike, sequences: npt.ArrayLike) -> Work:
    """Operators of one step that works on prompts, on one chip."""
    return prefill_work(task.arch, dtype=task.dtype, tokens=tokens, seq=seq, prefix=before, sequences=sequences,
                        tp=layouts.tp, ep=layouts.ep, etp=layouts.etp)


def _step(pieces: Mapping[str, Floats], on: Machine) -> Parts:
    """A step of these pieces and the host's time, in the engine's release."""
    return Parts.of("s", {**pieces, "host": on.engine.overhead}).scaled(on.engine.pace)


def _operators(work: Work, task: ServeTask, on: Machine, how: Phase) -> dict[str, Floats]:
    """Operator time by part: each class of operators by its factor, the fixed time of kernels by its own. [C]  [s]"""
    moving, fixed = curve_times(work, task, on)
    time = moving * np.array([getattr(how, c) for c in classes(work)]) + how.launch * fixed
    return {part: np.asarray(time[..., [p == part for p in work.parts]].sum(axis=-1))
            for part in dict.fromkeys(work.parts)}


def classes(work: Work) -> list[str]:
    """Class of each operator: a field of Phase. [O]"""
    return [CLASS.get(kind, "elementwise") for kind in work.kinds]


def curve_times(work: Work, task: ServeTask, on: Machine) -> tuple[Floats, Floats]:
    """Time of each operator by its curve as often as it runs [C, O], without and of its fixed time. [s]"""
    fixed = launches(work, on.eff)
    return (operator_time(stored(work, task), on.chip, on.eff) - fixed) * work.count, fixed * work.count


def launches(work: Work, eff: Efficiency) -> Floats:
    """Launch time inside each operator's time. [O]  [s]"""
    fixed = {"attention": eff.attention.launch, "mla": eff.mla.launch, "decode": eff.decode.launch,
             "index": eff.decode.launch}
    return np.array([eff.product[d].launch if k in ("gemm", "grouped") and d in eff.product
                     else fixed.get(k, eff.moving.launch) for k, d in zip(work.kinds, work.dtypes, strict=True)])


def low_products(work: Work, task: ServeTask) -> npt.NDArray[np.bool_]:
    """Which operators multiply with the blocks' weights. [O]"""
    return np.array([k in ("gemm", "grouped") and d == task.dtype
                     for k, d in zip(work.kinds, work.dtypes, strict=True)])


def stored(work: Work, task: ServeTask) -> Work:
    """The same work reading weights in the format they are stored in."""
    saved = ELEMENT_BYTES[task.dtype] - ELEMENT_BYTES[task.weights]
    if not saved:
        return work
    return replace(work, nbytes=work.nbytes - saved * low_products(work, task) * work.groups * work.n * work.k)


def communication(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats, how: Phase) -> dict[str, Floats]:
    """Time of a step's messages for `tokens` tokens of every group. [C]  [s]"""
    arch, net = task.arch, on.net
    hidden = ELEMENT_BYTES["bf16"] * arch.hidden * tokens
    # Attention, state-space and MLP blocks each end with one reduction over the tensor-parallel group.
    reductions = arch.attention_layers + arch.state_layers + arch.mlp_layers
    tensor = how.reduction * reductions * reduction(hidden, layouts.tp, on)
    # Dispatch in the products' format, combine in bf16; a token goes to each chip at most once.
    copies = np.minimum(arch.topk, layouts.ep)
    sent = tokens / layouts.tp * copies * expert_width(arch)
    there, back = (all_to_all(sent * ELEMENT_BYTES[d], layouts.ep, 1, net) for d in (task.dtype, "bf16"))
    experts = np.where(layouts.dp > 1, how.exchange * arch.moe_layers * (there + back), 0.0)
    hops = np.where(layouts.pp > 1, (layouts.pp - 1) * p2p(hidden / layouts.tp, layouts.tp * layouts.dp, net), 0.0)
    return {"tensor reduction": tensor, "expert exchange": experts, "pipeline": hops}


def reduction(nbytes: Floats, ranks: Floats, on: Machine) -> Floats:
    """All-reduce over neighbours: the engines' one-shot kernel in a domain, a ring where that is faster. [C]  [s]"""
    ring = all_reduce(nbytes, ranks, 1, on.net)
    if "all_reduce" not in on.net.link:
        return ring
    moved = 2.0 * nbytes * (ranks - 1.0) / ranks / on.net.link["all_reduce"].bandwidth
    oneshot = np.where(ranks > on.net.domain, np.inf, on.engine.oneshot + moved)
    return np.where(ranks > 1, np.minimum(ring, oneshot), 0.0)
