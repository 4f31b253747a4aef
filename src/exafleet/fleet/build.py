"""From a world to Rates: every job of the scenario on every system that occurs in it, at the sizes that matter.

Training jobs are timed on a ladder of gang sizes (whole units, powers of two and one and a half times those), serving
jobs on the best replica, research jobs on one unit against their reference system. Failures, repairs and power come
from the other files of this floor. A figure that is not known makes Why.NO_FACTS, never an exception.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System, system
from exafleet.facts.records import Job, ResearchJob, Scenario, ServeJob, TrainJob
from exafleet.facts.steps import Steps
from exafleet.facts.world import World
from exafleet.fleet.goodput import NODE, Reliability, goodput, reliability, system_mtbf
from exafleet.fleet.power import Activity, power
from exafleet.fleet.rates import Rates
from exafleet.service.search import ServeResult, search_serve
from exafleet.step.limits import PLAIN, Limits
from exafleet.step.search import TrainResult, search_train
from exafleet.step.serve import ServeTask
from exafleet.step.serve_layouts import ServeLimits
from exafleet.step.train import Steps as TrainSteps
from exafleet.step.train import TrainTask, sequences
from exafleet.terms.errors import FactError
from exafleet.terms.why import Why
from exafleet.work.counts import parameters

MOST_SIZES = 6
# Layouts worth trying many times: gradients shared out, small micro-batches. Where nothing fits, all are tried.
USUAL = Limits(zero=(2, 2), mbs=(1, 2), **PLAIN)
# Up to this many units a gang also tries a power of two of each domain; above, only where all chips find no layout.
SMALL_UNITS = 4
# A research run of no particular shape: what an ablation of this model looks like.
RESEARCH_SEQ, RESEARCH_BATCH, RESEARCH_UNITS = 4096, 256, (1, 2, 4, 8, 16, 32)
# Replicas of up to a scale-up domain are tried, but at least and at most these; packing is judged on a pool of domains.
MOST_REPLICA, LEAST_REPLICA, POOL_DOMAINS = 256, 64, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One (job, system, size) of Rates, in its units."""

    size: int
    work: float = 0.0
    low: float = 0.0
    high: float = 0.0
    power: float = 0.0
    goodput: float = 0.0
    mfu: float = 0.0
    why: Why = Why.OK
    layout: str = ""


@dataclass(frozen=True, slots=True)
class Bench:
    """Facts, and answers already found: jobs on the same model, system and size share them."""

    facts: Facts
    trained: dict[tuple[TrainTask, str, int], TrainResult] = field(default_factory=dict)

    def train(self, task: TrainTask, on: System, chips: int) -> TrainResult:
        """Best layout of a training step, found once."""
        key = (task, on.id, chips)
        if key not in self.trained:
            result = search_train(task, on, chips, self.facts, limits=USUAL, trade=False)
            if result.best is None and result.why.get(Why.HBM_FULL):
                result = search_train(task, on, chips, self.facts, trade=False)
            self.trained[key] = result
        return self.trained[key]


def rates(world: World) -> Rates:
    """Useful work per second, watts, band or reason of every job on every system of the scenario, at each size."""
    scenario, bench = world.scenario, Bench(world.facts)
    names = scenario_systems(scenario)
    cells = [[_cells(bench, scenario, job, name) for name in names] for job in scenario.jobs]
    return assemble([j.id for j in scenario.jobs], names, [_unit(j) for j in scenario.jobs], cells)


def scenario_systems(scenario: Scenario) -> tuple[str, ...]:
    """Systems of holdings, open orders, offers and rentals, in that order, each once."""
    held: Iterable[str] = (r.system for part in (scenario.holdings, scenario.open_orders, scenario.offers,
                                                 scenario.rentals) for r in part)
    return tuple(dict.fromkeys(held))


