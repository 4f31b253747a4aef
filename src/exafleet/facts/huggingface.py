"""A model's dimensions from a Hugging Face config.json.

Each known `model_type` has a short reader that says which fields hold which dimension; nothing is guessed for a type
that is not known, because a wrong reading is silent. Defaults are those of the transformers library for the type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exafleet.facts.architecture import Arch, insane
from exafleet.terms.errors import FactError, Problem, nearest

NESTED = ("text_config", "llm_config", "language_config")
LARGEST = 100_000_000
Sizes = dict[str, int]


class Config:
    """Fields of one config.json; mistakes are collected, and told with the line of the field."""

    __slots__ = ("file", "problems", "start", "text", "values")

    def __init__(self, file: str, text: str, values: dict[str, Any], start: int = 0) -> None:
        self.file, self.text, self.values, self.start = file, text, values, start
        self.problems: list[Problem] = []

    def where(self, name: str) -> str:
        """File and line of a field: "config.json:7 hidden_size"."""
        found = re.compile(rf'"{re.escape(name)}"\s*:').search(self.text, self.start)
        line = f":{self.text.count(chr(10), 0, found.start()) + 1}" if found else ""
        return f"{self.file}{line} {name}"

    def has(self, name: str) -> bool:
        """The field is there and not null."""
        return self.values.get(name) is not None

    def wrong(self, name: str, what: str, got: object = "", allowed: str = "") -> None:
        """Note a mistake of a field."""
        self.problems.append(Problem(where=self.where(name), what=what, got=str(got)[:80], allowed=allowed))

    def size(self, *names: str, default: int | None = None, least: int = 1) -> int:
        """The first of `names` that is there, as an integer of at least `least`; 1 with a problem noted otherwise."""
        for name in names:
            if self.has(name):
                value = self.values[name]
                if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
                    self.wrong(name, "not a whole number in range", repr(value), f"{least} to {LARGEST:,}")
                    return max(least, 1)
                return value
        if default is None:
            self.wrong(names[0], "missing", allowed=" or ".join(names))
            return 1
        return default

    def flag(self, name: str, default: bool) -> bool:
        """A true or false field."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.wrong(name, "not true or false", repr(value))
            return default
        return value

    def words(self, name: str) -> list[str]:
        """A list of words, [] when it is not there."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            self.wrong(name, "not a list of words", repr(value))
            return []
        return value

    def numbers(self, name: str) -> list[int]:
        """A list of whole numbers, [] when it is not there."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or any(isinstance(v, bool) or not isinstance(v, int) for v in value):
            self.wrong(name, "not a list of whole numbers", repr(value))
            return []
        return value


def arch_from_config(path: Path) -> Arch:
    """Dimensions of the model of a config.json.

    Raises FactError when the file cannot be read, is of an unknown architecture, or has fields that are missing or
    cannot be; all mistakes at once, with their lines.
    """
    text = _read(path)
    values, start = _text_config(path.name, text)
    config = Config(path.name, text, values, start)
    reader = _reader(config)
    sizes = reader(config)
    if config.problems:
        raise FactError(config.problems)
    name = _name(path, values)
    tied = bool(sizes.pop("tied_embeddings"))
    arch = Arch(id=re.sub(r"[^a-z0-9.]+", "-", name.casefold()).strip("-") or "model", name=name,
                tied_embeddings=tied, **sizes)
    wrong = insane(arch)
    if wrong:
        raise FactError([Problem(where=path.name, what=w) for w in wrong])
    return arch


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FactError(Problem(where=path.name, what="cannot be read", got=error.strerror or str(error))) from None
    except UnicodeDecodeError as error:
        raise FactError(Problem(where=path.name, what="not UTF-8", got=f"byte {error.start} is no character")) from None


