"""Activations a block keeps for its backward pass, by recompute mode: bytes of one micro-batch on one chip."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import (
    DELTA_CHUNK,
    ELEMENT_BYTES,
    attention_dims,
    delta_widths,
    dense_layers,
    expert_width,
)

Floats = npt.NDArray[np.float64]
NONE, SELECTIVE = 0, 1


class Selective(IntEnum):
    """What a stack's selective recomputation computes again."""

    NORMS = 0      # norms and activation functions (Megatron Core of 2024 and later)
    CORE = 1       # scores, softmax and its dropout (Korthikanti et al. 2022); nothing under flash attention
    HALF = 2       # all but the attention and every other product (PyTorch's operator-level checkpointing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeps:
    """What a software stack keeps beside the inputs of its products, bytes of one token and block.

    scores       per attention score and head; 0 with flash attention                       [B]
    dropout      masks, per element of the hidden width                                     [B]
    hidden       copies made by kernels that are not fused, per element of the hidden width [B]
    ffn          the same per element of the MLP's inner width                              [B]
    logits       per token and word of the vocabulary, at the peak of the loss              [B]
    gather       buffers that hold gathered activations when TP > 1, per token and element of the hidden width [B]
    sequence     1 where norms and dropout are split over TP (sequence parallelism), else 0
    selective    one of Selective
    """

    scores: float = 0.0
    dropout: float = 0.0
    hidden: float = 0.0
    ffn: float = 0.0
    logits: float = 6.0
    gather: float = 4.0
    sequence: float = 1.0
    selective: float = Selective.NORMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What the bytes of a block depend on: tokens [U] of a micro-batch over CP, sequence length, split."""

    tokens: Floats
    seq: float
    tp: Floats
    etp: Floats
    kept: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Memory of one micro-batch on one chip. Each [U]  [B]

    blocks    all blocks: none, selective, full recomputation
    working   what recomputing one block needs at once
    logits    output of the last block at the peak of the loss
    buffers   gathered activations of tensor parallelism
    """

    blocks: tuple[Floats, Floats, Floats]
    working: Floats
    logits: Floats
    buffers: Floats


def kept(arch: Arch, shard: Shard, keeps: Keeps) -> Kept:
    """Memory of one micro-batch by shard."""
    tokens, tp = shard.tokens, shard.tp
    none, selective = (sum_blocks(arch, shard, mode, keeps) for mode in (NONE, SELECTIVE))
    full = 2.0 * tokens * arch.hidden / _whole(shard, keeps) * arch.layers
    return Kept(blocks=(none, np.minimum(selective, none), full), working=_largest_block(arch, shard, keeps),
                logits=tokens * arch.vocab / tp * keeps.logits,
                buffers=np.where(tp > 1, tokens * arch.hidden * keeps.gather, 0.0))


def kept_bytes(dtype: str) -> float:
    """Bytes of an element of a product's input: low-precision ones are kept as they were multiplied."""
    return min(ELEMENT_BYTES[dtype], 2.0) if ELEMENT_BYTES[dtype] >= 1.0 else 1.0


def sum_blocks(arch: Arch, shard: Shard, mode: int, keeps: Keeps) -> Floats:
    """Activations of all blocks that the backward pass needs; mode NONE or SELECTIVE. [U]  [B]"""
    attention = arch.attention_layers * _attention_bytes(arch, shard, mode, keeps)
    dense = dense_layers(arch) * _mlp_bytes(arch, shard, arch.ffn, mode, keeps)
    experts = arch.moe_layers * _moe_bytes(arch, shard, mode, keeps) if arch.moe_layers else 0.0
    inner = arch.ssm_heads * arch.ssm_head_dim
    width = 4.0 * arch.hidden + 2.0 * (5 * inner + 4 * arch.ssm_groups * arch.ssm_state)
    state = arch.ssm_layers * width + arch.delta_layers * _delta_width(arch)
    return np.asarray(attention + dense + experts + shard.tokens * state / shard.tp)


