"""Roles of the package's rows: whole models and whole groups on one side, whatever a row measured."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.service.measured.runs import Unread, published
from exafleet.service.measured.words import Pool
from tools.prepare_serving import HELD_MODELS, prints_throughput, role, same

ROWS = published()
NVIDIA = next(r for r in ROWS if r.system == "hgx-h100" and r.model not in HELD_MODELS)
AMD = next(r for r in ROWS if r.system.startswith("mi") and r.model not in HELD_MODELS)


def test_one_group_of_model_system_and_layout_has_one_role():
    roles = {}
    for row in ROWS:
        if not row.system.startswith("mi"):
            roles.setdefault(row.layout_group, set()).add(row.role)
    assert len(roles) > 100
    assert all(len(found) == 1 for found in roles.values())


@given(concurrency=st.floats(1, 1e4), output=st.floats(1, 1e4), figure=st.floats(1e-4, 1e3),
       engine=st.sampled_from(["trtllm", "vllm", "x"]), dtype=st.sampled_from(["bf16", "fp8", "fp4"]),
       name=st.text(max_size=8))
def test_neither_load_nor_figures_nor_names_move_a_row_to_the_other_side(concurrency, output, figure, engine, dtype,
                                                                         name):
    other = replace(NVIDIA, concurrency=concurrency, output_tokens=output, given={"tpot_ms": figure}, engine=engine,
                    dtype=dtype, id=name, version=name, source=name, date=name)
    assert role(other) == role(NVIDIA)


def test_rows_of_amd_are_split_by_their_lengths_too():
    roles = {role(replace(AMD, input_tokens=float(n), output_tokens=float(m))) for n in (128, 500, 1000, 2048)
             for m in (128, 512, 1000)}
    assert roles == {"fit", "held_out"}
    assert role(replace(AMD, concurrency=77.0, engine="x")) == role(AMD)


@pytest.mark.parametrize("model", HELD_MODELS)
@given(count=st.integers(1, 9), tp=st.sampled_from([1, 2, 4, 8]))
def test_held_models_are_held_out_whole(model, count, tp):
    assert role(replace(NVIDIA, model=model, decode=Pool(count=count, tp=tp))) == "held_out"


def test_about_a_quarter_of_layouts_is_held_out():
    many = [replace(NVIDIA, decode=Pool(count=n, tp=tp, pp=pp)) for n in range(1, 101) for tp in (1, 2, 4, 8)
            for pp in (1, 2)]
    assert 0.2 < sum(role(r) == "held_out" for r in many) / len(many) < 0.3


def test_one_run_told_twice_is_the_same_and_another_load_is_not():
    both = replace(NVIDIA, concurrency=8.0, given={"tpot_ms": 0.0123456, "ttft_ms": 0.3, "output_tok_s_per_gpu": 100.0})
    again = replace(both, given={**both.given, "output_tok_s_per_gpu": 101.0}, id="other", source="other")
    assert same(both) == same(again)
    assert same(both) != same(replace(both, concurrency=9.0))
    assert same(both) != same(replace(both, given={**both.given, "tpot_ms": 0.0124}))


def test_a_throughput_worked_out_is_not_one_that_is_printed():
    rate = replace(NVIDIA, given={"output_tok_s_per_gpu": 100.0}, derived=())
    assert prints_throughput(rate)
    assert not prints_throughput(replace(rate, derived=("output_tok_s_per_gpu",)))
    assert not prints_throughput(Unread(id="x", line=2, why="", given={"tpot_ms": 0.1}))
