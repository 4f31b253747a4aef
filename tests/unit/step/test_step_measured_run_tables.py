"""Tables of training runs: the three layouts, what their words mean, and why a row cannot be compared."""

import csv
import math
from datetime import date

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.step.measured.run_tables import ASSUMED_MICRO_BATCHES, MARKS, REQUIRED, read_runs
from exafleet.step.measured.training import Published, Unread
from exafleet.terms.errors import FactError

FACTS = load_facts(date(2026, 11, 23))
RUN = {"case_id": "run", "source": "NVIDIA Megatron-Bridge performance summary, container 26.04.01", "date": "2026-05",
       "source_location": "table 2", "model": "Llama-3-8B", "accelerator": "H100-SXM-80GB", "system": "", "gpus": "64",
       "precision": "bf16", "global_batch_seqs": "128", "micro_batch": "1", "grad_accum": "", "seq_len": "8192",
       "tp": "4", "pp": "2", "vp": "2", "cp": "1", "ep": "", "etp": "", "dp": "8", "sharding": "zero1",
       "recompute": "none", "other_config": "", "tokens_per_s_per_gpu": "10000", "step_time_s": "",
       "model_tflops_per_gpu": "", "hw_tflops_per_gpu": "", "mfu": "", "mfu_peak_tflops": "", "flop_convention": "",
       "notes": "", "stack": "", "layers_override": "", "heads_override": "", "kv_heads_override": "",
       "dense_first_layers_override": "", "mtp_layers_override": ""}
JOB = {"case_id": "job", "hidden": "2048", "layers": "16", "heads": "32", "kv_heads": "8", "ffn": "8192",
       "vocab": "131072", "tied": "True", "mlp_gated": "1", "accelerator": "H100-SXM-80GB", "gpus": "16",
       "micro_batch": "2", "grad_accum": "4", "seq_len": "4096", "tp": "2", "pp": "2", "dp": "4", "sharding": "zero1",
       "tokens_per_s_per_gpu": "20000", "outcome": "ok", "notes": "a note"}
SMALL = {"gpus": "4", "global_batch_seqs": "16", "micro_batch": "2", "hidden": "1024", "heads": "16", "layers": "24",
         "seq_len": "1024", "tp": "2", "dp": "1", "pp": "2", "iteration_time_s": "0.37216"}
LAYOUTS = {"train": RUN, "nanotron": JOB, "vtrain": SMALL}


def table(path, like, *changes):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(like))
        writer.writeheader()
        writer.writerows({**like, **change} for change in changes or ({},))
    return path


def one(folder, like, **change):
    found, = read_runs(table(folder / "rows.csv", like, change), FACTS)
    return found


def read(folder, like=RUN, **change):
    found = one(folder, like, **change)
    assert isinstance(found, Published), found
    return found


def why(folder, like=RUN, **change):
    found = one(folder, like, **change)
    assert isinstance(found, Unread), found
    return found.why


# ------------------------------------------------------------------------------------------------------ the layouts


def test_a_run_is_read_as_it_is_stated(tmp_path):
    row = read(tmp_path)
    assert (row.id, row.model, row.chip, row.chips, row.dtype, row.seq, row.batch) == (
        "run", "llama-3-8b", "h100-sxm", 64, "bf16", 8192, 128)
    assert row.layout == {"tp": 4, "pp": 2, "cp": 1, "mbs": 1, "vpp": 2, "ep": 1, "etp": 1, "zero": 1, "recompute": 0}
    assert (row.stack, row.release, row.task, row.options) == ("stack-megatron", "26.04", "pretrain", ("one-sided",))
    assert (row.value, row.unit, row.where, row.role, row.arch, row.changes) == (
        10000.0, "token/s", "table 2", "given", None, {})


def test_a_job_has_its_architecture_and_its_batch_is_that_of_its_micro_batches(tmp_path):
    row = read(tmp_path, JOB)
    assert (row.arch.hidden, row.arch.layers, row.arch.kv_heads, row.arch.ffn, row.arch.head_dim) == (
        2048, 16, 8, 8192, 64)
    assert (row.arch.mlp_matrices, row.arch.tied_embeddings) == (3, True)
    assert (row.batch, row.layout["zero"], row.layout["recompute"], row.stack) == (2 * 4 * 4, 1, 0, "stack-nanotron")
    plain = read(tmp_path, JOB, mlp_gated="0", tied="False", sharding="none", kv_heads="", ffn="")
    assert (plain.arch.mlp_matrices, plain.arch.tied_embeddings, plain.layout["zero"]) == (2, False, 0)
    assert (plain.arch.kv_heads, plain.arch.ffn) == (32, 4 * 2048)


