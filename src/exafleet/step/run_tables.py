"""Reads tables of measured training runs in the three column layouts they are published in, row by row.

  train     one run a row, many sources: case_id, model, accelerator, gpus, precision, ... (docs/validation-rows.md)
  nanotron  jobs of one community stack with the architecture in columns: hidden, layers, heads, ..., outcome
  vtrain    iteration times of small GPTs with the architecture in columns: hidden, layers, heads, iteration_time_s

A row that cannot be compared is not dropped: it comes back as `Unread` with the reason. A file that is none of these
layouts raises FactError with every column that is missing.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.subjects import Subject, fold
from exafleet.step.published import Published, Unread
from exafleet.terms.errors import ExafleetError, FactError, Problem

Cells = Mapping[str, str]
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
# Sources count the cores of these chips as devices: cores of one chip.
CORES = {"trainium1": 2}
# Where a source does not state the global batch: micro-batches of one data-parallel rank.
ASSUMED_MICRO_BATCHES = 32
# No count of accelerators, sequences or tokens is larger; what is would overflow.
MOST = 10**9
# Two figures of one row that differ by more than this are not roundings of each other.
ROUNDING = 0.02


class NotUsable(Exception):
    """A row that cannot be compared; the text is the reason a reader is told."""


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
    if not rows:
        raise FactError(Problem(where=path.name, what="a header without rows"))
    context = _Context(facts, _spoken_stacks(facts))
    read = {"train": _train_row, "nanotron": _nanotron_row, "vtrain": _vtrain_row}[layout]
    return [_row(line, cells, read, context) for line, cells in rows]


def cells_of(path: Path) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Header, and rows with their lines; raises FactError for what is no CSV in UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FactError(Problem(where=path.name, what="cannot be read", got=error.strerror or str(error))) from None
    except UnicodeDecodeError as error:
        raise FactError(Problem(where=path.name, what="not UTF-8", got=f"byte {error.start} is no character",
                                remedy="Save the file as UTF-8.")) from None
    reader = csv.reader(text.splitlines(keepends=True))
    try:
        found = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise FactError(Problem(where=f"{path.name}:{reader.line_num}", what=f"not CSV: {error}")) from None
    if not found:
        raise FactError(Problem(where=path.name, what="empty", allowed="a header line and rows"))
    header = [c.strip() for c in found[0][1]]
    return header, [(line, dict(zip(header, (c.strip() for c in row), strict=False))) for line, row in found[1:]]


def _row(line: int, cells: Cells, read: Callable[[Cells, _Context], Published],
         context: _Context) -> Published | Unread:
    name = cells.get("case_id") or f"line-{line}"
    try:
        return replace(read(cells, context), id=name)
    except NotUsable as reason:
        why = str(reason)
    except ExafleetError as error:
        why = "; ".join(p.what for p in error.problems)
    value, unit = _stated(cells)
    return Unread(id=name, line=line, why=why, measured=value, unit=unit)


def _stated(cells: Cells) -> tuple[float, str]:
    """The measured figure of a row as far as it can be read; nan when it cannot."""
    for column, unit in (("tokens_per_s_per_gpu", "token/s"), ("step_time_s", "s"), ("iteration_time_s", "s"),
                         ("model_tflops_per_gpu", "TFLOP/s"), ("hw_tflops_per_gpu", "TFLOP/s")):
        try:
            value = float(cells.get(column) or "nan")
        except ValueError:
            continue
        if math.isfinite(value):
            return value, unit
    return math.nan, "token/s"


# ---------------------------------------------------------------------------------------------- cells


def number(cells: Cells, column: str) -> float | None:
    """A positive number, None where the cell is empty. Raises NotUsable for anything else."""
    text = cells.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise NotUsable(f'{column} is no number: "{text}"') from None
    if not math.isfinite(value) or value <= 0:
        raise NotUsable(f"{column} must be a positive number, got {text}")
    return value


def whole(cells: Cells, column: str) -> int | None:
    """A positive integer, None where the cell is empty."""
    value = number(cells, column)
    if value is not None and value != round(value):
        raise NotUsable(f"{column} must be a whole number, got {cells[column]}")
    if value is not None and value > MOST:
        raise NotUsable(f"{column} must be at most {MOST:,}, got {cells[column]}")
    return None if value is None else round(value)


def needed(cells: Cells, column: str) -> int:
    """A positive integer that a row cannot do without."""
    value = whole(cells, column)
    if value is None:
        raise NotUsable(f"{column} is not stated")
    return value


# ---------------------------------------------------------------------------------------------- names


def _spoken_stacks(facts: Facts) -> tuple[tuple[str, str], ...]:
    """(spoken name, stack) of every software stack, longest name first so that the narrowest wins."""
    stacks = [s for s in facts.subjects.of_kind("practice") if s.id.startswith("stack-")]
    spoken = [(fold(name), s.id) for s in stacks for name in s.aliases]
    return tuple(sorted(spoken, key=lambda pair: (-len(pair[0]), pair)))


def stack_named(text: str, stacks: tuple[tuple[str, str], ...]) -> str:
    """The stack whose spoken name occurs in a text; "" when none does."""
    folded = fold(text)
    return next((stack for name, stack in stacks if name in folded), "")


def _subject(facts: Facts, name: str, kind: str) -> Subject:
    """A chip or model by its name as sources write it: with or without a remark in brackets."""
    for spoken in (name, re.sub(r"\s*\(.*?\)\s*", " ", name).strip()):
        found = [s for s in facts.subjects.by_name.get(fold(spoken), ()) if s.kind == kind]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotUsable(f'"{name}" can mean {" or ".join(s.id for s in found)}')
    raise NotUsable(f'unknown {"model" if kind == "model" else "accelerator"} "{name}"')


def precision(text: str) -> tuple[str, str]:
    """(dtype, recipe) of a precision as sources write it. Recipes: "mx", "cs", "block", "rowwise" or "" (not told).

    >>> precision("fp8-mx"), precision("bf16 (pure)"), precision("nvfp4")
    (('fp8', 'mx'), ('bf16', ''), ('fp4', ''))
    """
    low = text.casefold()
    if low.startswith("int8"):
        return "int8", ""
    if "fp4" in low:
        return "fp4", ""
    if low.startswith(("fp8", "mxfp8")):
        marks = (("mx", ("-mx", "mxfp8")), ("block", ("block",)), ("cs", ("-cs", "current", "tensorwise", "float8")),
                 ("ds", ("delayed", "-ds")))
        return "fp8", next((recipe for recipe, words in marks if any(w in low for w in words)), "")
    if low.startswith(("bf16", "fp16", "bfloat16", "float16")):
        return "bf16", ""
    raise NotUsable(f'unknown precision "{text}"')


# ---------------------------------------------------------------------------------------------- layouts of rows


def _train_row(cells: Cells, context: _Context) -> Published:
    facts = context.facts
    chip, model = _subject(facts, cells["accelerator"], "chip"), _subject(facts, cells["model"], "model")
    shape = arch(facts, model.id)
    changes = {field: value for column, field in OVERRIDES.items() if (value := whole(cells, column)) is not None}
    dtype, recipe = precision(cells["precision"])
    beside, source = cells.get("other_config", ""), cells.get("source", "")
    stack = (cells.get("stack") or stack_named(beside, context.stacks) or stack_named(source, context.stacks))
    chips, seq = needed(cells, "gpus"), needed(cells, "seq_len")
    layout, notes = _layout(cells, chips, chip.id, bool(shape.moe_layers), stack)
    if _task(beside) != "pretrain":
        layout.setdefault("mbs", 1)  # fine-tuning recipes run one packed sequence at a time unless they say otherwise
    batch, assumed = _batch(cells, layout, chips)
    value, unit = _measured(cells, batch, seq, chips, layout)
    return Published(
        id="", model=model.id, arch=None, changes=changes, chip=chip.id, chips=chips, dtype=dtype, recipe=recipe,
        seq=seq, batch=batch, layout=layout, stack=stack, release=release(f"{source} {beside}", cells.get("date", "")),
        task=_task(beside), options=options(f"{beside} {cells.get('notes', '')}"), nic_bw=scale_out(cells.get("system", "")), value=value, unit=unit, source=source, where=cells.get("source_location", ""),
        date=cells.get("date", ""), role="given", note="; ".join(filter(None, (cells.get("notes", ""), notes, assumed))),
    )


OVERRIDES = {"layers_override": "layers", "heads_override": "heads", "kv_heads_override": "kv_heads",
             "dense_first_layers_override": "dense_first", "mtp_layers_override": "mtp_layers"}


def release(source: str, day: str) -> str:
    """Release of the software, "YY.MM": as the source names it, else its date; "" when neither tells.

    >>> release("NVIDIA Megatron-Bridge performance summary, container 26.04.01", "2026-05")
    '26.04'
    >>> release("pytorch/torchtitan benchmarks", "2024-12")
    '24.12'
    """
    named = re.search(r"(?:container |container NeMo |v|NeMo |, )(\d\d\.\d\d)", source)
    if named:
        return named[1]
    dated = re.match(r"20(\d\d)-(\d\d)", day)
    return f"{dated[1]}.{dated[2]}" if dated else ""


def options(text: str) -> tuple[str, ...]:
    """Settings of the software that a remark tells (step.practice.OPTIONS).

    >>> options("cuda graph full_iteration ; MoE dispatcher hybridep; moe_a2a_overlap"), options("token-drop")
    (('graphs', 'hidden-dispatch', 'one-sided'), ('token-drop',))
    """
    low = text.casefold()
    told = {"graphs": "full_iteration" in low, "hidden-dispatch": "a2a_overlap" in low,
            "one-sided": "deepep" in low or "hybridep" in low,
            "partial-graphs": "cuda graph" in low and "full_iteration" not in low,
            "token-drop": re.search(r"token-?drop|dropped moe|capacity factor", low) is not None}
    return tuple(name for name, here in told.items() if here)


def scale_out(system: str) -> float:
    """Scale-out bandwidth of one chip where the system's description tells it, of servers of 8; else 0. [B/s]

    >>> scale_out("8-GPU nodes, 800 Gb/s per node"), scale_out("Jean-Zay, 8x A100-80GB per node, 4x Omni-Path 100")
    (12500000000.0, 6250000000.0)
    """
    each = re.search(r"(\d+) Gb/s per GPU", system)
    if each:
        return float(each[1]) * 1e9 / 8
    cards = re.search(r"(\d+)x ?(\d+) Gb", system) or re.search(r"(\d+)x (?:Omni-Path |HDR)(\d+)", system)
    node = float(cards[1]) * float(cards[2]) if cards else None
    whole_node = re.search(r"(\d+) Gb/s", system)
    if node is None and whole_node:
        node = float(whole_node[1])
    return node * 1e9 / 8 / 8 if node else 0.0


def _task(beside: str) -> str:
    told = re.search(r"task=(\w+)", beside)
    return told[1].casefold() if told else "pretrain"


def _layout(cells: Cells, chips: int, chip: str, moe: bool, stack: str) -> tuple[dict[str, int], str]:
    """Axes a row states; those a reader can only mean one way are filled in, the others stay open."""
    cores = CORES.get(chip, 1)
    found = {axis: value for axis, column in (("tp", "tp"), ("pp", "pp"), ("cp", "cp"), ("ep", "ep"), ("etp", "etp"),
                                              ("mbs", "micro_batch"), ("vpp", "vp"))
             if (value := whole(cells, column)) is not None}
    sharding, beside = cells.get("sharding", "").casefold(), cells.get("other_config", "")
    if cores > 1 and "tp" in found:
        found["tp"] = max(found["tp"] // cores, 1)
    if "tp" not in found and "fsdp" in sharding and "pp" not in found:
        found["tp"] = 1
    if "tp" in found:
        found.setdefault("cp", 1)
        found.setdefault("pp", 1)
    if found.get("pp") == 1 or ("pp" in found and "vpp" not in found and not open_interleaving(stack)):
        found.setdefault("vpp", 1)
    if not moe:
        found |= {"ep": 1, "etp": 1}
    elif "ep" in found or "fsdp" in sharding:
        found.setdefault("ep", 1)
        found.setdefault("etp", 1)
    found |= _sharing(sharding, cells, chips, found)
    found["recompute"] = recompute(cells.get("recompute", ""))
    found |= _schedule(beside)
    if found.get("schedule"):
        found["vpp"] = 1  # zero-bubble and DualPipe cut stages in their own way
    ways = math.prod(found.get(a, 1) for a in ("tp", "pp", "cp"))
    if chips % ways:
        raise NotUsable(f"TP x PP x CP = {ways} does not divide {chips} accelerators")
    dp = whole(cells, "dp")
    odd = dp is not None and {"tp", "pp", "cp"} <= found.keys() and dp * ways != chips * cores
    if odd and cores == 1:
        raise NotUsable(f"TP x PP x CP x DP = {ways * (dp or 1)} differs from {chips} accelerators")
    return found, ""


def open_interleaving(stack: str) -> bool:
    """Whether a stack interleaves without its sources telling: Megatron-LM's papers and tables of 2021 to 2024."""
    return stack in ("stack-megatron-2021", "stack-megatron-core")


