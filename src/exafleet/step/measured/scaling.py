"""Runs of one job at several sizes: how much of its throughput per accelerator a run keeps as it grows.

Two layouts of file are read: the package's data/measured_scaling.csv (one run a row, with the `series` it belongs to),
and the MLPerf Training table (one row per submission), whose series are rows of one round, submitter, accelerator,
benchmark and number format. Efficiency is throughput of one accelerator over that at the smallest size of the series.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exafleet.facts.catalogue import Facts
from exafleet.step.measured.cells import Cells, NotUsable, cells_of, figure, first_figure, needed, tried
from exafleet.step.measured.run_words import release
from exafleet.step.measured.training import AXES, Compared, Published, Unread, compare
from exafleet.step.practice import stack_of
from exafleet.terms.errors import FactError, Problem
from exafleet.terms.units import DATA

FILE = DATA / "measured_scaling.csv"
OWN = ("id", "series", "model", "chip", "chips", "dtype", "recipe", "seq", "batch", "stack", "value", "role", *AXES)
RUN, STEP = "tokens_per_s_per_accel_run_DERIVED", "tokens_per_s_per_accel_step_DERIVED"
# NVIDIA chips were submitted with NeMo in the rounds of these series.
NVIDIA_STACK = "stack-nemo"
MLPERF = ("row_id", "round", "submitter", "accelerator", "n_accel", "benchmark", "global_batch", "seq_len", "precision",
          "tp", "pp", "cp", "vp", "micro_batch", RUN, STEP)
# Months in which rounds of MLPerf Training were published.
ROUNDS = {"v4.0": "2024-06", "v4.1": "2024-11", "v5.0": "2025-06", "v5.1": "2025-11"}
# How submitters write accelerators, benchmarks and number formats; the first that matches holds.
CHIPS = ((r"GB300", "gb300-gpu"), (r"GB200", "gb200-gpu"), (r"B300", "b300-sxm"), (r"B200", "b200-sxm"),
         (r"H200.*NVL", ""), (r"H200", "h200-sxm"), (r"H100.*NVL", "h100-nvl"), (r"H100.*PCI", "h100-pcie"),
         (r"H100", "h100-sxm"), (r"A100.*80", "a100-80gb-sxm"), (r"A100.*40", "a100-40gb-sxm"), (r"L40S", "l40s"),
         (r"MI355X", "mi355x"), (r"MI350X", "mi350x"), (r"MI325X", "mi325x"), (r"MI300X", "mi300x"),
         (r"v5p", "tpu-v5p"), (r"v5e|v5litepod", "tpu-v5e"), (r"trillium|v6e", "tpu-v6e"),
         (r"ironwood|tpu.?7x", "tpu7x"),
         (r"Gaudi.*3", "gaudi3"), (r"Gaudi.*2", "gaudi2"))
MODELS = ((r"LoRA", ""), (r"GPT-3 175B", "gpt3-175b"), (r"Llama 3\.1 405B", "llama-3.1-405b"),
          (r"Llama 3\.1 8B", "llama-3-8b"), (r"DeepSeek.?V3", "deepseek-v3"), (r"GPT-OSS.?20B", "gpt-oss-20b"),
          (r"GPT-OSS.?120B", "gpt-oss-120b"))
DTYPES = ((r"FP8 or", ""), (r"NVFP4|MXFP4|FP4", "fp4"), (r"FP8", "fp8"), (r"INT8", "int8"), (r"BF16", "bf16"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One row of a file of series, as read: the run (or why it could not be read), its series and its size."""

    row: Published | Unread
    series: str
    chips: int
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One run of a series beside its prediction.

    measured, predicted   share of throughput per accelerator kept since the smallest size; nan where unknown   [1]
    smallest              whether it is the size the others are compared with
    """

    series: str
    chips: int
    run: Compared
    measured: float
    predicted: float
    smallest: bool


def read_scaling(path: Path = FILE) -> list[Member]:
    """One member for every row of the file; raises FactError for a file of neither layout."""
    header, rows = cells_of(path)
    if set(OWN) <= set(header):
        return [_member(cells, line, _own) for line, cells in rows]
    if set(MLPERF) <= set(header):
        by_run = _without_step_times([cells for _, cells in rows])
        return [_member(cells, line, lambda c: _submission(c, by_run)) for line, cells in rows]
    nearest = min((OWN, MLPERF), key=lambda columns: len(set(columns) - set(header)))
    lacks = ", ".join(c for c in nearest if c not in header)
    raise FactError(Problem(
        where=f"{path.name}:1", what=f"no table of series: lacks the columns {lacks}", got=", ".join(header[:12]),
        allowed=f"{', '.join(OWN)}; or those of MLPerf: {', '.join(MLPERF)}"))


def _without_step_times(rows: Sequence[Cells]) -> frozenset[str]:
    """Series that are compared by whole runs: those in which not every row has a logged step time."""
    return frozenset(_series(cells) for cells in rows if not cells.get(STEP))


def _member(cells: Cells, line: int, read: Callable[[Cells], Member]) -> Member:
    found = tried(read, cells)
    if isinstance(found, Member):
        return found
    name = cells.get("id") or cells.get("row_id") or f"line-{line}"
    row = Unread(id=name, line=line, why=str(found), measured=first_figure(cells, "value", STEP, RUN), unit="token/s")
    return Member(row=row, series=cells.get("series") or _series(cells), chips=0, role=cells.get("role", ""))


def _own(cells: Cells) -> Member:
    """A row of the package's layout; raises NotUsable."""
    layout = {a: _axis(cells, a) for a in AXES if cells.get(a)}
    row = _run(cells, "id", model=cells["model"], chip=cells["chip"], chips=needed(cells, "chips"),
               dtype=cells["dtype"], recipe=cells["recipe"], seq=needed(cells, "seq"), batch=needed(cells, "batch"),
               layout=layout, stack=cells["stack"], value=figure(cells, "value"), role=cells["role"])
    return Member(row=row, series=cells["series"], chips=row.chips, role=row.role)


