"""Tables of measured memory: what is read, what is refused with a reason, and peaks beside what a run needs."""

import csv
import math
from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.step.measured.memory_tables import GIB, JOBS, compare_memory, parts_of, read_memory
from exafleet.step.measured.peaks import FILE, MemoryRow
from exafleet.step.measured.training import Unread
from exafleet.terms.errors import FactError

FACTS = load_facts(date(2026, 11, 23))
JOB = {"case_id": "one", "hidden": "2048", "layers": "16", "heads": "32", "kv_heads": "32", "ffn": "8192",
       "vocab": "131072", "tied": "True", "mlp_gated": "1", "accelerator": "H100-SXM-80GB", "gpus": "8",
       "micro_batch": "2", "grad_accum": "16", "seq_len": "4096", "tp": "1", "pp": "1", "dp": "8", "sharding": "none",
       "peak_mem_gb": "25.07", "outcome": "ok"}
RUN = {"case_id": "run", "model": "Llama-3-8B", "accelerator": "H100-SXM-80GB", "gpus": "8", "precision": "bf16",
       "global_batch_seqs": "16", "micro_batch": "2", "seq_len": "8192", "tp": "1", "pp": "1", "cp": "1",
       "sharding": "fsdp/zero3", "recompute": "selective", "source": "torchtitan", "tokens_per_s_per_gpu": "5762",
       "peak_mem_gib": "70"}


def table(path, like, *changes):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(like))
        writer.writeheader()
        writer.writerows({**like, **change} for change in changes)
    return path


def test_the_columns_of_jobs_are_those_that_are_asked_for():
    assert set(JOBS) <= set(JOB)


def test_a_job_is_read_with_its_shape_and_layout(tmp_path):
    row = read_memory(table(tmp_path / "jobs.csv", JOB, {}), FACTS)[0]
    assert isinstance(row, MemoryRow)
    assert (row.arch.hidden, row.arch.layers, row.arch.ffn, row.arch.tied_embeddings) == (2048, 16, 8192, True)
    assert (row.batch, row.layout["dp"], row.layout["zero"], row.hbm_bytes) == (2 * 16 * 8, 8, 0, 80e9)
    assert row.peak == pytest.approx(25.07 * GIB)


def test_blanks_of_a_shape_are_taken_from_its_likes_unless_they_disagree(tmp_path):
    blank = {"case_id": "oom", "kv_heads": "", "ffn": "", "tied": "", "peak_mem_gb": "", "outcome": "oom"}
    same = read_memory(table(tmp_path / "a.csv", JOB, {"kv_heads": "8"}, blank), FACTS)[1]
    assert isinstance(same, MemoryRow)
    assert (same.arch.kv_heads, same.arch.ffn, same.arch.tied_embeddings) == (8, 8192, True)
    apart = read_memory(table(tmp_path / "b.csv", JOB, {"kv_heads": "8"}, {}, blank), FACTS)[2]
    assert isinstance(apart, MemoryRow)
    assert apart.arch.kv_heads == apart.arch.heads


@pytest.mark.parametrize(("like", "more", "said"), [
    (JOB, {"outcome": "maybe"}, 'outcome is "maybe"'), (JOB, {"sharding": "mirror"}, 'sharding "mirror"'),
    (JOB, {"hidden": "wide"}, "hidden is no number"), (JOB, {"peak_mem_gb": "-1"}, "must be a positive number"),
    (JOB, {"gpus": "16"}, "differs from 16"), (JOB, {"heads": "30", "kv_heads": "8"}, "not a multiple"),
    (JOB, {"grad_accum": "1000000000"}, "sequences"), (JOB, {"accelerator": "XPU"}, "XPU"),
    (RUN, {"peak_mem_gib": ""}, "no peak memory"),
    (RUN, {"peak_mem_gib": "lots"}, "peak_mem_gib is no number"), (RUN, {"model": "Nobody-9B"}, 'model "Nobody-9B"'),
])
def test_a_row_that_cannot_be_compared_says_why_and_the_others_are(tmp_path, like, more, said):
    found = read_memory(table(tmp_path / "rows.csv", like, more, {"case_id": "good"}), FACTS)
    assert isinstance(found[0], Unread)
    assert said in found[0].why
    bad, good = compare_memory(found, FACTS)
    assert (bad.id, good.id) == (like["case_id"], "good")
    assert bad.fits is None
    assert math.isnan(bad.predicted)
    assert good.predicted > 0


def test_a_file_that_is_no_table_of_memory_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    for content, said in ((b"a,b\n1,2\n", "lacks the columns"), (b"", "empty"), (b"a,b\n", "without rows")):
        path.write_bytes(content)
        with pytest.raises(FactError, match=said):
            read_memory(path, FACTS)


def test_a_job_that_ran_out_has_a_need_and_no_peak(tmp_path):
    """A 70B model whole on one accelerator of 80 GB: 140 GB of weights alone."""
    large = {"hidden": "8192", "layers": "80", "heads": "64", "kv_heads": "8", "ffn": "28672", "tied": "False",
             "peak_mem_gb": "", "outcome": "oom"}
    found = compare_memory(read_memory(table(tmp_path / "jobs.csv", JOB, large, {}), FACTS), FACTS)
    assert found[0].fits is False
    assert math.isnan(found[0].measured)
    assert found[0].needed > 2 * 70e9
    assert found[1].fits is True


def test_parts_of_a_run_add_up_to_what_it_needs(tmp_path):
    row = read_memory(table(tmp_path / "jobs.csv", JOB, {}), FACTS)[0]
    assert isinstance(row, MemoryRow)
    assert float(parts_of(row, FACTS).total) == pytest.approx(compare_memory([row], FACTS)[0].needed)


def test_rows_of_the_package_are_compared_one_by_one():
    rows = read_memory(FILE, FACTS)
    found = compare_memory(rows, FACTS)
    assert [c.id for c in found] == [r.id for r in rows]
    assert all(c.why or c.predicted > 0 for c in found)
    alone = compare_memory(rows[-1:], FACTS)[0]
    assert alone.predicted == pytest.approx(found[-1].predicted)
