"""What the model says of a published serving point: the same deployment, load and lengths, in the engine of its time.

Chips that do both phases are service/steady.py's closed loop; requests queued all at once are the plateau of a full
engine; prefill and decode apart are two pools (service/apart/disaggregated.py); a pool measured alone is its step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import system
from exafleet.service.apart.disaggregated import serve_apart
from exafleet.service.measured.runs import Served, Unread, year
from exafleet.service.measured.words import Pool
from exafleet.service.steady import full, serve_step
from exafleet.step.serve import Machine, ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import ServeLayouts, fixed
from exafleet.step.serve_memory import memory
from exafleet.step.serving_practice import ANY_ENGINE, engines
from exafleet.terms.errors import ExafleetError
from exafleet.terms.parts import Parts
from exafleet.terms.why import SENTENCES, Why

Floats = npt.NDArray[np.float64]
# Machines by system, engine and the year of its release.
Machines = dict[tuple[str, str, float | None], Machine]
# What is said of a row: figures and parts of the time per token, or why there are none.
Said = tuple[dict[str, float], Parts] | Why
# When versions without a date in their row came out, as a year (release pages of the projects).
RELEASES = {"0.9.0": 2024.3, "0.17 (TRT": 2025.1, "0.20 (PyT": 2025.45, "1.x main": 2026.3, "1.0.0rc3": 2025.55,
            "1.3.0rc5": 2026.2, "0.12.0": 2025.93, "0.17.0": 2026.2, "0.5.1.post1": 2025.65, "0.5.6.post2": 2025.95,
            "0.5.8.post1": 2026.08, "0.5.9": 2026.15}
# Largest batch any engine runs in one group, and where every request is queued at once the largest it is set to.
MOST, MOST_QUEUED = 8192, 2048
# Requests of a benchmark over those it keeps running: how much its first round, all at once, weighs.
ROUNDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A row beside its prediction.

    figures   metric -> predicted value in base units; {} where nothing is predicted
    band      metric -> (low, high) as factors of the prediction: 80 % of measured values lie between
    why       why nothing is predicted; "" where something is
    kind      "dense", "moe" or "hybrid"; "" where the row could not be read
    parts     of the time per output token  [P]  [s]
    """

    row: Served | Unread
    figures: Mapping[str, float]
    band: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    why: str = ""
    kind: str = ""
    parts: Parts | None = None


def compare_served(rows: Iterable[Served | Unread], facts: Facts,
                   told: Callable[[int], None] = lambda done: None) -> list[Compared]:
    """Every row beside its prediction, in their order; one entry for every row.

    told   is called with the number of rows done, now and then
    """
    listed = list(rows)
    found: dict[int, Compared] = {}
    machines: Machines = {}
    alike: dict[Hashable, list[int]] = {}
    for i, row in enumerate(listed):
        if isinstance(row, Unread):
            found[i] = Compared(row=row, figures={}, why=row.why)
        else:
            alike.setdefault(service_key(row), []).append(i)
    for places in alike.values():
        together = [row for row in (listed[i] for i in places) if isinstance(row, Served)]
        found |= zip(places, _compared(together, facts, machines), strict=True)
        told(len(found))
    return [found[i] for i in range(len(listed))]


def service_key(row: Served) -> Hashable:
    """Rows of one key differ only in their load, and are timed together."""
    return (row.model, row.system, row.dtype, row.weight_dtype, row.kv_dtype, row.engine, year(row, RELEASES),
            row.prefill, row.decode, row.phase, row.input_tokens, row.output_tokens,
            row.draft if row.draft >= 0 else "", math.isinf(row.concurrency))


def _compared(rows: Sequence[Served], facts: Facts, machines: Machines) -> list[Compared]:
    first = rows[0]
    try:
        on, task = machine_of(first, facts, machines), task_of(first, facts)
        said = predicted(rows, task, on)
    except ExafleetError as error:
        why = "; ".join(dict.fromkeys(p.what for p in error.problems))
        return [Compared(row=row, figures={}, why=why) for row in rows]
    kind, band = task.arch.kind, bands(first, task.arch.kind, on, facts)
    return [Compared(row=row, figures={}, why=SENTENCES[one], kind=kind) if isinstance(one, Why) else
            Compared(row=row, figures=one[0], band=band, kind=kind, parts=one[1])
            for row, one in zip(rows, said, strict=True)]


def machine_of(row: Served, facts: Facts, known: Machines) -> Machine:
    """The row's system and engine in the release of its day; an engine nobody has factors of runs as any does."""
    key = (row.system, row.engine if row.engine in engines(facts) else "", year(row, RELEASES))
    if key not in known:
        known[key] = machine(system(facts, row.system), facts, key[1], key[2])
    return known[key]


def task_of(row: Served, facts: Facts) -> ServeTask:
    """The service a row ran, without a target. Speculation that is not told is taken as none."""
    drafts = int(row.draft) if row.draft > 0 else 0
    return ServeTask(arch=arch(facts, row.model), input_tokens=row.input_tokens, output_tokens=row.output_tokens,
                     ttft=math.inf, tpot=math.inf, dtype=row.dtype, weight_dtype=row.weight_dtype,
                     kv_dtype=row.kv_dtype, engine=row.engine, closed=True, draft=drafts,
                     accept=facts.value(f"{ANY_ENGINE}.draft_acceptance") if drafts else 0.0)


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


