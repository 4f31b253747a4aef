"""A config.json of each kind of model, and everything that can be wrong with one."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.huggingface import READERS, arch_from_config
from exafleet.terms.errors import FactError

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
         "tie_word_embeddings": False}
DEEPSEEK = {"model_type": "deepseek_v3", "hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61,
            "num_attention_heads": 128, "num_key_value_heads": 128, "vocab_size": 129280, "moe_intermediate_size": 2048,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
            "moe_layer_freq": 1, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64, "v_head_dim": 128, "num_nextn_predict_layers": 1}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 100}

MAMBA = {"mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 32, "n_groups": 2}


def _write(folder: Path, config: Any) -> Path:
    path = folder / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1), encoding="utf-8")
    return path


GOOD = [
    (LLAMA, {"layers": 32, "head_dim": 128, "kv_heads": 8, "ffn": 14336, "mlp_matrices": 3, "window": 0}),
    ({**SMALL, "model_type": "mistral", "sliding_window": 4096}, {"window": 4096, "window_layers": 4}),
    ({**SMALL, "model_type": "mistral", "sliding_window": None}, {"window": 0, "window_layers": 0}),
    ({**SMALL, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2},
     {"experts": 8, "topk": 2, "expert_ffn": 128, "ffn": 0, "moe_layers": 4}),
    ({**SMALL, "model_type": "qwen2", "use_sliding_window": False, "sliding_window": 32768}, {"window_layers": 0}),
    ({**SMALL, "model_type": "qwen2_moe", "num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 32,
      "shared_expert_intermediate_size": 96, "decoder_sparse_step": 2}, {"moe_layers": 2, "shared_ffn": 96}),
    ({**SMALL, "model_type": "qwen3_moe", "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8,
      "moe_intermediate_size": 32, "mlp_only_layers": [0]}, {"moe_layers": 3, "head_dim": 128, "ffn": 128}),
    ({**SMALL, "model_type": "qwen3_moe", "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 32},
     {"moe_layers": 4, "ffn": 0}),
    (DEEPSEEK, {"moe_layers": 58, "shared_ffn": 2048, "head_dim": 192, "q_lora": 1536, "v_dim": 128, "mtp_layers": 1}),
    ({**DEEPSEEK, "model_type": "kimi_k2", "q_lora_rank": None, "n_routed_experts": 384},
     {"q_lora": 0, "experts": 384}),
    ({**SMALL, "model_type": "gpt_oss", "head_dim": 16, "num_local_experts": 32, "num_experts_per_tok": 4,
      "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 2},
     {"window": 128, "window_layers": 2, "experts": 32}),
    ({**SMALL, "model_type": "git", "architectures": ["Grok1ForCausalLM"], "residual_moe": True,
      "moe_intermediate_size": 64, "num_local_experts": 8, "num_experts_per_tok": 2},
     {"residual_dense_ffn": 128, "expert_ffn": 64, "moe_layers": 4}),
    ({**SMALL, "model_type": "grok-1", "num_experts": 8, "num_experts_per_tok": 2},
     {"residual_dense_ffn": 0, "expert_ffn": 128}),
    ({**SMALL, "model_type": "gemma2", "head_dim": 256, "sliding_window": 4096},
     {"tied_embeddings": True, "window_layers": 2, "head_dim": 256}),
    ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34,
                                              "intermediate_size": 10240, "sliding_window": 1024}},
     {"layers": 34, "heads": 8, "kv_heads": 4, "head_dim": 256, "vocab": 262208, "window_layers": 29}),
    ({**SMALL, "model_type": "cohere2", "sliding_window": 4096}, {"window_layers": 3, "tied_embeddings": True}),
    ({"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024, "vocab_size": 50257},
     {"ffn": 3072, "mlp_matrices": 2, "positions": 1024, "kv_heads": 12}),
    ({**SMALL, "model_type": "gpt_neox"}, {"mlp_matrices": 2, "tied_embeddings": False}),
    ({**SMALL, "model_type": "nemotron"}, {"mlp_matrices": 2}),
    ({"model_type": "falcon", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": 9,
      "multi_query": True}, {"kv_heads": 1, "ffn": 256}),
    ({**SMALL, "model_type": "glm4_moe", "n_routed_experts": 8, "n_shared_experts": 2, "num_experts_per_tok": 2,
      "moe_intermediate_size": 16, "first_k_dense_replace": 1}, {"moe_layers": 3, "shared_ffn": 32}),
    ({**SMALL, "model_type": "minimax_m2", "num_local_experts": 16, "num_experts_per_tok": 4}, {"moe_layers": 4}),
    ({"model_type": "llama4", "text_config": {**SMALL, "intermediate_size_mlp": 256, "interleave_moe_layer_step": 2,
                                              "num_local_experts": 16, "num_experts_per_tok": 1}},
     {"moe_layers": 2, "ffn": 256, "shared_ffn": 128, "window": 8192, "window_layers": 3}),
    ({**SMALL, **MAMBA, "model_type": "nemotron_h", "hybrid_override_pattern": "M-M*"},
     {"ssm_layers": 2, "attention_layers": 1, "mlp_layers": 1, "ffn": 128}),
    ({**SMALL, **MAMBA, "model_type": "nemotron_h", "hybrid_override_pattern": "ME*E", "n_routed_experts": 8,
      "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1, "moe_latent_size": 16,
      "moe_shared_expert_intermediate_size": 64},
     {"moe_layers": 2, "mlp_layers": 2, "shared_ffn": 64, "latent": 16, "ffn": 0}),
    ({**SMALL, "model_type": "bamba", "attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 16,
      "mamba_d_state": 32}, {"ssm_layers": 3, "attention_layers": 1, "mlp_layers": 4}),
    ({"model_type": "mamba2", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 9, "num_heads": 8,
      "head_dim": 16, "state_size": 128}, {"ssm_layers": 3, "attention_layers": 0, "mlp_layers": 0}),
]

DELTA = {"linear_num_key_heads": 4, "linear_num_value_heads": 8, "linear_key_head_dim": 16, "linear_value_head_dim": 32}
INDEX = {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}
V4 = {"model_type": "deepseek_v4", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "head_dim": 32,
      "num_key_value_heads": 1, "vocab_size": 100, "q_lora_rank": 16, "o_lora_rank": 8, "o_groups": 2,
      "sliding_window": 128, "compress_ratios": [0, 4, 128, 0], "moe_intermediate_size": 32, "n_routed_experts": 8,
      "n_shared_experts": 1, "num_experts_per_tok": 2, "num_nextn_predict_layers": 1, "hc_mult": 4, **INDEX}
GOOD += [
    ({**SMALL, **DELTA, "model_type": "qwen3_next", "head_dim": 32, "num_experts": 8, "num_experts_per_tok": 2,
      "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
     {"attention_layers": 1, "delta_layers": 3, "attention_gate": 1, "delta_value_heads": 8, "delta_value_dim": 32,
      "ffn": 0, "moe_layers": 4, "shared_ffn": 16}),
    ({"model_type": "qwen3_5_moe", "tie_word_embeddings": False,
      "text_config": {**{k: v for k, v in SMALL.items() if k != "intermediate_size"}, **DELTA, "num_experts": 8,
                      "model_type": "qwen3_5_moe_text", "moe_intermediate_size": 16, "num_experts_per_tok": 2,
                      "layer_types": ["linear_attention", "full_attention"] * 2, "mtp_num_hidden_layers": 1}},
     {"attention_layers": 2, "delta_layers": 2, "ffn": 0, "mtp_layers": 1}),
    ({"model_type": "qwen3_5", "text_config": {**SMALL, **DELTA, "model_type": "qwen3_5_text"}},
     {"attention_layers": 1, "delta_layers": 3, "ffn": 128, "experts": 0}),
    ({**DEEPSEEK, **INDEX, "model_type": "deepseek_v32"}, {"index_layers": 61, "index_heads": 64, "index_topk": 2048}),
    ({**DEEPSEEK, **INDEX, "model_type": "glm_moe_dsa", "head_dim": 64, "indexer_types": ["full", *["shared"] * 60]},
     {"index_layers": 1, "index_dim": 128, "head_dim": 192}),
    (V4, {"csa_layers": 1, "csa_ratio": 4, "hca_layers": 1, "hca_ratio": 128, "index_layers": 1, "window_layers": 3,
          "shared_kv": 1, "residual_streams": 4, "moe_layers": 3, "ffn": 0, "o_groups": 2}),
    ({**V4, "model_type": "copy", "architectures": ["DeepseekV4ForCausalLM"]}, {"csa_layers": 1}),
    ({**DEEPSEEK, "model_type": "glm4_moe_lite"}, {"kv_lora": 512}),
    ({"model_type": "qwen3_vl", "text_config": {**SMALL, "model_type": "qwen3_vl_text", "head_dim": 32}},
     {"head_dim": 32, "ffn": 128}),
]


@pytest.mark.parametrize(("config", "has"), GOOD, ids=lambda v: v.get("model_type", "") if isinstance(v, dict) else "")
def test_a_known_architecture_is_read(tmp_path: Path, config: dict[str, Any], has: dict[str, int]) -> None:
    found = arch_from_config(_write(tmp_path, config))
    assert {k: getattr(found, k) for k in has} == has


def test_the_model_is_named_without_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My-Model-7B"
    folder.mkdir()
    assert arch_from_config(_write(folder, LLAMA)).id == "my-model-7b"
    given_name = arch_from_config(_write(folder, {**LLAMA, "_name_or_path": "/home/me/models/Other-8B/"}))
    assert (given_name.id, given_name.name) == ("other-8b", "Other-8B")


BAD = [
    ("{", "config.json:1: not JSON"),
    ("[1]", "config.json:1: not a JSON object"),
    ("{}", "unknown architecture"),
    ({**LLAMA, "model_type": "llamma"}, "Did you mean 'llama'"),
    ({"model_type": "kimi_linear"}, 'architecture "kimi_linear" cannot be counted; got linear attention'),
    ({**V4, "compress_ratios": [0, 4, 16]}, "compress_ratios: unknown ratio; got 16; allowed: 0, 4 or 128"),
    ({**V4, "compress_ratios": [0, 4]}, "2 entries for 3 layers"),
    ({**DEEPSEEK, **INDEX, "model_type": "deepseek_v32", "q_lora_rank": None}, "a q_lora that its queries come from"),
    ({**DEEPSEEK, "model_type": "deepseek_v32"}, "index_topk: missing"),
    ({**SMALL, **DELTA, "model_type": "qwen3_5", "linear_num_value_heads": 6}, "not a multiple of delta_key_heads (4)"),
    ({**SMALL, **DELTA, "model_type": "qwen3_5", "layer_types": ["mamba"] * 4}, "unknown kinds of block; got mamba"),
    ({**LLAMA, "hidden_size": None}, "hidden_size: missing"),
    ({**LLAMA, "num_hidden_layers": -3}, "config.json:8 num_hidden_layers: not a whole number in range; got -3"),
    ({**LLAMA, "num_hidden_layers": 1.5}, "got 1.5"),
    ({**LLAMA, "vocab_size": True}, "got True"),
    ({**LLAMA, "hidden_size": 10**12}, "not a whole number in range"),
    ({**LLAMA, "num_attention_heads": 31, "num_key_value_heads": 31}, "not a multiple"),
    ({**LLAMA, "num_key_value_heads": 7}, "heads (32) are not a multiple of kv_heads (7)"),
    ({**LLAMA, "tie_word_embeddings": "no"}, "not true or false"),
    ({**DEEPSEEK, "num_experts_per_tok": 300}, "topk (300) exceeds experts (256)"),
    ({**SMALL, "model_type": "nemotron_h", "hybrid_override_pattern": "MX"}, "unknown kinds of block; got X"),
    ({**SMALL, "model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2,
      "layer_types": ["full_attention"]}, "1 entries for 4 layers"),
]


@pytest.mark.parametrize(("config", "told"), BAD)
def test_a_bad_config_is_told_plainly(tmp_path: Path, config: Any, told: str) -> None:
    with pytest.raises(FactError) as caught:
        arch_from_config(_write(tmp_path, config))
    assert told in str(caught.value)


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    config = {**LLAMA, "hidden_size": "big", "vocab_size": 0, "num_attention_heads": None}
    with pytest.raises(FactError) as caught:
        arch_from_config(_write(tmp_path, config))
    assert [p.where for p in caught.value.problems] == [
        "config.json:6 hidden_size", "config.json:9 num_attention_heads", "config.json:11 vocab_size"]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FactError, match=r"config.json: cannot be read"):
        arch_from_config(tmp_path / "config.json")
    (tmp_path / "config.json").write_bytes(b"\xff\xff")
    with pytest.raises(FactError, match=r"config.json: not UTF-8"):
        arch_from_config(tmp_path / "config.json")


VALUES = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**9), st.floats(), st.text(max_size=5),
                   st.lists(st.one_of(st.integers(-3, 40), st.sampled_from(["mamba", "attention", "x"])), max_size=5))
FIELDS = sorted({k for c, _ in GOOD for k in {**c, **c.get("text_config", {})}} - {"model_type", "text_config"})


@given(st.sampled_from(sorted(READERS)), st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_values_are_read_or_refused(kind: str, values: dict[str, Any]) -> None:
    _survives(json.dumps({**SMALL, **values, "model_type": kind}).encode())


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode),
                 st.recursive(VALUES, lambda v: st.dictionaries(st.sampled_from(["text_config", "model_type"]), v)
                              ).map(lambda v: json.dumps(v).encode())))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    _survives(content)


def _survives(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(content)
        try:
            found = arch_from_config(path)
        except FactError as error:
            sound = bool(error.problems)
        else:
            sound = found.layers >= 1 and found.vocab >= 1
    assert sound
