"""The two sides of a deployment with prefill and decode apart, each looked at by itself.

What a pair of sides carries grows with what each carries: prefill counts by the time of a step, prompts a second and
the ways its cache leaves by; decode by the time per token, requests a second and the ways the cache comes in by. So
of replicas of one size only those that no other beats in all of these can be part of the best pair, and only those are
paired. Arrays over candidates; nothing is one object per candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.disaggregated import most_sequences, token_parts
from exafleet.service.apart.prefill_pool import Prefill, prefill_side
from exafleet.service.apart.transfer import ways
from exafleet.service.steady import full
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.step.serve_memory import memory

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefillSide:
    """Replicas that may work on prompts. [I]

    layouts  of one replica                        [I]
    steps    what its steps take                   [I]
    full     layouts that memory has no room for    [1]
    looked   layouts looked at, those included      [1]
    """

    layouts: ServeLayouts
    steps: Prefill
    full: int
    looked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSide:
    """Replicas that may decode, each with a number of sequences. [J]

    layouts   of one replica                                   [J]
    running   sequences in it                                  [J]
    tpot      time per output token                            [J]  [s]
    requests  that leave it per second                         [J]  [1/s]
    full      candidates that memory has no room for            [1]
    looked    candidates looked at, those included              [1]
    """

    layouts: ServeLayouts
    running: Floats
    tpot: Floats
    requests: Floats
    full: int
    looked: int


def prefill_candidates(task: ServeTask, on: Machine, every: ServeLayouts) -> PrefillSide:
    """Layouts that have room for a prompt and that no other of their size beats. [I]"""
    used = memory(task.arch, every, np.ones_like(every.tp), task.weights, task.kv_dtype, task.input_tokens, task.chunk)
    fits = np.flatnonzero(~full(used, on))
    able = every.take(fits)
    steps = prefill_side(task, on, able)
    kept = unbeaten(able.replica, less=(steps.first, steps.least), more=(steps.servers, able.dp, ways(task, able)))
    return PrefillSide(layouts=able.take(kept), steps=steps.take(kept), full=len(every.tp) - len(fits),
                       looked=len(every.tp))


def decode_candidates(task: ServeTask, on: Machine, every: ServeLayouts, ladder: Floats,
                      concurrency: tuple[int, int]) -> DecodeSide:
    """Layouts and sequences that fit, and that no other of their size beats. [J]

    ladder       sequences of one micro-batch of a group to try     [R]
    concurrency  least and most sequences of a replica
    """
    which, batch = np.repeat(np.arange(len(every.tp)), len(ladder)), np.tile(ladder, len(every.tp))
    running = batch * every.dp[which] * every.pp[which]
    inside = (running >= concurrency[0]) & (running <= concurrency[1])
    fits = inside & (batch <= most_sequences(task, on, every)[which])
    layouts, batch, running = every.take(which[fits]), batch[fits], running[fits]
    tpot = token_parts(task, on, layouts, batch).total
    requests = running / (max(task.output_tokens - 1.0, 1e-6) * tpot)
    kept = unbeaten(layouts.replica, less=(tpot,), more=(requests, layouts.dp, ways(task, layouts)))
    return DecodeSide(layouts=layouts.take(kept), running=running[kept], tpot=tpot[kept], requests=requests[kept],
                      full=int((inside & ~fits).sum()), looked=int(inside.sum()))


def unbeaten(size: Floats, *, less: tuple[Floats, ...], more: tuple[Floats, ...]) -> npt.NDArray[np.intp]:
    """Candidates that no other of the same size equals or beats in everything: exact, not a choice. [K]

    size  of the replica                             [C]
    less  what is better the less there is of it      [C]
    more  what is better the more there is of it      [C]

    >>> unbeaten(np.array([8.0, 8.0, 4.0]), less=(np.array([1.0, 2.0, 3.0]),), more=()).tolist()
    [0, 2]
    """
    cost = np.stack([*less, *(-m for m in more)])
    cost = np.where(np.isfinite(cost), cost, np.inf)
    order = np.lexsort((*cost[::-1], size))
    groups = np.split(order, np.flatnonzero(np.diff(size[order])) + 1)
    return np.sort(np.concatenate([_front(group, cost[:, group]) for group in groups]))


def _front(group: npt.NDArray[np.intp], cost: Floats) -> npt.NDArray[np.intp]:
    """Members of one size, sorted by the first cost, that none before them equals or beats."""
    found: list[np.intp] = []
    while len(group):
        found.append(group[0])
        left = (cost < cost[:, :1]).any(axis=0)
        group, cost = group[left], cost[:, left]
    return np.array(found, dtype=np.intp)
