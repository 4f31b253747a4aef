"""What a rate is made of: the parts of its steps give the rate again, and the operators give the parts."""

from dataclasses import replace

import numpy as np
import pytest

from exafleet.facts.records import ResearchJob, ServeJob, TrainJob
from exafleet.fleet.breakdown import PHASES, Served, chosen, spent


def cells(tiny):
    """Every job that runs, with its system, size and place in the rates."""
    rates = tiny.rates
    for job in tiny.world.scenario.jobs:
        j = rates.jobs.index(job.id)
        for k, name in enumerate(rates.systems):
            for z in np.flatnonzero(rates.work_per_s[j, k] > 0).tolist():
                yield job, name, (j, k, z)


def test_the_parts_of_a_step_give_the_rate_again(tiny):
    kinds = set()
    for job, name, at in cells(tiny):
        size, work = int(tiny.rates.sizes[at]), float(tiny.rates.work_per_s[at])
        runs = chosen(tiny.world, job, name, size)
        assert runs, (job.id, name, size)
        told = [spent(tiny.world, run) for run in runs]
        if isinstance(job, TrainJob):
            task = runs[0].task
            again = task.batch * task.seq / told[0].whole("step") * tiny.rates.goodput[at]
        elif isinstance(job, ResearchJob):
            speeds = [run.task.batch * run.task.seq / t.whole(run.phase) / run.chips
                      for run, t in zip(runs, told, strict=True)]
            again = size * tiny.rates.goodput[at] * speeds[0] / speeds[-1]
        else:
            assert isinstance(job, ServeJob)
            (run,), (times,) = runs, told
            assert isinstance(run, Served)
            life = times.whole("first token") + (job.output_tokens - 1.0) * times.whole("output token")
            replica = run.concurrency * job.output_tokens / life * tiny.rates.goodput[at]
            # What packing into domains leaves idle is taken off the rate, not off the step.
            assert replica == pytest.approx(work, rel=0.15)
            assert replica >= work * (1 - 1e-9)
            again = work
        assert again == pytest.approx(work, rel=1e-9), (job.id, name, size)
        assert runs[0].words == tiny.rates.layout[at[0]][at[1]][at[2]]
        kinds.add(type(job))
    assert kinds == {TrainJob, ServeJob, ResearchJob}


def test_operators_add_up_to_the_part_they_belong_to(tiny):
    for job, name, at in cells(tiny):
        for run in chosen(tiny.world, job, name, int(tiny.rates.sizes[at])):
            told = spent(tiny.world, run)
            sums: dict[tuple[str, str], float] = {}
            for (phase, part, _, _), time in told.operators.items():
                sums[phase, part] = sums.get((phase, part), 0.0) + time
            assert sums
            assert sums == pytest.approx({key: told.parts[key] for key in sums}, rel=1e-9)
            assert {phase for phase, _ in told.parts} <= set(PHASES)
            # The products are there by name, forward and backward where it trains.
            ways = {way for *_, way in told.operators}
            assert ways == ({"forward"} if isinstance(run, Served) else {"forward", "dgrad", "wgrad"})


def test_a_slower_memory_slows_the_operators_that_wait_for_it(tiny):
    job = next(j for j in tiny.world.scenario.jobs if isinstance(j, TrainJob))
    at = next(at for one, name, at in cells(tiny) if one is job and name == "hgx-h100")
    run, = chosen(tiny.world, job, "hgx-h100", int(tiny.rates.sizes[at]))
    half = tiny.world.scaled("h100-sxm.hbm_bw", 0.5)
    before, after = spent(tiny.world, run).operators, spent(half, run).operators
    assert before.keys() == after.keys()
    assert all(after[key] >= before[key] * (1 - 1e-12) for key in before)
    moving = next(key for key in before if key[2] == "mlp norm")
    assert after[moving] / before[moving] == pytest.approx(2.0, rel=0.1)
    product = next(key for key in before if key[2] == "mlp in" and key[3] == "forward")
    assert after[product] / before[product] < 1.3


def test_what_is_not_known_or_does_not_run_has_no_parts(tiny):
    train = next(j for j in tiny.world.scenario.jobs if isinstance(j, TrainJob))
    serve = next(j for j in tiny.world.scenario.jobs if isinstance(j, ServeJob))
    assert chosen(tiny.world, train, "no-such-system", 8) == ()
    assert chosen(tiny.world, replace(serve, tpot=1e-9), "hgx-h100", 8) == ()