def _axis(cells: Cells, axis: str) -> int:
    return int(cells[axis]) if axis in ("zero", "recompute") and cells[axis] in "0123" else needed(cells, axis)


def _submission(cells: Cells, by_run: frozenset[str]) -> Member:
    """A row of the MLPerf layout; raises NotUsable."""
    chip = _named(cells, "accelerator", CHIPS)
    if re.search("LoRA", cells["benchmark"], re.IGNORECASE):
        raise NotUsable(f"fine-tuning is not compared: {cells['benchmark']}")
    layout = {axis: needed(cells, name) for axis, name in
              (("tp", "tp"), ("pp", "pp"), ("cp", "cp"), ("vpp", "vp"), ("mbs", "micro_batch")) if cells.get(name)}
    if layout:
        # The submissions that state a layout use Megatron's distributed optimizer; dense models have no experts.
        layout |= {"zero": 1, "ep": 1, "etp": 1}
    maker = "Google" if chip.startswith("tpu") else "AMD" if chip.startswith("mi") else ""
    row = _run(cells, "row_id", model=_named(cells, "benchmark", MODELS), chip=chip, chips=needed(cells, "n_accel"),
               dtype=_named(cells, "precision", DTYPES), recipe="", seq=needed(cells, "seq_len"),
               batch=needed(cells, "global_batch"), layout=layout, stack=stack_of("", maker) if maker else NVIDIA_STACK,
               value=figure(cells, RUN if _series(cells) in by_run else STEP), role="given")
    return Member(row=row, series=_series(cells), chips=row.chips, role="given")


def _run(cells: Cells, name: str, *, model: str, chip: str, chips: int, dtype: str, recipe: str, seq: int, batch: int,
         layout: dict[str, int], stack: str, value: float, role: str) -> Published:
    day = cells.get("date") or ROUNDS.get(cells.get("round", ""), "")
    return Published(id=cells[name], model=model, arch=None, changes={}, chip=chip, chips=chips, dtype=dtype,
                     recipe=recipe, seq=seq, batch=batch, layout=layout, stack=stack, release=release("", day),
                     task="pretrain", options=(), nic_bw=0.0, value=value, unit="token/s",
                     source=cells.get("source", ""), where=cells.get("where", ""), date=day, role=role,
                     note=cells.get("note", ""))


def _series(cells: Cells) -> str:
    return " ".join(cells.get(name, "") for name in ("benchmark", "accelerator", "precision", "round", "submitter"))


def _named(cells: Cells, column: str, names: Sequence[tuple[str, str]]) -> str:
    """What a cell means by the first pattern that is in it; raises NotUsable."""
    said = cells.get(column, "")
    found = next((name for pattern, name in names if re.search(pattern, said, re.IGNORECASE)), "")
    if not found:
        raise NotUsable(f'unknown or ambiguous {column} "{said}"')
    return found


def compare_scaling(members: Sequence[Member], facts: Facts) -> list[Scaled]:
    """Each run beside its prediction, in order; one for every member."""
    return scaled(members, compare([m.row for m in members], facts))


def scaled(members: Sequence[Member], runs: Sequence[Compared]) -> list[Scaled]:
    """Efficiency of each run against the smallest of its series."""
    base = _smallest(members, runs)
    found = []
    for member, run in zip(members, runs, strict=True):
        first = base.get(member.series)
        found.append(Scaled(
            series=member.series, chips=member.chips, run=run, smallest=first is run,
            measured=math.nan if first is None else run.measured / first.measured,
            predicted=math.nan if first is None else run.predicted / first.predicted))
    return found


def _smallest(members: Sequence[Member], runs: Sequence[Compared]) -> dict[str, Compared]:
    """The run of the fewest accelerators of each series of at least two sizes."""
    sizes: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, (member, run) in enumerate(zip(members, runs, strict=True)):
        if member.chips and run.measured > 0:
            sizes[member.series].append((member.chips, i))
    return {name: runs[min(found)[1]] for name, found in sizes.items() if len({chips for chips, _ in found}) > 1}
