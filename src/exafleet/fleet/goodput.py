"""Goodput: which share of a training run's time is kept, when servers fail, checkpoints stall and restarts take time.

The run alternates `interval` of work with a checkpoint that blocks for `stall`; failures come at random (exponential,
mean time `mtbf`), each costs a restart and the work since the last safe checkpoint. Daly's exact expectation [1] is
used throughout, so nothing goes negative at 100,000 chips, and the lost time is split into parts that add up:

  useful      work that was kept, at the speed without stragglers
  straggling  kept work that only waited for slow servers
  checkpoint  standing still for checkpoints
  rework      work that was lost and done again, and interrupted checkpoints
  detection   until the failure is noticed
  restart     replacement, start and load

[1] J. T. Daly, A higher order estimate of the optimum checkpoint interval, 2006; formulas in docs/models/fleet.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts
from exafleet.terms.errors import MissingFact, Problem
from exafleet.terms.parts import Parts

Floats = npt.NDArray[np.float64]

NODE, RUN = "node-8", "training-run"
NODE_CHIPS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What a run meets, in base units; one entry per term of the facts, so that any can be replaced.

    failure_rate     failures that stop a job, per server of 8 chips                  [1/s]
    detection        until a failure is noticed, part of the restart                  [s]
    restart_sizes    chips at which `restart_times` are known, rising                 [K]
    restart_times    failure to the step after it, detection and load included        [K]  [s]
    stall            training stands still for one checkpoint                         [s]
    bytes_per_param  checkpoint over parameters                                       [B/params]
    storage_bw       what the checkpoint store sustains                               [B/s]
    slow             share of throughput lost to stragglers and heat                  [1]
    """

    failure_rate: float
    detection: float
    restart_sizes: tuple[float, ...]
    restart_times: tuple[float, ...]
    stall: float
    bytes_per_param: float
    storage_bw: float
    slow: float = 0.0

    def restart(self, chips: npt.ArrayLike) -> Floats:
        """Time from a failure to the step after it at this size: linear between known sizes, flat outside. [s]"""
        return np.asarray(np.interp(np.asarray(chips, dtype=np.float64), self.restart_sizes, self.restart_times))


def reliability(facts: Facts) -> Reliability:
    """Failure and recovery figures as of the facts' date; raises MissingFact naming every missing term."""
    keys = {"failure_rate": f"{NODE}.node_failure_rate", "detection": f"{RUN}.detection_time@automatic",
            "stall": f"{RUN}.checkpoint_stall@asynchronous", "bytes_per_param": f"{RUN}.checkpoint_bytes_per_param",
            "storage_bw": f"{RUN}.storage_bw@llama-3"}
    # What was public in 2024 is thinner than what is public now; the next best figure of the same term stands in.
    instead = {"detection": f"{RUN}.detection_time@diagnosis", "stall": f"{RUN}.checkpoint_stall@blocking"}
    found = {name: facts.try_value(key) for name, key in keys.items()}
    found = {name: facts.try_value(instead[name]) if value is None and name in instead else value
             for name, value in found.items()}
    sizes, times = _restarts(facts)
    gaps = [keys[name] for name, value in found.items() if value is None]
    if not sizes:
        gaps.append(f"{RUN}.restart_time")
    if gaps:
        raise MissingFact([Problem(what=f"no failure figures as of {facts.as_of.isoformat()}", got=key)
                           for key in gaps])
    slow = facts.try_value(f"{RUN}.throughput_loss") or 0.0
    return Reliability(restart_sizes=sizes, restart_times=times, slow=slow,
                       **{name: float(value) for name, value in found.items() if value is not None})


def _restarts(facts: Facts) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Restart times by size; where none is known by size, the well automated figure, then the general one."""
    known = facts.find(RUN, "restart_time")
    sized = sorted((float(at), fact.value) for at, fact in known.items() if at.isdigit())
    if sized:
        return tuple(s for s, _ in sized), tuple(t for _, t in sized)
    for at in ("automated", ""):
        if at in known:
            return (1.0,), (known[at].value,)
    return (), ()


def system_mtbf(chips: npt.ArrayLike, failure_rate: float) -> Floats:
    """Mean time between failures of servers in series. [s]

    chips         chips of the job                    [1]
    failure_rate  term node_failure_rate, per server   [1/s]

    >>> float(system_mtbf(16384, 6.5e-3 / 86400) / 3600)  # doctest: +ELLIPSIS
    1.80...
    """
    return np.asarray(NODE_CHIPS / (np.asarray(chips, dtype=np.float64) * failure_rate))


def chip_mtbf(facts: Facts) -> float:
    """Mean time between failures that one chip's share of a server causes; infinite where no figure is known. [s]"""
    rate = facts.try_value(f"{NODE}.node_failure_rate")
    return NODE_CHIPS / rate if rate else math.inf


def young_interval(stall: npt.ArrayLike, mtbf: npt.ArrayLike) -> Floats:
    """Young's first-order optimum: sqrt(2 stall mtbf). [s]"""
    return np.asarray(np.sqrt(2.0 * np.asarray(stall, dtype=np.float64) * np.asarray(mtbf)))


