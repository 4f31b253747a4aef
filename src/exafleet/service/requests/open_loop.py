"""Requests that arrive at a rate, reckoned instead of replayed: batch, waiting, percentiles, goodput, saturation.

All of one lane (see pace.py), to which its share of the requests comes at rate r, by themselves (Poisson) unless
`dispersion` says how much more they bunch. docs/models/service.md derives what follows; broadcasts over candidates.

  batch         Little's law: b = r (O - 1) token(b), token(b) = D(b) / (1 - r p); p: prompt time of a request
  spread of it  a processor shared at a rate that depends on b: variance b / (1 - b token' / token)
  first token   rest of the gate an arrival falls into, then the step(s) of its own prompt and of those that share them
  per token     decode at the batch a request lives through, plus the prompts that fall between its tokens
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from exafleet.service.requests.curves import Curves
from exafleet.service.requests.lengths import Lengths, spread

Floats = npt.NDArray[np.float64]
QUANTILES = (0.5, 0.9, 0.99)
# Sample requests of a service whose rate changes; share of the saturation rate that a full window works off.
MIXED, NEARLY = 8192, 0.97
# Rates of windows are reckoned in steps of this ratio (natural logarithm).
LEVEL = 0.03
# Batches this far apart tell how decoding slows with the batch.
NEAR = 1.05
# The lowest rate: an hour without a request differs from none only in divisions. [1/s]
RARE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """A replica of each candidate at a rate of arrivals; quantiles are p50, p90 and p99. Where it cannot keep up,
    times are inf.

    stable      whether the rate can be kept up                                [C]
    saturation  most requests per second of a replica                          [C]     [1/s]
    batch       mean number of decoding sequences of a lane                    [C]
    busy        share of the time spent on prompts                             [C]     [1]
    ttft        time to first token                                            [C, 3]  [s]
    tpot        time per output token                                          [C, 3]  [s]
    e2e         time to last token                                             [C, 3]  [s]
    good        share of the requests within both targets                      [C]     [1]
    """

    stable: npt.NDArray[np.bool_]
    saturation: Floats
    batch: Floats
    busy: Floats
    ttft: Floats
    tpot: Floats
    e2e: Floats
    good: Floats


def open_loop(of: Curves, rate: npt.ArrayLike, *, ttft: float = np.inf, tpot: float = np.inf,
              dispersion: float = 1.0) -> OpenLoop:
    """Each candidate at `rate` requests per second of a replica. [C]

    ttft, tpot  targets of `good`                                             [s]
    dispersion  variance of the number of arrivals over its mean; 1: Poisson  [1]
    """
    each = np.broadcast_to(np.maximum(np.asarray(rate, dtype=np.float64), RARE), of.lanes.shape) / of.lanes
    steady = _steady(of, each)
    first, token = _times(of, steady, dispersion)
    return _answer(of, steady, steady.stable, steady.batch, (first, token), ttft, tpot)


def open_loop_over(of: Curves, arrivals: npt.ArrayLike, window: float, *, ttft: float = np.inf, tpot: float = np.inf,
                   dispersion: float = 1.0) -> OpenLoop:
    """The one candidate of `of` while its rate changes: every window of time is in a steady state of its own, and
    what arrives beyond saturation waits, as a fluid would, for windows that have room.

    arrivals  requests of a replica in each window          [T]
    window    length of a window                             [s]
    """
    came = np.asarray(arrivals, dtype=np.float64) / of.lanes[0]
    most = float(_steady(of, np.ones(1)).most[0]) * window * NEARLY
    late, waits, served = 0.0, np.zeros_like(came), np.zeros_like(came)
    for i, n in enumerate(came):
        served[i] = min(late + n, most)
        waits[i] = (late + max(late + n - most, 0.0)) / 2.0 / most * window
        late = max(late + n - most, 0.0)
    # Rates closer than LEVEL are one.
    levels, level = np.unique(np.round(np.log(np.maximum(served / window, RARE)) / LEVEL), return_inverse=True)
    many = of.take(np.zeros(len(levels), dtype=np.int64))
    steady = _steady(many, np.minimum(np.exp(levels * LEVEL), most / window))
    first, token = _times(many, steady, dispersion)
    # Each window counts as often as requests arrive in it.
    which = np.searchsorted(np.cumsum(came), (np.arange(MIXED) + 0.5) / MIXED * came.sum())
    picked = np.minimum((spread(1, MIXED)[0] * first.shape[1]).astype(np.int64), first.shape[1] - 1)
    sizes = Lengths(input=of.lengths.input[picked], fresh=of.lengths.fresh[picked], output=of.lengths.output[picked])
    one = replace(of, lengths=sizes)
    stable = np.array([bool(steady.stable.all() and late * 2.0 < most)])
    whole = _steady(of, np.array([came.sum() / (len(came) * window)]))
    times = (first[level[which], picked] + waits[which], token[level[which], picked])
    return _answer(one, whole, stable, np.array([steady.batch[level].mean()]), (times[0][None], times[1][None]), ttft,
                   tpot)


def _times(of: Curves, steady: _Steady, dispersion: float) -> tuple[Floats, Floats]:
    """Time to first token and between tokens of each sample request. [C, N], [C, N]  [s]"""
    first, behind = _first(of, steady, dispersion)
    return first, _token(of, steady, behind, dispersion)


def _answer(of: Curves, steady: _Steady, stable: npt.NDArray[np.bool_], batch: Floats, times: tuple[Floats, Floats],
            ttft: float, tpot: float) -> OpenLoop:
    first, token = times
    several = of.lengths.output >= 1.5
    last = first + np.where(several, of.lengths.output - 1.0, 0.0) * token
    inside = (first <= ttft) & ((token <= tpot) | ~several)
    first_, token_, last_ = (np.where(stable[:, None], np.quantile(v, QUANTILES, axis=1).T, np.inf)
                             for v in (first, token[:, several] if several.any() else token, last))
    return OpenLoop(stable=stable, saturation=steady.most * of.lanes, batch=batch, busy=steady.prompts, ttft=first_,
                    tpot=token_, e2e=last_, good=np.where(stable, inside.mean(axis=1), 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steady:
    """The mean state of each lane. [C, 1] but for `stable`, `most`, `batch` and `prompts` [C].

    rate     arrivals                                                  [1/s]
    decode   a decode step at the mean batch; `rise` with each sequence  [s]
    some     probability that anything decodes                           [1]
    """

    rate: Floats
    most: Floats
    stable: npt.NDArray[np.bool_]
    batch: Floats
    prompts: Floats
    decode: Floats
    rise: Floats
    some: Floats


def _steady(of: Curves, rate: Floats) -> _Steady:
    """Little's law solved for the rate of every batch, then read the other way round."""
    after = float(np.maximum(of.lengths.output - 1.0, 1e-9).mean()) / of.gain
    more, extra = of.more.mean(axis=1, keepdims=True), float((of.steps - 1.0).mean())
    # Prompts that come while one's own is computed are computed right after it, between one's first tokens.
    several = float((of.lengths.output >= 1.5).mean())
    own = several * (of.own.mean(axis=1, keepdims=True) + of.decode * (1.0 + extra))
    # Prompts that come within one step share its fixed cost; the first guess is one prompt a step.
    shared = np.ones_like(of.decode)
    for _ in range(6):
        each = more + of.start[:, None] * (shared + extra)
        plain = after * of.decode + of.batch * each
        carried = 2.0 * of.batch / (plain + np.sqrt(plain * plain + 4.0 * of.batch * each * own))
        step = of.decode / np.maximum(1.0 - carried * each, 1e-9)
        shared = -np.expm1(-carried * step) / (carried * step)
    most = _read(of.batch, carried, np.maximum(of.room, 1.0)) * np.minimum(of.room, 1.0)
    stable = (rate < most) & (of.room >= 1.0) & np.isfinite(of.own).all(axis=1)
    first = rate * each[:, 0]
    light = rate * (after * of.decode[:, 0] + first * own[:, 0]) / np.maximum(1.0 - first, 1e-9)
    batch = np.where(rate < carried[:, 0], light, _inverse(of.batch, carried, rate))
    running = np.maximum(batch, 1.0)
    decode, near = _read(of.batch, of.decode, running), _read(of.batch, of.decode, running * NEAR)
    prompts = np.minimum(rate * _read(of.batch, each, running), 0.999)
    return _Steady(rate=rate[:, None], most=most, stable=stable, batch=batch, prompts=prompts, decode=decode[:, None],
                   rise=((near - decode) / ((NEAR - 1.0) * running))[:, None], some=-np.expm1(-batch)[:, None])


