"""Fits how software stacks use memory, and writes data/memory.csv.

    python tools/fit_memory.py INPUT_DIR            fit, and write data/memory.csv
    python tools/fit_memory.py INPUT_DIR --errors   errors of today's facts on all rows, by role, stack and axis

INPUT_DIR holds nanotron_h100.csv (2,570 jobs: peak after the backward pass, or out of memory); runs of other stacks
come from data/measured_memory.csv. Known of a stack (`KNOWN`): bytes of a parameter, what it shards, what its kernels
keep. Fitted (`FITTED`): a few bytes per element and the allocator's loss, on rows whose configuration group's hash says
`fit`. Nothing is fitted per row, model or layout; rows of role `held_out` are not looked at while fitting.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.step.measured.memory_tables import read_memory
from exafleet.step.measured.peaks import MemoryRow, need, peaks, published_memory, role
from exafleet.step.memory import SUBJECT, MemoryPractice, memory_practice, usable
from exafleet.terms.units import DATA

FILE = DATA / "memory.csv"
NANO, TORCH, DEEP = "stack-nanotron", "stack-pytorch", "stack-megatron-deepspeed"
COLUMNS = ("subject", "term", "at", "value", "low", "high", "unit", "kind", "source", "where", "as_of", "note")
# Papers and sources of 2021 to 2023 say how those stacks use memory (Megatron-LM, its selective recomputation, FSDP).
EARLY, THEN, NANO_DAY, TUNED_DAY = "2023-05-31", "2024-11-30", "2025-02-28", "2026-08-31"
# (subject, term): value, low, high, date, why. What is known of a stack, from how it is written or documented.
KNOWN: dict[tuple[str, str], tuple[float, float | None, float | None, str, str]] = {
    (SUBJECT, "weight_bytes"): (2, None, None, EARLY, "bf16 beside a single-precision master copy"),
    (SUBJECT, "gradient_store_bytes"): (4, 2, 4, EARLY, "accumulated in single precision"),
    (SUBJECT, "optimizer_bytes"): (12, None, None, EARLY, "master copy and two moments, single precision"),
    (SUBJECT, "bucket_bytes"): (0, None, None, EARLY, "gradients are reduced where they are accumulated"),
    (SUBJECT, "step_bytes"): (0, None, None, EARLY, "updated in place"),
    (SUBJECT, "score_bytes"): (0, None, None, EARLY, "flash attention"),
    (SUBJECT, "dropout_bytes"): (0, None, None, EARLY, "pretraining without dropout"),
    (SUBJECT, "unfused_hidden_bytes"): (0, 0, 4, EARLY, "fused rotary embedding and norms"),
    (SUBJECT, "unfused_ffn_bytes"): (0, 0, 2, EARLY, "fused activation function"),
    (SUBJECT, "logits_bytes"): (6, 4, 14, EARLY, "bf16 logits, and single-precision ones that become their gradient"),
    (SUBJECT, "gather_buffer_bytes"): (4, 2, 8, EARLY, "one gathered input and one gradient in bf16"),
    (SUBJECT, "sequence_parallel"): (1, None, None, EARLY, "the default of tuned recipes"),
    (SUBJECT, "selective_kind"): (0, None, None, EARLY, "norms and activation functions"),
    (SUBJECT, "balanced_stages"): (0, None, None, EARLY, "equal stages"),
    (SUBJECT, "pipeline_gathered"): (0, None, None, EARLY, "blocks are gathered as they are used"),
    (SUBJECT, "runtime_bytes"): (3e9, 1e9, 6e9, EARLY, "context, libraries, communicators"),
    (SUBJECT, "fragmentation"): (0.05, 0.0, 0.15, EARLY, "caching allocator"),
    (SUBJECT, "memory_limit"): (0.99, 0.95, 1.06, EARLY, "the driver keeps some"),
    (SUBJECT, "memory_limit@ampere"): (1.06, 0.98, 1.07, EARLY, "sold as GB, made as GiB: 80 shows as 79.2 GiB"),
    (SUBJECT, "memory_limit@hopper"): (1.06, 0.98, 1.07, THEN, "80 GB shows as 79.1 GiB and 141 GB as 139.8 GiB"),
    (SUBJECT, "memory_limit@cdna3"): (1.07, 0.98, 1.074, THEN, "192 GB shows as 192.0 GiB"),
    (SUBJECT, "memory_limit@cdna4"): (1.07, 0.98, 1.074, "2025-10-31", "288 GB shows as 288.0 GiB"),
    **{(stack, term): (value, None, None, EARLY, why)
       for stack in ("stack-megatron-2021", "stack-megatron-2022", DEEP) for term, value, why in (
           ("score_bytes", 5.0, "softmax output, dropout mask and dropped scores: no flash attention"),
           ("dropout_bytes", 2.0, "one mask after attention and one after the MLP"),
           ("sequence_parallel", 0.0, "norms and dropout are repeated by every tensor-parallel rank"),
           ("selective_kind", 1.0, "attention core, Korthikanti et al. 2022"))},
    ("stack-megatron", "gradient_store_bytes"): (2, None, None, TUNED_DAY, "bf16 gradients in recipes of 2025"),
    (DEEP, "gradient_store_bytes"): (2, None, None, EARLY, "half precision under the fp16 optimizer"),
    (DEEP, "gradient_store_bytes@bf16"): (4, None, None, EARLY, "single precision under the BF16 optimizer"),
    (DEEP, "bucket_bytes@bf16"): (2, None, None, EARLY, "bf16 gradients beside them"),
    (TORCH, "weight_bytes"): (4, None, None, EARLY, "FSDP shards single-precision parameters"),
    (TORCH, "optimizer_bytes"): (8, None, None, EARLY, "two moments; the parameters are the master copy"),
    (TORCH, "selective_kind"): (2, None, None, EARLY, "operator-level checkpointing keeps every other product"),
    (TORCH, "gather_buffer_bytes"): (8, 4, 10, EARLY, "gathered inputs of attention and MLP, and their gradients"),
    (TORCH, "pipeline_gathered"): (1, None, None, EARLY, "FSDP does not reshard between micro-batches of a pipeline"),
    (TORCH, "unfused_ffn_bytes"): (2, None, None, EARLY, "eager SwiGLU keeps the activated gate"),
    ("stack-llm-foundry", "weight_bytes"): (4, None, None, THEN, "FSDP shards single-precision parameters"),
    ("stack-llm-foundry", "optimizer_bytes"): (8, None, None, THEN, "two moments; the parameters are the master copy"),
    (NANO, "bucket_bytes"): (2, None, None, NANO_DAY, "bf16 buckets of DistributedDataParallel"),
    (NANO, "step_bytes"): (2, None, None, NANO_DAY, "gathered bf16 parameters and the own share, at the ZeRO-1 step"),
    (NANO, "balanced_stages"): (1, None, None, NANO_DAY, "stages cut by cumulative compute, output head counted"),
    (NANO, "unfused_ffn_bytes"): (2, None, None, NANO_DAY, "eager SwiGLU keeps the activated gate"),
    (NANO, "gather_buffer_bytes"): (4, None, None, NANO_DAY, "32 MiB at 4,096 tokens of width 2,048 in the logs"),
}
# Stacks that use memory as another does.
SISTERS = {"stack-pytorch-eager": TORCH, "stack-pytorch-async": TORCH}
# Fitted, in this order and again: grids. The labels or peaks of a stack's fit rows decide.
FITTED: dict[tuple[str, str], tuple[tuple[float, ...], str]] = {
    (NANO, "unfused_hidden_bytes"): (tuple(np.arange(0, 15, 1.0)), "copies around rotary embedding and attention"),
    (NANO, "logits_bytes"): (tuple(np.arange(4, 25, 1.0)), "logits, single-precision copies, gradient"),
    (NANO, "fragmentation"): (tuple(np.arange(0, 0.31, 0.02)), "allocator"),
    (NANO, "runtime_bytes"): (tuple(np.arange(0.5e9, 8e9, 0.5e9)), "context and communicators"),
    (TORCH, "logits_bytes"): (tuple(np.arange(4, 25, 1.0)), "logits, single-precision copies, gradient"),
    (DEEP, "fragmentation"): (tuple(np.arange(0, 0.81, 0.05)), "allocator, before expandable segments"),
    (DEEP, "runtime_bytes"): (tuple(np.arange(1e9, 10e9, 1e9)), "context and communicators"),
}
UNITS = dict.fromkeys(("sequence_parallel", "selective_kind", "balanced_stages", "pipeline_gathered", "fragmentation",
                       "memory_limit"), "1")


def rows_of(path: Path, facts: Facts) -> list[MemoryRow]:
    """Every job of the table of jobs with the role of its configuration, and the package's rows of other stacks."""
    jobs = [row for row in read_memory(path / "nanotron_h100.csv", facts) if isinstance(row, MemoryRow)]
    return [replace(job, role=_role(job)) for job in jobs] + [r for r in published_memory(facts) if r.stack != NANO]


