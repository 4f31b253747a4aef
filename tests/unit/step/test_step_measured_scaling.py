"""Series of runs: what is read, what is refused with a reason, and efficiency against the smallest size."""

import csv
import math
from collections import defaultdict
from dataclasses import replace

import pytest

from exafleet.step.measured.scaling import FILE, MLPERF, RUN, STEP, Member, read_scaling, scaled
from exafleet.step.measured.training import Compared, Published, Unread
from exafleet.terms.errors import FactError

LIKE = {"row_id": "T1", "round": "v5.0", "submitter": "NVIDIA", "accelerator": "NVIDIA H100-SXM5-80GB",
        "n_accel": "512", "benchmark": "Llama 3.1 405B pretraining", "global_batch": "1152", "seq_len": "8192",
        "precision": "FP8",
        "tp": "8", "pp": "8", "cp": "2", "vp": "8", "micro_batch": "1", RUN: "319.6", STEP: "334.3"}


def table(path, *rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, MLPERF)
        writer.writeheader()
        writer.writerows({**LIKE, **more} for more in rows)
    return path


def test_the_package_has_series_of_several_sizes_from_named_sources():
    found = read_scaling()
    assert all(isinstance(m.row, Published) for m in found)
    assert len({m.row.id for m in found}) == len(found) > 30
    sizes = defaultdict(set)
    for m in found:
        sizes[m.series].add(m.chips)
    assert all(len(some) > 1 for some in sizes.values())
    assert {"h100-sxm", "h200-sxm", "gb200-gpu", "tpu-v5p", "tpu-v6e"} == {m.row.chip for m in found}
    with FILE.open(encoding="utf-8", newline="") as file:
        assert all(c["source"] and c["where"] and c["date"] and c["unit"] == "token/s" for c in csv.DictReader(file))


def test_the_series_scale_as_published():
    """Relative throughput of 405B on H100 as MLPerf v5.0 results give it: 2,048, 2,432, 2,560 and 8,192 of 512."""
    eos = [m for m in read_scaling() if m.series.startswith("Llama 3.1 405B on h100-sxm")]
    by_size = {m.chips: m.row.value for m in eos}
    kept = {n: by_size[n] / by_size[512] for n in by_size}
    assert kept == pytest.approx({512: 1, 2048: 0.969, 2432: 0.964, 2560: 0.960, 8192: 0.887}, abs=6e-4)


def test_a_submission_is_read_with_its_layout(tmp_path):
    found = read_scaling(table(tmp_path / "m.csv", {}))[0]
    assert isinstance(found.row, Published)
    assert (found.row.chip, found.row.model, found.row.dtype, found.chips) == ("h100-sxm", "llama-3.1-405b", "fp8", 512)
    assert {a: found.row.layout[a] for a in ("tp", "pp", "cp", "vpp", "mbs")} == {
        "tp": 8, "pp": 8, "cp": 2, "vpp": 8, "mbs": 1}
    assert found.row.value == 334.3


def test_a_series_is_compared_on_one_basis(tmp_path):
    """Where one size lacks a logged step time, whole runs are compared, or efficiency would mix two measurements."""
    found = read_scaling(table(tmp_path / "m.csv", {}, {"row_id": "T2", "n_accel": "1024", STEP: ""},
                               {"row_id": "T3", "submitter": "Other"}))
    assert [m.row.value for m in found] == [319.6, 319.6, 334.3]


@pytest.mark.parametrize(("more", "said"), [
    ({"accelerator": "XPU"}, 'accelerator "XPU"'), ({"benchmark": "Llama 2 70B LoRA"}, "fine-tuning"),
    ({"benchmark": "BERT"}, 'benchmark "BERT"'), ({"precision": "FP8 or NVFP4"}, "ambiguous precision"),
    ({"n_accel": "many"}, "n_accel is no number"), ({"seq_len": ""}, "seq_len is not stated"),
    ({STEP: "nan"}, "must be a positive number"), ({STEP: "-3"}, "must be a positive number"),
])
def test_a_row_that_cannot_be_compared_says_why(tmp_path, more, said):
    bad, good = read_scaling(table(tmp_path / "m.csv", more, {"row_id": "T2"}))
    assert isinstance(bad.row, Unread)
    assert said in bad.row.why
    assert isinstance(good.row, Published)


def test_a_file_that_is_no_table_of_series_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(FactError, match="lacks the columns"):
        read_scaling(path)
    path.write_text(",".join(MLPERF) + "\n", encoding="utf-8")
    with pytest.raises(FactError, match="without rows"):
        read_scaling(path)


def run(name, measured, predicted):
    return Compared(row=None, id=name, measured=measured, unit="token/s", predicted=predicted, low=math.nan,
                    high=math.nan, why="")


def member(name, series, chips):
    row = Unread(id=name, line=1, why="", measured=1.0, unit="token/s")
    return Member(row=row, series=series, chips=chips, role="")


def test_efficiency_is_against_the_smallest_size_whatever_the_order():
    members = [member("b", "s", 1024), member("a", "s", 512), member("alone", "t", 512), member("c", "s", 512)]
    runs = [run("b", 90.0, 99.0), run("a", 100.0, 110.0), run("alone", 5.0, 5.0), run("c", 101.0, 1.0)]
    big, small, alone, same = scaled(members, runs)
    assert (small.measured, small.predicted, small.smallest) == (1.0, 1.0, True)
    assert (big.measured, big.predicted, big.smallest) == (pytest.approx(0.9), pytest.approx(0.9), False)
    assert math.isnan(alone.measured)
    assert same.measured == pytest.approx(1.01)
    assert not same.smallest


def test_efficiency_does_not_depend_on_the_level_of_throughput():
    members = [member(str(n), "s", n) for n in (8, 16, 64)]
    runs = [run(str(n), 100.0 / n, 90.0 / math.sqrt(n)) for n in (8, 16, 64)]
    faster = [replace(r, measured=3 * r.measured, predicted=7 * r.predicted) for r in runs]
    for a, b in zip(scaled(members, runs), scaled(members, faster), strict=True):
        assert (a.measured, a.predicted) == (pytest.approx(b.measured), pytest.approx(b.predicted))
