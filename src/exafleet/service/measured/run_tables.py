"""Reads tables of measured serving points, one deployment and load a row (docs/validation-rows.md), row by row.

A row that cannot be compared is not dropped: it comes back as `Unread` with the reason. A file that is no such table
raises FactError with every column that is missing. What the words of a row mean is in words.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import system as system_of
from exafleet.service.measured import words
from exafleet.service.measured.recipes import Setup, resolve, told_of
from exafleet.service.measured.runs import METRICS, Served, Unread
from exafleet.service.measured.words import Pool
from exafleet.step.measured.cells import Cells, NotUsable, first_figure, needed, number, rows_of, tried

REQUIRED = ("case_id", "model", "weights_precision", "framework", "accelerator", "system", "gpus", "tp", "pp", "ep",
            "dp", "disaggregated", "isl", "osl", "concurrency_or_batch")
FIGURES = ("output_tok_s_per_gpu", "ttft_ms", "tpot_ms")
# Remarks that say a row is no run of a whole model.
KERNEL = ("kernel",)


def read_served(path: Path, facts: Facts) -> list[Served | Unread]:
    """Every row of a table of serving points, in its order; raises FactError when the file is no such table."""
    rows = rows_of(path, "serving points", REQUIRED, either=FIGURES)
    known = _Known(facts)
    return [_row(line, cells, lambda c: _served(c, known)) for line, cells in rows]


class _Known:
    """What many rows name alike, looked up once: shapes of models, and systems with their chip."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.shape = cache(partial(arch, facts))
        self.system = cache(partial(words.system, facts))
        self.chip = cache(lambda system: system_of(facts, system).chip)


def _row(line: int, cells: Cells, read: Callable[[Cells], Served]) -> Served | Unread:
    name, found = cells.get("case_id") or f"line-{line}", tried(read, cells)
    if isinstance(found, Served):
        return replace(found, id=name)
    stated = {metric: first_figure(cells, metric) * unit for metric, unit in METRICS.items() if metric in cells}
    return Unread(id=name, line=line, why=str(found), given={m: v for m, v in stated.items() if math.isfinite(v)})


def _served(cells: Cells, known: _Known) -> Served:
    shape, phase = _shape(cells, known), _phase(cells)
    system = known.system(cells["accelerator"], cells["system"])
    chip, engine = known.chip(system), words.engine(cells["framework"])
    blackwell, experts = "fp4" in chip.peak_flops, bool(shape.moe_layers)
    dtype, weights = words.formats(cells["weights_precision"], cells["model"], shape.id, chip.peak_flops)
    told = words.draft(cells)
    setup = _recipe(cells, shape.id, chip.id, engine, told)
    prefill, decode = _pools(cells, experts, phase, setup)
    concurrency, requests = words.load(cells, decode, phase)
    share = words.mean_share(cells.get("source", ""), cells.get("notes", ""))
    given, derived = _given(cells, share, phase)
    kept = cells.get("kv_precision", "") or (setup.kv_dtype if setup else "")
    return Served(
        id="", model=shape.id, system=system, dtype=dtype, weight_dtype=weights, engine=engine,
        kv_dtype=words.cache_format(kept, dtype, weights, engine, blackwell),
        version=cells.get("version", ""), prefill=prefill, decode=decode, phase=phase,
        input_tokens=needed(cells, "isl") * share, output_tokens=needed(cells, "osl") * share,
        concurrency=concurrency, requests=requests, draft=_draft(told, setup), given=given,
        derived=derived, source=cells.get("source", ""), where=cells.get("source_location", ""),
        date=_day(cells.get("date", "")), role="given", note=cells.get("notes", ""))


def _recipe(cells: Cells, model: str, chip: str, engine: str, drafts: float) -> Setup | None:
    """What the published recipe of a run says of it; None where it is no such run."""
    speculation = "" if math.isnan(drafts) else "mtp" if drafts else "none"
    told = told_of(cells, model=model, chip=chip, engine=engine, speculation=speculation)
    return resolve(told) if told else None


def _pools(cells: Cells, experts: bool, phase: str, setup: Setup | None) -> tuple[Pool | None, Pool]:
    """Pools of a row: as its recipe has them where there is one, for sources list axes by other names; else as told."""
    if phase:
        return None, words.aggregated(cells, experts)
    if setup is not None and setup.decode is not None:
        return setup.prefill, setup.decode
    return words.pools(cells, experts)


def _draft(told: float, setup: Setup | None) -> float:
    """Tokens proposed in a step: as the row tells, else as its recipe does; nan for neither."""
    if setup is None or not setup.speculation or told == 0:
        return told
    if setup.speculation == "none":
        return 0.0
    return float(setup.drafts or words.USUAL_DRAFT)


def _shape(cells: Cells, known: _Known) -> Arch:
    name = cells["model"]
    if any(word in name.casefold() for word in KERNEL):
        raise NotUsable(f'"{name}" is a kernel, not a model')
    return known.shape(name)


def _phase(cells: Cells) -> str:
    """Which pool a source measured alone."""
    text = cells.get("disaggregated", "").casefold()
    if text.startswith("prefill instance"):
        return "prefill"
    return "decode" if text.startswith("decode ") else ""


def _given(cells: Cells, share: float, phase: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Figures in base units, and which of them the source does not print."""
    read = {metric: number(cells, metric) for metric in FIGURES if cells.get(metric)}
    found = {metric: value * METRICS[metric] for metric, value in read.items() if value is not None}
    user = number(cells, "tok_s_per_user") if "tpot_ms" not in found and cells.get("tok_s_per_user") else None
    if user is not None:
        found["tpot_ms"] = 1.0 / user
    derived = ["output_tok_s_per_gpu"] if "throughput DERIVED" in cells.get("notes", "") else []
    if {"tpot_ms", "ttft_ms"} <= found.keys() and not phase:
        # A request's own time, of its mean answer: the first token and the others.
        found["e2e_ms"] = found["ttft_ms"] + found["tpot_ms"] * (needed(cells, "osl") * share - 1.0)
        derived.append("e2e_ms")
    if not found:
        raise NotUsable("no throughput, time per token or time to the first token is stated")
    return found, tuple(derived)


def _day(text: str) -> str:
    """The first date in a text, as far as it goes: "2026-03-25", "2025-05", "2024"; "" when there is none."""
    found = re.search(r"20\d\d(-[01]\d(-[0-3]\d)?)?", text)
    return found[0] if found else ""
