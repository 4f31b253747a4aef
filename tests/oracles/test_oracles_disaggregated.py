"""Prefill and decode apart against queueing networks solved exactly, and against a simulation of single requests."""

import datetime
import heapq
from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.apart.disaggregated import serve_apart, serve_apart_at
from exafleet.service.apart.prefill_pool import prefill_side
from exafleet.service.apart.transfer import exposed_transfer, transfer_time
from exafleet.step.serve import ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(datetime.date(2026, 11, 23))
# How prompts of a closed loop bunch is fitted and no law of queues: an oracle of queues leaves it out.
PLAIN = machine(system(FACTS, "hgx-h200"), FACTS)
ON = replace(PLAIN, engine=replace(PLAIN.engine, apart=0.0))
# Prompts that fill a chunk, so that each server of prefill has one customer at a time.
TASK = ServeTask(arch=arch(FACTS, "llama-3-70b"), input_tokens=8192.0, output_tokens=300.0, ttft=1.0, tpot=0.05,
                 dtype="fp8", kv_dtype="fp8")
PREFILL, DECODE = fixed(4), fixed(8)


def stations(prefill, decode):
    """Service time of prefill, delay of all else, and completions per second of decode by sequences in it."""
    service = float(prefill_side(TASK, ON, PREFILL).alone.total[0])
    moved = float(transfer_time(TASK, ON, ON, PREFILL, DECODE, prefill * 4 + decode * 8 <= 8)[0])
    told = ON.engine.waits * float(decode_parts(TASK, ON, DECODE, np.ones(1)).total[0])
    delay = ON.engine.request + told + float(exposed_transfer(moved, service, TASK.arch.layers))

    def finished(n):
        step = float(decode_parts(TASK, ON, DECODE, np.array([max(n / decode, 1.0)])).total[0])
        return n / ((TASK.output_tokens - 1) * step)

    return service, delay, finished


def throughput(customers, service, servers, delay, finished):
    """Requests per second of a closed network of queues with exponential service (convolution of its product form)."""
    rates = (lambda n: min(n, servers) / service, lambda n: n / delay, finished)
    total = np.zeros(customers + 1)
    total[0] = 1.0
    for rate in rates:
        alone = np.cumprod([1.0, *(1.0 / rate(n) for n in range(1, customers + 1))])
        total = np.convolve(total, alone)[:customers + 1]
    return total[customers - 1] / total[customers]


@pytest.mark.parametrize(("prefill", "decode"), [(1, 1), (2, 1), (4, 1), (3, 2)])
@pytest.mark.parametrize("customers", [1, 2, 3, 5, 8, 13, 21, 34])
def test_a_closed_loop_is_the_network_solved_exactly(prefill, decode, customers):
    exact = throughput(customers, *_with_servers(prefill, decode))
    ours = serve_apart(TASK, ON, ON, PREFILL, prefill, DECODE, decode, customers, spread=1.0, answers=np.inf)
    assert float(ours.rate[0]) / TASK.output_tokens == pytest.approx(exact, rel=0.08)


def _with_servers(prefill, decode):
    service, delay, finished = stations(prefill, decode)
    return service, prefill, delay, finished


def simulated(customers, service, servers, delay, answer, rng, requests=6000, burst=False):
    """Waits before prefill in a closed loop of fixed service times; answers differ as in benchmarks."""
    free, queue, events, waits = servers, deque(), [], []
    for _ in range(customers):
        heapq.heappush(events, (0.0 if burst else float(rng.uniform(0, answer)), 0, 0.0))
    while len(waits) < requests:
        now, kind, _ = heapq.heappop(events)
        if kind == 0:
            queue.append(now)
        else:
            free += 1
            heapq.heappush(events, (now + delay + answer * float(rng.uniform(0.8, 1.2)), 0, 0.0))
        while free and queue:
            free -= 1
            waits.append(now - queue.popleft())
            heapq.heappush(events, (now + service, 1, 0.0))
    return waits


@pytest.mark.parametrize("prefill", [1, 2, 4])
@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_waiting_is_that_of_single_requests(prefill, busy):
    service, delay, _ = stations(prefill, 4)
    load, wide = np.arange(1, 400), np.ones(399)
    found = serve_apart(TASK, ON, ON, fixed(4 * wide), prefill, fixed(8 * wide), 4, load, answers=0.4 / 12**0.5)
    at = int(np.argmin(np.abs(found.busy - busy)))
    answer = float((TASK.output_tokens - 1) * found.token.total[at])
    waits = simulated(int(load[at]), service, prefill, delay, answer, np.random.default_rng(7))
    waited = float(np.mean(waits[len(waits) // 3:]))
    assert float(found.first["queue"][at]) == pytest.approx(waited, abs=0.1 * service + 0.15 * waited)


@pytest.mark.parametrize("prefill", [1, 2, 4])
@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_a_run_that_starts_all_at_once_waits_as_single_requests_do(prefill, busy):
    service, delay, _ = stations(prefill, 4)
    load, wide, rounds = np.arange(1, 400), np.ones(399), 10
    found = serve_apart(TASK, ON, ON, fixed(4 * wide), prefill, fixed(8 * wide), 4, load, answers=0.4 / 12**0.5,
                        rounds=rounds)
    at = int(np.argmin(np.abs(found.busy - busy)))
    many, answer = int(load[at]), float((TASK.output_tokens - 1) * found.token.total[at])
    waits = [simulated(many, service, prefill, delay, answer, np.random.default_rng(seed), rounds * many, burst=True)
             for seed in range(20)]
    ours = float(found.first["queue"][at] + found.first["first round"][at])
    assert ours == pytest.approx(float(np.mean(waits)), rel=0.25, abs=0.1 * service)


def test_an_open_service_waits_as_queues_with_fixed_service_do():
    service, _, _ = stations(1, 4)
    found = serve_apart_at(TASK, ON, ON, PREFILL, 1, DECODE, 4, 0.5 / service)
    assert float(found.first["queue"][0]) == pytest.approx(service / 2, rel=1e-6)
