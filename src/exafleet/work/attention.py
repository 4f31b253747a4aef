"""Attention itself: of whole sequences in training and prefill, of one new token over its cache in decoding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import ELEMENT_BYTES, attention_dims, kv_width, seen
from exafleet.work.operator import Operator


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
    keys = (query + value) if arch.kv_lora else 2 * arch.kv_heads * arch.head_dim
    moved = 2.0 * tokens * ((query + value) / tp + np.maximum(keys / tp, 2.0 * arch.head_dim))
    for name, count, window in (("attention", arch.attention_layers - arch.window_layers, 0),
                                ("window attention", arch.window_layers, arch.window)):
        if count:
            context = seen(seq, window) + (np.minimum(extra, window) if window else np.asarray(extra))
            yield Operator(name=name, part="attention core", kind=kind, layer="attention", count=float(count),
                           dtype="bf16", m=np.minimum(seq, window) if window else seq, n=arch.heads / tp,
                           k=float(arch.head_dim), flops=2.0 * (query + value) / tp * tokens * context, nbytes=moved)


def decode_attention(arch: Arch, sequences: npt.ArrayLike, context: npt.ArrayLike, tp: npt.ArrayLike,
                     kv_dtype: str) -> Iterator[Operator]:
    """Attention of one new token in each of `sequences` with `context` cached tokens each."""
    tp = np.asarray(tp, dtype=np.float64)
    query, value = attention_dims(arch)
    # MLA decodes in the latent space: every rank reads the whole latent, and scores cost the latent width per head.
    per_head = 2.0 * (2 * arch.kv_lora + arch.rope_dim) * arch.heads if arch.kv_lora else 2.0 * (query + value)
    cache = np.asarray(kv_width(arch) if arch.kv_lora else kv_width(arch) * np.maximum(1 / tp, 1 / arch.kv_heads))
    for name, count, window in (("decode attention", arch.attention_layers - arch.window_layers, 0),
                                ("window decode attention", arch.window_layers, arch.window)):
        if count:
            tokens = np.minimum(context, window) if window else np.asarray(context, dtype=np.float64)
            read = ELEMENT_BYTES[kv_dtype] * np.asarray(sequences) * tokens * cache
            yield Operator(name=name, part="attention core", kind="decode", layer="attention", count=float(count),
                           dtype="bf16", m=sequences, n=np.maximum(arch.kv_heads / tp, 1.0), k=tokens,
                           flops=per_head / tp * np.asarray(sequences) * tokens, nbytes=read)