def _sharing(sharding: str, cells: Cells, chips: int, found: Mapping[str, int]) -> dict[str, int]:
    """ZeRO level, and the ways over which states are shared where that is not every data-parallel rank."""
    over = chips // max(math.prod(found.get(a, 1) for a in ("tp", "pp", "cp")), 1) * found.get("cp", 1)
    if "fsdp" in sharding or "zero3" in sharding or "hsdp" in sharding:
        zero = 2 if "zero2" in sharding else 3
    elif "zero2" in sharding:
        zero = 2
    elif sharding.startswith(("none", "not stated")):
        zero = 0
    else:
        zero = 1
    group = _group(sharding, cells, over)
    return {"zero": zero, **({"group": group} if 0 < group < over and over % group == 0 else {})}


def _group(sharding: str, cells: Cells, over: int) -> int:
    """Ways of sharing as told: "within groups of 8", "dp2 x fsdp128", "hsdp" (a server), "... between slices"."""
    told = re.search(r"groups of (\d+)", sharding) or re.search(r"dp\d+ x fsdp(\d+)", sharding)
    if told:
        return int(told[1])
    beside = cells.get("other_config", "")
    axes = [int(n) for n in re.findall(r"(?:dcn_|ici_|\b)FSDP=(\d+)", beside)]
    if axes:
        return math.prod(axes)
    if sharding == "hsdp":
        return 8
    slices = re.match(r"(\d+)x ", cells.get("system", ""))
    return over // int(slices[1]) if "between slices" in sharding and slices else 0


