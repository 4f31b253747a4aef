"""Fits how software runs a training step to the `fit` rows of data/measured_train.csv, as of several dates.

    python tools/fit_training.py             fit, and write the facts to data/practice.csv
    python tools/fit_training.py --report    print errors of the fit, by stack, without writing

Each software stack has a few factors with a meaning (class `Factor`): speeds of its products, attention and
memory-bound kernels over the measured curves, the host's time per block, what it hides of its communication. Each
factor has a prior, wide where nothing is known, so that a stack with two rows stays near what others do. A release of a
stack may differ from the stack by a narrow prior. Nothing is fitted per row, model or layout. The fit is a ridge
regression on log rates, iterated (Gauss-Newton) with Huber weights.

The 80 % band comes from cross-validation: rows are predicted by factors fitted without their configuration group, and
the 10 % and 90 % quantiles of what was left make the band, for stacks with enough rows their own. `held_out` rows are
not looked at here. For each date only rows published by then are used, with the operator curves of then; by
May 2023 those are of A100s alone.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.ops.collective import fabric
from exafleet.ops.efficiency import efficiency
from exafleet.step.layouts import Layouts
from exafleet.step.measured.training import (
    AXES,
    Published,
    bench_system,
    config_group,
    measured,
    published,
    shape,
    stated,
    task_key,
    task_of,
    timed,
)
from exafleet.step.memory import States, memory_practice
from exafleet.step.practice import SUBJECT, Band, Practice, stack_of, under
from exafleet.step.shards import Timed, shards
from exafleet.step.train import Setting, TrainTask, run, shard_work
from exafleet.terms.calendar import published as day
from exafleet.terms.errors import ExafleetError
from exafleet.terms.units import DATA

Floats = npt.NDArray[np.float64]
EARLY, THEN, NOW = DATES = (date(2023, 5, 31), date(2024, 11, 30), date(2026, 8, 31))
OUT = DATA / "practice.csv"
FOLDS = 5
# Residuals beyond this count by their size, not their square: a cluster with a bad day must not move the fit.
HUBER = 0.12
ROUNDS = 7
# Spread of rows that no factor explains, against which priors weigh: log of a rate.
NOISE = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A factor of a stack: its prior in the space it is fitted in, and how it is written as a fact.

    mean, sigma   of log(value), or of log(value / (1 - value)) for shares
    share         a number between 0 and 1
    """

    mean: float
    sigma: float
    unit: str = "1"
    share: bool = False

    def value(self, x: float) -> float:
        """The factor itself, in base units."""
        return float(1.0 / (1.0 + np.exp(-x)) if self.share else np.exp(x))


def logit(p: float) -> float:
    return float(np.log(p / (1.0 - p)))


