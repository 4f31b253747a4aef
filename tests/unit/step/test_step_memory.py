"""How a stack's memory practice is read, and what its switches do."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.layouts import Layouts
from exafleet.step.limits import DUALPIPE, ZERO_BUBBLE
from exafleet.step.memory import memory_after_backward, memory_of, memory_practice, usable
from exafleet.step.train import TrainTask, evaluate
from exafleet.terms.errors import MissingFact

FACTS = load_facts(date(2026, 11, 23))
MODEL = arch(FACTS, "llama-3-8b")


def total(how_stack: str, lay: Layouts, seq: int = 4096, batch: int = 64, **changes: float) -> float:
    how = replace(memory_practice(FACTS, how_stack), **changes)
    return float(memory_of(MODEL, seq, "bf16", batch, how, lay).total[0])


def test_a_stacks_own_fact_wins_then_dtype_then_family() -> None:
    facts = FACTS.with_fact("training-practice.logits_bytes", 7.0).with_fact("training-practice.logits_bytes@bf16", 8.0)
    assert memory_practice(facts, "stack-maxtext").keeps.logits == 7.0
    assert memory_practice(facts, "stack-maxtext", "bf16").keeps.logits == 8.0
    own = facts.with_fact("stack-maxtext.logits_bytes", 9.0)
    assert memory_practice(own, "stack-maxtext", "bf16").keeps.logits == 9.0
    by_family = facts.with_fact("training-practice.memory_limit@tpu", 0.9)
    assert memory_practice(by_family, "stack-maxtext", "bf16", "TPU").limit == 0.9


def test_practice_not_known_by_a_date_names_every_fact() -> None:
    with pytest.raises(MissingFact) as caught:
        memory_practice(load_facts(date(2020, 1, 1)), "stack-megatron")
    text = str(caught.value)
    assert "training-practice.weight_bytes" in text
    assert "training-practice.memory_limit" in text


def test_memory_in_a_step_is_memory_alone_and_its_limit_that_of_the_chip() -> None:
    on = system(FACTS, "dgx-h100")
    lay = Layouts.of(tp=[2, 4], pp=[2, 1], dp=[4, 8], recompute=[2, 0])
    steps = evaluate(TrainTask(arch=MODEL, seq=8192, batch=32), on, FACTS, lay)
    how = memory_practice(FACTS, "stack-megatron", "bf16", on.chip.family)
    np.testing.assert_allclose(steps.memory.values, memory_of(MODEL, 8192, "bf16", 32, how, lay).values, rtol=1e-12)
    assert steps.usable == usable(on.chip.hbm_bytes, how)


def test_a_pipeline_keeps_an_fsdp_stage_gathered() -> None:
    lay = Layouts.of(pp=[4], dp=[8], zero=[3])
    kept, not_kept = (total("stack-pytorch", lay, pipeline=p) for p in (1.0, 0.0))
    stage = 8.03e9 / 4
    assert 0.5 * 6 * stage < kept - not_kept < 1.2 * 6 * stage


def test_after_the_backward_pass_the_micro_batch_matters_only_through_buffers() -> None:
    """nanotron prints this peak: flat in the micro-batch at TP 1, two bf16 copies of the hidden state a token above."""
    how = memory_practice(FACTS, "stack-nanotron")

    def peak(tp: int, mbs: int) -> float:
        lay = Layouts.of(tp=[tp], dp=[4], mbs=[mbs], zero=[1])
        return float(memory_after_backward(MODEL, 4096, "bf16", 64, how, lay)[0])

    assert peak(1, 1) == peak(1, 8)
    assert peak(2, 8) - peak(2, 1) == pytest.approx(7 * 4096 * MODEL.hidden * 4)


@pytest.mark.parametrize(("changes", "grows"), [
    ({"bucket": 2.0}, True), ({"runtime": 9e9}, True), ({"fragmentation": 0.5}, True), ({"bucket": 0.0}, False)])
def test_switches_of_practice_show_in_the_total(changes: dict[str, float], grows: bool) -> None:
    lay = Layouts.of(tp=[2], dp=[4])
    assert (total("stack-megatron", lay, **changes) > total("stack-megatron", lay)) is grows


def test_the_host_takes_optimizer_states_and_then_activations() -> None:
    how = memory_practice(FACTS, "stack-megatron")
    lay = Layouts.of(tp=[2] * 3, pp=[4] * 3, dp=[4] * 3, offload=[0, 1, 2])
    parts = memory_of(MODEL, 4096, "bf16", 64, how, lay)
    # Eight blocks a stage: the one at work and the one that moves stay.
    assert parts["optimizer"].tolist() == pytest.approx([parts["optimizer"][0], *[parts["optimizer"][0] / 4] * 2])
    first, moved, less = parts["activations"].tolist()
    assert first == moved
    assert less == pytest.approx(first / (4 * 8 / 2))


def test_dualpipe_holds_two_stages_and_one_micro_batch_more_than_stages() -> None:
    how = memory_practice(FACTS, "stack-megatron")
    lay = Layouts.of(pp=[4] * 3, dp=[4] * 3, zero=[0] * 3, schedule=[0, ZERO_BUBBLE, DUALPIPE])
    parts = memory_of(MODEL, 4096, "bf16", 64, how, lay)
    plain, bubble, dual = parts["parameters"].tolist()
    assert plain == bubble
    assert dual == pytest.approx(2.0 * plain, rel=0.01)
    plain, bubble, dual = parts["activations"].tolist()
    assert plain == bubble
    assert dual == pytest.approx(plain * 5 / 4)


def test_groups_share_out_among_fewer() -> None:
    lay = Layouts.of(dp=[32] * 2, zero=[3] * 2, group=[0, 8])
    parts = memory_of(MODEL, 4096, "bf16", 64, memory_practice(FACTS, "stack-megatron"), lay)
    for name in ("parameters", "gradients", "optimizer"):
        assert parts[name][1] == pytest.approx(4 * parts[name][0])