def _read(points: Floats, values: Floats, at: Floats) -> Floats:
    """Row by row: `values` [C, B] at one point each [C], linear in between. [C]"""
    return np.array([np.interp(x, points, v) for x, v in zip(at, values, strict=True)])


def _inverse(points: Floats, values: Floats, at: Floats) -> Floats:
    """Row by row: the point at which rising `values` reach `at`. [C]"""
    return np.array([np.interp(x, v, points) for x, v in zip(at, values, strict=True)])


def _gamma(mean: Floats, variance: Floats, u: Floats) -> Floats:
    """Quantile of a gamma distribution of this mean and variance; the mean where it has none."""
    from scipy.special import gammaincinv

    shape = np.clip(mean * mean / np.maximum(variance, 1e-300), 1e-6, 1e9)
    return np.where((variance > 0) & (mean > 0), gammaincinv(shape, u) / shape * mean, mean)


def _first(of: Curves, at: _Steady, dispersion: float) -> tuple[Floats, Floats]:
    """Time to first token of each sample request, and the time whose arrivals wait when it ends. [C, N]  [s]"""
    u = spread(4, len(of.lengths.output))
    decode = at.decode * at.some
    # Work that a prompt adds to what waits, its further steps' decoding included.
    work = of.more + (of.start[:, None] + decode) * (of.steps - 1.0)
    mean, square = work.mean(axis=1, keepdims=True), (work * work).mean(axis=1, keepdims=True)
    varied = square + (dispersion - 1.0) * mean * mean
    load = np.minimum(at.rate * mean, 0.98)
    # A gate: all that is done between two looks at the queue. Gates with prompts, and their share of the time.
    start = of.start[:, None]
    gate, some = decode, np.zeros_like(decode)
    for _ in range(12):
        some = -np.expm1(-at.rate * np.maximum(gate, 1e-12))
        gate = (decode + some * start) / (1.0 - load)
    some = np.maximum(some, 1e-12)
    long = decode + start + load * gate / some
    variance = at.rate * varied * gate / (1.0 - load * load)
    second = (variance + gate * gate - (1.0 - some) * decode * decode) / some
    share = some * long / np.maximum(gate, 1e-12)
    seen = np.maximum(second / long - decode - start, 0.0)
    inside = decode + start + _gamma(seen, seen * np.maximum(square / mean, seen), u[1])
    fall = np.where(u[0] < share, inside, decode)
    rest = fall * u[2]
    ahead, behind = (_gamma(at.rate * t * mean, at.rate * t * varied, u[3]) for t in (fall - rest, rest))
    room = of.spare / np.maximum(of.lengths.fresh.mean(), 1.0) * of.more.mean(axis=1, keepdims=True)
    first = rest + ahead + np.minimum(behind, room) + of.own + of.steps * decode + of.request + of.waits * at.decode
    # Prompts that came since, and found no place in the last step of one's own, are computed right after it.
    last = (of.own + of.steps * decode) / of.steps
    packed = of.spare / (at.rate * of.lengths.fresh.mean())
    return first, np.asarray(last + np.maximum(rest + last * (of.steps - 1.0) - packed, 0.0))


