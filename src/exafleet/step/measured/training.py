"""Measured training runs beside what the model says of them.

The package's own table is data/measured_train.csv: `fit` rows set the factors of software stacks and, by
cross-validation, the band; `held_out` rows judge both and are never fitted. The rule that splits them, and when it was
drawn, is told in docs/models/training.md. Tables of a user's own are read by run_tables.py.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from exafleet.facts.architecture import Arch, arch, insane, transformer
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import CHIP_TERMS, Chip, System
from exafleet.step.layouts import Layouts
from exafleet.step.limits import PLAIN, Limits
from exafleet.step.search import search_train
from exafleet.step.train import Steps, TrainTask, evaluate
from exafleet.terms.errors import ExafleetError, FactError, Problem, raise_all
from exafleet.terms.units import DATA
from exafleet.terms.why import SENTENCES, Why
from exafleet.work.counts import flops_per_token

FILE = DATA / "measured_train.csv"
# Axes a layout must state to be timed as it is; the others have one usual meaning.
AXES = ("tp", "cp", "ep", "etp", "pp", "vpp", "mbs", "zero", "recompute")
OPTIONAL = ("group", "schedule", "offload", "cp_kind")
# Fine-tuning rows pack short samples into a sequence: mean tokens of one (SQuAD v1.1, a paragraph and its question).
PACKED_SAMPLE = 200
COLUMNS = ("id", "model", "shape", "changes", "chip", "chips", "dtype", "recipe", "seq", "batch", *AXES, *OPTIONAL,
           "stack", "release", "task", "options", "nic_bw", "value", "unit", "source", "where", "date", "role", "note")
# Columns that hold a field as it is.
WORDS = ("id", "model", "chip", "dtype", "recipe", "stack", "release", "task", "unit", "source", "where", "date",
         "role", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One measured run. `layout` holds the axes the source states; `value` is as the source gives it.

    arch     the shape where the table states it; None takes the shape of `model` from the facts
    changes  where the run differed from that shape: layers, heads, kv_heads, dense_first, mtp_layers
    recipe   scaling of a low-precision format: "mx", "cs", "ds", "block"; "" where not told
    release  of the software stack, "YY.MM"; "" where not told
    task     "pretrain", "sft" or "lora"
    options  settings of the software that a source tells: names of step.practice.OPTIONS
    nic_bw   scale-out bandwidth of one chip as the source states it; 0 takes the chip's usual one   [B/s]
    unit     "token/s" of one accelerator, "s" of a step, or "TFLOP/s causal", "... full", "... hardware"
    role     "fit", "held_out", "searched" (the layout is not stated) or "given" (a user's own row)
    """

    id: str
    model: str
    arch: Arch | None
    changes: dict[str, int]
    chip: str
    chips: int
    dtype: str
    recipe: str
    seq: int
    batch: int
    layout: dict[str, int]
    stack: str
    release: str
    task: str
    options: tuple[str, ...]
    nic_bw: float
    value: float
    unit: str
    source: str
    where: str
    date: str
    role: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A row that cannot be compared, and why; the measured figure as far as it could be read (else nan)."""

    id: str
    line: int
    why: str
    measured: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A run beside its prediction, both in the unit of the source; nan and a `why` where nothing is predicted.

    rate, predicted_rate   the same as tokens/s of one accelerator, by the FLOP convention of the source
    low, high              80 % band of `predicted`, low < high
    steps                  one-row Steps with the parts of the prediction
    """

    row: Published | None
    id: str
    measured: float
    unit: str
    predicted: float
    low: float
    high: float
    why: str
    family: str = ""
    rate: float = field(default=float("nan"))
    predicted_rate: float = field(default=float("nan"))
    steps: Steps | None = None

    @property
    def error(self) -> float:
        """Log of predicted over measured rate."""
        return float(np.log(self.predicted_rate / self.rate))


# ---------------------------------------------------------------------------------------------- the package's table


def published(path: Path = FILE) -> list[Published]:
    """Rows of the package's table, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(cells) for cells in csv.DictReader(file)]


def _row(cells: dict[str, str]) -> Published:
    changes = {name: int(value) for name, value in (pair.split("=") for pair in cells["changes"].split())}
    return Published(
        **{name: cells[name] for name in WORDS}, changes=changes,
        arch=shape_of(cells["model"], cells["shape"]) if cells["shape"] else None,
        layout={a: int(cells[a]) for a in (*AXES, *OPTIONAL) if cells[a]}, options=tuple(cells["options"].split()),
        chips=int(cells["chips"]), seq=int(cells["seq"]), batch=int(cells["batch"]), nic_bw=float(cells["nic_bw"]),
        value=float(cells["value"]))


def written(row: Published) -> dict[str, str]:
    """A row as cells of the package's table."""
    cells = {name: str(getattr(row, name)) for name in (*WORDS, "chips", "seq", "batch")}
    cells |= {a: str(row.layout.get(a, "")) for a in (*AXES, *OPTIONAL)}
    cells |= {"shape": shape_words(row.arch) if row.arch else "", "options": " ".join(row.options),
              "changes": " ".join(f"{name}={value}" for name, value in row.changes.items()),
              "nic_bw": f"{row.nic_bw:.4g}", "value": f"{row.value:.6g}"}
    return {name: cells[name] for name in COLUMNS}


