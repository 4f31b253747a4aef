"""The array step against a scalar one written out from the same curves, layout by layout; search against trying."""

import itertools
import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import System, system
from exafleet.ops.collective import Channel
from exafleet.ops.roofline import operator_time
from exafleet.step.layouts import Layouts
from exafleet.step.limits import PLANNING, Limits
from exafleet.step.pipeline import levelled, stage
from exafleet.step.practice import Practice
from exafleet.step.search import search_train
from exafleet.step.train import Setting, TrainTask, evaluate, evaluate_at, setting
from exafleet.terms.why import Why
from exafleet.work.operators import train_work
from exafleet.work.recipes import recipe

FACTS = load_facts(date(2026, 11, 23))


# Every factor of practice unlike the others and unlike 1, so that one in the wrong place shows.
FACTORS = {"speed": 0.83, "moe_speed": 0.71, "expert_half": 130.0, "attention": 0.67, "mla": 0.59, "moving": 0.91,
           "scan": 0.47, "imbalance": 1.13, "tp_hidden": 0.21, "ep_hidden": 0.32, "pp_hidden": 0.43, "dp_hidden": 0.11,
           "dp_floor": 0.12, "straggler": 0.011, "host_layer": 1.7e-3, "host_moe": 0.9e-3, "host_tp": 0.23,
           "host_send": 2.3e-3, "host_step": 0.05}


def made_up(task: TrainTask, on: System, **more: float) -> Setting:
    """The setting of a task with factors nobody measured."""
    at = setting(task, on, FACTS)
    return replace(at, how=replace(at.how, **(FACTORS | more)))


def slower(how: Practice) -> dict[str, float]:
    """Time of each kind of operator over its curve, as a stack's factors say."""
    return {
        "gemm": 1 / how.speed,
        "grouped": how.imbalance / how.speed / how.moe_speed,
        "attention": 1 / how.attention,
        "mla": 1 / how.mla,
        "memory": 1 / how.moving,
        "scan": 1 / how.scan,
    }


def narrow(how: Practice, width: float) -> float:
    """Time of grouped products of experts so wide on one chip, over that of wide ones."""
    return 1 + how.expert_half / width


def launching(how: Practice, tp: int, pp: int, vpp: int, blocks: float) -> float:
    """Time the host needs for one micro-batch of a dense model without recomputation."""
    each = how.host_layer * ((1 + how.host_tp) if tp > 1 else 1)
    return blocks * each + (vpp * how.host_send if pp > 1 else 0)


def product(at: Setting, m: float, n: float, k: float, dtype: str) -> float:
    """Forward, activation gradient and weight gradient of one product; the last is added to main gradients."""
    curves, chip, width, total = at.eff.product, at.system.chip, {"bf16": 2, "fp8": 1}[dtype], 0.0
    c = curves.get(f"{dtype}_train", curves[dtype])
    for rows, cols, depth, out in ((m, n, k, 2), (m, k, n, 2), (n, k, m, 2 * at.each.gradient)):
        flops = 2 * (rows + c.m0) * (cols + c.n0) * (depth + c.k0) / (c.compute * chip.peak_flops[dtype])
        moved = (width * (rows * depth + depth * cols) + out * rows * cols) / (c.memory * chip.hbm_bw)
        total += c.launch + (flops**c.corner + moved**c.corner) ** (1 / c.corner)
    return total * slower(at.how)["gemm"]


def moved(at: Setting, forward: float, backward: float) -> float:
    """Forward and backward of a memory-bound kernel, of the bytes of each."""
    eff = at.eff.moving
    return (2 * eff.launch + (forward + backward) / (eff.share * at.system.chip.hbm_bw)) * slower(at.how)["memory"]


def core(at: Setting, tokens: float, seq: int, width: float) -> float:
    """Causal attention forward, and backward with five products for its two."""
    eff = at.eff.attention
    flops = 4 * width * tokens * seq / 2
    rate = at.system.chip.peak_flops["bf16"] * eff.top * seq / (seq + eff.half)
    return (2 * eff.launch + flops / rate + 2.5 * flops / (rate * eff.backward)) * slower(at.how)["attention"]


def ring(channel: Channel, nbytes: float, ranks: int) -> float:
    if ranks == 1:
        return 0.0
    slow = 1 + math.sqrt(channel.half / nbytes)
    return channel.latency * max(math.log2(ranks), 1) + nbytes * (ranks - 1) / ranks / channel.bandwidth * slow


