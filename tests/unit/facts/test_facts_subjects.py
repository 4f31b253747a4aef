"""Names: in any case, never ambiguous, and with the nearest ones when unknown."""

from __future__ import annotations

from datetime import date

import pytest

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.facts.subjects import fold, spoken_model
from exafleet.terms.errors import FactError


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load_facts(date(2026, 6, 30))


@pytest.mark.parametrize(("name", "subject"), [
    ("gb200-nvl72", "gb200-nvl72"), ("GB200 NVL72 rack", None), ("DGX GB200", "gb200-nvl72"), ("mi300x", "mi300x"),
    ("Ironwood", "tpu7x"), ("trillium", "tpu-v6e"), ("Llama-3.1-405B", "llama-3.1-405b"), ("grok 1", "grok-1"),
    ("NVL576", "rubin-ultra-nvl144"), ("NVIDIA GB200 NVL72 rack", "gb200-nvl72"),
])
def test_a_name_is_found_in_any_spelling(facts: Facts, name: str, subject: str | None) -> None:
    if subject is None:
        with pytest.raises(FactError, match="unknown subject"):
            facts.subjects.resolve(name)
    else:
        assert facts.subjects.resolve(name).id == subject


@pytest.mark.parametrize(("name", "meanings"), [
    ("gb200", ("gb200-gpu", "gb200-superchip", "two Blackwell GPUs and one Grace CPU", "gb200-nvl72", "72 GPUs")),
    ("GB300", ("gb300-gpu", "gb300-nvl72")),
    ("NVL144", ("vr-nvl72", "counted dies", "rubin-ultra-nvl144", "144 packages")),
    ("nvl72", ("gb200-nvl72", "gb300-nvl72", "vr-nvl72")),
    ("H100", ("h100-sxm", "h100-pcie", "h100-nvl")),
    ("a100", ("a100-40gb-sxm", "a100-80gb-sxm", "a100-80gb-pcie")),
])
@pytest.mark.parametrize("kinds", [(), ("chip",), ("system",), ("chip", "system")])
def test_a_name_of_two_things_is_refused_with_what_each_is(facts: Facts, name: str, meanings: tuple[str, ...],
                                                           kinds: tuple[str, ...]) -> None:
    with pytest.raises(FactError) as caught:
        facts.subjects.resolve(name, *kinds, where="scenario.toml:4 offers[0].system")
    text = str(caught.value)
    assert text.startswith("scenario.toml:4 offers[0].system: ")
    assert all(m in text for m in meanings)


def test_a_thing_of_another_kind_is_named_as_what_it_is(facts: Facts) -> None:
    with pytest.raises(FactError, match=r'"gb200-superchip" is a component, not a chip.*two Blackwell GPUs'):
        facts.subjects.resolve("gb200-superchip", "chip")


def test_an_unknown_name_shows_the_nearest_of_the_kind(facts: Facts) -> None:
    with pytest.raises(FactError, match=r"unknown system \"gb200-nvl27\". Did you mean 'gb200-nvl72'"):
        facts.subjects.resolve("gb200-nvl27", "system")
    with pytest.raises(FactError, match='unknown model ""'):
        facts.subjects.resolve("", "model")


@pytest.mark.parametrize(("name", "subject"), [
    ("Qwen/Qwen3-32B", "qwen3-32b"), ("nvidia/Qwen3-32B-NVFP4", "qwen3-32b"),
    ("Qwen/Qwen3-32B-FP8-Static-PerTensor", "qwen3-32b"), ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-v3"),
    ("nvidia/Nemotron-H-56B-Base-8K", "nemotron-h-56b"), ("DeepSeek-V3/R1", "deepseek-v3"),
    ("amd/DeepSeek-R1-MXFP4-Preview", "deepseek-v3"),
    ("Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", "qwen3-235b-a22b"), ("llama2-70b-99.9", "llama-2-70b"),
    ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3-8b"), ("amd/Llama-3.3-70B-Instruct-FP8-KV", "llama-3-70b"),
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"), ("moonshotai/Kimi-K2.5", "kimi-k2"),
    ("MiniMaxAI/MiniMax-M2.5", "minimax-m2"), ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron-3-nano"),
    ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama-3-70b"), ("tiiuae/falcon-180B-chat", "falcon-180b"),
    ("mistralai/Mistral-Large-Instruct-2407", "mistral-large-2"), (" openai/gpt-oss-120b ", "gpt-oss-120b"),
])
def test_a_model_is_found_as_tables_of_measurements_spell_it(facts: Facts, name: str, subject: str) -> None:
    assert spoken_model(facts.subjects, name).id == subject


@pytest.mark.parametrize("name", ["org/No-Such-Model-FP8", "FP8", "-FP8", "/", "", "DeepSeek-R1 FMHA prefill kernel"])
def test_what_is_no_model_is_told_by_its_whole_name(facts: Facts, name: str) -> None:
    with pytest.raises(FactError, match="unknown model") as caught:
        spoken_model(facts.subjects, name, where="rows.csv:7 model")
    assert f'rows.csv:7 model: unknown model "{name}"' in str(caught.value)


def test_a_system_by_a_model_s_spelling_is_no_model(facts: Facts) -> None:
    with pytest.raises(FactError, match="is a chip, not a model"):
        spoken_model(facts.subjects, "amd/MI300X-FP8")


def test_every_model_is_found_in_every_spelling_of_its_name(facts: Facts) -> None:
    for model in facts.subjects.of_kind("model"):
        for spoken in (model.id, model.name, *model.aliases):
            if len(facts.subjects.by_name[fold(spoken)]) > 1:
                continue
            for name in (spoken, f"org/{spoken}", f"org/{spoken}-Instruct-FP8"):
                assert spoken_model(facts.subjects, name).id == model.id