def test_a_small_gpt_is_judged_by_its_iteration_time(tmp_path):
    row = read(tmp_path, SMALL)
    assert (row.value, row.unit, row.batch, row.chip, row.stack) == (
        0.37216, "s", 16, "a100-80gb-sxm", "stack-megatron-deepspeed")
    assert (row.arch.ffn, row.arch.positions, row.arch.vocab, row.layout["recompute"]) == (4096, 1024, 51200, 2)
    assert row.id == "line-2"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_missing_column_is_named_and_all_of_them_at_once(tmp_path, name):
    like = LAYOUTS[name]
    assert set(REQUIRED[name]) <= set(like)
    left = [c for c in REQUIRED[name] if c not in MARKS[name]]
    gone = left[1:4]
    with pytest.raises(FactError) as caught:
        read_runs(table(tmp_path / "rows.csv", {c: v for c, v in like.items() if c not in gone}), FACTS)
    problem, = caught.value.problems
    assert problem.where == "rows.csv:1"
    assert problem.what.endswith(f"lacks the columns {', '.join(gone)}")


@pytest.mark.parametrize(("content", "said"), [
    (b"", "empty"), (b"\n\n", "empty"), (",".join(RUN).encode(), "a header without rows"),
    ("case_id,model\n1,Zürich\n".encode("latin-1"), "not UTF-8"), (b"a,b\n1,2\n", "lacks the columns"),
])
def test_a_file_that_is_no_table_of_runs_is_refused(tmp_path, content, said):
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with pytest.raises(FactError, match=said):
        read_runs(path, FACTS)


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path):
    path = table(tmp_path / "rows.csv", RUN)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n\r\n")
    assert [r.id for r in read_runs(path, FACTS)] == ["run"]


def test_cells_missing_at_the_end_are_empty_and_cells_too_many_are_told(tmp_path):
    path = table(tmp_path / "rows.csv", RUN)
    head, line = path.read_text().splitlines()
    path.write_text(f"{head}\n{line.rstrip(',')}\n{line},stray\n{line},,\nshort,x\n")
    full, stray, blank, short = read_runs(path, FACTS)
    assert isinstance(full, Published)
    assert isinstance(stray, Unread)
    assert "stray" in stray.why
    assert isinstance(blank, Published)
    assert isinstance(short, Unread)
    assert short.id == "short"


def test_every_row_comes_back_in_its_order_whatever_is_wrong_with_it(tmp_path):
    changes = [{"case_id": str(i), **({"gpus": "no"} if i % 3 == 0 else {})} for i in range(10)]
    rows = read_runs(table(tmp_path / "rows.csv", RUN, *changes), FACTS)
    assert [r.id for r in rows] == [str(i) for i in range(10)]
    assert [isinstance(r, Unread) for r in rows] == [i % 3 == 0 for i in range(10)]
    assert [r.line for r in rows if isinstance(r, Unread)] == [2, 5, 8, 11]


# ------------------------------------------------------------------------------------ why a row cannot be compared


