"""Tables of serving power: what rows mean, and what is told of rows that cannot be compared."""

import csv
import math
from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.measured.power_tables import (
    FILE,
    METRICS,
    PowerRow,
    UnreadPower,
    compare_power,
    engine,
    formats,
    pools,
    predict_power,
    read_power,
    stated_layout,
)
from exafleet.step.measured.cells import NotUsable
from exafleet.terms.errors import FactError

FACTS = load_facts(date(2026, 12, 1))
LIKE = {"case_id": "one", "source": "InferenceX PowerX API example", "model": "deepseek-ai/DeepSeek-V3",
        "precision": "fp4", "framework": "sglang", "accelerator": "B200 SXM", "gpus": "8", "tp": "8.0", "ep": "1.0",
        "attention_dp": "False", "disaggregated": "no", "isl": "8192", "osl": "1024", "concurrency": "16",
        "avg_gpu_board_W": "600", "prefill_W": "", "decode_W": "", "J_per_output_tok": "4", "J_per_input_tok": "0.5",
        "J_per_total_tok": "0.4444", "version": "", "date": ""}


def read(tmp_path, *changes):
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(LIKE))
        writer.writeheader()
        writer.writerows({**LIKE, **change} for change in changes)
    return read_power(path, FACTS)


def test_a_row_is_read_in_base_units_with_drawn_lengths(tmp_path):
    row, plain = read(tmp_path, {}, {"source": "my own meter"})
    assert (row.model, row.system, row.dtype, row.engine) == ("deepseek-v3", "hgx-b200", "fp4", "sglang")
    assert (row.layout, row.prefill, row.decode, row.chips) == ((8, 1, 1, 1), 0, 8, 8)
    assert (row.input_tokens, row.output_tokens) == (0.9 * 8192, 0.9 * 1024)
    assert (plain.input_tokens, plain.output_tokens) == (8192, 1024)
    assert set(row.figures) == set(METRICS)
    assert row.rate == pytest.approx(600 * 8 / 4)


@pytest.mark.parametrize(("change", "why"), [
    ({"model": "Nobody-9B"}, 'unknown model "Nobody-9B"'), ({"accelerator": "XPU-1"}, 'unknown accelerator "XPU-1"'),
    ({"accelerator": ""}, "no accelerator is stated"), ({"gpus": "0"}, "gpus must be a positive number"),
    ({"concurrency": ""}, "concurrency is not stated"), ({"isl": "long"}, 'isl is no number: "long"'),
    ({"precision": "fp3"}, 'unknown precision "fp3"'), ({"J_per_output_tok": "-1"}, "must be a positive number"),
    ({"gpus": "12"}, "TP8 PP1 DP1 does not divide 12 accelerators"),
    ({"disaggregated": "yes"}, "how many chips prefill is not stated"),
    ({"disaggregated": "yes: prefill 8 / decode 8 GPUs"}, "8 chips that prefill and 8 that decode are not 8"),
])
def test_a_bad_row_stays_with_its_reason_and_its_figures(tmp_path, change, why):
    good, bad = read(tmp_path, {"case_id": "good"}, change)
    assert isinstance(good, PowerRow)
    assert isinstance(bad, UnreadPower)
    assert (bad.id, bad.line) == ("one", 3)
    assert why in bad.why
    assert set(bad.figures) == set(METRICS) - {m for m, (column, _) in METRICS.items() if column in change}
    found = compare_power([good, bad], FACTS)
    assert [c.row for c in found] == [good, bad]
    assert (found[0].why, found[1].why) == ("", bad.why)


def test_a_file_of_another_kind_is_refused_with_every_missing_column(tmp_path):
    path = tmp_path / "other.csv"
    path.write_text("case_id,model\na,b\n", encoding="utf-8")
    with pytest.raises(FactError) as caught:
        read_power(path, FACTS)
    assert "J_per_output_tok" in str(caught.value)
    assert "avg_gpu_board_W" in str(caught.value)


def test_words_of_layouts():
    assert pools(LIKE) == (0, 8)
    assert pools(LIKE | {"gpus": "40", "disaggregated": "yes: prefill 8 / decode 32 GPUs"}) == (8, 32)
    assert stated_layout(LIKE | {"tp": ""}) is None
    assert stated_layout(LIKE | {"ep": "8", "attention_dp": "True"}) == (1, 1, 8, 8)
    with pytest.raises(NotUsable, match="whole number"):
        stated_layout(LIKE | {"tp": "2.5"})