_SHAPE = {"h": "hidden", "L": "layers", "a": "heads", "kv": "kv_heads", "f": "ffn", "v": "vocab", "m": "mlp_matrices",
          "p": "positions"}


def shape_words(model: Arch) -> str:
    """A plain dense shape in one cell: "h2048 L16 a32 kv8 f8192 v131072 m3 p0 tied"."""
    words = [f"{short}{getattr(model, name)}" for short, name in _SHAPE.items()]
    return " ".join(words + (["tied"] if model.tied_embeddings else []))


def shape_of(name: str, words: str) -> Arch:
    """The shape that `shape_words` wrote."""
    size = {_SHAPE[m[1]]: int(m[2]) for w in words.split() if (m := re.match(r"([A-Za-z]+)(\d+)$", w))}
    return transformer(name, **size, tied="tied" in words.split())


def config_group(row: Published) -> str:
    """What makes two rows measurements of the same thing, whatever the software's release."""
    ways = "|".join(str(row.layout.get(a, "")) for a in ("tp", "cp", "ep", "pp", "mbs"))
    return f"{row.model}|{row.chip}|{row.chips}|{row.dtype}|{row.seq}|{row.batch}|{ways}"


# ---------------------------------------------------------------------------------------------- shapes and systems


def changed(model: Arch, changes: dict[str, int]) -> Arch:
    """The architecture as the run used it: layers cut, other head counts, fewer dense blocks, MTP on or off."""
    dense = changes.get("dense_first", model.mlp_layers - model.moe_layers)
    if "layers" in changes:
        layers = changes["layers"]
        window = round(model.window_layers * layers / model.layers)
        model = replace(model, layers=layers, attention_layers=layers, mlp_layers=layers, window_layers=window)
    if model.moe_layers:
        whole = model.mlp_layers - dense
        model = replace(model, moe_layers=whole if whole > 0 else min(model.moe_layers, model.mlp_layers))
    if "heads" in changes:
        heads = changes["heads"]
        grouped = model.kv_heads if model.kv_heads < model.heads and heads % model.kv_heads == 0 else heads
        model = replace(model, heads=heads, kv_heads=changes.get("kv_heads", grouped), head_dim=model.hidden // heads)
    elif "kv_heads" in changes:
        model = replace(model, kv_heads=changes["kv_heads"])
    return replace(model, mtp_layers=changes["mtp_layers"]) if "mtp_layers" in changes else model


def shape(row: Published, facts: Facts) -> Arch:
    """The architecture of a run. Multi-token prediction is off unless the source says that it was on.

    Raises FactError where what the run changed leaves no model.
    """
    model = changed(row.arch or arch(facts, row.model), {"mtp_layers": 0} | row.changes)
    raise_all(FactError, [Problem(what=f"no such {row.model}: {text}") for text in insane(model)])
    return model


def bench_system(facts: Facts, chip_id: str, nic_bw: float = 0.0) -> System:
    """A chip in its largest scale-up domain, for timing only: price and power terms may be unknown.

    nic_bw   scale-out bandwidth of one chip; 0 takes the chip's usual one   [B/s]
    """
    value = {t: facts.try_value(f"{chip_id}.{t}") or 0.0 for t in CHIP_TERMS}
    value |= {"nic_bw": nic_bw} if nic_bw else {}
    subject = facts.subjects.by_id[chip_id]
    peaks = {dtype: fact.value for dtype, fact in facts.find(chip_id, "peak_flops").items()}
    chip = Chip(id=chip_id, name=subject.name, vendor=subject.vendor, family=subject.family, peak_flops=peaks, **value)
    domains = [facts.try_value(f"{s.id}.domain") or 1.0 for s in facts.subjects.of_kind("system") if s.chip == chip_id]
    domain = round(max(domains, default=1.0))
    return System(id=f"{chip_id}-bench", name=subject.name, chip=chip, chips=domain, domain=domain, power_max=0.0,
                  liquid=False, racks=1.0)


def per_rate(row: Published, model: Arch) -> float:
    """Factor from the row's figure to tokens/s of one chip; of a step time, what is divided by it."""
    if row.unit == "token/s":
        return 1.0
    if row.unit == "s":
        return row.batch * row.seq / row.chips
    each = flops_per_token(model, row.seq, causal=row.unit.endswith("causal"), mtp=True)
    again = 4.0 / 3.0 if row.unit.endswith("hardware") and row.layout.get("recompute") == 2 else 1.0
    return 1e12 / (float(each) * again)


def measured(row: Published, model: Arch) -> float:
    """Rate of one chip as measured, by the FLOP convention of the source where it gives FLOP/s. [token/s]"""
    factor = per_rate(row, model)
    return factor / row.value if row.unit == "s" else factor * row.value


def as_told(row: Published, model: Arch, rate: float) -> float:
    """A rate of one chip in the unit of the row's source; a step time grows without end as the rate falls to 0."""
    factor = per_rate(row, model)
    if row.unit == "s":
        return factor / rate if rate else float("inf")
    return rate / factor


# ---------------------------------------------------------------------------------------------- comparing


def compare(rows: Iterable[Published | Unread], facts: Facts,
            told: Callable[[int], None] = lambda done: None) -> list[Compared]:
    """Every row beside its prediction; one entry for every row, in their order.

    told   is called with the number of rows done, now and then
    """
    listed = list(rows)
    found: dict[int, Compared] = {}
    by_task: dict[tuple[object, ...], list[int]] = {}
    for i, row in enumerate(listed):
        if isinstance(row, Unread):
            found[i] = Compared(row=None, id=row.id, measured=row.measured, unit=row.unit, predicted=np.nan,
                                low=np.nan, high=np.nan, why=row.why)
        else:
            # An open layout is searched, and goes alone.
            by_task.setdefault(task_key(row) if set(AXES) <= row.layout.keys() else (i,), []).append(i)
    for places in by_task.values():
        found |= zip(places, _together([listed[i] for i in places], facts), strict=True)  # type: ignore[misc]
        told(len(found))
    return [found[i] for i in range(len(listed))]


def task_key(row: Published) -> tuple[object, ...]:
    """Rows of one key differ only in chips, batch and layout, and can be timed together."""
    return (row.model, row.arch, tuple(row.changes.items()), row.chip, row.dtype, row.recipe, row.seq, row.stack,
            row.release, row.task, row.options, row.nic_bw)


def _together(rows: Sequence[Published], facts: Facts) -> list[Compared]:
    try:
        model = shape(rows[0], facts)
        steps = timed(rows, model, facts)
    except ExafleetError as error:
        return [_unpredicted(row, "; ".join(dict.fromkeys(p.what for p in error.problems))) for row in rows]
    if steps is None:
        return [_unpredicted(row, "no layout of the stated ways runs") for row in rows]
    return [_beside(row, model, steps.row(i)) for i, row in enumerate(rows)]


def _unpredicted(row: Published, why: str) -> Compared:
    return Compared(row=row, id=row.id, measured=row.value, unit=row.unit, predicted=np.nan, low=np.nan, high=np.nan,
                    why=why)


def _beside(row: Published, model: Arch, steps: Steps) -> Compared:
    rate, low, high = (float(v[0]) / row.chips for v in (steps.tokens_per_s, steps.low, steps.high))
    if not np.isfinite(rate) or rate <= 0:
        return replace(_unpredicted(row, SENTENCES[Why(int(steps.why[0]))]), family=model.kind)
    ends = sorted(as_told(row, model, end) for end in (low, high))
    return Compared(row=row, id=row.id, measured=row.value, unit=row.unit, predicted=as_told(row, model, rate),
                    low=ends[0], high=ends[1], why="", family=model.kind, rate=measured(row, model),
                    predicted_rate=rate, steps=steps)


def task_of(row: Published, model: Arch, batch: int | npt.NDArray[np.int64]) -> TrainTask:
    """The training step of a run, with its software stack."""
    return TrainTask(arch=model, seq=row.seq, batch=batch, dtype=row.dtype, recipe=row.recipe, stack=row.stack,
                     release=row.release, options=row.options, frozen=row.task == "lora",
                     sample=0 if row.task == "pretrain" else PACKED_SAMPLE)


def stated(rows: Sequence[Published]) -> Layouts:
    """The layouts of rows that state every axis. [R]"""
    axes = {a: [r.layout.get(a, 0) for r in rows] for a in (*AXES, *OPTIONAL)}
    ways = [r.layout["tp"] * r.layout["cp"] * r.layout["pp"] for r in rows]
    return Layouts.of(**axes, dp=[max(r.chips // w, 1) for r, w in zip(rows, ways, strict=True)])


def timed(rows: Sequence[Published], model: Arch, facts: Facts) -> Steps | None:
    """The stated layouts, or of an open one the fastest over the axes that the source leaves open."""
    first = rows[0]
    system = bench_system(facts, first.chip, first.nic_bw)
    if set(AXES) <= first.layout.keys():
        batch = np.array([r.batch for r in rows], dtype=np.int64)
        return evaluate(task_of(first, model, batch), system, facts, stated(rows))
    known = {a: (v, v) for a, v in first.layout.items()}
    limits = Limits(**{"zero": (0, 2), "vpp": (1, 16), **PLAIN, **known})
    return search_train(task_of(first, model, first.batch), system, first.chips, facts, limits=limits,
                        memory="tp" not in known).best
