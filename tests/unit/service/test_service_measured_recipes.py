"""Recipes of published runs: the table, which of them a row can have come from, and what they agree on."""

import re
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import chip_ids
from exafleet.service.measured.recipes import (
    Recipe,
    Told,
    agreed,
    concurrency_of,
    concurrency_text,
    day_number,
    recipe_of,
    recipes,
    resolve,
    told_of,
    written,
)
from exafleet.service.measured.words import Pool
from tools.prepare_recipes import joined, loads, stood
from tools.script_settings import arithmetic, followed, settings

PLAIN = Recipe(model="deepseek-v3", dtype="fp8", chip="b200-sxm", engine="sglang", version="0.5.8", isl=1024, osl=1024,
               concurrency=(4, 8, 16), decode_tp=8, drafts=0, kv_dtype="fp8", first="2026-02-01", last="2026-03-01")
DRAFTED = replace(PLAIN, speculation="mtp", drafts=2)
APART = replace(PLAIN, prefill_count=1, prefill_tp=8, prefill_ep=1, prefill_dp=1, decode_count=3)
ROW = Told(model="deepseek-v3", chip="b200-sxm", engine="sglang", dtype="fp8", version="0.5.8", isl=1024, osl=1024,
           concurrency=8, date="2026-02-10", apart=False, decode=(1, 8), dp=1, ep=1)
CELLS = {"source": "InferenceX DB dump rows", "source_location": "id=x_disagg_1024x1024_c4_tp8_0_ep8_0_967",
         "date": "2026-02-10", "weights_precision": "fp8 (gemm fp8, moe fp8_block)", "version": "0.5.8", "gpus": "8",
         "tp": "8", "pp": "1", "ep": "1", "dp": "1", "disaggregated": "no", "isl": "1024", "osl": "1024",
         "concurrency_or_batch": "8", "notes": ""}
NAMED = {"model": "deepseek-v3", "chip": "b200-sxm", "engine": "sglang"}


# ------------------------------------------------------------------------------------------------------ the table


@given(st.lists(st.integers(1, 20000), min_size=1, max_size=8, unique=True).map(sorted))
def test_concurrencies_are_read_as_they_were_written(values):
    assert concurrency_of(concurrency_text(tuple(values))) == tuple(values)


def test_the_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "recipes.csv"
    path.write_text(written(recipes()), encoding="utf-8")
    assert recipes(path) == recipes()


def test_every_recipe_is_a_deployment_that_can_be():
    chips, table = set(chip_ids(load_facts(date.max))), recipes()
    assert {r.chip for r in table} <= chips
    for row in table:
        assert list(row.concurrency) == sorted(set(row.concurrency)), row
        assert min(row.concurrency) >= 1, row
        assert row.first <= row.last, row
        assert all(row.first <= day <= row.last for day in row.runs), row
        assert (row.speculation == "none") == (row.drafts == 0), row
        assert row.chips >= 1, row
        assert re.search(r"\.(yaml|yml|sh)@[0-9a-f]{9}$", row.where), row


def test_no_recipe_stands_twice():
    bare = [replace(r, first="", last="", runs=(), where="", note="") for r in recipes()]
    spans = {}
    for row, plain in zip(recipes(), bare, strict=True):
        spans.setdefault(plain, []).append((row.first, row.last))
    assert all(one[1] < two[0] for many in spans.values() for one, two in zip(sorted(many), sorted(many)[1:],
                                                                             strict=False))


@pytest.mark.parametrize(("chip", "load", "chips"), [("b200-sxm", 6, 44), ("b200-sxm", 1214, 20),
                                                     ("b200-sxm", 4968, 44), ("gb200-gpu", 180, 36),
                                                     ("gb200-gpu", 4301, 24), ("gb200-gpu", 16130, 32)])
def test_the_benchmarks_own_article_names_the_same_number_of_chips(chip, load, chips):
    """InferenceX-app, gb200-nvl72-vs-b200-disagg-deepseek-r1-fp4-dynamo-trt.mdx, "The Numbers" (2026-05-22)."""
    told = Told(model="deepseek-v3", chip=chip, engine="trtllm", dtype="fp4", version="", isl=1024, osl=1024,
                concurrency=load, date="2026-05-22", apart=True, speculation="mtp")
    assert {r.chips for r in recipe_of(told)} == {chips}


# ------------------------------------------------------------------------------------------- candidates and agreement


