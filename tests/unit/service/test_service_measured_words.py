"""What words in tables of serving runs mean: systems, engines, formats, pools, loads and speculation, odd ones too."""

import datetime
import math

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.service.measured import words
from exafleet.service.measured.words import Pool
from exafleet.step.measured.cells import NotUsable

FACTS = load_facts(datetime.date(2026, 11, 26))
TP8 = Pool(count=1, tp=8)


@pytest.mark.parametrize(("accelerator", "name", "found"), [
    ("H100 SXM", "", "hgx-h100"), ("H100 SXM", "DGX H100", "dgx-h100"), ("H200 SXM", "one node of eight", "hgx-h200"),
    ("GB200", "GB200 NVL72", "gb200-nvl72"), ("GB200", "", "gb200-nvl72"), ("MI300X", "", "mi300x-8"),
    ("L40S", "", "l40s-8"), ("h100 sxm", "HGX h100", "hgx-h100"),
    ("GB200", "Azure ND GB200 v6 (4-GPU VM)", "gb200-nvl72"),
    ("RTX PRO 6000 BSE", "PCIe server", "rtx-pro-6000-8"), ("A100 SXM 80GB", "HGX A100", "hgx-a100-80gb"),
    ("H800 SXM", "8-GPU H800 nodes, IB", "hgx-h800"), ("GH200", "GH200", "gh200-96gb-1"),
    ("MI300X", "8x MI300X 750 W, dual EPYC 9554", "mi300x-8"), ("MI355X", "8-GPU", "mi355x-8")])
def test_a_system_is_its_own_name_or_the_usual_one_of_its_accelerator(accelerator, name, found):
    assert words.system(FACTS, accelerator, name) == found


@pytest.mark.parametrize(("accelerator", "said"), [
    ("XPU-9", 'unknown accelerator "XPU-9"'), ("", "no accelerator is stated"),
    ("eight cards", 'unknown accelerator "eight cards"')])
def test_an_accelerator_nobody_knows_is_told(accelerator, said):
    with pytest.raises(NotUsable, match=said):
        words.system(FACTS, accelerator, "")


def test_a_named_system_without_its_accelerator_is_refused():
    with pytest.raises(NotUsable, match='"DGX H100" holds no "B200 SXM"'):
        words.system(FACTS, "B200 SXM", "DGX H100")
    assert words.system(FACTS, "", "DGX H100") == "dgx-h100"


@pytest.mark.parametrize(("name", "found"), [
    ("TensorRT-LLM 1.0", "trtllm"), ("TRTLLM", "trtllm"), ("trt", "trtllm"), ("dynamo-trt MTP", "trtllm"),
    ("SGLang", "sglang"), ("dynamo-sglang", "sglang"), ("vLLM 0.9", "vllm"), ("dynamo-vllm", "vllm"),
    ("LMDeploy", "lmdeploy"), ("Some Engine", "some-engine"), ("", "")])
def test_engines_are_known_by_how_their_name_begins_and_others_keep_it(name, found):
    assert words.engine(name) == found


@pytest.mark.parametrize(("precision", "model", "arch", "blackwell", "found"), [
    ("fp8", "", "llama-3-70b", False, ("fp8", "")), ("bf16", "", "llama-3-70b", True, ("bf16", "")),
    ("FP8 (gemm fp8, moe fp8_block)", "", "deepseek-v3", True, ("fp8", "")),
    ("INT4", "", "kimi-k2", True, ("bf16", "int4")), ("w4a16", "", "llama-3-8b", False, ("bf16", "int4")),
    ("fp4", "", "gpt-oss-120b", True, ("fp8", "fp4")), ("", "gpt-oss", "gpt-oss-20b", False, ("bf16", "fp4")),
    ("", "DeepSeek-R1-NVFP4", "deepseek-v3", True, ("fp4", "")), ("", "Qwen3-32B-FP8", "qwen3-32b", True, ("fp8", "")),
    ("", "Llama-3-8B", "llama-3-8b", True, ("bf16", ""))])
def test_formats_of_products_and_of_stored_weights(precision, model, arch, blackwell, found):
    peaks = {"bf16", "fp8", "fp4"} if blackwell else {"bf16", "fp8"}
    assert words.formats(precision, model, arch, peaks) == found


@pytest.mark.parametrize(("precision", "peaks", "found"), [
    ("fp4", {"bf16", "fp8"}, ("bf16", "fp4")), ("fp8", {"bf16", "int8"}, ("bf16", "fp8")),
    ("w4afp8", {"bf16", "fp8"}, ("fp8", "int4")), ("awq", {"bf16"}, ("bf16", "int4"))])
def test_a_format_the_chip_cannot_multiply_is_of_the_weights_alone(precision, peaks, found):
    assert words.formats(precision, "", "llama-3-70b", peaks) == found


@pytest.mark.parametrize("precision", ["int3", "double double", "fp5"])
def test_a_precision_nobody_has_is_refused(precision):
    with pytest.raises(NotUsable):
        words.formats(precision, "", "llama-3-8b", {"bf16", "fp8", "fp4"})


@pytest.mark.parametrize(("told", "dtype", "weights", "engine", "blackwell", "found"), [
    ("fp8_e4m3", "bf16", "", "vllm", False, "fp8"), ("BF16", "fp8", "", "trtllm", True, "bf16"),
    ("fp16", "fp8", "", "trtllm", True, "bf16"), ("", "fp8", "", "trtllm", False, "fp8"),
    ("", "fp8", "", "vllm", False, "bf16"), ("", "fp8", "", "vllm", True, "fp8"),
    ("", "fp4", "", "sglang", True, "fp8"),
    ("", "bf16", "fp4", "trtllm", False, "bf16"), ("", "bf16", "", "trtllm", True, "bf16")])
