"""Counts of an architecture: parameters, FLOPs per token, KV-cache and weight bytes.

These are closed formulas on purpose. operators.py builds the same quantities operator by operator for the step
models, and a test holds the two against each other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.terms.parts import Parts

# Bytes of one stored element. FP4 blocks carry one FP8 scale per 16 elements (NVFP4).
ELEMENT_BYTES = {"fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp6": 0.75,
                 "fp4": 0.5 + 1.0 / 16.0, "int4": 0.5 + 2.0 / 128.0}
# Tokens in one chunk of the Mamba-2 scan: inside a chunk it is a small attention, between chunks a recurrence.
SSM_CHUNK = 256
SSM_CONV = 4


def attention_parameters(arch: Arch) -> int:
    """Weights of one attention block: projections in and out, low-rank ones with MLA. [params]"""
    if not arch.kv_lora:
        width, keys = arch.heads * arch.head_dim, 2 * arch.hidden * arch.head_dim * arch.kv_heads
        into = arch.q_lora * (arch.hidden + width) if arch.q_lora else arch.hidden * width
        out = arch.o_lora * (width + arch.o_groups * arch.hidden) if arch.o_lora else width * arch.hidden
        return into + keys + out
    query = arch.heads * (arch.nope_dim + arch.rope_dim)
    queries = arch.hidden * arch.q_lora + arch.q_lora * query if arch.q_lora else arch.hidden * query
    latent = arch.hidden * (arch.kv_lora + arch.rope_dim) + arch.kv_lora * arch.heads * (arch.nope_dim + arch.v_dim)
    return queries + latent + arch.heads * arch.v_dim * arch.hidden


def expert_width(arch: Arch) -> int:
    """Width at which routed experts work: `latent` where experts have one, else `hidden`."""
    return arch.latent or arch.hidden


def expert_parameters(arch: Arch) -> int:
    """Weights of one routed expert. [params]"""
    return arch.mlp_matrices * expert_width(arch) * arch.expert_ffn


def moe_dense_parameters(arch: Arch) -> int:
    """Weights of one MoE block that every token uses: router, shared experts, dense residual, latent maps. [params]"""
    shared = arch.mlp_matrices * arch.hidden * (arch.shared_ffn + arch.residual_dense_ffn)
    latent = 2 * arch.hidden * arch.latent
    return arch.hidden * arch.experts + shared + latent


def ssm_parameters(arch: Arch) -> int:
    """Weights of one Mamba-2 block: projections in and out, short convolution, per-head scalars. [params]"""
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    into = arch.hidden * (2 * inner + 2 * state + arch.ssm_heads)
    return into + inner * arch.hidden + SSM_CONV * (inner + 2 * state) + 3 * arch.ssm_heads + inner


def dense_layers(arch: Arch) -> int:
    """Blocks with a dense MLP."""
    return arch.mlp_layers - arch.moe_layers


def parameters(arch: Arch, *, mtp: bool = False) -> Parts:
    """Parameters by kind of layer; `mtp` adds the multi-token-prediction blocks that only training uses. [params]"""
    experts = arch.moe_layers * arch.experts * expert_parameters(arch)
    extra = arch.mtp_layers * _mtp_parameters(arch) if mtp else 0
    norms = arch.hidden * (arch.attention_layers + arch.mlp_layers + arch.ssm_layers + 1)
    return Parts.of("params", {
        "embedding": arch.hidden * (arch.vocab + arch.positions),
        "head": 0 if arch.tied_embeddings else arch.hidden * arch.vocab,
        "attention": arch.attention_layers * attention_parameters(arch),
        "mlp": dense_layers(arch) * arch.mlp_matrices * arch.hidden * arch.ffn,
        "experts": experts,
        "moe dense": arch.moe_layers * moe_dense_parameters(arch),
        "ssm": arch.ssm_layers * ssm_parameters(arch) if arch.ssm_layers else 0,
        "norms": norms,
        "mtp": extra,
    })


def _mtp_parameters(arch: Arch) -> int:
    block = attention_parameters(arch) + 2 * arch.hidden * arch.hidden
    if arch.moe_layers:
        return block + arch.experts * expert_parameters(arch) + moe_dense_parameters(arch)
    return block + arch.mlp_matrices * arch.hidden * arch.ffn


def mtp_experts(arch: Arch) -> float:
    """Routed-expert weights among those of multi-token prediction. [params]"""
    return float(arch.mtp_layers * arch.experts * expert_parameters(arch)) if arch.moe_layers else 0.0


def active_parameters(arch: Arch) -> float:
    """Parameters one token uses in the forward pass, embedding and head included. [params]"""
    idle = arch.moe_layers * (arch.experts - arch.topk) * expert_parameters(arch)
    return float(parameters(arch).total) - idle


def attention_dims(arch: Arch) -> tuple[int, int]:
    """Width of the score product (query and key) and of the value product, summed over heads."""
    if arch.kv_lora:
        return arch.heads * (arch.nope_dim + arch.rope_dim), arch.heads * arch.v_dim
    return arch.heads * arch.head_dim, arch.heads * arch.head_dim


def seen(seq: npt.ArrayLike, window: int, *, causal: bool = True) -> npt.NDArray[np.float64]:
    """Mean number of earlier tokens one token attends to in a sequence of `seq` tokens. [token]

    Causal attention counts seq / 2 (the convention of model-FLOPs figures); a window of w tokens counts
    w - w^2 / (2 seq) once the sequence is longer than it.

    >>> seen([8192, 8192], 0).tolist(), seen(8192, 4096).tolist()
    ([4096.0, 4096.0], 3072.0)
    """
    s = np.asarray(seq, dtype=np.float64)
    if not window:
        return s / 2 if causal else s
    w = np.minimum(window, s)
    return w - w * w / (2 * s) if causal else w


def score_flops(arch: Arch, context: npt.ArrayLike, window_context: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Attention score and value FLOPs of one token, all attention blocks, forward. [FLOP/token]

    context         tokens attended to in full-attention blocks     [token]
    window_context  the same in windowed blocks                     [token]
    """
    query, value = attention_dims(arch)
    full = arch.attention_layers - arch.window_layers
    tokens = full * np.asarray(context, dtype=np.float64) + arch.window_layers * np.asarray(window_context)
    return np.asarray(2.0 * (query + value) * tokens)