def assemble(jobs: Sequence[str], systems: Sequence[str], units: Sequence[str],
             cells: Sequence[Sequence[Sequence[Cell]]]) -> Rates:
    """Rates from cells [J][K][<= Z]; shorter lists are padded with size 0."""
    most = max((len(row) for job in cells for row in job), default=1)
    empty = Cell(size=0, why=Why.TOO_FEW)
    full = [[[*row, *[empty] * (most - len(row))] for row in job] for job in cells]
    shape = (len(jobs), len(systems), most)

    def floats(pick: Callable[[Cell], float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.array([[[pick(c) for c in row] for row in job] for job in full], dtype=np.float64).reshape(shape)

    return Rates(
        jobs=tuple(jobs), systems=tuple(systems), units=tuple(units),
        sizes=floats(lambda c: c.size).astype(np.int64), work_per_s=floats(lambda c: c.work),
        low=floats(lambda c: c.low), high=floats(lambda c: c.high), power=floats(lambda c: c.power),
        goodput=floats(lambda c: c.goodput), mfu=floats(lambda c: c.mfu),
        why=floats(lambda c: c.why).astype(np.int64),
        layout=tuple(tuple(tuple(c.layout for c in row) for row in job) for job in full),
    )


def _unit(job: Job) -> str:
    return "chip-s" if isinstance(job, ResearchJob) else "token"


def _cells(bench: Bench, scenario: Scenario, job: Job, name: str) -> list[Cell]:
    """Cells of one job on one system; a figure that is not known becomes a reason."""
    try:
        on = system(bench.facts, name)
        if job.systems and on.id not in job.systems and name not in job.systems:
            return [Cell(size=on.chips, why=Why.NOT_OFFERED)]
        model = arch(bench.facts, job.model)
        if isinstance(job, ResearchJob):
            return [_research(bench, job, on, model)]
        known = reliability(bench.facts)
        if isinstance(job, TrainJob):
            return _training(bench, scenario, job, on, model, known)
        return [_serving(bench, job, on, model, known)]
    except FactError:
        return [Cell(size=1, why=Why.NO_FACTS)]


def repair_share(facts: Facts) -> float:
    """Mean share of servers out for repair: failures times time until back. [1]"""
    out = facts.value(f"{NODE}.node_failure_rate") * facts.value(f"{NODE}.repair_time")
    return out / (1.0 + out)


# ------------------------------------------------------------------------------------------------------ training
def _training(bench: Bench, scenario: Scenario, job: TrainJob, on: System, model: Arch,
              known: Reliability) -> list[Cell]:
    sizes = gang_sizes(on, job.least, job.most or math.inf, ceiling(scenario, on))
    if not sizes:
        too_few = ceiling(scenario, on) < job.least
        return [Cell(size=max(job.least, on.chips), why=Why.TOO_FEW if too_few else Why.TOO_MANY)]
    task = training_task(job, model)
    return [_gang(bench, task, on, size, known) for size in sizes]


def training_task(job: TrainJob, model: Arch) -> TrainTask:
    """A step of a training job."""
    return TrainTask(arch=model, seq=job.seq, batch=sequences(job.batch, job.seq), dtype=job.dtype)


def fastest_gang(bench: Bench, task: TrainTask, on: System, size: int) -> tuple[TrainSteps | None, Why]:
    """The fastest step of a gang, or why there is none; units whose count does not divide work may leave spares."""
    tries = [bench.train(task, on, chips) for chips in used_chips(on, size)[:1]]
    if tries[0].best is None or size <= SMALL_UNITS * on.chips:
        tries += [bench.train(task, on, chips) for chips in used_chips(on, size)[1:]]
    found = [t.best for t in tries if t.best is not None]
    if not found:
        reasons = tries[0].why
        return None, next((w for w in (Why.NO_DTYPE, Why.HBM_FULL) if reasons.get(w)), Why.NOT_DIVISIBLE)
    return max(found, key=lambda s: float(s.tokens_per_s[0])), Why.OK


def _gang(bench: Bench, task: TrainTask, on: System, size: int, known: Reliability) -> Cell:
    """A gang of whole units."""
    best, why = fastest_gang(bench, task, on, size)
    if best is None:
        return Cell(size=size, why=why)
    params = float(parameters(task.arch, mtp=True).total)
    shares = goodput(params, size, known, chip_write=on.chip.nic_bw or math.inf)
    useful = float(shares["useful"]) * (1.0 - repair_share(bench.facts))
    return Cell(size=size, work=float(best.tokens_per_s[0]) * useful, low=float(best.low[0]) * useful,
                high=float(best.high[0]) * useful, power=float(power(on, bench.facts, Activity.TRAINING, size).total),
                goodput=useful, mfu=float(best.mfu[0]), layout=best.layouts.words()[0])


def used_chips(on: System, size: int) -> tuple[int, ...]:
    """Chips of a gang that may work: all, or the largest power of two of each scale-up domain (64 of 72)."""
    whole = 1 << (on.domain.bit_length() - 1)
    if whole == on.domain or size < on.domain:
        return (size,)
    return size, size // on.domain * whole


def ceiling(scenario: Scenario, on: System) -> float:
    """Most chips of a system the scenario could ever hold at once: owned, ordered, on offer and for rent. [1]"""
    months = np.arange(scenario.start, scenario.start + scenario.months)
    owned = sum(h.units for h in scenario.holdings if h.system == on.id)
    owned += sum(o.units for o in scenario.open_orders if o.system == on.id)
    offered = sum(min(o.total, float(o.supply.at(months).sum())) for o in scenario.offers if o.system == on.id)
    rented = sum(_most(r.most, months) for r in scenario.rentals if r.system == on.id)
    return float(owned + offered) * on.chips + rented


def _most(steps: Steps, months: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> float:
    return float(np.max(steps.at(months), initial=0.0))


def gang_sizes(on: System, least: float, most: float, held: float) -> list[int]:
    """At most MOST_SIZES gang sizes in whole units, from the smallest to the largest that may be asked. [chips]

    Powers of two and one and a half times those: counts that divide batches and layouts.
    """
    low, high = max(least, on.chips), min(most, held)
    rungs = {u for e in range(24) for u in (1 << e, 3 << e)}
    sizes = [u * on.chips for u in sorted(rungs) if low <= u * on.chips <= high]
    if not sizes and low <= high:
        units = math.floor(high / on.chips)
        sizes = [units * on.chips] if units * on.chips >= low else []
    if len(sizes) <= MOST_SIZES:
        return sizes
    # The largest sizes decide when a run ends; small ones thin out evenly.
    return [sizes[i] for i in sorted(set(np.linspace(0, len(sizes) - 1, MOST_SIZES).round().astype(int).tolist()))]


# ------------------------------------------------------------------------------------------------------- serving
def _serving(bench: Bench, job: ServeJob, on: System, model: Arch, known: Reliability) -> Cell:
    """The best replica, its traffic thinned by the chips that packing into scale-up domains leaves idle."""
    result = serving_result(bench, serving_task(job, model), on)
    if result.why != Why.OK or result.layout is None:
        return Cell(size=on.chips, why=result.why)
    size = result.layout.replica
    up = serving_share(size, known) * (1.0 - repair_share(bench.facts))
    share = size * up / result.chips
    return Cell(size=size, work=result.rate * share, low=result.low * share, high=result.high * share, goodput=up,
                power=float(power(on, bench.facts, Activity.SERVING, size).total),
                layout=f"{result.layout.words}, {result.layout.concurrency} at once")


def serving_task(job: ServeJob, model: Arch) -> ServeTask:
    """What a service asks of a replica."""
    return ServeTask(arch=model, input_tokens=job.input_tokens, output_tokens=job.output_tokens, ttft=job.ttft,
                     tpot=job.tpot, dtype=job.dtype, kv_dtype=job.kv_dtype)


def serving_result(bench: Bench, task: ServeTask, on: System) -> ServeResult:
    """The best replica, judged on a pool of domains."""
    largest = min(max(on.domain, LEAST_REPLICA), MOST_REPLICA)
    pool = math.lcm(on.domain, on.chips) * POOL_DOMAINS
    return search_serve(task, on, pool, bench.facts, limits=ServeLimits(replica=(1, largest)))


def serving_share(chips: int, known: Reliability) -> float:
    """Share of time a replica is up: it stops when any of its chips does, and loads its weights again. [1]"""
    return float(1.0 / (1.0 + known.restart(chips) / system_mtbf(chips, known.failure_rate)))


# ------------------------------------------------------------------------------------------------------ research
def _research(bench: Bench, job: ResearchJob, on: System, model: Arch) -> Cell:
    """Speed of one unit in chips of the reference, on the smallest run of the model that fits each of them."""
    reference = system(bench.facts, job.reference)
    here, there = _speed(bench, job, model, on), _speed(bench, job, model, reference)
    if isinstance(here, Why):
        return Cell(size=on.chips, why=here)
    if isinstance(there, Why):
        return Cell(size=on.chips, why=Why.NO_FACTS)
    ratio, low, high = here[0] / there[0], here[1] / there[0], here[2] / there[0]
    same = on.id == reference.id
    # A chip of the reference is one by definition, whatever the model makes of it.
    up = 1.0 - repair_share(bench.facts)
    return Cell(size=on.chips, work=on.chips * up * ratio, low=on.chips * up * (ratio if same else low),
                high=on.chips * up * (ratio if same else high), goodput=up, mfu=here[3], layout=here[4],
                power=float(power(on, bench.facts, Activity.TRAINING, on.chips).total))


def research_run(bench: Bench, job: ResearchJob, model: Arch, on: System) -> tuple[TrainTask, TrainSteps | None, Why]:
    """A run of the job's model at the fewest units it fits, or why there is none."""
    task = TrainTask(arch=model, seq=RESEARCH_SEQ, batch=RESEARCH_BATCH, dtype=job.dtype)
    why = Why.HBM_FULL
    for units in RESEARCH_UNITS:
        result = bench.train(task, on, used_chips(on, units * on.chips)[-1])
        if result.best is not None:
            return task, result.best, Why.OK
        if result.why.get(Why.NO_DTYPE):
            return task, None, Why.NO_DTYPE
        why = Why.HBM_FULL if result.why.get(Why.HBM_FULL) else Why.NOT_DIVISIBLE
    return task, None, why


def _speed(bench: Bench, job: ResearchJob, model: Arch, on: System) -> tuple[float, float, float, float, str] | Why:
    """Tokens per second of one chip (median, low, high), MFU and layout of such a run."""
    _, best, why = research_run(bench, job, model, on)
    if best is None:
        return why
    chips = int(best.layouts.chips[0])
    median, low, high = (float(v[0]) / chips for v in (best.tokens_per_s, best.low, best.high))
    return median, low, high, float(best.mfu[0]), best.layouts.words()[0]