FACTORS = {
    "speed": Factor(mean=np.log(0.88), sigma=0.12),
    "dtype": Factor(mean=0.0, sigma=0.12),
    "kin": Factor(mean=0.0, sigma=0.10),
    "pair": Factor(mean=0.0, sigma=0.10),
    "moe_speed": Factor(mean=np.log(0.90), sigma=0.20),
    "attention": Factor(mean=np.log(0.90), sigma=0.20),
    "mla": Factor(mean=np.log(0.90), sigma=0.20),
    "expert_half": Factor(mean=np.log(100.0), sigma=1.0),
    "moving": Factor(mean=np.log(0.90), sigma=0.30),
    "scan": Factor(mean=0.0, sigma=0.50),
    "host_layer": Factor(mean=np.log(1e-3), sigma=0.70, unit="ms"),
    "host_moe": Factor(mean=np.log(3e-3), sigma=0.70, unit="ms"),
    "host_tp": Factor(mean=np.log(0.3), sigma=0.7),
    "host_send": Factor(mean=np.log(1e-3), sigma=0.8, unit="ms"),
    "host_step": Factor(mean=np.log(0.03), sigma=0.35, unit="ms"),
    "network": Factor(mean=0.0, sigma=0.25),
    "straggler": Factor(mean=np.log(0.003), sigma=0.50),
    "tp_hidden": Factor(mean=logit(0.4), sigma=1.0, share=True),
    "ep_hidden": Factor(mean=logit(0.3), sigma=1.0, share=True),
    "dp_floor": Factor(mean=logit(0.2), sigma=1.0, share=True),
    "release": Factor(mean=0.0, sigma=0.05),
    "moe_release": Factor(mean=0.0, sigma=0.10),
}
# Estimates that the published rows cannot tell apart from the speeds: value, low, high, unit, why.
FIXED = {
    "pp_hidden": (0.8, 0.5, 1.0, "1", "interleaved schedules send while they compute"),
    "cp_hidden": (0.8, 0.5, 1.0, "1", "ring attention computes on what has arrived"),
    "dp_hidden": (0.8, 0.5, 1.0, "1", "buckets are reduced during the backward pass"),
    "imbalance": (1.0, 1.0, 1.3, "1", "published MoE runs force balanced routing; real routing is slower"),
    "one_sided": (0.0, 0.0, 1.0, "1", "a library's all-to-all, unless the software says otherwise"),
    "gradient_bytes": (4.0, 2.0, 4.0, "B", "single precision, unless the stack says otherwise"),
}
SCALE = {"1": 1.0, "ms": 1e-3, "GB": 1e9, "B": 1.0}
# What options of the software leave of the host's time, and hide of expert traffic (share): fitted by nobody.
OPTIONS = {
    ("host_left", "graphs"): (0.05, 0.0, 0.2, "one graph for the whole step"),
    ("host_left", "partial-graphs"): (0.6, 0.3, 0.9, "graphs for attention, routers or scans only"),
    ("host_left", "token-drop"): (0.5, 0.2, 0.8, "fixed counts: the host does not wait for the router"),
    ("dispatch_hidden", "hidden-dispatch"): (0.5, 0.2, 0.9, "expert traffic beside another micro-batch"),
}
LEFT, HIDDEN = ({option: value for (term, option), (value, *_) in OPTIONS.items() if term == name}
                for name in ("host_left", "dispatch_hidden"))
# What these stacks are known to do differently: value, from, why.
_EARLY = (("dp_floor", 1.0, "gradients were reduced after the backward pass, not beside it"),
          ("tp_hidden", 0.0, "tensor-parallel reductions stood in the way of compute"),
          ("pp_hidden", 0.0, "stages sent and received between, not beside, their work"))
OWN = {
    **{(stack, term): (value, EARLY, why)
       for stack in ("stack-megatron-2021", "stack-megatron-2022", "stack-megatron-deepspeed")
       for term, value, why in _EARLY},
    **{("stack-megatron-plain", term): (value, EARLY, "communication is not overlapped")
       for term, value, _ in _EARLY},
    ("stack-nanotron", "pp_hidden"): (0.0, THEN, "stages send and receive between their work"),
    ("stack-pytorch", "tp_hidden"): (0.0, THEN, "vanilla tensor parallelism waits for its traffic"),
    ("stack-pytorch-eager", "tp_hidden"): (0.0, THEN, "vanilla tensor parallelism waits for its traffic"),
    ("stack-megatron", "gradient_bytes"): (2.0, NOW, "bf16 gradients in the tuned recipes of 2025 and later"),
}
# What users of a stack switch on where nothing else is said: stack, option, from, why.
USUAL = (
    ("stack-megatron", "one-sided", NOW, "HybridEP or DeepEP in nearly all expert recipes of 2026"),
    ("stack-megatron", "partial-graphs", NOW, "graphs of attention and routers in most expert recipes of 2026"),
)
# Stacks whose factors start from those of another: its fork, its predecessor, the same software told otherwise.
KIN = {"stack-megatron-2022": "stack-megatron-deepspeed", "stack-megatron": "stack-nemo",
       "stack-megatron-plain": "stack-megatron", "stack-pytorch-async": "stack-pytorch",
       "stack-pytorch-eager": "stack-pytorch"}
TERMS = dict((
    *(("speed", "stack_speed"), ("moe_speed", "stack_moe_speed"), ("attention", "stack_attention")),
    *(("mla", "stack_mla"), ("moving", "stack_moving"), ("scan", "stack_scan"), ("network", "stack_network")),
    *((name, name) for name in ("expert_half", "host_layer", "host_moe", "host_tp", "host_send", "host_step",
                                "straggler", "tp_hidden", "ep_hidden", "dp_floor")),
    *(("release", "release_speed"), ("moe_release", "release_moe_speed")),
))
Key = tuple[str, str, str]
Theta = dict[Key, float]


