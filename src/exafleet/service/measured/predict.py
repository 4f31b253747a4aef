"""What the model says of a published serving point: the same deployment, load and lengths, as the benchmark ran it.

A closed loop is replayed (service/closed_loop.py); requests queued all at once are the plateau of a full engine
(service/steady.py); prefill and decode apart are two pools (service/disaggregated.py).
"""

from __future__ import annotations

import math

import numpy as np

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import Facts
from exafleet.service.measured.runs import Served
from exafleet.service.measured.words import Pool
from exafleet.service.steady import full
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts, fixed
from exafleet.step.serve_memory import memory

# When versions without a date in their row came out, as a year (release pages of the projects).
RELEASES = {"0.9.0": 2024.3, "0.17 (TRT": 2025.1, "0.20 (PyT": 2025.45, "1.x main": 2026.3, "1.0.0rc3": 2025.55,
            "1.3.0rc5": 2026.2, "0.12.0": 2025.93, "0.5.6.post2": 2025.95, "0.17.0": 2026.2}
# Largest batch any engine runs in one group.
MOST = 8192


def task_of(row: Served, facts: Facts) -> ServeTask:
    """The service a row ran, without a target."""
    return ServeTask(arch=arch(facts, row.model), input_tokens=row.input_tokens, output_tokens=row.output_tokens,
                     ttft=math.inf, tpot=math.inf, dtype=row.dtype, weight_dtype=row.weight_dtype,
                     kv_dtype=row.kv_dtype, engine=row.engine, closed=True)


def deployed(pool: Pool) -> ServeLayouts:
    """The layout of one replica of a pool. [1]"""
    return fixed(pool.tp, pool.pp, pool.dp, pool.ep)


def fitting(task: ServeTask, on: Machine, layout: ServeLayouts) -> int:
    """Sequences of one group whose cache fits beside the weights, up to MOST; 0 where the weights do not fit."""
    batch = np.unique(np.round(np.geomspace(1, MOST, 200)))
    every = layout.take(np.zeros(batch.shape, dtype=int))
    used = memory(task.arch, every, batch, task.weights, task.kv_dtype, task.context, task.chunk)
    fits = batch[~full(used, on)]
    return int(fits.max()) if len(fits) else 0
