"""Prefill and decode on pools of their own: steady times, memory of both pools and traffic of a deployment.

`prefill_count` replicas of one layout work on prompts and make the first token; the prompt's cache then travels to one
of `decode_count` replicas of another layout, which make the others. In a closed loop `concurrency` requests go round:

  outside the engine -> prefill (queue, servers) -> transfer (queue, lanes) -> decode (slower the more are in it) -> ...

The traffic is what Little's law allows: requests at all stops add up to the concurrency. Where prefill is the
bottleneck, or memory bounds the sequences that decode, the rest waits there. Everything broadcasts over candidates
[C]; docs/models/serving.md derives the formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.service.apart.entry import Entry
from exafleet.service.apart.prefill_pool import Arrivals, prefill_side
from exafleet.service.apart.transfer import transfer_time
from exafleet.service.steady import full
from exafleet.step.serve import Machine, ServeTask, decode_parts
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.step.serve_memory import memory
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Batches at which a decode step is timed to find the steady state; between two its logarithm is a straight line.
GRID = 48
# Bisection of the sequences in decode, over twelve decades, to the last digits of a float.
HALVINGS, LEAST = 60, 1e-12
# Benchmarks draw the length of an answer evenly from 0.8 to 1 of the nominal one: its deviation over its mean.
ANSWERS = 0.2 / 12**0.5 / 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Candidates [C] of one service with prefill and decode apart.

    prefill, decode              layouts of the two sides                                              [C]
    prefill_count, decode_count  replicas of each                                                      [C]
    concurrency                  requests in the loop; of an open one, on average in the deployment     [C]
    running                      of them, sequences in decode                                          [C]
    token                        parts of the mean time per output token                               [C, P]  [s]
    first                        parts of the mean time to first token, transfer included              [C, P]  [s]
    prefill_memory               parts of one chip's memory in use in either pool                      [C, P]  [B]
    decode_memory
    rate                         output tokens per second of the deployment                            [C]  [token/s]
    busy                         share of the prefill pool's time in use                               [C]
    why                          Why.OK, HBM_FULL, NO_DTYPE, or TOO_SLOW for an open rate out of reach   [C]
    """

    prefill: ServeLayouts
    prefill_count: Floats
    decode: ServeLayouts
    decode_count: Floats
    concurrency: Floats
    running: Floats
    token: Parts
    first: Parts
    prefill_memory: Parts
    decode_memory: Parts
    rate: Floats
    busy: Floats
    why: Ints

    @property
    def chips(self) -> Floats:
        """Chips of both pools. [C]"""
        return np.asarray(self.prefill_count * self.prefill.replica + self.decode_count * self.decode.replica)

    @property
    def rate_per_chip(self) -> Floats:
        """Output tokens per second and chip of both pools. [C]  [token/s]"""
        return np.asarray(self.rate / self.chips)