def _delta_width(arch: Arch) -> float:
    """Bytes a token leaves in a gated delta-net block: residual and norm, projections, convolution, triangle, output.

    With K keys and V values: queries, keys and values before and after the convolution (4K + 2V), the gate, the rule's
    output and the gated one (3V); a row of the chunk's inverted triangle for each value head.
    """
    keys, values = delta_widths(arch)
    return 4.0 * arch.hidden + 2.0 * (4 * keys + 5 * values + DELTA_CHUNK * arch.delta_value_heads)


def _whole(shard: Shard, keeps: Keeps) -> Floats:
    """Ways norms, residuals and dropout are split: over TP only with sequence parallelism."""
    return shard.tp if keeps.sequence else np.ones_like(shard.tp)


def _norm_output(mode: int, keeps: Keeps) -> bool:
    return mode == NONE or keeps.selective == Selective.CORE


def _attention_bytes(arch: Arch, shard: Shard, mode: int, keeps: Keeps) -> Floats:
    """Residual, norm output, q, k, v and the output; scores where attention is not fused.

    The output is kept for the backward pass of attention, and once more where its product reads another format.
    """
    query, value = attention_dims(arch)
    keys = (query + value) if arch.kv_lora else 2 * arch.kv_heads * arch.head_dim
    if mode == SELECTIVE and keeps.selective == Selective.HALF:
        return shard.tokens * 2.0 * (2 * arch.hidden + query + keys / 2 + value) / shard.tp
    low = shard.kept < 2.0
    inputs = shard.kept * (arch.hidden if _norm_output(mode, keeps) else 0)
    split = 2.0 * (query + keys + value + arch.q_lora + arch.kv_lora) + (shard.kept * value if low else 0.0)
    scores = 0.0 if mode == SELECTIVE else keeps.scores * arch.heads * shard.seq
    whole = (2.0 + keeps.dropout / 2) * arch.hidden + inputs
    return shard.tokens * (whole / _whole(shard, keeps) + (split + scores + keeps.hidden * arch.hidden) / shard.tp)


def _mlp_bytes(arch: Arch, shard: Shard, ffn: int, mode: int, keeps: Keeps) -> Floats:
    """Residual, norm output, the inner projections, and the activation between them."""
    if mode == SELECTIVE and keeps.selective == Selective.HALF:
        return shard.tokens * 2.0 * ffn / shard.tp
    again = not _norm_output(mode, keeps)
    whole = (2.0 + keeps.dropout / 2 + (0.0 if again else shard.kept)) * arch.hidden
    inner = 2.0 * (arch.mlp_matrices - 1) + (0.0 if again else shard.kept + keeps.ffn)
    return shard.tokens * (whole / _whole(shard, keeps) + inner * ffn / shard.tp)


def _moe_bytes(arch: Arch, shard: Shard, mode: int, keeps: Keeps) -> Floats:
    wide = 2.0 * (expert_width(arch) * shard.etp + arch.expert_ffn * (arch.mlp_matrices - 1))
    unfused = (shard.kept + keeps.ffn) * arch.expert_ffn if _norm_output(mode, keeps) else 0.0
    inputs = shard.kept * expert_width(arch) * shard.etp + unfused
    beside = _mlp_bytes(arch, shard, arch.shared_ffn + arch.residual_dense_ffn, mode, keeps)
    return shard.tokens / shard.tp * arch.topk * (wide + inputs) + beside


def _largest_block(arch: Arch, shard: Shard, keeps: Keeps) -> Floats:
    """One attention block with the largest block that follows it."""
    after = (_moe_bytes(arch, shard, NONE, keeps) if arch.moe_layers
             else _mlp_bytes(arch, shard, arch.ffn, NONE, keeps))
    return _attention_bytes(arch, shard, NONE, keeps) + after
