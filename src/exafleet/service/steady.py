"""One deployment under a steady load: seconds per output token and to the first one, memory, traffic of a replica.

`concurrency` sequences run at once; each engine step gives each of them one token and, whenever a prompt is waiting,
works through a chunk of it (chunked prefill, continuous batching). Everything broadcasts over candidates [C];
docs/models/serving.md derives the formulas.

  time per output token  = decode step + prefill of other sequences' prompts that falls between two tokens
  time to first token    = waiting for other prompts + own prefill + the decode steps that share its chunks
  throughput             = concurrency * output / (first token + (output - 1) * per token)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.step.serve import Machine, ServeTask, decode_parts, prefill_parts
from exafleet.step.serve_layouts import ServeLayouts
from exafleet.step.serve_memory import memory
from exafleet.step.serving_practice import Engine
from exafleet.terms.parts import Parts
from exafleet.terms.why import Why

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeStep:
    """Candidates [C] of one service on one system.

    layouts      layout of each candidate                                                  [C]
    concurrency  sequences running on one replica                                          [C]
    token        parts of the mean time per output token                                   [C, P]  [s]
    first        parts of the mean time to first token                                     [C, P]  [s]
    memory       parts of one chip's memory in use                                         [C, P]  [B]
    rate         output tokens per second of one replica                                   [C]     [token/s]
    why          Why.OK, HBM_FULL or NO_DTYPE (latency targets are the search's business)    [C]
    """

    layouts: ServeLayouts
    concurrency: Floats
    token: Parts
    first: Parts
    memory: Parts
    rate: Floats
    why: Ints


def serve_step(task: ServeTask, on: Machine, layouts: ServeLayouts, concurrency: npt.ArrayLike) -> ServeStep:
    """Times, memory and traffic of each candidate. `concurrency` sequences on each replica. [C]"""
    running = np.broadcast_to(np.asarray(concurrency, dtype=np.float64), layouts.tp.shape)
    # Sequences of one micro-batch on one group; fewer sequences than groups leave groups idle, none runs less than one.
    batch = np.maximum(running / (layouts.dp * layouts.pp), 1.0)
    decode, prompt = decode_parts(task, on, layouts, batch), prefill_parts(task, on, layouts, batch)
    token, first = loop_times(task, on.engine, decode, prompt, running, batch)
    if task.closed:
        # Of the requests that are kept running, those that still wait for their first token do not decode.
        rest = (task.output_tokens - 1.0) * token.total
        with np.errstate(invalid="ignore"):  # without hardware for a format every time is infinite
            busy = np.fmax(batch * np.where(running > 1, rest / (first.total + rest), 1.0), 1.0)
        token, first = loop_times(task, on.engine, decode_parts(task, on, layouts, busy), prompt, running, batch)
    used = memory(task.arch, layouts, batch, task.weights, task.kv_dtype, task.context, task.chunk)
    rate = running * task.output_tokens / (first.total + (task.output_tokens - 1.0) * token.total)
    why = np.where(full(used, on), Why.HBM_FULL, Why.OK)
    why = np.where(np.isfinite(token.total + first.total), why, Why.NO_DTYPE).astype(np.int64)
    return ServeStep(layouts=layouts, concurrency=running, token=token, first=first, memory=used, rate=rate, why=why)


def loop_times(task: ServeTask, engine: Engine, decode: Parts, prompt: Parts, running: Floats,
               batch: Floats) -> tuple[Parts, Parts]:
    """(time per output token, time to the first token) of chips that do both phases. [C, P]  [s]

    decode   parts of one decode step of `batch` sequences    [C, P]  [s]
    prompt   parts of one prompt's prefill                     [C, P]  [s]
    running  sequences of the replica, batch: of one group     [C]
    """
    others = np.maximum(running - 1.0, 0.0) / running * batch * prompt.total / task.output_tokens
    token = decode.scaled(1.0 / task.per_step) + Parts.of("s", {"prefill of others": others})
    shared = np.where(running > 1, np.ceil(task.fresh_tokens / task.chunk), 0.0) * decode.total
    ahead = np.maximum(batch - 1.0, 0.0)
    if task.closed:
        queue = engine.bunching * ahead**engine.growth * prompt.total
    else:
        queue = waiting(others / token.total, prompt.total + shared, ahead)
    return token, prompt + Parts.of("s", {"queue": queue, "decode of others": shared,
                                          "scheduling": engine.waits * decode.total, "request": engine.request})


def full(used: Parts, on: Machine) -> npt.NDArray[np.bool_]:
    """Which candidates do not fit: engines give away all but a share of what the weights leave. [C]"""
    weights = used["dense weights"] + used["expert weights"]
    return np.asarray(used.total - weights > (on.chip.hbm_bytes - weights) * (1.0 - on.engine.reserve))


def waiting(busy: Floats, service: Floats, ahead: Floats) -> Floats:
    """Mean time a prompt of an open service waits for other prompts. [C]  [s]

    busy      share of engine time spent on prompts                            [C]
    service   time one prompt needs                                             [C]  [s]
    ahead     prompts of the group that could be ahead of it                     [C]

    One server, fixed service time, Poisson arrivals (M/D/1), never more than half of those ahead.
    >>> float(waiting(np.array(0.5), np.array(2.0), np.array(10.0)))
    1.0
    """
    load = np.minimum(busy, 0.999)
    return np.asarray(np.minimum(service * load / (2.0 * (1.0 - load)), ahead / 2.0 * service))