@pytest.mark.parametrize(("text", "name", "found"), [
    ("fp8", "hgx-h200", ("fp8", "")), ("FP4", "hgx-h200", ("bf16", "fp4")), ("nvfp4", "hgx-b200", ("fp4", "")),
    ("INT4", "hgx-b200", ("bf16", "int4")), ("bf16", "hgx-h200", ("bf16", "")), ("int8", "hgx-h200", ("int8", "")),
])
def test_a_chip_widens_formats_it_cannot_multiply(text, name, found):
    assert formats(text, system(FACTS, name).chip) == found


@pytest.mark.parametrize(("text", "name"), [("dynamo-vllm", "vllm"), ("TensorRT 10.11, CUDA 12.9", "trtllm"),
                                            ("SGLang 0.5", "sglang"), ("PyTorch", "")])
def test_engines_by_their_words(text, name):
    assert engine(text) == name


def test_a_recipe_tells_what_a_run_of_the_benchmark_leaves_out(tmp_path):
    """InferenceX ran DeepSeek-R1 in FP4 on four B200 with SGLang 0.5.9 as TP4 EP4, from 25 March 2026 on."""
    dump = {"source": "InferenceX DB dump 2026-07-20", "version": "0.5.9", "date": "<=2026-07-20", "tp": "", "ep": "",
            "attention_dp": "", "gpus": "4", "concurrency": "32", "model": "deepseek-ai/DeepSeek-R1-0528"}
    told, own, unknown = read(tmp_path, dump, dump | {"source": "my own meter"}, dump | {"version": "0.0.1"})
    assert (told.layout, told.ran, told.draft) == (None, (4, 1, 1, 4), 0)
    assert told.kv_dtype == "fp8"
    assert told.release == pytest.approx(2026 + 2 / 12, abs=0.05)
    assert (own.ran, unknown.ran, unknown.release) == (None, None, None)
    assert own.release == pytest.approx(told.release, abs=0.05)
    assert predict_power(told, FACTS).layout == "TP4 EP4"
    assert predict_power(own, FACTS).layout == "TP4"


def test_an_open_layout_shares_every_product_over_all_chips(tmp_path):
    stated, left_open = read(tmp_path, {}, {"tp": "", "ep": "", "attention_dp": ""})
    found = [predict_power(row, FACTS) for row in (stated, left_open)]
    assert found[0].layout == found[1].layout == "TP8"
    assert found[0].predicted("j_per_output_tok") == found[1].predicted("j_per_output_tok")


def test_metrics_of_a_row_agree_with_each_other(tmp_path):
    row = read(tmp_path, {})[0]
    found = predict_power(row, FACTS)
    output, low, high = found.predicted("j_per_output_tok")
    assert low < output < high
    assert found.predicted("j_per_input_tok")[0] == pytest.approx(output / 8)
    assert found.predicted("j_per_total_tok")[0] == pytest.approx(output / 9)
    power, least, most = found.predicted("avg_gpu_board_W")
    assert least < power < most
    assert power <= system(FACTS, row.system).chip.tdp


def test_replicas_beyond_one_share_the_load(tmp_path):
    one, two = (predict_power(r, FACTS) for r in read(tmp_path, {}, {"gpus": "16", "concurrency": "32"}))
    assert two.predicted("j_per_output_tok") == pytest.approx(one.predicted("j_per_output_tok"))


def test_a_split_row_tells_the_pools_apart(tmp_path):
    few, many = (predict_power(r, FACTS) for r in read(
        tmp_path, *({"gpus": "16", "disaggregated": "yes: prefill 8 / decode 8 GPUs", "concurrency": n}
                    for n in ("1", "64"))))
    for found in (few, many):
        mean = found.energy.power[0]
        assert mean == pytest.approx((found.energy.prefill_power[0] + found.energy.decode_power[0]) / 2)
    assert few.energy.prefill_power[0] < few.energy.decode_power[0]
    assert few.energy.prefill_power[0] < many.energy.prefill_power[0]


def test_a_pool_that_the_stated_layout_does_not_divide_shares_products_over_all_its_chips(tmp_path):
    found = predict_power(read(tmp_path, {"gpus": "12", "disaggregated": "yes: prefill 4 / decode 8 GPUs"})[0], FACTS)
    assert found.layout == "TP4 and TP8"


def test_a_model_that_does_not_fit_says_so(tmp_path):
    found = predict_power(read(tmp_path, {"gpus": "1", "tp": "1"})[0], FACTS)
    assert found.why == "does not fit in memory"
    assert all(math.isnan(v) for v in found.predicted("avg_gpu_board_W"))


def test_every_row_of_the_package_is_read_and_has_a_role_kept_by_its_group():
    rows = read_power(FILE, FACTS)
    assert all(isinstance(row, PowerRow) for row in rows)
    roles = {}
    for row in rows:
        assert row.role in ("fit", "held_out")
        assert roles.setdefault(row.group, row.role) == row.role
    assert {"fit", "held_out"} == set(roles.values())