def recompute(text: str) -> int:
    """Recomputation as told: 0 none, 1 selective, 2 full; nothing told is none, as in the vendors' recipes."""
    low = text.casefold()
    if low.startswith(("full", "qkv_proj_offloaded")):
        return 2
    return 1 if low.startswith(("selective", "minimal", "custom", "save_dot", "see configs")) else 0


def _schedule(beside: str) -> dict[str, int]:
    """Pipeline schedule as told; V-shaped zero-bubble schedules count as zero-bubble."""
    low = beside.casefold()
    if "dualpipe" in low:
        return {"schedule": 2}
    return {"schedule": 1} if re.search(r"zero-bubble|zbv|zb-h", low) else {}


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


def _measured(cells: Cells, batch: int, seq: int, chips: int, layout: Mapping[str, int]) -> tuple[float, str]:
    """The figure a row is judged by: tokens/s of one accelerator, else step time, else FLOP/s by its convention."""
    rate, step = number(cells, "tokens_per_s_per_gpu"), number(cells, "step_time_s")
    stated = bool(cells.get("global_batch_seqs"))
    if rate is not None and step is not None and stated and abs(rate * step * chips / (batch * seq) - 1.0) > ROUNDING:
        return step, "s"  # a printed rate that contradicts step time and batch was computed wrongly by its source
    if rate is not None:
        return rate, "token/s"
    if step is not None and stated:
        return step, "s"
    return _flops(cells, layout)


