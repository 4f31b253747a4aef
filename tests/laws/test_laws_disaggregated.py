"""Laws of prefill and decode apart: Little's law, more of anything never less, consistent with its parts."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.apart.disaggregated import serve_apart, serve_apart_at
from exafleet.service.apart.prefill_pool import prefill_side
from exafleet.service.apart.transfer import transfer_time
from exafleet.step.serve import ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import fixed
from exafleet.terms.why import Why

FACTS = load_facts(datetime.date(2026, 11, 23))
H200, RACK = (machine(system(FACTS, name), FACTS) for name in ("hgx-h200", "gb200-nvl72"))
LOADS = np.array([1, 2, 5, 10, 30, 100, 300, 1000, 3000, 10_000, 100_000.0])


def task(model="llama-3-70b", **change):
    base = {"input_tokens": 4000.0, "output_tokens": 500.0, "ttft": 1.0, "tpot": 0.03, "dtype": "fp8",
            "kv_dtype": "fp8"}
    return ServeTask(arch=arch(FACTS, model), **{**base, **change})


def apart(job, on=H200, prefill=2, decode=4, loads=LOADS, **more):
    wide = np.ones(len(loads))
    return serve_apart(job, on, on, fixed(4 * wide), prefill, fixed(8 * wide), decode, loads, **more)


@settings(max_examples=25)
@given(prompt=st.sampled_from([60.0, 500.0, 4000.0, 30_000.0]), answer=st.sampled_from([1.0, 2.0, 100.0, 5000.0]),
       prefill=st.integers(1, 8), decode=st.integers(1, 8), hit=st.sampled_from([0.0, 0.7]))
def test_requests_at_all_stops_add_up_to_those_in_the_loop(prompt, answer, prefill, decode, hit):
    job = task(input_tokens=prompt, output_tokens=answer, prefix_hit=hit)
    found = apart(job, prefill=prefill, decode=decode)
    spent = found.first.total + (answer - 1.0) * found.token.total
    assert found.rate / answer * spent == pytest.approx(LOADS, rel=1e-9)
    assert (found.busy <= 1 + 1e-4).all()
    assert min(p.values.min() for p in (found.first, found.token)) >= 0


@settings(max_examples=15)
@given(prompt=st.sampled_from([500.0, 4000.0, 20_000.0]), model=st.sampled_from(["llama-3-8b", "llama-3-70b"]))
def test_more_requests_never_carry_less_nor_answer_sooner(prompt, model):
    found = apart(task(model, input_tokens=prompt))
    assert (np.diff(found.rate) >= -1e-3 * found.rate[1:]).all()
    assert (np.diff(found.token.total) >= -1e-12).all()
    assert (np.diff(found.first.total) >= -1e-6 * found.first.total[1:]).all()


@settings(max_examples=15)
@given(prefill=st.integers(1, 6), decode=st.integers(1, 6), more=st.integers(1, 4), side=st.booleans())
def test_more_replicas_never_carry_less(prefill, decode, more, side):
    before = apart(task(), prefill=prefill, decode=decode)
    after = apart(task(), prefill=prefill + more * side, decode=decode + more * (not side))
    assert (after.rate >= before.rate * (1 - 2e-3)).all()


def test_far_below_capacity_times_are_those_of_the_parts_alone():
    job = task()
    found = apart(job, loads=np.array([1.0]))
    alone = prefill_side(job, H200, fixed(4)).alone.total
    assert found.token.total == pytest.approx(decode_parts(job, H200, fixed(8), np.ones(1)).total)
    assert found.first.total == pytest.approx(alone + sum(found.first[part] for part in (
        "transfer", "scheduling", "request")))
    assert found.first["queue"][0] == 0


@pytest.mark.parametrize("draft", [0, 2])
def test_far_above_capacity_the_slower_pool_sets_the_traffic(draft):
    job = task(draft=draft, accept=0.7 if draft else 0.0)
    side = prefill_side(job, H200, fixed(4))
    prefill_bound = apart(job, prefill=1, decode=8)
    assert prefill_bound.rate[-1] / 500 == pytest.approx(float(1 / side.least[0]), rel=0.01)
    assert prefill_bound.first["place in decode"][-1] == 0
    decode_bound = apart(job, prefill=64, decode=1)
    full = decode_bound.running[-1]
    step = float(decode_parts(job, H200, fixed(8), np.array([full])).total[0])
    assert decode_bound.token.total[-1] == pytest.approx(step / job.per_step)
    assert decode_bound.rate[-1] / 500 == pytest.approx(full / (499 * step / job.per_step), rel=0.01)
    assert decode_bound.first["place in decode"][-1] > 10
    assert (decode_bound.why == Why.OK).all()


def test_an_endless_link_leaves_the_two_pools_alone():
    job = task()
    link = {kind: replace(c, bandwidth=np.inf, latency=0.0) for kind, c in H200.net.nic.items()}
    free = replace(H200, net=replace(H200.net, nic=link, tiers=()))
    assert (apart(job, free).first["transfer"] == 0).all()
    slow = {kind: replace(c, bandwidth=c.bandwidth / 1e3) for kind, c in H200.net.nic.items()}
    bound = apart(job, replace(H200, net=replace(H200.net, nic=slow)))
    assert (apart(job, free).rate >= bound.rate * (1 - 1e-9)).all()
    moved = transfer_time(job, H200, replace(H200, net=replace(H200.net, nic=slow)), fixed(4), fixed(8), False)
    assert bound.rate[-1] / 500 == pytest.approx(float(2 / moved[0]), rel=0.01)


def test_pools_of_one_domain_use_its_links():
    job = task()
    near, far = (transfer_time(job, RACK, RACK, fixed(4), fixed(8), together)[0] for together in (True, False))
    assert near < far
    inside, across = (serve_apart(job, RACK, RACK, fixed(4), n, fixed(8), n, 4).first["transfer"][0] for n in (6, 60))
    assert inside < across


def test_pools_may_be_of_different_systems():
    job = task()
    mixed = serve_apart(job, H200, RACK, fixed(4), 2, fixed(8), 1, 64)
    alike = serve_apart(job, H200, H200, fixed(4), 2, fixed(8), 1, 64)
    assert mixed.token.total < alike.token.total
    assert mixed.first["attention gemm"] == pytest.approx(alike.first["attention gemm"])


@settings(max_examples=15)
@given(busy=st.floats(0.05, 0.95))
def test_an_open_rate_is_carried_or_refused(busy):
    job, side = task(), prefill_side(task(), H200, fixed(4))
    most = 2 / float(side.least[0])
    found = serve_apart_at(job, H200, H200, fixed(4), 2, fixed(8), 64, busy * most)
    assert found.why[0] == Why.OK
    assert found.rate[0] == pytest.approx(busy * most * 500)
    assert found.busy[0] == pytest.approx(busy)
    assert serve_apart_at(job, H200, H200, fixed(4), 2, fixed(8), 64, 1.01 * most).why[0] == Why.TOO_SLOW


def test_a_burst_at_the_start_counts_less_in_a_longer_run():
    short, long, ever = (apart(task(), rounds=n).first.total for n in (2, 10, np.inf))
    assert (short >= long).all()
    assert (long >= ever).all()
    assert (short > 1.05 * ever).any()


def test_what_does_not_fit_or_cannot_be_computed_says_so():
    assert serve_apart(task("deepseek-v3"), H200, H200, fixed(4), 1, fixed(8), 1, 8).why[0] == Why.HBM_FULL
    assert serve_apart(task(dtype="fp4"), H200, H200, fixed(4), 1, fixed(8), 1, 8).why[0] == Why.NO_DTYPE