def predicted(rows: Sequence[Served], task: ServeTask, on: Machine) -> list[Said]:
    """Of each row (metric -> value in base units, parts of the time per token), or the reason why it cannot run.

    rows   of one deployment and pair of lengths, which differ only in their load
    """
    first = rows[0]
    if first.phase:
        return [_alone(row, task, on) for row in rows]
    if first.prefill is not None:
        return _apart(rows, first.prefill, task, on)
    if math.isinf(first.concurrency):
        said = {sent: _queued(row, task, on) for sent, row in {repr(row.requests): row for row in rows}.items()}
        return [said[repr(row.requests)] for row in rows]
    return _closed(rows, task, on)


def _closed(rows: Sequence[Served], task: ServeTask, on: Machine) -> list[Said]:
    """A closed loop on chips that do both phases; requests whose cache does not fit wait for a place."""
    pool = rows[0].decode
    layout = deployed(pool)
    room = fitting(task, on, layout)
    if not room:
        return [Why.HBM_FULL] * len(rows)
    each = np.array([row.concurrency / pool.count for row in rows])
    running = np.minimum(each, float(room * pool.dp * pool.pp))
    step = serve_step(task, on, layout.take(np.zeros(len(rows), dtype=int)), running)
    # Without hardware for a format nothing is served, and nobody waits for it.
    waiting = np.divide((each - running) * task.output_tokens, step.rate, out=np.zeros_like(each), where=step.rate > 0)
    return [Why.NO_DTYPE if step.why[i] == Why.NO_DTYPE else
            (_figures(task, float(step.token.total[i]), float(step.first.total[i] + waiting[i]),
                      float(step.rate[i]) / pool.replica), step.token.at(i)) for i in range(len(rows))]


def _queued(row: Served, task: ServeTask, on: Machine) -> Said:
    """Every request queued at once: the engine runs as many as it does best with, and has no latency to speak of."""
    layout, pool = deployed(row.decode), row.decode
    room = min(fitting(task, on, layout), MOST_QUEUED)
    if not room:
        return Why.HBM_FULL
    groups = pool.dp * pool.pp
    most = min(room, row.requests / (groups * pool.count)) if row.requests > 0 else room
    batch = np.unique(np.round(np.geomspace(1, max(most, 1), 40)))
    step = serve_step(task, on, layout.take(np.zeros(batch.shape, dtype=int)), batch * groups)
    best = int(np.argmax(np.where(step.why == Why.NO_DTYPE, -1.0, step.rate)))
    if step.why[best] == Why.NO_DTYPE:
        return Why.NO_DTYPE
    return {"output_tok_s_per_gpu": float(step.rate[best]) / pool.replica}, step.token.at(best)


def _apart(rows: Sequence[Served], pool: Pool, task: ServeTask, on: Machine) -> list[Said]:
    """Prefill and decode on pools of their own."""
    every, decode = np.zeros(len(rows), dtype=int), rows[0].decode
    found = serve_apart(task, on, on, deployed(pool).take(every), pool.count, deployed(decode).take(every),
                        decode.count, [row.concurrency for row in rows], rounds=ROUNDS)
    rate = found.rate_per_chip
    return [Why(int(found.why[i])) if found.why[i] != Why.OK else
            (_figures(task, float(found.token.total[i]), float(found.first.total[i]), float(rate[i])),
             found.token.at(i)) for i in range(len(rows))]


def _alone(row: Served, task: ServeTask, on: Machine) -> Said:
    """A decode pool that its source measured alone, at the batch it tells."""
    layout, pool = deployed(row.decode), row.decode
    batch = row.concurrency / (pool.count * pool.dp * pool.pp)
    step = decode_parts(task, on, layout, np.array([max(batch, 1.0)])).scaled(1.0 / task.per_step)
    token = float(step.total[0])
    if row.phase == "prefill" or not math.isfinite(token):
        return Why.NO_FACTS if math.isfinite(token) else Why.NO_DTYPE
    return {"tpot_ms": token, "output_tok_s_per_gpu": row.concurrency / token / pool.chips}, step.at(0)


def _figures(task: ServeTask, token: float, first: float, rate: float) -> dict[str, float]:
    return {"tpot_ms": token, "ttft_ms": first, "e2e_ms": first + (task.output_tokens - 1.0) * token,
            "output_tok_s_per_gpu": rate}


def bands(row: Served, kind: str, on: Machine, facts: Facts) -> dict[str, tuple[float, float]]:
    """80 % band of each metric, as factors of the prediction; of the chip's operators where no fact tells more."""
    known = facts.find(ANY_ENGINE, "serving_band")
    found = {}
    for metric in ("tpot_ms", "ttft_ms", "e2e_ms", "output_tok_s_per_gpu"):
        fact = next((known[at] for at in band_names(row, kind, metric) if at in known), None)
        wide = math.exp(1.2816 * on.engine.sigma)
        found[metric] = (1.0 / wide, wide) if fact is None else (fact.low, fact.high)
    return found


def band_names(row: Served, kind: str, metric: str) -> tuple[str, str, str]:
    """Qualifiers of the band of a figure, narrowest first: by kind of model and of service, by kind of service, any."""
    service = "apart" if row.prefill is not None or row.phase else "queued" if math.isinf(row.concurrency) else "loop"
    return f"{metric}/{service}/{kind}", f"{metric}/{service}", metric
