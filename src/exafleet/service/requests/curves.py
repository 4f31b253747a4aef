"""Step times of one lane of every candidate at a distribution of lengths: what the open loop reckons with. [C]

Each candidate's operators are evaluated at some forty loads, and the rest is read between them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.service.requests.lengths import Lengths
from exafleet.service.requests.pace import MOST_SEQUENCES, capacity
from exafleet.step.serve import Machine, ServeTask, chunk_parts, decode_parts
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.work.counts import kv_bytes

Floats = npt.NDArray[np.float64]
# Rungs of the ladder of batches.
RUNGS = 16
# Steps of prompts alone, and prompts of different attention, that are evaluated.
SIZES, PROMPTS = 14, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Step times of one lane of each candidate at a distribution of lengths.

    lanes    lanes of a replica                                                    [C]
    batch    ladder of running sequences                                           [B]
    decode   a decode step at the mean running context                             [C, B]  [s]
    own      prompt of each sample request alone, its steps' decoding aside        [C, N]  [s]
    more     what it adds to a step that has prompts anyway                        [C, N]  [s]
    start    what a step costs for having prompts at all                           [C]     [s]
    full     a step of `chunk` prompt tokens, decoding aside                        [C]     [s]
    steps    steps the prompt takes alone                                          [N]
    spare    tokens left in its last step                                          [N]     [token]
    room     sequences that fit a lane's cache                                     [C]
    request  time outside the engine                                                       [s]
    waits    decode steps after its prompt until a first token is seen
    gain     tokens a sequence gains in a decode step                                      [token]
    chunk    most prompt tokens of a step                                                  [token]
    """

    lengths: Lengths
    lanes: Floats
    batch: Floats
    decode: Floats
    own: Floats
    more: Floats
    start: Floats
    full: Floats
    steps: Floats
    spare: Floats
    room: Floats
    request: float
    chunk: float
    waits: float = 0.0
    gain: float = 1.0

    def take(self, index: npt.ArrayLike) -> Curves:
        """The candidates at `index`."""
        at = np.asarray(index)
        return replace(self, lanes=self.lanes[at], decode=self.decode[at], own=self.own[at], more=self.more[at],
                       start=self.start[at], full=self.full[at], room=self.room[at])


def curves(task: ServeTask, on: Machine, layouts: ServeLayouts, sizes: Lengths) -> Curves:
    """Evaluate the steps of every candidate once. [C]"""
    batch = np.geomspace(1.0, MOST_SEQUENCES, RUNGS)
    many = len(layouts.tp)
    every = layouts.take(np.repeat(np.arange(many), len(batch)))
    decode = decode_parts(task, on, every, np.tile(batch, many), sizes.context).total.reshape(many, -1)
    steps = np.ceil(sizes.fresh / task.chunk)
    last = sizes.fresh - (steps - 1.0) * task.chunk
    tokens = np.unique(np.round(np.geomspace(1.0, task.chunk, SIZES)))
    score, launch = _attention(task, on, layouts, sizes, steps)
    linear = _linear(task, on, layouts, tokens) + launch
    usual = min(float(last.mean()), task.chunk / 2.0)
    low, high = (_at(tokens, linear, np.array([n]))[:, 0] for n in (usual, task.chunk))
    slope = (high - low) / max(task.chunk - usual, 1.0)
    length = task.input_tokens + task.output_tokens
    reserved = float(kv_bytes(task.arch, sizes.reserved, task.kv_dtype) / kv_bytes(task.arch, length, task.kv_dtype))
    prompt = _at(tokens, linear, last) + score
    full = linear[:, -1] + score.mean(axis=1) / sizes.fresh.mean() * task.chunk
    return Curves(lengths=sizes, lanes=layouts.dp * layouts.pp, batch=batch, decode=decode,
                  own=(steps - 1.0) * linear[:, -1:] + prompt, more=slope[:, None] * sizes.fresh + score,
                  start=np.maximum(low - slope * usual, 0.0), full=full, steps=steps, spare=task.chunk - last,
                  room=np.minimum(capacity(task, on, layouts) / (length * reserved), MOST_SEQUENCES),
                  request=on.engine.request, chunk=task.chunk, waits=on.engine.waits, gain=task.per_step)


def _at(points: Floats, values: Floats, at: Floats) -> Floats:
    """Rows of `values` [C, B] at `points` [B], interpolated at `at` [N]. [C, N]"""
    low = np.clip(np.searchsorted(points, at, side="right") - 1, 0, max(len(points) - 2, 0))
    high = np.minimum(low + 1, len(points) - 1)
    share = (at - points[low]) / np.maximum(points[high] - points[low], 1e-300)
    return np.asarray(values[:, low] * (1.0 - share) + values[:, high] * share)


def _linear(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats) -> Floats:
    """Steps of prompt tokens, the attention among them aside. [C, B]  [s]"""
    time, core = _chunks(task, on, layouts, tokens, tokens, np.zeros_like(tokens))
    return time - core


def _attention(task: ServeTask, on: Machine, layouts: ServeLayouts, sizes: Lengths,
               steps: Floats) -> tuple[Floats, Floats]:
    """Attention of whole prompts over that of one token, and the latter. [C, N], [C, 1]  [s]

    It follows the number of pairs of tokens; prompts spread over all such numbers are evaluated.
    """
    cached = sizes.input - sizes.fresh
    pairs = sizes.fresh * (cached + sizes.fresh / 2.0)
    ladder = np.geomspace(pairs.min(), pairs.max(), PROMPTS)
    order = np.argsort(pairs, kind="stable")
    picked = np.unique(order[np.minimum(np.searchsorted(pairs[order], ladder), len(order) - 1)])
    picked = picked[np.argsort(pairs[picked], kind="stable")]
    piece = np.append(sizes.fresh[picked] / steps[picked], 1.0)
    before = np.append(cached[picked] + (sizes.fresh[picked] - piece[:-1]) / 2.0, 0.0)
    core = _chunks(task, on, layouts, piece, piece, before)[1]
    score = np.maximum(core[:, :-1] - core[:, -1:], 0.0) * steps[picked]
    return _at(pairs[picked], score, pairs), core[:, -1:]


def _chunks(task: ServeTask, on: Machine, layouts: ServeLayouts, tokens: Floats, seq: Floats,
            before: Floats) -> tuple[Floats, Floats]:
    """Steps of prompts on every candidate, and the attention in them. [C, B]  [s]"""
    many = len(layouts.tp)
    every = layouts.take(np.repeat(np.arange(many), len(tokens)))
    n, s, b = (np.tile(v, many) for v in (tokens, seq, before))
    parts = chunk_parts(task, on, every, n, s, b)
    core = parts["attention core"] if "attention core" in parts.names else np.zeros_like(n)
    return parts.total.reshape(many, -1), core.reshape(many, -1)
