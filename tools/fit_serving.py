"""Fits factors of serving engines to the `fit` rows of data/measured_serve.csv; writes data/serving_practice.csv.

    python tools/fit_serving.py [--report]

A factor is an engine's time of one class of operators in one phase over what the curves say. Its logarithm is a sum:
of the class for everybody, of the engine, of the number format on a family of chips, and of the engine there. Each
term is pulled to zero (ridge), so what the rows leave open stays with everybody's. Rows weigh by a pseudo-Huber loss:
runs whose speculation nobody recorded must not bend the factors of those without.

Times are sums of classes times factors, so each row's classes are timed once and the fit never times a row again.
The band is made of rows left out in turn, a quarter of the groups at a time.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.predict import (
    RELEASES,
    Machines,
    band_names,
    compare_served,
    deployed,
    fitting,
    machine_of,
    task_of,
)
from exafleet.service.measured.predict import predicted as predicted_row
from exafleet.service.measured.runs import Served, digest, published, year
from exafleet.step.serve import (
    Machine,
    ServeTask,
    classes,
    communication,
    curve_times,
    decode_operators,
    machine,
    prefill_operators,
    shared_chunk,
)
from exafleet.step.serving_practice import Phase, family
from exafleet.terms.units import DATA
from exafleet.terms.why import Why
from exafleet.work.operator import Work

Floats = npt.NDArray[np.float64]
TARGET = DATA / "serving_practice.csv"
ORIGIN = ("inferred", "exafleet", 'docs/models/serving.md, "Fit"', "2026-11-26")
# Rows a band of its own takes.
FEWEST = 20
HEADER = ("subject", "term", "at", "value", "low", "high", "unit", "kind", "source", "where", "as_of", "note")
CLASSES = tuple(f.name for f in fields(Phase))
ONES = Phase(**dict.fromkeys(CLASSES, 1.0))
# Classes whose kernels depend on the number format; the others' only on the chip.
FORMATTED = ("gemm", "moe")
# How far a term of a logarithm may stand from zero, one deviation of the ridge: everybody's, the engine's,
# the format's on a family of chips, and the engine's there.
RIDGE = {"all": 0.4, "engine": 0.3, "cell": 0.25, "engine cell": 0.25}
HOST, HOST_RIDGE = 1e-3, {"all": 0.7, "engine": 0.5, "engine cell": 0.4}
# What a first token waits for, before the fit: outside the engine, decode steps, prompts of others.
FIRST = {"request": 0.05, "waits": 1.0, "bunching": 0.1}
# Requests of a group at once up to which a first token hardly waits for others.
UNQUEUED = 4
FIRST_RIDGE = {"all": 0.7, "engine": 0.5}
# Rows left out in turn are predicted best with hardly any gain by release: at 0.15 the slope of young chips spoils old.
MATURITY_RIDGE = {"all": 0.02, "engine": 0.02}
# Log error at which a row begins to count less than by its square.
HUBER = 0.1
# The release the factors are of, as a year.
REFERENCE = 2026.1
WEIGHT = {"tpot": 1.0, "ttft": 0.5, "rate": 0.7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows [R] of the fit: classes of their steps and what was measured.

    decode, prefill   time of each class of a decode step, of one prompt            [R, C]  [s]
    other             pipeline hops of a decode step                                 [R]  [s]
    steps             engine steps one prompt takes                                  [R]
    batch             sequences of a group that decode                               [R]
    running, groups, replicas, chips, output   of the deployment                     [R]
    age               years since the reference release                               [R]
    reach             engine -> (oldest, newest) release of its fit rows, as years
    growth            power by which prompts of others bunch                          [1]
    tpot, ttft, rate  measured, nan where not given or not used                      [R]
    """

    rows: tuple[Served, ...]
    kin: tuple[str, ...]
    forms: tuple[str, ...]
    decode: Floats
    prefill: Floats
    other: Floats
    steps: Floats
    batch: Floats
    running: Floats
    groups: Floats
    replicas: Floats
    chips: Floats
    output: Floats
    age: Floats
    reach: dict[str, tuple[float, float]]
    growth: float
    tpot: Floats
    ttft: Floats
    rate: Floats


