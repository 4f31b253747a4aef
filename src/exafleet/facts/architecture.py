"""A model architecture as the work floor needs it: dimensions only, no job and no hardware."""

from __future__ import annotations

from dataclasses import dataclass


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
    window             sliding attention window in tokens, used by window_layers of the attention blocks
    ssm_*              Mamba-2 blocks: heads, head dim, state size, groups
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
    kv_lora: int = 0
    nope_dim: int = 0
    rope_dim: int = 0
    v_dim: int = 0
    window: int = 0
    window_layers: int = 0
    ssm_layers: int = 0
    ssm_heads: int = 0
    ssm_head_dim: int = 0
    ssm_state: int = 0
    ssm_groups: int = 0
    mtp_layers: int = 0
    positions: int = 0
