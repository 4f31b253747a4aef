"""Laws of memory that hold for every model, stack and layout."""

import itertools
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import load_facts
from exafleet.step.layouts import Layouts
from exafleet.step.memory import (
    MEMORY,
    MemoryPractice,
    held,
    memory_of,
    memory_practice,
    memory_tables,
    memory_total,
)

FACTS = load_facts(date(2026, 11, 23))
MODELS = ("llama-3-8b", "llama-3-70b", "mixtral-8x7b", "deepseek-v3", "gpt-oss-120b", "megatron-175b")
STACKS = ("stack-megatron", "stack-megatron-2021", "stack-pytorch", "stack-nanotron", "stack-megatron-deepspeed",
          "stack-maxtext")
Case = tuple[Arch, MemoryPractice, int, int, Layouts]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    model = arch(FACTS, draw(st.sampled_from(MODELS)))
    axes = {"tp": draw(st.sampled_from([1, 2, 4])), "pp": draw(st.sampled_from([1, 2, 4])),
            "dp": draw(st.sampled_from([2, 8, 32])), "mbs": draw(st.sampled_from([1, 2])),
            "zero": draw(st.integers(0, 3)), "recompute": draw(st.integers(0, 2)),
            "ep": draw(st.sampled_from([1, 2])) if model.moe_layers else 1}
    axes["vpp"] = draw(st.sampled_from([1, 2])) if axes["pp"] > 1 else 1
    batch = axes["dp"] * axes["mbs"] * draw(st.sampled_from([2, 8]))
    how = memory_practice(FACTS, draw(st.sampled_from(STACKS)))
    return model, how, draw(st.sampled_from([2048, 8192])), batch, Layouts.of(**{a: [v] for a, v in axes.items()})


def total(case: Case, **changes: int) -> float:
    model, how, seq, batch, lay = case
    lay = replace(lay, **{a: np.array([v]) for a, v in changes.items()})
    return float(memory_of(model, seq, "bf16", batch, how, lay).total[0])


@given(cases())
@settings(max_examples=100)
def test_parts_add_up_to_the_peak_that_the_search_uses(case: Case) -> None:
    model, how, seq, batch, lay = case
    parts = memory_of(model, seq, "bf16", batch, how, lay)
    places = lay.pp * lay.vpp
    share = -(-model.layers // places) * lay.vpp / model.layers
    peak = memory_total(model, how, lay, memory_tables(model, seq, "bf16", how, lay), share,
                        batch / (lay.dp * lay.mbs), held(model, lay, share))
    assert parts.names == MEMORY
    assert float(parts.values.min()) >= 0.0
    assert float(parts.values.sum()) == pytest.approx(float(peak[0]), rel=1e-12)


@given(cases())
@settings(max_examples=100)
def test_more_tensor_parallelism_never_takes_more(case: Case) -> None:
    before = total(case, tp=2)
    assert total(case, tp=4) <= before * (1 + 1e-9)
    assert total(case, tp=8) <= before * (1 + 1e-9)


@given(cases())
@settings(max_examples=100)
def test_recomputing_more_keeps_less(case: Case) -> None:
    none, selective = (total(case, recompute=m) for m in (0, 1))
    model, how, seq, _, lay = case
    tab = memory_tables(model, seq, "bf16", how, lay)
    assert selective <= none * (1 + 1e-9)
    assert float(tab["keep2"][0]) <= float(tab["keep1"][0]) <= float(tab["keep0"][0])


@given(cases())
@settings(max_examples=100)
def test_sharing_out_more_never_takes_more(case: Case) -> None:
    model, how, seq, batch, lay = case
    # A pipeline that keeps its stage gathered gives ZeRO-3 up; every other rule holds.
    case = (model, replace(how, pipeline=0.0, step=0.0), seq, batch, lay)
    by_level = [total(case, zero=z) for z in range(4)]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(by_level[:2]))
    if how.each.weight >= how.each.gathered and how.each.gradient >= how.each.gathered:
        assert all(b <= a * (1 + how.fragmentation) for a, b in itertools.pairwise(by_level))


@given(cases(), st.sampled_from([2, 4]))
@settings(max_examples=60)
def test_a_larger_micro_batch_or_fewer_ranks_never_take_less(case: Case, factor: int) -> None:
    model, how, seq, batch, lay = case
    case = (model, how, seq, batch * factor, lay)
    assert total(case, mbs=int(lay.mbs[0]) * factor) >= total((model, how, seq, batch, lay)) * (1 - 1e-9)
    more = (model, how, seq, batch * factor, lay)
    assert total(more, dp=int(lay.dp[0]) * factor) <= total((model, how, seq, batch, lay)) * (1 + 1e-9)
