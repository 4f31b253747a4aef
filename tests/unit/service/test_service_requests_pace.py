"""Tables of step times against direct evaluation of the operators, and the memory they leave for the cache."""

import datetime

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.requests.lane import _score, tables
from exafleet.service.requests.pace import MOST_SEQUENCES, PAGE, capacity, pace
from exafleet.service.steady import full, serve_step
from exafleet.step.serve import ServeTask, chunk_parts, decode_parts, machine, prefill_parts
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(datetime.date(2026, 11, 23))
ON = machine(system(FACTS, "hgx-h100"), FACTS)
MODELS = {"llama-3-8b": fixed(1), "llama-3-70b": fixed([2, 4], [1, 2]), "gpt-oss-120b": fixed(4),
          "nemotron-h-56b": fixed(8), "deepseek-v3": fixed(1, 1, 8, 8)}


def task(model, **change):
    base = {"input_tokens": 1000.0, "output_tokens": 300.0, "ttft": 1.0, "tpot": 0.05, "dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def tiled(layouts, at, many):
    return layouts.take(np.full(many, at))


@pytest.mark.parametrize("model", MODELS)
def test_decode_is_that_of_the_operators(model):
    lay, rng, n = MODELS[model], np.random.default_rng(1), 300
    at = len(lay.tp) - 1
    table = pace(task(model), ON, lay, at)
    batch, context = rng.integers(1, MOST_SEQUENCES, n), np.exp(rng.uniform(0, np.log(2e6), n))
    direct = decode_parts(task(model), ON, tiled(lay, at, n), batch.astype(float), context).total
    assert table.step(batch, context) == pytest.approx(direct, rel=0.01)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("chunk", [512.0, 8192.0])
def test_steps_of_prompts_are_those_of_the_operators(model, chunk):
    lay, rng, n = MODELS[model], np.random.default_rng(2), 300
    job = task(model, chunk=chunk)
    table = pace(job, ON, lay)
    size = np.round(np.exp(rng.uniform(0, np.log(chunk), n)))
    many = np.minimum(rng.integers(1, 9, n), chunk // size)
    before = np.round(np.exp(rng.uniform(0, np.log(1e6), n)) * (rng.random(n) < 0.8))
    direct = chunk_parts(job, ON, tiled(lay, 0, n), size * many, size, before).total
    ours = table.linear[(size * many).astype(int)] + many * table.scores(size, before)
    assert ours == pytest.approx(direct, rel=0.01)


def test_the_loop_reads_the_same_numbers_as_the_tables():
    table, rng = pace(task("gpt-oss-120b"), ON, fixed(4)), np.random.default_rng(3)
    lists = tables(table)
    for size, before in zip(rng.integers(1, 8193, 200), rng.integers(0, 300_000, 200), strict=True):
        assert _score(lists, int(size), int(before)) == pytest.approx(float(table.scores(size, before)), rel=1e-12)
    for many, context in zip(rng.integers(1, 2049, 200), rng.uniform(1, 1e5, 200), strict=True):
        k = np.searchsorted(table.knots, context, side="right") - 1
        line = lists.base[k][many] + lists.slope[k][many] * context * many
        assert line == pytest.approx(float(table.step(many, context)), rel=1e-9)


def test_a_sliding_window_has_a_knot_of_its_own_and_plain_attention_none():
    assert 128.0 in pace(task("gpt-oss-120b"), ON, fixed(4)).knots
    assert len(pace(task("llama-3-8b"), ON, fixed(1)).knots) == 2


def test_a_chunk_alone_is_the_prefill_of_the_step():
    """A prompt of one chunk that shares its step with nobody, both ways."""
    job = task("llama-3-8b", input_tokens=2048.0, output_tokens=1e9)
    step = prefill_parts(job, ON, fixed(1), np.ones(1)).total[0]
    table = pace(job, ON, fixed(1))
    assert table.linear[2048] + float(table.scores(2048, 0)) == pytest.approx(step, rel=0.01)


@pytest.mark.parametrize(("model", "at"), [("llama-3-8b", 0), ("llama-3-70b", 0), ("llama-3-70b", 1),
                                           ("nemotron-h-56b", 0)])
def test_the_cache_is_as_large_as_the_memory_allows(model, at):
    """The step's own memory: with that many cached tokens it still fits, with 2 % more it does not."""
    job, lay = task(model), MODELS[model].take([at])
    table, lanes = pace(job, ON, lay), float(lay.dp[0] * lay.pp[0])
    each = float(serve_step(job, ON, lay, lanes).memory["key-value cache"][0])
    most = float(capacity(job, ON, lay)[0]) * table.unit / each * lanes
    assert most / lanes < MOST_SEQUENCES
    fits = [not full(serve_step(job, ON, lay, most * f).memory, ON)[0] for f in (0.98, 1.02)]
    assert fits == [True, False]


def test_what_does_not_fit_has_no_cache():
    assert capacity(task("llama-3-70b", dtype="bf16"), ON, fixed(1))[0] == 0


def test_sequences_hold_whole_pages_and_a_state_however_short():
    plain, hybrid = pace(task("llama-3-8b"), ON, fixed(1)), pace(task("nemotron-h-56b"), ON, fixed(8))
    assert plain.held([1, PAGE, PAGE + 1]).tolist() == pytest.approx([PAGE, PAGE, 2 * PAGE])
    assert hybrid.held(1) > 10 * PAGE


def test_stages_and_groups_are_lanes():
    assert pace(task("llama-3-70b"), ON, fixed(2, 2)).lanes == 2
    assert pace(task("deepseek-v3"), ON, fixed(1, 1, 8, 8)).lanes == 8
