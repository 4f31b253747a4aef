"""Operators of gated delta-net blocks: projections, convolution, gate, and the delta rule as the products it is.

The state of a value head is a matrix of key width times value width, in fp32. Decoding passes one token through it;
prefill and training take chunks of tokens, inside which the rule is a small attention with a triangle to solve.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import DELTA_CHUNK, delta_flops, delta_widths
from exafleet.work.operator import Operator, Shard, gemm, memory, quantise

Floats = npt.NDArray[np.float64]


def delta(arch: Arch, shard: Shard, dtype: str, *, decode: bool = False) -> Iterator[Operator]:
    """Gated delta-net blocks; heads are split over tensor-parallel ranks. In decode the state is read and written once.
    """
    if not arch.delta_layers:
        return
    count, layer, tp, tokens = float(arch.delta_layers), "delta", shard.tp, shard.tokens
    keys, values = delta_widths(arch)
    into = (2.0 * keys + 2.0 * values + 2.0 * arch.delta_value_heads) / tp
    yield gemm("delta in", "ssm", layer, count, dtype, tokens, into, arch.hidden)
    yield gemm("delta out", "ssm", layer, count, dtype, tokens, arch.hidden, values / tp)
    if decode:
        yield _recurrence(arch, count, tokens, tp)
    else:
        yield from _chunks(arch, count, tokens, tp)
    yield memory("delta norm", "elementwise", layer, count, arch.hidden * shard.own, shard.kernels.norm)
    yield memory("delta convolution", "elementwise", layer, count, (2.0 * keys + values) / tp * tokens, (4.0, 6.0))
    # The gated norm reads what the rule made and the gate.
    yield memory("delta gate", "elementwise", layer, count, values / tp * tokens, (6.0, 10.0))
    if not decode:
        yield from quantise(shard, "delta", layer, count, dtype, made=arch.hidden * shard.own + values / tp * tokens,
                            alone_back=into * tokens + arch.hidden * shard.own)


def _recurrence(arch: Arch, count: float, tokens: Floats, tp: Floats) -> Operator:
    """One token of each sequence through the state.

    For each value head with keys of k and values of v: the state fades (k v), tells what the key recalls, takes what is
    new and answers the query (2 k v each). It is read and written in fp32: 8 k v bytes, beside which inputs are small.
    """
    keys, values = delta_widths(arch)
    state = float(values * arch.delta_key_dim)
    nbytes = (8.0 * state + 2.0 * (2.0 * keys + 2.0 * values)) / tp * tokens
    return Operator(name="delta rule", part="ssm", kind="scan", layer="delta", count=count, dtype="bf16", m=tokens,
                    n=values / tp, k=float(arch.delta_key_dim), flops=7.0 * state * tokens / tp, nbytes=nbytes)


def _chunks(arch: Arch, count: float, tokens: Floats, tp: Floats) -> Iterator[Operator]:
    """The rule in chunks of Q tokens, FLOPs of `delta_flops`; bytes of each value head and token, keys k, values v.

    Inside a chunk: keys with keys into a triangle (Q in fp32), its inverse (read, written in bf16), laid on keys and
    values: 6 k + 4 v + 12 Q. Between chunks: keys and laid values to states and new values, then queries, keys, values
    and states to outputs: 8 k + 8 v, and a state in bf16 written and read for each chunk, 4 k v / Q.
    """
    k, v, heads = float(arch.delta_key_dim), float(arch.delta_value_dim), float(arch.delta_value_heads)
    inside, through = delta_flops(arch)
    each = heads * tokens / tp
    yield Operator(name="delta inside chunks", part="ssm", kind="scan", layer="delta", count=count, dtype="bf16",
                   m=float(DELTA_CHUNK), n=float(DELTA_CHUNK), k=k, flops=inside * tokens / tp,
                   nbytes=(6.0 * k + 4.0 * v + 12.0 * DELTA_CHUNK) * each)
    yield Operator(name="delta between chunks", part="ssm", kind="scan", layer="delta", count=count, dtype="bf16",
                   m=v, n=k, k=float(DELTA_CHUNK), flops=through * tokens / tp,
                   nbytes=(8.0 * k + 8.0 * v + 4.0 * k * v / DELTA_CHUNK) * each)
