"""Operators of a step as a struct of arrays: sizes, FLOPs and bytes on one chip, for many shardings at once.

Leading axes [..., O] are shardings (tp, cp, ep, etp, micro-batch) or batch sizes; the step floor evaluates each
distinct one once and gathers. Nothing here knows a chip: bytes and FLOPs only.

Kinds of operator, and what m, n, k mean for them:
  gemm       C[m, n] = A[m, k] B[k, n]
  grouped    `groups` such products, one per local expert; m is the mean number of tokens of one expert
  attention  score and value products of training and prefill; m is the sequence length, k the head width
  mla        the same for multi-head latent attention
  decode     attention of one new token per sequence over its cache; bytes are the cache read
  scan       the small products of a Mamba-2 scan: inside chunks of tokens, and through the states between them
  memory     everything that only moves bytes (norms, activations, rotary, permutation, quantisation, loss)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.work.counts import (
    ELEMENT_BYTES,
    SSM_CHUNK,
    attention_dims,
    dense_layers,
    expert_width,
    kv_width,
    scan_flops,
    seen,
)
from exafleet.work.recipes import FUSED, Kernels, Recipe, cast_bytes

Floats = npt.NDArray[np.float64]
# Flash attention recomputes scores in its backward pass: five matrix products for the forward pass's two.
ATTENTION_BACKWARD = 2.5
# Attention and scans read their inputs and the gradient of their output, and write as many gradients.
CORE_BACKWARD_BYTES = 1.5
# The scan's backward pass computes states and chunk products again before the two products for each of its four.
SCAN_BACKWARD = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator on one chip; arrays share the leading axes of the sharding.

    back    bytes its backward pass moves, of kind "memory"             [B]
    curve   qualifier of its efficiency; "" is its dtype
    """

    name: str
    part: str
    kind: str
    layer: str
    count: float
    dtype: str
    m: npt.ArrayLike
    n: npt.ArrayLike
    k: npt.ArrayLike
    groups: npt.ArrayLike = 1.0
    flops: npt.ArrayLike = 0.0
    nbytes: npt.ArrayLike = 0.0
    back: npt.ArrayLike = 0.0
    step: str = "forward"
    curve: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Operators of one micro-batch (training) or one engine step (serving) on one chip.

    names, parts, kinds, layers, dtypes   what each is; `parts` names the time part it belongs to      [O]
    steps                                 "forward", "dgrad" or "wgrad"                                [O]
    curves                                qualifier of the efficiency of its products                  [O]
    count                                 times it runs in the whole model (blocks of its kind)        [O]
    m, n, k, groups                       sizes, see the module                                        [..., O]
    flops                                 of one run                                                   [..., O]  [FLOP]
    nbytes                                moved by one run                                             [..., O]  [B]
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    kinds: tuple[str, ...]
    layers: tuple[str, ...]
    dtypes: tuple[str, ...]
    steps: tuple[str, ...]
    curves: tuple[str, ...]
    count: Floats
    m: Floats
    n: Floats
    k: Floats
    groups: Floats
    flops: Floats
    nbytes: Floats

    def total(self, what: Floats) -> Floats:
        """Sum over operators of one of the arrays (or of times [..., O]), each as often as it runs. [...]"""
        return np.asarray((what * self.count).sum(axis=-1))