def test_what_recipes_agree_on_is_told_and_the_rest_left_open():
    found = resolve(ROW, (PLAIN, DRAFTED))
    assert len(found.candidates) == 2
    assert found.decode == Pool(count=1, tp=8)
    assert found.kv_dtype == "fp8"
    assert (found.speculation, found.drafts) == ("", None)
    assert agreed(found.candidates, "drafts") is None
    assert agreed(found.candidates, "version") == "0.5.8"


def test_no_recipe_tells_nothing():
    found = resolve(replace(ROW, concurrency=9), (PLAIN, DRAFTED))
    assert found.candidates == ()
    assert (found.prefill, found.decode, found.speculation, found.drafts, found.kv_dtype) == (None, None, "", None, "")


@pytest.mark.parametrize(("name", "value"), [("model", "gpt-oss-120b"), ("chip", "h200-sxm"), ("engine", "vllm"),
                                             ("dtype", "fp4"), ("isl", 8192), ("osl", 8192), ("concurrency", 64),
                                             ("apart", True), ("version", "0.5.9"), ("decode", (1, 4))])
def test_what_a_row_states_must_fit(name, value):
    assert recipe_of(ROW, (PLAIN,)) == (PLAIN,)
    assert recipe_of(replace(ROW, **{name: value}), (PLAIN,)) == ()


def test_a_row_that_tells_its_speculation_is_believed():
    assert recipe_of(replace(ROW, speculation="mtp"), (PLAIN, DRAFTED)) == (DRAFTED,)


def test_the_recipe_that_stood_on_the_day_is_taken():
    new = replace(PLAIN, chunk=8192, first="2026-03-01", last="2026-04-01")
    assert recipe_of(ROW, (PLAIN, new)) == (PLAIN,)
    assert recipe_of(replace(ROW, date="2026-03-01"), (PLAIN, new)) == (new,)
    assert recipe_of(replace(ROW, date="2026-04-09"), (PLAIN, new)) == (new,)
    assert recipe_of(replace(ROW, date="2026-09-09"), (PLAIN, new)) == ()


@given(st.dates(), st.dates())
def test_days_are_counted_as_in_the_calendar(one, two):
    assert day_number(str(two)) - day_number(str(one)) == (two - one).days


@pytest.mark.parametrize("text", ["", "2026-02", "2026-13-01", "2026-02-32", "Q1"])
def test_what_is_no_day_has_no_number(text):
    assert day_number(text) is None
    assert recipe_of(replace(ROW, date=text), (PLAIN,)) == (PLAIN,)


def test_without_a_release_only_days_near_the_recipe_count():
    assert recipe_of(replace(ROW, version="", date="2026-03-05"), (PLAIN,)) == (PLAIN,)
    assert recipe_of(replace(ROW, version="", date="2026-03-25"), (PLAIN,)) == ()


def test_a_run_that_was_asked_for_that_day_is_preferred():
    asked = replace(DRAFTED, runs=("2026-02-10",))
    assert recipe_of(ROW, (PLAIN, asked)) == (asked,)
    assert recipe_of(replace(ROW, date="2026-02-20"), (PLAIN, asked)) == (PLAIN, asked)


def test_a_source_without_speculation_decides_only_where_such_a_recipe_is_left():
    assert recipe_of(replace(ROW, plain=True), (PLAIN, DRAFTED)) == (PLAIN,)
    assert recipe_of(replace(ROW, plain=True), (DRAFTED,)) == (DRAFTED,)


def test_axes_that_a_source_did_not_record_give_way_to_the_chips_of_a_worker():
    spread = replace(PLAIN, decode_tp=1, decode_dp=8, decode_ep=8)
    assert recipe_of(ROW, (spread,)) == (spread,)
    assert recipe_of(ROW, (PLAIN, spread)) == (PLAIN,)


def test_a_listed_width_is_a_workers_chips_or_the_tp_within_its_attention_groups():
    spread = replace(APART, decode_tp=1, decode_dp=8, decode_ep=8)
    row = replace(ROW, apart=True, decode=None, dp=None, ep=None, prefill_ways=8)
    assert recipe_of(replace(row, decode_ways=8), (APART, spread)) == (APART, spread)
    assert recipe_of(replace(row, decode_ways=1), (APART, spread)) == (spread,)
    assert recipe_of(replace(row, decode_ways=16), (APART, spread)) == ()
    assert resolve(replace(row, decode_ways=1), (APART, spread)).decode == Pool(count=3, tp=1, dp=8, ep=8)


