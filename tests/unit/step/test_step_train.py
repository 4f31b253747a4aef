"""Reasons, bands and practice of the training step."""

import warnings
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.layouts import Layouts
from exafleet.step.practice import Band, band, is_stack, known_stack, practice, stack_of
from exafleet.step.search import search_train
from exafleet.step.train import TrainTask, evaluate
from exafleet.terms.errors import FactError
from exafleet.terms.why import Why

FACTS = load_facts(date(2026, 11, 23))
SMALL = arch(FACTS, "llama-3-8b")


def test_why_tells_memory_from_number_format_from_integers() -> None:
    node = system(FACTS, "hgx-a100-80gb")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        three = Layouts.of(dp=[8, 8, 8], mbs=[1, 2, 3])
        runs = evaluate(TrainTask(arch=SMALL, seq=4096, batch=16), node, FACTS, three)
        eighth = TrainTask(arch=SMALL, seq=4096, batch=16, dtype="fp8")
        low = evaluate(eighth, node, FACTS, Layouts.of(dp=[8]))
        large = TrainTask(arch=arch(FACTS, "llama-3-70b"), seq=4096, batch=16)
        full = evaluate(large, node, FACTS, Layouts.of(dp=[8]))
    assert runs.why.tolist()[0] == Why.OK
    assert runs.why.tolist()[2] == Why.NOT_DIVISIBLE
    assert low.why.tolist() == [Why.NO_DTYPE]
    assert low.tokens_per_s.tolist() == [0.0]
    assert full.why.tolist() == [Why.HBM_FULL]


def test_a_unit_without_a_network_cannot_be_joined_to_others() -> None:
    node = system(FACTS, "dgx-h100")
    alone = replace(node, chip=replace(node.chip, nic_bw=0.0))
    task = TrainTask(arch=SMALL, seq=4096, batch=64)
    assert search_train(task, alone, 8, FACTS).best is not None
    apart = search_train(task, alone, 16, FACTS)
    assert apart.best is None
    assert apart.why[Why.TOO_MANY] > 0


def test_no_chips_that_divide_is_said() -> None:
    found = search_train(TrainTask(arch=SMALL, seq=4096, batch=8), system(FACTS, "dgx-h100"), 7 * 11, FACTS)
    assert found.best is None
    assert Why.NOT_DIVISIBLE in found.why


def test_a_band_widens_by_independent_error() -> None:
    band = Band(low=0.8, high=1.25)
    assert band.wider(0.0).low == pytest.approx(0.8)
    assert band.wider(0.2).low < 0.8
    assert band.wider(0.2).high > 1.25
    # Two equal errors: the square root of two of one, in logs.
    assert np.log(band.wider(np.log(1.25) / 1.2815515655).high) == pytest.approx(np.sqrt(2) * np.log(1.25))


def test_stacks_are_named_or_the_vendors_own() -> None:
    assert stack_of("", "NVIDIA") == "stack-megatron"
    assert stack_of("", "Google") == "stack-maxtext"
    assert stack_of("stack-pytorch", "NVIDIA") == "stack-pytorch"


def test_an_unknown_stack_is_refused_with_the_known_ones_named() -> None:
    task = TrainTask(arch=SMALL, seq=4096, batch=64, stack="stack-of-hay")
    with pytest.raises(FactError) as caught:
        evaluate(task, system(FACTS, "dgx-h100"), FACTS, Layouts.of(dp=[8]))
    problem, = caught.value.problems
    assert "stack-of-hay" in problem.what
    named = problem.allowed.split(", ")
    assert {"stack-megatron", "stack-pytorch", "stack-gaudi"} <= set(named)
    # Practice of other things (sites, servers, everybody's) is no software stack.
    assert all(known_stack(FACTS, s) == s for s in named)
    assert not {s.id for s in FACTS.subjects.of_kind("practice") if not s.id.startswith("stack-")} & set(named)


@pytest.mark.parametrize("name", ["training-practice", "node-8", "h100-sxm", "stack-", ""])
def test_what_is_no_software_stack_is_not_taken_for_one(name: str) -> None:
    assert not is_stack(FACTS, name)


def test_a_known_stack_without_rows_takes_everybodys_factors_in_a_wider_band() -> None:
    bare = next(s.id for s in FACTS.subjects.of_kind("practice") if is_stack(FACTS, s.id)
                and not FACTS.find(s.id, "stack_speed"))
    assert practice(FACTS, bare, "bf16") == practice(FACTS, "training-practice", "bf16")
    own, everybody = band(FACTS, bare, "dense"), FACTS.get("training-practice.training_band@dense")
    assert own.low < everybody.low
    assert own.high > everybody.high


def test_a_stack_of_ones_own_needs_only_a_speed() -> None:
    mine = FACTS.with_fact("stack-gaudi.stack_speed", 0.5)
    assert practice(mine, known_stack(mine, "stack-gaudi"), "bf16").speed == 0.5


def test_a_stacks_own_fact_wins_over_everybodys() -> None:
    everybody, old = (practice(FACTS, s, "bf16") for s in ("stack-megatron", "stack-megatron-2021"))
    assert old.dp_floor == 1.0
    assert everybody.dp_floor < 1.0
    on_hopper, elsewhere = (practice(FACTS, "stack-pytorch", "bf16", family) for family in ("Hopper", "Ampere"))
    assert on_hopper.attention < elsewhere.attention


def test_a_what_if_reaches_the_step() -> None:
    task, node, lay = TrainTask(arch=SMALL, seq=4096, batch=64), system(FACTS, "dgx-h100"), Layouts.of(dp=[8])
    faster = FACTS.with_fact("h100-sxm.product_compute@bf16_train", 0.9)
    assert evaluate(task, node, faster, lay).tokens_per_s[0] > evaluate(task, node, FACTS, lay).tokens_per_s[0]


def test_small_cards_and_single_chips_train_small_models() -> None:
    for name, chips in (("rtx-4090-4", 4), ("rtx-5090-1", 1), ("dgx-spark", 1), ("l40s-8", 8)):
        task = TrainTask(arch=arch(FACTS, "tinyllama-1.1b"), seq=2048, batch=16)
        found = search_train(task, system(FACTS, name), chips, FACTS)
        assert found.best is not None, name
        assert 0.05 < found.best.mfu[0] < 0.95, name
