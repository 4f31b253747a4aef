"""Operators of a whole step: training (forward, activation and weight gradients), prefill, decoding.

Blocks come from blocks.py, ssm.py and delta.py, attention from attention.py; what an operator is says operator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.attention import context_attention, decode_attention
from exafleet.work.blocks import attention_projections, dense_mlp, moe, streams
from exafleet.work.counts import ELEMENT_BYTES
from exafleet.work.delta import delta
from exafleet.work.operator import Operator, Shard, Work, gather, gemm, memory
from exafleet.work.recipes import FUSED, Kernels, Recipe
from exafleet.work.ssm import ssm

# Flash attention recomputes scores in its backward pass: five matrix products for the forward pass's two.
ATTENTION_BACKWARD = 2.5
# Attention and scans read their inputs and the gradient of their output, and write as many gradients.
CORE_BACKWARD_BYTES = 1.5
# The scan's backward pass computes states and chunk products again before the two products for each of its four.
SCAN_BACKWARD = 2.5


def head(arch: Arch, shard: Shard, tokens: npt.ArrayLike, *, loss: bool) -> Iterator[Operator]:
    """Embedding look-up and the output projection over `tokens` of them, with the loss in training; bf16 as usual."""
    part, layer = "embedding+loss", "head"
    # Backward adds rows of gradients to the table's.
    yield memory("embedding", part, layer, 1.0, arch.hidden * shard.own, (4.0, 10.0))
    count = 1.0 + (arch.mtp_layers if loss else 0)
    yield gemm("logits", part, layer, count, "bf16", tokens, arch.vocab / shard.tp, arch.hidden)
    yield memory("loss" if loss else "sampling", part, layer, count, np.asarray(tokens) * arch.vocab / shard.tp,
                 shard.kernels.loss if loss else (4.0, 0.0))


def blocks(arch: Arch, shard: Shard, dtype: str, *, decode: bool = False) -> Iterator[Operator]:
    """Every operator of the blocks except attention itself."""
    if arch.attention_layers:
        yield from attention_projections(arch, shard, dtype)
    yield from dense_mlp(arch, shard, dtype)
    yield from moe(arch, shard, dtype)
    yield from ssm(arch, shard, dtype, decode=decode)
    yield from delta(arch, shard, dtype, decode=decode)
    yield from streams(arch, shard)


def _shard(tokens: npt.ArrayLike, tp: npt.ArrayLike, ep: npt.ArrayLike, etp: npt.ArrayLike, sequence: bool,
           load: float = 1.0, kernels: Kernels = FUSED, recipe: Recipe | None = None) -> Shard:
    as_float = (np.asarray(v, dtype=np.float64) for v in (tokens, tp, ep, etp))
    tokens, tp, ep, etp = as_float
    return Shard(tokens=tokens, tp=tp, ep=ep, etp=etp, sequence=sequence, load=load, kernels=kernels, recipe=recipe)


def train_work(arch: Arch, *, seq: int, dtype: str, micro_batch: npt.ArrayLike = 1, tp: npt.ArrayLike = 1,
               cp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1, etp: npt.ArrayLike = 1, recipe: Recipe | None = None,
               kernels: Kernels = FUSED, gradient: float = 4.0, wide: float = 0.0, load: float = 1.0,
               sample: int = 0, frozen: bool = False) -> Work:
    """Forward, activation-gradient and weight-gradient operators of one micro-batch on one chip, all layers.

    seq          sequence length                                    [token]
    dtype        of the matrix products of the blocks
    micro_batch  sequences in a micro-batch                          [...]
    tp ... etp   sharding                                            [...]
    recipe       how low-precision copies are made; None is a plain cast
    kernels      what memory-bound kernels move
    gradient     bytes of a main gradient, which weight gradients are added to                      [B]
    wide         share of the blocks whose products stay in bf16
    load         tokens of the busiest rank's experts over the mean; with dropped tokens, the capacity factor
    sample       mean length of samples packed into a sequence, none of which sees another; 0: one sample   [token]
    frozen       weights are not trained (LoRA): no weight gradients; the small adapters are not counted
    """
    tokens = np.asarray(micro_batch, dtype=np.float64) * seq / np.asarray(cp, dtype=np.float64)
    shard = _shard(tokens, tp, ep, etp, True, load, kernels, recipe)
    whole = _with_mtp(arch)
    forward = [*blocks(whole, shard, dtype), *context_attention(whole, tokens, float(sample or seq), tp),
               *_mtp_projection(arch, shard, dtype), *head(arch, shard, tokens, loss=True)]
    forward = [_named(o, recipe) for each in forward for o in _kept_wide(each, dtype, wide)]
    wgrad = recipe.wgrad if recipe else ""
    backward = [b for o in forward for b in _backward(o, gradient, wgrad) if not (frozen and b.step == "wgrad")]
    return gather(forward + backward)


def _with_mtp(arch: Arch) -> Arch:
    """Multi-token-prediction blocks cost what one more block of the last kind costs."""
    if not arch.mtp_layers:
        return arch
    extra = arch.mtp_layers
    return replace(arch, layers=arch.layers + extra, attention_layers=arch.attention_layers + extra,
                   mlp_layers=arch.mlp_layers + extra, moe_layers=arch.moe_layers + (extra if arch.moe_layers else 0))


def _mtp_projection(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """A multi-token-prediction block first maps hidden state and embedding together back to the hidden width."""
    if arch.mtp_layers:
        yield gemm("mtp in", "mlp gemm", "mtp", float(arch.mtp_layers), dtype, shard.tokens, arch.hidden / shard.tp,
                   2.0 * arch.hidden)


def _kept_wide(o: Operator, dtype: str, wide: float) -> Iterator[Operator]:
    """A low-precision operator as run in most blocks, and in bf16 in the share `wide` of them."""
    if not wide or ELEMENT_BYTES[dtype] >= ELEMENT_BYTES["bf16"]:
        yield o
    elif o.kind == "memory" and o.name.endswith(" quantise"):
        yield replace(o, count=o.count * (1.0 - wide))
    elif o.dtype == dtype:
        yield replace(o, count=o.count * (1.0 - wide))
        yield gemm(o.name, o.part, o.layer, o.count * wide, "bf16", o.m, o.n, o.k, o.groups, o.kind)
    else:
        yield o


def _named(o: Operator, recipe: Recipe | None) -> Operator:
    """With the efficiency its products have in training."""
    if o.kind not in ("gemm", "grouped"):
        return o
    return replace(o, curve=recipe.curve if recipe and o.dtype == recipe.dtype else f"{o.dtype}_train")


def _backward(o: Operator, gradient: float, wgrad: str = "") -> Iterator[Operator]:
    if o.kind in ("gemm", "grouped"):
        yield from _gradients(o, gradient, wgrad)
    elif o.kind == "memory":
        yield replace(o, step="dgrad", nbytes=o.back)
    else:
        ratio = ATTENTION_BACKWARD if o.kind in ("attention", "mla") else SCAN_BACKWARD
        yield replace(o, step="dgrad", flops=ratio * np.asarray(o.flops),
                      nbytes=CORE_BACKWARD_BYTES * np.asarray(o.nbytes))


def _gradients(o: Operator, gradient: float, wgrad: str) -> Iterator[Operator]:
    """dX = dY W', written in bf16, and dW = X' dY in the format `wgrad`, added to the main gradient (read and written).
    """
    m, n, k, groups = (np.asarray(v, dtype=np.float64) for v in (o.m, o.n, o.k, o.groups))
    width = ELEMENT_BYTES[o.dtype]
    dgrad = groups * (width * (m * n + n * k) + ELEMENT_BYTES["bf16"] * m * k)
    yield replace(o, step="dgrad", n=k, k=n, nbytes=dgrad)
    as_wide = replace(o, dtype=wgrad, curve=f"{wgrad}_train") if wgrad and o.dtype != "bf16" else o
    moved = groups * (ELEMENT_BYTES[as_wide.dtype] * (m * n + m * k) + 2.0 * gradient * n * k)
    yield replace(as_wide, step="wgrad", m=n, n=k, k=m, nbytes=moved)


def prefill_work(arch: Arch, *, dtype: str, tokens: npt.ArrayLike, seq: npt.ArrayLike, prefix: npt.ArrayLike = 0.0,
                 sequences: npt.ArrayLike = 1.0, tp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1,
                 etp: npt.ArrayLike = 1) -> Work:
    """Operators of one prefill step on one chip of a tensor-parallel group.

    tokens     prompt tokens the group works on in the step                       [...]  [token]
    seq        length of the prompts (chunks) they come from                      [...]  [token]
    prefix     cached tokens before them                                          [...]  [token]
    sequences  prompts that end in the step: only their last token needs logits    [...]
    ep, etp    ways experts are spread (over ep * etp / tp groups), and split      [...]
    """
    shard = _shard(tokens, tp, ep, etp, sequence=True)
    return gather([*blocks(arch, shard, dtype), *context_attention(arch, shard.tokens, seq, tp, prefix),
                   *head(arch, shard, sequences, loss=False)])


def decode_work(arch: Arch, *, dtype: str, kv_dtype: str, sequences: npt.ArrayLike, context: npt.ArrayLike,
                tp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1, etp: npt.ArrayLike = 1, queries: float = 1.0) -> Work:
    """Operators of one decode step: new tokens in each of `sequences` on one tensor-parallel group.

    sequences  running sequences of the group                                     [...]
    context    cached tokens of each, mean                                        [...]  [token]
    queries    tokens each sequence works on: 1, or with speculation the drafted ones too    [token]

    Tokens too few to touch every expert read only the experts they touch; the cache of a sequence is read once
    however many of its tokens look at it.
    """
    tokens = np.asarray(sequences, dtype=np.float64) * queries
    shard = _shard(tokens, tp, ep, etp, sequence=False)
    return gather(
        [
            *blocks(arch, shard, dtype, decode=True),
            *decode_attention(arch, sequences, context, tp, kv_dtype, queries),
            *head(arch, shard, tokens, loss=False),
        ]
    )
