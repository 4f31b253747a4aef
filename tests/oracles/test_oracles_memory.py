"""Memory a second way: the published formula, a count by hand, and pipelines played micro-batch by micro-batch."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import transformer
from exafleet.facts.catalogue import load_facts
from exafleet.step.activations import NONE, SELECTIVE, Keeps, Selective, Shard, sum_blocks
from exafleet.step.layouts import Layouts
from exafleet.step.memory import end_shares, in_flight, memory_of, memory_practice

FACTS = load_facts(date(2026, 11, 23))
TINY = transformer("tiny", hidden=64, layers=4, heads=4, kv_heads=4, ffn=256, vocab=1000, mlp_matrices=2, tied=0)
OLD = Keeps(scores=5.0, dropout=2.0, sequence=0.0, selective=Selective.CORE)


@pytest.mark.parametrize("t", [1, 2, 4])
def test_the_formulas_of_2022(t: int) -> None:
    """s b h (10 + 24 / t + 5 a s / (h t)) of a block; all over t with sequence parallelism; no scores if selective."""
    s, b, h, a = 128.0, 3.0, 64.0, 4.0
    shard = Shard(tokens=np.array([s * b]), seq=s, tp=np.array([float(t)]), etp=np.ones(1))
    split = replace(OLD, sequence=1.0)
    scores = 5 * a * s / (h * t)
    by_hand = {(OLD, NONE): 10 + 24 / t + scores, (OLD, SELECTIVE): 10 + 24 / t,
               (split, NONE): 34 / t + scores, (split, SELECTIVE): 34 / t}
    for (keeps, mode), each in by_hand.items():
        assert float(sum_blocks(TINY, shard, mode, keeps)[0]) == pytest.approx(TINY.layers * s * b * h * each)


def test_a_tiny_model_counted_by_hand() -> None:
    """Four blocks over two stages and two data-parallel ranks, ZeRO-1, one micro-batch of 32 tokens, four in a step."""
    how = memory_practice(FACTS, "stack-megatron-2021")
    lay = Layouts.of(pp=[2], dp=[2], mbs=[1], zero=[1])
    memory = memory_of(TINY, 32, "bf16", 8, how, lay).at(0).as_dict()
    block = 4 * 64 * 64 + 2 * 64 * 256 + 2 * 64
    norm = 64 / 2  # the last norm, shared out over the stages like a block's
    stage = 2 * block + norm + 64 * 1000
    assert memory["parameters"] == pytest.approx(2 * stage)
    assert memory["gradients"] == pytest.approx(4 * stage)
    assert memory["optimizer"] == pytest.approx(12 * stage / 2)
    kept = 2 * 32 * (34 * 64 + 5 * 4 * 32)
    logits = 32 * 1000 * how.keeps.logits
    # The first stage holds two micro-batches, the last one and the logits: the fuller of them is shown.
    assert memory["activations"] + memory["logits"] == pytest.approx(max(2 * kept, kept + logits))
    assert memory["communication"] == 0.0
    assert memory["runtime"] == how.runtime


def played(pp: int, rank: int, vpp: int, micro: int) -> int:
    """Most chunks held at once when a stage runs its warm-up and then one forward, one backward."""
    total = micro * vpp
    ahead = (pp - rank - 1) * 2 + (vpp - 1) * pp if vpp > 1 else pp - rank - 1
    order = ["F"] * min(ahead, total)
    order += ["F", "B"] * (total - len(order))
    now = most = 0
    for step in order:
        now += 1 if step == "F" else -1
        most = max(most, now)
    return most


@pytest.mark.parametrize(("pp", "vpp", "micro"), [(1, 1, 4), (2, 1, 1), (4, 1, 8), (8, 1, 3), (4, 2, 8), (8, 3, 16)])
def test_micro_batches_in_flight_are_those_of_a_played_pipeline(pp: int, vpp: int, micro: int) -> None:
    lay = Layouts.of(pp=[pp], vpp=[vpp])
    for rank, last in ((0, False), (pp - 1, True)):
        assert float(in_flight(lay, micro, last=last)[0]) == pytest.approx(played(pp, rank, vpp, micro) / vpp)


@pytest.mark.parametrize("pp", [1, 2, 4, 8])
def test_stages_cut_by_compute_are_those_of_a_walk_over_the_blocks(pp: int) -> None:
    model = transformer("nano", hidden=2048, layers=16, heads=32, kv_heads=32, ffn=8192, vocab=131072,
                        mlp_matrices=3, tied=1)
    how = memory_practice(FACTS, "stack-nanotron")
    cost = 4 * 2048 * 2048 + 3 * 2048 * 8192
    costs = [cost] * 16 + [2048 * 131072]
    stage, done, dealt = 0, 0, [0] * pp
    for c in costs[:-1]:
        dealt[stage] += 1
        done += c
        if done >= sum(costs) * (stage + 1) / pp and stage < pp - 1:
            stage += 1
    lay = Layouts.of(pp=[pp])
    first, last = end_shares(model, lay, np.ones(1), how)
    assert float(first[0]) * 16 == dealt[0]
    assert float(last[0]) * 16 == dealt[-1]
