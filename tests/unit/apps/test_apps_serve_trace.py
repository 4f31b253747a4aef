"""A trace on a deployment, as figures and as a report; what cannot be meant, and what cannot run."""

import datetime
import json

import pytest

from exafleet.apps.serve_trace import axes_of, trace_figures, trace_report
from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.serve import ServeTask
from exafleet.terms.errors import FactError, NothingFits
from tests.conftest import ROOT

FACTS = load_facts(datetime.date(2026, 11, 23))
H100 = system(FACTS, "hgx-h100")
SAMPLES = ROOT / "tests" / "samples" / "traces"


def task(model="llama-3-8b", **change):
    base = {"input_tokens": 1.0, "output_tokens": 1.0, "ttft": 1.0, "tpot": 0.05, "dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def figures(file="azure.csv", model="llama-3-8b", change=None, **options):
    return trace_figures(task(model, **(change or {})), H100, FACTS, SAMPLES / file, **options)


@pytest.mark.parametrize("file", ["azure.csv", "burstgpt.csv", "mooncake.jsonl"])
def test_every_layout_is_replayed_and_told(file):
    d = figures(file, gpus=2, layout="TP1")
    json.dumps(d, allow_nan=False)
    assert (d["replicas"], d["gpus"], d["layout"]) == (2, 2, "TP1")
    assert d["replay"]["finished"] == d["trace"]["requests"]
    assert sum(row["arrivals"] for row in d["over_time"]) == d["trace"]["requests"]
    tokens = sum(row["answered_tokens_per_s"] for row in d["over_time"]) * 60.0
    assert tokens == pytest.approx(d["trace"]["output"]["mean"] * d["trace"]["requests"])
    report = trace_report(d)
    assert len(report.table("times").rows) == 9
    assert [t.written() for t in report.tables]


def test_failures_of_the_file_are_told():
    d = figures("burstgpt.csv", layout="TP1")
    assert d["trace"]["unanswered"] == 3
    assert any("3 requests of the file have no answer" in s for s in trace_report(d).summary)


def test_a_prefix_cache_shortens_prompts():
    warm, cold = (figures("mooncake.jsonl", layout="TP1", cache_blocks=n) for n in (None, 0))
    assert warm["trace"]["prefix_hit"] > 0.3 > cold["trace"]["prefix_hit"] == 0
    assert warm["replay"]["ttft"][0] < cold["replay"]["ttft"][0]


def test_a_faster_trace_waits_longer_and_names_what_limits():
    calm, hurried = (figures(layout="TP1", speed=s, targets=(0.2, 0.02)) for s in (1.0, 200.0))
    assert hurried["replay"]["ttft"][1] > calm["replay"]["ttft"][1]
    assert hurried["limit"]
    assert hurried["reckoned"]["ttft"] == [None] * 3
    assert hurried["limit"] == "more requests than the engines can work off"
    assert "–" in [cell for row in trace_report(hurried).table("times").written() for cell in row]
    assert figures(layout="TP1", targets=(100.0, 10.0))["limit"] == ""


def test_without_a_layout_the_search_chooses_one():
    d = figures(model="llama-3-70b")
    assert d["gpus"] == H100.chips
    assert d["replicas"] * d["replica_gpus"] <= d["gpus"]


def test_layouts_are_read_as_people_write_them():
    assert axes_of("tp4, PP2") == {"tp": 4, "pp": 2}
    assert axes_of("TP1 DP8 EP8") == {"tp": 1, "dp": 8, "ep": 8}
    for words, what in (("TP0", "'TP0'"), ("8", "'8'"), ("", "''"), ("TP2 TP4", "twice")):
        with pytest.raises(FactError, match=what):
            axes_of(words)


def test_every_option_that_cannot_be_meant_is_told_at_once():
    with pytest.raises(FactError) as told:
        figures(router="best", speed=0.0, targets=(-1.0, float("nan")), replicas=0, gpus=0)
    assert [p.where for p in told.value.problems] == ["--router", "--speed", "--ttft", "--tpot", "--replicas", "--gpus"]


@pytest.mark.parametrize(("options", "what"), [
    ({"layout": "TP8", "gpus": 4}, "1 replicas of 8 accelerators .TP8. do not fit in 4"),
    ({"layout": "TP2", "replicas": 9, "gpus": 16}, "9 replicas of 2"),
    ({"layout": "TP3"}, "cannot be laid out as TP3"),
    ({"layout": "TP1", "model": "llama-3-70b", "change": {"dtype": "bf16"}}, "leave no memory for the cache"),
    ({"layout": "TP1", "change": {"dtype": "fp4"}}, "no hardware for this data type"),
])
def test_what_cannot_run_says_why(options, what):
    with pytest.raises(NothingFits, match=what):
        figures(**options)


def test_a_trace_of_requests_longer_than_the_cache(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2024-01-01 00:00:00,9000000,5\n")
    with pytest.raises(NothingFits, match="the cache of one replica holds"):
        trace_figures(task(), H100, FACTS, path, layout="TP1")
    path.write_text(path.read_text() + "2024-01-01 00:00:01,900,5\n")
    d = trace_figures(task(), H100, FACTS, path, layout="TP1")
    assert (d["replay"]["refused"], d["replay"]["finished"]) == (1, 1)
    assert d["limit"] == "requests longer than the cache of a replica"


def test_an_interrupt_is_told():
    def stop(done, total):
        raise KeyboardInterrupt

    d = figures(layout="TP1", progress=stop)
    json.dumps(d, allow_nan=False)
    assert d["replay"]["partial"]
    assert trace_report(d).summary[0].startswith("Interrupted")


def bursts(path, each):
    """Twenty bursts a minute apart, of so many requests in a tenth of a second."""
    rows = [f"2024-01-01 00:{i:02d}:00.{j * 100 // each:03d},6000,40\n" for i in range(20) for j in range(each)]
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    return path


def test_bursts_are_named_where_engines_are_idle_most_of_the_time(tmp_path):
    d = trace_figures(task(), H100, FACTS, bursts(tmp_path / "t.csv", 30), layout="TP1", targets=(5.0, 0.02))
    assert d["limit"] == "bursts of prompts, with engines idle at other times"
    assert d["replay"]["utilisation"] < 0.5
    assert any("trust the replay" in s for s in trace_report(d).summary)


def test_a_large_decode_batch_is_named(tmp_path):
    rows = [f"2024-01-01 00:{i // 600:02d}:{i % 600 / 10:06.3f},8,900\n" for i in range(6000)]
    path = tmp_path / "t.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(rows))
    d = trace_figures(task(), H100, FACTS, path, layout="TP1", targets=(5.0, 0.006))
    assert d["replay"]["batch"] > 20
    assert d["limit"] == "the size of the decode batch"
