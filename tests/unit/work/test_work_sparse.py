"""Sparse and compressed attention and gated delta nets: what they see, keep and move, against counts by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import load_facts
from exafleet.work.counts import (
    Reach,
    delta_flops,
    delta_parameters,
    flops_per_token,
    kv_bytes,
    kv_bytes_per_token,
    parameters,
    reaches,
    state_bytes,
)
from exafleet.work.operator import Work
from exafleet.work.operators import decode_work, prefill_work

FACTS = load_facts(date(2026, 11, 23))
HYBRID, SPARSE, COMPRESSED = "qwen3.5-397b-a17b", "deepseek-v3.2", "deepseek-v4-pro"


def _decode(a: Arch, context: float = 10_000.0, sequences: float = 1.0, tp: float = 1.0) -> Work:
    return decode_work(a, dtype="fp8", kv_dtype="fp8", sequences=sequences, context=context, tp=tp)


def _of(work: Work, name: str, what: str) -> float:
    return float(getattr(work, what)[..., work.names.index(name)])


@given(seq=st.integers(1, 3000), window=st.integers(1, 500), ratio=st.sampled_from([1, 4, 128]),
       topk=st.integers(0, 400))
def test_what_is_seen_is_the_mean_over_places(seq: int, window: int, ratio: int, topk: int) -> None:
    places = np.arange(seq)
    near = np.minimum(places, window)
    far = np.minimum(places, topk * ratio) / ratio if topk else places / ratio
    found = float(Reach(name="x", blocks=1, window=window, ratio=ratio, topk=topk).mean(seq))
    # Continuous sums: half a token at each end of the ramp.
    assert found == pytest.approx(float((near + far).mean()), abs=1.0 + 1.0 / ratio)


@given(context=st.integers(0, 100_000), topk=st.integers(0, 4000))
def test_the_next_token_sees_its_window_and_what_is_picked(context: int, topk: int) -> None:
    found = float(Reach(name="x", blocks=1, window=128, ratio=4, topk=topk).latest(context))
    picked = min(context / 4, topk) if topk else context / 4
    assert found == pytest.approx(min(context, 128) + picked)


@pytest.mark.parametrize("name", [HYBRID, SPARSE, COMPRESSED, "gpt-oss-120b", "glm-5.2", "nemotron-h-56b"])
def test_every_attention_block_is_of_one_kind(name: str) -> None:
    a = arch(FACTS, name)
    assert sum(kind.blocks for kind in reaches(a)) == a.attention_layers


def test_a_delta_net_keeps_a_state_and_its_attention_a_cache() -> None:
    a = arch(FACTS, HYBRID)
    # 15 blocks of 2 key-value heads of 256; 45 of 64 value heads of 128 x 128 in fp32 and 3 x 4096 inputs of 4 tokens.
    assert kv_bytes_per_token(a) == 15 * 2 * 2 * 256 * 2
    state = 45 * (64 * 128 * 128 * 4 + 4 * (2 * 16 * 128 + 64 * 128) * 2)
    assert state_bytes(a) == state
    assert float(kv_bytes(a, 1000)) == 1000 * 15 * 2048 + state


def test_parameters_of_a_delta_net_by_hand() -> None:
    # 2048 x (2 x 2048 + 2 x 4096 + 2 x 32) in, 4096 x 2048 out, 4 x 8192 of convolution, 64 scalars, a norm.
    assert delta_parameters(arch(FACTS, "qwen3-next-80b-a3b")) == 25296896 + 8388608 + 32768 + 64 + 128


def test_an_index_costs_its_keys_and_attention_no_more_than_it_picks() -> None:
    a, dense = arch(FACTS, SPARSE), arch(FACTS, "deepseek-v3")
    # 576 elements of a latent and 128 fp8 keys with a scale, in 61 blocks.
    assert kv_bytes_per_token(a, "fp8") == 61 * (576 + 132)
    assert float(parameters(a).total - parameters(dense).total) == 61 * (1536 * 64 * 128 + 7168 * (128 + 64))
    near, far = _decode(a, 10_000), _decode(a, 20_000)
    assert _of(near, "decode attention", "nbytes") == _of(far, "decode attention", "nbytes") == 2048 * 576
    assert _of(far, "index scores", "flops") == 2 * _of(near, "index scores", "flops") == 2 * 64 * 128 * 20_000
    short = _decode(a, 2000), _decode(dense, 2000)
    assert _of(short[0], "decode attention", "nbytes") == _of(short[1], "decode attention", "nbytes")


def test_a_shared_index_is_computed_in_fewer_blocks() -> None:
    own, shared = (_decode(arch(FACTS, name)) for name in ("glm-5", "glm-5.2"))
    assert [w.count[w.names.index("index scores")] for w in (own, shared)] == [78, 21]


def test_long_prompts_run_in_the_latent_space_and_short_ones_do_not() -> None:
    a, dense = arch(FACTS, SPARSE), arch(FACTS, "deepseek-v3")
    one, two = (prefill_work(m, dtype="fp8", tokens=2048, seq=2048) for m in (a, dense))
    assert _of(one, "attention", "flops") == _of(two, "attention", "flops")
    long = prefill_work(a, dtype="fp8", tokens=32768, seq=32768)
    # 128 heads of 2 x 512 + 64, twice, over 2048 tokens but for the first ones.
    assert _of(long, "attention", "flops") == pytest.approx(2 * 128 * 1088 * 32768 * (2048 - 2048**2 / 65536))


def test_compressed_caches_grow_by_shares_of_an_entry() -> None:
    a = arch(FACTS, COMPRESSED)
    # 512 elements for keys and values together: a quarter in 30 blocks with an index of 132 bytes, 1 / 128 in 31.
    grown = 30 * (512 / 4 + 132 / 4) + 31 * 512 / 128
    assert kv_bytes_per_token(a, "fp8") == pytest.approx(grown)
    assert float(kv_bytes(a, 100_000, "fp8")) == pytest.approx(100_000 * grown + 61 * 128 * 512)
    work = _decode(a, 100_000)
    assert _of(work, "csa decode attention", "nbytes") == 512 * (128 + 1024)
    assert _of(work, "hca decode attention", "nbytes") == pytest.approx(512 * (128 + 100_000 / 128))


@pytest.mark.parametrize("name", [HYBRID, SPARSE, COMPRESSED])
def test_attention_of_long_contexts_costs_less_than_whole_attention(name: str) -> None:
    a = arch(FACTS, name)
    slope = [float(flops_per_token(a, 2 * s, train=False) - flops_per_token(a, s, train=False)) for s in (2**14, 2**18)]
    whole = 2.0 * a.layers * a.heads * (a.head_dim + (a.v_dim or a.head_dim))
    assert slope[0] < whole * 2**13
    assert slope[1] < whole * 2**17


def test_streams_are_mixed_around_every_block() -> None:
    a = arch(FACTS, COMPRESSED)
    assert float(parameters(a)["streams"]) == 2 * 61 * 4 * 7168 * 24
    one, four = (prefill_work(replace(a, residual_streams=r), dtype="fp8", tokens=4096, seq=4096) for r in (0, 4))
    more = float(four.total(four.nbytes) - one.total(one.nbytes))
    # Streams are read for their maps and their mixture, and read and written around the block; 24 maps are small.
    assert more == pytest.approx(2 * 61 * 4096 * 7168 * 4 * 2 * 4, rel=0.01)
    assert "streams" not in one.names


def test_decoding_reads_and_writes_every_state_once() -> None:
    a = arch(FACTS, HYBRID)
    one, many = _decode(a), _decode(a, sequences=16.0, context=50_000.0)
    state = 64 * 128 * 128 * 4
    assert _of(one, "delta rule", "nbytes") == pytest.approx(2 * state, rel=0.01)
    assert _of(many, "delta rule", "nbytes") == pytest.approx(16 * _of(one, "delta rule", "nbytes"))
    assert _of(_decode(a, tp=4.0), "delta rule", "nbytes") == pytest.approx(_of(one, "delta rule", "nbytes") / 4)


def test_prefill_of_a_delta_net_is_linear_in_tokens() -> None:
    a = arch(FACTS, HYBRID)
    short, long = (prefill_work(a, dtype="bf16", tokens=s, seq=s) for s in (1024, 8192))
    for name in ("delta inside chunks", "delta between chunks"):
        assert _of(long, name, "flops") == 8 * _of(short, name, "flops")
        assert _of(long, name, "nbytes") == 8 * _of(short, name, "nbytes")


def test_chunked_products_are_those_of_the_delta_rule() -> None:
    # The products of one chunk of one head, by their sizes; triangles count by half, a triangular solve by a third.
    a = arch(FACTS, "qwen3-next-80b-a3b")
    q, k, v = 64, 128, 128
    triangles = [(q, k, q), (q, k, q), (q, q, k), (q, q, v), (q, q, v)]
    inside = sum(m * n * o for m, n, o in triangles) + q**3 / 3
    through = sum(2 * m * n * o for m, n, o in [(q, k, v), (q, k, v), (k, q, v)])
    assert [f * q / 32 for f in delta_flops(a)] == pytest.approx([inside, through])


def test_chunks_make_what_the_rule_makes_token_by_token() -> None:
    """The products that are counted compute the rule: S <- g S + k (b (v - g k' S)), o = q' S."""
    rng, n, k, v = np.random.default_rng(0), 12, 4, 3
    keys, queries = (rng.normal(size=(n, k)) / k for _ in range(2))
    values, rate, fade = rng.normal(size=(n, v)), rng.uniform(0.2, 0.9, n), rng.uniform(0.5, 0.99, n)
    state, by_token = np.zeros((k, v)), []
    for t in range(n):
        state = fade[t] * state
        state = state + np.outer(keys[t], rate[t] * (values[t] - keys[t] @ state))
        by_token.append(queries[t] @ state)
    state, by_chunk, size = np.zeros((k, v)), [], 4
    for at in range(0, n, size):
        now = slice(at, at + size)
        log = np.cumsum(np.log(fade[now]))
        decay, since = np.exp(log)[:, None], np.tril(np.exp(log[:, None] - log[None, :]))
        triangle = np.tril(rate[now, None] * (keys[now] @ keys[now].T) * since, -1)
        inverse = np.linalg.inv(np.eye(size) + triangle)
        laid = inverse @ (rate[now, None] * values[now]) - inverse @ (rate[now, None] * decay * keys[now]) @ state
        scores = (queries[now] @ keys[now].T) * since
        by_chunk.append(decay * (queries[now] @ state) + scores @ laid)
        state = decay[-1] * state + (np.exp(log[-1] - log)[:, None] * keys[now]).T @ laid
    np.testing.assert_allclose(np.vstack(by_chunk), np.vstack(by_token), atol=1e-12)
