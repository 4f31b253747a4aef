"""A model architecture as the work floor needs it: dimensions only, no job and no hardware."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields

from exafleet.facts.catalogue import Facts, missing
from exafleet.facts.subjects import spoken_model
from exafleet.terms.errors import FactError, MissingFact, Problem, raise_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Arch:
    """Dimensions of one transformer, mixture of experts or hybrid. Counts are exact integers; 0 means "has none".

    layers             blocks in all (attention + state-space + MLP-only blocks of hybrids)
    attention_layers   blocks with attention (equal to `layers` except in hybrids)
    mlp_layers         blocks with an MLP or experts (equal to `layers` except in hybrids)
    ffn                inner width of a dense MLP; mlp_matrices is 3 when gated (SwiGLU), else 2
    experts, topk      routed experts of an MoE block and how many serve a token
    expert_ffn         inner width of one routed expert
    shared_ffn         total inner width of shared experts in an MoE block
    moe_layers         blocks with experts; the other MLP blocks are dense
    q_lora ... v_dim   multi-head latent attention (0 without MLA); then head_dim = nope_dim + rope_dim
    q_lora alone       low-rank queries of attention that is not latent (no kv_lora)
    o_lora, o_groups   low-rank output of attention: each group of heads to o_lora, all of them together to hidden
    window             sliding attention window in tokens, used by window_layers of the attention blocks
    attention_gate     1 where a projection of its own gates the output of attention
    shared_kv          1 where keys and values are one projection, cached once
    csa_*, hca_*       attention blocks that see, beside their window, compressed entries of every `ratio` tokens:
                       those an index picks (csa) or all of them (hca); counted in window_layers too
    index_*            sparse attention: heads and width of the index, the tokens (csa: entries) it picks, and the
                       blocks that compute one; blocks beyond these use the last one again
    residual_streams   residual streams that maps of their own mix around every block (0: one, as usual)
    ssm_*              Mamba-2 blocks: heads, head dim, state size, groups
    delta_*            gated delta-net blocks: key and value heads, their widths; the state is a matrix a value head
    latent             width experts work at when it differs from hidden (latent MoE)
    mtp_layers         multi-token-prediction blocks used in training
    positions          learned position embeddings (0 for rotary or ALiBi)
    residual_dense_ffn inner width of a dense MLP beside the experts in every MoE block (Grok-2, Arctic)
    """

    id: str
    name: str
    layers: int
    attention_layers: int
    mlp_layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    ffn: int
    mlp_matrices: int
    tied_embeddings: bool
    experts: int = 0
    topk: int = 0
    expert_ffn: int = 0
    shared_ffn: int = 0
    moe_layers: int = 0
    latent: int = 0
    residual_dense_ffn: int = 0
    q_lora: int = 0
    o_lora: int = 0
    o_groups: int = 0
    kv_lora: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    v_dim: int = 0
    window: int = 0
    window_layers: int = 0
    attention_gate: int = 0
    shared_kv: int = 0
    csa_layers: int = 0
    csa_ratio: int = 0
    hca_layers: int = 0
    hca_ratio: int = 0
    index_layers: int = 0
    index_heads: int = 0
    index_dim: int = 0
    index_topk: int = 0
    residual_streams: int = 0
    ssm_layers: int = 0
    ssm_heads: int = 0
    ssm_head_dim: int = 0
    ssm_state: int = 0
    ssm_groups: int = 0
    delta_layers: int = 0
    delta_key_heads: int = 0
    delta_value_heads: int = 0
    delta_key_dim: int = 0
    delta_value_dim: int = 0
    mtp_layers: int = 0
    positions: int = 0

    @property
    def kind(self) -> str:
        """ "hybrid" (has blocks that keep a state), "moe" (has experts) or "dense"."""
        return "hybrid" if self.state_layers else "moe" if self.moe_layers else "dense"

    @property
    def state_layers(self) -> int:
        """Blocks that keep a state of one size whatever the context: state-space and delta-net."""
        return self.ssm_layers + self.delta_layers


# Of a model whose every block has attention and an MLP these need no row of their own.
_SAME_AS_LAYERS = ("attention_layers", "mlp_layers")
_REQUIRED = tuple(f.name for f in fields(Arch)
                  if f.default is MISSING and f.name not in ("id", "name", *_SAME_AS_LAYERS))
_OPTIONAL = tuple(f.name for f in fields(Arch) if f.default is not MISSING)


def arch_ids(facts: Facts) -> tuple[str, ...]:
    """Every model of the tables, complete or not."""
    return tuple(s.id for s in facts.subjects.of_kind("model"))


def arch(facts: Facts, name: str, *, where: str = "") -> Arch:
    """The model called `name` (id, name, alias, or as tables of measurements spell it) as of the facts' date.

    Raises FactError for an unknown or ambiguous name or dimensions that cannot be, MissingFact with every dimension
    that is not known.
    """
    subject = spoken_model(facts.subjects, name, where=where)
    raise_all(MissingFact, arch_gaps(facts, subject.id))
    known = {t: facts.try_value(f"{subject.id}.{t}") for t in (*_REQUIRED, *_SAME_AS_LAYERS, *_OPTIONAL)}
    size = {t: round(v) for t, v in known.items() if v is not None}
    size = {"ffn": 0, **dict.fromkeys(_SAME_AS_LAYERS, size["layers"]), **size}
    tied = bool(size.pop("tied_embeddings"))
    found = Arch(id=subject.id, name=subject.name, tied_embeddings=tied, **size)
    raise_all(FactError, [Problem(where=where, what=f"{subject.id}: {w}") for w in insane(found)])
    return found


def arch_gaps(facts: Facts, model_id: str) -> list[Problem]:
    """One problem per dimension of a model that is not known; [] when its work can be counted."""
    needed = list(_REQUIRED)
    layers, moe = facts.try_value(f"{model_id}.layers"), facts.try_value(f"{model_id}.moe_layers") or 0.0
    if layers is not None and moe >= (facts.try_value(f"{model_id}.mlp_layers") or layers):
        needed.remove("ffn")
    if facts.try_get(f"{model_id}.ssm_heads") is not None:
        # A hybrid whose split is not known must not pass for one whose every block has attention.
        needed += ["ssm_layers", *_SAME_AS_LAYERS]
    if facts.try_get(f"{model_id}.delta_value_heads") is not None:
        needed += ["delta_layers", "attention_layers"]
    return [missing(facts, f"{model_id}.{t}") for t in needed if facts.try_get(f"{model_id}.{t}") is None]


def transformer(name: str, *, hidden: int, layers: int, heads: int, kv_heads: int, ffn: int, vocab: int,
                mlp_matrices: int, tied: int, positions: int = 0) -> Arch:
    """A transformer whose every block has attention and a dense MLP; head_dim is the width over the heads.

    >>> transformer("a", hidden=64, layers=2, heads=4, kv_heads=4, ffn=256, vocab=100, mlp_matrices=2, tied=1).head_dim
    16
    """
    return Arch(id=name, name=name, layers=layers, attention_layers=layers, mlp_layers=layers, hidden=hidden,
                heads=heads, kv_heads=kv_heads, head_dim=hidden // heads, vocab=vocab, ffn=ffn,
                mlp_matrices=mlp_matrices, tied_embeddings=bool(tied), positions=positions)


def insane(a: Arch) -> list[str]:
    """What cannot be in a model's dimensions; [] when they hold together."""
    wrong = [f"{f.name} is negative ({getattr(a, f.name)})" for f in fields(Arch)
             if isinstance(getattr(a, f.name), int) and getattr(a, f.name) < 0]
    wrong += [f"{n} must be at least 1" for n in ("layers", "hidden", "vocab") if getattr(a, n) < 1]
    checks = {
        "more attention, MLP or state-space blocks than layers":
            max(a.attention_layers, a.mlp_layers, a.state_layers, a.moe_layers) > a.layers,
        "attention blocks need heads, kv_heads and a head_dim":
            a.attention_layers > 0 and min(a.heads, a.kv_heads, a.head_dim) < 1,
        f"heads ({a.heads}) are not a multiple of kv_heads ({a.kv_heads})":
            a.kv_heads > 0 and a.heads % a.kv_heads != 0,
        f"topk ({a.topk}) exceeds experts ({a.experts})": a.topk > a.experts,
        "expert blocks need experts, topk and expert_ffn":
            a.moe_layers > 0 and min(a.experts, a.topk, a.expert_ffn) < 1,
        "experts without blocks that hold them": a.experts > 0 and a.moe_layers == 0,
        "more expert blocks than MLP blocks": a.moe_layers > a.mlp_layers,
        "dense MLP blocks need an ffn": a.mlp_layers > a.moe_layers and a.ffn < 1,
        f"mlp_matrices is {a.mlp_matrices}, not 2 or 3": a.mlp_layers > 0 and a.mlp_matrices not in (2, 3),
        "state-space blocks need ssm_heads, ssm_head_dim and ssm_state":
            a.ssm_layers > 0 and min(a.ssm_heads, a.ssm_head_dim, a.ssm_state) < 1,
        "delta-net blocks need delta_key_heads, delta_value_heads, delta_key_dim and delta_value_dim":
            a.delta_layers > 0
            and min(a.delta_key_heads, a.delta_value_heads, a.delta_key_dim, a.delta_value_dim) < 1,
        f"delta_value_heads ({a.delta_value_heads}) are not a multiple of delta_key_heads ({a.delta_key_heads})":
            a.delta_key_heads > 0 and a.delta_value_heads % a.delta_key_heads != 0,
        "an index needs index_layers, index_heads, index_dim and a q_lora that its queries come from":
            a.index_topk > 0 and min(a.index_layers, a.index_heads, a.index_dim, a.q_lora) < 1,
        "more blocks with an index than attention blocks": a.index_layers > a.attention_layers,
        "compressed blocks need a csa_ratio, an hca_ratio and, for csa, an index":
            (a.csa_layers > 0 and min(a.csa_ratio, a.index_topk) < 1) or (a.hca_layers > 0 and a.hca_ratio < 1),
        "more compressed blocks than windowed blocks": a.csa_layers + a.hca_layers > a.window_layers,
        "latent attention needs nope_dim and v_dim": a.kv_lora > 0 and min(a.nope_dim, a.v_dim) < 1,
        f"head_dim ({a.head_dim}) is not nope_dim + rope_dim":
            a.kv_lora > 0 and a.head_dim != a.nope_dim + a.rope_dim,
        "a low-rank attention output needs o_groups that divide its heads":
            a.o_lora > 0 and (a.o_groups < 1 or a.heads % a.o_groups != 0),
        "more windowed blocks than attention blocks": a.window_layers > a.attention_layers,
        "windowed blocks need a window": a.window_layers > 0 and a.window < 1,
    }
    return wrong + [text for text, bad in checks.items() if bad]
