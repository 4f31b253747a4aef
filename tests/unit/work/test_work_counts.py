"""Parameter, FLOP and cache counts against published figures and against the operators."""

from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch, arch_gaps, arch_ids
from exafleet.facts.catalogue import load_facts
from exafleet.work.counts import (
    active_parameters,
    attention_parameters,
    flops_per_token,
    kv_bytes,
    kv_bytes_per_token,
    parameters,
    weight_bytes,
)
from exafleet.work.operators import decode_work, prefill_work, train_work

FACTS = load_facts(date(2026, 11, 23))
COUNTED = [i for i in arch_ids(FACTS) if not arch_gaps(FACTS, i) and FACTS.try_value(f"{i}.params_published")]
# Published figures that are not counts of this shape, with the largest deviation they explain.
ROUNDED = {
    **dict.fromkeys(("gpt3-5b", "gpt3-20b", "megatrongpt-3.6b", "vtrain-gpt-3.6b", "kimi-k2", "llama-4-scout",
                     "qwen3-1.7b"), (0.015, "the name is a rounded figure, or leaves small parts out")),
    **dict.fromkeys(("megatrongpt-1.7b", "mcoregpt-1.7b", "mcoregpt-32b"), (0.03, "the table rounds to its name")),
    **{f"maxtext-default-{n}b": (0.03, "named after a power of two") for n in (16, 32, 64, 128, 256, 512, 1024)},
    **dict.fromkeys(("nemotron-3-8b-2023", "nemotron-3-22b-2023", "nemotron-4-15b"),
                    (0.07, "the name leaves the 256,000-entry embeddings out or rounds")),
    **dict.fromkeys(("nemotron-3-nano", "nemotron-3.5-lightning"), (0.06, "30B is a rounded name of 31.6B")),
    "falcon-40b": (0.035, "40B is a rounded name of 41.3B"),
    "deepseek-v4-pro": (0.02, "1.6T is a rounded figure, and small parts are left out"),
    "nemotron-super-49b": (0.02, "49B is a rounded name of 49.9B"),
    **dict.fromkeys(("gemma-3-12b", "gemma-4-26b-a4b", "gemma-4-31b"), (0.04, "the name counts the vision tower")),
}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_agree_with_the_published_count(name: str) -> None:
    counted, told = float(parameters(arch(FACTS, name)).total), FACTS.value(f"{name}.params_published")
    allowed = ROUNDED[name][0] if name in ROUNDED else 0.01
    assert counted == pytest.approx(told, rel=allowed)


def test_exceptions_are_needed() -> None:
    apart = {n for n in COUNTED
             if abs(float(parameters(arch(FACTS, n)).total) / FACTS.value(f"{n}.params_published") - 1) > 0.0099}
    assert set(ROUNDED) <= apart | {"gpt3-5b"}


# Active parameters as the model cards state them.
@pytest.mark.parametrize(
    ("name", "billions", "within"),
    [
        ("mixtral-8x7b", 12.9, 0.01),
        ("mixtral-8x22b", 39.1, 0.01),
        ("deepseek-v3", 37.0, 0.02),
        ("qwen3-235b-a22b", 22.0, 0.01),
        ("grok-1", 86.0, 0.02),
        ("llama-3-8b", 8.03, 0.001),
        ("qwen3-coder-480b-a35b", 35.0, 0.02),
        ("qwen3.5-397b-a17b", 17.0, 0.025),
        ("qwen3.5-122b-a10b", 10.0, 0.025),
        ("nemotron-3-super", 12.0, 0.07),
        ("nemotron-3-ultra", 55.0, 0.02),
    ],
)
def test_active_parameters_agree_with_the_model_card(name: str, billions: float, within: float) -> None:
    assert active_parameters(arch(FACTS, name)) / 1e9 == pytest.approx(billions, rel=within)


# These cards leave the vocabulary out.
@pytest.mark.parametrize(("name", "billions", "within"), [
    ("glm-4.5", 32.0, 0.01), ("glm-4.5-air", 12.0, 0.02), ("minimax-m2", 10.0, 0.025), ("glm-5", 40.0, 0.01),
    ("deepseek-v3.2", 37.0, 0.015), ("deepseek-v4-flash", 13.0, 0.025), ("deepseek-v4-pro", 49.0, 0.025)])
def test_active_parameters_without_vocabulary_agree_with_the_model_card(name: str, billions: float,
                                                                        within: float) -> None:
    a = arch(FACTS, name)
    vocabulary = float(parameters(a)["embedding"] + parameters(a)["head"])
    assert (active_parameters(a) - vocabulary) / 1e9 == pytest.approx(billions, rel=within)


# GFLOP per trained token at 4096 tokens, causal attention counted by half: another count over the published shapes.
@pytest.mark.parametrize(("name", "gflop"), [
    ("llama-2-7b", 42.864), ("llama-3-8b", 48.249), ("llama-3-70b", 433.116), ("llama-3.1-405b", 2473.222),
    ("mixtral-8x7b", 79.713), ("grok-1", 512.194), ("deepseek-v3", 250.45), ("qwen3-235b-a22b", 148.331),
    ("gpt3-175b", 1076.443), ("gpt-oss-120b", 32.71), ("kimi-k2", 205.468), ("nemotron-4-340b", 2061.307)])