@pytest.mark.parametrize(("change", "said"), [
    ({"model": "Nobody-9B"}, 'unknown model "Nobody-9B"'), ({"model": ""}, "unknown model"),
    ({"accelerator": "XPU-1"}, 'unknown accelerator "XPU-1"'), ({"accelerator": "Llama-3-8B"}, "unknown accelerator"),
    ({"precision": "posit16"}, 'unknown precision "posit16"'), ({"precision": ""}, "unknown precision"),
    ({"stack": "stack-of-hay"}, 'unknown software stack "stack-of-hay"'),
    ({"tokens_per_s_per_gpu": "nan"}, "must be a positive number, got nan"),
    ({"tokens_per_s_per_gpu": "inf"}, "must be a positive number"), ({"tokens_per_s_per_gpu": "-1"}, "got -1"),
    ({"tokens_per_s_per_gpu": "0"}, "got 0"), ({"tokens_per_s_per_gpu": "fast"}, 'is no number: "fast"'),
    ({"gpus": "-64"}, "gpus must be a positive number"), ({"gpus": "6.5"}, "gpus must be a whole number"),
    ({"gpus": ""}, "gpus is not stated"), ({"gpus": "1e12"}, "gpus must be at most"),
    ({"seq_len": ""}, "seq_len is not stated"), ({"seq_len": "8k"}, 'seq_len is no number: "8k"'),
    ({"tp": "two"}, 'tp is no number: "two"'), ({"micro_batch": "0"}, "micro_batch must be a positive number"),
    ({"tp": "3", "dp": ""}, "TP x PP x CP = 6 does not divide 64"), ({"dp": "16"}, "= 128 differs from 64"),
    ({"tokens_per_s_per_gpu": ""}, "no rate, step time or FLOP/s is stated"),
    ({"global_batch_seqs": "", "tp": "", "dp": ""}, "neither the global batch nor the layout is stated"),
    ({"layers_override": "many"}, "layers_override is no number"),
    ({"other_config": "pipeline schedule V-Min"}, '"v-min" is not modelled'),
])
def test_a_run_that_cannot_be_compared_says_why(tmp_path, change, said):
    assert said in why(tmp_path, **change)


@pytest.mark.parametrize(("like", "change", "said"), [
    (JOB, {"tokens_per_s_per_gpu": "", "outcome": "oom"}, "ran out of memory"),
    (JOB, {"tokens_per_s_per_gpu": ""}, "tokens_per_s_per_gpu is not stated"),
    (JOB, {"dp": "8"}, "= 32 differs from 16"),
    (JOB, {"heads": "30"}, "heads (30) are not a multiple of kv_heads (8)"), (JOB, {"heads": "4096"}, "head_dim"),
    (JOB, {"vocab": ""}, "vocab is not stated"), (JOB, {"tp": "3"}, "does not divide 16"),
    (SMALL, {"iteration_time_s": ""}, "iteration_time_s is not stated"), (SMALL, {"gpus": "8"}, "differs from 8"),
    (SMALL, {"iteration_time_s": "nan"}, "must be a positive number"), (SMALL, {"hidden": "x"}, "hidden is no number"),
])
def test_a_job_that_cannot_be_compared_says_why(tmp_path, like, change, said):
    assert said in why(tmp_path, like, **change)


def test_the_figure_of_a_row_that_cannot_be_compared_is_kept(tmp_path):
    row = one(tmp_path, RUN, model="Nobody-9B")
    assert (row.measured, row.unit) == (10000.0, "token/s")
    row = one(tmp_path, RUN, model="Nobody-9B", tokens_per_s_per_gpu="", step_time_s="2.5")
    assert (row.measured, row.unit) == (2.5, "s")
    assert math.isnan(one(tmp_path, RUN, tokens_per_s_per_gpu="fast").measured)


# --------------------------------------------------------------------------------------------------------- figures


def test_a_rate_that_contradicts_its_step_time_gives_way_to_it(tmp_path):
    true = 128 * 8192 / 64 / 10000  # seconds of a step at the printed rate
    assert read(tmp_path, step_time_s=f"{1.01 * true}").unit == "token/s"
    contradicted = read(tmp_path, step_time_s=f"{1.10 * true}")
    assert (contradicted.unit, contradicted.value) == ("s", pytest.approx(1.10 * true))
    # Without a stated batch nothing tells which of the two is wrong.
    assert read(tmp_path, step_time_s=f"{1.10 * true}", global_batch_seqs="").unit == "token/s"


@pytest.mark.parametrize(("change", "value", "unit"), [
    ({"step_time_s": "2"}, 2.0, "s"),
    ({"model_tflops_per_gpu": "400", "flop_convention": "causal half attention"}, 400.0, "TFLOP/s causal"),
    ({"model_tflops_per_gpu": "400", "flop_convention": "full (non-causal) attention"}, 400.0, "TFLOP/s full"),
    ({"model_tflops_per_gpu": "400"}, 400.0, "TFLOP/s full"),
    ({"hw_tflops_per_gpu": "500"}, 500.0, "TFLOP/s hardware"),
    ({"mfu": "0.4", "mfu_peak_tflops": "989"}, 0.4 * 989, "TFLOP/s full"),
    ({"model_tflops_per_gpu": "400", "step_time_s": "2", "hw_tflops_per_gpu": "500"}, 2.0, "s"),
])
def test_without_a_rate_step_time_counts_then_flops_by_their_convention(tmp_path, change, value, unit):
    row = read(tmp_path, tokens_per_s_per_gpu="", **change)
    assert (row.value, row.unit) == (pytest.approx(value), unit)