def one_block(task: TrainTask, at: Setting, tp: int, t: int) -> float:
    """A dense block's forward and backward on one rank: projections, MLP, attention, memory-bound kernels."""
    a, d = task.arch, task.dtype
    q, kv, f = a.heads * a.head_dim, 2 * a.head_dim * max(a.kv_heads / tp, 1), a.ffn / tp
    gemm = product(at, t, q / tp + kv, a.hidden, d) + product(at, t, a.hidden, q / tp, d)
    mlp = product(at, t, 2 * f, a.hidden, d) + product(at, t, a.hidden, f, d)
    rotary = 4 * (q + a.kv_heads * a.head_dim) / tp * t
    own = a.hidden * t / tp
    light = 2 * moved(at, 8 * own, 12 * own) + moved(at, rotary, rotary) + moved(at, 6 * f * t, 10 * f * t)
    if d == "fp8":
        # MXFP8: two copies of an element and of a scale for 32 of them; norms and activations write theirs in place of
        # two bytes of bf16, everything else reads those two.
        copies = 2 * (1 + 1 / 32)
        made, alone = copies - 2, copies + 2
        light += moved(at, made * own + alone * t * q / tp, alone * (t * (q / tp + kv) + own))
        light += moved(at, made * (own + f * t), made * 2 * f * t + alone * own)
    return gemm + mlp + light + core(at, t, task.seq, q / tp)


def ends(task: TrainTask, at: Setting, tp: int, t: int) -> float:
    """Embedding, output projection and loss."""
    a = task.arch
    own = a.hidden * t / tp
    return moved(at, 4 * own, 10 * own) + product(at, t, a.vocab / tp, a.hidden, "bf16") \
        + moved(at, 8 * t * a.vocab / tp, 12 * t * a.vocab / tp)


def stages(layers: int, pp: int, vpp: int, head: float, balanced: bool) -> tuple[int, int]:
    """Blocks of the slowest stage and of the last, where the head costs as much as `head` blocks."""
    if balanced and pp > 1 and vpp == 1:
        # The last stage gets what makes all equally slow, rounded to the better side.
        equal = max(math.floor((layers + head) / pp - head), 0)
        last = min((equal, equal + 1), key=lambda n: max(math.ceil((layers - n) / (pp - 1)), n + head))
        return math.ceil((layers - last) / (pp - 1)), last
    blocks = math.ceil(layers / (pp * vpp)) * vpp
    return blocks, blocks - math.ceil((pp * blocks - layers) / 2)


def scalar_step(task: TrainTask, at: Setting, tp: int, pp: int, vpp: int, dp: int, mbs: int) -> dict[str, float]:
    """One dense step inside one scale-up domain, ZeRO-1, no recomputation."""
    a, how, chip = task.arch, at.how, at.system.chip
    t = mbs * task.seq
    q = a.heads * a.head_dim
    layer, head = one_block(task, at, tp, t), ends(task, at, tp, t)
    blocks, last = stages(a.layers, pp, vpp, head / layer, bool(how.balanced))
    head = max(head - ((blocks - last) * layer if pp > 1 else 0), 0)
    net, whole = at.net, 2 * t * a.hidden
    gather, scatter = ring(net.link["all_gather"], whole, tp), ring(net.link["reduce_scatter"], whole, tp)
    tensor = blocks * (2 * 2 * (gather + scatter) + 2 * gather) * (1 - how.tp_hidden)
    c, message = net.link["p2p"], whole / tp
    one_way = c.latency + message / c.bandwidth * (1 + math.sqrt(c.half / message))
    send = 2 * vpp * one_way * ((1 - how.pp_hidden) if vpp > 1 else 1) if pp > 1 else 0.0
    # Device and host work beside each other; the slower sets the pace, and near a tie both are felt.
    device = blocks * layer + head + tensor + send
    one = (device**4 + launching(how, tp, pp, vpp, blocks) ** 4) ** (1 / 4)
    count = task.batch / (dp * mbs)
    weights = a.layers * (2 * a.hidden * (q + a.kv_heads * a.head_dim) + 3 * a.hidden * a.ffn) + a.hidden * (
        2 * a.layers + 1
    )
    mine = (weights * blocks / a.layers + a.hidden * a.vocab * (1 if pp > 1 else 2)) / tp
    traffic = blocks * (ring(net.link["reduce_scatter"], at.each.gradient * mine / blocks, dp)
                        + ring(net.link["all_gather"], at.each.weight * mine / blocks, dp))
    rounds = max(min(pp, count) * (vpp - 1) / vpp, 1)
    parts = {"compute": blocks * layer * count, "head": head * count, "tp": tensor * count, "pp p2p": send * count,
             "pp bubble": (pp - 1) / vpp * one,
             "dp": max(traffic - how.dp_hidden * one * rounds, how.dp_floor * traffic),
             "optimizer": mine / dp * (2 * at.each.optimizer + at.each.gradient + at.each.weight)
             / (chip.hbm_bw * at.eff.moving.share),
             "host": how.host_step + (one - device) * count}
    parts["straggler"] = how.straggler * max(math.log2(tp * pp * dp / 8), 0) * sum(parts.values())
    return parts