# ---------------------------------------------------------------------------------------------- rows as arrays


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one model, chip, format, sequence and stack, whose operators are timed once."""

    rows: list[Published]
    task: TrainTask
    layouts: Layouts
    at: Setting
    base: Timed
    place: npt.NDArray[np.int64]
    rate: Floats
    stack: str
    kin: str
    family: str


def groups(rows: Iterable[Published], facts: Facts) -> list[Group]:
    """Rows whose layout is stated, grouped; rows whose figures are missing as of the facts' date are left out."""
    by: dict[tuple[object, ...], list[Published]] = defaultdict(list)
    for r in (closed(row, facts) for row in rows):
        if set(AXES) <= r.layout.keys():
            by[task_key(r)].append(r)
    found = []
    for many in by.values():
        try:
            found.append(_group(many, facts))
        except ExafleetError as error:
            print("left out:", many[0].id, len(many), str(error)[:100])
    return found


def closed(row: Published, facts: Facts) -> Published:
    """A row whose open axes take the values of the fastest layout, by the practice of the facts as they are.

    Axes a source leaves open are few (micro-batch, interleaving); without any practice yet the row stays open.
    """
    if set(AXES) <= row.layout.keys() or not {"tp", "pp"} <= row.layout.keys():
        return row
    try:
        found = timed([row], shape(row, facts), facts)
    except ExafleetError:
        return row
    if found is None:
        return row
    best = found.layouts
    return replace(row, layout={a: int(getattr(best, a)[0]) for a in AXES} | row.layout)


def _group(rows: list[Published], facts: Facts) -> Group:
    first = rows[0]
    model, system = shape(first, facts), bench_system(facts, first.chip, first.nic_bw)
    task = task_of(first, model, np.array([r.batch for r in rows], dtype=np.int64))
    stack = stack_of(first.stack, system.chip.vendor)
    how = Practice(**{n: v * SCALE[u] for n, (v, _, _, u, _) in FIXED.items()},
                   **{n: f.value(f.mean) for n, f in FACTORS.items() if n in TERMS and "release" not in n},
                   balanced=practice_fact(facts, stack, "balanced_stages"))
    own = {term: v for (s, term), (v, since, _) in OWN.items() if s == stack and since <= facts.as_of}
    how = replace(how, **own)
    at = Setting(system=system, eff=efficiency(facts, system.chip), net=fabric(facts, system), how=how,
                 band=Band(low=0.8, high=1.25), each=States(gradient=how.gradient_bytes),
                 memory=memory_practice(facts, stack, first.dtype, system.chip.family),
                 host_bw=facts.try_value(f"{system.chip.id}.host_bw") or np.nan)
    layouts = stated(rows)
    base, place = shard_work(task, at, layouts)
    rate = np.array([measured(r, model) for r in rows])
    return Group(rows, task, layouts, at, base, place, rate, stack, system.chip.family.casefold(), model.kind)


def practice_fact(facts: Facts, stack: str, term: str) -> float:
    """A stack's own fact, or everybody's."""
    found = {**facts.find(SUBJECT, term), **facts.find(stack, term)}
    return found[""].value


# ---------------------------------------------------------------------------------------------- the model of a row


def practice_of(group: Group, theta: Theta) -> Practice:
    """What the factors make of a stack's practice for these rows."""
    stack, dtype, kin = group.stack, group.task.dtype, group.kin

    def x(name: str, at: str = "") -> float:
        return theta.get((stack, name, at), 0.0 if at else FACTORS[name].mean)

    own = {term for (s, term) in OWN if s == stack}
    values = {n: FACTORS[n].value(x(n)) for n in TERMS if "release" not in n and n not in own and n != "speed"}
    values["attention"] *= np.exp(x("attention", kin))
    values["speed"] = np.exp(x("speed") + x("dtype", dtype) + x("kin", kin) + x("pair", f"{dtype}/{kin}"))
    for name in ("speed", "attention", "mla"):
        values[name] *= np.exp(theta.get((stack, "release", group.task.release or ""), 0.0))
    values["moe_speed"] *= np.exp(theta.get((stack, "moe_release", group.task.release or ""), 0.0))
    return replace(group.at.how, **values)