def test_a_batch_that_is_not_stated_comes_from_micro_batches_or_is_assumed_and_told(tmp_path):
    told = read(tmp_path, global_batch_seqs="", grad_accum="6", micro_batch="2")
    assert (told.batch, told.note) == (8 * 2 * 6, "")
    assumed = read(tmp_path, global_batch_seqs="", micro_batch="2")
    assert assumed.batch == 8 * 2 * ASSUMED_MICRO_BATCHES
    assert "assumed" in assumed.note
    deep = read(tmp_path, global_batch_seqs="", tp="1", pp="16", vp="1", dp="4")
    assert deep.batch == 4 * 4 * 16


# ----------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize(("said", "dtype", "recipe"), [
    ("bf16", "bf16", ""), ("BF16 (pure)", "bf16", ""), ("fp16/bf16", "bf16", ""), ("bfloat16", "bf16", ""),
    ("fp8 (recipe not stated)", "fp8", ""), ("fp8-mx", "fp8", "mx"), ("MXFP8", "fp8", "mx"), ("fp8-cs", "fp8", "cs"),
    ("fp8 (torchao float8)", "fp8", "cs"), ("fp8 tensorwise", "fp8", "cs"), ("fp8-blockwise", "fp8", "block"),
    ("fp8 (delayed scaling)", "fp8", "ds"), ("nvfp4", "fp4", ""), ("int8 AQT", "int8", ""),
])
def test_precision_words(tmp_path, said, dtype, recipe):
    row = read(tmp_path, precision=said)
    assert (row.dtype, row.recipe) == (dtype, recipe)


@pytest.mark.parametrize(("said", "zero", "group"), [
    ("none", 0, 0), ("not stated", 0, 0), ("", 1, 0), ("zero1 (distributed optimizer)", 1, 0), ("zero2", 2, 0),
    ("zero2 (FSDP SHARD_GRAD_OP)", 2, 0), ("fsdp/zero3", 3, 0), ("fsdp", 3, 0), ("zero3", 3, 0), ("hsdp", 3, 8),
    ("HSDP", 3, 8), ("zero1 within groups of 8", 1, 8), ("zero1 within groups of 4 (hierarchical)", 1, 4),
    ("dp2 x fsdp32", 3, 32), ("zero1 within groups of 7", 1, 0), ("zero1 within groups of 64", 1, 0),
])
def test_sharding_words(tmp_path, said, zero, group):
    layout = read(tmp_path, sharding=said, tp="1", pp="1", vp="", dp="64").layout
    assert (layout["zero"], layout.get("group", 0)) == (zero, group)


def test_sharding_inside_slices_takes_their_number_from_the_system(tmp_path):
    more = {"tp": "1", "pp": "1", "vp": "", "dp": "64"}
    row = read(tmp_path, sharding="fsdp + dp between slices", system="4x v5p-32", **more)
    assert (row.layout["zero"], row.layout["group"]) == (3, 16)
    meshes = read(tmp_path, sharding="fsdp", other_config="ici_FSDP=16; dcn_FSDP=2", **more)
    assert meshes.layout["group"] == 32


@pytest.mark.parametrize(("said", "mode"), [
    ("", 0), ("none", 0), ("none or little (paper)", 0), ("not stated", 0), ("selective (mlp)", 1), ("minimal", 1),
    ("custom (q,k,v remat)", 1), ("save_dot_with_context", 1), ("full", 2), ("Full (repo config)", 2),
    ("qkv_proj_offloaded", 2),
])
def test_recompute_words(tmp_path, said, mode):
    assert read(tmp_path, recompute=said).layout["recompute"] == mode


