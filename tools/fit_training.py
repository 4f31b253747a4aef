"""Fits how software runs a training step to the `fit` rows of data/measured_train.csv, as of several dates.

    python tools/fit_training.py             fit, and write the rows to data/efficiency.csv
    python tools/fit_training.py --errors    write the errors of today's facts into docs/models/training.md

Fitted: a speed of compute per software stack (per dtype for the tuned NVIDIA stack, which has rows enough), one more
for its MoE models, one for attention where a stack's kernels lagged Hopper; and four numbers for everybody (tp_hidden,
ep_hidden, dp_floor, straggler). Nothing is fitted per row, model or layout. For each date only rows published by then
are used, with the operator curves of then, so that facts read as of that date see no later measurement. The 80 % band
comes from the `band` rows, which set nothing else; `held_out` rows are not looked at here.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.step.practice import SUBJECT
from exafleet.step.published import Compared, Published, compare, published
from exafleet.terms.calendar import published as day
from exafleet.terms.units import DATA

DATES = (date(2024, 11, 30), date(2026, 8, 31))
STACKS = ("stack-megatron", "stack-megatron-2021", "stack-megatron-deepspeed", "stack-pytorch", "stack-automodel",
          "stack-llm-foundry", "stack-maxtext", "stack-primus", "stack-neuron")
BY_DTYPE = {
    "stack-megatron": {"bf16": "bf16", "fp8": "fp8", "fp4": "fp8"}
}  # too few fp4 rows for a factor of their own
LAGGING = ("stack-pytorch", "stack-llm-foundry")
GRIDS = {
    "tp_hidden": (0.0, 0.2, 0.4, 0.6, 0.8),
    "ep_hidden": (0.0, 0.25, 0.5, 0.75),
    "dp_floor": (0.05, 0.1, 0.2, 0.3, 0.5),
    "straggler": (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01),
}
ATTENTION = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
# Estimates that the published rows cannot tell apart from the speeds: value, low, high, unit, why.
FIXED = {
    "pp_hidden": (0.8, 0.5, 1.0, "1", "interleaved schedules send while they compute"),
    "cp_hidden": (0.8, 0.5, 1.0, "1", "ring attention computes on what has arrived"),
    "dp_hidden": (0.8, 0.5, 1.0, "1", "buckets are reduced during the backward pass"),
    "imbalance": (1.0, 1.0, 1.3, "1", "published MoE runs force balanced routing; real routing is slower"),
    "usable": (0.94, 0.90, 0.97, "1", "fragmentation of a caching allocator"),
    "host_step": (30.0, 10.0, 100.0, "ms", "data loading, logging, launch of the optimizer"),
    "gradient_bytes": (4.0, 2.0, 4.0, "B", "single precision, unless the stack says otherwise"),
    "workspace": (4.0, 2.0, 8.0, "GB", "runtime context, libraries and communication buffers"),
}
# What these stacks are known to do differently: (value, from, why).
OWN = {
    **{(stack, term): (value, DATES[0], why) for stack in ("stack-megatron-2021", "stack-megatron-deepspeed")
       for term, value, why in (
           ("dp_floor", 1.0, "gradients were reduced after the backward pass, not beside it"),
           ("tp_hidden", 0.0, "tensor-parallel reductions stood in the way of compute"),
           ("pp_hidden", 0.0, "stages sent and received between, not beside, their work"))},
    ("stack-pytorch", "tp_hidden"): (0.0, DATES[0], "asynchronous tensor parallelism is off in most published runs"),
    ("stack-megatron", "gradient_bytes"): (2.0, DATES[1], "bf16 gradients in the tuned recipes of 2025 and later"),
}
HOST_LAYER = (0.5, 0.2, 2.0, "ms", "about a hundred kernel launches a block")
EFFICIENCY = DATA / "efficiency.csv"
Speeds = dict[str, float]


def start(facts: Facts) -> Facts:
    """Facts with every practice term at its estimate or in the middle of its grid."""
    scale = {"1": 1.0, "ms": 1e-3, "GB": 1e9, "B": 1.0}
    for name, (value, _, _, unit, _) in FIXED.items():
        facts = facts.with_fact(f"{SUBJECT}.{name}", value * scale[unit])
    for name, grid in GRIDS.items():
        facts = facts.with_fact(f"{SUBJECT}.{name}", grid[len(grid) // 2])
    for kind in ("dense", "moe"):
        facts = facts.with_fact(f"{SUBJECT}.training_band@{kind}", 1.0)
    for (stack, term), (value, since, _) in OWN.items():
        if since <= facts.as_of:
            facts = facts.with_fact(f"{stack}.{term}", value)
    for stack in STACKS:
        facts = facts.with_fact(f"{stack}.host_layer", HOST_LAYER[0] * 1e-3)
        for term in ("stack_speed", "stack_moe_speed", "stack_attention"):
            facts = facts.with_fact(f"{stack}.{term}", 1.0)
        for dtype in BY_DTYPE.get(stack, ()):
            facts = facts.with_fact(f"{stack}.stack_speed@{dtype}", 1.0)
    return facts


def known_by(as_of: date) -> Facts:
    """Facts as of a date, with the model shapes of today: a shape is not news, its row merely has a later source."""
    then, now = load_facts(as_of), load_facts(DATES[-1])
    models = {s.id for s in now.subjects.of_kind("model")}
    return replace(then, table={**{k: v for k, v in now.table.items() if k[0] in models}, **then.table})


def is_moe(c: Compared) -> bool:
    return c.steps is not None and float(c.steps.time["expert gemm"][0]) > 0


def speed_key(c: Compared) -> str:
    if is_moe(c):
        return f"{c.row.stack}.stack_moe_speed"
    at = BY_DTYPE.get(c.row.stack, {}).get(c.row.dtype, "")
    return f"{c.row.stack}.stack_speed" + (f"@{at}" if at else "")


def centred(rows: list[Published], facts: Facts, rounds: int) -> tuple[Facts, list[Compared]]:
    """Speeds moved until each group's median error vanishes; compute is most, not all, of a step."""
    found = compare(rows, facts)
    for _ in range(rounds):
        groups = defaultdict(list)
        for c in found:
            groups[speed_key(c)].append(c.error)
        for key, errors in sorted(groups.items()):
            old = facts.value(key)
            value = float(np.clip(old * np.exp(-np.median(errors) / 0.9), 0.2, 1.6))
            for twin in (key, key.replace("@fp8", "@fp4")):
                facts = facts.with_fact(twin, value)
        found = compare(rows, facts)
    return facts, found