def scan_flops(arch: Arch) -> float:
    """Mamba-2 scan FLOPs of one token in one block, forward: inside the chunk and through the state. [FLOP/token]"""
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    return float(4 * inner * arch.ssm_state + SSM_CHUNK * (state + inner))


def matrix_parameters(arch: Arch) -> float:
    """Weights one token is multiplied with: active ones without the embedding look-up, norms and positions. [params]"""
    counted = parameters(arch)
    used = active_parameters(arch) - float(counted["embedding"]) - float(counted["norms"])
    return used + (arch.hidden * arch.vocab if arch.tied_embeddings else 0)


def flops_per_token(arch: Arch, seq: npt.ArrayLike, *, train: bool = True, causal: bool = True,
                    mtp: bool = False) -> npt.NDArray[np.float64]:
    """Model FLOPs of one token in a sequence of `seq` tokens, no recomputation. [FLOP/token]

    train    forward and backward (3 times forward), else forward only
    causal   count half of full attention (the house convention), else all of it
    mtp      include multi-token-prediction blocks
    """
    scores = score_flops(arch, seen(seq, 0, causal=causal), seen(seq, arch.window, causal=causal))
    forward = 2.0 * matrix_parameters(arch) + scores + arch.ssm_layers * (scan_flops(arch) if arch.ssm_layers else 0)
    if mtp and arch.mtp_layers:
        active = _mtp_parameters(arch) - (arch.experts - arch.topk) * expert_parameters(arch)
        query, value = attention_dims(arch)
        block = 2.0 * (active + arch.hidden * arch.vocab) + 2.0 * (query + value) * seen(seq, 0, causal=causal)
        forward = forward + arch.mtp_layers * block
    return np.asarray(forward * (3.0 if train else 1.0))


def kv_bytes_per_token(arch: Arch, dtype: str = "bf16") -> float:
    """KV cache one more token of context takes in all full-attention blocks. [B/token]

    Windowed blocks stop growing at their window and state-space blocks hold a fixed state: `kv_bytes` has both.
    """
    full = arch.attention_layers - arch.window_layers
    return ELEMENT_BYTES[dtype] * full * kv_width(arch)


def kv_width(arch: Arch) -> int:
    """Cached elements of one token in one attention block (keys and values, or the MLA latent)."""
    return arch.kv_lora + arch.rope_dim if arch.kv_lora else 2 * arch.kv_heads * arch.head_dim


def kv_bytes(arch: Arch, context: npt.ArrayLike, dtype: str = "bf16") -> npt.NDArray[np.float64]:
    """Cache of one sequence of `context` tokens: full and windowed attention, and the state of Mamba-2 blocks. [B]"""
    tokens = np.asarray(context, dtype=np.float64)
    windowed = ELEMENT_BYTES[dtype] * arch.window_layers * kv_width(arch) * np.minimum(tokens, arch.window)
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    fixed = arch.ssm_layers * (inner * arch.ssm_state * 4.0 + SSM_CONV * (inner + 2 * state) * 2.0)
    return np.asarray(kv_bytes_per_token(arch, dtype) * tokens + windowed + fixed)


def weight_bytes(arch: Arch, dtype: str) -> float:
    """Weights as served: matrices in `dtype`, embedding, head and norms in bf16. [B]"""
    counted = parameters(arch)
    plain = float(counted["embedding"] + counted["head"] + counted["norms"])
    width = ELEMENT_BYTES[dtype]
    return (float(counted.total) - plain) * width + plain * ELEMENT_BYTES["bf16"]
