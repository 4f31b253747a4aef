"""`exafleet serve`: both kinds of deployment, demands, cost and energy that add up, and every mistake told at once."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app
from exafleet.apps.serve_report import thinned

H200 = ("llama-3-70b", "--system", "hgx-h200", "--dtype", "fp8", "--kv-dtype", "fp8")


def run(*words):
    return CliRunner().invoke(app, ["serve", *words])


def figures(*words):
    done = run(*words, "--format", "json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_replicas_that_do_both_are_told_with_their_memory():
    d = figures(*H200, "--gpus", "16", "--mode", "aggregated")
    assert d["kind"] == "aggregated"
    assert d["replicas"] * d["replica_gpus"] <= 16
    assert sum(d["token_parts"].values()) == pytest.approx(d["tpot"])
    assert sum(d["first_parts"].values()) == pytest.approx(d["ttft"])
    assert sum(d["memory_parts"].values()) == pytest.approx(d["memory"])
    assert [k["kind"] for k in d["kinds"]] == ["aggregated"]


def test_two_pools_are_told_with_the_memory_of_each():
    d = figures(*H200, "--gpus", "16", "--mode", "disaggregated")
    assert d["kind"] == "disaggregated"
    for side in ("prefill", "decode"):
        assert sum(d[side]["memory_parts"].values()) == pytest.approx(d[side]["memory"])
        assert d[side]["memory"] < d["memory_of_chip"]
    used = sum(d[side]["replicas"] * d[side]["replica_gpus"] for side in ("prefill", "decode"))
    assert used <= 16
    assert d["first_parts"]["transfer"] > 0
    assert 0 < d["prefill"]["busy"] <= 1
    assert sum(d["first_parts"].values()) == pytest.approx(d["ttft"])


def test_both_kinds_give_the_better_one_and_a_common_front():
    d = figures(*H200, "--gpus", "32", "--isl", "4000")
    rates = {k["kind"]: k["tokens_per_s"] for k in d["kinds"]}
    assert d["tokens_per_s"] == max(rates.values())
    assert rates[d["kind"]] == d["tokens_per_s"]
    assert {f["kind"] for f in d["front"]} == {"aggregated", "disaggregated"}
    assert d["front"][0]["tokens_per_s_per_gpu"] >= d["tokens_per_s_per_gpu"]


def test_the_old_names_of_the_lengths_still_work():
    assert figures(*H200, "--isl", "2000", "--osl", "300") == figures(*H200, "--input", "2000", "--output", "300")


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated", "both"])
def test_a_demand_is_carried_by_the_fewest_accelerators(mode):
    d = figures(*H200, "--rate", "9 requests/s", "--osl", "500", "--mode", mode)
    assert d["demand"] == 4500
    assert d["tokens_per_s"] >= 4500 * (1 - 1e-6)
    assert d["gpus"] == min(k["gpus"] for k in d["kinds"])
    more = figures(*H200, "--rate", "9 ktok/s", "--osl", "500", "--mode", mode)
    assert more["gpus"] >= d["gpus"]
    assert d["units"] == -(-d["gpus"] // 8)


@pytest.mark.parametrize("words", [("--gpus", "16", "--mode", "aggregated"), ("--rate", "7"),
                                   ("--gpus", "16", "--mode", "disaggregated")])
def test_cost_and_energy_of_tokens_in_and_out_add_up_to_those_of_the_pool(words):
    d = figures(*H200, *words, "--price", "2.50 USD/h", "--isl", "3000", "--osl", "700")
    out = d["tokens_per_s"] if d["demand"] is None else d["demand"]
    into = out * 3000 / 700
    cost, energy = d["cost"], d["joules_per_token"]
    assert sum(cost["share"].values()) == pytest.approx(1)
    per_s = (into * cost["input_per_million"] + out * cost["output_per_million"]) / 1e6
    assert per_s * 3600 == pytest.approx(cost["pool_per_h"])
    assert cost["pool_per_h"] == pytest.approx(2.5 * d["gpus"])
    assert into * energy["input"] + out * energy["output"] == pytest.approx(d["power"])
    assert (into + out) * energy["blended"] == pytest.approx(d["power"])
    assert out * energy["all_over_output"] == pytest.approx(d["power"])


@pytest.mark.parametrize("words", [("--gpus", "16", "--mode", "aggregated"), ("--rate", "7"),
                                   ("--gpus", "16", "--mode", "disaggregated")])
def test_watts_are_those_of_boards_of_servers_and_of_the_cluster(words):
    d = figures(*H200, *words)
    assert sum(d["power_parts"].values()) == pytest.approx(d["power"])
    assert sum(d["board_parts"].values()) == pytest.approx(d["board_power"])
    assert d["board_power"] * d["gpus"] == pytest.approx(d["power_parts"]["accelerators"])
    assert d["power_low"] < d["power"] < d["power_high"]
    each = d["joules_per_token"]
    for kind in ("input", "output", "blended", "all_over_output"):
        assert each[f"{kind}_low"] < each[kind] < each[f"{kind}_high"]
    assert 0 < each["boards_over_output"] < each["all_over_output"]
    told = run(*H200, *words).stdout
    assert "Where the watts go" in told


@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_watts_fall_with_the_demand(mode):
    held = ("--mode", mode, "--tp", "2", "--pp", "1", "--isl", "4000", "--osl", "1000")
    demands = [figures(*H200, *held, "--rate", f"{rate} requests/s") for rate in (0.01, 0.05, 0.2)]
    assert len({d["gpus"] for d in demands}) == 1
    powers = [d["board_power"] for d in demands]
    assert powers == sorted(powers)
    assert powers[0] < powers[-1]
    each = [d["joules_per_token"]["all_over_output"] for d in demands]
    assert each == sorted(each, reverse=True)


def test_a_rent_that_is_known_is_named_and_one_that_is_not_is_asked_for():
    known = figures(*H200)
    assert re.fullmatch(r"h200-sxm\.rent@on-demand:\d{4}-\d{2}", known["cost"]["price_from"])
    rack = ("llama-3-70b", "--system", "gb200-nvl72")
    assert figures(*rack)["cost"] is None
    assert "give --price" in " ".join(run(*rack).stdout.split())


def test_a_dearer_accelerator_makes_dearer_tokens_and_nothing_else():
    cheap, dear = (figures(*H200, "--price", f"${p}/GPU-h") for p in (1, 3))
    assert dear["cost"]["output_per_million"] == pytest.approx(3 * cheap["cost"]["output_per_million"])
    assert dear["layout"] == cheap["layout"]


def test_an_axis_can_be_fixed():
    d = figures(*H200, "--gpus", "16", "--mode", "aggregated", "--tp", "8", "--concurrency", "1..32")
    assert d["layout"].startswith("TP8")
    assert d["concurrency"] <= 32
    apart = figures(*H200, "--gpus", "16", "--mode", "disaggregated", "--tp", "4", "--pp", "1")
    assert apart["prefill"]["layout"] == apart["decode"]["layout"] == "TP4"


def test_cached_prompts_and_narrow_weights_carry_more():
    plain = figures(*H200, "--gpus", "8", "--isl", "4000")["tokens_per_s"]
    assert figures(*H200, "--gpus", "8", "--isl", "4000", "--prefix-hit", "0.7")["tokens_per_s"] > plain
    one = ("llama-3-70b", "--system", "hgx-h200", "--gpus", "8", "--mode", "aggregated", "--tp", "8")
    wide, narrow = (figures(*one, *more)["memory_parts"]["dense weights"] for more in ((), ("--weight-dtype", "int4")))
    assert narrow < 0.4 * wide


def test_drafted_tokens_that_are_right_speed_it_up():
    one = (*H200, "--gpus", "8", "--tp", "8", "--mode", "aggregated", "--concurrency", "8")
    plain, drafted, wrong = (figures(*one, *more)["tpot"] for more in (
        (), ("--draft", "3", "--accept", "0.9"), ("--draft", "3", "--accept", "0")))
    assert drafted < plain < wrong


def test_an_engine_can_be_named():
    assert figures(*H200, "--engine", "vllm")["token_parts"] != figures(*H200, "--engine", "sglang")["token_parts"]


def test_every_mistake_is_told_at_once():
    done = run("llama-3-70b", "--system", "hgx-h100", "--gpus", "8", "--rate", "-3", "--dtype", "fp4", "--tp", "3",
               "--prefix-hit", "1.5", "--ttft", "2", "--tpot", "0 ms", "--price", "cheap", "--pp", "9..2")
    assert done.exit_code == 2
    assert done.stdout == ""
    for where in ("--ttft", "--tpot", "--rate", "--gpus, --rate", "--dtype", "--tp", "--pp", "--prefix-hit", "--price"):
        assert f"error: {where}: " in done.stderr
    assert "fp8" in done.stderr
    assert "1, 2, 4, 8" in done.stderr


@pytest.mark.parametrize(("words", "said"), [
    (("llama-3-70b", "--system", "hgx-h100", "--rate", "0"), "a demand is more than zero"),
    (("llama-3-70b", "--system", "hgx-h100", "--rate", "5 parsec"), "--rate"),
    (("llama-3-70b", "--system", "hgx-h100", "--rate", "nan"), "--rate"),
    (("gpt3-175b", "--system", "hgx-h100", "--isl", "4000"), "2,048 learned positions"),
    (("deepseek-v3", "--system", "hgx-h200", "--gpus", "16", "--tp", "8", "--ep", "4"), "--tp, --ep"),
    (("llama-3-70b", "--system", "hgx-h100", "--weight-dtype", "bf16", "--dtype", "fp8"), "--weight-dtype"),
    (("llama-3-70b", "--system", "hgx-h100", "--draft", "2"), "--accept"),
    (("llama-3-70b", "--system", "hgx-h100", "--accept", "0.5"), "no tokens are drafted"),
    (("llama-3-70b", "--system", "hgx-h100", "--draft", "2", "--accept", "1.5"), "not a probability"),
    (("llama-3-70b", "--system", "hgx-h100", "--price", "-1 USD/h"), "--price"),
    (("llama-3-70b", "--system", "hgx-h100", "--mode", "apart"), "--mode"),
])
def test_bad_input_is_told_and_exits_with_2(words, said):
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("words", "said"), [
    (("llama-3-70b", "--system", "hgx-h100", "--gpus", "1"), "one request needs"),
    (("deepseek-v3", "--system", "hgx-h200", "--gpus", "8", "--isl", "3000000", "--dtype", "fp8"), "room for about"),
    (("llama-3-70b", "--system", "hgx-h100", "--tpot", "1 ms"), "the best reachable is a first token after"),
    (("llama-3-70b", "--system", "hgx-h100", "--rate", "5", "--tpot", "1 ms"), "the largest part of what is missed"),
    (("deepseek-v3", "--system", "hgx-h200", "--gpus", "8", "--mode", "disaggregated", "--dtype", "fp8"), "fewer"),
])
def test_a_question_without_an_answer_says_what_limits_it(words, said):
    done = run(*words)
    assert done.exit_code == 3
    assert said in done.stderr


def test_what_is_called_near_does_have_an_answer():
    words = ("llama-3-70b", "--system", "hgx-h200", "--rate", "5", "--tpot", "1 ms", "--dtype", "fp8")
    first = next(line for line in run(*words).stderr.splitlines() if line.startswith("  - --ttft"))
    ttft, tpot = re.findall(r'"([^"]+)"', first)
    assert run(*words, "--ttft", ttft, "--tpot", tpot).exit_code == 0


def test_every_key_of_the_answer_is_in_the_docs():
    page = (Path(__file__).resolve().parents[3] / "docs" / "serve.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(\w+)`", page))
    for words in (("--gpus", "16", "--mode", "aggregated"), ("--gpus", "16", "--mode", "disaggregated")):
        d = figures(*H200, *words, "--price", "2 USD/h")
        inner = [d["cost"], d["joules_per_token"], d["board_parts"], d["power_parts"], d["kinds"][0], d["front"][0]]
        inner += [d[side] for side in ("prefill", "decode") if side in d]
        assert {key for part in (d, *inner) for key in part} <= named


def test_figures_have_bands_of_their_own(tmp_path):
    rows = ["subject,term,at,value,low,high,unit,kind,source,where,as_of,note"]
    rows += [f"serving-engine,serving_band,{metric}/loop/dense,1,{low},{high},1,inferred,exafleet,test,2026-12-31,"
             for metric, low, high in (("tpot_ms", 0.9, 1.1), ("ttft_ms", 0.5, 3), ("output_tok_s_per_gpu", 0.8, 1.3))]
    own = tmp_path / "bands.csv"
    own.write_text("\n".join(rows) + "\n", encoding="utf-8")
    d = figures(*H200, "--mode", "aggregated", "--facts", str(own))
    assert d["tpot_low"] == pytest.approx(0.9 * d["tpot"])
    assert d["ttft_high"] == pytest.approx(3 * d["ttft"])
    assert d["tokens_per_s_high"] == pytest.approx(1.3 * d["tokens_per_s"])


def test_a_trace_is_replayed_on_a_layout_or_on_the_best(tmp_path):
    path = tmp_path / "trace.csv"
    rows = [f"2024-01-01 00:00:{s:02d},{900 + s},{100 + s}" for s in range(40)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]) + "\n", encoding="utf-8")
    d = figures(*H200, "--trace", str(path), "--tp", "4", "--gpus", "8")
    assert (d["layout"], d["replicas"]) == ("TP4", 2)
    assert d["replay"]["finished"] == 40
    assert figures(*H200, "--trace", str(path))["replay"]["finished"] == 40
    done = run(*H200, "--trace", str(path), "--tp", "1..8", "--rate", "3")
    assert done.exit_code == 2
    assert "not a range" in done.stderr
    assert "--rate" in done.stderr


def test_a_long_front_is_thinned_to_what_a_terminal_holds():
    front = [{"n": n} for n in range(101)]
    assert [f["n"] for f in thinned(front)] == [0, 11, 22, 33, 44, 56, 67, 78, 89, 100]
    assert thinned(front[:5]) == front[:5]