def residual(group: Group, theta: Theta) -> Floats:
    """Log of predicted over measured rate of each row."""
    how = under(practice_of(group, theta), group.task.options or (), LEFT, HIDDEN)
    net = group.at.net
    nic = {k: replace(c, bandwidth=c.bandwidth * how.network) for k, c in net.nic.items()}
    at = replace(group.at, how=how, net=replace(net, nic=nic))
    tables = shards(group.task.arch, group.base, at.net, how, at.memory.keeps)
    spent = run(group.task, at, group.layouts, tables, group.place).spent
    total = sum(spent.values())
    chips = np.array([r.chips for r in group.rows])
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.asarray(group.task.batch) * group.task.seq / total / chips / group.rate))


def keys(mine: Sequence[Group]) -> Iterator[Key]:
    """Factors that the rows of one stack can say something about."""
    stack = mine[0].stack
    own = {term for (s, term) in OWN if s == stack}
    moe = [g for g in mine if g.family != "dense"]
    plain = ["speed", "attention", "moving", "host_layer", "host_step", "network", "straggler", "tp_hidden", "dp_floor"]
    plain += ["moe_speed", "expert_half", "ep_hidden", "host_moe"] if moe else []
    plain += ["mla"] if any(g.task.arch.kv_lora for g in mine) else []
    plain += ["host_tp"] if any(r.layout["tp"] > 1 for g in mine for r in g.rows) else []
    plain += ["host_send"] if any(r.layout["pp"] > 1 for g in mine for r in g.rows) else []
    plain += ["scan"] if any(g.family == "hybrid" for g in mine) else []
    yield from ((stack, n, "") for n in plain if n not in own)
    for dtype in sorted({g.task.dtype for g in mine} - {"bf16"}):
        yield stack, "dtype", dtype
    kins = sorted({g.kin for g in mine})
    if len(kins) > 1:
        yield from ((stack, name, kin) for kin in kins for name in ("kin", "attention"))
        yield from ((stack, "pair", at) for at in sorted({f"{g.task.dtype}/{g.kin}" for g in mine
                                                          if g.task.dtype != "bf16"}))
    releases = sorted({g.task.release for g in mine if g.task.release})
    if len(releases) > 1:
        yield from ((stack, "release", r) for r in releases)
        yield from ((stack, "moe_release", r) for r in sorted({g.task.release for g in moe if g.task.release}))


@dataclass(frozen=True, slots=True)
class Fitted:
    """Factors of one stack, and the straight lines they were found on: residuals [R] and slopes [R, F] of every row."""

    mine: list[Group]
    names: list[Key]
    prior: tuple[Floats, Floats]
    x: Floats
    residuals: Floats
    slopes: Floats

    @property
    def theta(self) -> Theta:
        """Factors by name."""
        return dict(zip(self.names, map(float, self.x), strict=True))

    @property
    def rows(self) -> list[tuple[Published, Group]]:
        """Rows in the order of `residuals`."""
        return [(r, g) for g in self.mine for r in g.rows]


def fit(found: Sequence[Group]) -> list[Fitted]:
    """Factors of every stack."""
    by_stack = {s: [g for g in found if g.stack == s] for s in sorted({g.stack for g in found})}
    done: dict[str, Fitted] = {}
    for stack in sorted(by_stack, key=lambda s: (s in KIN, KIN.get(s) in KIN, s)):  # kin first
        mine, kin = by_stack[stack], done.get(KIN.get(stack, ""))
        starts = {name: x for (_, name, at), x in kin.theta.items() if not at} if kin else {}
        done[stack] = _fit_stack(mine, list(keys(mine)), starts)
    return [done[s] for s in sorted(done)]


def joined(fits: Sequence[Fitted]) -> Theta:
    """Factors of all stacks."""
    return {k: v for f in fits for k, v in f.theta.items()}