def _token(of: Curves, at: _Steady, behind: Floats, dispersion: float) -> Floats:
    """Mean time between the tokens of each sample request. [C, N]  [s]"""
    from scipy.special import ndtri

    u = spread(6, len(of.lengths.output))[4:]
    after = np.maximum(of.lengths.output - 1.0, 1e-9) / of.gain
    batch = at.batch[:, None]
    stretch = np.clip(batch * at.rise / at.decode, 0.0, 0.95)
    # How long the batch remembers: the rest of the lives of its sequences, in tokens.
    x = after * (1.0 - stretch) * 2.0 * after.sum() / (after * after).sum()
    averaged = 2.0 * (x + np.expm1(-x)) / np.maximum(x * x, 1e-12)
    sway = np.sqrt(batch / (1.0 - stretch) * np.minimum(averaged, 1.0)) * ndtri(u[0])
    decode = at.decode + at.rise * np.maximum(sway, 1.0 - np.maximum(batch, 1.0))
    each = at.prompts[:, None] / at.rate
    work = of.own
    square = (work * work).mean(axis=1, keepdims=True) * (each / work.mean(axis=1, keepdims=True)) ** 2
    # Prompts that come while a prompt delays the tokens delay them further: busy periods, not single prompts.
    left = 1.0 - at.prompts[:, None]
    many = at.rate * (after * at.decode + behind)
    between = _gamma(many * each / left, many * (square + (dispersion - 1.0) * each * each) / left**3, u[1])
    # Between two decode steps there is at most one of prompts.
    return np.asarray((decode + np.minimum(between / after, of.full[:, None])) / of.gain)