@pytest.mark.parametrize("balanced", [0.0, 1.0])
@pytest.mark.parametrize("dtype", ["bf16", "fp8"])
@pytest.mark.parametrize(
    ("tp", "pp", "vpp", "dp", "mbs"),
    [
        (1, 1, 1, 8, 1),
        (2, 2, 1, 2, 1),
        (2, 2, 4, 16, 2),
        (4, 4, 2, 2, 1),
        (8, 1, 1, 8, 1),
        (1, 3, 1, 8, 1),
        (2, 5, 3, 4, 1),
        (1, 8, 1, 4, 1),
    ],
)
def test_array_step_is_the_scalar_step(balanced: float, dtype: str, tp: int, pp: int, vpp: int, dp: int,
                                       mbs: int) -> None:
    task = TrainTask(arch=arch(FACTS, "llama-3-8b"), seq=4096, batch=dp * mbs * 16, dtype=dtype)
    on = system(FACTS, "gb200-nvl72")
    at = made_up(task, on, balanced=balanced)
    expected = scalar_step(task, at, tp, pp, vpp, dp, mbs)
    time = evaluate_at(task, at, Layouts.of(tp=[tp], pp=[pp], vpp=[vpp], dp=[dp], mbs=[mbs])).time
    assert float(time["embedding+loss"][0]) == pytest.approx(expected["head"], rel=1e-9, abs=1e-15)
    for part in ("tp", "pp p2p", "pp bubble", "dp", "optimizer", "host", "straggler"):
        assert float(time[part][0]) == pytest.approx(expected[part], rel=1e-9, abs=1e-15), part
    compute = sum(float(time[n][0]) for n in ("attention gemm", "mlp gemm", "attention core", "elementwise"))
    assert compute == pytest.approx(expected["compute"], rel=1e-9)
    assert float(time.total[0]) == pytest.approx(sum(expected.values()), rel=1e-9)


@pytest.mark.parametrize("name", ["deepseek-v3", "nemotron-h-56b", "mixtral-8x7b", "llama-3-8b"])
def test_the_factor_of_each_kind_of_operator_is_applied_to_it_alone(name: str) -> None:
    model, on, etp = arch(FACTS, name), system(FACTS, "gb200-nvl72"), 2
    task = TrainTask(arch=model, seq=4096, batch=64)
    at = made_up(task, on)
    work = train_work(model, seq=4096, dtype="bf16", etp=etp, recipe=recipe("bf16", on.chip.family, ""),
                      gradient=at.each.gradient)
    expected: dict[str, float] = {}
    for part, kind, seconds, count in zip(work.parts, work.kinds, operator_time(work, on.chip, at.eff).ravel(),
                                          work.count, strict=True):
        over = slower(at.how)[kind] * (narrow(at.how, model.expert_ffn / etp) if kind == "grouped" else 1)
        expected[part] = expected.get(part, 0.0) + float(seconds * count) * over
    time = evaluate_at(task, at, Layouts.of(dp=[8], etp=[etp])).time
    assert len(set(work.kinds)) >= 3
    for part, seconds in expected.items():
        assert float(time[part][0]) == pytest.approx(seconds * 64 / 8, rel=1e-9), part


HEADS = [0.0, 0.3, 1.0, 2.5, 7.9, 40.0]


def dealt_out(layers: int, pp: int, head: float) -> tuple[float, float]:
    """Blocks of the slowest and of the last stage where software counts the head as `head` blocks."""
    model, lay = replace(arch(FACTS, "llama-3-8b"), layers=layers), Layouts.of(pp=[pp], dp=[1], mbs=[1])
    tab = {"head": np.array([head]), "total": np.array([float(layers)])}
    found = levelled(model, lay, stage(model, 64, lay), tab)
    return float(found.blocks[0]), float(found.last[0])


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("layers", "pp"), [(32, 2), (32, 4), (32, 5), (61, 16), (126, 16), (10, 9), (7, 8)])
def test_levelled_stages_are_the_best_of_all_ways_to_deal_blocks_out(layers: int, pp: int, head: float) -> None:
    def slowest(last: int) -> float:
        return max(math.ceil((layers - last) / (pp - 1)), last + head)

    blocks, last = dealt_out(layers, pp, head)
    assert last == int(last) >= 0
    assert blocks == math.ceil((layers - last) / (pp - 1))
    assert max(blocks, last + head) == pytest.approx(min(slowest(n) for n in range(layers + 1)))


