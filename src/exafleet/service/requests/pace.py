"""How long the steps of one engine take, tabulated so that a replay can look them up instead of adding operators.

A replica of `dp` groups and `pp` stages is `dp * pp` lanes: each has its own running sequences, prompts and cache, as
in step/serve.py. All figures here are of one lane. A step takes

  decode(sequences, mean context) + linear(prompt tokens) + sum of score(piece, cached before) over pieces of prompts

where a part counts only if the step has such tokens. Decode is exact at every whole number of sequences and linear
between contexts (it is linear by nature but for sliding windows, which have a knot of their own); the rest is
interpolated between points 19 % apart. tests/unit/service hold it to direct evaluation within 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.step.serve import Machine, ServeTask, chunk_parts, decode_parts
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.step.serve_memory import cache_share, memory
from exafleet.work.counts import kv_bytes, state_bytes

Floats = npt.NDArray[np.float64]
# Most sequences a lane runs at once: the largest batch serving engines capture graphs for.
MOST_SEQUENCES = 2048
# Longest context that is tabulated. [token]
LONGEST = float(1 << 24)
# A knot of the decode table is left out when the line between its neighbours is this close.
STRAIGHT = 1e-3
# Points of interpolated axes are this factor apart.
APART = 1.19
# Tokens of one page of the cache: what a sequence holds is rounded up to it.
PAGE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Step times and cache of one lane of a replica.

    lanes      lanes of a replica: attention groups times pipeline stages
    knots      contexts between which decode is linear                                          [K]     [token]
    decode     a decode step of 0, 1, ... sequences (0 of none) at each knot                    [K, B]  [s]
    chunk      most prompt tokens of a step                                                             [token]
    linear     what 0, 1, ... prompt tokens of a step take, attention among them aside          [N]     [s]
    piece      tokens of a piece of a prompt                                                    [L]     [token]
    before     tokens cached before it                                                          [M]     [token]
    score      attention of such a piece                                                        [L, M]  [s]
    gain       tokens a sequence gains in a decode step: more than one with speculation                 [token]
    request    time of a request outside the engine's steps                                             [s]
    waits      decode steps after its prompt until a first token is seen
    capacity   cache of the lane, in tokens of a sequence of mean length                                [token]
    layout     the candidate, whose chips hold the cache
    unit       bytes of one such token on one chip                                                      [B/token]
    """

    arch: Arch
    kv_dtype: str
    layout: ServeLayouts
    lanes: int
    knots: Floats
    decode: Floats
    chunk: int
    linear: Floats
    piece: Floats
    before: Floats
    score: Floats
    request: float
    capacity: float
    unit: float
    gain: float = 1.0
    waits: float = 0.0

    @property
    def most(self) -> int:
        """Most sequences of the lane."""
        return int(self.decode.shape[1]) - 1

    def held(self, tokens: npt.ArrayLike) -> Floats:
        """Cache that sequences of so many tokens take, in whole pages, counted as `capacity` is. [...]  [token]"""
        whole = np.ceil(np.asarray(tokens, dtype=np.float64) / PAGE) * PAGE
        return np.asarray(cache_bytes(self.arch, self.kv_dtype, self.layout, whole[..., None])[..., 0] / self.unit)

    def step(self, sequences: npt.ArrayLike, context: npt.ArrayLike) -> Floats:
        """A decode step of whole numbers of sequences at a mean context. [...]  [s]"""
        many, at = np.broadcast_arrays(np.asarray(sequences, dtype=np.int64), np.asarray(context, dtype=np.float64))
        low = np.clip(np.searchsorted(self.knots, at, side="right") - 1, 0, len(self.knots) - 2)
        share = (at - self.knots[low]) / (self.knots[low + 1] - self.knots[low])
        return np.asarray((1.0 - share) * self.decode[low, many] + share * self.decode[low + 1, many])

    def scores(self, tokens: npt.ArrayLike, before: npt.ArrayLike) -> Floats:
        """Attention of pieces of prompts with `before` tokens cached before them. [...]  [s]"""
        n, b = np.broadcast_arrays(np.asarray(tokens, dtype=np.float64), np.asarray(before, dtype=np.float64))
        i, u = _between(self.piece, n)
        j, v = _between(self.before, b)
        low = (1.0 - v) * self.score[i, j] + v * self.score[i, j + 1]
        high = (1.0 - v) * self.score[i + 1, j] + v * self.score[i + 1, j + 1]
        return np.asarray((1.0 - u) * low + u * high)