def cost(found: list[Compared]) -> float:
    return float(np.mean([min(abs(c.error), 0.5) for c in found]))


def fit(rows: list[Published], facts: Facts) -> tuple[Facts, list[Compared]]:
    facts, found = centred(rows, start(facts), 3)
    best = cost(found)
    axes = {f"{SUBJECT}.{n}": g for n, g in GRIDS.items()}
    axes |= {
        f"{s}.stack_attention@hopper": ATTENTION
        for s in LAGGING
        if any(r.stack == s and r.chip == "h100-sxm" for r in rows)
    }
    for _ in range(2):
        for key, grid in axes.items():
            for value in grid:
                tried, there = centred(rows, facts.with_fact(key, value), 1)
                if cost(there) < best - 1e-4:
                    best, facts, found = cost(there), tried, there
    return centred(rows, facts, 2)


def band(rows: list[Published], facts: Facts) -> dict[str, tuple[float, float, float, int]]:
    """median, low and high of measured over predicted by kind, and how many rows; both kinds pooled where few."""
    found = [c for c in compare(rows, facts) if c.steps is not None]
    pooled = [-c.error for c in found]
    out = {}
    for kind in ("dense", "moe"):
        errors = [-c.error for c in found if is_moe(c) == (kind == "moe")]
        errors = errors if len(errors) >= 8 else pooled
        low, middle, high = np.exp(np.quantile(errors, [0.1, 0.5, 0.9]))
        out[kind] = (float(middle), float(min(low, 0.97)), float(max(high, 1.03)), len(errors))
    return out


def rows_of(facts: Facts, rows: list[Published], found: list[Compared], as_of: date) -> list[dict[str, str]]:
    def row(subject: str, term: str, at: str, value: float, unit: str, kind: str, where: str, note: str = "",
            low: float | None = None, high: float | None = None) -> dict[str, str]:
        ends = ["" if v is None else f"{v:.4g}" for v in (low, high)]
        return {
            "subject": subject,
            "term": term,
            "at": at,
            "value": f"{value:.4g}",
            "low": ends[0],
            "high": ends[1],
            "unit": unit,
            "kind": kind,
            "source": "training-fit",
            "where": where,
            "as_of": as_of.isoformat(),
            "note": note,
        }

    counts: defaultdict[str, int] = defaultdict(int)
    for c in found:
        counts[speed_key(c)] += 1
    out = [
        row(SUBJECT, n, "", v, unit, "estimate", "FIXED", why, low, high)
        for n, (v, low, high, unit, why) in FIXED.items()
    ]
    out += [row(SUBJECT, n, "", facts.value(f"{SUBJECT}.{n}"), "1", "measured", f"{len(rows)} fit rows") for n in GRIDS]
    out += [row(stack, term, "", v, "B" if term == "gradient_bytes" else "1", "estimate", "OWN", why)
            for (stack, term), (v, since, why) in OWN.items() if since <= as_of]
    for stack in STACKS:
        value, low, high, unit, why = HOST_LAYER
        out.append(row(stack, "host_layer", "", value, unit, "estimate", "HOST_LAYER", why, low, high))
        for term in ("stack_speed", "stack_moe_speed", "stack_attention"):
            for at, fact in sorted(facts.find(stack, term).items()):
                same = BY_DTYPE.get(stack, {}).get(at, at)
                n = counts[f"{stack}.{term}" + (f"@{same}" if same else "")]
                seen = n or (term == "stack_attention" and at)
                borrowed = 1.0 if term == "stack_attention" else _typical(facts, counts, term)
                where = (
                    f"{n} fit rows"
                    if n
                    else "fit rows of long sequences"
                    if seen
                    else "no rows: median of the other stacks"
                )
                if at and not seen:
                    continue
                out.append(
                    row(
                        stack,
                        term,
                        at,
                        fact.value if seen else borrowed,
                        "1",
                        "measured" if seen else "inferred",
                        where,
                    )
                )
    held = [r for r in published() if r.role == "band" and day(r.date) <= as_of]
    for kind, (middle, low, high, n) in band(held, facts).items():
        out.append(
            row(
                SUBJECT,
                "training_band",
                kind,
                middle,
                "1",
                "measured",
                f"{n} band rows",
                "measured over predicted rate",
                low,
                high,
            )
        )
    return out