def serve_apart(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: ServeLayouts,
                prefill_count: npt.ArrayLike, decode: ServeLayouts, decode_count: npt.ArrayLike,
                concurrency: npt.ArrayLike, *, rounds: npt.ArrayLike = np.inf, spread: float = 0.0,
                answers: float = ANSWERS) -> Apart:
    """Steady state of `concurrency` requests going round a deployment with prefill and decode apart. [C]

    prefill_on, decode_on        systems of the two pools
    prefill, decode              layouts of the two sides                                                    [C]
    prefill_count, decode_count  replicas of each                                                            [C]
    concurrency                  requests in flight in the whole deployment                                   [C]
    rounds                       requests of the whole run over those in flight: all of the first round come
                                 at once, and their wait counts in the mean; inf leaves the start out         [C]
    spread                       squared coefficient of variation of the times of prefill and transfer        [1]
    answers                      deviation of the length of answers over its mean                             [1]
    """
    pools = _pools(task, prefill_on, decode_on, prefill, prefill_count, decode, decode_count)
    among = np.broadcast_to(np.asarray(concurrency, dtype=np.float64), decode.tp.shape)
    capacity, many = pools.entry.capacity, np.asarray(rounds, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        def come(running: Floats, rate: Floats) -> Arrivals:
            scatter = answers * running / rate
            return Arrivals(among=among, scatter=scatter, spread=spread,
                            rush=_rush(among / rate, among / capacity, scatter, many))

        def crowded(running: Floats) -> npt.NDArray[np.bool_]:
            rate = pools.requests(running)
            first = pools.way(running).time(rate, come(running, rate))
            return np.asarray((rate > capacity) | (rate * first + running > among))

        running = _bisect(crowded, np.minimum(among, pools.most))
        rate, token = pools.requests(running), pools.token(running)
        first = pools.way(running).parts(rate, come(running, rate))
        first = first + _left_over(pools, among, running, rate, first, token)
        burst = np.maximum(np.maximum(among - pools.entry.servers, 0.0) / (2.0 * capacity) - first["queue"], 0.0)
        first = first + Parts.of("s", {"first round": burst / many})
        first = first + Parts.of("s", {"queue": _bunched(prefill_on, pools.entry, among, first["queue"])})
        made = among * task.output_tokens / (first.total + (task.output_tokens - 1.0) * token.total)
    return pools.apart(among, running, token, first, made, np.zeros(decode.tp.shape, dtype=bool))


def _bunched(on: Machine, entry: Entry, among: Floats, queue: Floats) -> Floats:
    """Wait beyond the queue of even arrivals: in a closed loop requests come in bunches. [C]  [s]

    As on chips that do both phases (service/steady.py), a prompt waits for a share of the others that go round; how
    large it is was fitted on published points of pools apart.
    """
    others = np.maximum(among / entry.servers - 1.0, 0.0)
    bunch = on.engine.apart * others**on.engine.growth * entry.side.time(np.ones_like(among))
    return np.maximum(np.minimum(bunch, others * entry.side.time(np.ones_like(among))) - queue, 0.0)


def _rush(period: Floats, drained: Floats, scatter: Floats, rounds: Floats) -> Floats:
    """How much closer together requests come than on average, because all of them came at once at the start. [C]

    period   time of a round                                       [C]  [s]
    drained  time in which prefill lets all requests through        [C]  [s]
    scatter  deviation of a request's round from the mean           [C]  [s]
    rounds   of the whole run

    The first round leaves prefill evenly over the time it takes to drain, and comes back so; each round widens that
    by the scatter. Half-way through the run counts.
    """
    window = np.sqrt(drained**2 + 6.0 * rounds * scatter**2)
    return np.asarray(np.where(np.isinf(rounds), 1.0, period / np.clip(window, drained, period)))


def _left_over(pools: _Pools, among: Floats, running: Floats, rate: Floats, first: Parts, token: Parts) -> Parts:
    """Who is at no stop waits at the bottleneck: for a place in decode where memory bounds it, else for prefill. [C]"""
    left = np.maximum(among - rate * first.total - running, 0.0) / rate
    spent = first.total + left + (pools.task.output_tokens - 1.0) * token.total
    left = left + np.maximum(among / pools.entry.capacity - spent, 0.0)
    bound = running >= pools.most * (1.0 - 1e-9)
    return Parts.of("s", {"queue": np.where(bound, 0.0, left), "place in decode": np.where(bound, left, 0.0)})


def serve_apart_at(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: ServeLayouts,
                   prefill_count: npt.ArrayLike, decode: ServeLayouts, decode_count: npt.ArrayLike,
                   rate: npt.ArrayLike) -> Apart:
    """Steady state of an open service, whose requests arrive at random (Poisson). [C]

    rate   requests per second; where the pools cannot carry it, times are infinite and `why` is TOO_SLOW   [C]  [1/s]

    The other arguments are those of `serve_apart`.
    """
    pools = _pools(task, prefill_on, decode_on, prefill, prefill_count, decode, decode_count)
    asked = np.broadcast_to(np.asarray(rate, dtype=np.float64), decode.tp.shape)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        running = _bisect(lambda n: pools.requests(n) > asked, pools.most)
        over = (pools.requests(pools.most) < asked * (1.0 - 1e-9)) | (pools.entry.capacity <= asked)
        first = pools.way(running).parts(asked) + Parts.of("s", {"place in decode": np.where(over, np.inf, 0.0)})
        among, made = asked * first.total + running, np.where(over, 0.0, asked * task.output_tokens)
    return pools.apart(among, running, pools.token(running), first, made, over)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pools:
    """Both sides of the candidates, timed where it matters. [C]

    entry    the way to the first token
    groups   micro-batches of the whole decode pool                               [C]
    room     sequences that memory leaves room for in each                        [C]
    steps    logarithm of the time per token, for batches from 1 to `room`          [C, GRID]
    """

    task: ServeTask
    prefill_on: Machine
    decode_on: Machine
    prefill: ServeLayouts
    prefill_count: Floats
    decode: ServeLayouts
    decode_count: Floats
    entry: Entry
    groups: Floats
    room: Floats
    steps: Floats

    @property
    def most(self) -> Floats:
        """Most sequences that decode at once. [C]"""
        return np.asarray(self.groups * self.room)

    def way(self, running: Floats) -> Entry:
        """The way to the first token with so many sequences in decode, whose engine then tells it. [C]"""
        return replace(self.entry, later=later(self.task, self.decode_on, self.step(running)))

    def requests(self, running: Floats) -> Floats:
        """Requests per second that leave decode with so many sequences in it. [C]  [1/s]"""
        return np.asarray(running / (max(self.task.output_tokens - 1.0, 1e-6) * self.step(running)))

    def step(self, running: Floats) -> Floats:
        """Time per output token with so many sequences in decode. [C]  [s]"""
        place = np.log(np.maximum(running / self.groups, 1.0)) / np.maximum(np.log(self.room), 1e-12) * (GRID - 1)
        low = np.clip(place.astype(np.int64), 0, GRID - 2)
        row = np.arange(len(low))
        before, after = self.steps[row, low], self.steps[row, low + 1]
        return np.asarray(np.exp(before + (after - before) * np.clip(place - low, 0.0, 1.0)))

    def token(self, running: Floats) -> Parts:
        """Parts of the time per output token with so many sequences in decode. [C, P]  [s]"""
        return token_parts(self.task, self.decode_on, self.decode, np.maximum(running / self.groups, 1.0))

    def apart(self, among: Floats, running: Floats, token: Parts, first: Parts, rate: Floats,
              over: npt.NDArray[np.bool_]) -> Apart:
        """The answer, with memory and reasons."""
        task, requests = self.task, rate / self.task.output_tokens
        known = np.isfinite(self.entry.side.least) & np.isfinite(token.total)
        with np.errstate(invalid="ignore"):
            prompts = self.entry.prompts(requests)
            sending = np.where(np.isfinite(first["transfer"]), requests * first["transfer"], 0.0) / self.entry.servers
        filling = memory(task.arch, self.prefill, prompts + sending, task.weights, task.kv_dtype, task.input_tokens,
                         task.chunk)
        decoding = decode_memory(task, self.decode, np.maximum(running / self.groups, 1.0))
        why = np.where(over, Why.TOO_SLOW, Why.OK)
        why = np.where(full(filling, self.prefill_on) | full(decoding, self.decode_on), Why.HBM_FULL, why)
        return Apart(prefill=self.prefill, prefill_count=self.prefill_count, decode=self.decode,
                     decode_count=self.decode_count, concurrency=among, running=running, token=token, first=first,
                     prefill_memory=filling, decode_memory=decoding, rate=np.where(known, rate, 0.0),
                     busy=requests * self.entry.side.least / self.entry.servers,
                     why=np.where(known, why, Why.NO_DTYPE).astype(np.int64))


def _pools(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: ServeLayouts,
           prefill_count: npt.ArrayLike, decode: ServeLayouts, decode_count: npt.ArrayLike) -> _Pools:
    many, more = (np.broadcast_to(np.asarray(v, dtype=np.float64), decode.tp.shape)
                  for v in (prefill_count, decode_count))
    room = np.maximum(most_sequences(task, decode_on, decode), 1.0)
    batches = room[:, None] ** (np.arange(GRID) / (GRID - 1.0))
    every = decode.take(np.repeat(np.arange(len(room)), GRID))
    steps = np.log(token_parts(task, decode_on, every, batches.ravel()).total).reshape(batches.shape)
    return _Pools(task=task, prefill_on=prefill_on, decode_on=decode_on, prefill=prefill, prefill_count=many,
                  decode=decode, decode_count=more, groups=more * decode.dp * decode.pp, room=room, steps=steps,
                  entry=entry_of(task, prefill_on, decode_on, prefill, many, decode, more))


def entry_of(task: ServeTask, prefill_on: Machine, decode_on: Machine, prefill: ServeLayouts, prefill_count: Floats,
          decode: ServeLayouts, decode_count: Floats) -> Entry:
    """The way to the first token of a deployment. [C]"""
    side = prefill_side(task, prefill_on, prefill)
    chips = prefill_count * prefill.replica + decode_count * decode.replica
    together = (chips <= decode_on.net.domain) & (prefill_on.system.id == decode_on.system.id)
    return Entry(side=side, servers=prefill_count * side.servers, layers=float(task.arch.layers),
                 moved=transfer_time(task, prefill_on, decode_on, prefill, decode, together),
                 pairs=np.minimum(prefill_count * prefill.dp, decode_count * decode.dp),
                 outside=prefill_on.engine.request, later=np.zeros_like(prefill_count))


def later(task: ServeTask, decode_on: Machine, tpot: Floats) -> Floats:
    """Time from the arrival of the cache until the decode engine has told the first token. [C]  [s]

    tpot   time per output token     [C]  [s]
    """
    return np.asarray(decode_on.engine.waits * task.per_step * tpot)


def token_parts(task: ServeTask, on: Machine, layouts: ServeLayouts, batch: Floats) -> Parts:
    """Parts of the time per output token of chips that only decode, `batch` sequences in each group. [C, P]  [s]"""
    return decode_parts(task, on, layouts, batch).scaled(1.0 / task.per_step)


def most_sequences(task: ServeTask, on: Machine, layouts: ServeLayouts) -> Floats:
    """Sequences of one micro-batch of a group that memory has room for in a pool that only decodes. [C]"""
    empty, one = (decode_memory(task, layouts, n * np.ones_like(layouts.tp)) for n in (0.0, 1.0))
    weights = empty["dense weights"] + empty["expert weights"]
    return np.asarray(np.maximum((on.chip.hbm_bytes - weights) * (1.0 - on.engine.reserve), 0.0)
                      / (one.total - empty.total))


def decode_memory(task: ServeTask, layouts: ServeLayouts, batch: Floats) -> Parts:
    """Parts of one chip's memory in a pool that only decodes: a step works on one token of each sequence. [C, P]  [B]

    batch   sequences of one micro-batch of a group     [C]
    """
    base = memory(task.arch, layouts, batch, task.weights, task.kv_dtype, task.context, 1.0)
    scaled = memory(task.arch, layouts, batch, task.weights, task.kv_dtype, task.context, 0.0)
    pieces = {name: base[name] for name in base.names}
    pieces["activations"] = scaled["activations"] + batch * (base["activations"] - scaled["activations"])
    return Parts.of("B", pieces)


def _bisect(over: Callable[[Floats], npt.NDArray[np.bool_]], top: Floats) -> Floats:
    """The largest value up to `top` that is not `over`, which grows with it. [C]"""
    low, high = np.log(top * LEAST), np.log(top)
    whole = ~over(top)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        above = over(np.exp(middle))
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.asarray(np.where(whole, top, np.exp(low)))
