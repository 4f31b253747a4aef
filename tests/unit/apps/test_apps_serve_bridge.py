"""The bridge to aiconfigurator: names and questions anywhere; answers where the package is installed."""

import importlib.metadata
import importlib.util
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.inputs import facts_as_of
from exafleet.apps.main import app
from exafleet.apps.serve_bridge import PACKAGE, Ways, beside, beside_all, bridge_table, installed, names, question
from exafleet.facts.architecture import arch
from exafleet.facts.hardware import chip_ids, system
from exafleet.facts.huggingface import arch_from_config
from exafleet.service.apart.search_apart import ApartLayout
from exafleet.service.steady import serve_step
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serve_layouts import fixed
from exafleet.terms.errors import ExafleetError

FACTS = facts_as_of("2026-11-23")
H100 = system(FACTS, "hgx-h100")
MODELS = sorted(ours for kind, ours in names() if kind == "model")


APART = ApartLayout(prefill="TP8 EP8", prefill_chips=8, prefill_count=2, decode="TP2 PP2 DP4 EP8", decode_chips=16,
                    decode_count=3, concurrency=64)


def task(model="llama-3-70b", **change):
    base = {"input_tokens": 1024, "output_tokens": 512, "ttft": math.inf, "tpot": math.inf, "dtype": "fp8",
            "kv_dtype": "fp8", "closed": True}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def test_every_name_of_ours_is_known():
    known = {"model": {s.id for s in FACTS.subjects.of_kind("model")}, "chip": set(chip_ids(FACTS))}
    wrong = [key for key in names() if key[0] in known and key[1] not in known[key[0]]]
    of_models = {part for kind, ours in names() if kind in ("product", "expert") for part in ours.split("@")[1:]}
    assert (wrong, of_models - known["model"] - {"bf16"}) == ([], set())


def test_chips_of_both_are_as_many():
    asked = question(task("deepseek-v3"), system(FACTS, "gb200-nvl72"), Ways(tp=2, pp=2, dp=4, ep=8), 128)
    assert asked["tp_size"] * asked["attention_dp_size"] == asked["moe_tp_size"] * asked["moe_ep_size"] == 8
    assert asked["batch_size"] * asked["attention_dp_size"] * asked["pp_size"] == 128


def test_sliced_experts_are_sliced_there_too():
    asked = question(task("deepseek-v3"), H100, Ways(tp=8), 8)
    assert (asked["moe_tp_size"], asked["moe_ep_size"]) == (8, 1)


def test_apart_both_sides_are_asked_with_their_replicas():
    asked = question(task("deepseek-v3"), H100, APART, APART.concurrency)
    assert (asked["mode"], asked["prefill_num_workers"], asked["decode_num_workers"]) == ("disagg", 2, 3)
    for side in ("prefill_", "decode_"):
        spread = asked[side + "moe_tp_size"] * asked[side + "moe_ep_size"]
        assert asked[side + "tp_size"] * asked[side + "attention_dp_size"] == spread == 8
    assert asked["decode_batch_size"] * asked["decode_attention_dp_size"] * asked["decode_pp_size"] == 64


def test_a_dense_model_is_asked_without_experts():
    assert not [key for key in question(task(), H100, Ways(tp=4), 8) if key.startswith("moe")]


def test_a_cached_prefix_is_told():
    assert question(task(prefix_hit=0.25), H100, Ways(tp=4), 8)["prefix"] == 256


def test_a_format_may_be_of_one_model_alone():
    dense, sparse = task(), task("deepseek-v3")
    assert question(dense, H100, Ways(tp=8), 8)["gemm_quant_mode"] != question(sparse, H100, Ways(tp=8), 8)[
        "gemm_quant_mode"]


@pytest.mark.parametrize(("asked", "on", "said"), [
    (task("gpt-moe-1.8t"), H100, "no model gpt-moe-1.8t"),
    (task(), system(FACTS, "mi300x-8"), "no chip mi300x"),
    (task(weight_dtype="int8"), H100, "no products in int8@fp8"),
])
def test_what_it_has_no_name_for_is_the_reason(asked, on, said):
    told = question(asked, on, Ways(tp=8), 8)
    assert said in told["reason"]
    assert bridge_table({}, {"version": "0", **told}).rows == ()