def _typical(facts: Facts, counts: dict[str, int], term: str) -> float:
    known = [facts.value(key) for key, n in counts.items() if n and f".{term}" in key]
    return float(np.median(known)) if known else 1.0


def main() -> None:
    with EFFICIENCY.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        kept = [r for r in reader if not r["subject"].startswith("stack-") and r["subject"] != SUBJECT]
        names = list(reader.fieldnames or [])
    new = []
    for as_of in DATES:
        rows = [r for r in published() if r.role == "fit" and day(r.date) <= as_of]
        facts, found = fit(rows, known_by(as_of))
        print(as_of, len(rows), "rows, mean absolute log error", round(cost(found), 4))
        new += rows_of(facts, rows, found, as_of)
    beside = EFFICIENCY.with_name(".efficiency.csv.new")
    with beside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
    beside.replace(EFFICIENCY)


DOCS = Path(__file__).parent.parent / "docs" / "models" / "training.md"


def line(name: str, rows: list[Compared]) -> str:
    apart = np.abs(np.expm1([c.error for c in rows]))
    inside = np.mean([c.low <= c.measured <= c.high for c in rows])
    bias = np.median(np.expm1([c.error for c in rows]))
    return (f"| {name} | {len(rows)} | {np.median(apart):.1%} | {np.quantile(apart, 0.9):.1%} | {bias:+.1%} "
            f"| {inside:.0%} |")


def errors() -> None:
    """Errors by role, kind, accelerator and stack of the rows, and the worst held-out rows, between the marks."""
    found = compare(published(), load_facts(DATES[-1]))
    groups = {f"all {role.replace('_', '-')} rows": [c for c in found if c.row.role == role]
              for role in ("held_out", "band", "fit", "searched")}
    held = [c for c in found if c.row.role == "held_out"]
    groups |= {"held-out, dense": [c for c in held if not is_moe(c)], "held-out, MoE": [c for c in held if is_moe(c)]}
    for key in sorted({(c.row.chip, c.row.dtype) for c in held}):
        groups[f"held-out, {key[0]} {key[1]}"] = [c for c in held if (c.row.chip, c.row.dtype) == key]
    judged = {c.row.chip for c in held}
    for name in sorted({c.row.chip for c in found} - judged):
        rows = [c for c in found if c.row.chip == name]
        groups[f"{name}, no held-out row: {', '.join(sorted({c.row.role for c in rows}))}"] = rows
    for stack in sorted({c.row.stack for c in held}):
        groups[f"held-out, {stack}"] = [c for c in held if c.row.stack == stack]
    table = ["| rows | n | median error | p90 | bias | in the band |", "|---|---|---|---|---|---|"]
    table += [line(name, rows) for name, rows in groups.items() if rows]
    worst = [f"| {c.row.id} | {c.row.model} | {c.row.chip} {c.row.dtype} | {c.predicted:.0f} | {c.measured:.0f} |"
             for c in sorted(held, key=lambda c: -abs(c.error))[:10]]
    table += ["", "The ten worst held-out rows, token/s of one chip:", "",
              "| row | model | chip | predicted | measured |", "|---|---|---|---|---|", *worst]
    text = DOCS.read_text(encoding="utf-8")
    head, _, _ = text.partition("<!-- errors -->")
    DOCS.write_text(head + "<!-- errors -->\n\n" + "\n".join(table) + "\n", encoding="utf-8")


if __name__ == "__main__":
    errors() if "--errors" in sys.argv else main()