def gather(operators: Sequence[Operator]) -> Work:
    """Operators as arrays; shapes broadcast against each other."""
    fields = {}
    for field in ("m", "n", "k", "groups", "flops", "nbytes"):
        columns = [np.asarray(getattr(o, field), dtype=np.float64) for o in operators]
        fields[field] = columns
    shape = np.broadcast_shapes(*(c.shape for columns in fields.values() for c in columns))
    arrays = {f: np.stack([np.broadcast_to(c, shape) for c in columns], axis=-1) for f, columns in fields.items()}
    return Work(
        names=tuple(o.name for o in operators), parts=tuple(o.part for o in operators),
        kinds=tuple(o.kind for o in operators), layers=tuple(o.layer for o in operators),
        dtypes=tuple(o.dtype for o in operators), steps=tuple(o.step for o in operators),
        curves=tuple(o.curve or o.dtype for o in operators),
        count=np.array([o.count for o in operators], dtype=np.float64), **arrays,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """How one model replica's step is cut and what its kernels are, as the operators see it. All arrays broadcast.

    tokens    tokens one tensor-parallel group works on                            [token]
    tp        tensor-parallel ways; sequence parallel too unless `sequence` is off
    ep, etp   ways experts are spread, and ways one expert is split
    load      tokens of the busiest rank's experts over the mean
    kernels   what memory-bound kernels move
    recipe    how low-precision copies are made; None is a plain cast
    """

    tokens: Floats
    tp: Floats
    ep: Floats
    etp: Floats
    sequence: bool = True
    load: float = 1.0
    kernels: Kernels = FUSED
    recipe: Recipe | None = None

    @property
    def own(self) -> Floats:
        """Tokens of which one chip holds norms and residuals. [token]"""
        return self.tokens / self.tp if self.sequence else self.tokens


def _gemm(name: str, part: str, layer: str, count: float, dtype: str, m: npt.ArrayLike, n: npt.ArrayLike,
          k: npt.ArrayLike, groups: npt.ArrayLike = 1.0, kind: str = "gemm") -> Operator:
    m, n, k, groups = (np.asarray(v, dtype=np.float64) for v in (m, n, k, groups))
    width = ELEMENT_BYTES[dtype]
    nbytes = groups * (width * (m * k + k * n) + ELEMENT_BYTES["bf16"] * m * n)
    return Operator(name=name, part=part, kind=kind, layer=layer, count=count, dtype=dtype, m=m, n=n, k=k,
                    groups=groups, flops=2.0 * m * n * k * groups, nbytes=nbytes)


def _memory(name: str, part: str, layer: str, count: float, elements: npt.ArrayLike,
            each: tuple[float, float]) -> Operator:
    """A kernel that moves `each` bytes of every element, forward and backward."""
    elements = np.asarray(elements, dtype=np.float64)
    return Operator(name=name, part=part, kind="memory", layer=layer, count=count, dtype="bf16", m=0.0, n=0.0, k=0.0,
                    nbytes=each[0] * elements, back=each[1] * elements)


def _activation(arch: Arch, kernels: Kernels) -> tuple[float, float]:
    return kernels.gated if arch.mlp_matrices > 2 else kernels.plain


def _quantise(shard: Shard, name: str, layer: str, count: float, dtype: str, *, made: npt.ArrayLike = 0.0,
              alone: npt.ArrayLike = 0.0, made_back: npt.ArrayLike = 0.0,
              alone_back: npt.ArrayLike = 0.0) -> Iterator[Operator]:
    """Low-precision copies of the inputs of products and, backward, of the gradients of their outputs.

    Both orientations are written at once: forward and activation gradients read rows, weight gradients columns.
    made   elements whose maker (norm, activation) may write the copies itself; alone: those nobody can
    """
    inside = cast_bytes(shard.recipe, dtype, inside=shard.kernels.quantise)
    apart = cast_bytes(shard.recipe, dtype)
    if apart:
        forward = inside * np.asarray(made) + apart * np.asarray(alone)
        backward = inside * np.asarray(made_back) + apart * np.asarray(alone_back)
        yield Operator(name=f"{name} quantise", part="elementwise", kind="memory", layer=layer, count=count,
                       dtype="bf16", m=0.0, n=0.0, k=0.0, nbytes=forward, back=backward)


def attention_projections(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Projections, norms and rotary embedding of the attention blocks; not the attention itself."""
    count, h, tp = float(arch.attention_layers), arch.hidden, shard.tp
    part, layer = "attention gemm", "attention"
    query, value = attention_dims(arch)
    if arch.kv_lora:
        yield from _latent_projections(arch, shard, dtype)
    else:
        # Fewer key-value heads than ranks: each rank still holds one whole head.
        keys = 2.0 * arch.head_dim * np.maximum(arch.kv_heads / tp, 1.0)
        whole = arch.q_lora if arch.q_lora else query / tp
        yield _gemm("qkv", part, layer, count, dtype, shard.tokens, whole + keys, h)
        if arch.q_lora:
            yield _gemm("q up", part, layer, count, dtype, shard.tokens, query / tp, arch.q_lora)
    if arch.o_lora:
        groups = np.maximum(arch.o_groups / tp, 1.0)
        yield _gemm("out down", part, layer, count, dtype, shard.tokens, arch.o_lora, value / tp / groups, groups)
    joined = arch.o_lora * arch.o_groups if arch.o_lora else value
    yield _gemm("attention out", part, layer, count, dtype, shard.tokens, h, joined / tp)
    yield _memory("attention norm", "elementwise", layer, count, h * shard.own, shard.kernels.norm)
    rotary = 0.0 if arch.positions else (query + arch.head_dim * arch.kv_heads) / tp
    yield _memory("rotary", "elementwise", layer, count, rotary * shard.tokens, shard.kernels.rotary)
    projected = query / tp + 2.0 * arch.head_dim * np.maximum(arch.kv_heads / tp, 1.0)
    yield from _quantise(shard, "attention", layer, count, dtype, made=h * shard.own, alone=shard.tokens * value / tp,
                         alone_back=shard.tokens * projected + h * shard.own)


def _latent_projections(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    count, h, tp = float(arch.attention_layers), arch.hidden, shard.tp
    part, layer = "attention gemm", "attention"
    query = arch.heads * (arch.nope_dim + arch.rope_dim)
    if arch.q_lora:
        # Down-projections are not split: every rank computes the latent of its own tokens.
        yield _gemm("q down", part, layer, count, dtype, shard.own, arch.q_lora, h)
        yield _gemm("q up", part, layer, count, dtype, shard.tokens, query / tp, arch.q_lora)
    else:
        yield _gemm("q", part, layer, count, dtype, shard.tokens, query / tp, h)
    yield _gemm("kv down", part, layer, count, dtype, shard.own, arch.kv_lora + arch.rope_dim, h)
    yield _gemm("kv up", part, layer, count, dtype, shard.tokens, arch.heads * (arch.nope_dim + arch.v_dim) / tp,
                arch.kv_lora)


def dense_mlp(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """Blocks with a dense MLP."""
    count = float(dense_layers(arch))
    if count:
        yield from _mlp(arch, shard, dtype, "mlp", count, arch.ffn)
        yield _memory("mlp norm", "elementwise", "mlp", count, arch.hidden * shard.own, shard.kernels.norm)


def _mlp(arch: Arch, shard: Shard, dtype: str, layer: str, count: float, ffn: int) -> Iterator[Operator]:
    inner = ffn / shard.tp
    yield _gemm(
        f"{layer} in", "mlp gemm", layer, count, dtype, shard.tokens, inner * (arch.mlp_matrices - 1), arch.hidden
    )
    yield _gemm(f"{layer} out", "mlp gemm", layer, count, dtype, shard.tokens, arch.hidden, inner)
    yield _memory(f"{layer} activation", "elementwise", layer, count, inner * shard.tokens,
                  _activation(arch, shard.kernels))
    yield from _quantise(shard, layer, layer, count, dtype, made=arch.hidden * shard.own + inner * shard.tokens,
                         made_back=inner * (arch.mlp_matrices - 1) * shard.tokens, alone_back=arch.hidden * shard.own)


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
        yield _gemm("latent maps", "mlp gemm", layer, count, dtype, shard.own, 2.0 * arch.latent, h)
    yield _gemm("router", "mlp gemm", layer, count, "bf16", shard.own, arch.experts, h)
    yield _gemm("experts in", "expert gemm", layer, count, dtype, each, inner * (arch.mlp_matrices - 1), width, groups,
                "grouped")
    yield _gemm("experts out", "expert gemm", layer, count, dtype, each, width, inner, groups, "grouped")
    yield _memory("moe norm", "elementwise", layer, count, h * shard.own, shard.kernels.norm)
    # Permute and un-permute each read and write every routed copy of a token.
    yield _memory("permute", "elementwise", layer, count, width * routed, shard.kernels.permute)
    yield _memory("experts activation", "elementwise", layer, count, inner * routed, _activation(arch, shard.kernels))
    yield from _quantise(shard, "experts", layer, count, dtype, made=inner * routed, alone=width * routed,
                         made_back=inner * (arch.mlp_matrices - 1) * routed, alone_back=width * routed)


def _touched(arch: Arch, shard: Shard) -> Floats:
    """Share of the experts that at least one token of the expert-parallel group is routed to, on average."""
    tokens = shard.tokens * shard.ep * shard.etp / shard.tp
    return (
        np.asarray(-np.expm1(tokens * np.log1p(-arch.topk / arch.experts))) if arch.topk < arch.experts else np.ones(1)
    )


def ssm(arch: Arch, shard: Shard, dtype: str, *, decode: bool = False) -> Iterator[Operator]:
    """Mamba-2 blocks; heads are split over tensor-parallel ranks. In decode the state is read and written once."""
    if not arch.ssm_layers:
        return
    count, layer, tp, tokens = float(arch.ssm_layers), "ssm", shard.tp, shard.tokens
    inner, state = arch.ssm_heads * arch.ssm_head_dim, arch.ssm_groups * arch.ssm_state
    into = (2 * inner + 2 * state + arch.ssm_heads) / tp
    yield _gemm("ssm in", "ssm", layer, count, dtype, tokens, into, arch.hidden)
    yield _gemm("ssm out", "ssm", layer, count, dtype, tokens, arch.hidden, inner / tp)
    if decode:
        yield _recurrence(arch, count, tokens, tp)
    else:
        yield from _scan(arch, count, tokens, tp)
    yield _memory("ssm norm", "elementwise", layer, count, arch.hidden * shard.own, shard.kernels.norm)
    mixed = (inner + 2 * state) / tp * tokens
    yield _memory("convolution", "elementwise", layer, count, mixed, (4.0, 6.0))
    # The gated norm reads the scan's output, the gate and the skipped input.
    yield _memory("ssm gate", "elementwise", layer, count, inner / tp * tokens, (8.0, 12.0))
    if not decode:
        yield from _quantise(shard, "ssm", layer, count, dtype, made=arch.hidden * shard.own + inner / tp * tokens,
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


def head(arch: Arch, shard: Shard, tokens: npt.ArrayLike, *, loss: bool) -> Iterator[Operator]:
    """Embedding look-up and the output projection over `tokens` of them, with the loss in training; bf16 as usual."""
    part, layer = "embedding+loss", "head"
    # Backward adds rows of gradients to the table's.
    yield _memory("embedding", part, layer, 1.0, arch.hidden * shard.own, (4.0, 10.0))
    yield _gemm(
        "logits",
        part,
        layer,
        1.0 + (arch.mtp_layers if loss else 0),
        "bf16",
        tokens,
        arch.vocab / shard.tp,
        arch.hidden,
    )
    yield _memory("loss" if loss else "sampling", part, layer, 1.0 + (arch.mtp_layers if loss else 0),
                  np.asarray(tokens) * arch.vocab / shard.tp, shard.kernels.loss if loss else (4.0, 0.0))


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


def blocks(arch: Arch, shard: Shard, dtype: str, *, decode: bool = False) -> Iterator[Operator]:
    """Every operator of the blocks except attention itself."""
    if arch.attention_layers:
        yield from attention_projections(arch, shard, dtype)
    yield from dense_mlp(arch, shard, dtype)
    yield from moe(arch, shard, dtype)
    yield from ssm(arch, shard, dtype, decode=decode)


def _shard(tokens: npt.ArrayLike, tp: npt.ArrayLike, ep: npt.ArrayLike, etp: npt.ArrayLike, sequence: bool,
           load: float = 1.0, kernels: Kernels = FUSED, recipe: Recipe | None = None) -> Shard:
    as_float = (np.asarray(v, dtype=np.float64) for v in (tokens, tp, ep, etp))
    tokens, tp, ep, etp = as_float
    return Shard(tokens=tokens, tp=tp, ep=ep, etp=etp, sequence=sequence, load=load, kernels=kernels, recipe=recipe)


def train_work(arch: Arch, *, seq: int, dtype: str, micro_batch: npt.ArrayLike = 1, tp: npt.ArrayLike = 1,
               cp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1, etp: npt.ArrayLike = 1, recipe: Recipe | None = None,
               kernels: Kernels = FUSED, gradient: float = 4.0, wide: float = 0.0, load: float = 1.0,
               sample: int = 0, frozen: bool = False) -> Work:
    """Forward, activation-gradient and weight-gradient operators of one micro-batch on one chip, all layers.

    seq          sequence length                                    [token]
    dtype        of the matrix products of the blocks
    micro_batch  sequences in a micro-batch                          [...]
    tp ... etp   sharding                                            [...]
    recipe       how low-precision copies are made; None is a plain cast
    kernels      what memory-bound kernels move
    gradient     bytes of a main gradient, which weight gradients are added to                      [B]
    wide         share of the blocks whose products stay in bf16
    load         tokens of the busiest rank's experts over the mean; with dropped tokens, the capacity factor
    sample       mean length of samples packed into a sequence, none of which sees another; 0: one sample   [token]
    frozen       weights are not trained (LoRA): no weight gradients; the small adapters are not counted
    """
    tokens = np.asarray(micro_batch, dtype=np.float64) * seq / np.asarray(cp, dtype=np.float64)
    shard = _shard(tokens, tp, ep, etp, True, load, kernels, recipe)
    whole = _with_mtp(arch)
    forward = [*blocks(whole, shard, dtype), *context_attention(whole, tokens, float(sample or seq), tp),
               *_mtp_projection(arch, shard, dtype), *head(arch, shard, tokens, loss=True)]
    forward = [_named(o, recipe) for each in forward for o in _kept_wide(each, dtype, wide)]
    backward = [b for o in forward for b in _backward(o, gradient) if not (frozen and b.step == "wgrad")]
    return gather(forward + backward)


def _with_mtp(arch: Arch) -> Arch:
    """Multi-token-prediction blocks cost what one more block of the last kind costs."""
    if not arch.mtp_layers:
        return arch
    extra = arch.mtp_layers
    return replace(arch, layers=arch.layers + extra, attention_layers=arch.attention_layers + extra,
                   mlp_layers=arch.mlp_layers + extra, moe_layers=arch.moe_layers + (extra if arch.moe_layers else 0))


def _mtp_projection(arch: Arch, shard: Shard, dtype: str) -> Iterator[Operator]:
    """A multi-token-prediction block first maps hidden state and embedding together back to the hidden width."""
    if arch.mtp_layers:
        yield _gemm("mtp in", "mlp gemm", "mtp", float(arch.mtp_layers), dtype, shard.tokens, arch.hidden / shard.tp,
                    2.0 * arch.hidden)


def _kept_wide(o: Operator, dtype: str, wide: float) -> Iterator[Operator]:
    """A low-precision operator as run in most blocks, and in bf16 in the share `wide` of them."""
    if not wide or ELEMENT_BYTES[dtype] >= ELEMENT_BYTES["bf16"]:
        yield o
    elif o.kind == "memory" and o.name.endswith(" quantise"):
        yield replace(o, count=o.count * (1.0 - wide))
    elif o.dtype == dtype:
        yield replace(o, count=o.count * (1.0 - wide))
        yield _gemm(o.name, o.part, o.layer, o.count * wide, "bf16", o.m, o.n, o.k, o.groups, o.kind)
    else:
        yield o


def _named(o: Operator, recipe: Recipe | None) -> Operator:
    """With the efficiency its products have in training."""
    if o.kind not in ("gemm", "grouped"):
        return o
    return replace(o, curve=recipe.curve if recipe and o.dtype == recipe.dtype else f"{o.dtype}_train")


def _backward(o: Operator, gradient: float) -> Iterator[Operator]:
    if o.kind in ("gemm", "grouped"):
        yield from _gradients(o, gradient)
    elif o.kind == "memory":
        yield replace(o, step="dgrad", nbytes=o.back)
    else:
        ratio = ATTENTION_BACKWARD if o.kind in ("attention", "mla") else SCAN_BACKWARD
        yield replace(o, step="dgrad", flops=ratio * np.asarray(o.flops),
                      nbytes=CORE_BACKWARD_BYTES * np.asarray(o.nbytes))


def _gradients(o: Operator, gradient: float) -> Iterator[Operator]:
    """dX = dY W', written in bf16, and dW = X' dY, added to the main gradient (read and written)."""
    m, n, k, groups = (np.asarray(v, dtype=np.float64) for v in (o.m, o.n, o.k, o.groups))
    width = ELEMENT_BYTES[o.dtype]
    dgrad = groups * (width * (m * n + n * k) + ELEMENT_BYTES["bf16"] * m * k)
    wgrad = groups * (width * (m * n + m * k) + 2.0 * gradient * n * k)
    yield replace(o, step="dgrad", n=k, k=n, nbytes=dgrad)
    yield replace(o, step="wgrad", m=n, n=k, k=m, nbytes=wgrad)


def prefill_work(arch: Arch, *, dtype: str, tokens: npt.ArrayLike, seq: npt.ArrayLike, prefix: npt.ArrayLike = 0.0,
                 sequences: npt.ArrayLike = 1.0, tp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1,
                 etp: npt.ArrayLike = 1) -> Work:
    """Operators of one prefill step on one chip of a tensor-parallel group.

    tokens     prompt tokens the group works on in the step                       [...]  [token]
    seq        length of the prompts (chunks) they come from                      [...]  [token]
    prefix     cached tokens before them                                          [...]  [token]
    sequences  prompts that end in the step: only their last token needs logits    [...]
    ep, etp    ways experts are spread (over ep * etp / tp groups), and split      [...]
    """
    shard = _shard(tokens, tp, ep, etp, sequence=True)
    return gather([*blocks(arch, shard, dtype), *context_attention(arch, shard.tokens, seq, tp, prefix),
                   *head(arch, shard, sequences, loss=False)])


def decode_work(arch: Arch, *, dtype: str, kv_dtype: str, sequences: npt.ArrayLike, context: npt.ArrayLike,
                tp: npt.ArrayLike = 1, ep: npt.ArrayLike = 1, etp: npt.ArrayLike = 1) -> Work:
    """Operators of one decode step: one new token in each of `sequences` on one tensor-parallel group.

    sequences  running sequences of the group                                     [...]
    context    cached tokens of each, mean                                        [...]  [token]
    Tokens too few to touch every expert read only the experts they touch.
    """
    shard = _shard(sequences, tp, ep, etp, sequence=False)
    return gather(
        [
            *blocks(arch, shard, dtype, decode=True),
            *decode_attention(arch, sequences, context, tp, kv_dtype),
            *head(arch, shard, sequences, loss=False),
        ]
    )