def _text_config(file: str, text: str) -> tuple[dict[str, Any], int]:
    """Fields of the language model (of a nested text_config where there is one), and where they start in the text."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise FactError(Problem(where=f"{file}:{error.lineno}", what=f"not JSON: {error.msg}",
                                got=f"column {error.colno}")) from None
    except (ValueError, RecursionError) as error:
        raise FactError(Problem(where=file, what="not JSON", got=str(error)[:80])) from None
    if not isinstance(whole, dict):
        raise FactError(Problem(where=f"{file}:1", what="not a JSON object", allowed='{"model_type": ..., ...}'))
    for name in NESTED:
        inner = whole.get(name)
        if isinstance(inner, dict) and (inner.get("model_type") or inner.get("hidden_size")):
            outer = {k: whole[k] for k in ("tie_word_embeddings", "model_type", "architectures") if k in whole}
            return {**outer, **inner}, max(text.find(f'"{name}"'), 0)
    return whole, 0


def _reader(config: Config) -> Callable[[Config], Sizes]:
    """Reader of the config's architecture; raises FactError for one that is not known."""
    classes = config.values.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else ""
    kind = config.values.get("model_type")
    # Grok-2 was published under a model_type of another model, copies of others under one of their own; a class tells.
    if first in CLASSES:
        return CLASSES[first]
    if isinstance(kind, str) and kind in READERS:
        return READERS[kind]
    if isinstance(kind, str) and kind in REFUSED:
        raise FactError(Problem(where=config.where("model_type"), what=f'architecture "{kind}" cannot be counted',
                                got=REFUSED[kind]))
    raise FactError(Problem(where=config.where("model_type"), what="unknown architecture",
                            got=f"model_type {kind!r}, architectures {first!r}", allowed=", ".join(sorted(READERS)),
                            remedy=nearest(str(kind), READERS)))


def _name(path: Path, values: dict[str, Any]) -> str:
    given = values.get("_name_or_path")
    if isinstance(given, str) and given.strip("/ ."):
        return given.strip("/ ").rsplit("/", 1)[-1]
    return path.resolve().parent.name if path.stem == "config" else path.stem