def _prior(key: Key, starts: Mapping[str, float]) -> tuple[float, float]:
    """Mean and spread of a factor before its rows are seen; the mean is that of a kin stack where there is one."""
    factor = FACTORS[key[1]]
    sigma = 0.15 if key[1] == "attention" and key[2] else factor.sigma
    return (0.0 if key[2] else starts.get(key[1], factor.mean)), sigma


def _priors(names: Sequence[Key], starts: Mapping[str, float]) -> tuple[Floats, Floats]:
    mean, sigma = zip(*(_prior(k, starts) for k in names), strict=True)
    return np.array(mean), np.array(sigma)


def _fit_stack(mine: list[Group], names: list[Key], starts: Mapping[str, float]) -> Fitted:
    """Ridge regression, iterated; a row that cannot run (endless time) says nothing."""
    (mean, sigma), step = _priors(names, starts), 0.02
    x = mean.copy()

    def at(point: Floats) -> Floats:
        theta = dict(zip(names, point, strict=True))
        return np.concatenate([residual(g, theta) for g in mine])

    for _ in range(ROUNDS):
        r = at(x)
        slopes = np.stack([(at(x + step * unit) - r) / step for unit in np.eye(len(names))], axis=-1)
        move = np.clip(_move((mean, sigma), x, r, slopes, np.isfinite(r)), -0.7, 0.7)
        x = x + move
        if np.abs(move).max() < 0.03:
            break
    return Fitted(mine, names, (mean, sigma), x, at(x), slopes)


def _move(prior: tuple[Floats, Floats], x: Floats, r: Floats, slopes: Floats, use: npt.NDArray[np.bool_]) -> Floats:
    """Step to the minimum of the ridge regression on some rows, with Huber weights. [F]"""
    mean, sigma = prior
    near, lines = r[use], slopes[use]
    weight = np.minimum(1.0, HUBER / np.maximum(np.abs(near), 1e-9)) / NOISE**2
    normal = lines.T @ (weight[:, None] * lines) + np.diag(sigma**-2)
    return np.asarray(np.linalg.solve(normal, -lines.T @ (weight * near) - (x - mean) / sigma**2))


# ---------------------------------------------------------------------------------------------- bands


def folds_of(row: Published, kind: str) -> tuple[str, ...]:
    """What is left out with a row: a fifth of the configuration groups; of a model with experts also the whole model.

    Expert models differ in what no factor sees, and half of what is asked is of models nobody measured: both kinds of
    error make their band. A stack has no second hybrid model that could speak for the first.
    """
    fifth = f"{int(hashlib.sha256(f'fold|{config_group(row)}'.encode()).hexdigest(), 16) % FOLDS}"
    return (fifth, row.model) if kind == "moe" else (fifth,)


def left_out(fits: Sequence[Fitted]) -> list[tuple[Published, Group, float]]:
    """Log of measured over predicted rate of every row, by factors fitted without each of its folds.

    The factors without a fold are one more step of the regression from those of all rows, on the same slopes.
    """
    out = []
    for f in fits:
        fine = np.isfinite(f.residuals)
        folds = [folds_of(r, g.family) for r, g in f.rows]
        for fold in sorted({name for names in folds for name in names}):
            here = fine & np.array([fold in names for names in folds])
            move = _move(f.prior, f.x, f.residuals, f.slopes, fine & ~here)
            errors = f.residuals[here] + f.slopes[here] @ move
            out += [(*f.rows[i], -float(e)) for i, e in zip(np.flatnonzero(here), errors, strict=True)]
    return out


def bands(errors: Sequence[tuple[Published, Group, float]]) -> dict[tuple[str, str], tuple[float, float, int]]:
    """(subject, family) -> low, high, rows: everybody's by family, and a stack's own where it has 25 rows or more.

    A split-conformal quantile of n residuals is the ceil((n + 1) q)-th.
    """
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _, g, e in errors:
        # Hybrid models are few, and have experts too: their band is that of both.
        for kind in (g.family, "hybrid") if g.family == "moe" else (g.family,):
            found[SUBJECT, kind].append(e)
            found[g.stack, kind].append(e)
    out = {}
    for (subject, kind), left in found.items():
        if subject == SUBJECT or len(left) >= 25:
            low, high = conformal(left)
            out[subject, kind] = (min(low, 0.97), max(high, 1.03), len(left))
    return out