def _flops(cells: Cells, layout: Mapping[str, int]) -> tuple[float, str]:
    model, hardware = number(cells, "model_tflops_per_gpu"), number(cells, "hw_tflops_per_gpu")
    if model is not None:
        return model, _convention(cells)
    if hardware is not None:
        return hardware, "TFLOP/s hardware"
    share, peak = number(cells, "mfu"), number(cells, "mfu_peak_tflops")
    if share is not None and peak is not None:
        return share * peak, _convention(cells)
    raise NotUsable("no rate, step time or FLOP/s is stated")


def _convention(cells: Cells) -> str:
    """How the source counts attention: half of it ("causal") or all."""
    low = cells.get("flop_convention", "").casefold()
    if "causal half" in low or ("causal" in low and "full" not in low and "non-causal" not in low):
        return "TFLOP/s causal"
    return "TFLOP/s full"


# ---------------------------------------------------------------------------------------------- rows with their shape


def _shape(cells: Cells, kv_heads: int, ffn: int, vocab: int, *, gated: bool, tied: bool) -> Arch:
    hidden, layers, heads = (needed(cells, c) for c in ("hidden", "layers", "heads"))
    name = f"GPT h{hidden} L{layers}"
    return Arch(id=fold(name), name=name, layers=layers, attention_layers=layers, mlp_layers=layers, hidden=hidden,
                heads=heads, kv_heads=kv_heads, head_dim=hidden // heads, vocab=vocab, ffn=ffn,
                mlp_matrices=3 if gated else 2, tied_embeddings=tied)