def _role(job: MemoryRow) -> str:
    ways = [job.layout[a] for a in ("tp", "pp", "dp")]
    return role(job.arch.name, math.prod(ways), *ways)


def known_facts(facts: Facts) -> Facts:
    """Facts with everything known of the stacks, and the fitted ones at the start of their grids."""
    for (stack, term), (value, *_) in KNOWN.items():
        facts = facts.with_fact(f"{stack}.{term}", value)
    for (stack, term), (grid, _) in FITTED.items():
        facts = facts.with_fact(f"{stack}.{term}", grid[len(grid) // 2])
    return facts


def practice_of(facts: Facts) -> Callable[[MemoryRow], MemoryPractice]:
    kept: dict[tuple[str, str, str], MemoryPractice] = {}

    def of(row: MemoryRow) -> MemoryPractice:
        key = (row.stack, row.dtype, row.family)
        if key not in kept:
            kept[key] = memory_practice(facts, row.stack, row.dtype, row.family)
        return kept[key]

    return of


def loss(rows: list[MemoryRow], facts: Facts) -> float:
    """Mean absolute log error of stated peaks, plus a smooth count of wrong labels."""
    how = practice_of(facts)
    stated = [r for r in rows if r.peak and r.measure != "after backward"]
    labelled = [r for r in rows if r.stack == NANO]
    wrong = 0.0
    if labelled:
        margin = np.log(need(labelled, how) / np.array([usable(r.hbm_bytes, how(r)) for r in labelled]))
        oom = np.array([r.outcome == "oom" for r in labelled])
        wrong = float(np.mean(1.0 / (1.0 + np.exp(np.where(oom, margin, -margin) / 0.02))))
    return wrong + (float(np.mean(np.abs(np.log(peaks(stated, how) / [r.peak for r in stated])))) if stated else 0.0)


def fit(rows: list[MemoryRow], facts: Facts, rounds: int = 3) -> Facts:
    """One fitted number after the other, each at the best of its grid on the fit rows of its stack."""
    for _ in range(rounds):
        for (stack, term), (grid, _) in FITTED.items():
            mine = [r for r in rows if r.stack == stack and r.role == "fit"]
            best = min(grid, key=lambda v: loss(mine, facts.with_fact(f"{stack}.{term}", float(v))))
            facts = facts.with_fact(f"{stack}.{term}", float(best))
            print(f"{stack}.{term} = {best:g}   {loss(mine, facts):.4f}")
    return facts


def errors(rows: list[MemoryRow], facts: Facts) -> None:
    """Tables of errors of stated peaks and of labels, by role and axis."""
    how = practice_of(facts)
    for part in ("fit", "held_out"):
        mine = [r for r in rows if r.role == part]
        stated = [r for r in mine if r.peak]
        off = np.log(peaks(stated, how) / np.array([r.peak for r in stated]))
        print(f"\n{part}: {len(stated)} peaks")
        _table(stated, off, ("stack", "tp", "pp", "mbs", "zero", "hidden"))
        labels([r for r in mine if r.stack == NANO], facts)


def _table(rows: list[MemoryRow], off: np.ndarray, axes: Iterable[str]) -> None:
    for axis in axes:
        groups: dict[str, list[float]] = defaultdict(list)
        for r, x in zip(rows, off, strict=True):
            at = {"stack": r.stack, "hidden": r.arch.hidden}.get(axis, r.layout.get(axis, 1))
            groups[f"{axis} {at}"].append(float(x))
        for name, values in sorted(groups.items()):
            v = np.array(values)
            print(f"  {name:32s} n {v.size:5d}  median |error| {np.median(np.abs(v)):6.1%}  "
                  f"p90 {np.quantile(np.abs(v), 0.9):6.1%}  bias {np.median(v):+6.1%}")


def labels(rows: list[MemoryRow], facts: Facts) -> None:
    """Right labels, false fits and false refusals."""
    how = practice_of(facts)
    oom = np.array([r.outcome == "oom" for r in rows])
    full = need(rows, how) > np.array([usable(r.hbm_bytes, how(r)) for r in rows])
    print(f"  {len(rows)} labels, right {np.mean(oom == full):.2%}, false fits {np.mean(oom & ~full):.2%} of all, "
          f"{np.sum(oom & ~full) / max(oom.sum(), 1):.2%} of {oom.sum()} out of memory; "
          f"false refusals {np.mean(~oom & full):.2%}")


def write(facts: Facts) -> None:
    """data/memory.csv: what is known and what was fitted."""
    rows = [_cells(key, value, low, high, day, "estimate", "KNOWN", why)
            for key, (value, low, high, day, why) in KNOWN.items()]
    rows += [_cells(key, facts.value(".".join(key)), None, None, NANO_DAY if key[0] == NANO else THEN, "measured",
                    "FITTED", f"{why}; fitted on fit rows") for key, (_, why) in FITTED.items()]
    rows += [[name, *cells[1:-1], f"as {like}: {cells[-1]}"] for name, like in SISTERS.items()
             for cells in list(rows) if cells[0] == like]
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def _cells(key: tuple[str, str], value: float, low: float | None, high: float | None, day: str, kind: str, where: str,
           why: str) -> list[str]:
    ends = ["" if v is None else f"{v:g}" for v in (low, high)]
    term, _, at = key[1].partition("@")
    return [key[0], term, at, f"{value:g}", *ends, UNITS.get(term, "B"), kind, "memory-fit", where, day, why]


def main() -> None:
    path = Path(sys.argv[1])
    facts = load_facts(date(2026, 11, 23))
    rows = rows_of(path, facts)
    if "--errors" not in sys.argv:
        facts = fit(rows, known_facts(facts))
        write(facts)
    errors(rows, facts)


if __name__ == "__main__":
    main()