def test_schedules_options_tasks_and_links_are_read_from_remarks(tmp_path):
    assert read(tmp_path, other_config="DualPipe").layout["schedule"] == 2
    assert read(tmp_path, other_config="pipeline schedule zbv", vp="1").layout["schedule"] == 1
    assert "schedule" not in read(tmp_path).layout
    assert read(tmp_path, other_config="task=LoRA").task == "lora"
    assert read(tmp_path, other_config="task=sft, packed").task == "sft"
    row = read(tmp_path, other_config="cuda graph full_iteration ; hybridep", notes="token-drop")
    assert row.options == ("graphs", "one-sided", "token-drop")
    # Where a row of Megatron-Bridge names no recipe its usual dispatcher is taken; others have only what they tell.
    assert read(tmp_path, other_config="[cfg PRETRAIN_V1]").options == ()
    assert read(tmp_path, stack="stack-pytorch").options == ()
    assert read(tmp_path, system="8-GPU nodes, 1600 Gb/s RoCE").nic_bw == 1600e9 / 8 / 8
    assert read(tmp_path, system="400 Gb/s per GPU").nic_bw == 400e9 / 8
    assert read(tmp_path, system="DGX-H100").nic_bw == 0.0


@pytest.mark.parametrize(("change", "stack"), [
    ({"stack": "stack-nemo"}, "stack-nemo"), ({"stack": "torchtitan"}, "stack-pytorch"),
    ({"source": "pytorch/torchtitan benchmarks"}, "stack-pytorch"),
    ({"source": "pytorch/torchtitan benchmarks", "other_config": "eager"}, "stack-pytorch-eager"),
    ({"source": "pytorch/torchtitan benchmarks", "stack": "MaxText"}, "stack-maxtext"),
    ({"source": "a paper of nobody"}, ""),
])
def test_the_stack_is_named_or_told_by_remark_or_source(tmp_path, change, stack):
    assert read(tmp_path, **change).stack == stack


def test_the_release_is_the_sources_or_its_date(tmp_path):
    assert read(tmp_path).release == "26.04"
    assert read(tmp_path, source="torchtitan benchmarks").release == "26.05"
    assert read(tmp_path, source="torchtitan benchmarks", date="").release == ""


# ------------------------------------------------------------------------------------------------------------ axes


def test_axes_with_one_meaning_are_filled_in_and_the_others_stay_open(tmp_path):
    bare = {"tp": "", "pp": "", "vp": "", "cp": "", "dp": "", "micro_batch": ""}
    unknown = read(tmp_path, **bare).layout
    assert unknown.keys().isdisjoint({"tp", "pp", "cp", "vpp", "mbs"})
    assert (unknown["ep"], unknown["etp"]) == (1, 1)
    sharded = read(tmp_path, **bare | {"sharding": "fsdp/zero3"}).layout
    assert [sharded[a] for a in ("tp", "pp", "cp", "vpp")] == [1, 1, 1, 1]
    tensor = read(tmp_path, **bare | {"tp": "8"}).layout
    assert [tensor[a] for a in ("tp", "pp", "cp", "vpp")] == [8, 1, 1, 1]
    chunks = read(tmp_path, **bare | {"tp": "8", "vp": "2"}).layout
    assert "pp" not in chunks
    assert chunks["vpp"] == 2


def test_interleaving_stays_open_for_stacks_whose_sources_do_not_tell(tmp_path):
    assert read(tmp_path, vp="").layout["vpp"] == 1
    assert "vpp" not in read(tmp_path, vp="", stack="stack-megatron-2021").layout
    assert read(tmp_path, vp="", pp="1", dp="16", stack="stack-megatron-2021").layout["vpp"] == 1
    assert read(tmp_path, vp="", source="Korthikanti et al. 2022", stack="stack-megatron-2021").layout["vpp"] == 1


def test_expert_ways_stay_open_unless_told_or_sharded(tmp_path):
    moe = {"model": "Mixtral-8x7B", "vp": "1"}
    assert read(tmp_path, **moe).layout.keys().isdisjoint({"ep", "etp"})
    assert read(tmp_path, **moe, ep="8").layout["etp"] == 1
    assert read(tmp_path, **moe, sharding="fsdp/zero3").layout["ep"] == 1


def test_cores_of_a_trainium_are_halves_of_a_chip(tmp_path):
    row = read(tmp_path, accelerator="Trainium1 (trn1.32xlarge)", gpus="128", tp="8", pp="4", dp="8", vp="1")
    assert (row.chip, row.layout["tp"], row.layout["pp"]) == ("trainium1", 4, 4)


def test_where_a_run_differed_from_its_model_is_kept(tmp_path):
    row = read(tmp_path, layers_override="16", heads_override="16", mtp_layers_override="1")
    assert row.changes == {"layers": 16, "heads": 16, "mtp_layers": 1}