def test_flops_per_token_agree_with_the_table(name: str, gflop: float) -> None:
    assert float(flops_per_token(arch(FACTS, name), 4096)) / 1e9 == pytest.approx(gflop, rel=0.005)


@pytest.mark.parametrize("name", ["llama-3-8b", "gpt3-175b", "nemotron-4-15b"])
def test_dense_flops_are_six_n_and_attention(name: str) -> None:
    a, seq = arch(FACTS, name), 8192
    # 6 per weight that multiplies, and 12 L h s / 2 for causal attention of as many keys as heads times their width.
    multiplied = float(parameters(a).total - parameters(a)["embedding"] - parameters(a)["norms"])
    multiplied += a.hidden * a.vocab if a.tied_embeddings else 0
    expected = 6 * multiplied + 6 * a.layers * a.heads * a.head_dim * seq
    assert float(flops_per_token(a, seq)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["llama-3-8b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-120b", "nemotron-3-nano",
                                  "qwen3.5-27b", "qwen3-next-80b-a3b", "deepseek-v4-flash"])
def test_operators_do_the_flops_of_the_formula(name: str) -> None:
    a, seq = arch(FACTS, name), 4096
    work = train_work(a, seq=seq, dtype="bf16", micro_batch=2)
    # Flash attention computes scores again: its backward is 2.5 and not 2 times forward; take that half off.
    core = [o in ("attention", "mla") and s == "dgrad" for o, s in zip(work.kinds, work.steps, strict=True)]
    flops = np.where(core, work.flops * 2.0 / 2.5, work.flops)
    expected = float(flops_per_token(a, seq, mtp=True)) * 2 * seq
    # MTP blocks are counted as blocks of the last kind, without their own projection; convolutions are not products.
    assert float(work.total(flops)) == pytest.approx(expected, rel=0.02 if a.mtp_layers or a.state_layers else 1e-6)


@pytest.mark.parametrize("name", ["llama-3-8b", "mixtral-8x7b", "deepseek-v3", "qwen3.5-397b-a17b", "deepseek-v4-pro",
                                  "falcon-180b", "nemotron-super-49b"])
def test_forward_operators_of_serving_do_a_third(name: str) -> None:
    a = arch(FACTS, name)
    prefill = prefill_work(a, dtype="bf16", tokens=4096, seq=4096, sequences=4096)
    assert float(prefill.total(prefill.flops)) == pytest.approx(
        float(flops_per_token(a, 4096, train=False)) * 4096, rel=0.001
    )


def test_shards_divide_the_work() -> None:
    a = arch(FACTS, "llama-3-70b")
    work = train_work(a, seq=4096, dtype="bf16", tp=[1, 2, 4, 8])
    flops = work.total(work.flops)
    assert flops[0] / flops == pytest.approx([1, 2, 4, 8], rel=1e-9)


def test_cache_of_grouped_and_latent_attention() -> None:
    # Llama 3 8B: 2 x 8 heads x 128 x 32 layers x 2 bytes. DeepSeek-V3: (512 + 64) x 61 layers x 2 bytes.
    assert kv_bytes_per_token(arch(FACTS, "llama-3-8b")) == 131072
    assert kv_bytes_per_token(arch(FACTS, "deepseek-v3")) == 70272


def test_window_stops_the_cache_growing() -> None:
    a = arch(FACTS, "gpt-oss-120b")
    far, near = float(kv_bytes(a, 100_000)), float(kv_bytes(a, 99_000))
    assert far - near == pytest.approx(1000 * kv_bytes_per_token(a))
    assert far < 100_000 * kv_bytes_per_token(a) * 1.01


def test_decode_reads_every_weight_and_the_cache_once() -> None:
    a = arch(FACTS, "llama-3-8b")
    work = decode_work(a, dtype="bf16", kv_dtype="bf16", sequences=1, context=1000)
    gemm = [k == "gemm" for k in work.kinds]
    weights = float(weight_bytes(a, "bf16") - 2 * parameters(a)["embedding"] - 2 * parameters(a)["norms"])
    assert float(work.total(np.where(gemm, work.nbytes, 0))) == pytest.approx(weights, rel=0.001)
    cache = [k == "decode" for k in work.kinds]
    assert float(work.total(np.where(cache, work.nbytes, 0))) == pytest.approx(1000 * kv_bytes_per_token(a))


def test_few_tokens_touch_few_experts() -> None:
    a = arch(FACTS, "deepseek-v3")
    one, many = (decode_work(a, dtype="bf16", kv_dtype="bf16", sequences=n, context=1) for n in (1, 4096))
    at = one.names.index("experts in")
    assert one.groups[at] == pytest.approx(8)
    assert many.groups[at] == pytest.approx(256)


def test_attention_parameters_of_latent_attention() -> None:
    # DeepSeek-V3: 7168x1536 + 1536x128x192 + 7168x576 + 512x128x256 + 128x128x7168
    assert attention_parameters(arch(FACTS, "deepseek-v3")) == 11010048 + 37748736 + 4128768 + 16777216 + 117440512
