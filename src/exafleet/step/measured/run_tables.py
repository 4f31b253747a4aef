"""Reads tables of measured training runs in the three column layouts they are published in, row by row.

  train     one run a row, many sources: case_id, model, accelerator, gpus, precision, ... (docs/validation-rows.md)
  nanotron  jobs of one community stack with the architecture in columns: hidden, layers, heads, ..., outcome
  vtrain    iteration times of small GPTs with the architecture in columns: hidden, layers, heads, iteration_time_s

A row that cannot be compared is not dropped: it comes back as `Unread` with the reason. A file that is none of these
layouts raises FactError with every column that is missing. What the words of a row mean is in run_words.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from exafleet.facts.architecture import Arch, arch, insane, transformer
from exafleet.facts.catalogue import Facts
from exafleet.facts.subjects import fold
from exafleet.step.measured import run_words as words
from exafleet.step.measured.cells import Cells, NotUsable, cells_of, figure, first_figure, needed, number, tried, whole
from exafleet.step.measured.training import Published, Unread
from exafleet.step.practice import is_stack, known_stack
from exafleet.terms.errors import FactError, Problem

REQUIRED = {
    "nanotron": ("case_id", "hidden", "layers", "heads", "kv_heads", "ffn", "vocab", "accelerator", "gpus",
                 "micro_batch", "grad_accum", "seq_len", "tp", "pp", "dp", "sharding", "tokens_per_s_per_gpu"),
    "vtrain": ("gpus", "global_batch_seqs", "micro_batch", "hidden", "heads", "layers", "seq_len", "tp", "dp", "pp",
               "iteration_time_s"),
    "train": ("case_id", "model", "accelerator", "gpus", "precision", "global_batch_seqs", "micro_batch", "seq_len",
              "tp", "pp", "cp", "tokens_per_s_per_gpu"),
}
# Rows of a layout are recognised by columns no other layout has.
MARKS = {"nanotron": ("outcome", "mlp_gated"), "vtrain": ("iteration_time_s",), "train": ("model", "precision")}
# Columns in which a row says how its run differed from the shape of its model.
OVERRIDES = {"layers_override": "layers", "heads_override": "heads", "kv_heads_override": "kv_heads",
             "dense_first_layers_override": "dense_first", "mtp_layers_override": "mtp_layers"}
# Columns of the axes of a layout.
COLUMNS = {"tp": "tp", "pp": "pp", "cp": "cp", "ep": "ep", "etp": "etp", "mbs": "micro_batch", "vpp": "vp"}
# Columns a figure is looked for in, and its unit.
FIGURES = {"tokens_per_s_per_gpu": "token/s", "step_time_s": "s", "iteration_time_s": "s",
           "model_tflops_per_gpu": "TFLOP/s", "hw_tflops_per_gpu": "TFLOP/s"}
# Sources count the cores of these chips as devices: cores of one chip.
CORES = {"trainium1": 2}
# Where a source does not state the global batch: micro-batches of one data-parallel rank.
ASSUMED_MICRO_BATCHES = 32
# Two figures of one row that differ by more than this are not roundings of each other.
ROUNDING = 0.02
# What the table of small GPTs does not state: its chip, and the vocabulary, which is that of its authors' larger ones.
VTRAIN_CHIP, VTRAIN_VOCAB = "A100-SXM-80GB", 51200


@dataclass(frozen=True, slots=True)
class _Context:
    """What rows are read against: facts, and practice subjects (software stacks) by their spoken names."""

    facts: Facts
    stacks: tuple[tuple[str, str], ...]


def read_runs(path: Path, facts: Facts) -> list[Published | Unread]:
    """Every row of a table of measured runs, in its order; raises FactError when the file is no such table."""
    header, rows = cells_of(path)
    layout = next((name for name, marks in MARKS.items() if set(marks) <= set(header)), "train")
    lacks = [c for c in REQUIRED[layout] if c not in header]
    if lacks:
        raise FactError(Problem(where=f"{path.name}:1", what=f"no table of runs: lacks the columns {', '.join(lacks)}",
                                got=", ".join(header[:12]) or "an empty line", allowed=", ".join(REQUIRED[layout]),
                                remedy="docs/validation-rows.md describes the three layouts."))
    context = _Context(facts, words.spoken_stacks(facts))
    read = {"train": _train_row, "nanotron": _nanotron_row, "vtrain": _vtrain_row}[layout]
    return [_row(line, cells, lambda c: read(c, context)) for line, cells in rows]


def _row(line: int, cells: Cells, read: Callable[[Cells], Published]) -> Published | Unread:
    name, found = cells.get("case_id") or f"line-{line}", tried(read, cells)
    if isinstance(found, Published):
        return replace(found, id=name)
    value, unit = _stated(cells)
    return Unread(id=name, line=line, why=str(found), measured=value, unit=unit)


def _stated(cells: Cells) -> tuple[float, str]:
    """The measured figure of a row as far as it can be read; nan when it cannot."""
    found = ((first_figure(cells, column), unit) for column, unit in FIGURES.items())
    return next((pair for pair in found if math.isfinite(pair[0])), (math.nan, "token/s"))


# ---------------------------------------------------------------------------------------------- runs of known models


def _train_row(cells: Cells, context: _Context) -> Published:
    facts = context.facts
    chip = words.subject(facts, cells["accelerator"], "chip")
    model = words.subject(facts, cells["model"], "model")
    shape = arch(facts, model.id)
    dtype, recipe = words.precision(cells["precision"])
    beside, source, notes = (cells.get(c, "") for c in ("other_config", "source", "notes"))
    stack = _stack(cells, context)
    chips, seq = needed(cells, "gpus"), needed(cells, "seq_len")
    layout = _layout(cells, chips, chip.id, bool(shape.moe_layers), stack)
    if words.task(beside) != "pretrain":
        layout.setdefault("mbs", 1)  # fine-tuning recipes run one packed sequence at a time unless they say otherwise
    batch, assumed = _batch(cells, layout, chips)
    value, unit = _measured(cells, batch, seq, chips)
    return Published(
        id="", model=model.id, arch=None, changes=_changes(cells), chip=chip.id, chips=chips, dtype=dtype,
        recipe=recipe, seq=seq, batch=batch, layout=layout, stack=stack,
        release=words.release(f"{source} {beside}", cells.get("date", "")), task=words.task(beside),
        options=_options(stack, beside, notes), nic_bw=words.scale_out(cells.get("system", "")), value=value,
        unit=unit, source=source, where=cells.get("source_location", ""), date=cells.get("date", ""), role="given",
        note="; ".join(filter(None, (notes, assumed))),
    )


def _options(stack: str, beside: str, notes: str) -> tuple[str, ...]:
    """Options a row tells; where a Megatron-Bridge row names no recipe, its usual dispatcher is taken."""
    found = words.options(f"{beside} {notes}")
    untold = stack == "stack-megatron" and "[cfg" not in beside and "one-sided" not in found
    return (*found, "one-sided") if untold else found


def _stack(cells: Cells, context: _Context) -> str:
    """The stack a row names, by id or as it is spoken of; else the one its remarks or its source name; else "".

    Raises FactError for a named one that is unknown.
    """
    named = cells.get("stack", "")
    if named:
        own = is_stack(context.facts, named)
        return named if own else words.stack_named(named, context.stacks) or known_stack(context.facts, named)
    found = (words.stack_named(cells.get(column, ""), context.stacks) for column in ("other_config", "source"))
    return next(filter(None, found), "")


def _changes(cells: Cells) -> dict[str, int]:
    read = {field: whole(cells, column) for column, field in OVERRIDES.items()}
    return {field: value for field, value in read.items() if value is not None}


def _layout(cells: Cells, chips: int, chip: str, moe: bool, stack: str) -> dict[str, int]:
    """Axes a row states; those a reader can only mean one way are filled in, the others stay open."""
    cores = CORES.get(chip, 1)
    sharding = cells.get("sharding", "").casefold()
    read = {axis: whole(cells, column) for axis, column in COLUMNS.items()}
    found = {axis: value for axis, value in read.items() if value is not None}
    if cores > 1 and "tp" in found:
        found["tp"] = max(found["tp"] // cores, 1)
    _fill(found, sharding, moe, words.open_interleaving(stack, cells.get("source", "")))
    found |= words.sharing(sharding, cells, chips, found)
    found["recompute"] = words.recompute(cells.get("recompute", ""))
    found |= words.schedule(cells.get("other_config", ""))
    if found.get("schedule"):
        found["vpp"] = 1  # zero-bubble and DualPipe cut stages in their own way
    _same_chips(found, None if cores > 1 else whole(cells, "dp"), chips)
    return found


def _fill(found: dict[str, int], sharding: str, moe: bool, interleaves: bool) -> None:
    """Axes that are 1 because of what the others say, or because sources only leave them out when they are 1."""
    if not found.keys() & {"tp", "pp"} and "fsdp" in sharding:
        found["tp"] = 1
    if "tp" in found:
        found.setdefault("cp", 1)
        if "fsdp" in sharding or "vpp" not in found:  # chunks of a stage mean that there are stages
            found.setdefault("pp", 1)
    if found.get("pp") == 1 or ("pp" in found and not interleaves):
        found.setdefault("vpp", 1)
    if not moe:
        found |= {"ep": 1, "etp": 1}
    elif "ep" in found or "fsdp" in sharding:
        found.setdefault("ep", 1)
        found.setdefault("etp", 1)


def _same_chips(found: Mapping[str, int], dp: int | None, chips: int) -> None:
    """Raises NotUsable where the ways of a layout cannot make its accelerators."""
    ways = math.prod(found.get(a, 1) for a in ("tp", "pp", "cp"))
    if chips % ways:
        raise NotUsable(f"TP x PP x CP = {ways} does not divide {chips} accelerators")
    if dp is not None and {"tp", "pp", "cp"} <= found.keys() and dp * ways != chips:
        raise NotUsable(f"TP x PP x CP x DP = {ways * dp} differs from {chips} accelerators")


def _batch(cells: Cells, layout: Mapping[str, int], chips: int) -> tuple[int, str]:
    """Sequences of a step: as told, else from micro-batches, else an assumption that the note tells."""
    told = whole(cells, "global_batch_seqs")
    if told is not None:
        return told, ""
    if not {"tp", "pp", "cp"} <= layout.keys():
        raise NotUsable("neither the global batch nor the layout is stated")
    dp = chips // (layout["tp"] * layout["pp"] * layout["cp"])
    again = whole(cells, "grad_accum")
    many = again or max(ASSUMED_MICRO_BATCHES, 4 * layout["pp"])
    return dp * layout.get("mbs", 1) * many, "" if again else f"global batch not stated: {many} micro-batches assumed"


def _measured(cells: Cells, batch: int, seq: int, chips: int) -> tuple[float, str]:
    """The figure a row is judged by: tokens/s of one accelerator, else step time, else FLOP/s by its convention."""
    rate, step = number(cells, "tokens_per_s_per_gpu"), number(cells, "step_time_s")
    stated = bool(cells.get("global_batch_seqs"))
    if rate is not None and step is not None and stated and abs(rate * step * chips / (batch * seq) - 1.0) > ROUNDING:
        return step, "s"  # a printed rate that contradicts step time and batch was computed wrongly by its source
    if rate is not None:
        return rate, "token/s"
    if step is not None and stated:
        return step, "s"
    return _flops(cells)


def _flops(cells: Cells) -> tuple[float, str]:
    model, hardware = number(cells, "model_tflops_per_gpu"), number(cells, "hw_tflops_per_gpu")
    if model is not None:
        return model, words.convention(cells)
    if hardware is not None:
        return hardware, "TFLOP/s hardware"
    share, peak = number(cells, "mfu"), number(cells, "mfu_peak_tflops")
    if share is not None and peak is not None:
        return share * peak, words.convention(cells)
    raise NotUsable("no rate, step time or FLOP/s is stated")


# ---------------------------------------------------------------------------------------------- rows with their shape


def _nanotron_row(cells: Cells, context: _Context) -> Published:
    shape = _shape(cells, kv_heads=whole(cells, "kv_heads"), ffn=whole(cells, "ffn"), vocab=needed(cells, "vocab"),
                   gated=cells.get("mlp_gated") == "1", tied=cells.get("tied") == "True")
    if not cells["tokens_per_s_per_gpu"] and cells.get("outcome") == "oom":
        raise NotUsable("no rate is stated: ran out of memory")
    mbs = needed(cells, "micro_batch")
    layout = _ways(cells, mbs) | {"zero": int(cells["sharding"].startswith("zero1")), "recompute": 0}
    return _own_shape(cells, context, shape, layout, batch=mbs * needed(cells, "grad_accum") * needed(cells, "dp"),
                      value=figure(cells, "tokens_per_s_per_gpu"), unit="token/s", stack="stack-nanotron")


def _vtrain_row(cells: Cells, context: _Context) -> Published:
    shape = _shape(cells, kv_heads=None, ffn=None, vocab=VTRAIN_VOCAB, gated=False, tied=True)
    layout = _ways(cells, needed(cells, "micro_batch")) | {"zero": 0, "recompute": 2}
    return _own_shape(cells, context, replace(shape, positions=needed(cells, "seq_len")), layout,
                      batch=needed(cells, "global_batch_seqs"), value=figure(cells, "iteration_time_s"), unit="s",
                      stack="stack-megatron-deepspeed")


def _shape(cells: Cells, *, kv_heads: int | None, ffn: int | None, vocab: int, gated: bool, tied: bool) -> Arch:
    """The architecture in the columns of a row; as many key-value heads as heads, four times the width in an MLP."""
    hidden, layers, heads = (needed(cells, c) for c in ("hidden", "layers", "heads"))
    found = transformer(f"GPT h{hidden} L{layers}", hidden=hidden, layers=layers, heads=heads,
                        kv_heads=kv_heads or heads, ffn=ffn or 4 * hidden, vocab=vocab,
                        mlp_matrices=3 if gated else 2, tied=tied)
    wrong = insane(found)
    if wrong:
        raise NotUsable("; ".join(wrong))
    return replace(found, id=fold(found.name))


def _ways(cells: Cells, mbs: int) -> dict[str, int]:
    """The layout of a dense job that states TP, PP and DP and interleaves nothing."""
    found = {"cp": 1, "ep": 1, "etp": 1, "vpp": 1, "tp": needed(cells, "tp"), "pp": needed(cells, "pp"), "mbs": mbs}
    _same_chips(found, needed(cells, "dp"), needed(cells, "gpus"))
    return found


def _own_shape(cells: Cells, context: _Context, shape: Arch, layout: dict[str, int], *, batch: int, value: float,
               unit: str, stack: str) -> Published:
    chip = words.subject(context.facts, cells.get("accelerator") or VTRAIN_CHIP, "chip")
    return Published(
        id="", model=shape.id, arch=shape, changes={}, chip=chip.id, chips=needed(cells, "gpus"), dtype="bf16",
        recipe="", seq=needed(cells, "seq_len"), batch=batch, layout=layout, stack=stack, release="", task="pretrain",
        options=(), nic_bw=0.0, value=value, unit=unit, source=cells.get("source", ""),
        where=cells.get("source_location", ""), date=cells.get("date", ""), role="given", note=cells.get("notes", ""))
