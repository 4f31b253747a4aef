"""What words in a table of serving runs mean: models, systems, number formats, engines, deployments, speculation.

Sources write these as remarks, not as codes. What is not told is taken as engines have it by default where that is
documented (the format of the cache), and left open elsewhere (speculative decoding): docs/validation-rows.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from dataclasses import dataclass

from exafleet.facts.catalogue import Facts
from exafleet.facts.subjects import fold
from exafleet.step.measured import run_words
from exafleet.step.measured.cells import Cells, NotUsable, needed, whole
from exafleet.step.measured.chip_words import holder, spoken_chip

# Engines by how sources begin their name; the others are called as they are written.
ENGINES = (("tensorrt-llm", "trtllm"), ("trt", "trtllm"), ("dynamo-trt", "trtllm"), ("sglang", "sglang"),
           ("dynamo-sglang", "sglang"), ("vllm", "vllm"), ("dynamo-vllm", "vllm"))
# Chips of servers that are named apart from their chip.
SERVER = 8
# Tokens that deployments with multi-token prediction propose, between one (many users) and three (few).
USUAL_DRAFT = 2.0
# Formats of stored weights that are narrower than what the chip multiplies in.
MIXED = ("gpt-oss",)
# Precisions that are of the weights alone, of four bits.
WEIGHTS_ALONE = ("int4", "uint4", "w4a16", "awq", "gptq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal replicas of one phase: how many, and the layout of each. dp > 1 is attention data parallelism."""

    count: int
    tp: int
    pp: int = 1
    dp: int = 1
    ep: int = 1

    @property
    def replica(self) -> int:
        """Chips of one replica."""
        return self.tp * self.pp * self.dp

    @property
    def chips(self) -> int:
        """Chips of the pool."""
        return self.count * self.replica


def system(facts: Facts, accelerator: str, name: str) -> str:
    """Id of the system a row names: by its own name, else its accelerator's rack if there is one, else its server."""
    own = [s for s in facts.subjects.by_name.get(fold(name), ()) if s.kind == "system"]
    return own[0].id if len(own) == 1 else holder(facts, spoken_chip(facts, accelerator), SERVER, name)


def engine(name: str) -> str:
    """The engine behind a framework's name.

    >>> engine("TensorRT-LLM"), engine("dynamo-trt MTP"), engine("vLLM")
    ('trtllm', 'trtllm', 'vllm')
    """
    low = name.casefold()
    return next((found for start, found in ENGINES if low.startswith(start)), low.replace(" ", "-"))


def formats(precision: str, model: str, arch: str, peaks: Collection[str]) -> tuple[str, str]:
    """(dtype of products, of stored weights where narrower, else "") as sources write a precision.

    peaks   number formats the chip multiplies in

    A precision that is not told is the one in the model's name, else bf16. Formats of weights alone are multiplied in
    bf16, or in FP8 where the name says so; so is a format that the chip has no hardware for.

    >>> formats("fp4 (gemm nvfp4, moe nvfp4)", "", "deepseek-v3", {"bf16", "fp8", "fp4"})
    ('fp4', '')
    >>> formats("FP4", "", "gpt-oss-120b", {"bf16", "fp8"}), formats("w4afp8", "", "deepseek-v3", {"bf16", "fp8"})
    (('bf16', 'fp4'), ('fp8', 'int4'))
    """
    told = precision or next((f for f in ("nvfp4", "fp8", "int4", "awq", "gptq") if f in model.casefold()), "")
    low = told.casefold()
    if arch.startswith(MIXED):
        return ("fp8" if "fp4" in peaks else "bf16"), "fp4"
    if low.startswith("w4afp8"):
        return "fp8", "int4"
    if low.startswith(WEIGHTS_ALONE):
        return "bf16", "int4"
    dtype = run_words.precision(told)[0] if told else "bf16"
    return (dtype, "") if dtype in peaks or dtype == "bf16" else ("bf16", dtype)


def cache_format(told: str, dtype: str, weights: str, engine_name: str, blackwell: bool) -> str:
    """Format of the key-value cache: as told, else as the engines have it for such weights.

    NVIDIA's low-precision checkpoints ask for an FP8 cache; on Blackwell the other engines' recipes do too.
    """
    low = told.casefold()
    if "fp8" in low:
        return "fp8"
    if "16" in low:
        return "bf16"
    narrow = dtype in ("fp8", "fp4") or weights == "fp4"
    return "fp8" if narrow and (blackwell or (engine_name == "trtllm" and not weights)) else "bf16"


def draft(cells: Cells) -> float:
    """Tokens that speculation proposes in a step: 0 for none, USUAL_DRAFT where only its name is told, nan for nothing.
    """
    own = cells.get("spec_decode", "").casefold()
    text = f"{own} {cells.get('framework', '')} {cells.get('notes', '')}".casefold()
    if own in ("none", "no", "off", "false") or "no spec" in text or "no mtp" in text:
        return 0.0
    told = re.search(r"\b(mtp|eagle)[- ]?(\d)?", own) or re.search(r"\b(mtp) speculative|dynamo-trt mtp", text)
    if not told:
        return math.nan
    return float(told[2]) if told.lastindex == 2 and told[2] else USUAL_DRAFT