@pytest.mark.parametrize(("layers", "pp"), [(32, 2), (32, 5), (61, 16), (126, 16), (7, 8)])
def test_a_bigger_head_never_gives_the_last_stage_more_blocks(layers: int, pp: int) -> None:
    last = [dealt_out(layers, pp, head)[1] for head in np.linspace(0.0, 2.0 * layers / pp + 2.0, 97)]
    assert all(after <= before for before, after in itertools.pairwise(last))
    assert last[-1] == 0
    assert last[0] >= layers // pp - 1


@pytest.mark.parametrize(("name", "chips"), [("llama-3-8b", 16), ("mixtral-8x7b", 32)])
def test_search_is_the_best_of_trying_every_layout_one_by_one(name: str, chips: int) -> None:
    task, on, best = TrainTask(arch=arch(FACTS, name), seq=4096, batch=32), system(FACTS, "dgx-h100"), (math.inf, "")
    axes = itertools.product([1, 2, 4], [1, 2], [1, 2, 4], [1, 2], [1, 4], [1, 3], [0, 1])
    tried = [(tp, cp, pp, vpp, ep, z, r) for tp, cp, pp, vpp, ep, z, r in axes if chips % (tp * cp * pp) == 0]
    for tp, cp, pp, vpp, ep, zero, recompute in tried:
        lay = Layouts.of(tp=[tp], cp=[cp], pp=[pp], vpp=[vpp], ep=[ep], dp=[chips // (tp * cp * pp)], zero=[zero],
                         recompute=[recompute])
        one = evaluate(task, on, FACTS, lay, chips)
        if one.why[0] == Why.OK:
            best = min(best, (float(one.time.total[0]), one.layouts.words()[0]))
    limits = Limits(tp=(1, 4), cp=(1, 2), pp=(1, 4), vpp=(1, 2), ep=(1, 4), etp=(1, 1), mbs=(1, 1), zero=(1, 3),
                    recompute=(0, 1))
    found = search_train(task, on, chips, FACTS, limits=limits).best
    assert found is not None
    # The search also tries two-way experts and ZeRO-2, so it may only be better.
    assert float(found.time.total[0]) <= best[0] * (1 + 1e-9)
    assert float(found.time.total[0]) > 0.97 * best[0]


def test_many_layouts_at_once_are_the_layouts_one_by_one() -> None:
    task, on = (
        TrainTask(arch=arch(FACTS, "deepseek-v3"), seq=4096, batch=1024, dtype="fp8"),
        system(FACTS, "gb200-nvl72"),
    )
    lay = Layouts.of(tp=[1, 2, 4], pp=[8, 4, 2], ep=[32, 16, 8], dp=[32, 32, 32], vpp=[2, 1, 4], zero=[1, 3, 0])
    together = evaluate(task, on, FACTS, lay)
    for i in range(3):
        alone = evaluate(task, on, FACTS, lay.at([i]))
        np.testing.assert_allclose(alone.time.values[0], together.time.values[i], rtol=1e-12)
        np.testing.assert_allclose(alone.memory.values[0], together.memory.values[i], rtol=1e-12)


@pytest.mark.parametrize(("name", "where", "chips", "batch", "dtype"), [
    ("llama-3.1-405b", "dgx-h100", 16384, 2048, "bf16"), ("llama-3-8b", "dgx-h100", 64, 1024, "bf16"),
    ("deepseek-v3", "gb200-nvl72", 576, 4608, "fp8")])
def test_planning_limits_lose_next_to_nothing(name: str, where: str, chips: int, batch: int, dtype: str) -> None:
    task, on = TrainTask(arch=arch(FACTS, name), seq=8192, batch=batch, dtype=dtype), system(FACTS, where)
    full, quick = (search_train(task, on, chips, FACTS, limits=limits).best for limits in (None, PLANNING))
    assert full is not None
    assert quick is not None
    assert float(quick.time.total[0]) <= 1.02 * float(full.time.total[0])
