"""Calibration from points to facts without a device: points come from known curves; PyTorch runs in another file."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from exafleet.apps import calibrate
from exafleet.apps.calibrate_rows import Row, Target, curves, in_range
from exafleet.apps.calibrate_session import Session
from exafleet.apps.main import app
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import chip
from exafleet.ops import fit
from exafleet.ops.collective import Channel
from exafleet.ops.efficiency import Attention, Moving, Product, efficiency
from exafleet.ops.measure import Machine, Point, attention_cases, memory_cases, product_cases
from exafleet.ops.roofline import attention_time, grouped_time, memory_time, product_time

GPU = Machine(kind="cuda", device="cuda:0", name="NVIDIA H100 80GB HBM3", torch="2.13.0", driver="580.1 (CUDA 13.0)",
              count=8, nbytes=85e9)
OTHER = Machine(kind="cuda", device="cuda:0", name="Unheard-of X1", torch="2.13.0", driver="1", count=8, nbytes=64e9)
RATES = {"bf16": 989e12, "hbm_bw": 3.35e12, "link_bw": 450e9}
SLOW = Product(launch=4e-6, compute=0.42, memory=0.8, corner=4.0, m0=20.0, n0=50.0, k0=100.0, grouped=0.6)
FLASH = Attention(launch=7e-6, top=0.35, half=900.0, backward=0.7, width=40.0)
COPY = Moving(launch=3e-6, share=0.7)
WIRE = Channel(bandwidth=200e9, latency=5e-6, half=3e6)
TODAY = "2026-10-01"


def run(*words: str):
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, list(words))


def points(machine: Machine) -> list[Point]:
    """What a machine with these curves would give, with 2 % of noise."""
    rng = np.random.default_rng(4)
    peak, hbm = RATES["bf16"], RATES["hbm_bw"]
    found = []
    for case in product_cases(machine, "bf16", peak, hbm, quick=False):
        s = case.sizes
        form = grouped_time if case.group == "grouped" else product_time
        time = form(s["m"], s["n"], s["k"], s["nbytes"], peak=peak, hbm_bw=hbm, curve=SLOW, groups=s["groups"])
        found.append((case.group, case.at, s, time))
    for case in attention_cases(machine, "attention", peak, hbm, quick=False):
        s = case.sizes
        time = attention_time(s["flops"], 0.0, s["seq"], peak=peak, hbm_bw=hbm, curve=FLASH, moving=COPY,
                              backward=s["backward"] > 0, head=s["values"])
        found.append((case.group, case.at, s, time))
    found += [(c.group, c.at, c.sizes, memory_time(c.sizes["nbytes"], hbm_bw=hbm, curve=COPY))
              for c in memory_cases(machine, hbm, quick=False)]
    for kind in ("all_gather", "reduce_scatter", "all_reduce", "all_to_all", "p2p"):
        for nbytes in 2.0 ** np.arange(13, 30, 2):
            ranks = 2 if kind == "p2p" else machine.count
            time = fit.collective_time(np.array([nbytes]), kind, ranks, WIRE)[0]
            found.append(("collective", kind, {"nbytes": nbytes, "ranks": float(ranks)}, time))
    return [Point(group=g, at=a, sizes=s, time=float(t * np.exp(rng.normal(0, 0.02))), spread=0.02, runs=9)
            for g, a, s, t in found]


@pytest.fixture
def on(monkeypatch):
    """Calibrates on a made-up machine, whose measurements are the points above."""
    def use(machine: Machine, *, stop: bool = False, only: tuple[str, ...] = ()) -> None:
        def measured(self: Session) -> None:
            self.points += [p for p in points(machine) if not only or p.group in only]
            if stop:
                raise KeyboardInterrupt

        monkeypatch.setattr(calibrate, "_machine", lambda device, problems: machine)
        monkeypatch.setattr(Session, "run", measured)

    return use


def test_without_pytorch_the_remedy_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("calibrate", "--out", str(tmp_path / "a.csv"), "--only", "gem")
    assert done.exit_code == 2
    assert "needs PyTorch" in done.stderr
    assert "exafleet[calibrate]" in done.stderr
    assert "--only: no such group" in done.stderr  # every mistake at once
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [
    "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H100 NVL", "NVIDIA H200", "NVIDIA B200", "NVIDIA GB200",
    "NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-40GB", "NVIDIA A100 80GB PCIe", "NVIDIA L40S", "NVIDIA L4",
    "NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 5090", "AMD Instinct MI300X", "NVIDIA GB300"])
def test_devices_are_known_by_the_names_they_give_themselves(name):
    facts, problems = load_facts(calibrate_day()), []
    here = Machine(kind="cuda", device="cuda:0", name=name, torch="", driver="", count=1, nbytes=1e9)
    found = calibrate._chip(facts, here, None, problems)
    assert problems == []
    assert found in facts.subjects.by_id
    assert facts.subjects.by_id[found].kind == "chip"


def calibrate_day():
    from datetime import date

    return date.max


def test_an_unknown_device_must_be_told_its_peak(on, tmp_path):
    on(OTHER)
    done = run("calibrate", "--out", str(tmp_path / "x.csv"), "--peak", "bf16=2 TB", "--set", "price=3 GW")
    assert done.exit_code == 2
    for said in ("--peak", "--hbm-bw", '"Unheard-of X1" is not known', "--set: not a term"):
        assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_known_chip_gets_facts_that_move_the_answer(on, tmp_path):
    on(GPU)
    file = tmp_path / "h100.csv"
    done = run("calibrate", "--out", str(file), "--date", TODAY, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["h100.csv"]
    facts = load_facts(calibrate_day(), own=(file,))
    eff = efficiency(facts, chip(facts, "h100-sxm"))
    assert eff.product["bf16"].compute == pytest.approx(SLOW.compute, rel=0.05)
    assert eff.product["bf16"].grouped == pytest.approx(SLOW.grouped, rel=0.08)
    assert eff.attention.top == pytest.approx(FLASH.top, rel=0.06)
    assert eff.moving.share == pytest.approx(COPY.share, rel=0.05)
    assert facts.value("h100-sxm.link_share@all_reduce") == pytest.approx(WIRE.bandwidth / RATES["link_bw"], rel=0.1)
    # The same question, with and without the table: products at half of what the package has take longer.
    ask = ("train", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--format", "json")
    before, after = (json.loads(run(*ask, *more).stdout) for more in ((), ("--facts", str(file))))
    assert after["tokens_per_s"] < 0.75 * before["tokens_per_s"]
    shown = json.loads(run("facts", "show", "h100-sxm.product_compute@bf16", "--facts", str(file), "--format",
                           "json").stdout)["facts"][0]
    assert shown["source"] == "exafleet calibrate"
    assert shown["where"].startswith("exafleet calibrate on NVIDIA H100 80GB HBM3, torch 2.13.0, driver 580.1")
    for command in (("serve", "llama-3-8b", "--system", "hgx-h100"),
                    ("compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h200", "--gpus", "8")):
        one, other = (run(*command, "--format", "json", *more).stdout for more in ((), ("--facts", str(file))))
        assert one != other


def test_facts_of_a_day_before_the_calibration_do_not_see_it(on, tmp_path):
    on(GPU)
    file = tmp_path / "h100.csv"
    assert run("calibrate", "--out", str(file), "--date", TODAY).exit_code == 0
    key = "h100-sxm.product_compute@bf16"
    then, now = (json.loads(run("facts", "show", key, "--facts", str(file), "--as-of", day, "--format", "json").stdout)
                 for day in ("2026-09-30", TODAY))
    assert "calibrate" not in json.dumps(then)
    assert "calibrate" in json.dumps(now)


def test_an_unknown_chip_becomes_a_system_that_can_be_planned_with(on, tmp_path):
    on(OTHER)
    file = tmp_path / "x.csv"
    words = ["calibrate", "--out", str(file), "--date", TODAY, "--subject", "x1", "--peak", "bf16=989 TFLOP/s",
             "--hbm-bw", "3.35 TB/s", "--link-bw", "450 GB/s"]
    first = run(*words)
    assert first.exit_code == 0, first.stderr
    assert "still lacks liquid, power_max, racks, tdp" in " ".join(first.stdout.split())
    again = run(*words)
    assert again.exit_code == 2
    assert "exists already" in again.stderr
    told = ("--set", "tdp=700 W", "--set", "power_max=9 kW", "--set", "liquid=0", "--set", "racks=0.1")
    assert run(*words, *told, "--force").exit_code == 0
    subjects = tmp_path / "x-subjects.csv"
    named = ("--facts", str(file), "--facts", str(subjects))
    done = run("train", "llama-3-8b", "--system", "x1-8", "--gpus", "8", *named)
    assert done.exit_code == 0, done.stderr
    assert "8 accelerators of machine of 8 x Unheard-of X1" in done.stdout
    checked = run("facts", "check", str(file), str(subjects))
    assert checked.exit_code == 0, checked.stderr
    assert 'x1,attention_top,mla' in file.read_text(encoding="utf-8")


def test_best_takes_the_best_measured_and_says_so(on, tmp_path):
    on(OTHER)
    file = tmp_path / "x.csv"
    done = run("calibrate", "--out", str(file), "--subject", "x1", "--peak", "best", "--hbm-bw", "best", "--link-bw",
               "best", "--date", TODAY)
    assert done.exit_code == 0, done.stderr
    facts = load_facts(calibrate_day(), own=(file, tmp_path / "x-subjects.csv"))
    fastest = max(p.sizes["flops"] / p.time for p in points(OTHER) if "flops" in p.sizes)
    assert facts.value("x1.peak_flops@bf16") == pytest.approx(fastest, rel=0.01)
    assert "no datasheet peak was given" in facts.get("x1.hbm_bw").note
    assert 0.8 < facts.value("x1.moving_share@elementwise") <= 1.5


@pytest.mark.parametrize(("keep", "left"), [(False, []), (True, ["h100.csv"])])
def test_ctrl_c_writes_only_when_asked(on, tmp_path, keep, left):
    on(GPU, stop=True, only=("product", "moving"))
    done = run("calibrate", "--out", str(tmp_path / "h100.csv"), "--date", TODAY, *(["--keep"] if keep else []))
    assert done.exit_code == 130
    assert sorted(p.name for p in tmp_path.iterdir()) == left
    assert ("is in" in done.stderr) is keep
    assert ("nothing was written" in done.stderr) is not keep


def test_an_existing_table_is_left_alone(on, tmp_path):
    on(GPU)
    file = tmp_path / "h100.csv"
    file.write_text("mine")
    done = run("calibrate", "--out", str(file))
    assert done.exit_code == 2
    assert "--force" in done.stderr
    assert file.read_text() == "mine"


def test_nothing_is_written_where_no_curve_can_be_fitted(on, tmp_path):
    on(GPU, only=("nothing",))
    done = run("calibrate", "--out", str(tmp_path / "h100.csv"))
    assert done.exit_code == 2
    assert "nothing could be fitted" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_curve_out_of_range_is_left_out_whole():
    target = Target(chip="x", name="x", known=True, rates={"bf16": 1e12, "hbm_bw": 3.35e9}, best=frozenset())
    found = curves([p for p in points(GPU) if p.group == "moving"], target)
    assert found.rows == []  # against a thousandth of the bandwidth every share is far above 1
    assert {p.where for p in found.refused} == {"moving_share@elementwise", "moving_share@decode"}


def test_few_points_are_told_and_the_other_curves_written():
    target = Target(chip="x", name="x", known=True, rates=RATES, best=frozenset())
    many = points(GPU)
    found = curves([p for p in many if p.group != "product"] + [p for p in many if p.group == "product"][:6], target)
    assert not any(r.term.startswith("product") for r in found.rows)
    assert any("too few points" in p.what for p in found.refused)
    assert {c.name for c in found.curves} == {"attention", "memory", "collective"}


def test_the_curve_of_training_follows_and_that_of_another_recipe_does_not():
    known = ("bf16", "bf16_train", "bf16_block_train", "fp8_train")
    found = curves(points(GPU), Target(chip="x", name="x", known=True, rates=RATES, best=frozenset(), variants=known))
    by = {at: {r.term: r.value for r in found.rows if r.at == at} for at in known}
    assert by["bf16"] == by["bf16_train"]
    assert "product_grouped" in by["bf16"]
    assert by["bf16_block_train"] == by["fp8_train"] == {}


def test_rows_out_of_the_range_of_their_term_are_told():
    good, refused = Row(term="tdp", value=700.0), []
    assert in_range([Row(term="tdp", value=1e9), good], refused) == [good]
    assert refused[0].where == "tdp"


def test_the_table_is_the_one_the_docs_describe(on, tmp_path):
    on(GPU)
    file = Path(tmp_path / "h100.csv")
    run("calibrate", "--out", str(file), "--date", TODAY)
    header, first = file.read_text(encoding="utf-8").splitlines()[:2]
    assert header == "subject,term,at,value,low,high,unit,kind,source,where,as_of,note"
    assert "spread" in first
    assert "fit error" in first