def _attention(c: Config, *, heads: int | None = None, kv_heads: int | None = None,
               head_dim: int | None = None) -> Sizes:
    """layers, hidden, heads, kv_heads, head_dim, vocab; the arguments are the type's defaults."""
    hidden, q = c.size("hidden_size"), c.size("num_attention_heads", default=heads)
    if not c.has("head_dim") and head_dim is None and hidden % q:
        c.wrong("num_attention_heads", f"hidden_size {hidden} is not a multiple of it", q)
    layers = c.size("num_hidden_layers")
    return {"layers": layers, "attention_layers": layers, "mlp_layers": layers, "hidden": hidden, "heads": q,
            "kv_heads": c.size("num_key_value_heads", default=kv_heads if kv_heads is not None else q),
            "head_dim": c.size("head_dim", default=head_dim if head_dim is not None else max(hidden // q, 1)),
            "vocab": c.size("vocab_size")}


def _windows(c: Config, layers: int, width: int, every: int) -> Sizes:
    """window and window_layers: from layer_types, else all but one layer in `every` (0: all layers)."""
    kinds = c.words("layer_types")
    if kinds and len(kinds) != layers:
        c.wrong("layer_types", f"{len(kinds)} entries for {layers} layers")
    local = sum(k in ("sliding_attention", "chunked_attention") for k in kinds)
    count = local if kinds else layers - (layers // every if every else 0)
    return {"window": width, "window_layers": count} if width and count else {}


def _dense(*, gated: bool = True, tied: bool = False) -> Callable[[Config], Sizes]:
    """Reader of a decoder with one MLP a block."""
    def read(c: Config) -> Sizes:
        sizes = _attention(c) | _mlp(c, gated=gated, tied=tied)
        width = c.size("sliding_window", default=0, least=0) if c.flag("use_sliding_window", True) else 0
        return sizes | _windows(c, sizes["layers"], width, 0)
    return read


def _mlp(c: Config, *, gated: bool = True, tied: bool = False) -> Sizes:
    return {"ffn": c.size("intermediate_size"), "mlp_matrices": 3 if gated else 2,
            "tied_embeddings": c.flag("tie_word_embeddings", tied)}


def _qwen2(c: Config) -> Sizes:
    sizes = _attention(c) | _mlp(c)
    if not c.flag("use_sliding_window", False):
        return sizes
    full = c.size("max_window_layers", default=sizes["layers"], least=0)
    local = max(sizes["layers"] - full, 0)
    window = c.size("sliding_window", default=4096)
    return sizes | ({"window": window, "window_layers": local} if local else {})


def _gemma(c: Config) -> Sizes:
    return _attention(c, head_dim=256) | _mlp(c, tied=True)


def _gemma2(c: Config) -> Sizes:
    sizes = _gemma(c)
    return sizes | _windows(c, sizes["layers"], c.size("sliding_window", default=4096), 2)


def _gemma3(c: Config) -> Sizes:
    # Published files leave out what equals the library's defaults.
    c.values.setdefault("vocab_size", 262_208)
    sizes = _attention(c, heads=8, kv_heads=4, head_dim=256) | _mlp(c, tied=True)
    return sizes | _windows(c, sizes["layers"], c.size("sliding_window", default=4096),
                            c.size("sliding_window_pattern", default=6))


def _cohere(c: Config) -> Sizes:
    sizes = _attention(c) | _mlp(c, tied=True)
    return sizes | _windows(c, sizes["layers"], c.size("sliding_window", default=0, least=0),
                            c.size("sliding_window_pattern", default=4))


def _experts(c: Config, sizes: Sizes, moe_layers: int, width: int, count: int, shared: int = 0) -> Sizes:
    """The fields of routed experts in `moe_layers` blocks; a width of dense MLPs that no block has is left out."""
    dense = {} if sizes["mlp_layers"] > moe_layers else {"ffn": 0}
    return sizes | dense | {"experts": count, "topk": c.size("num_experts_per_tok", "experts_per_token"),
                            "expert_ffn": width, "shared_ffn": shared, "moe_layers": moe_layers}


def _all_moe(*names: str, tied: bool = False, every: int = 0) -> Callable[[Config], Sizes]:
    """Reader of a model whose every block holds experts of width intermediate_size; `names` give their number."""
    def read(c: Config) -> Sizes:
        sizes = _attention(c) | {"ffn": 0, "mlp_matrices": 3, "tied_embeddings": c.flag("tie_word_embeddings", tied)}
        sizes |= _windows(c, sizes["layers"], c.size("sliding_window", default=0, least=0), every)
        return _experts(c, sizes, sizes["layers"], c.size("moe_intermediate_size", "intermediate_size"),
                        c.size(*names))
    return read


def _minimax_m2(c: Config) -> Sizes:
    mtp = c.size("num_mtp_modules", default=0, least=0) if c.flag("use_mtp", False) else 0
    return _all_moe("num_local_experts")(c) | {"mtp_layers": mtp}


def _qwen_moe(c: Config) -> Sizes:
    sizes = _attention(c) | _mlp(c)
    only, step = set(c.numbers("mlp_only_layers")), c.size("decoder_sparse_step", default=1)
    moe = sum(i not in only and (i + 1) % step == 0 for i in range(min(sizes["layers"], 10_000)))
    return _experts(c, sizes, moe, c.size("moe_intermediate_size"), c.size("num_experts", "num_local_experts"),
                    c.size("shared_expert_intermediate_size", default=0, least=0))


def _fine_experts(c: Config, sizes: Sizes) -> Sizes:
    """Experts after DeepSeek: first blocks dense, shared experts as wide as routed ones."""
    dense, step = c.size("first_k_dense_replace", default=0, least=0), c.size("moe_layer_freq", default=1)
    width = c.size("moe_intermediate_size")
    moe = sum(i >= dense and i % step == 0 for i in range(min(sizes["layers"], 10_000)))
    shared = width * c.size("n_shared_experts", default=0, least=0)
    return _experts(c, sizes, moe, width, c.size("n_routed_experts"), shared) | {
        "mtp_layers": c.size("num_nextn_predict_layers", default=0, least=0)}


def _deepseek(c: Config) -> Sizes:
    nope, rope = c.size("qk_nope_head_dim"), c.size("qk_rope_head_dim")
    sizes = _attention(c, head_dim=nope + rope) | _mlp(c)
    sizes |= {"head_dim": nope + rope, "nope_dim": nope, "rope_dim": rope, "v_dim": c.size("v_head_dim"),
              "q_lora": c.size("q_lora_rank", default=0, least=0), "kv_lora": c.size("kv_lora_rank")}
    return _fine_experts(c, sizes)


def _indexed(c: Config) -> Sizes:
    """Latent attention that sees what an index picks; some blocks use the index of the block before."""
    sizes = _deepseek(c)
    kinds = c.words("indexer_types")
    if kinds and len(kinds) != sizes["layers"]:
        c.wrong("indexer_types", f"{len(kinds)} entries for {sizes['layers']} layers")
    return sizes | _index(c, kinds.count("full") if kinds else sizes["layers"])


def _index(c: Config, layers: int) -> Sizes:
    return {"index_layers": layers, "index_heads": c.size("index_n_heads"), "index_dim": c.size("index_head_dim"),
            "index_topk": c.size("index_topk")}


# Tokens that a compressed entry of DeepSeek-V4 stands for: of small ones an index picks some, all large ones are seen.
CSA_RATIO, HCA_RATIO = 4, 128


def _deepseek_v4(c: Config) -> Sizes:
    sizes = _attention(c, kv_heads=1) | {"ffn": 0, "mlp_matrices": 3, "shared_kv": 1,
                                         "tied_embeddings": c.flag("tie_word_embeddings", False)}
    layers = sizes["layers"]
    # A ratio more than layers is that of the block for multi-token prediction.
    ratios = c.numbers("compress_ratios")[:layers]
    odd = sorted(set(ratios) - {0, CSA_RATIO, HCA_RATIO})
    if odd or len(ratios) < layers:
        c.wrong("compress_ratios", "unknown ratio" if odd else f"{len(ratios)} entries for {layers} layers",
                ", ".join(map(str, odd)), f"0, {CSA_RATIO} or {HCA_RATIO} for each layer")
    csa, hca = ratios.count(CSA_RATIO), ratios.count(HCA_RATIO)
    sizes |= {"q_lora": c.size("q_lora_rank"), "o_lora": c.size("o_lora_rank"), "o_groups": c.size("o_groups"),
              "window": c.size("sliding_window"), "window_layers": layers,
              "residual_streams": c.size("hc_mult", default=0, least=0)}
    sizes |= ({"csa_layers": csa, "csa_ratio": CSA_RATIO} | _index(c, csa)) if csa else {}
    sizes |= {"hca_layers": hca, "hca_ratio": HCA_RATIO} if hca else {}
    return _fine_experts(c, sizes)


def _delta_net(c: Config, sizes: Sizes) -> Sizes:
    """Blocks of a gated delta net among those of gated attention: from layer_types, or one attention in an interval."""
    kinds, layers = c.words("layer_types"), sizes["layers"]
    odd = sorted(set(kinds) - {"linear_attention", "full_attention"})
    if odd or (kinds and len(kinds) != layers):
        c.wrong("layer_types", "unknown kinds of block" if odd else f"{len(kinds)} entries for {layers} layers",
                ", ".join(odd), "linear_attention, full_attention" if odd else "")
    attention = kinds.count("full_attention") if kinds else layers // c.size("full_attention_interval", default=4)
    return sizes | {"attention_layers": attention, "delta_layers": max(layers - attention, 0),
                    "attention_gate": int(c.flag("attn_output_gate", True)),
                    "delta_key_heads": c.size("linear_num_key_heads", default=16),
                    "delta_value_heads": c.size("linear_num_value_heads", default=32),
                    "delta_key_dim": c.size("linear_key_head_dim", default=128),
                    "delta_value_dim": c.size("linear_value_head_dim", default=128),
                    "mtp_layers": c.size("mtp_num_hidden_layers", default=0, least=0)}


def _qwen3_next(c: Config) -> Sizes:
    # Files of Qwen3.5 with experts name no width of a dense MLP, since they have none.
    c.values.setdefault("intermediate_size", c.values.get("moe_intermediate_size"))
    return _delta_net(c, _qwen_moe(c))


def _qwen3_5(c: Config) -> Sizes:
    return _delta_net(c, _attention(c) | _mlp(c))


def _glm4_moe(c: Config) -> Sizes:
    return _fine_experts(c, _attention(c) | _mlp(c))


def _llama4(c: Config) -> Sizes:
    sizes = _attention(c) | {"ffn": c.size("intermediate_size_mlp"), "mlp_matrices": 3,
                             "tied_embeddings": c.flag("tie_word_embeddings", False)}
    listed = c.numbers("moe_layers")
    step = c.size("interleave_moe_layer_step", default=1)
    width = c.size("intermediate_size")
    sizes |= _windows(c, sizes["layers"], c.size("attention_chunk_size", default=8192, least=0), 4)
    return _experts(c, sizes, len(listed) if listed else sizes["layers"] // step, width,
                    c.size("num_local_experts"), width)


def _grok(c: Config) -> Sizes:
    dense = c.size("intermediate_size") if c.flag("residual_moe", False) else 0
    return _all_moe("num_local_experts", "num_experts")(c) | {"residual_dense_ffn": dense}


def _gpt2(c: Config) -> Sizes:
    hidden, heads = c.size("n_embd", "hidden_size"), c.size("n_head", "num_attention_heads")
    layers = c.size("n_layer", "num_hidden_layers")
    return {"layers": layers, "attention_layers": layers, "mlp_layers": layers, "hidden": hidden, "heads": heads,
            "kv_heads": 1 if c.flag("multi_query", False) else heads, "head_dim": max(hidden // heads, 1),
            "vocab": c.size("vocab_size"), "ffn": c.size("n_inner", default=4 * hidden), "mlp_matrices": 2,
            "tied_embeddings": c.flag("tie_word_embeddings", True),
            "positions": c.size("n_positions", "max_position_embeddings")}


def _falcon(c: Config) -> Sizes:
    hidden, heads = c.size("hidden_size"), c.size("num_attention_heads", "n_head")
    layers = c.size("num_hidden_layers", "n_layer")
    grouped = c.flag("new_decoder_architecture", False)
    kv = c.size("num_kv_heads", default=heads) if grouped else 1 if c.flag("multi_query", True) else heads
    return {"layers": layers, "attention_layers": layers, "mlp_layers": layers, "hidden": hidden, "heads": heads,
            "kv_heads": kv, "head_dim": max(hidden // heads, 1), "vocab": c.size("vocab_size"),
            "ffn": c.size("ffn_hidden_size", default=4 * hidden), "mlp_matrices": 2,
            "tied_embeddings": c.flag("tie_word_embeddings", True)}


def _opt(c: Config) -> Sizes:
    c.values.setdefault("intermediate_size", c.values.get("ffn_dim"))
    return _attention(c) | _mlp(c, gated=False, tied=True) | {"positions": c.size("max_position_embeddings")}


def _bloom(c: Config) -> Sizes:
    c.values.setdefault("hidden_size", c.values.get("n_embed"))
    c.values.setdefault("num_attention_heads", c.values.get("n_head"))
    c.values.setdefault("num_hidden_layers", c.values.get("n_layer"))
    c.values.setdefault("intermediate_size", 4 * c.size("hidden_size"))
    return _attention(c) | _mlp(c, gated=False, tied=True)


def _hybrid(c: Config, sizes: Sizes, pattern: list[str]) -> Sizes:
    """Counts of the blocks of a hybrid; one letter a block: M state space, * attention, - MLP, E experts."""
    return sizes | {"layers": len(pattern), "attention_layers": pattern.count("*"), "ssm_layers": pattern.count("M"),
                    "mlp_layers": pattern.count("-") + pattern.count("E"), "moe_layers": pattern.count("E")}


_LETTERS = {"mamba": "M", "mamba2": "M", "attention": "*", "mlp": "-", "moe": "E", **{x: x for x in "M*-E"}}


def _nemotron_h(c: Config) -> Sizes:
    pattern = c.words("layers_block_type") or list(str(c.values.get("hybrid_override_pattern") or ""))
    key = "layers_block_type" if c.has("layers_block_type") else "hybrid_override_pattern"
    odd = sorted(set(pattern) - set(_LETTERS))
    if odd or not pattern:
        c.wrong(key, "unknown kinds of block" if odd else "missing", ", ".join(odd), "M, *, -, E")
    sizes = _attention(c) if c.has("num_hidden_layers") else _attention(_with(c, num_hidden_layers=len(pattern) or 1))
    sizes |= {"ffn": 0, "mlp_matrices": 2, "tied_embeddings": c.flag("tie_word_embeddings", False),
              "ssm_heads": c.size("mamba_num_heads"), "ssm_head_dim": c.size("mamba_head_dim"),
              "ssm_state": c.size("ssm_state_size"), "ssm_groups": c.size("n_groups")}
    sizes = _hybrid(c, sizes, [_LETTERS.get(p, "M") for p in pattern])
    if sizes["mlp_layers"] > sizes["moe_layers"]:
        sizes["ffn"] = c.size("intermediate_size")
    if not sizes["moe_layers"]:
        return sizes
    shared = c.size("moe_shared_expert_intermediate_size", default=0, least=0)
    return _experts(c, sizes, sizes["moe_layers"], c.size("moe_intermediate_size"), c.size("n_routed_experts"),
                    shared * c.size("n_shared_experts", default=1, least=0)) | {
        "latent": c.size("moe_latent_size", default=0, least=0),
        "mtp_layers": c.size("num_nextn_predict_layers", default=0, least=0)}


def _with(c: Config, **values: int) -> Config:
    """The same config with further fields; mistakes still go to the first."""
    copy = Config(c.file, c.text, {**c.values, **values}, c.start)
    copy.problems = c.problems
    return copy


def _mixers(c: Config, sizes: Sizes, attention: int) -> Sizes:
    """Blocks that mix by attention or by Mamba-2, each followed by an MLP."""
    return sizes | {"attention_layers": attention, "ssm_layers": max(sizes["layers"] - attention, 0),
                    "ssm_heads": c.size("mamba_n_heads"), "ssm_head_dim": c.size("mamba_d_head"),
                    "ssm_state": c.size("mamba_d_state"), "ssm_groups": c.size("mamba_n_groups", default=1)}


def _bamba(c: Config) -> Sizes:
    return _mixers(c, _attention(c) | _mlp(c), len(c.numbers("attn_layer_indices")))


def _granite_hybrid(c: Config) -> Sizes:
    sizes = _attention(c) | {"ffn": 0, "mlp_matrices": 3, "tied_embeddings": c.flag("tie_word_embeddings", False)}
    shared = c.size("shared_intermediate_size", default=0, least=0)
    count = c.size("num_local_experts", default=0, least=0)
    if count:
        sizes = _experts(c, sizes, sizes["layers"], c.size("intermediate_size"), count, shared)
    else:
        sizes["ffn"] = shared
    return _mixers(c, sizes, c.words("layer_types").count("attention"))


def _mamba2(c: Config) -> Sizes:
    layers = c.size("num_hidden_layers")
    return {"layers": layers, "attention_layers": 0, "mlp_layers": 0, "hidden": c.size("hidden_size"), "heads": 0,
            "kv_heads": 0, "head_dim": 0, "vocab": c.size("vocab_size"), "ffn": 0, "mlp_matrices": 0,
            "tied_embeddings": c.flag("tie_word_embeddings", False), "ssm_layers": layers,
            "ssm_heads": c.size("num_heads"), "ssm_head_dim": c.size("head_dim"), "ssm_state": c.size("state_size"),
            "ssm_groups": c.size("n_groups", default=1)}


READERS: dict[str, Callable[[Config], Sizes]] = {
    **dict.fromkeys(("llama", "mistral", "ministral", "phi3", "olmo", "olmo2", "olmo3", "granite", "qwen3", "smollm3",
                     "internlm2", "internlm3", "stablelm", "glm4", "seed_oss"), _dense()),
    **dict.fromkeys(("nemotron", "gpt_neox", "phi"), _dense(gated=False)),
    "starcoder2": _dense(gated=False, tied=True), "qwen2": _qwen2, "qwen2_5": _qwen2, "gemma": _gemma,
    "gemma2": _gemma2, "gemma3": _gemma3, "gemma3_text": _gemma3, "cohere": _dense(tied=True), "cohere2": _cohere,
    "mixtral": _all_moe("num_local_experts"), "phimoe": _all_moe("num_local_experts"),
    "olmoe": _all_moe("num_experts"), "gpt_oss": _all_moe("num_local_experts", every=2), "minimax_m2": _minimax_m2,
    "qwen2_moe": _qwen_moe, "qwen3_moe": _qwen_moe, "deepseek_v2": _deepseek, "deepseek_v3": _deepseek,
    "kimi_k2": _deepseek, "glm4_moe_lite": _deepseek, "deepseek_v32": _indexed, "glm_moe_dsa": _indexed,
    "deepseek_v4": _deepseek_v4, "qwen3_next": _qwen3_next, "qwen3_5_moe": _qwen3_next, "qwen3_5_moe_text": _qwen3_next,
    "qwen3_5": _qwen3_5, "qwen3_5_text": _qwen3_5, "qwen3_vl_text": _dense(), "qwen3_vl_moe_text": _qwen_moe,
    "glm4_moe": _glm4_moe, "llama4": _llama4, "llama4_text": _llama4, "grok": _grok,
    "grok-1": _grok, "grok-2": _grok, "gpt2": _gpt2, "gpt_bigcode": _gpt2, "falcon": _falcon, "opt": _opt,
    "bloom": _bloom, "nemotron_h": _nemotron_h, "bamba": _bamba, "granitemoehybrid": _granite_hybrid,
    "mamba2": _mamba2,
}
CLASSES = {"Grok1ForCausalLM": _grok, "Grok1ModelForCausalLM": _grok, "Grok2ForCausalLM": _grok,
           "DeepseekV4ForCausalLM": _deepseek_v4}
# Known, and refused: their blocks are none of those that Arch describes.
REFUSED = {
    "mamba": "Mamba-1 blocks", "jamba": "Mamba-1 blocks", "minimax": "lightning attention",
    "minimax_text_01": "lightning attention", "minimax_m1": "lightning attention",
    "kimi_linear": "linear attention with a gate for each channel", "nemotron-nas": "blocks that differ in width",
    "minimax_m3": "attention to picked blocks of tokens", "minimax_m3_vl": "attention to picked blocks of tokens",
    "rwkv": "no attention at all", "bert": "an encoder",
    "t5": "an encoder and a decoder",
}