def mean_share(source: str, notes: str) -> float:
    """Mean length over nominal: lengths of InferenceX runs are drawn evenly from 0.8 to 1 of it. [1]"""
    return 0.9 if "inferencex" in source.casefold() or "random with ratio 0.8" in notes else 1.0


def pools(cells: Cells, experts: bool) -> tuple[Pool | None, Pool]:
    """(prefill, decode) pools of a disaggregated row; (None, pool) of one that decodes and prefills on all its chips.

    Raises NotUsable where the row does not say what it ran on.
    """
    text = cells.get("disaggregated", "").casefold()
    if text in ("", "no", "false"):
        return None, aggregated(cells, experts)
    told = re.search(r"prefill (\d+)x(\d+) gpus / decode (\d+)x(\d+) gpus", text)
    if told:
        one, each, many, wide = (int(n) for n in told.groups())
        return prefill_pool(one, each, experts, cells), decode_pool(many, wide, cells, experts)
    told = re.search(r"prefill (\d+)(?: gpus)?(?: \(tp(\d+)\))? / decode (\d+) gpus(?: \(ep(\d+)\))?", text)
    if told:
        one, tp, many, ep = (int(n) if n else 0 for n in told.groups())
        each, wide = tp or min(one, SERVER), ep or min(many, SERVER)
        if one % each or many % wide:
            raise NotUsable(f'the deployment "{text}" does not divide into replicas')
        return prefill_pool(one // each, each, experts, cells), decode_pool(many // wide, wide, cells, experts)
    raise NotUsable("prefill and decode run apart, and how many accelerators each has is not stated")


def prefill_pool(count: int, chips: int, experts: bool, cells: Cells) -> Pool:
    """Prefill replicas of so many chips: attention data parallel where decode is, else tensor parallel."""
    if experts and (axis(cells, "dp") or 1) > 1:
        return Pool(count=count, tp=1, dp=chips, ep=chips)
    return Pool(count=count, tp=chips, ep=chips if experts and (axis(cells, "ep") or 1) > 1 else 1)


def decode_pool(count: int, chips: int, cells: Cells, experts: bool) -> Pool:
    """Decode replicas of so many chips, by the axes the row states of them."""
    dp = axis(cells, "dp") or 1
    ep = chips if experts and max(axis(cells, "ep") or 1, dp if dp > 1 else 1) > 1 else 1
    if experts and dp > 1:
        dp = chips if dp >= chips or chips % dp else dp
        return Pool(count=count, tp=chips // dp, dp=dp, ep=ep)
    return Pool(count=count, tp=chips, ep=ep)


def aggregated(cells: Cells, experts: bool) -> Pool:
    """The replica of an aggregated row; axes that are not stated are 1 or follow from the others."""
    tp, pp, ep, dp = (axis(cells, name) for name in ("tp", "pp", "ep", "dp"))
    chips = whole(cells, "gpus")
    if tp is None and dp is None and ep is None:
        if not chips:
            raise NotUsable("the layout is not stated")
        raise NotUsable("the layout is not stated: only the number of accelerators is")
    pp = pp or 1
    dp = (dp or 1) if experts else 1
    if tp is None:
        tp = max((chips or (ep or 1) * pp) // (dp * pp), 1)
    if dp > 1 and chips and tp * dp * pp > chips:
        tp = max(chips // (dp * pp), 1)  # attention data parallelism: each group is what the chips leave it
    ways = tp * dp
    ep = min(ep or (dp if dp > 1 else 1), ways) if experts else 1
    if ep > 1 and ways % ep:
        raise NotUsable(f"EP{ep} does not divide TP{tp} x DP{dp}")
    replica = ways * pp
    chips = chips or replica
    if chips % replica:
        raise NotUsable(f"TP{tp} PP{pp} DP{dp} does not divide {chips} accelerators")
    return Pool(count=chips // replica, tp=tp, pp=pp, dp=dp, ep=ep)


def axis(cells: Cells, name: str) -> int | None:
    """Ways of one axis; sources write 0 where an axis is not used. None where it is not told."""
    return None if cells.get(name) in (None, "0", "0.0") else whole(cells, name)


def load(cells: Cells, pool: Pool, phase: str) -> tuple[float, float]:
    """(requests kept running, requests sent in all): inf and the number queued at once where all are.

    A batch "per rank" is of each attention group of each decode replica; so is that of a pool measured alone.
    """
    text = cells.get("concurrency_or_batch", cells.get("concurrency", "")).casefold()
    if not text:
        raise NotUsable("the load is not stated")
    if text.startswith("max load"):
        sent = re.search(r"\((\d+) (?:prompts|requests)", text)
        return float("inf"), float(sent[1]) if sent else float("nan")
    each = re.match(r"(?:batch )?(\d+)$", text) if phase else re.match(r"batch (\d+) per rank", text)
    told = each or re.match(r"~?(\d{1,3}(?:,\d{3})+|\d+)(?![\w.,])", text)
    stated = told[1].replace(",", "") if told else text
    many = float(needed({"concurrency_or_batch": stated}, "concurrency_or_batch"))
    return many * (pool.dp * pool.pp * pool.count if each else 1), float("nan")
