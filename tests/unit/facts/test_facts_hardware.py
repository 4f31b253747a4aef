"""Chips, systems and models as records, with every missing term told at once."""

from __future__ import annotations

import pickle
from datetime import date

import pytest

from exafleet.facts.architecture import Arch, arch, insane
from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.check import check, diff
from exafleet.facts.hardware import chip, system, system_gaps, systems_of
from exafleet.terms.errors import FactError, MissingFact


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts(date(2026, 6, 30))


def test_a_rack_holds_72_gpus_never_superchips(facts: Facts) -> None:
    rack = system(facts, "gb200-nvl72")
    assert (rack.chips, rack.domain, rack.liquid, rack.chip.id) == (72, 72, True, "gb200-gpu")
    assert rack.chip.peak_flops["bf16"] == 2.5e15
    assert pickle.loads(pickle.dumps(rack)) == rack


def test_a_chip_of_one_system_names_it(facts: Facts) -> None:
    assert systems_of(facts, "gb300-gpu") == ("gb300-nvl72",)
    assert system(facts, "gb300-gpu").id == "gb300-nvl72"
    with pytest.raises(FactError, match=r"2 systems hold it; allowed: dgx-h100 = .*; hgx-h100 = "):
        system(facts, "h100-sxm")


def test_a_chip_that_never_shipped_says_so(facts: Facts) -> None:
    with pytest.raises(FactError, match="never shipped"):
        system(facts, "b100")


def test_all_missing_terms_are_told_at_once(facts: Facts) -> None:
    with pytest.raises(MissingFact) as caught:
        system(facts, "rubin-ultra-nvl144")
    told = str(caught.value)
    assert all(f"rubin-ultra.{t}" in told for t in ("hbm_bw", "link_bw", "nic_bw", "tdp"))


def test_before_its_announcement_a_system_is_missing_not_unknown() -> None:
    with pytest.raises(MissingFact, match=r'"gb200-nvl72.chips" is known as of 2024-01-01'):
        system(load_facts(date(2024, 1, 1)), "gb200-nvl72")


def test_a_what_if_reaches_the_record(facts: Facts) -> None:
    assert chip(facts.with_fact("gb200-gpu.hbm_bw", "9 TB/s"), "gb200-gpu").hbm_bw == 9e12


@pytest.mark.parametrize(("name", "has"), [
    ("llama-3.1-405b", {"layers": 126, "ffn": 53248, "experts": 0, "attention_layers": 126, "mlp_layers": 126}),
    ("mixtral-8x7b", {"moe_layers": 32, "ffn": 0, "expert_ffn": 14336}),
    ("deepseek-v3", {"moe_layers": 58, "ffn": 18432, "kv_lora": 512, "head_dim": 192, "mtp_layers": 1}),
    ("llama-4-maverick", {"moe_layers": 24, "window_layers": 36}),
    ("nemotron-3-nano", {"layers": 52, "attention_layers": 6, "mlp_layers": 23, "ssm_layers": 23, "mlp_matrices": 2}),
    ("gpt-oss-120b", {"window": 128, "window_layers": 18}),
    ("grok-2", {"residual_dense_ffn": 32768, "expert_ffn": 16384}),
    ("gpt3-175b", {"positions": 2048, "tied_embeddings": True, "mlp_matrices": 2}),
])
def test_models_are_read_whole(facts: Facts, name: str, has: dict[str, int]) -> None:
    found = arch(facts, name)
    assert {k: getattr(found, k) for k in has} == has


def test_a_hybrid_of_unknown_split_is_not_taken_for_a_transformer(facts: Facts) -> None:
    with pytest.raises(MissingFact) as caught:
        arch(facts.with_fact("llama-3-8b.ssm_heads", 64.0), "llama-3-8b")
    assert all(t in str(caught.value) for t in ("ssm_layers", "attention_layers", "mlp_layers"))


@pytest.mark.parametrize(("change", "told"), [
    ({"topk": 9, "experts": 8, "moe_layers": 2, "expert_ffn": 4}, "topk (9) exceeds experts (8)"),
    ({"kv_heads": 3}, "not a multiple of kv_heads"), ({"moe_layers": 9}, "more expert blocks"),
    ({"experts": 4}, "experts without blocks"), ({"ffn": 0}, "need an ffn"), ({"layers": 0}, "at least 1"),
    ({"window_layers": 2}, "need a window"), ({"hidden": -1}, "negative"), ({"kv_lora": 4}, "latent attention"),
    ({"ssm_layers": 1}, "state-space blocks need"), ({"mlp_matrices": 4}, "not 2 or 3"),
])
def test_dimensions_that_cannot_be_are_named(change: dict[str, int], told: str) -> None:
    sizes = {"layers": 2, "attention_layers": 2, "mlp_layers": 2, "hidden": 8, "heads": 4, "kv_heads": 2, "head_dim": 2,
             "vocab": 10, "ffn": 16, "mlp_matrices": 3}
    assert insane(Arch(id="m", name="m", tied_embeddings=False, **sizes)) == []
    assert told in "\n".join(insane(Arch(id="m", name="m", tied_embeddings=False, **{**sizes, **change})))


def test_check_finds_a_contradiction(facts: Facts) -> None:
    assert check(facts).mistakes == ()
    slow = facts.with_fact("h100-sxm.peak_flops@fp8", "500 TFLOP/s").with_fact("hgx-h100.power_max", "100 W")
    assert {"h100-sxm: fp8 is slower than bf16", "hgx-h100.power_max does not fit its chips"} == {
        p.what for p in check(slow).mistakes}


def test_diff_tells_new_and_changed(facts: Facts) -> None:
    assert diff(facts, facts) == []
    changed = facts.with_fact("gb200-gpu.hbm_bw", 9e12)
    (change,) = diff(facts, changed)
    assert (change.key, change.before.value if change.before else None, change.after.value) == (
        "gb200-gpu.hbm_bw", 8e12, 9e12)


# As sources of published runs write it.
@pytest.mark.parametrize(("written", "meant"), [
    ("A100-SXM-80GB", "a100-80gb-sxm"), ("A100-SXM-40GB", "a100-40gb-sxm"), ("H100-SXM-80GB", "h100-sxm"),
    ("A100-SXM (memory size not stated)", "a100-80gb-sxm"), ('A100-class ("Ampere") GPUs', "a100-80gb-sxm"),
    ("H100-96GB-HBM2e", "h100-96gb-hbm2e"), ("H800-80GB", "h800-sxm"), ("H200-SXM-141GB", "h200-sxm"),
    ("GH200-96GB (Alps)", "gh200-96gb"), ("MI250X (Frontier)", "mi250x"), ("TPU v6e (Trillium)", "tpu-v6e"),
    ("Trainium1 (trn1.32xlarge/trn1n)", "trainium1"), ("Gaudi2-96GB", "gaudi2"),
    ("Ascend 910B (Atlas 900 A2 PODc)", "ascend-910b")])
def test_chips_of_published_runs_are_known_with_all_a_step_needs(written: str, meant: str) -> None:
    facts = load_facts(date(2026, 11, 23))
    found = chip(facts, written)
    assert found.id == meant
    assert found.peak_flops["bf16"] > 0
    assert [s for s in systems_of(facts, meant) if not system_gaps(facts, s)]
