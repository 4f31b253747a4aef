"""Operators of transformer blocks but for attention itself: projections, dense MLPs, experts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import attention_dims, dense_layers, expert_width, key_parts
from exafleet.work.operator import Operator, Shard, gemm, memory, quantise
from exafleet.work.recipes import Kernels

Floats = npt.NDArray[np.float64]


def attention_projections(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Projections, norms and rotary embedding of the attention blocks; not the attention itself."""
    count, h, tp = float(arch.attention_layers), arch.hidden, shard.tp
    part, layer = "attention gemm", "attention"
    query, value = attention_dims(arch)
    if arch.kv_lora:
        yield from _latent_projections(arch, shard, dtype)
    else:
        # Fewer key-value heads than ranks: each rank still holds one whole head.
        keys = float(key_parts(arch)) * arch.head_dim * np.maximum(arch.kv_heads / tp, 1.0)
        whole = arch.q_lora if arch.q_lora else query / tp
        gate = arch.attention_gate * value / tp
        yield gemm("qkv", part, layer, count, dtype, shard.tokens, whole + keys + gate, h)
        if arch.q_lora:
            yield gemm("q up", part, layer, count, dtype, shard.tokens, query / tp, arch.q_lora)
    if arch.o_lora:
        groups = np.maximum(arch.o_groups / tp, 1.0)
        yield gemm("out down", part, layer, count, dtype, shard.tokens, arch.o_lora, value / tp / groups, groups)
    if arch.attention_gate:
        yield memory("attention gate", "elementwise", layer, count, value / tp * shard.tokens, (6.0, 10.0))
    joined = arch.o_lora * arch.o_groups if arch.o_lora else value
    yield gemm("attention out", part, layer, count, dtype, shard.tokens, h, joined / tp)
    yield memory("attention norm", "elementwise", layer, count, h * shard.own, shard.kernels.norm)
    rotary = 0.0 if arch.positions else (query + arch.head_dim * arch.kv_heads) / tp
    yield memory("rotary", "elementwise", layer, count, rotary * shard.tokens, shard.kernels.rotary)
    projected = query / tp + float(key_parts(arch)) * arch.head_dim * np.maximum(arch.kv_heads / tp, 1.0)
    yield from quantise(shard, "attention", layer, count, dtype, made=h * shard.own, alone=shard.tokens * value / tp,
                        alone_back=shard.tokens * projected + h * shard.own)
    yield from _index_projections(arch, shard, dtype)
    yield from _compressors(arch, shard, dtype)


