"""Laws of the training step that hold for every model, chip and layout."""

import itertools
from dataclasses import fields, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import System, system
from exafleet.step.layouts import Layouts, distinct_rows, rows
from exafleet.step.limits import Limits
from exafleet.step.search import search_train
from exafleet.step.train import TrainTask, evaluate, evaluate_at, setting
from exafleet.terms.why import Why

FACTS = load_facts(date(2026, 11, 23))
MODELS = ("llama-3-8b", "llama-3-70b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-120b", "nemotron-3-nano")
SYSTEMS = ("dgx-h100", "gb200-nvl72", "dgx-b200", "hgx-a100-80gb", "mi355x-8")
ways = st.sampled_from([1, 2, 4, 8])


@st.composite
def cases(draw: st.DrawFn) -> tuple[TrainTask, System, Layouts]:
    model = arch(FACTS, draw(st.sampled_from(MODELS)))
    moe = bool(model.moe_layers)
    tp, cp, pp, dp = (draw(st.sampled_from(c)) for c in ([1, 2], [1, 2, 4], [1, 2, 4], [1, 2, 8, 16]))
    ep = draw(ways) if moe else 1
    axes = {"tp": tp, "cp": cp, "pp": pp, "dp": dp * ep, "ep": ep, "etp": draw(st.sampled_from([1, tp])) if moe else 1,
            "mbs": draw(st.sampled_from([1, 2])), "zero": draw(st.integers(0, 3)), "recompute": draw(st.integers(0, 2)),
            "vpp": draw(st.sampled_from([1, 2])) if pp > 1 else 1}
    batch = axes["dp"] * axes["mbs"] * draw(st.sampled_from([4, 8, 16]))
    task = TrainTask(arch=model, seq=draw(st.sampled_from([2048, 8192])), batch=batch)
    return task, system(FACTS, draw(st.sampled_from(SYSTEMS))), Layouts.of(**{a: [v] for a, v in axes.items()})


def step_time(task: TrainTask, on: System, lay: Layouts) -> float:
    return float(evaluate(task, on, FACTS, lay).time.total[0])


def faster(on: System, **factors: float) -> System:
    chip = on.chip
    changes: dict[str, object] = {name: getattr(chip, name) * f for name, f in factors.items() if name != "peak_flops"}
    if "peak_flops" in factors:
        changes["peak_flops"] = {d: v * factors["peak_flops"] for d, v in chip.peak_flops.items()}
    return replace(on, chip=replace(chip, **changes))


@given(cases(), st.sampled_from(["hbm_bw", "link_bw", "nic_bw", "peak_flops"]), st.floats(1.01, 10))
@settings(max_examples=80)
def test_a_better_chip_is_never_slower(case: tuple[TrainTask, System, Layouts], what: str, factor: float) -> None:
    task, on, lay = case
    assert step_time(task, faster(on, **{what: factor}), lay) <= step_time(task, on, lay) * (1 + 1e-9)