def by_class(work: Work, messages: dict[str, Floats], task: ServeTask, on: Machine) -> Floats:
    """Time of each class of a step of one candidate by its curve. [C]  [s]"""
    moving, fixed = (np.asarray(t).reshape(-1, len(work.names))[0] for t in curve_times(work, task, on))
    found = dict.fromkeys(CLASSES, 0.0)
    for name, time in zip(classes(work), moving, strict=True):
        found[name] += float(time)
    found |= {"launch": float(fixed.sum()), "reduction": float(messages["tensor reduction"][0]),
              "exchange": float(messages["expert exchange"][0])}
    return np.array([found[c] for c in CLASSES])


def timed(row: Served, on: Machine, facts: Facts) -> tuple[Floats, Floats, float, float, float, str] | None:
    """Classes of a decode step and of a prompt, hops, steps of a prompt, and the batch that decodes; None: no room."""
    task, layout = task_of(row, facts), deployed(row.decode)
    room = fitting(task, on, layout)
    if room < 1:
        return None
    groups = row.decode.dp * row.decode.pp * row.decode.count
    batch = np.array([max(min(row.concurrency * decoding(row) / groups, room), 1.0)])
    spoken = communication(task, on, layout, batch, ONES)
    decode = by_class(decode_operators(task, layout, batch), spoken, task, on)
    tokens, seq, before = shared_chunk(task, batch)
    share = task.fresh_tokens / float(tokens[0])
    prefill = by_class(prefill_operators(task, layout, tokens, seq, before, tokens / seq),
                       communication(task, on, layout, tokens, ONES), task, on)
    return (decode, prefill * share, float(np.ravel(spoken["pipeline"])[0]), share, float(batch[0]), task.form)


def decoding(row: Served) -> float:
    """Share of a request's time in which it decodes, as measured; 1 where not told."""
    if not {"tpot_ms", "ttft_ms"} <= row.given.keys():
        return 1.0
    rest = row.given["tpot_ms"] * (row.output_tokens - 1.0)
    return rest / (row.given["ttft_ms"] + rest)


