"""Laws of power and energy while serving: between idle and the limit, parts add up, more batch never fewer watts."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.deploy import deploy
from exafleet.service.deployment_energy import deployment_energy, fewest
from exafleet.service.energy import (
    PIECES,
    Board,
    Pool,
    Use,
    activity,
    as_checkpoints,
    board,
    board_power,
    decode_use,
    energy_per_token,
    prefill_use,
    scaled,
    split_activity,
    split_energy,
    together,
    watts,
    within,
)
from exafleet.service.search import search_serve
from exafleet.service.steady import serve_step
from exafleet.step.serve import ServeTask, decode_operators, decode_parts, machine
from exafleet.step.serve_layouts import ServeLimits, fixed
from exafleet.terms.errors import MissingFact
from exafleet.terms.why import Why

FACTS = load_facts(date(2026, 12, 1))
CASES = (("llama-3-70b", "hgx-h100", 4, "fp8"), ("llama-3-70b", "hgx-b200", 2, "fp4"),
         ("llama-3-8b", "hgx-h200", 1, "bf16"), ("deepseek-v3", "hgx-b200", 8, "fp4"),
         ("qwen3-32b", "mi355x-8", 1, "fp8"), ("llama-3-8b", "l40s-8", 1, "fp8"))
LENGTHS = ((128.0, 128.0), (1024.0, 1024.0), (8192.0, 1024.0), (1024.0, 8192.0))
BATCH = np.unique(np.round(1.16 ** np.arange(46)))
# A prompt's share of a step moves what the step is bound by: a rung of the ladder may lose this share of the watts.
# Caches are read at less of the bandwidth than weights: where these alone fill it, a card may end so much lower.
RIPPLE, LESS = 0.01, 0.03


def task_of(model, dtype, lengths=(1024.0, 1024.0), **more):
    return ServeTask(arch=arch(FACTS, model), input_tokens=lengths[0], output_tokens=lengths[1], ttft=math.inf,
                     tpot=math.inf, dtype=dtype, kv_dtype="fp8", **more)


def curve(case, lengths):
    """Energy along a ladder of batches, as far as it fits. [C]"""
    model, name, tp, dtype = case
    on, task = machine(system(FACTS, name), FACTS), task_of(model, dtype, lengths)
    step = serve_step(task, on, fixed(np.full(len(BATCH), tp)), BATCH)
    fits = np.flatnonzero(step.why == Why.OK)
    return energy_per_token(task, on, step.layouts.take(fits), step.concurrency[fits], step.rate[fits], FACTS), on


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("case", CASES)
def test_more_batch_never_draws_less_and_a_token_costs_less(case, lengths):
    found, on = curve(case, lengths)
    assert np.all(found.power[1:] > found.power[:-1] * (1.0 - RIPPLE))
    assert found.power[-1] > found.power[0] * (1.0 - LESS)
    assert np.all(np.diff(found.output) < 0)
    idle = board(FACTS, on.chip).idle * on.chip.tdp
    assert np.all((found.power > idle) & (found.power <= on.chip.tdp))


@pytest.mark.parametrize("case", CASES)
def test_a_token_s_parts_add_up_to_the_boards_power_over_the_rate(case):
    model, name, tp, dtype = case
    on, task = machine(system(FACTS, name), FACTS), task_of(model, dtype)
    step = serve_step(task, on, fixed(np.full(4, tp)), np.array([1.0, 4.0, 16.0, 64.0]))
    found = energy_per_token(task, on, step.layouts, step.concurrency, step.rate, FACTS)
    assert found.output == pytest.approx(found.parts.values.sum(axis=-1))
    assert found.output == pytest.approx(found.power * step.layouts.replica / step.rate)
    assert np.all(found.parts.values >= 0)
    assert np.all((found.low < found.output) & (found.output < found.high))
    use = activity(task, on, step.layouts, step.concurrency, step.rate)
    assert board_power(use, FACTS, on.chip).total == pytest.approx(found.power)


def test_input_output_and_every_token_share_the_same_energy():
    found, _ = curve(CASES[0], (8192.0, 1024.0))
    assert found.input * 8192 == pytest.approx(found.output * 1024)
    assert found.every * (8192 + 1024) == pytest.approx(found.output * 1024)


SHARES = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(running=SHARES, compute=SHARES, memory=SHARES, links=SHARES, more=st.floats(1.0, 3.0))
def test_a_board_stays_between_idle_and_its_rated_power(running, compute, memory, links, more):
    on = board(FACTS, system(FACTS, "hgx-b200").chip)
    use = Use(time=np.ones(1), running=np.array([running]), compute=np.array([compute]), memory=np.array([memory]),
              links=np.array([links]))
    found = watts(use, on, 1000.0)
    assert found.names == PIECES
    assert 1000.0 * on.idle - 1e-9 <= found.total[0] <= 1000.0 + 1e-9
    assert found.total[0] == pytest.approx(found.values.sum())
    busier = Use(time=use.time, running=use.running, compute=use.compute * more, memory=use.memory * more,
                 links=use.links * more)
    assert watts(busier, on, 1000.0).total[0] >= found.total[0] - 1e-9


def test_a_board_that_does_nothing_draws_its_idle_share_and_one_at_full_tilt_its_rating():
    on = Board(idle=0.1, running=0.3, compute=0.5, memory=0.5, links=0.1, sigma=0.1)
    none, all_of_it = np.zeros(1), np.ones(1)
    idle = Use(time=all_of_it, running=none, compute=none, memory=none, links=none)
    full = Use(time=all_of_it, running=all_of_it, compute=all_of_it, memory=all_of_it, links=all_of_it)
    assert watts(idle, on, 700.0).total[0] == pytest.approx(70.0)
    assert watts(full, on, 700.0).total[0] == pytest.approx(700.0)
    assert watts(full, on, 700.0)["compute"][0] / watts(full, on, 700.0)["running"][0] == pytest.approx(5 / 3)


def test_waiting_costs_energy_but_fewer_watts():
    on, task = machine(system(FACTS, "hgx-h200"), FACTS), task_of("llama-3-70b", "fp8")
    step = serve_step(task, on, fixed(4), [16.0])
    fast = energy_per_token(task, on, step.layouts, step.concurrency, step.rate, FACTS)
    slow = energy_per_token(task, on, step.layouts, step.concurrency, step.rate / 2, FACTS)
    assert slow.power[0] < fast.power[0]
    assert slow.output[0] > fast.output[0]
    assert slow.parts["decode"][0] == pytest.approx(fast.parts["decode"][0])
    assert slow.parts["idle"][0] == pytest.approx(2 * fast.parts["idle"][0])


def test_a_step_reads_the_weights_once_and_multiplies_with_them_twice_a_token():
    """Second way to the same numbers: weights over bandwidth, and two FLOPs a weight and token over the peak."""
    model = arch(FACTS, "llama-3-8b")
    on, batch = machine(system(FACTS, "hgx-h100"), FACTS), np.array([1.0])
    use = decode_use(task_of("llama-3-8b", "bf16", (16.0, 16.0)), on, fixed(1), batch)
    weights = model.layers * (model.hidden * (2 * model.heads + 2 * model.kv_heads) * model.head_dim
                              + 3 * model.hidden * model.ffn) + model.vocab * model.hidden
    assert use.memory[0] * on.chip.hbm_bw == pytest.approx(2 * weights, rel=0.02)
    assert use.compute[0] * on.chip.peak_flops["bf16"] == pytest.approx(2 * weights, rel=0.02)
    assert use.links[0] == 0.0
    step = decode_parts(task_of("llama-3-8b", "bf16", (16.0, 16.0)), on, fixed(1), batch)
    assert use.time[0] == pytest.approx(step.total[0])
    assert use.running[0] < use.time[0]


def test_prefill_multiplies_for_every_token_of_the_prompt():
    model = arch(FACTS, "llama-3-8b")
    on = machine(system(FACTS, "hgx-h100"), FACTS)
    short, long = (prefill_use(task_of("llama-3-8b", "bf16", (n, 64.0)), on, fixed(1), np.array([1.0]))
                   for n in (512.0, 1024.0))
    blocks = model.layers * (model.hidden * (2 * model.heads + 2 * model.kv_heads) * model.head_dim
                             + 3 * model.hidden * model.ffn)
    assert short.compute[0] * on.chip.peak_flops["bf16"] == pytest.approx(2 * 512 * blocks, rel=0.05)
    assert 2.0 < long.compute[0] / short.compute[0] < 2.1


def test_reductions_over_the_links_grow_with_the_ways():
    on, task = machine(system(FACTS, "hgx-h100"), FACTS), task_of("llama-3-70b", "fp8")
    use = decode_use(task, on, fixed([1, 2, 4, 8]), np.full(4, 32.0))
    assert use.links[0] == 0.0
    assert np.all(np.diff(use.links) > 0)


def test_stretches_add_and_scale():
    on, task = machine(system(FACTS, "hgx-h100"), FACTS), task_of("llama-3-70b", "fp8")
    use = decode_use(task, on, fixed(4), np.array([8.0]))
    twice, both = scaled(use, 2.0), together(use, use)
    for name in ("time", *PIECES[1:]):
        assert getattr(twice, name) == pytest.approx(getattr(both, name))
    assert within(use, use.time / 2).running[0] == pytest.approx(use.time[0] / 2)


def test_two_pools_that_do_what_one_does_spend_what_it_spends_apart_from_idle():
    """A prefill and a decode replica against one replica for both, at the same rate: only idle boards differ."""
    on, task, lay = machine(system(FACTS, "hgx-b200"), FACTS), task_of("llama-3-70b", "fp8", (1024.0, 64.0)), fixed(2)
    step = serve_step(task, on, lay, [1.0])
    pool = Pool(on=on, layouts=lay)
    apart = split_energy(task, pool, pool, 1.0, step.rate, FACTS)
    one = energy_per_token(task, on, lay, 1.0, step.rate, FACTS)
    assert apart.parts["decode"][0] == pytest.approx(one.parts["decode"][0], rel=0.02)
    assert apart.parts["prefill"][0] == pytest.approx(one.parts["prefill"][0], rel=0.02)
    assert apart.parts["idle"][0] == pytest.approx(2 * one.parts["idle"][0])
    assert apart.output[0] == pytest.approx(apart.power[0] * 4 / step.rate[0])


def test_a_pool_with_more_to_do_draws_more():
    on, task = machine(system(FACTS, "hgx-b200"), FACTS), task_of("deepseek-v3", "fp4", (8192.0, 1024.0))
    pool = Pool(on=on, layouts=fixed(8))
    slow, fast = (split_energy(task, pool, pool, 64.0, [rate], FACTS) for rate in (500.0, 2000.0))
    assert slow.prefill_power[0] < fast.prefill_power[0]
    assert slow.decode_power[0] < fast.decode_power[0]
    prompts, steps = split_activity(task, pool, pool, 64.0, [500.0])
    assert prompts.time[0] == pytest.approx(1024 / 500)
    assert steps.time[0] == pytest.approx(64 / 500)


def test_a_found_deployment_has_an_energy_and_none_has_none():
    unit = system(FACTS, "hgx-h200")
    found = search_serve(task_of("llama-3-70b", "fp8"), unit, 8, FACTS)
    energy = deployment_energy(found, machine(unit, FACTS), FACTS)
    assert energy.output[0] == pytest.approx(
        energy.power[0] * found.layout.replica * found.layout.replicas / found.rate)
    none = search_serve(task_of("deepseek-v3", "fp8"), unit, 1, FACTS, limits=ServeLimits(replica=(1, 1)))
    with pytest.raises(ValueError, match="HBM_FULL"):
        deployment_energy(none, machine(unit, FACTS), FACTS)


@pytest.mark.parametrize("kind", ["aggregated", "disaggregated"])
def test_less_traffic_on_the_same_deployment_draws_less_and_a_token_costs_more(kind):
    unit = system(FACTS, "hgx-h200")
    task = ServeTask(arch=arch(FACTS, "llama-3-70b"), input_tokens=4000, output_tokens=1000, ttft=2.0, tpot=0.05,
                     dtype="fp8", kv_dtype="fp8")
    found = deploy(task, unit, 16, FACTS, kinds=(kind,)).answer
    on = machine(unit, FACTS)
    full = deployment_energy(found, on, FACTS)
    loads = [deployment_energy(found, on, FACTS, rate=share * found.rate) for share in (0.01, 0.1, 0.3, 0.6, 0.999)]
    power, each = (np.array([getattr(e, name)[0] for e in loads]) for name in ("power", "output"))
    assert np.all(np.diff(power) > 0)
    assert np.all(np.diff(each) < 0)
    assert power[-1] == pytest.approx(full.power[0], rel=0.03)
    assert board(FACTS, on.chip).idle * on.chip.tdp < power[0] < 0.75 * power[-1]


@given(rate=st.floats(1.0, 900.0), most=st.floats(2.0, 500.0))
def test_the_fewest_sequences_make_the_rate_or_are_all_there_are(rate, most):
    found = fewest(lambda running: 1000.0 * running / (running + 20.0), 1.0, most, rate)
    assert 1.0 <= found <= most
    if 1.0 < found < most:
        assert 1000.0 * found / (found + 20.0) == pytest.approx(rate, rel=0.05)


def test_experts_checkpoints_keep_the_rest_in_sixteen_bits():
    task = task_of("deepseek-v3", "fp4")
    work = decode_operators(task, fixed(8), np.array([8.0]))
    wide = as_checkpoints(work, task)
    grouped = [i for i, kind in enumerate(work.kinds) if kind == "grouped"]
    assert {wide.dtypes[i] for i in grouped} == {"fp4"}
    assert "fp4" not in {d for d, kind in zip(wide.dtypes, wide.kinds, strict=True) if kind == "gemm"}
    assert np.all(wide.nbytes >= work.nbytes)
    assert np.all(wide.nbytes[..., grouped] == work.nbytes[..., grouped])
    assert np.all(wide.flops == work.flops)
    for model, dtype in (("deepseek-v3", "fp8"), ("llama-3-70b", "fp4")):
        plain = task_of(model, dtype)
        same = decode_operators(plain, fixed(8), np.array([8.0]))
        assert as_checkpoints(same, plain) is same


def test_boards_nobody_measured_are_less_certain():
    known, other = (board(FACTS, system(FACTS, name).chip) for name in ("hgx-b200", "mi355x-8"))
    assert known.sigma < other.sigma
    assert [getattr(known, name) for name in PIECES] == [getattr(other, name) for name in PIECES]


def test_without_coefficients_every_one_is_named():
    early = load_facts(date(2023, 1, 1))
    with pytest.raises(MissingFact) as caught:
        board(early, system(FACTS, "hgx-h100").chip)
    assert all(f"board_share@{name}" in str(caught.value) for name in PIECES)