def test_not_installed_says_how_to_install(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("exafleet.apps.serve_bridge.version", missing)
    with pytest.raises(ExafleetError) as error:
        beside(task(), H100, Ways(tp=4), 8)
    assert error.value.exit_code == 2
    assert "pip install 'exafleet[aiconfigurator]'" in str(error.value)


def test_the_command_says_how_to_install():
    if importlib.util.find_spec(PACKAGE):
        pytest.skip("aiconfigurator is installed")
    done = CliRunner().invoke(app, ["serve", "llama-3-8b", "--system", "hgx-h100", "--engine", PACKAGE])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "pip install 'exafleet[aiconfigurator]'" in done.stderr


def test_the_extra_is_pinned():
    pins = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'{PACKAGE} = ["{PACKAGE}==' in pins


@pytest.fixture(scope="module")
def here():
    pytest.importorskip(PACKAGE)
    return installed()


@pytest.mark.aiconfigurator
def test_it_knows_every_name_and_its_models_have_our_shapes(here):
    common = pytest.importorskip("aiconfigurator.sdk.common")
    theirs = {"model": common.DefaultHFModels, "chip": common.SupportedSystems,
              "product": common.GEMMQuantMode.__members__, "expert": common.MoEQuantMode.__members__,
              "cache": common.KVCacheQuantMode.__members__}
    assert [key for key, name in names().items() if key[0] in theirs and name not in theirs[key[0]]] == []
    configs = Path(pytest.importorskip("aiconfigurator_core").__file__).parent / "model_configs"
    for model in MODELS:
        config = configs / f"{names()['model', model].replace('/', '--')}_config.json"
        read, ours = json.loads(config.read_text(encoding="utf-8")), arch(FACTS, model)
        read = read.get("text_config", read)
        assert (read["hidden_size"], read.get("num_hidden_layers", ours.layers)) == (ours.hidden, ours.layers), model
        if model.startswith(("llama-3", "qwen3-")):
            other = arch_from_config(config)
            assert replace(other, id=ours.id, name=ours.name) == ours


@pytest.mark.aiconfigurator
def test_both_answer_the_same_question_and_nothing_is_left_behind(here, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    cases = [(task(), H100, Ways(tp=4), 64), (task("deepseek-v3"), system(FACTS, "hgx-h200"), Ways(tp=8, ep=8), 32),
             (task("deepseek-v3"), system(FACTS, "hgx-h200"), APART, APART.concurrency),
             (task(dtype="bf16", kv_dtype="bf16"), H100, Ways(), 4), (task("gpt-moe-1.8t"), H100, Ways(tp=8), 4)]
    told = beside_all(cases)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert ["reason" in t for t in told] == [False, False, False, True, True]
    assert "memory" in told[3]["reason"]
    assert (told[2]["gpus"], told[2]["concurrency"]) == (2 * 8 + 3 * 16, 3 * 64)
    for (asked, on, lay, load), theirs in zip(cases[:2], told, strict=False):
        step = serve_step(asked, machine(on, FACTS, asked.engine), fixed(lay.tp, lay.pp, lay.dp, lay.ep), [load])
        assert theirs["version"] == here
        assert theirs["concurrency"] == load
        assert theirs["database_mode"] in ("SILICON", "HYBRID")
        assert theirs["tpot"] == pytest.approx(float(step.token.total[0]), rel=0.5)
        assert theirs["tokens_per_s_per_gpu"] == pytest.approx(float(step.rate[0]) / lay.tp, rel=0.5)
        ours = {"ttft": float(step.first.total[0]), "tpot": float(step.token.total[0]), "concurrency": load,
                "tokens_per_s_per_gpu": float(step.rate[0]) / lay.tp}
        assert len(bridge_table(ours, theirs).written()) == len(ours)


@pytest.mark.aiconfigurator
@pytest.mark.parametrize("mode", ["aggregated", "disaggregated"])
def test_the_command_puts_its_figures_beside(here, mode):
    done = CliRunner().invoke(app, ["serve", "llama-3-8b", "--system", "hgx-h100", "--gpus", "8", "--mode", mode,
                                    "--concurrency", "1..64", "--engine", PACKAGE, "--format", "json"])
    told = json.loads(done.stdout)
    assert told[PACKAGE]["version"] == here
    assert told[PACKAGE]["tpot"] == pytest.approx(told["tpot"], rel=0.5)
