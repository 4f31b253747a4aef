"""One decode step and one replica's memory written out as scalars for a dense model, against the arrays."""

import datetime

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.steady import serve_step
from exafleet.step.serve import ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(datetime.date(2026, 11, 26))


def product(m, n, k, width, chip, curve, dtype):
    """A matrix product without its launch: rounded maximum of padded FLOPs and of bytes moved."""
    flops = 2 * (m + curve.m0) * (n + curve.n0) * (k + curve.k0) / (curve.compute * chip.peak_flops[dtype])
    moved = (width * (m * k + k * n) + 2 * m * n) / (curve.memory * chip.hbm_bw)
    return (flops**curve.corner + moved**curve.corner) ** (1 / curve.corner)


def decode_step(a, on, tp, batch, context):
    """Seconds of one decode step in fp8 with an fp8 cache on `tp` chips of one domain."""
    chip, eff, how = on.chip, on.eff, on.engine.of("decode", "fp8")
    low, full, mem = eff.product["fp8"], eff.product["bf16"], eff.moving

    def gemm(n, k):
        return how.gemm * product(batch, n, k, 1, chip, low, "fp8") + how.launch * low.launch

    def move(nbytes):
        return how.elementwise * nbytes / (mem.share * chip.hbm_bw) + how.launch * mem.launch

    h, q, kv, f = a.hidden, a.heads * a.head_dim / tp, 2 * a.kv_heads * a.head_dim / tp, a.ffn / tp
    products = gemm(q + kv, h) + gemm(h, q) + gemm(2 * f, h) + gemm(h, f)
    cache = batch * context * kv
    attention = how.launch * eff.decode.launch + how.attention * max(
        cache / (eff.decode.share * chip.hbm_bw), 4 * q * batch * context / (eff.mla.top * chip.peak_flops["bf16"]))
    small = 2 * move(8 * h * batch) + move(4 * (q + a.head_dim * a.kv_heads / tp) * batch) + move(6 * f * batch)
    small += move(4 * batch * (h + q)) + move(4 * batch * (h + f))
    head = how.gemm * product(batch, a.vocab / tp, h, 2, chip, full, "bf16") + how.launch * full.launch
    head += move(4 * h * batch) + move(4 * batch * a.vocab / tp)
    sent = 2 * h * batch
    reduction = on.engine.oneshot + 2 * sent * (tp - 1) / tp / on.net.link["all_reduce"].bandwidth if tp > 1 else 0
    operators = a.layers * (products + attention + small + 2 * how.reduction * reduction) + head
    return on.engine.pace * (operators + on.engine.overhead)


@pytest.mark.parametrize(("model", "tp", "batch"), [("llama-3-8b", 1, 1), ("llama-3-8b", 2, 64), ("llama-3-70b", 4, 32),
                                                    ("llama-3-70b", 8, 256)])
@pytest.mark.parametrize(("name", "engine", "release"), [
    ("hgx-h100", "", None), ("hgx-b200", "trtllm", None), ("gb200-nvl72", "sglang", 2025.5)])
def test_a_decode_step_written_out(name, engine, release, model, tp, batch):
    a, on = arch(FACTS, model), machine(system(FACTS, name), FACTS, engine, release)
    task = ServeTask(arch=a, input_tokens=1000, output_tokens=1000, ttft=1, tpot=1, dtype="fp8", kv_dtype="fp8",
                     engine=engine)
    step = serve_step(task, on, fixed(tp), batch)
    ours = float(step.token.total[0] - step.token["prefill of others"][0])
    assert ours == pytest.approx(decode_step(a, on, tp, batch, 1500), rel=1e-9)


def test_proposed_tokens_cost_a_wider_step_and_a_block_each_and_divide_what_they_gain():
    a, on, lay = arch(FACTS, "llama-3-8b"), machine(system(FACTS, "hgx-h100"), FACTS), fixed(1)
    task = ServeTask(arch=a, input_tokens=1000, output_tokens=1000, ttft=1, tpot=1, dtype="bf16", draft=3, accept=0.5)
    # The step works on four tokens of each sequence; each proposal is one block of 32 and one look at the vocabulary.
    wide = decode_parts(task, on, lay, np.array([16.0]))
    blocks = sum(wide[part] for part in wide.names if part not in ("embedding+loss", "host", "draft"))
    assert float(wide["draft"][0]) == pytest.approx(float(3 * (blocks / 32 + wide["embedding+loss"])[0] / 4))
    step = serve_step(task, on, lay, 16)
    gained = 1 + 0.5 + 0.25 + 0.125
    assert float(step.token.total[0] - step.token["prefill of others"][0]) == pytest.approx(
        float(wide.total[0]) / gained)


def test_memory_written_out():
    a, on = arch(FACTS, "llama-3-70b"), machine(system(FACTS, "hgx-h100"), FACTS)
    task = ServeTask(arch=a, input_tokens=1000, output_tokens=1000, ttft=1, tpot=1, dtype="fp8", kv_dtype="fp8")
    used = serve_step(task, on, fixed(4, 2), 64).memory.at(0)
    block = a.hidden * a.head_dim * (2 * a.heads + 2 * a.kv_heads) + 3 * a.hidden * a.ffn
    weights = a.layers * block + 2 * (2 * a.hidden * a.vocab + a.hidden * (2 * a.layers + 1))
    assert float(used["dense weights"]) == pytest.approx(weights / 8, rel=1e-6)
    # 80 layers, 8 heads of 128, keys and values, one byte each; 64 sequences of 1,500 tokens over 4 * 2 chips.
    assert float(used["key-value cache"]) == pytest.approx(80 * 2 * 8 * 128 * 64 * 1500 / 8)


def test_throughput_is_littles_law():
    on = machine(system(FACTS, "hgx-h100"), FACTS)
    task = ServeTask(arch=arch(FACTS, "llama-3-8b"), input_tokens=1000, output_tokens=200, ttft=1, tpot=1, dtype="fp8")
    step = serve_step(task, on, fixed(1), 32)
    lifetime = float(step.first.total[0]) + 199 * float(step.token.total[0])
    assert float(step.rate[0]) / 200 * lifetime == pytest.approx(32)
