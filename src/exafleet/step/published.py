"""Published training runs beside what the model says of them: data/measured_train.csv, read and predicted.

Roles were fixed by a written rule before any error was looked at (docs/models/training.md): `fit` rows set the stack
factors, `band` rows the interval, and `held_out` rows judge both.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import CHIP_TERMS, Chip, System
from exafleet.step.layouts import Layouts
from exafleet.step.limits import PLAIN, Limits
from exafleet.step.search import search_train
from exafleet.step.train import Steps, TrainTask, evaluate
from exafleet.terms.units import DATA
from exafleet.work.counts import flops_per_token

FILE = DATA / "measured_train.csv"
AXES = ("tp", "cp", "ep", "etp", "pp", "vpp", "mbs", "zero", "recompute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published run. `layout` holds the axes the source states; `value` is as the source gives it."""

    id: str
    model: str
    changes: dict[str, int]
    chip: str
    chips: int
    dtype: str
    seq: int
    batch: int
    layout: dict[str, int]
    stack: str
    value: float
    unit: str
    source: str
    where: str
    date: str
    role: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A run beside its prediction: rates of one chip [token/s]; predicted is nan where nothing could be predicted."""

    row: Published
    measured: float
    predicted: float
    low: float
    high: float
    steps: Steps | None

    @property
    def error(self) -> float:
        """Log of predicted over measured."""
        return float(np.log(self.predicted / self.measured))


def published(path: Path = FILE) -> list[Published]:
    """Rows of the table, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(cells) for cells in csv.DictReader(file)]


def _row(cells: dict[str, str]) -> Published:
    layout = {a: int(cells[a]) for a in AXES if cells[a]}
    changes = {
        f: int(cells[c]) for f, c in (("layers", "layers"), ("heads", "heads"), ("mtp_layers", "mtp")) if cells[c]
    }
    return Published(
        id=cells["id"],
        model=cells["model"],
        changes=changes,
        chip=cells["chip"],
        chips=int(cells["chips"]),
        dtype=cells["dtype"],
        seq=int(cells["seq"]),
        batch=int(cells["batch"]),
        layout=layout,
        stack=cells["stack"],
        value=float(cells["value"]),
        unit=cells["unit"],
        source=cells["source"],
        where=cells["where"],
        date=cells["date"],
        role=cells["role"],
        note=cells["note"],
    )


def changed(model: Arch, changes: dict[str, int]) -> Arch:
    """The architecture as the run used it: layers cut, other head counts, MTP on or off."""
    if "layers" in changes:
        layers = changes["layers"]
        model = replace(model, layers=layers, attention_layers=layers, mlp_layers=layers,
                        moe_layers=layers if model.moe_layers == model.mlp_layers else min(model.moe_layers, layers))
    if "heads" in changes:
        model = replace(model, heads=changes["heads"], kv_heads=changes["heads"],
                        head_dim=model.hidden // changes["heads"])
    return replace(model, mtp_layers=changes["mtp_layers"]) if "mtp_layers" in changes else model


def bench_system(facts: Facts, chip_id: str) -> System:
    """A chip in its largest scale-up domain, for timing only: price and power terms may be unknown."""
    value = {t: facts.try_value(f"{chip_id}.{t}") or 0.0 for t in CHIP_TERMS}
    subject = facts.subjects.by_id[chip_id]
    peaks = {dtype: fact.value for dtype, fact in facts.find(chip_id, "peak_flops").items()}
    chip = Chip(id=chip_id, name=subject.name, vendor=subject.vendor, family=subject.family, peak_flops=peaks, **value)
    domains = [facts.try_value(f"{s.id}.domain") or 1.0 for s in facts.subjects.of_kind("system") if s.chip == chip_id]
    domain = round(max(domains, default=1.0))
    return System(id=f"{chip_id}-bench", name=subject.name, chip=chip, chips=domain, domain=domain, power_max=0.0,
                  liquid=False, racks=1.0)


def measured(row: Published, model: Arch) -> float:
    """Rate of one chip as measured, by the FLOP convention of the source where it gives FLOP/s. [token/s]"""
    if row.unit == "token/s":
        return row.value
    if row.unit == "s":
        return row.batch * row.seq / row.value / row.chips
    each = flops_per_token(model, row.seq, causal=row.unit.endswith("causal"), mtp=True)
    again = 4.0 / 3.0 if row.unit.endswith("hardware") and row.layout.get("recompute") == 2 else 1.0
    return row.value * 1e12 / (float(each) * again)


def compare(rows: Sequence[Published], facts: Facts) -> list[Compared]:
    """Every row beside its prediction; one entry for every row."""
    return [_compared(row, facts) for row in rows]


def _compared(row: Published, facts: Facts) -> Compared:
    model = changed(arch(facts, row.model), row.changes)
    system = bench_system(facts, row.chip)
    task = TrainTask(arch=model, seq=row.seq, batch=row.batch, dtype=row.dtype, stack=row.stack)
    steps = _timed(task, system, facts, row)
    rate = measured(row, model)
    if steps is None:
        return Compared(row=row, measured=rate, predicted=np.nan, low=np.nan, high=np.nan, steps=None)
    each = (float(v[0]) / row.chips for v in (steps.tokens_per_s, steps.low, steps.high))
    predicted, low, high = each
    return Compared(row=row, measured=rate, predicted=predicted, low=low, high=high, steps=steps)


def _timed(task: TrainTask, system: System, facts: Facts, row: Published) -> Steps | None:
    """The stated layout, or the fastest over the axes that the source leaves open (memory is no bar then)."""
    if len(row.layout) == len(AXES):
        ways = row.layout["tp"] * row.layout["cp"] * row.layout["pp"]
        return evaluate(
            task, system, facts, Layouts.of(**{a: [v] for a, v in row.layout.items()}, dp=[row.chips // ways])
        )
    known = {a: (v, v) for a, v in row.layout.items()}
    limits = Limits(**{"zero": (0, 2), "vpp": (1, 16), **PLAIN, **known})
    return search_train(task, system, row.chips, facts, limits=limits, memory=not known.get("tp")).best
