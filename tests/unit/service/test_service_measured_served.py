"""Tables of serving points: every row comes back, compared or with its reason; the package's own table; predictions."""

import csv
import datetime
import math
import time
from dataclasses import replace

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.service.measured.predict import RELEASES, bands, compare_served, machine_of, task_of
from exafleet.service.measured.run_tables import REQUIRED, read_served
from exafleet.service.measured.runs import METRICS, Served, Unread, pool_of, pool_text, published, written, year
from exafleet.service.measured.words import Pool
from exafleet.step.serving_practice import ANY_ENGINE
from exafleet.terms.errors import FactError
from exafleet.terms.why import SENTENCES, Why

FACTS = load_facts(datetime.date(2026, 11, 26))
LIKE = {"case_id": "one", "source": "a page", "source_location": "table 1", "date": "2026-02-03",
        "model": "Llama-3.1-70B", "weights_precision": "fp8", "kv_precision": "", "framework": "vLLM",
        "version": "0.12", "accelerator": "H100 SXM", "system": "HGX H100", "gpus": "8", "tp": "4", "pp": "1",
        "ep": "1", "dp": "1", "disaggregated": "no", "isl": "1000", "osl": "500", "concurrency_or_batch": "64",
        "spec_decode": "none", "output_tok_s_per_gpu": "500", "tok_s_per_user": "", "ttft_ms": "400",
        "tpot_ms": "20", "notes": ""}


