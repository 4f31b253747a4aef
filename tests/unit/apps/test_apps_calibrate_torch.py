"""Calibration with PyTorch itself, on the processor: real kernels, and two real processes that talk over gloo."""

import json
import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import chip, system
from exafleet.ops.collective import KINDS, fabric
from exafleet.ops.efficiency import efficiency
from exafleet.ops.measure import Case, Clock, Point, attention_cases, columns, machine, measure
from exafleet.ops.measure_net import RanksFailed, collective_points

pytest.importorskip("torch", reason="PyTorch is the optional extra `calibrate`")
pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[3]
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"
TOLD = ("--set", "tdp=60 W", "--set", "power_max=200 W", "--set", "liquid=0", "--set", "racks=0.02")


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock(machine("cpu"), quick=True)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """`exafleet calibrate` on two processes of this machine, and the folder with what it wrote."""
    folder = tmp_path_factory.mktemp("calibrated")
    words = ["calibrate", "--device", "cpu", "--quick", "--ranks", "2", "--subject", "this-cpu", "--peak", "best",
             "--hbm-bw", "best", "--link-bw", "best", "--out", "cpu.csv", "--date", "2026-10-01", "--budget", "4 min",
             "--format", "json", *TOLD]
    done = subprocess.run([sys.executable, "-c", ENTRY, *words], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_every_group_was_measured(calibrated):
    _, data = calibrated
    groups = {p["group"] for p in data["points"]}
    assert {"product", "grouped", "attention", "moving", "optimizer", "collective"} <= groups
    assert {p["at"] for p in data["points"] if p["group"] == "collective"} == set(KINDS)
    assert {p["backward"] for p in data["points"] if p["group"] == "attention"} == {0.0, 1.0}
    assert all(p["time"] > 0 and p["runs"] >= 3 and p["spread"] >= 0 for p in data["points"])
    assert 0 < data["host_launch"] < 0.01


def test_larger_work_takes_longer(calibrated):
    """A law no noise of a busy machine breaks: a hundred times the work is not faster."""
    _, data = calibrated
    for group, size in (("product", "flops"), ("moving", "nbytes"), ("collective", "nbytes")):
        some = sorted((p[size], p["time"]) for p in data["points"] if p["group"] == group and p["at"] != "decode")
        assert some[-1][0] >= 100 * some[0][0]
        assert some[-1][1] > some[0][1]


def test_the_tables_can_be_read_and_used(calibrated):
    folder, data = calibrated
    facts = load_facts(date.max, own=(folder / "cpu.csv", folder / "cpu-subjects.csv"))
    here = chip(facts, "this-cpu")
    assert here.peak_flops["bf16"] == pytest.approx(data["rates"]["bf16"], rel=1e-3)
    assert facts.get("this-cpu.hbm_bw").where.startswith("exafleet calibrate on ")
    assert "torch 2." in facts.get("this-cpu.hbm_bw").where
    assert system(facts, "this-cpu-2").chips == 2
    written = {(f["term"], f["at"]) for f in data["facts"]}
    assert (("moving_share", "elementwise") in written) or data["refused"]
    if not data["refused"]:
        assert efficiency(facts, here).moving.share > 0
        assert fabric(facts, system(facts, "this-cpu-2")).link["all_reduce"].bandwidth > 0


def test_attention_backward_takes_longer_than_forward(clock):
    cases = [c for c in attention_cases(clock.machine, "attention", 1e9, 1e10, quick=True) if c.sizes["seq"] == 96]
    found = list(measure(clock, cases, deadline=time.monotonic() + 60, told=lambda case: None, skipped=[]))
    forward, backward = ([p for p in found if p.sizes["backward"] == way] for way in (0.0, 1.0))
    assert sum(columns(backward, "time")[0]) > sum(columns(forward, "time")[0])


def test_a_case_the_device_refuses_is_told_and_the_next_one_runs(clock):
    def refuse(torch, device):
        return torch.ones(2, 3) @ torch.ones(2, 3)

    def fine(torch, device):
        one = torch.ones(8)
        return lambda: one + one

    cases = [Case(group="product", at="bf16", sizes={"m": 2}, ideal=0.0, make=make) for make in (refuse, fine)]
    skipped: list[str] = []
    found = list(measure(clock, cases, deadline=time.monotonic() + 30, told=lambda case: None, skipped=skipped))
    assert len(found) == len(skipped) == 1
    assert "product bf16" in skipped[0]
    late = list(measure(clock, cases, deadline=time.monotonic() - 1, told=lambda case: None, skipped=skipped))
    assert late == []
    assert "no time was left" in skipped[-1]


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(ValueError, match="cpu"):
        machine("tpu:0")


def test_ranks_end_with_their_parent_and_say_what_went_wrong():
    points = collective_points("cpu", 2, deadline=time.monotonic() + 60, quick=True)
    first = next(points)
    assert isinstance(first, Point)
    points.close()  # as Ctrl-C does: no process may stay behind
    import multiprocessing

    assert multiprocessing.active_children() == []
    with pytest.raises(RanksFailed):
        list(collective_points("cuda", 2, deadline=time.monotonic() + 30, quick=True))
