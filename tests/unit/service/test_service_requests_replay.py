"""What a replay tells: partial runs, refusals, routers, pools apart, summaries. Moments are the oracle's business."""

import datetime
from dataclasses import replace

import numpy as np
import pytest

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.requests.pace import pace
from exafleet.service.requests.replay import BLOCK, replay, replay_apart, summary, travel_time
from exafleet.service.requests.trace import Trace
from exafleet.step.serve import ServeTask, decode_parts, machine
from exafleet.step.serve_layouts import fixed

FACTS = load_facts(datetime.date(2026, 11, 23))
ON = machine(system(FACTS, "hgx-h100"), FACTS)
TASK = ServeTask(arch=arch(FACTS, "llama-3-8b"), input_tokens=1000.0, output_tokens=200.0, ttft=1.0, tpot=0.05,
                 dtype="bf16")
PACE = pace(TASK, ON, fixed(1))


def made(count=2000, rate=8.0, seed=1):
    rng = np.random.default_rng(seed)
    return Trace(name="made", layout="made", arrival=np.cumsum(rng.exponential(1 / rate, count)),
                 input=rng.integers(1, 2000, count), output=rng.integers(1, 400, count), hit=np.zeros(count))


def test_the_same_trace_gives_the_same_answer():
    one, two = (replay(made(), PACE, replicas=2) for _ in range(2))
    assert (one.e2e == two.e2e).all()
    assert (one.busy, one.batch, one.peak) == (two.busy, two.batch, two.peak)


def test_times_are_in_order_and_the_tokens_add_up():
    trace = made()
    found = replay(trace, PACE)
    assert found.finished.all()
    assert (found.ttft > PACE.request).all()
    several = trace.output > 1
    assert found.e2e == pytest.approx(found.ttft + np.where(several, found.tpot, 0) * (trace.output - 1), rel=1e-9)
    assert np.isnan(found.tpot[~several]).all()
    assert 0 < found.utilisation <= 1
    # Little: sequences that decode, over the whole time.
    assert found.batch * found.span == pytest.approx((found.e2e - found.ttft).sum(), rel=1e-9)
    told = summary(found, 1.0, 0.05)
    assert told.tokens * found.span == pytest.approx(trace.output.sum())
    assert told.requests * found.span == pytest.approx(trace.count)
    assert told.goodput == pytest.approx(told.good * told.requests)


def test_more_replicas_a_faster_chip_and_a_slower_trace_help():
    trace, faster = made(rate=16.0), machine(system(FACTS, "hgx-b200"), FACTS)
    base = summary(replay(trace, PACE), 1.0, 0.05)
    for other in (replay(trace, PACE, replicas=2), replay(trace, pace(TASK, faster, fixed(1))),
                  replay(trace.faster(0.5), PACE)):
        better = summary(other, 1.0, 0.05)
        assert (better.e2e < base.e2e).all()
        assert better.good >= base.good


def test_the_router_that_looks_beats_the_one_that_does_not():
    trace = made(rate=40.0)
    least, turn = (summary(replay(trace, PACE, replicas=4, router=r), 1.0, 0.05) for r in ("least", "turn"))
    assert least.e2e[2] < turn.e2e[2]


