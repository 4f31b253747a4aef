"""Operators of Mamba-2 blocks: projections, convolution, gate, and the scan as the products it is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import SSM_CHUNK, scan_flops
from exafleet.work.operator import Operator, Shard, gemm, memory, quantise

Floats = npt.NDArray[np.float64]


def ssm(arch: Arch, shard: Shard, dtype: str, *, decode: bool = False) -> Iterator[Operator]:
    """Mamba-2 blocks; heads are split over tensor-parallel ranks. In decode the state is read and written once."""
    if not arch.ssm_layers:
        return
    count, layer, tp, tokens = float(arch.ssm_layers), "ssm", shard.tp, shard.tokens
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    into = (2 * inner + 2 * state + arch.ssm_heads) / tp
    yield gemm("ssm in", "ssm", layer, count, dtype, tokens, into, arch.hidden)
    yield gemm("ssm out", "ssm", layer, count, dtype, tokens, arch.hidden, inner / tp)
    if decode:
        yield _recurrence(arch, count, tokens, tp)
    else:
        yield from _scan(arch, count, tokens, tp)
    yield memory("ssm norm", "elementwise", layer, count, arch.hidden * shard.own, shard.kernels.norm)
    mixed = (inner + 2 * state) / tp * tokens
    yield memory("convolution", "elementwise", layer, count, mixed, (4.0, 6.0))
    # The gated norm reads the scan's output, the gate and the skipped input.
    yield memory("ssm gate", "elementwise", layer, count, inner / tp * tokens, (8.0, 12.0))
    if not decode:
        yield from quantise(shard, "ssm", layer, count, dtype, made=arch.hidden * shard.own + inner / tp * tokens,
                            alone_back=into * tokens + arch.hidden * shard.own)


def _recurrence(arch: Arch, count: float, tokens: Floats, tp: Floats) -> Operator:
    """One token of each sequence through the state, which is read and written once."""
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    nbytes = (8.0 * inner * arch.ssm_state + 4.0 * (2 * inner + 2 * state)) / tp * tokens
    return Operator(name="scan", part="ssm", kind="scan", layer="ssm", count=count, dtype="bf16", m=tokens,
                    n=inner / tp, k=float(arch.ssm_state), flops=6.0 * inner * arch.ssm_state * tokens / tp,
                    nbytes=nbytes)


def _scan(arch: Arch, count: float, tokens: Floats, tp: Floats) -> Iterator[Operator]:
    """The scan in chunks, as the products it is.

    Inside a chunk of Q tokens: C B' of each group (Q x Q, kept in fp32) and its product with the inputs of each head,
    both by half because they are causal. Between chunks: inputs into the state of the chunk and states into outputs,
    with a pass over the states (fp32) between.
    """
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    inside = SSM_CHUNK * (state + inner)
    moved = 8.0 * SSM_CHUNK * arch.ssm_groups + 4.0 * inner + 4.0 * state
    yield Operator(name="scan inside chunks", part="ssm", kind="scan", layer="ssm", count=count, dtype="bf16",
                   m=float(SSM_CHUNK), n=float(SSM_CHUNK), k=float(arch.ssm_state), flops=inside * tokens / tp,
                   nbytes=moved * tokens / tp)
    states = 16.0 * inner * arch.ssm_state / SSM_CHUNK + 2.0 * inner + 2.0 * state
    yield Operator(name="scan between chunks", part="ssm", kind="scan", layer="ssm", count=count, dtype="bf16",
                   m=float(arch.ssm_head_dim), n=float(arch.ssm_state), k=float(SSM_CHUNK),
                   flops=(scan_flops(arch) - inside) * tokens / tp, nbytes=states * tokens / tp)
