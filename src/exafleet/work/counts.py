"""Counts of an architecture: parameters, FLOPs per token, KV-cache and weight bytes.

These are closed formulas on purpose. operators.py builds the same quantities operator by operator for the step
models, and a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
# The same of the gated delta rule, whose kernels take shorter chunks because they solve a triangle inside each.
DELTA_CHUNK = 64
DELTA_CONV = 4
# Keys of an index are kept in fp8, with a scale of four bytes for each 128 of them, whatever the cache is kept in.
INDEX_KEY_BYTES = 1.0 + 4.0 / 128.0


def attention_parameters(arch: Arch) -> int:
    """Weights of one attention block: projections in and out, low-rank ones with MLA; no index. [params]"""
    if not arch.kv_lora:
        width, keys = arch.heads * arch.head_dim, key_parts(arch) * arch.hidden * arch.head_dim * arch.kv_heads
        into = arch.q_lora * (arch.hidden + width) if arch.q_lora else arch.hidden * width
        into += arch.hidden * width * arch.attention_gate
        out = arch.o_lora * (width + arch.o_groups * arch.hidden) if arch.o_lora else width * arch.hidden
        return into + keys + out
    query = arch.heads * (arch.nope_dim + arch.rope_dim)
    queries = arch.hidden * arch.q_lora + arch.q_lora * query if arch.q_lora else arch.hidden * query
    latent = arch.hidden * (arch.kv_lora + arch.rope_dim) + arch.kv_lora * arch.heads * (arch.nope_dim + arch.v_dim)
    return queries + latent + arch.heads * arch.v_dim * arch.hidden


def key_parts(arch: Arch) -> int:
    """Cached vectors of a token and key-value head: a key and a value, or one for both."""
    return 1 if arch.shared_kv else 2


def index_parameters(arch: Arch) -> int:
    """Weights of the index of one block: queries from the query latent, a key, and a weight for each head. [params]

    An index over compressed entries makes each of them from the tokens of two windows, so its key has two parts, and
    each of these a gate.
    """
    if not arch.index_topk:
        return 0
    keys = 4 if arch.csa_layers else 1
    return arch.q_lora * arch.index_heads * arch.index_dim + arch.hidden * (keys * arch.index_dim + arch.index_heads)


def compressor_parameters(arch: Arch) -> int:
    """Weights that make compressed entries in all blocks: keys and gates, of two windows where an index picks. [params]

    csa: hidden x 4 head_dim and a bias of 2 head_dim at each place of a window; hca: half of it, for longer windows.
    """
    wide = arch.hidden * 2 * arch.head_dim
    return (arch.csa_layers * (2 * wide + 2 * arch.head_dim * arch.csa_ratio)
            + arch.hca_layers * (wide + arch.head_dim * arch.hca_ratio))


def stream_parameters(arch: Arch) -> int:
    """Weights of the maps of one block's residual streams. [params]

    From R streams of the hidden width: R weights to mix the input, R to spread the output, R x R between streams.
    """
    return arch.residual_streams * arch.hidden * (arch.residual_streams**2 + 2 * arch.residual_streams)


def delta_widths(arch: Arch) -> tuple[int, int]:
    """Width of the keys (and of the queries) and of the values of a gated delta-net block, summed over heads."""
    return arch.delta_key_heads * arch.delta_key_dim, arch.delta_value_heads * arch.delta_value_dim


def delta_parameters(arch: Arch) -> int:
    """Weights of one gated delta-net block. [params]

    With K keys, V values and H value heads: queries, keys, values and output gate hidden x (2K + 2V); decay and rate
    hidden x 2H; out V x hidden; a convolution over queries, keys and values; two scalars a head, one norm.
    """
    keys, values = delta_widths(arch)
    into = arch.hidden * (2 * keys + 2 * values + 2 * arch.delta_value_heads)
    small = DELTA_CONV * (2 * keys + values) + 2 * arch.delta_value_heads + arch.delta_value_dim
    return into + values * arch.hidden + small


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
    around = arch.attention_layers + arch.mlp_layers + arch.state_layers
    norms = arch.hidden * (around + 1)
    return Parts.of("params", {
        "embedding": arch.hidden * (arch.vocab + arch.positions),
        "head": 0 if arch.tied_embeddings else arch.hidden * arch.vocab,
        "attention": arch.attention_layers * attention_parameters(arch) + compressor_parameters(arch),
        "mlp": dense_layers(arch) * arch.mlp_matrices * arch.hidden * arch.ffn,
        "experts": experts,
        "moe dense": arch.moe_layers * moe_dense_parameters(arch),
        "ssm": arch.ssm_layers * ssm_parameters(arch) if arch.ssm_layers else 0,
        **({"delta net": arch.delta_layers * delta_parameters(arch)} if arch.delta_layers else {}),
        **({"streams": around * stream_parameters(arch)} if arch.residual_streams else {}),
        **({"index": arch.index_layers * index_parameters(arch)} if arch.index_layers else {}),
        "norms": norms,
        "mtp": extra,
    })


def _mtp_parameters(arch: Arch) -> int:
    block = attention_parameters(arch) + 2 * arch.hidden * arch.hidden
    block += 0 if arch.csa_layers else index_parameters(arch)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What the attention blocks of one kind see of their context.

    name     "" for whole attention, else a word for the kind
    blocks   attention blocks of the kind
    window   latest tokens they see, 0 where these are no window                       [token]
    ratio    tokens that one entry beside the window stands for, 0 without entries
    topk     entries an index picks, 0 where all are seen
    """

    name: str
    blocks: int
    window: int
    ratio: int
    topk: int

    def mean(self, seq: npt.ArrayLike, extra: npt.ArrayLike = 0.0, *,
             causal: bool = True) -> npt.NDArray[np.float64]:
        """Entries one token of a sequence attends to, mean over it, with `extra` tokens before the sequence. [token]"""
        near = self._near(seen(seq, self.window, causal=causal), extra) if self.window else np.zeros(())
        if not self.ratio:
            return np.asarray(near)
        far = self._far(seen(seq, self.topk * self.ratio, causal=causal), extra)
        return np.asarray(near + far)

    def latest(self, context: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Entries the token after `context` tokens attends to. [token]"""
        near = np.minimum(context, self.window) if self.window else 0.0
        return np.asarray(near + (self._far(0.0, context) if self.ratio else 0.0), dtype=np.float64)

    def _near(self, own: npt.ArrayLike, extra: npt.ArrayLike) -> npt.NDArray[np.float64]:
        return np.asarray(own + np.minimum(extra, self.window))

    def _far(self, own: npt.ArrayLike, extra: npt.ArrayLike) -> npt.NDArray[np.float64]:
        # The entries of a long prefix leave the sequence's own tokens no more than the index picks.
        tokens = np.asarray(own, dtype=np.float64) + np.asarray(extra, dtype=np.float64)
        return np.asarray((np.minimum(tokens, self.topk * self.ratio) if self.topk else tokens) / self.ratio)


def reaches(arch: Arch) -> Iterator[Reach]:
    """The attention blocks by what they see: all, a window, a window and compressed entries."""
    compressed = arch.csa_layers + arch.hca_layers
    kinds = (Reach(name="", blocks=arch.attention_layers - arch.window_layers, window=0, ratio=1,
                   topk=0 if arch.csa_layers else arch.index_topk),
             Reach(name="window", blocks=arch.window_layers - compressed, window=arch.window, ratio=0, topk=0),
             Reach(name="csa", blocks=arch.csa_layers, window=arch.window, ratio=arch.csa_ratio, topk=arch.index_topk),
             Reach(name="hca", blocks=arch.hca_layers, window=arch.window, ratio=arch.hca_ratio, topk=0))
    return (kind for kind in kinds if kind.blocks)


def score_flops(arch: Arch, seq: npt.ArrayLike, *, causal: bool = True) -> npt.NDArray[np.float64]:
    """Attention FLOPs of one token of a sequence, all blocks, forward: scores, values and index. [FLOP/token]

    2 (query + value) for every token or entry seen; 2 heads x dim of the index for every one it looks at.
    """
    query, value = attention_dims(arch)
    found = sum((kind.blocks * kind.mean(seq, causal=causal) for kind in reaches(arch)), np.zeros(()))
    looked = arch.index_layers * arch.index_heads * arch.index_dim * seen(seq, 0, causal=causal) / (arch.csa_ratio or 1)
    return np.asarray(2.0 * (query + value) * found + 2.0 * looked)


def scan_flops(arch: Arch) -> float:
    """Mamba-2 scan FLOPs of one token in one block, forward: inside the chunk and through the state. [FLOP/token]"""
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    return float(4 * inner * arch.ssm_state + SSM_CHUNK * (state + inner))


def delta_flops(arch: Arch) -> tuple[float, float]:
    """Gated delta-rule FLOPs of one token in one block, forward: inside its chunk, and through the state. [FLOP/token]

    A chunk has Q tokens, a value head keys of k and values of v. Inside, all causal and so by half: keys with keys and
    queries with keys (2 Q k), the triangle they make solved (Q^2 / 3) and laid on keys and values (Q k + Q v), scores
    on values (Q v). Through the state: what keys recall, what queries read, and what is added, 2 k v each.
    """
    k, v, q = arch.delta_key_dim, arch.delta_value_dim, DELTA_CHUNK
    heads = float(arch.delta_value_heads)
    return heads * (q * (3 * k + 2 * v) + q * q / 3), heads * 6 * k * v


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
    scores = score_flops(arch, seq, causal=causal)
    forward = 2.0 * matrix_parameters(arch) + scores + arch.ssm_layers * (scan_flops(arch) if arch.ssm_layers else 0)
    forward = forward + arch.delta_layers * sum(delta_flops(arch))
    if mtp and arch.mtp_layers:
        active = _mtp_parameters(arch) - (arch.experts - arch.topk) * expert_parameters(arch)
        query, value = attention_dims(arch)
        block = 2.0 * (active + arch.hidden * arch.vocab) + 2.0 * (query + value) * seen(seq, 0, causal=causal)
        forward = forward + arch.mtp_layers * block
    return np.asarray(forward * (3.0 if train else 1.0))


def kv_bytes_per_token(arch: Arch, dtype: str = "bf16") -> float:
    """Cache one more token of context takes in all attention blocks, far from their start. [B/token]

    Windowed blocks stop growing at their window and blocks with a state hold a fixed one: `kv_bytes` has both. Entries
    that stand for `ratio` tokens take that share of one; an index keeps a key for each token or entry.
    """
    kept = sum(kind.blocks / kind.ratio for kind in reaches(arch) if kind.ratio)
    index = INDEX_KEY_BYTES * arch.index_layers * arch.index_dim / (arch.csa_ratio or 1)
    return ELEMENT_BYTES[dtype] * kept * kv_width(arch) + index


def kv_width(arch: Arch) -> int:
    """Cached elements of one token in one attention block (keys and values, or the MLA latent)."""
    return arch.kv_lora + arch.rope_dim if arch.kv_lora else key_parts(arch) * arch.kv_heads * arch.head_dim


def kv_bytes(arch: Arch, context: npt.ArrayLike, dtype: str = "bf16") -> npt.NDArray[np.float64]:
    """Cache of one sequence of `context` tokens: full and windowed attention, and the state of other blocks. [B]"""
    tokens = np.asarray(context, dtype=np.float64)
    windowed = ELEMENT_BYTES[dtype] * arch.window_layers * kv_width(arch) * np.minimum(tokens, arch.window)
    return np.asarray(kv_bytes_per_token(arch, dtype) * tokens + windowed + state_bytes(arch))


def state_bytes(arch: Arch) -> float:
    """State of one sequence in all state-space and delta-net blocks, whatever its length. [B]

    Mamba-2: heads x head dim x state, delta net: value heads x key dim x value dim, both in fp32; and the latest inputs
    of the convolution in bf16.
    """
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    keys, values = delta_widths(arch)
    delta = values * arch.delta_key_dim * 4.0 + DELTA_CONV * (2 * keys + values) * 2.0
    return arch.ssm_layers * (inner * arch.ssm_state * 4.0 + SSM_CONV * (inner + 2 * state) * 2.0) \
        + arch.delta_layers * delta


def weight_bytes(arch: Arch, dtype: str) -> float:
    """Weights as served: matrices in `dtype`, embedding, head and norms in bf16. [B]"""
    counted = parameters(arch)
    plain = float(counted["embedding"] + counted["head"] + counted["norms"])
    width = ELEMENT_BYTES[dtype]
    return (float(counted.total) - plain) * width + plain * ELEMENT_BYTES["bf16"]
