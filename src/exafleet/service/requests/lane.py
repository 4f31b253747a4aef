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


def lane(t: Tables, work: Load, use: Use, outstanding: list[int], me: int) -> Lane:  # noqa: C901, PLR0915
    """The life of a lane: send it arrivals and FIRE in order of time; `outstanding[me]` falls as requests end."""
    arrival, cached, fresh, steps, held, whole = (work.arrival, work.cached, work.fresh, work.steps, work.held,
                                                  work.score)
    first, finish, linear, chunk, most, capacity = work.first, work.finish, t.linear, t.chunk, t.most, t.capacity
    knots, bases, slopes, bends = t.knots, t.base, t.slope, len(t.knots) > 2
    base, slope, gain, waits, late = bases[0], slopes[0], t.gain, t.waits, work.late
    requests = len(arrival)
    queue: deque[int] = deque()
    ends: list[int] = []  # decode count at which a sequence ends, times requests, plus its index
    done: list[int] = []  # prompts that the step completes
    running = count = reserved = active = rest = peak = 0
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
                tokens, cost, room = 0, 0.0, chunk
                while queue and room:
                    r = queue[0]
                    if rest:
                        size = rest
                    else:
                        if reserved + held[r] > capacity or active >= most:
                            break
                        reserved += held[r]
                        active += 1
                        size = fresh[r]
                        if size <= room:
                            queue.popleft()
                            if size:
                                tokens += size
                                room -= size
                                cost += whole[r]
                                done.append(r)
                            else:
                                running += 1
                                total_cached += cached[r] + 1
                                heappush(ends, (count + steps[r]) * requests + r)
                            continue
                    part = size if size < room else room
                    cost += _score(t, part, cached[r] - size)
                    tokens += part
                    room -= part
                    rest = size - part
                    if not rest:
                        queue.popleft()
                        done.append(r)
                if reserved > peak:
                    peak = reserved
                if running:
                    if bends:
                        context = total_cached / running
                        k = min(bisect_right(knots, context), len(bases)) - 1
                        base, slope = bases[k], slopes[k]
                    gradient = slope[running]
                    time = base[running] + gradient * total_cached
                    if tokens:
                        extra = linear[tokens] + cost
                        prompts += extra
                        time += extra
                        end = now + time
                        new = yield end
                        while new >= 0:
                            queue.append(new)
                            new = yield end
                        count += 1
                        total_cached += running * gain
                    else:
                        many = ends[0] // requests - count
                        if bends and k + 1 < len(bases):
                            many = min(many, max(ceil((knots[k + 1] - context) / gain), 1))
                        half = 0.5 * gradient * running * gain
                        end = now + many * (time + half * (many - 1))
                        new = yield end
                        free = not queue
                        while new >= 0:
                            queue.append(new)
                            if free:
                                free = False
                                if reserved + held[new] <= capacity and active < most:
                                    wait = arrival[new] - now
                                    slack = time - half
                                    stop = ceil(2.0 * wait / (slack + sqrt(slack * slack + 4.0 * half * wait)))
                                    if stop < many:
                                        many = stop if stop > 0 else 1
                                        end = now + many * (time + half * (many - 1))
                                        if end < arrival[new]:
                                            many += 1
                                            end = now + many * (time + half * (many - 1))
                            new = yield end
                        count += many
                        total_cached += many * running * gain
                    area += running * (end - now)
                    busy += end - now
                    now = end
                    limit = (count + 1) * requests
                    while ends and ends[0] < limit:
                        r = heappop(ends) % requests
                        finish[r] = now
                        running -= 1
                        active -= 1
                        total_cached -= cached[r] + steps[r] * gain + 1
                        reserved -= held[r]
                        outstanding[me] -= 1
                elif tokens:
                    time = linear[tokens] + cost
                    prompts += time
                    busy += time
                    now += time
                    new = yield now
                    while new >= 0:
                        queue.append(new)
                        new = yield now
                else:
                    break
                if done:
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
                    if waits and running:
                        if bends:
                            k = min(bisect_right(knots, total_cached / running), len(bases)) - 1
                            base, slope = bases[k], slopes[k]
                        lag = waits * (base[running] + slope[running] * total_cached)
                        for r in done:
                            late[r] = lag
                    done.clear()
            new = yield inf
    finally:
        use.busy, use.prompts, use.area, use.peak = busy, prompts, area, peak