def daly_interval(stall: npt.ArrayLike, mtbf: npt.ArrayLike) -> Floats:
    """Daly's higher-order optimum (his equation 37); the mtbf itself once checkpoints take twice as long. [s]"""
    stall, mtbf = np.asarray(stall, dtype=np.float64), np.asarray(mtbf, dtype=np.float64)
    ratio = stall / (2.0 * mtbf)
    root = np.sqrt(2.0 * stall * mtbf) * (1.0 + np.sqrt(ratio) / 3.0 + ratio / 9.0) - stall
    return np.where(ratio < 1.0, root, mtbf)


def checkpoint_bytes(params: npt.ArrayLike, bytes_per_param: float) -> Floats:
    """Size of one checkpoint. [B]   params: all of them, experts included [params]"""
    return np.asarray(params, dtype=np.float64) * bytes_per_param


def time_shares(mtbf: npt.ArrayLike, *, stall: npt.ArrayLike, interval: npt.ArrayLike, restart: npt.ArrayLike,
                detection: npt.ArrayLike = 0.0, behind: npt.ArrayLike = 0.0, slow: npt.ArrayLike = 0.0) -> Parts:
    """Shares of a run's time, adding up to 1 (Daly's exact expectation for exponential failures). [..., P]

    mtbf       mean time between failures of the whole job                                     [s]
    stall      training stands still for one checkpoint                                        [s]
    interval   work between checkpoints                                                        [s]
    restart    failure to the next step, detection included; itself interrupted by failures     [s]
    detection  the part of `restart` before anybody knows                                       [s]
    behind     write-out time: a failure before it ends falls back to the checkpoint before     [s]
    slow       share of throughput lost to stragglers                                           [1]
    """
    mtbf, tau = np.asarray(mtbf, dtype=np.float64), np.asarray(interval, dtype=np.float64)
    segment, down = tau + np.asarray(stall), np.asarray(restart, dtype=np.float64)
    # The fallback is work lost beyond the segment: it is paid like a restart, and counted as rework.
    lost = np.asarray(behind, dtype=np.float64)
    # Time of one segment: M e^((R + L) / M) (e^(s / M) - 1). The share of the clock spent inside restarts and
    # fallbacks is 1 - e^(-(R + L) / M): failures come at rate 1 / M all the time, restarts included.
    with np.errstate(over="ignore"):
        spent = mtbf * np.exp((down + lost) / mtbf) * np.expm1(segment / mtbf)
    idle = -np.expm1(-(down + lost) / mtbf)
    kept, still = tau / spent, np.asarray(stall) / spent
    whole = np.maximum(down + lost, np.finfo(np.float64).tiny)
    known = np.minimum(np.asarray(detection, dtype=np.float64), down)
    seen, back = idle * known / whole, idle * (down - known) / whole
    rework = np.maximum(1.0 - kept - still - seen - back, 0.0)
    slow = np.asarray(slow, dtype=np.float64)
    return Parts.of("1", {"useful": kept * (1.0 - slow), "straggling": kept * slow, "checkpoint": still,
                          "rework": rework, "detection": seen, "restart": back})


def goodput(params: npt.ArrayLike, chips: npt.ArrayLike, of: Reliability, *, chip_write: float = math.inf) -> Parts:
    """Shares of time of a training run on `chips` chips at the best checkpoint interval. [..., P]

    params      parameters of the model, experts included                     [params]
    chips       chips of the gang                                              [1]
    chip_write  what one chip can send to the store, its network card's rate   [B/s]
    """
    chips = np.asarray(chips, dtype=np.float64)
    mtbf = system_mtbf(chips, of.failure_rate)
    written = checkpoint_bytes(params, of.bytes_per_param) / np.minimum(of.storage_bw, chips * chip_write)
    # Copies cannot be taken faster than the store writes them out.
    interval = np.maximum(daly_interval(of.stall, mtbf), written)
    return time_shares(mtbf, stall=of.stall, interval=interval, restart=of.restart(chips), detection=of.detection,
                       behind=written, slow=of.slow)


def useful_first_order(nodes: npt.ArrayLike, failure_rate: float, *, stall: float, restart: float) -> Floats:
    """Kokolis et al.'s first-order share of useful time at the Young interval; may go negative at scale. [1]

    nodes         servers in the job                   [1]
    failure_rate  term node_failure_rate                [1/s]
    """
    rate = np.asarray(nodes, dtype=np.float64) * failure_rate
    interval = np.sqrt(2.0 * stall / rate)
    return np.asarray((1.0 - rate * (restart + interval / 2.0)) / (1.0 + stall / interval))


def elastic_useful(mtbf: npt.ArrayLike, *, replicas: npt.ArrayLike, reconfigure: float, repair: float) -> Floats:
    """Share of full throughput when a failure drops one replica until it is repaired instead of stopping the job. [1]

    replicas     equal parts that can be dropped       [1]
    reconfigure  everything stands still                [s]
    repair       until the replica is back              [s]

    The mean number of replicas away is repair / mtbf, capped by all of them.
    """
    mtbf = np.asarray(mtbf, dtype=np.float64)
    away = np.minimum(repair / mtbf / np.asarray(replicas, dtype=np.float64), 1.0)
    return np.asarray((1.0 - away) / (1.0 + reconfigure / mtbf))


def usable_units(units: int, availability: float, confidence: float) -> int:
    """Most units that are up at once with this confidence, each up with `availability`, independently.

    The binomial rule for sizing spares: a job may count on this many of `units`.
    """
    kept, up = 0.0, units
    while up > 0:
        kept += math.comb(units, up) * availability**up * (1.0 - availability) ** (units - up)
        if kept >= confidence:
            return up
        up -= 1
    return 0
