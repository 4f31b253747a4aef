"""Operators of training against sums written out by hand, and laws of recipes, kernels and shards."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import load_facts
from exafleet.terms.errors import FactError
from exafleet.work.counts import flops_per_token, seen
from exafleet.work.operator import Work
from exafleet.work.operators import decode_work, prefill_work, train_work
from exafleet.work.recipes import EAGER, FUSED, RECIPES, cast_bytes, recipe

FACTS = load_facts(date(2026, 11, 23))
LLAMA = arch(FACTS, "llama-3-8b")
HYBRID = arch(FACTS, "nemotron-h-56b")


def only(work: Work, what: np.ndarray, name: str, step: str) -> float:
    at = [i for i, (n, s) in enumerate(zip(work.names, work.steps, strict=True)) if n == name and s == step]
    assert len(at) == 1, (name, step)
    return float(what[..., at[0]])


def of_kind(work: Work, what: np.ndarray, *kinds: str) -> float:
    return float(sum((what * work.count)[..., i] for i, kind in enumerate(work.kinds) if kind in kinds))


def test_products_are_two_flops_a_weight_and_token_three_times() -> None:
    # The second way: the weights themselves, counted from the dimensions of Llama 3 8B.
    block = 4096 * 4096 * 2 + 4096 * 1024 * 2 + 3 * 4096 * 14336
    weights = 32 * block + 4096 * 128256
    work = train_work(LLAMA, seq=8192, dtype="bf16", micro_batch=2)
    assert of_kind(work, work.flops, "gemm") == pytest.approx(6.0 * weights * 2 * 8192, rel=1e-12)


def test_attention_is_half_causal_or_a_window_and_costs_two_and_a_half_times_backward() -> None:
    for windowed, context in ((0, 4096.0), (LLAMA.attention_layers, 1024 - 1024**2 / (2 * 8192))):
        a = replace(LLAMA, window=1024 if windowed else 0, window_layers=windowed)
        work = train_work(a, seq=8192, dtype="bf16")
        forward = 32 * 4.0 * 32 * 128 * 8192 * context
        assert of_kind(work, work.flops, "attention") == pytest.approx(3.5 * forward, rel=1e-12)
        assert float(seen(8192, a.window)) == context


def test_weight_gradients_are_added_to_main_gradients() -> None:
    t, n, k = 8192.0, 2 * 14336.0, 4096.0
    for gradient in (4.0, 2.0):
        work = train_work(LLAMA, seq=8192, dtype="bf16", gradient=gradient)
        found = only(work, work.nbytes, "mlp in", "wgrad")
        assert found == pytest.approx(2 * (t * n + t * k) + 2 * gradient * n * k, rel=1e-12)
        assert only(work, work.nbytes, "mlp in", "dgrad") == pytest.approx(2 * (t * n + n * k + t * k), rel=1e-12)


def test_a_scan_in_chunks_is_its_four_products() -> None:
    a, t, q = HYBRID, 8192, 256
    heads, width, state, groups = a.ssm_heads, a.ssm_head_dim, a.ssm_state, a.ssm_groups
    chunks = t / q
    # C B' of a group and its product with the inputs of a head, half of each causal; states in and states out.
    inside = chunks * (groups * 2 * q * q * state + heads * 2 * q * q * width) / 2
    between = chunks * heads * 2 * (2 * q * width * state)
    work = train_work(a, seq=t, dtype="bf16")
    assert only(work, work.flops, "scan inside chunks", "forward") == pytest.approx(inside, rel=1e-12)
    assert only(work, work.flops, "scan between chunks", "forward") == pytest.approx(between, rel=1e-12)
    assert only(work, work.flops, "scan between chunks", "dgrad") == pytest.approx(2.5 * between, rel=1e-12)


def test_recipes_move_what_their_passes_say() -> None:
    # Bytes an element: reads of bf16, two copies, scales beside them.
    expected = {("fp8", "ds"): 2 + 2, ("fp8", "cs"): 4 + 2, ("fp8", "block"): 2 + 2 + 8 / 128,
                ("fp8", "mx"): 2 + 2 + 2 / 32, ("fp4", "nv"): 4 + 2 * (0.5 + 1 / 16), ("int8", "cs"): 2 + 2}
    assert {at: cast_bytes(how, at[0]) for at, how in RECIPES.items()} == pytest.approx(expected)
    # Written by the kernel before, a delayed-scaling copy pair takes the place of the bf16 output.
    assert cast_bytes(RECIPES["fp8", "ds"], "fp8", inside=True) == 0.0
    assert cast_bytes(RECIPES["fp8", "cs"], "fp8", inside=True) == 6.0


def test_recipes_by_chip_family_and_by_name() -> None:
    assert recipe("bf16", "Hopper") is None
    assert recipe("fp8", "Hopper") is RECIPES["fp8", "cs"]
    assert recipe("fp8", "Blackwell Ultra") is RECIPES["fp8", "mx"]
    assert recipe("fp8", "Blackwell", "block") is RECIPES["fp8", "block"]
    with pytest.raises(FactError, match="ds, cs, block, mx"):
        recipe("fp8", "Hopper", "cx")


@pytest.mark.parametrize("at", RECIPES)
def test_a_recipe_changes_bytes_and_curves_but_no_flops(at: tuple[str, str]) -> None:
    plain = train_work(LLAMA, seq=4096, dtype="bf16")
    low = train_work(LLAMA, seq=4096, dtype=at[0], recipe=RECIPES[at])
    assert float(low.total(low.flops)) == pytest.approx(float(plain.total(plain.flops)), rel=1e-12)
    assert of_kind(low, low.nbytes, "gemm") < of_kind(plain, plain.nbytes, "gemm")
    assert of_kind(low, low.nbytes, "memory") > of_kind(plain, plain.nbytes, "memory")
    assert RECIPES[at].curve in low.curves
    assert set(plain.curves) == {"bf16", "bf16_train"}


def test_blocks_kept_wide_split_the_products_and_lose_no_flop() -> None:
    how = RECIPES["fp4", "nv"]
    none, some, every = (train_work(LLAMA, seq=4096, dtype="fp4", recipe=how, wide=w) for w in (0.0, 0.125, 1.0))
    assert float(some.total(some.flops)) == pytest.approx(float(none.total(none.flops)), rel=1e-12)
    wide = sum((some.flops * some.count)[i] for i, (d, p) in enumerate(zip(some.dtypes, some.parts, strict=True))
               if d == "bf16" and p == "mlp gemm")
    assert float(wide) == pytest.approx(0.125 * 6 * 32 * 3 * 4096 * 14336 * 4096, rel=1e-12)
    plain = train_work(LLAMA, seq=4096, dtype="bf16")
    assert float(every.total(every.nbytes)) == pytest.approx(float(plain.total(plain.nbytes)), rel=1e-12)


def test_unfused_kernels_move_more_and_multiply_the_same() -> None:
    fused, eager = (train_work(LLAMA, seq=4096, dtype="bf16", kernels=k) for k in (FUSED, EAGER))
    assert float(eager.total(eager.flops)) == float(fused.total(fused.flops))
    assert of_kind(eager, eager.nbytes, "memory") > 1.3 * of_kind(fused, fused.nbytes, "memory")


def test_load_of_the_busiest_rank_scales_routed_experts_only() -> None:
    a = arch(FACTS, "deepseek-v3")
    even, hot = (train_work(a, seq=4096, dtype="bf16", ep=8, load=f) for f in (1.0, 1.25))
    assert of_kind(hot, hot.flops, "grouped") == pytest.approx(1.25 * of_kind(even, even.flops, "grouped"), rel=1e-9)
    assert of_kind(hot, hot.flops, "gemm") == of_kind(even, even.flops, "gemm")


@pytest.mark.parametrize("name", ["llama-3-70b", "deepseek-v3", "gpt-oss-120b", "nemotron-3-super"])
def test_ranks_of_a_tensor_group_share_flops_evenly(name: str) -> None:
    a = arch(FACTS, name)
    one, eight = (train_work(a, seq=4096, dtype="bf16", tp=tp, ep=8) for tp in (1, 2))
    kept = 1 if a.kv_lora or a.latent else 0
    assert float(one.total(one.flops)) == pytest.approx(2.0 * float(eight.total(eight.flops)), rel=1e-9 + 0.01 * kept)


def backward_free(a: Arch, seq: int) -> float:
    work = train_work(a, seq=seq, dtype="bf16")
    forward = sum((work.flops * work.count)[i] for i, s in enumerate(work.steps) if s == "forward")
    return float(forward) / seq


@pytest.mark.parametrize("name", ["llama-3-8b", "deepseek-v3", "gpt-oss-120b", "nemotron-3-super", "nemotron-3-nano"])
def test_forward_of_training_is_the_closed_formula(name: str) -> None:
    a = arch(FACTS, name)
    expected = float(flops_per_token(a, 4096, train=False, mtp=True))
    # The formula counts the convolution's few weights as products; the operators count what they move.
    assert backward_free(a, 4096) == pytest.approx(expected, rel=1e-3)


def test_serving_has_plain_casts_and_curves_of_its_own() -> None:
    prefill = prefill_work(LLAMA, dtype="fp8", tokens=4096, seq=4096)
    decode = decode_work(LLAMA, dtype="fp8", kv_dtype="fp8", sequences=64, context=2048)
    for work in (prefill, decode):
        assert set(work.curves) == {"fp8", "bf16"}
    assert only(prefill, prefill.nbytes, "mlp quantise", "forward") == (4096 + 14336) * 4096 * 4.0