def table(rows: Sequence[Served], facts: Facts) -> Table:
    """The rows that fit in memory, timed."""
    machines: dict[str, Machine] = {}
    kept = []
    for row in rows:
        on = machines.setdefault(row.system, machine(system(facts, row.system), facts))
        found = timed(row, on, facts)
        if found is not None:
            kept.append((row, family(on.chip), found))
    known = [row for row, _, _ in kept]

    def given(metric: str, row: Served) -> float:
        # Of pools apart whose recipe stands twice, with and without drafting, nobody knows which one ran.
        used = row.draft == 0 or (math.isnan(row.draft) and row.prefill is None)
        used = used and not (metric == "output_tok_s_per_gpu" and row.prefill is not None)
        return row.given.get(metric, math.nan) if used else math.nan

    def column(values: Sequence[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    years = [year(r, RELEASES) for r in known]
    reach = {engine: reached([y for r, y in zip(known, years, strict=True) if r.engine == engine and r.role == "fit"])
             for engine in {r.engine for r in known}}
    # As predictions have it: a release nobody tells is the engine's newest.
    ages = [min(max(y or math.inf, reach[r.engine][0]), reach[r.engine][1]) - REFERENCE
            for r, y in zip(known, years, strict=True)]
    return Table(
        rows=tuple(known), kin=tuple(k for _, k, _ in kept), forms=tuple(f[5] for _, _, f in kept),
        decode=np.array([f[0] for _, _, f in kept]), prefill=np.array([f[1] for _, _, f in kept]),
        other=column([f[2] for _, _, f in kept]), steps=column([f[3] for _, _, f in kept]),
        batch=column([f[4] for _, _, f in kept]), running=column([r.concurrency for r in known]),
        groups=column([r.decode.dp * r.decode.pp * r.decode.count for r in known]),
        replicas=column([r.decode.count for r in known]), chips=column([r.decode.chips for r in known]),
        output=column([r.output_tokens for r in known]),
        age=column(ages), reach=reach, growth=facts.value("serving-engine.bunching_growth"),
        tpot=column([given("tpot_ms", r) for r in known]),
        ttft=column([given("ttft_ms", r) if r.prefill is None else math.nan for r in known]),
        rate=column([given("output_tok_s_per_gpu", r) if math.isinf(r.concurrency) else math.nan for r in known]))


def reached(years: Sequence[float | None]) -> tuple[float, float]:
    """The oldest and the newest of the releases that are told, as years; the reference where none is."""
    told = [y for y in years if y is not None] or [REFERENCE]
    return min(told), max(told)


@dataclass(slots=True)
class Terms:
    """The logarithms that are fitted: their names, how far each may stand from zero, and which each row sums."""

    names: dict[tuple[str, ...], int]
    ridge: list[float]

    def index(self, key: tuple[str, ...], ridge: float) -> int:
        """Number of a term, new or known."""
        if key not in self.names:
            self.names[key] = len(self.names)
            self.ridge.append(ridge)
        return self.names[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Terms each row sums, as indices: of each class and phase [R, C, 4], host [R, 3], what a first token
    waits for [R, 2], maturity [R, 2].
    """

    decode: npt.NDArray[np.intp]
    prefill: npt.NDArray[np.intp]
    host: npt.NDArray[np.intp]
    first: dict[str, npt.NDArray[np.intp]]
    maturity: npt.NDArray[np.intp]


def sums(data: Table, terms: Terms) -> Sums:
    """Which terms each row sums."""
    def cell(phase: str, name: str, i: int) -> list[int]:
        engine, kin = data.rows[i].engine, data.kin[i]
        form = data.forms[i] if name in FORMATTED else ""
        keys = {"all": (phase, name), "engine": (phase, name, engine), "cell": (phase, name, "", form, kin),
                "engine cell": (phase, name, engine, form, kin)}
        return [terms.index(key, RIDGE[kind]) for kind, key in keys.items()]

    def few(word: str, ridge: dict[str, float], i: int) -> list[int]:
        engine, kin = data.rows[i].engine, data.kin[i]
        keys = {"all": (word,), "engine": (word, engine), "engine cell": (word, engine, kin)}
        return [terms.index(keys[kind], width) for kind, width in ridge.items()]

    every = range(len(data.rows))
    return Sums(
        decode=np.array([[cell("decode", c, i) for c in CLASSES] for i in every]),
        prefill=np.array([[cell("prefill", c, i) for c in CLASSES] for i in every]),
        host=np.array([few("host", HOST_RIDGE, i) for i in every]),
        first={word: np.array([few(word, FIRST_RIDGE, i) for i in every]) for word in FIRST},
        maturity=np.array([few("maturity", MATURITY_RIDGE, i) for i in every]))


@dataclass(frozen=True, slots=True)
class Slope:
    """A value of every row [R] and its derivatives by the logarithms [R, K]."""

    value: Floats
    by: Floats

    def __add__(self, other: Slope) -> Slope:
        return Slope(self.value + other.value, self.by + other.by)

    def of(self, other: Slope) -> Slope:
        """Their product."""
        return Slope(self.value * other.value, self.by * other.value[:, None] + other.by * self.value[:, None])

    def times(self, factor: Floats) -> Slope:
        """The same times a number of every row."""
        return Slope(self.value * factor, self.by * factor[:, None])


def summed(x: Floats, which: npt.NDArray[np.intp], amount: Floats) -> Slope:
    """Sum over classes of amounts [R, C] times the factors whose terms are `which` [R, C, T]."""
    each = np.exp(x[which].sum(axis=2)) * amount
    by = np.zeros((len(each), len(x)))
    row = np.arange(len(each))[:, None]
    for term in range(which.shape[2]):
        np.add.at(by, (row, which[:, :, term]), each)
    return Slope(each.sum(axis=1), by)


def paced(x: Floats, data: Table, which: Sums, time: Slope) -> Slope:
    """A time at the pace of the release of each row."""
    pace = np.exp(-x[which.maturity].sum(axis=1) * data.age)
    by = time.by * pace[:, None]
    row = np.arange(len(pace))
    for term in range(which.maturity.shape[1]):
        by[row, which.maturity[:, term]] -= data.age * time.value * pace
    return Slope(time.value * pace, by)


def predicted(x: Floats, data: Table, which: Sums) -> dict[str, Slope]:
    """Times and rate of every row under these logarithms; as service/steady.py has them. [R]"""
    host = summed(x, which.host[:, None, :], np.full((len(data.rows), 1), HOST))
    hops = Slope(data.other, np.zeros_like(host.by))
    decode = paced(x, data, which, summed(x, which.decode, data.decode) + hops + host)
    prompt = paced(x, data, which, summed(x, which.prefill, data.prefill) + host.times(data.steps))
    running = np.minimum(data.running, data.batch * data.groups)
    others = np.array([r.prefill is None and not r.phase for r in data.rows]) & (running > data.replicas)
    each = running / data.replicas
    token = decode + prompt.times(np.where(others, (each - 1.0) / each * data.batch / data.output, 0.0))
    request, waits, bunching = (summed(x, which.first[word][:, None, :], np.full((len(data.rows), 1), base))
                                for word, base in FIRST.items())
    ahead = np.where(others, np.maximum(data.batch - 1.0, 0.0) ** data.growth, 0.0)
    first = prompt + decode.times(np.where(others, np.ceil(data.steps), 0.0)) + request + waits.of(decode) + \
        bunching.times(ahead).of(prompt)
    whole = first + token.times(data.output - 1.0)
    rate = running * data.output / whole.value / data.chips
    return {"tpot": token, "ttft": first,
            "rate": Slope(rate, -whole.by * (rate / whole.value)[:, None])}


def errors(x: Floats, data: Table, which: Sums) -> dict[str, Floats]:
    """Log of predicted over measured of each metric; nan where it is not used. [R]"""
    return {metric: e for metric, (e, _) in slopes(x, data, which).items()}


def slopes(x: Floats, data: Table, which: Sums) -> dict[str, tuple[Floats, Floats]]:
    """Log errors of each metric [R] and their derivatives [R, K]."""
    found = predicted(x, data, which)
    measured = {"tpot": data.tpot, "rate": data.rate, "ttft": data.ttft}
    return {metric: (np.log(found[metric].value / measured[metric]), found[metric].by / found[metric].value[:, None])
            for metric in WEIGHT}


def fitted(data: Table, which: Sums, terms: Terms, used: npt.NDArray[np.bool_]) -> Floats:
    """The logarithms that explain the `used` rows best, in two steps.

    First all of them, with times to the first token of quiet rows alone; then, the steps being known, what a first
    token waits for, with every row: how prompts queue must not bend what a step costs.
    """
    quiet = data.running / data.groups <= UNQUEUED
    every = np.ones(len(terms.ridge), dtype=bool)
    x = solved(data, which, terms, {"tpot": used, "rate": used, "ttft": used & quiet}, np.zeros(len(every)), every)
    waits = np.array([key[0] in FIRST for key in terms.names])
    return solved(data, which, terms, {"ttft": used}, x, waits)


def solved(data: Table, which: Sums, terms: Terms, used: dict[str, npt.NDArray[np.bool_]], start: Floats,
           free: npt.NDArray[np.bool_]) -> Floats:
    """Least squares under a ridge, each error by a pseudo-Huber loss; only the `free` logarithms move. [K]"""
    from scipy.optimize import least_squares

    ridge = np.array(terms.ridge)[free]

    def both(part: Floats) -> tuple[Floats, Floats]:
        x = start.copy()
        x[free] = part
        found = {m: v for m, v in slopes(x, data, which).items() if m in used}
        kept = {m: used[m] & np.isfinite(e) for m, (e, _) in found.items()}
        each = np.concatenate([WEIGHT[m] * e[kept[m]] for m, (e, _) in found.items()]) / HUBER
        by = np.concatenate([WEIGHT[m] * d[kept[m]][:, free] for m, (_, d) in found.items()]) / HUBER
        root = np.sqrt(1.0 + each * each)
        soft = np.sign(each) * np.sqrt(2.0 * (root - 1.0))
        slope = np.where(np.abs(each) > 1e-6, each / root / np.where(soft == 0, 1.0, soft), 1.0)
        return np.concatenate([soft, part / ridge]), np.concatenate([by * slope[:, None], np.diag(1.0 / ridge)])

    last: dict[bytes, tuple[Floats, Floats]] = {}

    def once(part: Floats) -> tuple[Floats, Floats]:
        """Residuals and slopes come together; SciPy asks for them apart."""
        key = part.tobytes()
        if key not in last:
            last.clear()
            last[key] = both(part)
        return last[key]

    found = least_squares(lambda x: once(x)[0], start[free], jac=lambda x: once(x)[1], max_nfev=40, xtol=1e-4,
                          ftol=1e-4, tr_solver="lsmr")
    x = start.copy()
    x[free] = found.x
    return x


def left_out(data: Table, which: Sums, terms: Terms) -> dict[str, Floats]:
    """Errors of each row by a fit that did not see its group: a quarter of the groups at a time."""
    fold = np.array([digest(f"fold {r.layout_group}") % 4 for r in data.rows])
    found: dict[str, Floats] = defaultdict(lambda: np.full(len(data.rows), np.nan))
    for one in range(4):
        print(f"  left out: quarter {one + 1} of 4", file=sys.stderr)
        for metric, e in errors(fitted(data, which, terms, fold != one), data, which).items():
            found[metric][fold == one] = e[fold == one]
    return found


def report(name: str, found: dict[str, Floats]) -> None:
    """A line for each metric."""
    for metric, each in found.items():
        e = each[np.isfinite(each)]
        if len(e):
            a = np.abs(np.expm1(e))
            print(f"{name:10s} {metric:5s} rows {len(e):4d}  median {np.median(a):.3f}  mean {a.mean():.3f}  "
                  f"p90 {np.quantile(a, 0.9):.3f}  bias {math.expm1(np.median(e)):+.3f}")


def rows_written(x: Floats, terms: Terms, count: int) -> list[list[str]]:
    """Facts: at every level of narrowness the product of the factors down to it."""
    value = {key: float(x[i]) for key, i in terms.names.items()}
    how = f"tools/fit_serving.py on {count} fit rows of measured_serve.csv"

    def fact(subject: str, term: str, at: str, number: float, unit: str) -> list[str]:
        return [subject, term, at, f"{number:.4g}", "", "", unit, *ORIGIN, how]

    out = []
    for key in terms.names:
        if key[0] in ("decode", "prefill"):
            phase, name, engine, form, kin = (*key, "", "", "")[:5]
            parents = dict.fromkeys([(phase, name), (phase, name, engine), (phase, name, "", form, kin), key])
            total = sum(value[k] for k in parents if k in value and (engine or len(k) != 3))
            at = "/".join(filter(None, (f"{phase}-{name}", form, kin)))
            out.append(fact(f"engine-{engine}" if engine else "serving-engine", "serving_slowdown", at,
                            math.exp(total), "1"))
        elif key[0] == "maturity":
            total = sum(value[k] for k in {key[:1], key[:2], key})
            out.append(fact(f"engine-{key[1]}" if key[1:] else "serving-engine", "serving_maturity",
                            key[2] if key[2:] else "", total, "1"))
        else:
            total = sum(value[k] for k in {key[:1], key[:2], key})
            term, base, unit = {"host": ("step_overhead", 1e3 * HOST, "ms"),
                                "request": ("request_overhead", 1e3 * FIRST["request"], "ms"),
                                "waits": ("first_token_steps", FIRST["waits"], "1"),
                                "bunching": ("arrival_bunching", FIRST["bunching"], "1")}[key[0]]
            out.append(fact(f"engine-{key[1]}" if key[1:] else "serving-engine", term, key[2] if key[2:] else "",
                            base * math.exp(total), unit))
    return sorted(out, key=lambda r: (r[0] != "serving-engine", r[0], r[1], r[2]))


def write(x: Floats, terms: Terms, reach: dict[str, tuple[float, float]], count: int,
          more: Sequence[list[str]] = ()) -> None:
    """The table of facts, anew."""
    whole = (min(low for low, _ in reach.values()), max(high for _, high in reach.values()))
    ranges = {"serving-engine": whole, **{f"engine-{engine}": reach[engine] for engine in sorted(reach)}}
    releases = [("serving-engine", "reference", REFERENCE)]
    releases += [(subject, at, end) for subject, ends in ranges.items()
                 for at, end in zip(("oldest", "newest"), ends, strict=True)]
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(HEADER)
        out.writerows([subject, "serving_release", at, f"{value:.6g}", "", "", "1", *ORIGIN,
                       "range of the fitted rows"] for subject, at, value in releases)
        out.writerows(rows_written(x, terms, count))
        out.writerows(more)


def best_of(rows: Sequence[Served], metric: str, grid: Floats, facts: Facts,
            changed: Callable[[ServeTask, Machine, float], tuple[ServeTask, Machine]]) -> float:
    """The value of a grid under which a metric of the rows is predicted best, each error by a pseudo-Huber loss."""
    machines: Machines = {}
    cost = np.zeros(len(grid))
    for row in (r for r in rows if metric in r.given):
        task, on = task_of(row, facts), machine_of(row, facts, machines)
        for i, value in enumerate(grid.tolist()):
            said = predicted_row([row], *changed(task, on, value))[0]
            if not isinstance(said, Why):
                e = math.log(said[0][metric] / row.given[metric]) / HUBER
                cost[i] += math.sqrt(1.0 + e * e) - 1.0
    return float(grid[int(np.argmin(cost))])


def accepted(rows: Sequence[Served], facts: Facts) -> float:
    """Probability that a proposed token is right, from the rows that tell how many are proposed."""
    return best_of([r for r in rows if r.draft > 0], "tpot_ms", np.arange(0.5, 0.96, 0.025), facts,
                   lambda task, on, value: (replace(task, accept=value), on))


def bunched(rows: Sequence[Served], facts: Facts) -> float:
    """How prompts bunch before a prefill pool, from rows of pools apart."""
    apart = [r for r in rows if r.prefill is not None and r.draft == 0][::2]
    return best_of(apart, "ttft_ms", np.array([0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]), facts,
                   lambda task, on, value: (task, replace(on, engine=replace(on.engine, apart=value))))


def band_rows(rows: Sequence[Served], facts: Facts, inside: dict[str, Floats],
              outside: dict[str, Floats]) -> list[list[str]]:
    """80 % bands: what the fit leaves of its rows, widened by how much more it leaves of rows it did not see.

    inside, outside   log errors of the fit, and of rows left out in turn, by metric
    """
    def width(found: dict[str, Floats], metric: str) -> float:
        return float(np.quantile(np.abs(found[metric][np.isfinite(found[metric])]), 0.8))

    wider = {m: max(width(outside, m) / width(inside, m), 1.0) for m in ("tpot", "ttft", "rate")}
    print("wider by", {m: round(v, 2) for m, v in wider.items()}, file=sys.stderr)
    by = {"tpot_ms": "tpot", "e2e_ms": "tpot", "ttft_ms": "ttft", "output_tok_s_per_gpu": "rate"}
    left: defaultdict[str, list[float]] = defaultdict(list)
    for c in compare_served(rows, facts):
        for metric, said in c.figures.items():
            if isinstance(c.row, Served) and metric in c.row.given:
                for at in band_names(c.row, c.kind, metric):
                    left[at].append(math.log(c.row.given[metric] / said))
    out = []
    for at, logs in sorted(left.items()):
        if len(logs) < FEWEST:
            continue
        low, middle, high = (float(v) for v in np.quantile(logs, (0.1, 0.5, 0.9)))
        more = wider[by[at.split("/")[0]]]
        ends = [f"{math.exp(end):.4g}" for end in (middle, middle + (low - middle) * more,
                                                   middle + (high - middle) * more)]
        out.append(["serving-engine", "serving_band", at, *ends, "1", *ORIGIN,
                    f"{len(logs)} fit rows, widened {more:.2f} times for rows left out"])
    return out


def main() -> None:
    """Fit, tell the errors, and write."""
    facts = load_facts(date.max)
    rows = [r for r in published() if r.role == "fit"]
    data = table(rows, facts)
    terms = Terms({}, [])
    which = sums(data, terms)
    print(f"{len(data.rows)} fit rows, {len(terms.ridge)} terms", file=sys.stderr)
    x = fitted(data, which, terms, np.ones(len(data.rows), dtype=bool))
    inside = errors(x, data, which)
    report("fit", inside)
    if "--report" in sys.argv:
        return
    outside = left_out(data, which, terms)
    report("left out", outside)
    count = len(data.rows)
    sigma = float(np.quantile(np.abs(outside["tpot"][np.isfinite(outside["tpot"])]), 0.8) / 1.2816)
    more = [["serving-engine", "serving_sigma", "", f"{sigma:.3g}", "", "", "1", *ORIGIN,
             f"time per token of {count} fit rows left out in turn"]]
    write(x, terms, data.reach, count, more)
    written = load_facts(date.max)
    more.append(["serving-engine", "draft_acceptance", "", f"{accepted(rows, written):.3g}", "", "", "1", *ORIGIN,
                 "fit rows whose recipe tells the tokens proposed"])
    more.append(["serving-engine", "arrival_bunching_apart", "", f"{bunched(rows, written):.3g}", "", "", "1", *ORIGIN,
                 "fit rows with prefill and decode apart"])
    write(x, terms, data.reach, count, more)
    write(x, terms, data.reach, count, [*more, *band_rows(rows, load_facts(date.max), inside, outside)])


if __name__ == "__main__":
    main()
