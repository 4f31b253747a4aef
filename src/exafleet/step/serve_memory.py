"""Memory of one chip of a serving replica: weights, key-value cache and working space."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.terms.parts import Parts
from exafleet.work.counts import ELEMENT_BYTES, kv_bytes, parameters, state_bytes, weight_bytes

Floats = npt.NDArray[np.float64]


def cache_share(arch: Arch, layouts: ServeLayouts) -> Floats:
    """Share of a sequence's cache one chip of its group holds, over all stages. [C]

    Whole heads are never split, and the MLA latent is kept by every chip of the group.
    """
    if arch.kv_lora:
        return np.ones_like(layouts.tp)
    return np.maximum(1.0 / layouts.tp, 1.0 / max(arch.kv_heads, 1))


def memory(arch: Arch, layouts: ServeLayouts, batch: Floats, dtype: str, kv_dtype: str, context: float,
           chunk: float) -> Parts:
    """Parts of one chip's memory. [C, P]  [B]

    batch    sequences of one micro-batch on one group: `pp` are in flight, each stage holds 1 / pp of all    [C]
    context  mean cached tokens of a sequence: paged caches hold what is used, not what could be          [token]
    chunk    prompt tokens in flight                                                                     [token]
    """
    experts = float(parameters(arch)["experts"]) * ELEMENT_BYTES[dtype]
    dense = weight_bytes(arch, dtype) - experts
    # A chip holds whole experts: 256 over 72 chips take 4 places on each, some of them twice.
    held = np.ceil(arch.experts / layouts.ep) / max(arch.experts, 1) / layouts.etp if arch.experts else 0.0
    state = state_bytes(arch)
    each = (kv_bytes(arch, context, kv_dtype) - state) * cache_share(arch, layouts) + state / layouts.tp
    cache = each * batch
    return Parts.of("B", {
        "dense weights": dense / (layouts.tp * layouts.pp),
        "expert weights": experts * held / layouts.pp,
        "key-value cache": cache,
        "activations": activations(arch, layouts, chunk, batch),
    })


def activations(arch: Arch, layouts: ServeLayouts, chunk: npt.ArrayLike, batch: Floats) -> Floats:
    """Working space of the widest block for a chunk, and logits of the batch in FP32. [C]  [B]"""
    routed = arch.topk * (arch.mlp_matrices * arch.expert_ffn + 2 * arch.hidden)
    width = 4 * arch.hidden + max(arch.mlp_matrices * (arch.ffn + arch.shared_ffn), routed) / layouts.tp
    return np.asarray(2.0 * np.asarray(chunk) * width + 4.0 * batch * arch.vocab / layouts.tp)
