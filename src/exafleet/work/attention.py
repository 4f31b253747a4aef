"""Attention itself: of whole sequences in training and prefill, of one new token over its cache in decoding.

Sparse attention has an index beside it: small keys of every token (or compressed entry), scored for every query, the
best of which attention sees. Indexes are not split over tensor-parallel ranks: each ranks all of them for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import (
    ELEMENT_BYTES,
    INDEX_KEY_BYTES,
    Reach,
    attention_dims,
    key_parts,
    kv_width,
    reaches,
    seen,
)
from exafleet.work.operator import Operator, memory

# A score of an index is written in fp32 and read once by the selection of the best.
INDEX_SCORE_BYTES = (8.0, 0.0)


def context_attention(arch: Arch, tokens: npt.ArrayLike, seq: npt.ArrayLike, tp: npt.ArrayLike,
                      extra: npt.ArrayLike = 0.0) -> Iterator[Operator]:
    """Causal attention of whole sequences, full and windowed blocks apart.

    tokens   query tokens on this chip                                           [token]
    seq      length of the sequences they belong to                              [token]
    extra    tokens of context before the sequence (a cached prefix)              [token]
    """
    tokens, tp = np.asarray(tokens, dtype=np.float64), np.asarray(tp, dtype=np.float64)
    query, value = attention_dims(arch)
    kind = "mla" if arch.kv_lora else "attention"
    keys = (query + value) if arch.kv_lora else key_parts(arch) * arch.kv_heads * arch.head_dim
    moved = 2.0 * tokens * ((query + value) / tp + np.maximum(keys / tp, key_parts(arch) * arch.head_dim))
    for one in reaches(arch):
        yield Operator(name=_named(one, "attention"), part="attention core", kind=kind, layer="attention",
                       count=float(one.blocks), dtype="bf16", m=_longest(one, seq), n=arch.heads / tp,
                       k=float(arch.head_dim), nbytes=moved,
                       flops=2.0 * _score_width(arch, one, seq, extra) / tp * tokens * one.mean(seq, extra))
    entry = arch.csa_ratio or 1
    yield from _index(arch, tokens, (seen(seq, 0) + np.asarray(extra)) / entry,
                      tokens / np.asarray(seq) * (np.asarray(seq, dtype=np.float64) + np.asarray(extra)) / entry)


def _named(one: Reach, what: str) -> str:
    return f"{one.name} {what}" if one.name else what


def _longest(one: Reach, seq: npt.ArrayLike) -> npt.ArrayLike:
    """Length of the products of attention: of the sequence, a window, or what an index picks. [token]"""
    if one.ratio == 1:
        return np.minimum(seq, one.topk) if one.topk else seq
    return np.minimum(seq, one.window) if not one.ratio else one.latest(seq)


def _score_width(arch: Arch, one: Reach, seq: npt.ArrayLike, extra: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Width of score and value products over all heads.

    Latent attention runs over picked tokens in the latent space, kv_lora + rope_dim for a score and kv_lora for a value
    of each head, because every head shares the one latent that is gathered. Prompts no longer than what is picked run
    as whole attention.
    """
    query, value = attention_dims(arch)
    if not (arch.kv_lora and one.topk):
        return np.asarray(float(query + value))
    long = np.asarray(seq, dtype=np.float64) + np.asarray(extra) > one.topk
    return np.where(long, float(arch.heads * (2 * arch.kv_lora + arch.rope_dim)), float(query + value))


def _index(arch: Arch, tokens: npt.ArrayLike, looked: npt.ArrayLike, keys: npt.ArrayLike) -> Iterator[Operator]:
    """Scores of the index of `tokens` queries over `looked` keys each, and the choice of the best.

    2 heads x dim for each key; `keys` of them are read, and queries of heads x dim, in fp8.
    """
    if not arch.index_layers:
        return
    count, tokens = float(arch.index_layers), np.asarray(tokens, dtype=np.float64)
    wide, looked = float(arch.index_heads * arch.index_dim), np.asarray(looked, dtype=np.float64)
    read = tokens * wide + INDEX_KEY_BYTES * arch.index_dim * np.asarray(keys, dtype=np.float64)
    yield Operator(name="index scores", part="attention core", kind="index", layer="attention", count=count,
                   dtype="fp8", m=tokens, n=looked, k=float(arch.index_dim), flops=2.0 * wide * tokens * looked,
                   nbytes=read)
    yield memory("index choice", "attention core", "attention", count, tokens * looked, INDEX_SCORE_BYTES)


def decode_attention(arch: Arch, sequences: npt.ArrayLike, context: npt.ArrayLike, tp: npt.ArrayLike,
                     kv_dtype: str, queries: float = 1.0) -> Iterator[Operator]:
    """Attention of `queries` new tokens in each of `sequences` with `context` cached tokens each."""
    tp = np.asarray(tp, dtype=np.float64)
    query, value = attention_dims(arch)
    # MLA decodes in the latent space: every rank reads the whole latent, and scores cost the latent width per head.
    per_head = 2.0 * (2 * arch.kv_lora + arch.rope_dim) * arch.heads if arch.kv_lora else 2.0 * (query + value)
    cache = np.asarray(kv_width(arch) if arch.kv_lora else kv_width(arch) * np.maximum(1 / tp, 1 / arch.kv_heads))
    for one in reaches(arch):
        tokens = one.latest(context)
        read = ELEMENT_BYTES[kv_dtype] * np.asarray(sequences) * tokens * cache
        yield Operator(name=_named(one, "decode attention"), part="attention core", kind="decode", layer="attention",
                       count=float(one.blocks), dtype="bf16", m=sequences, n=np.maximum(arch.kv_heads / tp, 1.0),
                       k=tokens, flops=queries * per_head / tp * np.asarray(sequences) * tokens, nbytes=read)
    looked = np.asarray(context, dtype=np.float64) / (arch.csa_ratio or 1)
    yield from _index(arch, queries * np.asarray(sequences), looked, np.asarray(sequences) * looked)
