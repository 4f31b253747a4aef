"""A trace of requests replayed on equal replicas, request by request: prefill and decode together, or on pools apart.

Policies (docs/models/service.md says why): prompts in order of arrival; a request is admitted when the cache of its
whole life fits and nobody is ahead of it, so none is ever preempted; a router sends each arrival to the lane with
fewest requests not yet answered, or in turn. An arrival at the very instant of a step boundary joins that step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from math import inf

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch
from exafleet.service.requests.lane import FIRE, Load, Use, lane, load, tables
from exafleet.service.requests.pace import Pace
from exafleet.service.requests.trace import Trace
from exafleet.work.counts import kv_bytes

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
ROUTERS = ("least", "turn")
# Told how many requests have arrived, of how many.
Progress = Callable[[int, int], None]
# Arrivals between two calls of it.
BLOCK = 4096
QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of each request of a trace. Times are nan where a request was refused or not finished.

    ttft     from arrival to the first token                                  [R]  [s]
    tpot     mean time between tokens after it; nan for answers of one          [R]  [s]
    e2e      from arrival to the last token                                    [R]  [s]
    refused  requests whose cache is larger than a lane's                      [R]
    lanes    lanes that worked (of all pools)
    busy     time of the lanes in steps, all together                                [s]
    prompts  of it on prompts                                                       [s]
    batch    mean number of decoding sequences of a lane (of the decoding pool)
    span     from the first arrival to the last finish                               [s]
    peak     largest share of a lane's cache that was reserved                       [1]
    partial  the replay was interrupted
    """

    trace: Trace
    ttft: Floats
    tpot: Floats
    e2e: Floats
    refused: Bools
    lanes: int
    busy: float
    prompts: float
    batch: float
    span: float
    peak: float
    partial: bool

    @property
    def finished(self) -> Bools:
        """Requests that were answered. [R]"""
        return np.isfinite(self.e2e)

    @property
    def utilisation(self) -> float:
        """Share of the time that lanes were in a step. [1]"""
        return self.busy / (self.lanes * self.span) if self.span > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A replay, or its analytical counterpart, in few numbers; the quantiles are p50, p90 and p99. [3]

    ttft, tpot, e2e  quantiles over requests                             [3]  [s]
    good             share of the requests that meet both targets            [1]
    requests         answered per second                                     [1/s]
    goodput          of them within both targets                              [1/s]
    tokens           output tokens per second                                 [token/s]
    """

    ttft: Floats
    tpot: Floats
    e2e: Floats
    good: float
    requests: float
    goodput: float
    tokens: float


def replay(trace: Trace, pace: Pace, *, replicas: int = 1, router: str = "least",
           progress: Progress | None = None) -> Replay:
    """Replay a trace on `replicas` equal replicas that prefill and decode."""
    refused = pace.held(trace.input + trace.output) > int(pace.capacity)
    work = load(pace, trace.arrival, trace.input, trace.fresh, trace.output - 1)
    uses, partial = _run(work, np.flatnonzero(~refused).tolist(), pace, replicas * pace.lanes, router, progress)
    return _replayed(trace, pace.request, work, work.finish, refused, [(uses, pace)], partial)


def replay_apart(trace: Trace, prefill: Pace, decode: Pace, *, prefills: int, decodes: int,
                 transfer: npt.ArrayLike = 0.0, router: str = "least", progress: Progress | None = None) -> Replay:
    """Replay a trace on `prefills` replicas that compute prompts and `decodes` that answer.

    transfer  time the cache of each request travels between them      [R]  [s]

    The first token is told by the decode replica, as `disaggregated.later` has it: when the cache is there, without
    waiting for room. An answer of one token never travels.
    """
    refused = ((prefill.held(trace.input + 1) > int(prefill.capacity))
               | (decode.held(trace.input + trace.output) > int(decode.capacity)))
    some = np.flatnonzero(~refused)
    none = np.zeros(trace.count, dtype=np.int64)
    ahead = load(prefill, trace.arrival, trace.input, trace.fresh, none)
    uses, partial = _run(ahead, some.tolist(), prefill, prefills * prefill.lanes, router, progress)
    first = np.array(ahead.first)
    behind = load(decode, np.asarray(first + transfer, dtype=np.float64), trace.input, none, trace.output - 1)
    longer = some[(trace.output[some] > 1) & np.isfinite(first[some])]
    order = longer[np.argsort(np.array(behind.arrival)[longer], kind="stable")]
    later, stopped = _run(behind, order.tolist(), decode, decodes * decode.lanes, router, progress)
    moves = trace.output > 1
    step = np.zeros(trace.count)
    step[longer] = (np.array(behind.finish)[longer] - np.array(behind.arrival)[longer]) / np.array(behind.steps)[longer]
    seen = replace(behind, first=np.where(moves, behind.arrival, first).tolist(),
                   late=(decode.waits * step).tolist())
    finish = np.where(moves, behind.finish, first).tolist()
    return _replayed(trace, prefill.request, seen, finish, refused, [(uses, prefill), (later, decode)],
                     partial or stopped)


def travel_time(trace: Trace, arch: Arch, kv_dtype: str, bandwidth: float, latency: float = 0.0) -> Floats:
    """Time the cache of each prompt takes to another replica over `bandwidth` [B/s] of all its links. [R]  [s]"""
    return np.asarray(latency + kv_bytes(arch, trace.input, kv_dtype) / bandwidth)


def _run(work: Load, order: list[int], pace: Pace, lanes: int, router: str,
         progress: Progress | None) -> tuple[list[Use], bool]:
    """Drive the lanes of a pool through requests in `order`; what they did, and whether an interrupt stopped them."""
    uses, outstanding, table = [Use() for _ in range(lanes)], [0] * lanes, tables(pace)
    every = [lane(table, work, uses[i], outstanding, i) for i in range(lanes)]
    sends = [one.send for one in every]
    ends = [next(one) for one in every]
    stopped = False
    drive = _in_turn if lanes == 1 or router == "turn" else _to_least
    try:
        for start in range(0, len(order), BLOCK):
            drive(order[start:start + BLOCK], start, work.arrival, sends, ends, outstanding)
            if progress:
                progress(min(start + BLOCK, len(order)), len(order))
        for i, send in enumerate(sends):
            end = ends[i]
            while end < inf:
                end = send(FIRE)
    except KeyboardInterrupt:
        stopped = True
    for one in every:
        one.close()
    return uses, stopped


Sends = list[Callable[[int], float]]


def _in_turn(order: list[int], start: int, arrival: list[float], sends: Sends, ends: list[float],
             outstanding: list[int]) -> None:
    """Requests to lanes in turn; each lane is brought up to its next request."""
    lanes = len(sends)
    for n, r in enumerate(order, start):
        i = n % lanes
        send, end, now = sends[i], ends[i], arrival[r]
        while end < now:
            end = send(FIRE)
        ends[i] = send(r)


def _to_least(order: list[int], start: int, arrival: list[float], sends: Sends, ends: list[float],
              outstanding: list[int]) -> None:
    """Requests to the lane with fewest outstanding, the first of equals; every lane is brought up to each of them."""
    events = [(end, i) for i, end in enumerate(ends) if end < inf]
    events.sort()
    for r in order:
        now = arrival[r]
        while events and events[0][0] < now:
            end, i = heappop(events)
            if end == ends[i]:  # an arrival may have brought the event forward
                ends[i] = end = sends[i](FIRE)
                if end < inf:
                    heappush(events, (end, i))
        i = outstanding.index(min(outstanding))
        outstanding[i] += 1
        end = sends[i](r)
        if end != ends[i]:
            ends[i] = end
            heappush(events, (end, i))


def _replayed(trace: Trace, request: float, work: Load, finish: list[float], refused: Bools,
              pools: list[tuple[list[Use], Pace]], partial: bool) -> Replay:
    began, ended, seen = np.array(work.first), np.array(finish), np.array(work.late) + request - trace.arrival
    done = np.isfinite(ended)
    span = float(ended[done].max() - trace.arrival[0]) if done.any() else 0.0
    began, ended = (np.where(done, v, np.nan) for v in (began, ended))
    after = np.where(trace.output > 1, trace.output - 1, np.nan)
    busy, (decoding, _) = sum(u.busy for uses, _ in pools for u in uses), pools[-1]
    return Replay(trace=trace, ttft=began + seen, tpot=(ended - began) / after,
                  e2e=ended + seen, refused=np.asarray(refused), span=span,
                  lanes=sum(len(uses) for uses, _ in pools), busy=busy,
                  prompts=sum(u.prompts for uses, _ in pools for u in uses),
                  batch=sum(u.area for u in decoding) / (len(decoding) * span) if span else 0.0, partial=partial,
                  peak=max((u.peak / p.capacity for uses, p in pools for u in uses if p.capacity), default=0.0))


def summary(found: Replay, ttft: float, tpot: float) -> Summary:
    """Quantiles over the answered requests, and what meets the targets [s]; refused requests meet none."""
    done = found.finished
    good = done & (found.ttft <= ttft) & ((found.tpot <= tpot) | (found.trace.output == 1))
    count, span = max(int((done | found.refused).sum()), 1), found.span or inf
    first, token, last = (_quantiles(v[done]) for v in (found.ttft, found.tpot, found.e2e))
    return Summary(ttft=first, tpot=token, e2e=last, good=float(good.sum() / count),
                   requests=float(done.sum() / span), goodput=float(good.sum() / span),
                   tokens=float(found.trace.output[done].sum() / span))


def _quantiles(values: Floats) -> Floats:
    known = values[~np.isnan(values)]
    return np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