def _index_projections(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Queries, keys and head weights of the index of sparse attention; every rank makes all of them."""
    if not arch.index_layers:
        return
    count, part, layer = float(arch.index_layers), "attention gemm", "attention"
    queries, parts = float(arch.index_heads * arch.index_dim), 4.0 if arch.csa_layers else 1.0
    yield gemm("index queries", part, layer, count, dtype, shard.tokens, queries, arch.q_lora)
    yield gemm("index keys", part, layer, count, dtype, shard.tokens, parts * arch.index_dim + arch.index_heads,
               arch.hidden)
    yield memory("index rotary", "elementwise", layer, count, (queries + arch.index_dim) * shard.tokens,
                 shard.kernels.rotary)


def _compressors(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Keys and gates of compressed entries, and their sum over windows; csa makes them for two windows."""
    for name, blocks, vectors in (("csa", arch.csa_layers, 4.0), ("hca", arch.hca_layers, 2.0)):
        if blocks:
            made = vectors * arch.head_dim
            yield gemm(f"{name} compressor", "attention gemm", "attention", float(blocks), dtype, shard.tokens, made,
                       arch.hidden)
            yield memory(f"{name} pooling", "elementwise", "attention", float(blocks), made * shard.tokens, (2.0, 4.0))


def _latent_projections(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    count, h, tp = float(arch.attention_layers), arch.hidden, shard.tp
    part, layer = "attention gemm", "attention"
    query = arch.heads * (arch.nope_dim + arch.rope_dim)
    if arch.q_lora:
        # Down-projections are not split: every rank computes the latent of its own tokens.
        yield gemm("q down", part, layer, count, dtype, shard.own, arch.q_lora, h)
        yield gemm("q up", part, layer, count, dtype, shard.tokens, query / tp, arch.q_lora)
    else:
        yield gemm("q", part, layer, count, dtype, shard.tokens, query / tp, h)
    yield gemm("kv down", part, layer, count, dtype, shard.own, arch.kv_lora + arch.rope_dim, h)
    yield gemm("kv up", part, layer, count, dtype, shard.tokens, arch.heads * (arch.nope_dim + arch.v_dim) / tp,
               arch.kv_lora)


def streams(arch: Arch, shard: Shard) -> Iterator[Operator]:
    """Maps of residual streams around every block, and what mixing R of them moves beside the norm's own residual.

    Bytes of an element of the hidden width: R streams read into the block's input, read again and written with its
    output, in bf16: 6 R; backward, with gradients of each, twice that.
    """
    if not arch.residual_streams:
        return
    count, many = float(arch.attention_layers + arch.mlp_layers + arch.state_layers), float(arch.residual_streams)
    yield gemm("stream maps", "elementwise", "streams", count, "bf16", shard.own, many * (many + 2.0),
               many * arch.hidden)
    yield memory("streams", "elementwise", "streams", count, arch.hidden * shard.own, (6.0 * many, 12.0 * many))


def dense_mlp(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Blocks with a dense MLP."""
    count = float(dense_layers(arch))
    if count:
        yield from _mlp(arch, shard, dtype, "mlp", count, arch.ffn)
        yield memory("mlp norm", "elementwise", "mlp", count, arch.hidden * shard.own, shard.kernels.norm)


def _mlp(arch: Arch, shard: Shard, dtype: str, layer: str, count: float, ffn: int) -> Iterator[Operator]:
    inner = ffn / shard.tp
    yield gemm(f"{layer} in", "mlp gemm", layer, count, dtype, shard.tokens, inner * (arch.mlp_matrices - 1),
               arch.hidden)
    yield gemm(f"{layer} out", "mlp gemm", layer, count, dtype, shard.tokens, arch.hidden, inner)
    yield memory(f"{layer} activation", "elementwise", layer, count, inner * shard.tokens,
                 _activation(arch, shard.kernels))
    yield from quantise(shard, layer, layer, count, dtype, made=arch.hidden * shard.own + inner * shard.tokens,
                        made_back=inner * (arch.mlp_matrices - 1) * shard.tokens, alone_back=arch.hidden * shard.own)


def _activation(arch: Arch, kernels: Kernels) -> tuple[float, float]:
    return kernels.gated if arch.mlp_matrices > 2 else kernels.plain


def moe(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Blocks with experts: router, permutation, routed experts, shared experts and dense residual."""
    if not arch.moe_layers:
        return
    count, layer, h, width = float(arch.moe_layers), "moe", arch.hidden, expert_width(arch)
    routed = shard.tokens / shard.tp * shard.etp * arch.topk * shard.load
    groups = arch.experts / shard.ep * _touched(arch, shard)
    each, inner = routed / groups, arch.expert_ffn / shard.etp
    if arch.shared_ffn + arch.residual_dense_ffn:
        yield from _mlp(arch, shard, dtype, "shared", count, arch.shared_ffn + arch.residual_dense_ffn)
    if arch.latent:
        yield gemm("latent maps", "mlp gemm", layer, count, dtype, shard.own, 2.0 * arch.latent, h)
    yield gemm("router", "mlp gemm", layer, count, "bf16", shard.own, arch.experts, h)
    yield gemm("experts in", "expert gemm", layer, count, dtype, each, inner * (arch.mlp_matrices - 1), width, groups,
               "grouped")
    yield gemm("experts out", "expert gemm", layer, count, dtype, each, width, inner, groups, "grouped")
    yield memory("moe norm", "elementwise", layer, count, h * shard.own, shard.kernels.norm)
    # Permute and un-permute each read and write every routed copy of a token.
    yield memory("permute", "elementwise", layer, count, width * routed, shard.kernels.permute)
    yield memory("experts activation", "elementwise", layer, count, inner * routed, _activation(arch, shard.kernels))
    yield from quantise(shard, "experts", layer, count, dtype, made=inner * routed, alone=width * routed,
                        made_back=inner * (arch.mlp_matrices - 1) * routed, alone_back=width * routed)


def _touched(arch: Arch, shard: Shard) -> Floats:
    """Share of the experts that at least one token of the expert-parallel group is routed to, on average."""
    tokens = shard.tokens * shard.ep * shard.etp / shard.tp
    if arch.topk >= arch.experts:
        return np.ones(1)
    return np.asarray(-np.expm1(tokens * np.log1p(-arch.topk / arch.experts)))