def test_the_cache_is_as_told_else_as_engines_have_it(told, dtype, weights, engine, blackwell, found):
    assert words.cache_format(told, dtype, weights, engine, blackwell) == found


@pytest.mark.parametrize(("cells", "found"), [
    ({"spec_decode": "none"}, 0), ({"spec_decode": "No"}, 0), ({"notes": "measured with no spec decoding"}, 0),
    ({"spec_decode": "MTP"}, words.USUAL_DRAFT), ({"spec_decode": "mtp-3"}, 3), ({"spec_decode": "EAGLE 2"}, 2),
    ({"framework": "dynamo-trt MTP"}, words.USUAL_DRAFT), ({}, math.nan), ({"spec_decode": "perhaps"}, math.nan)])
def test_speculation_is_none_a_number_of_tokens_or_not_told(cells, found):
    assert words.draft(cells) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize(("cells", "experts", "found"), [
    ({"gpus": "8", "tp": "8"}, False, TP8), ({"gpus": "8", "tp": "4"}, False, Pool(count=2, tp=4)),
    ({"tp": "4", "pp": "2"}, False, Pool(count=1, tp=4, pp=2)), ({"gpus": "4", "tp": "4", "dp": "0"}, True,
                                                                  Pool(count=1, tp=4)),
    # Attention data parallelism: the groups share the chips, and the experts lie on all of them.
    ({"gpus": "8", "tp": "8", "ep": "8", "dp": "8"}, True, Pool(count=1, tp=1, dp=8, ep=8)),
    ({"gpus": "8", "dp": "8"}, True, Pool(count=1, tp=1, dp=8, ep=8)),
    # A dense model's groups are replicas of their own.
    ({"gpus": "8", "tp": "1", "dp": "8"}, False, Pool(count=8, tp=1)),
    ({"gpus": "8", "tp": "8", "ep": "8"}, False, TP8),
    ({"gpus": "8", "tp": "8", "ep": "64"}, True, Pool(count=1, tp=8, ep=8))])
def test_the_replica_of_a_row_that_does_both_phases(cells, experts, found):
    assert words.pools(cells, experts) == (None, found)


@pytest.mark.parametrize(("text", "axes", "found"), [
    ("prefill 2x8 GPUs / decode 4x8 GPUs", {}, (Pool(count=2, tp=8), Pool(count=4, tp=8))),
    ("prefill 2x4 gpus / decode 1x32 gpus", {"dp": "32", "ep": "32"},
     (Pool(count=2, tp=1, dp=4, ep=4), Pool(count=1, tp=1, dp=32, ep=32))),
    ("prefill 2x4 gpus / decode 1x8 gpus", {"ep": "8"}, (Pool(count=2, tp=4, ep=4), Pool(count=1, tp=8, ep=8))),
    ("prefill 16 (TP4) / decode 32 GPUs (EP32)", {"dp": "32"},
     (Pool(count=4, tp=1, dp=4, ep=4), Pool(count=1, tp=1, dp=32, ep=32)))])
def test_pools_of_a_row_with_prefill_and_decode_apart(text, axes, found):
    assert words.pools({"disaggregated": text, **axes}, experts=True) == found


@pytest.mark.parametrize(("cells", "reason"), [
    ({}, "the layout is not stated"), ({"gpus": "8"}, "only the number of accelerators is"),
    ({"gpus": "6", "tp": "4"}, "does not divide 6 accelerators"), ({"gpus": "8", "tp": "8", "ep": "3"}, "EP3"),
    ({"disaggregated": "yes"}, "how many accelerators each has"),
    ({"disaggregated": "prefill 12 (TP8) / decode 8 GPUs"}, "does not divide into replicas"),
    ({"gpus": "8", "tp": "two"}, 'no number: "two"'), ({"gpus": "-8", "tp": "8"}, "positive"),
    ({"gpus": "8", "tp": "2.5"}, "whole")])
def test_a_deployment_that_is_not_told_or_cannot_be_says_so(cells, reason):
    with pytest.raises(NotUsable, match=reason.replace("(", r"\(")):
        words.pools(cells, experts=True)


@pytest.mark.parametrize(("text", "phase", "found"), [
    ("64", "", (64, math.nan)), ("~50", "", (50, math.nan)), ("~50 (mean)", "", (50, math.nan)),
    ("1,024", "", (1024, math.nan)), ("1e3", "", (1000, math.nan)), ("batch 16 per rank", "", (16 * 8 * 3, math.nan)),
    ("16", "decode", (16 * 8 * 3, math.nan)), ("batch 16", "decode", (16 * 8 * 3, math.nan)),
    ("max load", "", (math.inf, math.nan)), ("Max load (3000 requests)", "", (math.inf, 3000))])
def test_the_load_of_a_row(text, phase, found):
    pool = Pool(count=3, tp=1, dp=8, ep=8)
    assert words.load({"concurrency_or_batch": text}, pool, phase) == pytest.approx(found, nan_ok=True)


@pytest.mark.parametrize("text", ["", "many", "-4", "0", "~0", "0.5 or so", "10,24", "12.5",
                                  "batch 0 per rank", "10000000000"])
def test_a_load_that_is_none_is_refused(text):
    with pytest.raises(NotUsable):
        words.load({"concurrency_or_batch": text}, TP8, "")


def test_lengths_drawn_from_a_range_have_a_mean_below_the_nominal_one():
    assert words.mean_share("InferenceX database", "") == words.mean_share("", "random with ratio 0.8") == 0.9
    assert words.mean_share("engine's own page", "") == 1.0


def test_a_pool_counts_its_chips():
    pool = Pool(count=3, tp=2, pp=2, dp=4, ep=8)
    assert (pool.replica, pool.chips) == (16, 48)