def _nanotron_row(cells: Cells, context: _Context) -> Published:
    heads, hidden = needed(cells, "heads"), needed(cells, "hidden")
    shape = _shape(cells, whole(cells, "kv_heads") or heads, whole(cells, "ffn") or 4 * hidden, needed(cells, "vocab"),
                   gated=cells.get("mlp_gated") == "1", tied=cells.get("tied") == "True")
    value = number(cells, "tokens_per_s_per_gpu")
    if value is None:
        raise NotUsable("no rate is stated" + (": ran out of memory" if cells.get("outcome") == "oom" else ""))
    mbs, dp = needed(cells, "micro_batch"), needed(cells, "dp")
    zero = 1 if cells["sharding"].startswith("zero1") else 0
    layout = dict.fromkeys(("cp", "ep", "etp", "vpp"), 1) | {
        "tp": needed(cells, "tp"), "pp": needed(cells, "pp"), "mbs": mbs, "zero": zero, "recompute": 0}
    return _own_shape(cells, context, shape, layout, batch=mbs * needed(cells, "grad_accum") * dp, value=value,
                      unit="token/s", stack="stack-nanotron")


def _vtrain_row(cells: Cells, context: _Context) -> Published:
    hidden, heads = needed(cells, "hidden"), needed(cells, "heads")
    # The table states no vocabulary; that of its authors' larger models is taken.
    shape = _shape(cells, heads, 4 * hidden, 51200, gated=False, tied=True)
    layout = dict.fromkeys(("cp", "ep", "etp", "vpp"), 1) | {
        "tp": needed(cells, "tp"), "pp": needed(cells, "pp"), "mbs": needed(cells, "micro_batch"), "zero": 0,
        "recompute": 2}
    value = number(cells, "iteration_time_s")
    if value is None:
        raise NotUsable("no iteration time is stated")
    return _own_shape(cells, context, replace(shape, positions=needed(cells, "seq_len")), layout,
                      batch=needed(cells, "global_batch_seqs"), value=value, unit="s",
                      stack="stack-megatron-deepspeed")


def _own_shape(cells: Cells, context: _Context, shape: Arch, layout: dict[str, int], *, batch: int, value: float,
               unit: str, stack: str) -> Published:
    chip = _subject(context.facts, cells.get("accelerator") or "A100-SXM-80GB", "chip")
    return Published(
        id="", model=shape.id, arch=shape, changes={}, chip=chip.id, chips=needed(cells, "gpus"), dtype="bf16",
        recipe="", seq=needed(cells, "seq_len"), batch=batch, layout=layout, stack=stack, release="", task="pretrain",
        options=(), nic_bw=0.0, value=value, unit=unit, source=cells.get("source", ""), where=cells.get("source_location", ""),
        date=cells.get("date", ""), role="given", note=cells.get("notes", ""))


def groups(rows: list[Published]) -> Iterator[tuple[str, list[Published]]]:
    """Rows by what they have in common: model, chip, chips, sequence, batch and stack (layouts to choose from)."""
    by: dict[str, list[Published]] = {}
    for r in rows:
        by.setdefault(f"{r.model}|{r.chip}|{r.chips}|{r.dtype}|{r.seq}|{r.batch}|{r.stack}", []).append(r)
    yield from by.items()
