"""One lane of an engine, replayed from change to change of its batch instead of token by token.

Every step gives each running sequence a token and works through up to `chunk` tokens of waiting prompts, in order of
arrival. A step with prompts is one event. Between prompts nothing changes until a sequence ends, so the steps up to
there are one event too: with B sequences of S cached tokens in all, step j of a run takes d + 2 h j, with
d = a + g S and 2 h = g B (times the tokens a sequence gains in a step), and k steps take k (d + h (k - 1)). A virtual
clock counts decode steps; a heap holds the count at which each sequence ends, so a sequence costs one push and one pop
however long it is. An arrival cuts the run at the first step boundary at or after it.

The loop is one generator per lane, whose state are its local variables: this is the hot path of a replay.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, inf, sqrt

import numpy as np
import numpy.typing as npt

from exafleet.service.requests.pace import Pace

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
# Takes the index of a request that arrives now, or FIRE; gives the time of the lane's next event.
Lane = Generator[float, int, None]
FIRE = -1


@dataclass(slots=True)
class Load:
    """Requests as a lane works on them, as plain lists (the loop reads single numbers), and what becomes of them. [R]

    arrival  when it reaches the lane                                                        [s]
    cached   tokens in the cache when its prompt is done                                     [token]
    fresh    prompt tokens to compute; 0: the cache comes with it (decoding apart)             [token]
    steps    decode steps it needs; 0: done with its prompt (prefill apart)
    held     cache it reserves, in whole tokens as Pace.capacity counts them                    [token]
    score    attention of the prompt computed in one piece, after what was cached of it        [s]
    first    end of the step that completed its prompt; inf before                              [s]
    finish   end of its last step; inf before                                                   [s]
    late     how much later either is seen: Pace.waits decode steps                              [s]
    """

    arrival: list[float]
    cached: list[int]
    fresh: list[int]
    steps: list[int]
    held: list[int]
    score: list[float]
    first: list[float]
    finish: list[float]
    late: list[float]


def load(pace: Pace, arrival: Floats, tokens: Ints, fresh: Ints, after: Ints) -> Load:
    """Requests of a pool; `tokens` is the prompt, `after` the tokens of the answer after the first. [R]"""
    steps = np.ceil(after / pace.gain - 1e-9).astype(np.int64)
    whole = np.clip(fresh, 1, pace.chunk)
    score = pace.scores(whole, tokens - np.minimum(fresh, tokens))
    held = np.ceil(pace.held(tokens + after + 1)).astype(np.int64)
    return Load(arrival=arrival.tolist(), cached=tokens.tolist(), fresh=fresh.tolist(), steps=steps.tolist(),
                held=held.tolist(), score=score.tolist(), first=[inf] * len(arrival), finish=[inf] * len(arrival),
                late=[0.0] * len(arrival))


@dataclass(slots=True)
class Use:
    """What a lane did. busy, prompts: time in steps, and of it on prompts [s]; area: sequences times seconds [s];
    peak: most cache reserved [token]."""

    busy: float = 0.0
    prompts: float = 0.0
    area: float = 0.0
    peak: int = 0


@dataclass(slots=True)
class Tables:
    """A Pace as plain lists: decode = base[k][B] + slope[k][B] * S between contexts knots[k] and knots[k + 1]."""

    knots: list[float]
    base: list[list[float]]
    slope: list[list[float]]
    linear: list[float]
    piece: list[float]
    before: list[float]
    rows: list[list[float]]
    chunk: int
    most: int
    capacity: int
    gain: float
    waits: float


def tables(pace: Pace) -> Tables:
    """The tables of a pace as the loop reads them."""
    low, high = pace.decode[:-1], pace.decode[1:]
    width = np.diff(pace.knots)[:, None]
    many = np.maximum(np.arange(pace.most + 1), 1)
    slope = (high - low) / width
    return Tables(knots=pace.knots.tolist(), base=(low - slope * pace.knots[:-1, None]).tolist(),
                  slope=(slope / many).tolist(), linear=pace.linear.tolist(), piece=pace.piece.tolist(),
                  before=pace.before.tolist(), rows=pace.score.tolist(), chunk=pace.chunk, most=pace.most,
                  capacity=int(pace.capacity), gain=1 if pace.gain == 1.0 else pace.gain, waits=pace.waits)


def _score(t: Tables, tokens: int, before: int) -> float:
    """Attention of a piece of a prompt: Pace.scores for one piece. [s]"""
    i = min(bisect_right(t.piece, tokens), len(t.piece) - 1) - 1
    j = min(bisect_right(t.before, before), len(t.before) - 1) - 1
    u = (tokens - t.piece[i]) / (t.piece[i + 1] - t.piece[i])
    v = (before - t.before[j]) / (t.before[j + 1] - t.before[j])
    low, high = t.rows[i], t.rows[i + 1]
    return (1.0 - u) * ((1.0 - v) * low[j] + v * low[j + 1]) + u * ((1.0 - v) * high[j] + v * high[j + 1])


def _fill(t: Tables, work: Load, queue: deque[int], done: list[int], rest: int, reserved: int,
          active: int) -> tuple[int, float, int, int, int, int]:
    """Prompts of the next step, in order of arrival as far as cache, places and chunk go.

    Moves requests from `queue` to `done`: the prompts the step completes, behind those without any, which decode in it.

    rest      tokens left of the first prompt, if an earlier step cut it      [token]
    reserved  cache held for the `active` requests                             [token]

    (prompt tokens, their attention [s], rest, reserved, active, requests without a prompt)
    """
    fresh, held, cost, room, joined = work.fresh, work.held, 0.0, t.chunk, 0
    while queue and room:
        r = queue[0]
        size = rest
        if not size:
            if reserved + held[r] > t.capacity or active >= t.most:
                break
            reserved += held[r]
            active += 1
            size = fresh[r]
            if size <= room:
                queue.popleft()
                if size:
                    room -= size
                    cost += work.score[r]
                    done.append(r)
                else:
                    done.insert(joined, r)
                    joined += 1
                continue
        part = size if size < room else room
        cost += _score(t, part, work.cached[r] - size)
        room -= part
        rest = size - part
        if not rest:
            done.append(queue.popleft())
    return t.chunk - room, cost, rest, reserved, active, joined


def _until(now: float, arrival: float, many: int, time: float, half: float) -> int:
    """Steps of a run that begins now up to the first boundary at or after an arrival, `many` at most."""
    wait, slack = arrival - now, time - half
    stop = ceil(2.0 * wait / (slack + sqrt(slack * slack + 4.0 * half * wait)))
    if stop >= many:
        return many
    stop = stop if stop > 0 else 1
    return stop + 1 if now + stop * (time + half * (stop - 1)) < arrival else stop


def _piece(knots: list[float], context: float) -> int:
    """Which piece of the tables holds for a mean context."""
    return min(bisect_right(knots, context), len(knots) - 1) - 1


def _late(t: Tables, work: Load, done: list[int], running: int, cached: float) -> None:
    """First tokens are seen some decode steps later: those of the batch as it is once they are in it."""
    k = _piece(t.knots, cached / running)
    lag = t.waits * (t.base[k][running] + t.slope[k][running] * cached)
    for r in done:
        work.late[r] = lag


def lane(t: Tables, work: Load, use: Use, outstanding: list[int], me: int) -> Lane:  # noqa: C901, PLR0915
    """The life of a lane: send it arrivals and FIRE in order of time; `outstanding[me]` falls as requests end."""
    arrival, cached, steps, held, first, finish = (work.arrival, work.cached, work.steps, work.held, work.first,
                                                   work.finish)
    linear, most, capacity, gain, waits, requests = t.linear, t.most, t.capacity, t.gain, t.waits, len(work.arrival)
    knots, bends, base, slope, k = t.knots, len(t.knots) > 2, t.base[0], t.slope[0], 0
    queue: deque[int] = deque()
    ends: list[int] = []  # decode count at which a sequence ends, times requests, plus its index
    done: list[int] = []  # prompts that the step completes
    running = count = reserved = active = rest = peak = joined = 0
    total_cached: float = 0
    busy = prompts = area = 0.0
    try:
        new = yield inf
        while True:
            now = arrival[new]
            while new >= 0:
                queue.append(new)
                new = yield now
            while True:
                tokens, cost, open_ = 0, 0.0, not queue
                if queue:
                    tokens, cost, rest, reserved, active, joined = _fill(t, work, queue, done, rest, reserved, active)
                    open_, peak = not queue, max(peak, reserved)
                    for r in done[:joined]:
                        running += 1
                        total_cached += cached[r] + 1
                        heappush(ends, (count + steps[r]) * requests + r)
                    del done[:joined]
                elif not running:
                    break
                if running:
                    if bends:
                        k = _piece(knots, total_cached / running)
                        base, slope = t.base[k], t.slope[k]
                    half = 0.5 * slope[running] * running * gain
                    time, many = base[running] + slope[running] * total_cached, ends[0] // requests - count
                    if k + 2 < len(knots):
                        many = min(many, max(ceil((knots[k + 1] - total_cached / running) / gain), 1))
                elif tokens:
                    time = half = 0.0
                else:
                    break
                if tokens:
                    extra, many, open_ = linear[tokens] + cost, 1, False
                    prompts += extra
                    time += extra
                end = now + many * (time + half * (many - 1))
                new = yield end
                while new >= 0:
                    if open_ and reserved + held[new] <= capacity and active < most:
                        many = _until(now, arrival[new], many, time, half)
                        end = now + many * (time + half * (many - 1))
                    open_ = False
                    queue.append(new)
                    new = yield end
                count += many
                total_cached += many * running * gain
                area += running * (end - now)
                busy += end - now
                now = end
                while ends and ends[0] < (count + 1) * requests:
                    r = heappop(ends) % requests
                    finish[r] = now
                    running -= 1
                    active -= 1
                    total_cached -= cached[r] + steps[r] * gain + 1
                    reserved -= held[r]
                    outstanding[me] -= 1
                for r in done:
                    first[r] = now
                    if steps[r]:
                        running += 1
                        total_cached += cached[r] + 1
                        heappush(ends, (count + steps[r]) * requests + r)
                    else:
                        finish[r] = now
                        active -= 1
                        reserved -= held[r]
                        outstanding[me] -= 1
                if done:
                    if waits and running:
                        _late(t, work, done, running, total_cached)
                    done.clear()
            new = yield inf
    finally:
        use.busy, use.prompts, use.area, use.peak = busy, prompts, area, peak
