"""Published runs: the package's table read and written, shapes with what a run changed, predictions in groups."""

import csv
import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from exafleet.facts.architecture import arch, insane, transformer
from exafleet.facts.catalogue import load_facts
from exafleet.step.measured.training import (
    AXES,
    COLUMNS,
    FILE,
    Published,
    Unread,
    as_told,
    changed,
    compare,
    measured,
    published,
    shape,
    shape_of,
    shape_words,
    written,
)
from exafleet.terms.errors import FactError

FACTS = load_facts(date(2026, 11, 23))
ROWS = published()
WHOLE = [row for row in ROWS if set(AXES) <= row.layout.keys()]
RUN = next(row for row in WHOLE if row.model == "llama-3-8b" and row.unit == "token/s" and row.task == "pretrain")


def test_every_row_of_the_table_is_written_as_it_was_read(tmp_path):
    path = tmp_path / "again.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(written(row) for row in ROWS)
    assert path.read_bytes() == FILE.read_bytes()
    assert published(path) == ROWS
    assert len({row.id for row in ROWS}) == len(ROWS) > 1000


def test_every_row_of_the_table_has_a_shape_that_holds_together():
    shapes = {(row.model, row.arch, tuple(row.changes.items())): row for row in ROWS}
    assert [row.id for row in shapes.values() if insane(shape(row, FACTS))] == []


@pytest.mark.parametrize("tied", [0, 1])
def test_a_plain_shape_is_read_back_from_its_words(tied):
    model = transformer("gpt", hidden=3072, layers=28, heads=32, kv_heads=8, ffn=8192, vocab=131072, mlp_matrices=3,
                        tied=tied, positions=2048)
    assert shape_of("gpt", shape_words(model)) == model


def test_what_a_run_changed_reaches_its_shape():
    moe, dense = arch(FACTS, "deepseek-v3"), arch(FACTS, "llama-3-8b")
    cut = changed(moe, {"layers": 20})
    assert (cut.layers, cut.attention_layers, cut.mlp_layers) == (20, 20, 20)
    assert cut.mlp_layers - cut.moe_layers == moe.mlp_layers - moe.moe_layers
    assert changed(moe, {"layers": 20, "dense_first": 1}).moe_layers == 19
    assert changed(dense, {"layers": 16}).moe_layers == 0
    fewer = changed(dense, {"heads": 16})
    assert (fewer.heads, fewer.kv_heads, fewer.head_dim) == (16, 8, dense.hidden // 16)
    # Key-value heads that cannot be grouped any more are as many as heads.
    assert changed(dense, {"heads": 4}).kv_heads == 4
    assert changed(dense, {"kv_heads": 2}).kv_heads == 2
    windowed = arch(FACTS, "gpt-oss-20b")
    assert changed(windowed, {"layers": windowed.layers // 2}).window_layers == windowed.window_layers // 2
    assert all(not insane(changed(m, {"layers": n})) for m in (moe, dense, windowed) for n in (1, 2, 7, 40))


def test_multi_token_prediction_is_off_unless_the_source_says_that_it_was_on():
    row = replace(RUN, model="deepseek-v3", changes={})
    assert arch(FACTS, "deepseek-v3").mtp_layers == 1
    assert shape(row, FACTS).mtp_layers == 0
    assert shape(replace(row, changes={"mtp_layers": 1}), FACTS).mtp_layers == 1


@pytest.mark.parametrize("changes", [{"heads": 10**6}, {"kv_heads": 5}])
def test_changes_that_leave_no_model_are_refused_and_told_in_the_comparison(changes):
    row = replace(RUN, changes=changes)
    with pytest.raises(FactError, match="no such llama-3-8b"):
        shape(row, FACTS)
    told, = compare([row], FACTS)
    assert math.isnan(told.predicted)
    assert "no such llama-3-8b" in told.why


@pytest.mark.parametrize("unit", ["token/s", "s", "TFLOP/s causal", "TFLOP/s full", "TFLOP/s hardware"])
def test_a_figure_becomes_a_rate_and_the_rate_that_figure(unit):
    row = replace(RUN, unit=unit, value=123.0)
    model = shape(row, FACTS)
    rate = measured(row, model)
    assert as_told(row, model, rate) == pytest.approx(123.0)
    if unit == "s":
        assert rate == pytest.approx(row.batch * row.seq / row.chips / 123.0)
    elif unit in ("TFLOP/s full", "TFLOP/s causal"):
        a, q = model, model.heads * model.head_dim
        weights = a.layers * a.hidden * (2 * q + 2 * a.kv_heads * a.head_dim + 3 * a.ffn) + a.hidden * a.vocab
        seen = row.seq if unit.endswith("full") else row.seq / 2
        assert rate == pytest.approx(123e12 / (6 * weights + 12 * a.layers * q * seen), rel=1e-3)
    elif unit == "TFLOP/s hardware":
        again = replace(row, layout={**row.layout, "recompute": 2})
        # The forward pass is a third of forward and backward, and was run once more.
        assert measured(again, model) == pytest.approx(0.75 * measured(replace(row, unit="TFLOP/s full"), model))


def test_rows_timed_together_are_each_predicted_as_alone():
    groups = ("nanotron", "mbridge", "bloom", "vtrain-single", "torchtitan", "primus")
    picked = [row for name in groups for row in [r for r in WHOLE if r.id.startswith(name)][:12]]
    assert len(picked) >= 48
    unread = Unread(id="x", line=3, why="unknown model", measured=5.0, unit="token/s")
    mixed = [*picked[::2], unread, *picked[1::2]]
    together = compare(mixed, FACTS)
    assert [c.id for c in together] == [row.id for row in mixed]
    for row, one in zip(mixed, together, strict=True):
        alone, = compare([row], FACTS)
        assert one.why == alone.why
        np.testing.assert_allclose([one.predicted, one.low, one.high, one.predicted_rate],
                                   [alone.predicted, alone.low, alone.high, alone.predicted_rate], rtol=1e-12)
        if isinstance(row, Published):
            assert one.low < one.predicted < one.high, row.id
        else:
            assert (one.measured, one.why) == (5.0, "unknown model")


def test_an_open_axis_takes_the_fastest_of_the_layouts_it_leaves_open():
    found, = compare([replace(RUN, layout={a: v for a, v in RUN.layout.items() if a != "mbs"})], FACTS)
    stated = compare([replace(RUN, layout={**RUN.layout, "mbs": n}) for n in (1, 2, 4)], FACTS)
    assert found.predicted >= max(c.predicted for c in stated) * (1 - 1e-9)


def test_a_stack_that_is_none_costs_its_row_alone():
    bad, good = compare([replace(RUN, stack="stack-of-hay"), RUN], FACTS)
    assert 'unknown software stack "stack-of-hay"' in bad.why
    assert good.predicted > 0
