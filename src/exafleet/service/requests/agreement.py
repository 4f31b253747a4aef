"""The analytical answer beside the replay of the same requests: what a search assumes, and what would have been."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.service.requests.curves import curves
from exafleet.service.requests.lengths import lengths_of
from exafleet.service.requests.open_loop import OpenLoop, open_loop, open_loop_over
from exafleet.service.requests.pace import Pace
from exafleet.service.requests.replay import Progress, Replay, Summary, replay, summary
from exafleet.service.requests.trace import Trace
from exafleet.step.serve import Machine, ServeTask
from exafleet.step.serve_layouts import ServeLayouts

Floats = npt.NDArray[np.float64]
TIMES = ("ttft", "tpot", "e2e")
# Length of the windows of a changing rate. [s]
WINDOW = 10.0
# Sample requests of the reckoning at the mean rate, and at each of many rates.
STEADY, CHANGING = 4096, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Two answers to one question.

    steady      the open loop at the trace's mean rate and lengths: one candidate
    changing    the same with the trace's rate in every window of WINDOW: one candidate
    replayed    the trace, request by request
    summary     of the replay at the task's targets
    rate        requests per second of a replica                          [1/s]
    dispersion  variance over mean of the arrivals in a second; 1: Poisson  [1]
    """

    steady: OpenLoop
    changing: OpenLoop
    replayed: Replay
    summary: Summary
    rate: float
    dispersion: float

    def reckoned(self, time: str) -> tuple[Floats, Floats]:
        """p50, p90 and p99 of "ttft", "tpot" or "e2e" at the mean rate, and at the changing one. [3], [3]  [s]"""
        return getattr(self.steady, time)[0], getattr(self.changing, time)[0]

    def error(self, time: str) -> tuple[Floats, Floats]:
        """Both of `reckoned` over replayed, less one. [3], [3]"""
        truth = getattr(self.summary, time)
        steady, changing = self.reckoned(time)
        return steady / truth - 1.0, changing / truth - 1.0


def agreement(trace: Trace, task: ServeTask, on: Machine, layouts: ServeLayouts, pace: Pace, *, replicas: int = 1,
              router: str = "least", progress: Progress | None = None) -> Agreement:
    """Reckon and replay a trace on `replicas` of one layout; the reckoning sees lengths and rates, not requests."""
    fine, coarse = (curves(task, on, layouts, lengths_of(trace, points)) for points in (STEADY, CHANGING))
    rate = (trace.count - 1) / trace.span / replicas if trace.span > 0 else np.inf
    targets = {"ttft": task.ttft, "tpot": task.tpot}
    replayed = replay(trace, pace, replicas=replicas, router=router, progress=progress)
    return Agreement(steady=open_loop(fine, rate, **targets),
                     changing=open_loop_over(coarse, changes(trace) / replicas, WINDOW, **targets),
                     replayed=replayed, summary=summary(replayed, task.ttft, task.tpot), rate=rate,
                     dispersion=dispersion(trace))


def changes(trace: Trace, window: float = WINDOW) -> Floats:
    """Requests expected in each window of time [s]: those that came, less what chance alone does to a count. [T]"""
    counts = np.bincount(((trace.arrival - trace.arrival[0]) / window).astype(np.int64)).astype(np.float64)
    mean = counts.mean()
    kept = max(1.0 - mean / max(counts.var(), 1e-9), 0.0)
    return np.asarray(mean + np.sqrt(kept) * (counts - mean))


def dispersion(trace: Trace, window: float = 1.0) -> float:
    """Variance over mean of the number of arrivals in windows of time [s]; nan for fewer than two windows."""
    counts = np.bincount((trace.arrival / window).astype(np.int64))[:-1]
    return float(counts.var() / counts.mean()) if len(counts) > 1 else float("nan")
