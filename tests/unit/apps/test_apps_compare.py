"""`exafleet compare`: one word for all systems or one for each, and the ratio of two along the latency curve."""

import json

import pytest
from typer.testing import CliRunner

from exafleet.apps.compare_curve import TPOTS
from exafleet.apps.main import app

ASKED = ["compare", "gpt-moe-1.8t", "--systems", "hgx-h100,gb200-nvl72", "--gpus", "64,72", "--dtype", "fp8,fp4",
         "--kv-dtype", "fp8", "--input", "32768", "--output", "1024", "--ttft", "5 s", "--curve"]


def run(*words):
    return CliRunner(env={"COLUMNS": "140"}).invoke(app, list(words))


@pytest.fixture(scope="module")
def told():
    done = run(*ASKED, "--format", "json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_each_system_has_its_own_pool_and_format(told):
    assert [(s["system"], s["gpus"], s["dtype"]) for s in told["sides"]] == [
        ("hgx-h100", 64, "fp8"), ("gb200-nvl72", 72, "fp4")]


def test_the_curve_has_every_target_and_the_one_asked(told):
    assert len(told["curve"]) == len(TPOTS)
    assert told["tpot"] in [r["tpot"] for r in told["curve"]]
    for side in ("base", "over"):
        rates = [r[side]["tokens_per_s_per_gpu"] or 0 for r in told["curve"]]
        assert rates == sorted(rates)


def test_ratio_and_pieces_agree_with_the_rates(told):
    base, over = (s["tokens_per_s_per_gpu"] for s in told["sides"])
    if told["point"]["ratio"] is None:
        assert not (base and over)
        return
    assert told["point"]["ratio"] == pytest.approx(over / base)
    product = 1.0
    for piece in told["split"]:
        product *= piece["factor"]
    assert not told["split"] or product == pytest.approx(over / base)


def test_what_does_not_fit_is_told_at_its_size(told):
    assert [p["gpus"] for p in told["pools"]] == [8, 16, 32, 64]
    assert told["pools"][0]["why"] == "does not fit in memory"
    assert told["pools"][0]["tokens_per_s_per_gpu"] is None


def test_published_figures_stand_beside_and_enter_nothing(told):
    assert {p["source"] for p in told["published"]} >= {"nvidia-gpt-moe", "nvidia-hgx-claim", "inferencex-v2"}


def test_tables_name_the_target_the_band_and_the_pieces():
    done = run("compare", "llama-3-8b", "--systems", "hgx-h100,hgx-b200", "--gpus", "8", "--curve")
    assert done.exit_code == 0, done.output
    for words in ("80 % band", "Along the latency curve", "What the ratio is made of", "If the model has another shape",
                  "What others say"):
        assert words in done.stdout


def test_one_system_in_two_formats_is_told_apart():
    done = run("compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h100", "--gpus", "8", "--dtype", "bf16,fp8",
               "--curve")
    assert done.exit_code == 0, done.output
    assert "hgx-h100 bf16" in done.stdout
    assert "hgx-h100 fp8" in done.stdout


def test_a_chip_without_the_format_is_told_and_is_no_ratio():
    done = run(*ASKED[:6], "--dtype", "fp4,fp4", *ASKED[8:])
    assert done.exit_code == 0
    assert "No ratio at the target. hgx-h100 in fp4: the chip has no hardware for this data type" in done.stdout


@pytest.mark.parametrize(("change", "said"), [
    (["--systems", "hgx-h100"], "a curve takes two systems"),
    (["--systems", "hgx-h100,hgx-h200,hgx-b200"], "2 words for 3 systems"),
    (["--dtype", "fp8,fp7,fp9"], "3 words for 2 systems"),
    (["--dtype", "fp8,fp7"], "no such number format; got 'fp7'"),
    (["--gpus", "8..16"], "numbers, not ranges"),
    (["--gpus", "0"], "not a range of whole numbers from 1"),
    (["--tpot", "0 ms"], "must be more than zero"),
])
def test_bad_words_are_told(change, said):
    asked = ["compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h200", "--gpus", "8,8", "--curve"]
    if "--systems" in change and "," not in change[1]:
        asked[5] = "8"
    done = run(*asked, *change)
    assert done.exit_code == 2
    assert said in done.stderr


def test_training_and_serving_take_a_pool_for_each_system():
    for extra in ([], ["--serve", "--dtype", "fp8"]):
        done = run("compare", "llama-3-8b", "--systems", "hgx-h100,hgx-h200", "--gpus", "8,16", *extra,
                   "--format", "json")
        assert [s["gpus"] for s in json.loads(done.stdout)["systems"]] == [8, 16]
