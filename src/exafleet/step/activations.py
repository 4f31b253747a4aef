"""Activations a block keeps for its backward pass, by recompute mode: bytes of one micro-batch on one chip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import attention_dims, dense_layers, expert_width

Floats = npt.NDArray[np.float64]


def activations(arch: Arch, tokens: Floats, tp: Floats, etp: Floats, kept: float) -> tuple[Floats, Floats, Floats]:
    """Kept for the backward pass by all blocks: none, selective, full recomputation. Each [U]  [B]"""
    full = 2.0 * tokens * arch.hidden / tp * arch.layers
    none, selective = (sum_blocks(arch, tokens, tp, etp, mode, kept) for mode in (0, 1))
    return none, selective, full


def sum_blocks(arch: Arch, tokens: Floats, tp: Floats, etp: Floats, mode: int, kept: float = 2.0) -> Floats:
    """Activations of all blocks that the backward pass needs. [U]  [B]

    mode   0 keeps all; 1 computes norms and activation functions again
    kept   bytes of an element of a product's input                        [B]
    """
    attention = arch.attention_layers * _attention_bytes(arch, tokens, tp, mode, kept)
    dense = dense_layers(arch) * _mlp_bytes(arch, tokens, tp, arch.ffn, mode, kept)
    experts = arch.moe_layers * _moe_bytes(arch, tokens, tp, etp, mode, kept) if arch.moe_layers else 0.0
    inner = arch.ssm_heads * arch.ssm_head_dim
    width = 4.0 * arch.hidden + 2.0 * (5 * inner + 4 * arch.ssm_groups * arch.ssm_state)
    return np.asarray(attention + dense + experts + arch.ssm_layers * tokens * width / tp)


def _attention_bytes(arch: Arch, tokens: Floats, tp: Floats, mode: int, kept: float) -> Floats:
    """Residual, norm output, q, k, v and the output; flash attention keeps no scores.

    The output is kept for the backward pass of attention, and once more where its product reads another format.
    """
    query, value = attention_dims(arch)
    keys = (query + value) if arch.kv_lora else 2 * arch.kv_heads * arch.head_dim
    wide = 2.0 * (arch.hidden + query + keys + value + arch.q_lora + arch.kv_lora)
    inputs = kept * ((arch.hidden if mode == 0 else 0) + (value if kept < 2.0 else 0))
    return tokens * (wide + inputs) / tp


def _mlp_bytes(arch: Arch, tokens: Floats, tp: Floats, ffn: int, mode: int, kept: float) -> Floats:
    """Residual, norm output, the inner projections, and the activation between them."""
    wide = 2.0 * (arch.hidden + ffn * (arch.mlp_matrices - 1))
    inputs = kept * (arch.hidden + ffn) if mode == 0 else 0.0
    return tokens * (wide + inputs) / tp


def _moe_bytes(arch: Arch, tokens: Floats, tp: Floats, etp: Floats, mode: int, kept: float) -> Floats:
    wide = 2.0 * (expert_width(arch) * etp + arch.expert_ffn * (arch.mlp_matrices - 1))
    inputs = kept * (expert_width(arch) * etp + (arch.expert_ffn if mode == 0 else 0))
    beside = _mlp_bytes(arch, tokens, tp, arch.shared_ffn + arch.residual_dense_ffn, mode, kept)
    return tokens / tp * arch.topk * (wide + inputs) + beside


def block_bytes(arch: Arch, tokens: Floats, tp: Floats, etp: Floats, mode: int, kept: float) -> Floats:
    """One attention block with the largest block that follows it."""
    if arch.moe_layers:
        return _attention_bytes(arch, tokens, tp, mode, kept) + _moe_bytes(arch, tokens, tp, etp, mode, kept)
    return _attention_bytes(arch, tokens, tp, mode, kept) + _mlp_bytes(arch, tokens, tp, arch.ffn, mode, kept)