def conformal(left: Sequence[float]) -> tuple[float, float]:
    """Ends that hold 80 % of new residuals, one tenth beyond each."""
    ordered, n = np.sort(np.asarray(left)), len(left)
    rank = int(np.ceil((n + 1) * 0.9)) - 1
    return float(np.exp(ordered[max(n - 1 - rank, 0)])), float(np.exp(ordered[min(rank, n - 1)]))


# ---------------------------------------------------------------------------------------------- facts


def facts_of(theta: Theta, found: Sequence[Group], ends: Mapping[tuple[str, str], tuple[float, float, int]],
             as_of: date) -> list[dict[str, str]]:
    """Rows of data/practice.csv."""
    rows: list[dict[str, str]] = []

    def add(subject: str, term: str, at: str, value: float, unit: str, kind: str, where: str, note: str = "",
            low: float | None = None, high: float | None = None) -> None:
        ends = ["" if v is None else f"{v:.4g}" for v in (low, high)]
        rows.append({"subject": subject, "term": term, "at": at, "value": f"{value:.4g}", "low": ends[0],
                     "high": ends[1], "unit": unit, "kind": kind, "source": "training-fit", "where": where,
                     "as_of": as_of.isoformat(), "note": note})

    for name, (value, low, high, unit, why) in FIXED.items():
        add(SUBJECT, name, "", value, unit, "estimate", "FIXED", why, low, high)
    for (term, option), (value, low, high, why) in OPTIONS.items():
        add(SUBJECT, term, option, value, "1", "estimate", "OPTIONS", why, low, high)
    for stack, option, since, why in USUAL:
        if since <= as_of:
            add(stack, "usual_option", option, 1.0, "1", "estimate", "USUAL", why)
    for (stack, term), (value, since, why) in OWN.items():
        if since <= as_of:
            add(stack, term, "", value, "B" if term == "gradient_bytes" else "1", "estimate", "OWN", why)
    for name in TERMS:
        if "release" not in name:
            _everybody(add, name, theta)
    by_stack = {s: [g for g in found if g.stack == s] for s in sorted({g.stack for g in found})}
    for stack, mine in by_stack.items():
        _stack_facts(add, stack, mine, theta)
    for stack, like in KIN.items():
        if stack not in by_stack and like in by_stack:
            _stack_facts(add, stack, by_stack[like], theta, like)
    speeds = [x for (_, n, at), x in theta.items() if n == "speed" and not at]
    add(SUBJECT, "unseen_sigma", "stack", max(float(np.std(speeds)), 0.1), "1", "measured", f"{len(speeds)} stacks",
        "spread of the log of their speeds")
    for (subject, kind), (low, high, n) in sorted(ends.items()):
        add(subject, "training_band", kind, 1.0, "1", "measured", f"{n} rows left out in turn",
            "measured over predicted rate", low, high)
    return rows


def _everybody(add: Callable[..., None], name: str, theta: Theta) -> None:
    """What a stack without rows is taken to do: the median of the others."""
    factor = FACTORS[name]
    seen = [x for (_, n, at), x in theta.items() if n == name and not at]
    value = factor.value(float(np.median(seen)) if seen else factor.mean)
    low, high = (factor.value(float(np.median(seen or [factor.mean])) + d * 1.28 * factor.sigma) for d in (-1, 1))
    add(SUBJECT, TERMS[name], "", value / SCALE[factor.unit], factor.unit, "inferred", f"median of {len(seen)} stacks",
        "for stacks without rows", low / SCALE[factor.unit], high / SCALE[factor.unit])


