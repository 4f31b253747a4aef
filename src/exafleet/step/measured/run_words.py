"""What words in a table of training runs mean: software, number formats, sharding, recomputation, schedules, options.

Sources write these as remarks, not as codes. What is not told here is not guessed: it is left open, or a row says that
it cannot be read (docs/validation-rows.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from exafleet.facts.catalogue import Facts
from exafleet.facts.subjects import Subject, fold
from exafleet.step.measured.cells import Cells, NotUsable

# Chips of a server, where sharding within one ("hsdp") is told without a number.
SERVER = 8


def spoken_stacks(facts: Facts) -> tuple[tuple[str, str], ...]:
    """(spoken name, stack) of every software stack, longest name first so that the narrowest wins."""
    stacks = [s for s in facts.subjects.of_kind("practice") if s.id.startswith("stack-")]
    spoken = [(fold(name), s.id) for s in stacks for name in s.aliases]
    return tuple(sorted(spoken, key=lambda pair: (-len(pair[0]), pair)))


def stack_named(text: str, stacks: tuple[tuple[str, str], ...]) -> str:
    """The stack whose spoken name occurs in a text; "" when none does."""
    folded = fold(text)
    return next((stack for name, stack in stacks if name in folded), "")


def subject(facts: Facts, name: str, kind: str) -> Subject:
    """A chip or model by its name as sources write it: with or without a remark in brackets."""
    for spoken in (name, re.sub(r"\s*\(.*?\)\s*", " ", name).strip()):
        found = [s for s in facts.subjects.by_name.get(fold(spoken), ()) if s.kind == kind]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotUsable(f'"{name}" can mean {" or ".join(s.id for s in found)}')
    raise NotUsable(f'unknown {"model" if kind == "model" else "accelerator"} "{name}"')


def precision(text: str) -> tuple[str, str]:
    """(dtype, recipe) of a precision as sources write it. Recipes: "mx", "cs", "block", "ds" or "" (not told).

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


def release(source: str, day: str) -> str:
    """Release of the software, "YY.MM": as the source names it, else its date; "" when neither tells.

    >>> release("NVIDIA Megatron-Bridge performance summary, container 26.04.01", "2026-05")
    '26.04'
    >>> release("pytorch/torchtitan benchmarks", "2024-12"), release("MaxText README", "2023-2024")
    ('24.12', '')
    """
    named = re.search(r"(?:container |v|NeMo |, )(\d\d\.\d\d)", source)
    if named:
        return named[1]
    dated = re.match(r"20(\d\d)-(0[1-9]|1[0-2])(?!\d)", day)  # "2023-2024" is a span of years
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
    return node * 1e9 / 8 / SERVER if node else 0.0


def task(beside: str) -> str:
    """The task a remark tells ("task=lora"); pretraining where none does."""
    told = re.search(r"task=(\w+)", beside)
    return told[1].casefold() if told else "pretrain"


def open_interleaving(stack: str, source: str = "") -> bool:
    """Whether a stack interleaves without its sources telling: Megatron-LM's papers and tables of 2021 to 2024.

    Korthikanti et al. tell: where they name no chunks there are none.
    """
    return stack in ("stack-megatron-2021", "stack-megatron-2022", "stack-megatron-core") \
        and "Korthikanti" not in source


def sharing(sharding: str, cells: Cells, chips: int, found: Mapping[str, int]) -> dict[str, int]:
    """ZeRO level, and the ways over which states are shared where that is not every data-parallel rank."""
    over = chips // max(math.prod(found.get(a, 1) for a in ("tp", "pp", "cp")), 1) * found.get("cp", 1)
    group = _group(sharding, cells, over)
    return {"zero": zero(sharding), **({"group": group} if 0 < group < over and over % group == 0 else {})}


def zero(sharding: str) -> int:
    """ZeRO level as told; the distributed optimizer (1) where nothing is.

    >>> [zero(s) for s in ("fsdp/zero3", "fsdp2 zero2", "zero1 (distributed optimizer)", "none", "")]
    [3, 2, 1, 0, 1]
    """
    if "zero2" in sharding:
        return 2
    if "fsdp" in sharding or "zero3" in sharding or "hsdp" in sharding:
        return 3
    return 0 if sharding.startswith(("none", "not stated")) else 1


def _group(sharding: str, cells: Cells, over: int) -> int:
    """Ways of sharing as told: "within groups of 8", "dp2 x fsdp128", "hsdp" (a server), "... between slices"."""
    told = re.search(r"groups of (\d+)", sharding) or re.search(r"dp\d+ x fsdp(\d+)", sharding)
    if told:
        return int(told[1])
    axes = [int(n) for n in re.findall(r"(?:dcn_|ici_|\b)FSDP=(\d+)", cells.get("other_config", ""))]
    if axes:
        return math.prod(axes)
    if sharding == "hsdp":
        return SERVER
    slices = re.match(r"(\d+)x ", cells.get("system", ""))
    return over // max(int(slices[1]), 1) if "between slices" in sharding and slices else 0


def recompute(text: str) -> int:
    """Recomputation as told: 0 none, 1 selective, 2 full; nothing told is none, as in the vendors' recipes."""
    low = text.casefold()
    if low.startswith(("full", "qkv_proj_offloaded")):
        return 2
    return 1 if low.startswith(("selective", "minimal", "custom", "save_dot", "see configs")) else 0


def schedule(beside: str) -> dict[str, int]:
    """Pipeline schedule as told; V-shaped zero-bubble schedules count as zero-bubble."""
    low = beside.casefold()
    if "v-min" in low:
        raise NotUsable('the pipeline schedule "v-min" is not modelled')
    if "dualpipe" in low:
        return {"schedule": 2}
    return {"schedule": 1} if re.search(r"zero-bubble|zbv|zb-h", low) else {}


def convention(cells: Cells) -> str:
    """How the source counts the FLOPs of attention: half of it ("causal") or all."""
    low = cells.get("flop_convention", "").casefold()
    if "causal half" in low or ("causal" in low and "full" not in low and "non-causal" not in low):
        return "TFLOP/s causal"
    return "TFLOP/s full"