@given(cases())
@settings(max_examples=60)
def test_all_rates_doubled_halve_the_time_but_for_latencies(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    twice = step_time(task, faster(on, hbm_bw=2, link_bw=2, nic_bw=2, peak_flops=2), lay)
    once = step_time(task, on, lay)
    assert once / 2 <= twice * (1 + 1e-9)
    assert twice <= once


@given(cases())
@settings(max_examples=60)
def test_parts_are_nonnegative_and_add_up(case: tuple[TrainTask, System, Layouts]) -> None:
    steps = evaluate(*case[:2], FACTS, case[2])
    for parts in (steps.time, steps.shadow, steps.memory):
        assert (parts.values >= 0).all()
        assert parts.total == pytest.approx(sum(parts[n] for n in parts.names))
    assert steps.tokens_per_s == pytest.approx(case[0].batch * case[0].seq / steps.time.total)
    assert (steps.low <= steps.tokens_per_s).all()
    assert (steps.tokens_per_s <= steps.high).all()
    assert ((steps.mfu > 0) & (steps.mfu < 1)).all()


@given(cases())
@settings(max_examples=60)
def test_an_axis_of_one_costs_nothing(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    steps = evaluate(task, on, FACTS, lay)
    alone = {"tp": lay.tp[0] == 1, "cp": lay.cp[0] == 1, "ep": lay.ep[0] == 1 and lay.etp[0] == 1,
             "pp bubble": lay.pp[0] == 1, "pp p2p": lay.pp[0] == 1,
             "dp": lay.dp[0] * lay.cp[0] == 1 and lay.tp[0] * lay.ep[0] == 1, "recompute": lay.recompute[0] == 0}
    for part, is_one in alone.items():
        if is_one:
            assert float(steps.time[part][0]) == 0.0, part


@given(cases())
@settings(max_examples=60)
def test_memory_grows_with_the_micro_batch(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    task = replace(task, batch=task.batch * 4)
    small, large = (evaluate(task, on, FACTS, replace(lay, mbs=lay.mbs * f)) for f in (1, 4))
    assert large.memory["activations"] >= small.memory["activations"] * (1 - 1e-9)
    assert large.memory.total >= small.memory.total * (1 - 1e-9)


@given(cases())
@settings(max_examples=60)
def test_sharing_out_and_recomputing_save_memory(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    by_zero = [evaluate(task, on, FACTS, replace(lay, zero=np.array([z]))).memory for z in range(4)]
    for parts in ("optimizer", "gradients"):
        assert all(b[parts] <= a[parts] for a, b in itertools.pairwise(by_zero))
    by_mode = [
        float(evaluate(task, on, FACTS, replace(lay, recompute=np.array([m]))).memory["activations"][0]) for m in (0, 1)
    ]
    assert by_mode[1] <= by_mode[0]


@given(cases())
@settings(max_examples=40)
def test_more_micro_batches_never_lower_the_rate(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    few, many = (evaluate(replace(task, batch=task.batch * f), on, FACTS, lay).tokens_per_s[0] for f in (1, 4))
    assert many >= few * (1 - 1e-9)


@pytest.mark.parametrize(
    ("name", "where", "chips"), [("llama-3-70b", "dgx-h100", 64), ("mixtral-8x7b", "gb200-nvl72", 64)]
)
def test_search_finds_the_best_of_what_it_lists(name: str, where: str, chips: int) -> None:
    task, on = TrainTask(arch=arch(FACTS, name), seq=4096, batch=128), system(FACTS, where)
    found = search_train(task, on, chips, FACTS)
    assert found.best is not None
    assert found.pareto is not None
    assert found.best.why[0] == Why.OK
    assert found.best.layouts.chips[0] == chips
    assert found.best.memory.total[0] <= found.best.usable
    # Along the front time rises and memory falls.
    assert (np.diff(found.pareto.time.total) >= 0).all()
    assert (np.diff(found.pareto.memory.total) < 0).all()
    # A search held to one layout is that layout.
    lay = found.pareto.layouts.at([found.pareto.layouts.tp.size - 1])
    fixed = Limits(
        **{
            a: (int(getattr(lay, a)[0]),) * 2
            for a in (f.name for f in fields(Limits))
        }
    )
    one = search_train(task, on, chips, FACTS, limits=fixed)
    assert one.best is not None
    assert one.best.time.total[0] == pytest.approx(found.pareto.time.total[-1])


@pytest.mark.parametrize(("name", "where", "chips", "limits"), [
    ("llama-3-70b", "dgx-h100", 64, None), ("mixtral-8x7b", "gb200-nvl72", 72, None),
    ("deepseek-v3", "gb200-nvl72", 256, Limits(mbs=(1, 2))), ("llama-3.1-405b", "hgx-a100-80gb", 8, None),
])
def test_the_search_for_the_fastest_alone_finds_the_same(name: str, where: str, chips: int,
                                                         limits: Limits | None) -> None:
    task, on = TrainTask(arch=arch(FACTS, name), seq=4096, batch=256), system(FACTS, where)
    every, alone = (search_train(task, on, chips, FACTS, limits=limits, trade=t) for t in (True, False))
    if every.best is None:
        assert alone.best is None
        assert alone.why == every.why
        return
    assert alone.best is not None
    assert alone.best.layouts.words() == every.best.layouts.words()
    assert alone.best.time.values == pytest.approx(every.best.time.values, rel=1e-12)
    assert alone.count == every.count


def test_distinct_rows_are_those_of_numpy_however_large() -> None:
    rng = np.random.Generator(np.random.PCG64(7))
    for most in (1, 5, 2**40):
        table = rng.integers(0, most, (200, 6), endpoint=True)
        distinct, place = distinct_rows(table)
        known, where = np.unique(table, axis=0, return_inverse=True)
        assert (distinct == known).all()
        assert (place == where.reshape(-1)).all()


def test_more_memory_never_hurts() -> None:
    task, on = TrainTask(arch=arch(FACTS, "llama-3-70b"), seq=8192, batch=64), system(FACTS, "dgx-h100")
    small, large = (search_train(task, faster(on, hbm_bytes=f), 64, FACTS).best for f in (1, 3))
    assert small is not None
    assert large is not None
    assert large.tokens_per_s[0] >= small.tokens_per_s[0]


def test_what_cannot_run_says_why() -> None:
    on = system(FACTS, "hgx-a100-80gb")
    assert search_train(
        TrainTask(arch=arch(FACTS, "llama-3-8b"), seq=4096, batch=64, dtype="fp8"), on, 8, FACTS
    ).why.keys() == {Why.NO_DTYPE}
    assert search_train(TrainTask(arch=arch(FACTS, "llama-3.1-405b"), seq=8192, batch=64), on, 8, FACTS).best is None
    why = search_train(TrainTask(arch=arch(FACTS, "llama-3.1-405b"), seq=8192, batch=64), on, 8, FACTS).why
    assert why.get(Why.HBM_FULL, 0) > 0
    assert Why.OK not in why


def one(**axes: int) -> Layouts:
    return Layouts.of(**{a: [v] for a, v in axes.items()})


@given(cases())
@settings(max_examples=40)
def test_a_group_of_all_ranks_is_no_group(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    whole = replace(lay, zero=np.maximum(lay.zero, 1))
    grouped = replace(whole, group=lay.dp * lay.cp)
    a, b = (evaluate(task, on, FACTS, v) for v in (whole, grouped))
    np.testing.assert_allclose(a.time.values, b.time.values, rtol=1e-12)
    np.testing.assert_allclose(a.memory.values, b.memory.values, rtol=1e-12)


@given(cases())
@settings(max_examples=40)
def test_smaller_groups_need_more_memory(case: tuple[TrainTask, System, Layouts]) -> None:
    task, on, lay = case
    ranks = int(lay.dp[0] * lay.cp[0])
    groups = [g for g in (1, 2, 4, 8, 16, 32) if ranks % g == 0]
    found = [evaluate(task, on, FACTS, replace(lay, zero=np.array([3]), group=np.array([g]))) for g in groups]
    parts = [f.memory["optimizer"][0] + f.memory["parameters"][0] for f in found]
    assert all(small >= large for small, large in itertools.pairwise(parts))


@given(cases())
@settings(max_examples=60)
def test_hidden_and_exposed_are_the_whole_of_each_part(case: tuple[TrainTask, System, Layouts]) -> None:
    """What a step waits for and what it hides add up to a traffic that no share of overlap changes."""
    task, on, lay = case
    plain = evaluate(task, on, FACTS, lay)
    at = setting(task, on, FACTS)
    bare = evaluate_at(task, replace(at, how=replace(at.how, tp_hidden=0.0, ep_hidden=0.0, pp_hidden=0.0)), lay)
    for part in ("tp", "ep", "pp p2p"):
        assert plain.time[part] + plain.shadow[part] == pytest.approx(bare.time[part] + bare.shadow[part])
        assert bare.shadow[part] == pytest.approx(0.0)


@pytest.mark.parametrize("stages", [2, 4, 8])
def test_zero_bubble_waits_less_in_the_same_memory(stages: int) -> None:
    task, on = TrainTask(arch=arch(FACTS, "llama-3-70b"), seq=4096, batch=256), system(FACTS, "dgx-h100")
    plain, filled = (evaluate(task, on, FACTS, one(tp=4, pp=stages, dp=4, schedule=s)) for s in (0, 1))
    assert filled.time["pp bubble"][0] < plain.time["pp bubble"][0]
    assert filled.memory.total == pytest.approx(plain.memory.total)
    assert filled.time.total[0] < plain.time.total[0]


@pytest.mark.parametrize("ep", [8, 64])
def test_dualpipe_hides_experts_and_holds_two_stages(ep: int) -> None:
    """Experts of one server are hidden whole; where traffic outlasts the compute beside it, no more is seen."""
    task = TrainTask(arch=arch(FACTS, "deepseek-v3"), seq=4096, batch=4096, dtype="fp8")
    on = system(FACTS, "hgx-h800")
    plain, paired = (evaluate(task, on, FACTS, one(pp=16, dp=128, ep=ep, schedule=s)) for s in (0, 2))
    assert (plain.why == Why.OK).all() or (plain.why == Why.HBM_FULL).all()
    assert paired.time["ep"][0] <= plain.time["ep"][0]
    assert ep == 64 or paired.time["ep"][0] == 0.0 < plain.time["ep"][0]
    assert paired.time["pp bubble"][0] < plain.time["pp bubble"][0]
    assert 1.9 < paired.memory["parameters"][0] / plain.memory["parameters"][0] < 2.2
    # Twice the stages over twice the ranks.
    assert paired.memory["optimizer"][0] == pytest.approx(plain.memory["optimizer"][0], rel=0.1)


def test_groups_spare_the_network_between_domains() -> None:
    """ZeRO-3 over 1,024 chips gathers over the network for every micro-batch; groups reduce there once a step."""
    task, on = TrainTask(arch=arch(FACTS, "llama-3-8b"), seq=8192, batch=4096), system(FACTS, "dgx-h100")
    whole, grouped = (evaluate(task, on, FACTS, one(dp=1024, zero=3, group=g)) for g in (0, 8))
    assert grouped.time["dp"] + grouped.shadow["dp"] < whole.time["dp"] + whole.shadow["dp"]


@given(st.sampled_from([1, 2]), st.sampled_from([1, 4]), st.integers(0, 2), st.floats(1.5, 20))
@settings(max_examples=20)
def test_offload_saves_memory_and_costs_time(offload: int, pp: int, recompute: int, factor: float) -> None:
    task, on = TrainTask(arch=arch(FACTS, "llama-3-70b"), seq=4096, batch=64), system(FACTS, "dgx-h100")
    axes = {"tp": 8, "pp": pp, "dp": 8 // pp, "recompute": recompute}
    facts = FACTS.with_fact("h100-sxm.host_bw", FACTS.value("h100-sxm.host_bw") * factor)
    kept, moved = (evaluate(task, on, FACTS, one(**axes, offload=o)) for o in (0, offload))
    assert moved.memory.total[0] < kept.memory.total[0]
    assert moved.time.total[0] >= kept.time.total[0]
    assert moved.time["offload"][0] + moved.shadow["offload"][0] > 0
    assert evaluate(task, on, facts, one(**axes, offload=offload)).time.total[0] <= moved.time.total[0]


def test_offload_without_a_known_host_link_is_no_guess() -> None:
    task, on = TrainTask(arch=arch(FACTS, "llama-3-8b"), seq=4096, batch=64), system(FACTS, "trn2-16")
    found = evaluate(task, on, FACTS, one(dp=16, offload=1))
    assert found.why.tolist() == [Why.NO_FACTS]


def test_heads_change_places_only_where_they_divide() -> None:
    task, on = TrainTask(arch=arch(FACTS, "llama-3-8b"), seq=32768, batch=16), system(FACTS, "dgx-h100")
    whys = [evaluate(task, on, FACTS, one(tp=tp, cp=cp, cp_kind=1)).why[0] for tp, cp in ((1, 8), (8, 4), (8, 8))]
    assert [w == Why.NOT_DIVISIBLE for w in whys] == [False, False, True]
    # All-to-all moves each token's heads once; a ring moves all keys and values past every rank.
    ring, heads = (evaluate(task, on, FACTS, one(cp=8, dp=1, cp_kind=k)) for k in (0, 1))
    assert heads.shadow["cp"][0] == 0.0
    assert heads.time["cp"][0] > 0.0
    assert ring.shadow["cp"][0] > 0.0


@pytest.mark.parametrize(("name", "where", "chips"), [
    ("llama-3-70b", "dgx-h100", 64), ("mixtral-8x7b", "gb200-nvl72", 72), ("llama-3-8b", "hgx-a100-80gb", 8)])
def test_no_candidate_beats_the_front(name: str, where: str, chips: int) -> None:
    """Rows that a search skips could not have been an answer: every legal candidate, timed, is no better."""
    task, on = TrainTask(arch=arch(FACTS, name), seq=4096, batch=144), system(FACTS, where)
    limits = Limits(offload=(0, 2), mbs=(1, 2), vpp=(1, 2), tp=(1, 8), ep=(1, 8))
    found = search_train(task, on, chips, FACTS, limits=limits)
    assert found.pareto is not None
    counted = dict.fromkeys(Why, 0)
    for _, lay in rows(task.arch, on, task.seq, int(task.batch), chips, limits).chunks():
        steps = evaluate(task, on, FACTS, lay, chips)
        for w in Why:
            counted[w] += int((steps.why == w).sum())
        runs = steps.why == Why.OK
        time, memory = steps.time.total[runs], steps.memory.total[runs]
        front_time, front_memory = found.pareto.time.total, found.pareto.memory.total
        last = np.searchsorted(front_time, time * (1 + 1e-9), side="right") - 1
        assert (last >= 0).all()
        assert (front_memory[last] <= memory * (1 + 1e-9)).all()
    assert {w: n for w, n in counted.items() if n and w != Why.NOT_DIVISIBLE} == {
        w: n for w, n in found.why.items() if w != Why.NOT_DIVISIBLE}