def _between(points: Floats, at: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """Lower neighbour in `points`, and how far on the way to the next."""
    low = np.clip(np.searchsorted(points, at, side="right") - 1, 0, len(points) - 2)
    return low, np.asarray((at - points[low]) / (points[low + 1] - points[low]))


def pace(task: ServeTask, on: Machine, layouts: ServeLayouts, at: int = 0) -> Pace:
    """The tables of candidate `at`; times are inf where the chip lacks the data type, capacity 0 where nothing fits."""
    one = layouts.take([at])
    chunk = int(min(task.chunk, LONGEST))
    knots = _knots(task, on, one)
    sizes = np.unique(np.round(np.geomspace(1, chunk, min(chunk, 512))))
    plain = _scores(task, on, one, np.ones(1), np.zeros(1))[0]
    linear = _chunk(task, on, one, sizes)
    piece, before = _points(1.0, chunk), np.concatenate([[0.0], _points(16.0, LONGEST)])
    n, b = (v.ravel() for v in np.meshgrid(piece, before, indexing="ij"))
    score = np.maximum(_scores(task, on, one, n, b) - plain, 0.0).reshape(len(piece), -1)
    length = task.input_tokens + task.output_tokens
    return Pace(arch=task.arch, kv_dtype=task.kv_dtype, layout=one, lanes=int(one.dp[0] * one.pp[0]), knots=knots,
                decode=_decode(task, on, one, knots), chunk=chunk,
                linear=np.concatenate([[0.0], np.interp(np.arange(1, chunk + 1), sizes, linear + plain)]),
                piece=piece, before=before, score=score, request=on.engine.request,
                waits=on.engine.waits, gain=task.per_step, capacity=float(capacity(task, on, one)[0]),
                unit=float(cache_bytes(task.arch, task.kv_dtype, one, length)[0] / length))


def _points(low: float, high: float) -> Floats:
    """Whole numbers from `low` to `high`, about APART from each other, two at least."""
    many = 2 + int(np.log(max(high / low, 1.0)) / np.log(APART))
    return np.unique(np.round(np.append(np.geomspace(low, max(high, low + 1.0), many), low + 1.0)))


def _decode(task: ServeTask, on: Machine, one: ServeLayouts, knots: Floats) -> Floats:
    many = np.arange(1, MOST_SEQUENCES + 1, dtype=np.float64)
    batch, context = np.tile(many, len(knots)), np.repeat(knots, len(many))
    time = _tiled(task, on, one, batch, context).reshape(len(knots), -1)
    return np.concatenate([np.zeros((len(knots), 1)), time], axis=1)


def _tiled(task: ServeTask, on: Machine, one: ServeLayouts, batch: Floats, context: Floats) -> Floats:
    return decode_parts(task, on, one.take(np.zeros(len(batch), dtype=np.int64)), batch, context).total


def _knots(task: ServeTask, on: Machine, one: ServeLayouts) -> Floats:
    """Contexts that the decode time bends at: of a fine ladder those that a line misses by STRAIGHT. [K]  [token]"""
    fine = np.unique(np.concatenate([[1.0], _points(16.0, LONGEST), [float(task.arch.window or 1)]]))
    ladder = np.array([1.0, 8.0, 64.0, 512.0])
    time = _tiled(task, on, one, np.repeat(ladder, len(fine)), np.tile(fine, len(ladder))).reshape(len(ladder), -1)
    if not np.isfinite(time).all():
        return fine[[0, -1]]
    kept, low = [0], 0
    while low < len(fine) - 1:
        high = len(fine) - 1
        while high > low + 1 and not _straight(fine, time, low, high):
            high -= 1
        kept.append(high)
        low = high
    return fine[kept]


def _straight(at: Floats, time: Floats, low: int, high: int) -> bool:
    inside = slice(low + 1, high)
    share = (at[inside] - at[low]) / (at[high] - at[low])
    line = time[:, [low]] * (1.0 - share) + time[:, [high]] * share
    return bool((np.abs(line / time[:, inside] - 1.0) < STRAIGHT).all())


def _scores(task: ServeTask, on: Machine, one: ServeLayouts, tokens: Floats, before: Floats) -> Floats:
    tiled = one.take(np.zeros(len(tokens), dtype=np.int64))
    parts = chunk_parts(task, on, tiled, tokens, tokens, before)
    return parts["attention core"] if "attention core" in parts.names else np.zeros(len(tokens))


def _chunk(task: ServeTask, on: Machine, one: ServeLayouts, tokens: Floats) -> Floats:
    """A step of prompt tokens, less the attention among them. [N]  [s]"""
    tiled = one.take(np.zeros(len(tokens), dtype=np.int64))
    parts = chunk_parts(task, on, tiled, tokens, tokens, 0.0)
    core = parts["attention core"] if "attention core" in parts.names else 0.0
    return np.asarray(parts.total - core)


def capacity(task: ServeTask, on: Machine, layouts: ServeLayouts) -> Floats:
    """Cache of one lane in tokens of a sequence of mean length; 0 where weights and working space leave none. [C]

    Working space includes the logits of as many sequences as then fit.
    """
    length = task.input_tokens + task.output_tokens
    each = cache_bytes(task.arch, task.kv_dtype, layouts, length) / length
    tokens = np.zeros_like(layouts.tp)
    for _ in range(2):
        batch = np.clip(tokens / length, 1.0, MOST_SEQUENCES)
        used = memory(task.arch, layouts, batch, task.weights, task.kv_dtype, task.context, task.chunk)
        weights = used["dense weights"] + used["expert weights"]
        free = (on.chip.hbm_bytes - weights) * (1.0 - on.engine.reserve) - used["activations"]
        tokens = np.maximum(free, 0.0) / each
    return np.asarray(tokens)


def cache_bytes(arch: Arch, kv_dtype: str, layouts: ServeLayouts, tokens: npt.ArrayLike) -> Floats:
    """Cache and state of a sequence of so many tokens on one chip, as step/serve_memory.py counts them. [...]  [B]

    A chip of a stage holds 1 / pp of the cache of pp lanes: as much as one whole lane's share.
    """
    state = state_bytes(arch)
    return np.asarray((kv_bytes(arch, tokens, kv_dtype) - state) * cache_share(arch, layouts) + state / layouts.tp)