def test_cached_prefixes_save_time():
    trace = made()
    cached = replace(trace, hit=np.minimum(trace.input // 2, trace.input - 1))
    assert np.nanmean(replay(cached, PACE).ttft) < np.nanmean(replay(trace, PACE).ttft)


def test_progress_is_told_and_reaches_the_end():
    seen = []
    replay(made(count=2 * BLOCK + 5), PACE, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(BLOCK, 2 * BLOCK + 5), (2 * BLOCK, 2 * BLOCK + 5), (2 * BLOCK + 5, 2 * BLOCK + 5)]


def test_an_interrupt_keeps_what_is_done():
    trace = made(count=3 * BLOCK)

    def stop(done, total):
        if done >= 2 * BLOCK:
            raise KeyboardInterrupt

    found, whole = replay(trace, PACE, replicas=2, progress=stop), replay(trace, PACE, replicas=2)
    assert found.partial
    assert not whole.partial
    done = found.finished
    assert 1.9 * BLOCK < done.sum() <= 2 * BLOCK
    assert (found.e2e[done] == whole.e2e[done]).all()
    told = summary(found, 10.0, 10.0)
    assert told.good == 1.0


def test_what_never_fits_is_refused_and_meets_no_target():
    trace = made(count=100)
    small = replace(PACE, capacity=1200.0)
    found = replay(trace, small)
    assert (found.refused == (np.ceil((trace.input + trace.output) / 16) * 16 > 1200)).all()
    assert 0 < found.refused.sum() < 100
    assert summary(found, 1e6, 1e6).good == pytest.approx(1 - found.refused.mean())


def test_speculation_saves_steps():
    """A request alone: its step of three positions, over the 2.19 tokens it brings."""
    job, one = replace(TASK, draft=2, accept=0.7), fixed(1)
    table = pace(job, ON, one)
    assert table.gain == pytest.approx(1 + 0.7 + 0.49)
    alone = Trace(name="one", layout="made", arrival=[0.0], input=[1000], output=[2191], hit=[0])
    step = float(decode_parts(job, ON, one, np.ones(1), 2095.0).total[0])
    assert replay(alone, table).tpot[0] == pytest.approx(step / table.gain, rel=1e-3)
    assert replay(alone, table).tpot[0] < 0.7 * replay(alone, PACE).tpot[0]


def test_pools_apart_decode_undisturbed():
    trace = made(rate=12.0)
    together = replay(trace, PACE, replicas=2)
    apart = replay_apart(trace, PACE, PACE, prefills=1, decodes=1)
    assert apart.lanes == 2
    assert np.nanquantile(apart.tpot, 0.99) < np.nanquantile(together.tpot, 0.99)
    slow = replay_apart(trace, PACE, PACE, prefills=1, decodes=1, transfer=0.5)
    at_once = trace.output == 1
    assert slow.ttft[at_once] == pytest.approx(apart.ttft[at_once])
    # The last of those decode steps that a first token waits for differ a little, as other sequences run beside it.
    assert slow.ttft[~at_once] == pytest.approx(apart.ttft[~at_once] + 0.5, abs=0.02)
    assert np.nanmedian(slow.e2e) > np.nanmedian(apart.e2e) + 0.4


def test_pools_apart_refuse_what_either_cannot_hold():
    trace, small = made(count=100), replace(PACE, capacity=1200.0)
    for ahead, behind in ((PACE, small), (small, PACE)):
        found = replay_apart(trace, ahead, behind, prefills=1, decodes=1)
        assert 0 < found.refused.sum() < 100
        assert (found.finished == ~found.refused).all()


def test_an_interrupt_in_either_pool_is_told():
    trace = made(count=2 * BLOCK)
    calls = []

    def stop(done, total):
        calls.append(done)
        if len(calls) == 3:  # the first block of the decoding pool
            raise KeyboardInterrupt

    found = replay_apart(trace, PACE, PACE, prefills=1, decodes=1, progress=stop)
    assert found.partial
    assert 0 < found.finished.sum() < trace.count


def test_transfer_takes_its_bytes_and_its_latency():
    trace = made(count=3)
    bytes_each = 2 * 32 * 2 * 8 * 128  # bf16, 32 layers, keys and values of 8 heads of 128
    assert travel_time(trace, TASK.arch, "bf16", 50e9, 1e-3) == pytest.approx(1e-3 + trace.input * bytes_each / 50e9)


def test_nothing_finished_has_no_quantiles():
    found = replay(made(count=5), replace(PACE, capacity=1.0))
    told = summary(found, 1.0, 1.0)
    assert found.refused.all()
    assert np.isnan(told.ttft).all()
    assert (told.good, told.requests) == (0.0, 0.0)
