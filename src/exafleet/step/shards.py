"""What depends on a shard alone: (tp, cp, ep, etp, mbs, cp_kind). Computed once per distinct shard, then gathered.

All times are of one micro-batch through all blocks of the model on one chip; a pipeline stage takes its share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.facts.hardware import Chip
from exafleet.ops import collective
from exafleet.ops.collective import Fabric
from exafleet.ops.efficiency import Efficiency
from exafleet.ops.roofline import operator_time
from exafleet.step.activations import Keeps, Shard, kept, kept_bytes
from exafleet.step.practice import Practice
from exafleet.work.counts import ELEMENT_BYTES, attention_dims, dense_layers, expert_width
from exafleet.work.operator import Work
from exafleet.work.operators import train_work
from exafleet.work.recipes import FUSED, Kernels, Recipe

Floats = npt.NDArray[np.float64]
# Parts of the step that are computed here, in the order they are shown.
COMPUTE = ("attention gemm", "mlp gemm", "expert gemm", "attention core", "ssm", "elementwise")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """Tables over distinct shards [U]; times in s and bytes in B of one micro-batch, all blocks.

    compute      forward and backward by part of COMPUTE
    forward      of that, the forward pass, and the weight gradients of the backward pass
    wgrad
    head         embedding, output projection and loss
    again        added by recomputation: none, selective, full                       [3][U]
    tp ep        communication before overlap, also per full recomputation
    cp           exposed communication of context parallelism, and all of it
    cp_all
    activations  kept for the backward pass: none, selective, full                    [3][U]
    working      what recomputing one block needs at once                             [U]
    logits       output of the last block at the peak of the loss                     [U]
    buffers      gathered activations of tensor parallelism                           [U]
    message      activations one stage sends to the next                              [U]
    """

    compute: Mapping[str, Floats]
    total: Floats
    forward: Floats
    wgrad: Floats
    head: Floats
    again: tuple[Floats, Floats, Floats]
    tp: Floats
    tp_again: Floats
    ep: Floats
    ep_again: Floats
    cp: Floats
    cp_all: Floats
    activations: tuple[Floats, Floats, Floats]
    working: Floats
    logits: Floats
    buffers: Floats
    message: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """Operators of distinct shards with their times by the curves alone, before what a software stack makes of them.

    times   of one micro-batch through all blocks     [U, O]  [s]
    """

    work: Work
    times: Floats
    tp: Floats
    cp: Floats
    ep: Floats
    etp: Floats
    cp_kind: Floats
    tokens: Floats
    seq: int
    dtype: str


def timed(arch: Arch, seq: int, dtype: str, chip: Chip, eff: Efficiency, *, tp: npt.ArrayLike, cp: npt.ArrayLike,
          ep: npt.ArrayLike, etp: npt.ArrayLike, mbs: npt.ArrayLike, cp_kind: npt.ArrayLike = 0,
          recipe: Recipe | None = None, kernels: Kernels = FUSED, gradient: float = 4.0, wide: float = 0.0,
          sample: int = 0, frozen: bool = False) -> Timed:
    """Operators of the shards given as equally long arrays; recipe to frozen are those of `train_work`. [U]"""
    tp, cp, ep, etp, mbs, cp_kind = (np.asarray(v, dtype=np.float64) for v in (tp, cp, ep, etp, mbs, cp_kind))
    work = train_work(arch, seq=seq, dtype=dtype, micro_batch=mbs, tp=tp, cp=cp, ep=ep, etp=etp, recipe=recipe,
                      kernels=kernels, gradient=gradient, wide=wide, sample=sample, frozen=frozen)
    return Timed(work=work, times=operator_time(work, chip, eff) * work.count, tp=tp, cp=cp, ep=ep, etp=etp,
                 cp_kind=cp_kind, tokens=mbs * seq / cp, seq=seq, dtype=dtype)


def shards(arch: Arch, base: Timed, net: Fabric, how: Practice, keeps: Keeps) -> Shards:
    """Tables of the shards as a software stack runs them. [U]"""
    work, tp, cp, ep, etp, dtype = base.work, base.tp, base.cp, base.ep, base.etp, base.dtype
    times = as_run(arch, base, how)
    compute = {part: _sum(times, work, part) for part in COMPUTE}
    forward = _sum(times, work, *COMPUTE, step="forward")
    light = _sum(times, work, "attention core", "elementwise", step="forward")
    tokens = base.tokens
    tp_once, tp_again = _tensor_traffic(arch, tokens, tp, net)
    ep_once, ep_again = _expert_traffic(arch, dtype, tokens, tp, ep, etp, net, how.one_sided > 0)
    hiding = compute["attention core"] * how.cp_hidden
    cp_all, cp_seen = _context_traffic(arch, tokens, tp, cp, base.cp_kind, hiding, net)
    memory = kept(arch, Shard(tokens=tokens, seq=base.seq, tp=tp, etp=etp, kept=kept_bytes(dtype)), keeps)
    return Shards(
        compute=compute, total=np.asarray(sum(compute.values())), forward=forward,
        wgrad=_sum(times, work, *COMPUTE, step="wgrad"), head=_sum(times, work, "embedding+loss"),
        again=(np.zeros_like(tokens), light, forward), tp=tp_once, tp_again=tp_again, ep=ep_once, ep_again=ep_again,
        cp=cp_seen, cp_all=cp_all,
        activations=memory.blocks, working=memory.working, logits=memory.logits, buffers=memory.buffers,
        message=2.0 * tokens * arch.hidden / tp,
    )


def as_run(arch: Arch, base: Timed, how: Practice) -> Floats:
    """Times of all runs of each operator as a software stack runs them. [U, O]  [s]"""
    times = base.times * _slower(base.work, how)
    if not arch.moe_layers:
        return times
    # Narrow experts fill the chip badly whatever their number of tokens.
    narrow = 1.0 + how.expert_half * base.etp / arch.expert_ffn
    return np.asarray(times * np.where(np.array(base.work.kinds) == "grouped", narrow[..., None], 1.0))


def _slower(work: Work, how: Practice) -> Floats:
    """Time over the operator curves by kind: what the stack reaches of them; the busiest rank paces routed experts."""
    grouped = how.imbalance / (how.speed * how.moe_speed)
    slower = {"gemm": 1.0 / how.speed, "grouped": grouped, "attention": 1.0 / how.attention,
              "mla": 1.0 / how.mla, "memory": 1.0 / how.moving, "scan": 1.0 / how.scan,
              "index": 1.0 / how.attention}
    return np.array([slower[kind] for kind in work.kinds])


def _sum(times: Floats, work: Work, *parts: str, step: str = "") -> Floats:
    chosen = [i for i, part in enumerate(work.parts) if part in parts and step in ("", work.steps[i])]
    return np.asarray(times[..., chosen].sum(axis=-1))


def _tensor_traffic(arch: Arch, tokens: Floats, tp: Floats, net: Fabric) -> tuple[Floats, Floats]:
    """Sequence-parallel gathers and scatters around attention, dense MLP and blocks with a state.

    Forward: one gather and one scatter around each; backward the same, and one more gather for the weight gradient.
    Routed experts work on the tokens a rank owns and need none; shared experts do.
    """
    message = 2.0 * tokens * arch.hidden
    gather = collective.all_gather(message, tp, 1.0, net)
    scatter = collective.reduce_scatter(message, tp, 1.0, net)
    beside = arch.moe_layers if arch.shared_ffn + arch.residual_dense_ffn else 0
    around = arch.attention_layers + dense_layers(arch) + arch.state_layers + beside
    forward = around * (gather + scatter)
    return 2.0 * forward + around * gather, forward


def _expert_traffic(arch: Arch, dtype: str, tokens: Floats, tp: Floats, ep: Floats, etp: Floats, net: Fabric,
                    once: bool) -> tuple[Floats, Floats]:
    """Dispatch and combine of every routed token, forward and backward; expert-tensor ranks gather theirs.

    A library's all-to-all sends a token once for each of its experts. One-sided kernels send it once to a rank however
    many of its experts live there, and once into a domain however many ranks of it want it.
    """
    if not arch.moe_layers:
        return np.zeros_like(tokens), np.zeros_like(tokens)
    routed = 2.0 * tokens / tp * expert_width(arch)
    domains = ep / collective.local_ranks(ep, etp, net.domain)
    sent = routed * np.where(ep > 1, _distinct(ep, arch.topk) if once else float(arch.topk), 0.0)
    crossed = routed * np.where(domains > 1, _distinct(domains, arch.topk), 0.0) if once else sent
    low = ELEMENT_BYTES[dtype] / 2.0 if ELEMENT_BYTES[dtype] <= 1.0 else 1.0
    dispatch = collective.all_to_all(low * sent, ep, etp, net, between=low * crossed)
    combine = collective.all_to_all(sent, ep, etp, net, between=crossed)
    split = collective.all_gather(routed * arch.topk * etp, etp, 1.0, net) \
        + collective.reduce_scatter(routed * arch.topk * etp, etp, 1.0, net)
    forward = arch.moe_layers * (dispatch + combine + split)
    return forward + arch.moe_layers * (2.0 * combine + split), forward


def _distinct(places: Floats, draws: int) -> Floats:
    """Different places among `draws` that fall on `places` at random, on average."""
    return np.asarray(places * (1.0 - (1.0 - 1.0 / places) ** draws))


def _context_traffic(arch: Arch, tokens: Floats, tp: Floats, cp: Floats, kind: Floats, hidden_by: Floats,
                     net: Fabric) -> tuple[Floats, Floats]:
    """All and exposed exchange of context parallelism, forward and backward.

    A ring passes keys and values on while attention works on what has arrived, which hides it. An all-to-all trades
    sequence pieces for heads before attention and back after it, and nothing hides it.
    """
    ring = _ring_traffic(arch, tokens, tp, cp, net)
    ring_seen = np.maximum(ring - hidden_by, np.where(cp > 1, 0.05 * hidden_by, 0.0))
    exchange = _exchange_traffic(arch, tokens, tp, cp, net)
    return np.where(kind == 0, np.maximum(ring, ring_seen), exchange), np.where(kind == 0, ring_seen, exchange)


def _ring_traffic(arch: Arch, tokens: Floats, tp: Floats, cp: Floats, net: Fabric) -> Floats:
    """Keys and values once around forward, and with their gradients backward."""
    _, value = attention_dims(arch)
    width = 2.0 * value if arch.kv_lora else 2.0 * arch.kv_heads * arch.head_dim
    message = 2.0 * tokens * width / np.minimum(tp, max(arch.kv_heads, 1))
    return arch.attention_layers * 3.0 * collective.all_gather(message * cp, cp, tp, net)


def _exchange_traffic(arch: Arch, tokens: Floats, tp: Floats, cp: Floats, net: Fabric) -> Floats:
    """Queries, keys, values and outputs change places, forward and their gradients backward.

    Where there are fewer key-value heads than ranks, each rank still receives one whole head.
    """
    query, value = attention_dims(arch)
    keys = (query + value) / tp if arch.kv_lora else 2.0 * arch.head_dim * np.maximum(arch.kv_heads / tp, cp)
    inward = collective.all_to_all(2.0 * tokens * (query / tp + keys), cp, tp, net)
    outward = collective.all_to_all(2.0 * tokens * value / tp, cp, tp, net)
    return arch.attention_layers * 2.0 * (inward + outward)