def _stack_facts(add: Callable[..., None], stack: str, mine: Sequence[Group], theta: Theta, like: str = "") -> None:
    source = like or stack
    own = {term for (s, term) in OWN if s == stack}
    count = sum(len(g.rows) for g in mine)
    kind, where = ("inferred", f"as {like}") if like else ("measured", f"{count} fit rows")

    def x(name: str, at: str = "") -> float:
        return theta.get((source, name, at), 0.0 if at else FACTORS[name].mean)

    for name in TERMS:
        if name in ("speed", "attention") or "release" in name:
            continue
        if (source, name, "") in theta and name not in own:
            factor = FACTORS[name]
            add(stack, TERMS[name], "", factor.value(x(name)) / SCALE[factor.unit], factor.unit, kind, where)
    add(stack, "stack_attention", "", np.exp(x("attention")), "1", kind, where)
    add(stack, "stack_speed", "", np.exp(x("speed")), "1", kind, where)
    for kin in sorted({g.kin for g in mine}):
        if (source, "kin", kin) in theta:
            add(stack, "stack_speed", kin, np.exp(x("speed") + x("kin", kin)), "1", kind, where)
            add(stack, "stack_attention", kin, np.exp(x("attention") + x("attention", kin)), "1", kind, where)
    for dtype in sorted({g.task.dtype for g in mine} - {"bf16"}):
        add(stack, "stack_speed", dtype, np.exp(x("speed") + x("dtype", dtype)), "1", kind, where)
        for kin in sorted({g.kin for g in mine if g.task.dtype == dtype}):
            both = x("speed") + x("dtype", dtype) + x("kin", kin) + x("pair", f"{dtype}/{kin}")
            add(stack, "stack_speed", f"{dtype}/{kin}", np.exp(both), "1", kind, where)
    for name, term in (("release", "release_speed"), ("moe_release", "release_moe_speed")):
        for release in sorted({g.task.release or "" for g in mine}):
            if (source, name, release) in theta:
                add(stack, term, release, np.exp(x(name, release)), "1", kind, where)


def known_by(as_of: date) -> Facts:
    """Facts as of a date, with the model shapes of today: a shape is not news, its row merely has a later source."""
    then, now = load_facts(as_of), load_facts(NOW)
    models = {s.id for s in now.subjects.of_kind("model")}
    return replace(then, table={**{k: v for k, v in now.table.items() if k[0] in models}, **then.table})


def line(name: str, errors: Sequence[float]) -> str:
    """Errors of some rows in a line: rows, median, mean, p90, bias."""
    apart = np.abs(np.expm1(errors))
    return (f"{name:44s} {len(errors):5d}  median {np.median(apart):6.1%}  mean {apart.mean():6.1%}  "
            f"p90 {np.quantile(apart, 0.9):6.1%}  bias {np.median(np.expm1(errors)):+6.1%}")


def report(title: str, found: Sequence[tuple[Published, Group, float]]) -> None:
    """Errors by family and stack; `found` holds the log of measured over predicted."""
    print(title)
    by: dict[str, list[float]] = defaultdict(list)
    for _, g, e in found:
        by[g.family].append(-e)
        by[f"  {g.stack} {g.family}"].append(-e)
    for name, errors in sorted(by.items(), key=lambda pair: (pair[0].startswith(" "), pair[0])):
        print(line(name, errors))


def main() -> None:
    new: list[dict[str, str]] = []
    wanted = DATES[-1:] if "--report" in sys.argv else DATES
    for as_of in wanted:
        facts = known_by(as_of)
        rows = [r for r in published() if r.role == "fit" and day(r.date) <= as_of]
        found = groups(rows, facts)
        fits = fit(found)
        theta = joined(fits)
        inside = [(r, g, -float(e)) for f in fits for (r, g), e in zip(f.rows, f.residuals, strict=True)]
        report(f"{as_of}: as fitted", [found for found in inside if np.isfinite(found[2])])
        errors = left_out(fits)
        report(f"{as_of}: left out in turn", errors)
        new += facts_of(theta, found, bands(errors), as_of)
        if "--report" in sys.argv:
            held = groups([r for r in published() if r.role == "held_out" and day(r.date) <= as_of], facts)
            report("held out", [(r, g, -float(e)) for g in held
                                for r, e in zip(g.rows, residual(g, theta), strict=True) if np.isfinite(e)])
    if "--report" in sys.argv:
        return
    beside = OUT.with_name(".practice.csv.new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(new[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(new)
    beside.replace(OUT)


if __name__ == "__main__":
    main()
