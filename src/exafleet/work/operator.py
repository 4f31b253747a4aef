"""One operator of a step, and many as a struct of arrays: sizes, FLOPs and bytes on one chip, for many shardings.

Leading axes [..., O] are shardings (tp, cp, ep, etp, micro-batch) or batch sizes; the step floor evaluates each
distinct one once and gathers. Nothing here knows a chip: bytes and FLOPs only.

Kinds of operator, and what m, n, k mean for them:
  gemm       C[m, n] = A[m, k] B[k, n]
  grouped    `groups` such products, one per local expert; m is the mean number of tokens of one expert
  attention  score and value products of training and prefill; m is the sequence length, k the head width
  mla        the same for multi-head latent attention
  decode     attention of one new token per sequence over its cache; bytes are the cache read
  index      scores by which sparse attention picks: m queries over n keys of width k, in fp8 where the chip has it
  scan       the small products of a Mamba-2 scan or of a gated delta rule: inside chunks of tokens, and through the
             states between them
  memory     everything that only moves bytes (norms, activations, rotary, permutation, quantisation, loss)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.work.counts import ELEMENT_BYTES
from exafleet.work.recipes import FUSED, Kernels, Recipe, cast_bytes

Floats = npt.NDArray[np.float64]


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
    # Each operator's column lies together in memory: columns are written and read one by one.
    arrays = {f: np.moveaxis(np.stack([np.broadcast_to(c, shape) for c in columns]), 0, -1)
              for f, columns in fields.items()}
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


def gemm(name: str, part: str, layer: str, count: float, dtype: str, m: npt.ArrayLike, n: npt.ArrayLike,
         k: npt.ArrayLike, groups: npt.ArrayLike = 1.0, kind: str = "gemm") -> Operator:
    """The forward pass of a matrix product, or of `groups` equal ones; its output is in bf16."""
    m, n, k, groups = (np.asarray(v, dtype=np.float64) for v in (m, n, k, groups))
    width = ELEMENT_BYTES[dtype]
    nbytes = groups * (width * (m * k + k * n) + ELEMENT_BYTES["bf16"] * m * n)
    return Operator(name=name, part=part, kind=kind, layer=layer, count=count, dtype=dtype, m=m, n=n, k=k,
                    groups=groups, flops=2.0 * m * n * k * groups, nbytes=nbytes)


def memory(name: str, part: str, layer: str, count: float, elements: npt.ArrayLike,
           each: tuple[float, float]) -> Operator:
    """A kernel that moves `each` bytes of every element, forward and backward."""
    elements = np.asarray(elements, dtype=np.float64)
    return Operator(name=name, part=part, kind="memory", layer=layer, count=count, dtype="bf16", m=0.0, n=0.0, k=0.0,
                    nbytes=each[0] * elements, back=each[1] * elements)


def quantise(shard: Shard, name: str, layer: str, count: float, dtype: str, *, made: npt.ArrayLike = 0.0,
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
