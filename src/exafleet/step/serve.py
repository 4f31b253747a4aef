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
from exafleet.terms.errors import MissingFact, Problem
from exafleet.terms.parts import Parts
from exafleet.work.counts import ELEMENT_BYTES, expert_width
from exafleet.work.operator import Work
from exafleet.work.operators import decode_work, prefill_work

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Normal quantile of an 80 % band: 10 % below, 10 % above.
BAND = 1.2816
ENGINE = "serving-engine"


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
    closed: bool = False

    @property
    def weights(self) -> str:
        """Format weights are stored in."""
        return self.weight_dtype or self.dtype

    @property
    def fresh_tokens(self) -> float:
        """Prompt tokens that must be computed; at least the last one. [token]"""
        return max(self.input_tokens * (1.0 - self.prefix_hit), 1.0)

    @property
    def context(self) -> float:
        """Mean cached tokens of a running sequence. [token]"""
        return self.input_tokens + self.output_tokens / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What serving engines add to the sum of the operators; fitted on published rows (data/serving.csv).

    overhead   host time of one step that no kernel hides                        [s]
    request    time a request spends outside the engine's steps                   [s]
    decode     time of a decode step over the sum of its operators               [1]
    prefill    the same of prefill                                               [1]
    hidden     share of kernel launches that graphs and fusion hide in decode    [1]
    dequantise time of products with narrower weights than the chip computes in  [1]
    bunching   share of the other prompts of a closed loop that one waits for     [1]
    oneshot    latency of a small all-reduce inside a scale-up domain            [s]
    reserve    share of the memory that weights leave which stays free             [1]
    sigma      relative (log) uncertainty of predicted times, one deviation       [1]
    """

    overhead: float
    request: float
    decode: float
    prefill: float
    hidden: float
    dequantise: float
    bunching: float
    oneshot: float
    reserve: float
    sigma: float


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


def machine(system: System, facts: Facts, engine: str = "") -> Machine:
    """Everything a serving step needs of a system; raises MissingFact naming every missing term."""
    eff, net = efficiency(facts, system.chip), fabric(facts, system)
    if system.domain == 1 and system.chip.link_bw > 0:
        # Cards of one server reach each other over PCIe, which is their link: no scale-up fabric, and no network.
        net = replace(net, domain=system.chips)
    return Machine(system=system, eff=eff, net=net, engine=_engine(facts, system.chip, engine, net, eff.sigma))


def _engine(facts: Facts, chip: Chip, engine: str, net: Fabric, sigma: float) -> Engine:
    keys = {"overhead": f"{ENGINE}.step_overhead" + (f"@{engine}" if engine else ""),
            "request": f"{ENGINE}.request_overhead", "hidden": f"{ENGINE}.launch_hidden",
            "decode": f"{ENGINE}.serving_slowdown@decode", "prefill": f"{ENGINE}.serving_slowdown@prefill",
            "dequantise": f"{ENGINE}.serving_slowdown@dequantise", "bunching": f"{ENGINE}.arrival_bunching",
            "reserve": f"{ENGINE}.memory_reserve", "sigma": f"{ENGINE}.serving_sigma"}
    found = {name: facts.try_value(key) for name, key in keys.items()}
    gaps = [keys[name] for name, value in found.items() if value is None]
    if gaps:
        raise MissingFact([Problem(what=f"no serving figure as of {facts.as_of.isoformat()}", got=key,
                                   remedy="Name trtllm, sglang or vllm, or no engine.") for key in gaps])
    value = {name: float(v) for name, v in found.items() if v is not None}
    oneshot = facts.try_value(f"{chip.id}.oneshot_latency")
    if oneshot is None:
        oneshot = net.link["all_reduce"].latency if "all_reduce" in net.link else 0.0
    # Two independent sources of error: the operators of this chip, and what engines make of them.
    return Engine(**{**value, "sigma": float(np.hypot(value["sigma"], sigma)), "oneshot": oneshot})


def decode_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Parts:
    """Parts of one decode step: a token for each of `batch` sequences of every group. [C, P]  [s]"""
    work = decode_work(task.arch, dtype=task.dtype, kv_dtype=task.kv_dtype, sequences=batch, context=task.context,
                       tp=layouts.tp, ep=layouts.ep, etp=layouts.etp)
    pieces = _operators(work, task, on, on.engine.hidden) | communication(task, on, layouts, batch)
    return _step(pieces, on.engine.decode, on.engine.overhead)


def prefill_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Parts:
    """Parts of one prompt's prefill. [C, P]  [s]

    Prompts shorter than a chunk share steps with others that arrive in the same step (`batch` / output of them), so
    their products are larger; the time is the prompt's share.
    """
    fresh = task.fresh_tokens
    each = min(fresh, task.chunk)
    tokens = np.clip(batch * fresh / task.output_tokens, each, task.chunk)
    before = task.input_tokens - fresh + (fresh - each) / 2.0
    work = prefill_work(task.arch, dtype=task.dtype, tokens=tokens, seq=each, prefix=before, sequences=tokens / each,
                        tp=layouts.tp, ep=layouts.ep, etp=layouts.etp)
    pieces = _operators(work, task, on, 0.0) | communication(task, on, layouts, tokens)
    share = fresh / tokens
    return _step(pieces, on.engine.prefill, on.engine.overhead).scaled(share)


def _step(pieces: Mapping[str, Floats], slowdown: float, overhead: float) -> Parts:
    return Parts.of("s", {**{name: value * slowdown for name, value in pieces.items()}, "host": overhead})


def _operators(work: Work, task: ServeTask, on: Machine, hidden: float) -> dict[str, Floats]:
    """Operator time by part. [C]  [s]   hidden: share of the launches that is not seen"""
    time = operator_time(stored(work, task), on.chip, on.eff) - hidden * launches(work, on.eff)
    if task.weights != task.dtype and task.dtype == "bf16":
        time = np.where(low_products(work, task), time * on.engine.dequantise, time)
    time = time * work.count
    return {part: np.asarray(time[..., [p == part for p in work.parts]].sum(axis=-1))
            for part in dict.fromkeys(work.parts)}


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


def communication(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats) -> dict[str, Floats]:
    """Time of a step's messages for `tokens` tokens of every group. [C]  [s]"""
    arch, net = task.arch, on.net
    hidden = ELEMENT_BYTES["bf16"] * arch.hidden * tokens
    # Attention, state-space and MLP blocks each end with one reduction over the tensor-parallel group.
    reductions = arch.attention_layers + arch.state_layers + arch.mlp_layers
    tensor = reductions * reduction(hidden, layouts.tp, on)
    # Dispatch in the products' format, combine in bf16; a token goes to each chip at most once.
    copies = np.minimum(arch.topk, layouts.ep)
    sent = tokens / layouts.tp * copies * expert_width(arch)
    there, back = (all_to_all(sent * ELEMENT_BYTES[d], layouts.ep, 1, net) for d in (task.dtype, "bf16"))
    experts = np.where(layouts.dp > 1, arch.moe_layers * (there + back), 0.0)
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