def test_a_split_that_is_stated_must_be_the_recipes():
    row = replace(ROW, apart=True, prefill=(1, 8), decode=(3, 8))
    assert resolve(row, (APART,)).prefill == Pool(count=1, tp=8)
    assert recipe_of(replace(row, decode=(2, 8)), (APART,)) == ()
    assert recipe_of(replace(row, prefill=(2, 8)), (APART,)) == ()


# ---------------------------------------------------------------------------------------------------- words of a row


def test_words_of_rows():
    assert told_of(CELLS, **NAMED) == ROW
    listed = CELLS | {"disaggregated": "yes (split unknown)", "tp": "", "dp": "", "ep": "", "gpus": "",
                      "notes": "source lists prefill tp=8, decode tp=16 without worker counts"}
    row = told_of(listed, **NAMED)
    assert (row.apart, row.prefill_ways, row.decode_ways, row.prefill_ep) == (True, 8, 16, 8)
    split = CELLS | {"disaggregated": "yes: prefill 2x4 GPUs / decode 1x32 GPUs", "tp": "1", "dp": "32", "ep": "32"}
    row = told_of(split, **NAMED)
    assert (row.prefill, row.decode, row.dp, row.ep) == ((2, 4), (1, 32), 32, 32)
    assert told_of(CELLS | {"version": "nan"}, **NAMED).version == ""
    assert told_of(CELLS | {"notes": "config_id=181; x"}, **NAMED).plain


@pytest.mark.parametrize("change", [{"source": "a vendor's page"}, {"concurrency_or_batch": "max load"}, {"isl": ""},
                                    {"weights_precision": "int3"}, {"weights_precision": ""}])
def test_rows_that_no_recipe_can_stand_behind(change):
    assert told_of(CELLS | change, **NAMED) is None


# ------------------------------------------------------------------------------------------------- how it is prepared


SCRIPT = """
MTP=3
BATCH=$CONC
if [[ "$DP_ATTENTION" == "true" ]]; then
    BATCH=$(( CONC < 4 ? CONC : CONC / 4 ))
    MTP=1
fi
cat > extra.yml << EOF
kv_cache_config:
    enable_block_reuse: false
    dtype: fp8
speculative_config:
    num_nextn_predict_layers: ${MTP}
EOF
TOKENS=$(( ((MTP+1)*BATCH+ISL+64+63)/64*64 ))
serve $MODEL --max_batch_size=$BATCH --max_num_tokens=$TOKENS \\
    --tp_size=$TP
"""


@pytest.mark.parametrize(("attention", "drafts", "running", "chunk"), [(False, 3, 64, 1344), (True, 1, 16, 1152)])
def test_a_script_is_followed_for_a_layout_and_a_load(attention, drafts, running, chunk):
    found, _, _ = settings(SCRIPT, 8, 8, attention, 1024, 1024, 64)
    assert (found.drafts, found.kv_dtype, found.running, found.chunk) == (drafts, "fp8", running, chunk)


def test_what_a_condition_that_cannot_be_decided_assigns_is_not_known():
    env = {"A": "1", "B": "1"}
    followed('if [ "$HOST" = "x" ]; then\nA=2\nelse\nB=2\nfi', env)
    assert env == {}


@given(st.integers(0, 99), st.integers(1, 99), st.integers(1, 99))
def test_arithmetic_of_a_shell(a, b, c):
    assert arithmetic(f"({a}+{b})*{c}-{a}/{b}%{c}", {}) == (a + b) * c - a // b % c
    assert arithmetic("$A >= B && A != 7 ? ${B} : A", {"A": str(a), "B": str(b)}) == (b if a >= b and a != 7 else a)


def test_concurrencies_double_up_to_the_last():
    assert loads({"conc-start": 4, "conc-end": 64}) == (4, 8, 16, 32, 64)
    assert loads({"conc-start": 4, "conc-end": 24}) == (4, 8, 16, 24)
    assert loads({"conc-list": [90, 10, 45]}) == (10, 45, 90)


def test_a_recipe_stands_from_its_commit_to_the_one_that_takes_it_away():
    days = ["2026-02-01", "2026-02-03", "2026-02-05", "2026-03-05"]
    bare = replace(PLAIN, first="", last="")
    found = stood(enumerate([[bare], [], [bare], [bare]]), days)
    assert [(r.first, r.last) for r in found] == [("2026-02-01", "2026-02-03"), ("2026-02-05", "2026-03-05")]
    assert [(r.first, r.last) for r in joined(found)] == [("2026-02-01", "2026-03-05")]