def table(path, *changes, columns=tuple(LIKE), encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        out = csv.DictWriter(file, list(columns), extrasaction="ignore")
        out.writeheader()
        out.writerows({**LIKE, **change} for change in changes)
    return path


def rows(path, *changes, **how):
    return read_served(table(path / "rows.csv", *changes, **how), FACTS)


def one(path, **change):
    return rows(path, change)[0]


# ---------------------------------------------------------------------------------------------------------- reading


def test_a_row_is_read_in_base_units(tmp_path):
    row = one(tmp_path)
    assert (row.model, row.system, row.engine, row.dtype, row.kv_dtype) == (
        "llama-3-70b", "hgx-h100", "vllm", "fp8", "bf16")
    assert (row.prefill, row.decode, row.chips) == (None, Pool(count=2, tp=4), 8)
    assert row.given == pytest.approx({"output_tok_s_per_gpu": 500, "ttft_ms": 0.4, "tpot_ms": 0.02,
                                       "e2e_ms": 0.4 + 499 * 0.02})
    assert row.derived == ("e2e_ms",)
    assert (row.date, row.draft, row.concurrency, row.role) == ("2026-02-03", 0.0, 64.0, "given")


def test_a_users_rate_is_a_time_per_token_where_none_is_stated(tmp_path):
    assert one(tmp_path, tpot_ms="", tok_s_per_user="40").given["tpot_ms"] == pytest.approx(0.025)
    assert one(tmp_path, tok_s_per_user="40").given["tpot_ms"] == pytest.approx(0.02)


@pytest.mark.parametrize(("change", "reason"), [
    ({"model": "Nobody-9B"}, 'unknown model "Nobody-9B"'), ({"model": ""}, "model"),
    ({"model": "FlashMLA kernel"}, "is a kernel, not a model"),
    ({"accelerator": "XPU-1"}, 'unknown accelerator "XPU-1"'),
    ({"accelerator": "", "system": ""}, "no accelerator is stated"),
    ({"accelerator": "B200 SXM"}, '"HGX H100" holds no "B200 SXM"'), ({"weights_precision": "fp5"}, "fp5"),
    ({"gpus": "-8"}, "positive"), ({"gpus": "nan"}, "positive"), ({"gpus": "1e400"}, "positive"),
    ({"gpus": "7.5"}, "whole"), ({"gpus": "6"}, "does not divide"), ({"tp": "four"}, 'tp is no number: "four"'),
    ({"tp": "", "ep": "", "dp": ""}, "layout is not stated"), ({"isl": ""}, "isl is not stated"),
    ({"isl": "0"}, "isl must be a positive"), ({"osl": "inf"}, "osl must be a positive"),
    ({"osl": "10000000000"}, "osl must be at most"), ({"concurrency_or_batch": ""}, "the load is not stated"),
    ({"concurrency_or_batch": "busy"}, "concurrency_or_batch is no number"),
    ({"tpot_ms": "fast"}, "tpot_ms is no number"),
    ({"tpot_ms": "-1"}, "tpot_ms must be a positive"), ({"ttft_ms": "inf"}, "ttft_ms must be a positive"),
    ({"output_tok_s_per_gpu": "0"}, "output_tok_s_per_gpu must be a positive"),
    ({"output_tok_s_per_gpu": "", "ttft_ms": "", "tpot_ms": ""}, "no throughput, time per token"),
    ({"disaggregated": "yes"}, "how many accelerators each has")])
def test_every_kind_of_bad_cell_is_a_reason_and_no_row_is_lost(tmp_path, change, reason):
    found = rows(tmp_path, {}, {"case_id": "bad", **change}, {"case_id": "last"})
    assert [r.id for r in found] == ["one", "bad", "last"]
    assert isinstance(found[1], Unread)
    assert reason in found[1].why
    assert found[1].line == 3
    assert all(v > 0 for v in found[1].given.values())
    assert isinstance(found[2], Served)


def test_a_row_with_a_comma_too_many_is_told(tmp_path):
    path = table(tmp_path / "rows.csv", {})
    path.write_text(path.read_text(encoding="utf-8").rstrip() + ",one more\n", encoding="utf-8")
    assert "beyond the last column" in read_served(path, FACTS)[0].why


def test_an_engine_nobody_knows_keeps_its_name(tmp_path):
    assert one(tmp_path, framework="Fast Engine 3").engine == "fast-engine-3"


def test_rows_that_share_a_name_or_have_none_all_come_back(tmp_path):
    found = rows(tmp_path, {}, {}, {"case_id": ""})
    assert [r.id for r in found] == ["one", "one", "line-4"]
    assert repr(found[0]) == repr(found[1])


def test_a_byte_order_mark_and_columns_in_another_order_change_nothing(tmp_path):
    plain = repr(one(tmp_path))
    assert repr(rows(tmp_path, {}, encoding="utf-8-sig")[0]) == plain
    assert repr(rows(tmp_path, {}, columns=(*reversed(LIKE), "of no use"))[0]) == plain


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_column_is_named(tmp_path, column):
    with pytest.raises(FactError) as refused:
        rows(tmp_path, {}, columns=[c for c in LIKE if c != column])
    assert f"lacks {column}" in str(refused.value)


def test_all_missing_columns_are_named_at_once(tmp_path):
    with pytest.raises(FactError) as refused:
        rows(tmp_path, {}, columns=("case_id", "model"))
    assert all(column in str(refused.value) for column in (*REQUIRED[2:], "output_tok_s_per_gpu or ttft_ms or tpot_ms"))


@pytest.mark.parametrize(("content", "said"), [
    (b"", "empty"), (b"\n\n", "empty"), (",".join(LIKE).encode() + b"\n", "a header without rows"),
    (b"\xff\xfe\x00", "not UTF-8"), (b'case_id,"x\n', ""), (b"\x00\x01", "")])
def test_a_file_that_is_no_table_is_refused(tmp_path, content, said):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(FactError, match=said or None):
        read_served(path, FACTS)


def test_twenty_thousand_rows_are_read_one_by_one(tmp_path):
    path = table(tmp_path / "rows.csv", *({"case_id": str(i), "concurrency_or_batch": str(i + 1)}
                                          for i in range(20_000)))
    began = time.process_time()
    found = read_served(path, FACTS)
    # Not a benchmark: only that no row reads the table of another anew.
    assert time.process_time() - began < 60
    assert [r.id for r in found] == [str(i) for i in range(20_000)]
    assert {r.concurrency for r in found} == set(range(1, 20_001))


# ------------------------------------------------------------------------------------------------- the package's table


def test_the_packages_table_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "served.csv"
    path.write_text(written(published()), encoding="utf-8")
    again = published(path)
    # Numbers that are not told are nan, which equals nothing: compared as words.
    assert [repr(r) for r in again] == [repr(r) for r in published()]
    assert written(again) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("pool", [None, Pool(count=1, tp=8), Pool(count=12, tp=2, pp=3, dp=4, ep=8)])
def test_a_pool_in_words_is_that_pool(pool):
    assert pool_of(pool_text(pool)) == pool


@pytest.mark.parametrize(("date", "version", "found"), [
    ("2026-07", "", 2026.5 + 14 / 365), ("2026-01-01", "", 2026.0), ("2026-01-01", "0.9.0", 2026.0),
    ("", "0.9.0", RELEASES["0.9.0"]), ("2026", "", 2026.5), ("", "of somebody", None), ("", "", None)])
def test_when_the_software_of_a_row_was_current(tmp_path, date, version, found):
    row = replace(one(tmp_path), date=date, version=version)
    assert year(row, RELEASES) == (None if found is None else pytest.approx(found))


# ------------------------------------------------------------------------------------------------------- predictions


def compared(path, **change):
    return compare_served([one(path, **change)], FACTS)[0]


def test_every_figure_of_a_closed_loop_is_predicted_with_a_band(tmp_path):
    c = compared(tmp_path)
    assert c.figures.keys() == METRICS.keys() == c.band.keys()
    assert all(0 < low < high for low, high in c.band.values())
    assert float(c.parts.total) == pytest.approx(c.figures["tpot_ms"])
    assert c.figures["e2e_ms"] == pytest.approx(c.figures["ttft_ms"] + 499 * c.figures["tpot_ms"])
    # Little: 64 requests on 8 chips.
    assert c.figures["output_tok_s_per_gpu"] * 8 * c.figures["e2e_ms"] == pytest.approx(64 * 500)


def test_an_engine_nobody_knows_runs_as_any(tmp_path):
    row = replace(one(tmp_path), engine="fast-engine-3")
    on = machine_of(row, FACTS, {})
    assert on.engine.name == ""
    assert compare_served([row], FACTS)[0].figures == compare_served([replace(row, engine="")], FACTS)[0].figures


def test_a_model_that_does_not_fit_says_so_and_a_format_the_chip_lacks_is_multiplied_in_bf16(tmp_path):
    full = compared(tmp_path, tp="1", gpus="1", weights_precision="bf16")
    assert (full.figures, full.why) == ({}, SENTENCES[Why.HBM_FULL])
    lacking = compared(tmp_path, weights_precision="fp4")
    assert (lacking.row.dtype, lacking.row.weight_dtype, lacking.why) == ("bf16", "fp4", "")
    none = compare_served([replace(one(tmp_path), dtype="fp4")], FACTS)[0]
    assert (none.figures, none.why) == ({}, SENTENCES[Why.NO_DTYPE])
    unread = compared(tmp_path, model="Nobody-9B")
    assert (unread.figures, unread.why) == ({}, 'unknown model "Nobody-9B"')


def test_requests_beyond_memory_wait_for_a_place_and_throughput_stays(tmp_path):
    some, many = (compared(tmp_path, isl="100000", concurrency_or_batch=load).figures for load in ("400", "4000"))
    assert many["tpot_ms"] == pytest.approx(some["tpot_ms"])
    assert many["output_tok_s_per_gpu"] == pytest.approx(some["output_tok_s_per_gpu"])
    # Little holds for those that wait too: ten times the requests at the same rate stay ten times as long.
    assert many["e2e_ms"] == pytest.approx(10 * some["e2e_ms"], rel=1e-6)


def test_requests_queued_all_at_once_have_a_throughput_alone_and_few_of_them_less(tmp_path):
    every, few = (compared(tmp_path, concurrency_or_batch=load).figures
                  for load in ("max load", "max load (16 requests)"))
    assert every.keys() == few.keys() == {"output_tok_s_per_gpu"}
    loops = [compared(tmp_path, concurrency_or_batch=str(n)).figures["output_tok_s_per_gpu"] for n in (16, 64, 256)]
    assert every["output_tok_s_per_gpu"] >= max(loops)
    assert few["output_tok_s_per_gpu"] <= every["output_tok_s_per_gpu"]


def test_a_decode_pool_measured_alone_is_its_step(tmp_path):
    c = compared(tmp_path, disaggregated="decode only", concurrency_or_batch="batch 32", ttft_ms="")
    assert c.row.phase == "decode"
    assert c.row.concurrency == 64
    assert c.figures.keys() == {"tpot_ms", "output_tok_s_per_gpu"}
    assert c.figures["output_tok_s_per_gpu"] * c.figures["tpot_ms"] * 8 == pytest.approx(64)
    assert c.figures["tpot_ms"] < compared(tmp_path).figures["tpot_ms"]


def test_a_prefill_pool_measured_alone_has_a_reason(tmp_path):
    c = compared(tmp_path, disaggregated="prefill instance", concurrency_or_batch="8")
    assert c.figures == {}
    assert c.why


def test_pools_apart_are_predicted(tmp_path):
    c = compared(tmp_path, disaggregated="prefill 1x4 GPUs / decode 1x4 GPUs", tp="", ep="", dp="")
    assert (c.row.prefill, c.row.decode) == (Pool(count=1, tp=4), Pool(count=1, tp=4))
    assert c.figures.keys() == METRICS.keys()


def test_speculation_that_is_told_counts_and_what_is_not_told_is_taken_as_none(tmp_path):
    none, drafted, silent = (one(tmp_path, spec_decode=text) for text in ("none", "mtp-2", ""))
    assert math.isnan(silent.draft)
    assert (task_of(none, FACTS).draft, task_of(drafted, FACTS).draft, task_of(silent, FACTS).draft) == (0, 2, 0)
    assert task_of(drafted, FACTS).accept == FACTS.value(f"{ANY_ENGINE}.draft_acceptance")
    said = [c.figures["tpot_ms"] for c in compare_served([none, drafted, silent], FACTS)]
    assert said[0] == said[2] > said[1]


def test_a_row_runs_in_the_release_of_its_day(tmp_path):
    row, known = replace(one(tmp_path), engine="sglang"), {}
    late, early = (machine_of(replace(row, date=day), FACTS, known).engine.pace for day in ("2026-06-01", "2025-01-01"))
    assert late < early
    assert len(known) == 2


def test_the_narrowest_band_counts_and_without_one_that_of_the_operators(tmp_path):
    row = one(tmp_path)
    on = machine_of(row, FACTS, {})
    known = FACTS.find(ANY_ENGINE, "serving_band")
    dense = known["tpot_ms/loop/dense"]
    assert bands(row, "dense", on, FACTS)["tpot_ms"] == (dense.low, dense.high)
    wide = known["tpot_ms/loop"]
    assert bands(row, "of no kind", on, FACTS)["tpot_ms"] == (wide.low, wide.high)
    before = load_facts(datetime.date(2026, 11, 23))
    low, high = bands(row, "dense", on, before)["tpot_ms"]
    assert low * high == pytest.approx(1.0)
    assert high == pytest.approx(math.exp(1.2816 * on.engine.sigma))


def test_progress_is_told_and_reaches_the_end(tmp_path):
    told = []
    compare_served(rows(tmp_path, {}, {"model": "Nobody-9B"}, {}, {"tp": "8"}), FACTS, told.append)
    assert told == sorted(told)
    assert told[-1] == 4


def test_rows_timed_together_are_predicted_as_if_alone(tmp_path):
    loads = ("1", "7", "64", "5000", "max load", "max load (9 requests)")
    apart = {"disaggregated": "prefill 1x4 GPUs / decode 1x4 GPUs", "tp": "", "ep": "", "dp": ""}
    read = rows(tmp_path, *({"case_id": f"{n} {load}", "concurrency_or_batch": load, **more}
                            for load in loads for n, more in enumerate(({}, {"tp": "8"}, {"spec_decode": "mtp-2"}))),
                *({**apart, "concurrency_or_batch": load} for load in loads[:4]))
    for row, together in zip(read, compare_served(read, FACTS), strict=True):
        alone = compare_served([row], FACTS)[0]
        assert together.row is row
        assert together.figures == pytest.approx(alone.figures)
        assert together.band == alone.band
