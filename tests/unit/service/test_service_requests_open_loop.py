"""A rate of arrivals reckoned: against the replay, against queueing theory, and the laws both keep."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.requests.agreement import TIMES, agreement, dispersion
from exafleet.service.requests.curves import curves
from exafleet.service.requests.lengths import lengths, lengths_of, spread
from exafleet.service.requests.open_loop import open_loop, open_loop_over
from exafleet.service.requests.pace import pace
from exafleet.service.requests.replay import replay
from exafleet.service.requests.trace import Trace
from exafleet.step.serve import ServeTask, machine
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(datetime.date(2026, 11, 23))
ON = machine(system(FACTS, "hgx-h100"), FACTS)
CHAT, CODE = (1200.0, 1.0, 220.0, 0.6), (2000.0, 0.8, 30.0, 2.0)


def task(model="llama-3-8b", given=1200.0, answer=220.0, **change):
    base = {"input_tokens": given, "output_tokens": answer, "ttft": 1.0, "tpot": 0.05, "dtype": "bf16"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def requests(of, rate, count, seed=3):
    """Log-normal lengths that arrive by themselves."""
    rng = np.random.default_rng(seed)
    given, answer = (np.maximum(m * np.exp(np.sqrt(np.log1p(c)) * rng.standard_normal(count) - np.log1p(c) / 2), 1)
                     for m, c in ((of[0], of[1]), (of[2], of[3])))
    arrival = np.cumsum(rng.exponential(1 / rate, count))
    return Trace(name="made", layout="made", arrival=arrival, input=given.round(), output=answer.round(),
                 hit=np.zeros(count))


def at_load(model, layout, dtype, of, load):
    """Both answers at a share of the saturation rate, Poisson arrivals."""
    job = task(model, of[0], of[2], dtype=dtype, weight_dtype="fp4" if model == "gpt-oss-120b" else "")
    sizes = lengths_of(requests(of, 1.0, 20_000))
    most = open_loop(curves(job, ON, layout, sizes), 1.0).saturation[0]
    return agreement(requests(of, load * most, 20_000), job, ON, layout, pace(job, ON, layout))


@pytest.mark.parametrize(("model", "layout", "dtype"), [("llama-3-8b", fixed(1), "bf16"),
                                                        ("llama-3-70b", fixed(8), "fp8"),
                                                        ("gpt-oss-120b", fixed(4), "bf16")])
@pytest.mark.parametrize(("of", "load"), [(CHAT, 0.2), (CHAT, 0.5), (CHAT, 0.7), (CODE, 0.15), (CODE, 0.3)])
def test_the_reckoning_agrees_with_the_replay_at_moderate_loads(model, layout, dtype, of, load):
    """One lane: the median within 15 %, p90 within 20 %, p99 within 30 %, and the mean batch within 15 %."""
    found = at_load(model, layout, dtype, of, load)
    for time in TIMES:
        for error in found.error(time):
            assert (np.abs(error) < [0.15, 0.20, 0.30]).all(), (time, error)
    assert found.steady.batch[0] == pytest.approx(found.replayed.batch, rel=0.15, abs=0.1)
    if load <= 0.5:  # beyond, a target that cuts the middle of a distribution turns a few per cent into many
        assert found.steady.good[0] == pytest.approx(found.summary.good, abs=0.1)
    assert found.dispersion == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("of", "load"), [(CHAT, 0.5), (CODE, 0.3)])
def test_a_router_that_looks_does_better_than_chance(of, load):
    """Two lanes: the reckoning deals requests out by chance, so it may be too slow, never much too fast."""
    found = at_load("llama-3-70b", fixed(2, 2), "fp8", of, load)
    for time in TIMES:
        assert (found.error(time)[0] > [-0.15, -0.20, -0.30]).all()
        assert found.error(time)[0][0] < 0.2


def test_saturation_is_where_the_replay_stops_keeping_up():
    job, lay = task(), fixed(1)
    most = open_loop(curves(job, ON, lay, lengths_of(requests(CHAT, 1.0, 20_000))), 1.0).saturation[0]
    waits = []
    for load in (0.9, 1.1):
        found = replay(requests(CHAT, load * most, 20_000), pace(job, ON, lay))
        waits.append([np.median(found.ttft[a:b]) for a, b in ((5_000, 10_000), (15_000, 20_000))])
    assert waits[0][1] < 2 * waits[0][0]
    assert waits[1][1] > waits[1][0] + 5.0


def test_prompts_alone_queue_as_theory_says():
    """Answers of one token, one prompt a step: one server with fixed service (M/D/1, Pollaczek-Khinchine)."""
    given, count, load = 2048, 60_000, 0.6
    job = task(given=float(given), answer=1.0, chunk=float(given))
    table = pace(job, ON, fixed(1))
    service = table.linear[given] + float(table.scores(given, 0))
    rng = np.random.default_rng(1)
    trace = Trace(name="made", layout="made", arrival=np.cumsum(rng.exponential(service / load, count)),
                  input=[given] * count, output=[1] * count, hit=[0] * count)
    wait = replay(trace, table).ttft.mean() - service - table.request
    assert wait == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)


def test_candidates_at_once_are_candidates_one_by_one():
    job, sizes = task("llama-3-70b", dtype="fp8"), lengths(1200, 220, input_scv=1.0, output_scv=0.6, points=128)
    lay = fixed([2, 4, 8], [2, 1, 1])
    together = open_loop(curves(job, ON, lay, sizes), [2.0, 5.0, 8.0], ttft=1.0, tpot=0.05)
    for i, rate in enumerate((2.0, 5.0, 8.0)):
        alone = open_loop(curves(job, ON, lay.take([i]), sizes), rate, ttft=1.0, tpot=0.05)
        for name in ("saturation", "batch", "busy", "ttft", "tpot", "e2e", "good"):
            assert getattr(together, name)[i] == pytest.approx(getattr(alone, name)[0], rel=1e-9)


def test_a_higher_rate_is_never_better():
    of = curves(task(), ON, fixed(1), lengths(1200, 220, input_scv=1.0, output_scv=0.6))
    most = open_loop(of, 1.0).saturation[0]
    rates = np.linspace(0.01, 0.95, 20) * most
    many = open_loop(of.take(np.zeros(20, dtype=int)), rates, ttft=0.5, tpot=0.02)
    assert many.stable.all()
    for values in (many.batch, many.busy, -many.good, *many.e2e.T, *many.tpot.T):
        assert (np.diff(values) >= -1e-3 * np.abs(values[:-1])).all()
    over = open_loop(of, 1.01 * most)
    assert not over.stable[0]
    assert np.isinf(over.e2e).all()
    assert over.good[0] == 0


def test_nearly_no_requests_take_their_steps_alone():
    job = task()
    of, table = curves(job, ON, fixed(1), lengths(1200, 220)), pace(job, ON, fixed(1))
    found = open_loop(of, 0.0)
    alone = table.linear[1200] + float(table.scores(1200, 0)) + table.request + table.waits * float(table.step(1, 1201))
    assert found.ttft[0] == pytest.approx([alone] * 3, rel=0.03)
    assert found.tpot[0] == pytest.approx([float(table.step(1, 1310))] * 3, rel=0.01)


def test_bunched_arrivals_wait_longer():
    of = curves(task(), ON, fixed(1), lengths(1200, 220, input_scv=1.0))
    calm, bunched = (open_loop(of, 8.0, dispersion=d) for d in (1.0, 5.0))
    assert (bunched.ttft > calm.ttft)[0, 1:].all()


def test_a_rate_that_does_not_change_is_steady_and_one_that_does_is_worse():
    of = curves(task(), ON, fixed(1), lengths(1200, 220, input_scv=1.0, output_scv=0.6))
    steady = open_loop(of, 8.0)
    same, swinging = (open_loop_over(of, counts, 10.0) for counts in ([80] * 50, [40, 120] * 25))
    for time in TIMES:
        assert getattr(same, time) == pytest.approx(getattr(steady, time), rel=0.05)
    assert (swinging.e2e > same.e2e).all()
    flooded = open_loop_over(of, [400, 0, 0, 0, 0] * 20, 10.0)
    assert flooded.stable[0]
    assert flooded.ttft[0, 0] > 5.0
    assert not open_loop_over(of, [400] * 20, 10.0).stable[0]


def test_no_room_in_memory_is_not_stable():
    job = task("llama-3-70b")
    found = open_loop(curves(job, ON, fixed(1), lengths(1200, 220)), 0.1)
    assert not found.stable[0]
    assert found.saturation[0] == 0


def test_moments_and_samples_are_one_distribution():
    sizes = lengths(1200, 220, input_scv=1.0, output_scv=0.6, prefix_hit=0.25)
    assert sizes.input.mean() == pytest.approx(1200, rel=0.02)
    assert sizes.output.var() / sizes.output.mean() ** 2 == pytest.approx(0.6, rel=0.1)
    assert sizes.fresh == pytest.approx(0.75 * sizes.input)
    sampled = lengths_of(requests(CHAT, 1.0, 50_000))
    assert sampled.input.mean() == pytest.approx(1200, rel=0.05)
    assert sampled.context == pytest.approx(lengths(1200, 220, input_scv=1.0, output_scv=0.6).context, rel=0.05)
    assert (np.abs(spread(3, 1000).mean(axis=1) - 0.5) < 0.005).all()


def test_dispersion_counts_arrivals():
    made = requests(CHAT, 5.0, 5000)
    assert dispersion(replace(made, arrival=np.floor(made.arrival / 5) * 5)) > 5
    assert np.isnan(dispersion(replace(made, arrival=made.arrival * 0)))
