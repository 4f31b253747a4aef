"""Live through a plan: a heap of dated events, exact where the planner's linear programme is not.

The planner's clock is monthly and its recourse continuous. Here racks are whole, go in one after another at the site's
install rate, a training run stands still until its whole gang is there, and failures stop it one by one. With all of
that switched off (`PLANNED`) the replay must reproduce the plan; tests hold it to that.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field

import numpy as np

from exafleet.facts.records import TrainJob
from exafleet.fleet.rates import Rates
from exafleet.market.market import Floats
from exafleet.plan.plan import Placement, Plan
from exafleet.replay.trace import Trace

_DAY = 86_400.0
_MOMENT = 1.0   # shorter waits are rounding
_MONTH, _ARRIVED, _FAIL, _RESUME, _PAUSE = range(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """What is lived through exactly.

    whole     units are whole
    days      installation takes its days within the month
    failures  failures stop runs one by one (otherwise their mean is taken off the rate)
    """

    whole: bool = True
    days: bool = True
    failures: bool = True


PLANNED = Detail(whole=False, days=False, failures=False)


@dataclass(slots=True)
class _Run:
    """A training run while it is lived through. `speed` is the share of the run done per second of running."""

    job: int
    holders: list[int]
    chips: float
    speed: float
    between: float
    repair: float
    quota: float = 0.0
    running: bool = False
    broken: bool = False
    since: float = 0.0
    done: float = 0.0
    finish: float = float("nan")
    waited: float = 0.0
    stops: int = 0
    lost: float = 0.0
    epoch: int = 0


@dataclass(slots=True)
class _Life:
    """State of one life: standing units by holder, integrals for the means, and the heap of events."""

    standing: Floats
    area: Floats
    changed: Floats
    heap: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)
    now: float = 0.0
    events: int = 0

    def push(self, when: float, kind: int, which: int, extra: int = 0) -> None:
        heapq.heappush(self.heap, (when, next(self.order), kind, which, extra))

    def change(self, holder: int, units: float) -> None:
        """Units come or go; the mean over the month keeps the area under the step."""
        self.area[holder] += self.standing[holder] * (self.now - self.changed[holder])
        self.changed[holder] = self.now
        self.standing[holder] += units

    def mean(self, start: float, end: float) -> Floats:
        """Time mean of the standing units since `start`, and begin the next month."""
        self.area += self.standing * (end - self.changed)
        mean = self.area / (end - start)
        self.area[:] = 0.0
        self.changed[:] = end
        return np.asarray(mean)


def replay(plan: Plan, rates: Rates, *, draw: int = 0, chip_mtbf: float = np.inf,
           detail: Detail | None = None, seed: int = 0) -> Trace:
    """Live through one draw of a plan.

    draw       which of the plan's draws
    chip_mtbf  mean time between failures that one chip causes; inf is never           [s]
    detail     what is lived through exactly; everything by default
    seed       of the failures

    The recourse of the draw (where racks go, who borrows, what is rented) is taken from the plan; what follows
    from it is computed afresh from the rates. A run that takes longer than planned keeps its gang; what other jobs
    planned to do with those chips in the meantime is not taken off them.
    """
    life = _Lived(plan, rates, draw, detail or Detail(), chip_mtbf, np.random.Generator(np.random.PCG64(seed)))
    return life.through(seed)


class _Lived:
    """One life: set up, handle every event in the order of time, read the trace."""

    def __init__(self, plan: Plan, rates: Rates, draw: int, detail: Detail, chip_mtbf: float,
                 rng: np.random.Generator) -> None:
        market = plan.market
        self.plan, self.rates, self.draw, self.detail, self.rng = plan, rates, draw, detail, rng
        holders, jobs, months = len(plan.holder_owner), len(market.scenario.jobs), market.months
        self.starts = np.concatenate([[0.0], np.cumsum(market.seconds)])
        held = market.holdings[plan.holder_owner, plan.holder_site, plan.holder_system].astype(float)
        self.state = _Life(standing=held, area=np.zeros(holders), changed=np.zeros(holders))
        self.chips = market.chips[plan.holder_system] if holders else np.zeros(0)
        self.installed, self.owned = np.zeros((holders, months)), np.zeros((holders, months))
        self.progress, self.served = np.zeros((jobs, months)), np.zeros((jobs, months))
        self.used, self.lent = np.zeros((holders, months)), np.zeros((holders, months))
        owners = {owner.id: o for o, owner in enumerate(market.scenario.owners)}
        self.job_owner = [owners[job.owner] for job in market.scenario.jobs]
        self.runs = self._runs(chip_mtbf)
        self.changes = self._changes(held)

    def through(self, seed: int) -> Trace:
        """Handle every event; return what happened."""
        months = self.plan.market.months
        for t in range(months + 1):
            self.state.push(self.starts[t], _MONTH, t)
        while self.state.heap:
            when, _, kind, which, extra = heapq.heappop(self.state.heap)
            self.state.now = when
            self.state.events += 1
            if kind == _MONTH:
                self._month(which)
            elif kind == _ARRIVED:
                self.state.change(which, float(extra))
                self._gangs()
            else:
                self._run_event(which, kind, extra)
        return self._trace(seed)

    def _month(self, t: int) -> None:
        """Close the month that ends here, then open the next one."""
        if t > 0:
            self._close(t - 1)
        if t == self.plan.market.months:
            return
        self._install(t)
        for run in self.runs:
            planned = float(self.plan.use[self.draw, run.job, :, t].sum()) / run.chips
            # Once begun a run keeps its gang until it is done, whatever month the plan thought that would be.
            begun = self._exact() and (planned > 1e-6 or run.done > 0)
            run.quota = float(self.plan.market.seconds[t]) * (1.0 if begun else planned)
        self._gangs()

    # -- racks ------------------------------------------------------------------------------------------------------

    def _changes(self, held: Floats) -> tuple[Floats, Floats]:
        """Units that go in through the installers, and those that come or go otherwise, by holder and month. [H, T]"""
        plan, n = self.plan, self.draw
        standing = np.concatenate([held[:, None], plan.installed[n]], axis=1)
        other = np.diff(standing, axis=1) - plan.install[n]
        if not self.detail.whole:
            return plan.install[n], other
        total = np.floor(np.cumsum(plan.install[n] + other, axis=1) + held[:, None] + 1e-6)
        net = np.diff(total, axis=1, prepend=held[:, None])
        return np.maximum(net, 0.0), np.minimum(net, 0.0)

    def _install(self, t: int) -> None:
        """Racks leave at once; they come at once, or one after another at the pace of the site's installers."""
        install, other = self.changes
        for h in np.flatnonzero(other[:, t]):
            self.state.change(int(h), float(other[h, t]))
        busy: dict[int, float] = {}
        for h in np.flatnonzero(install[:, t]):
            units = float(install[h, t])
            if not (self.detail.days and self.detail.whole):
                self.state.change(int(h), units)
                continue
            site = int(self.plan.holder_site[h])
            pace = self._pace(site, int(self.plan.holder_system[h]), t)
            for _ in range(int(units)):
                busy[site] = busy.get(site, self.state.now) + pace
                self.state.push(min(busy[site], self.starts[t + 1] - 1e-3), _ARRIVED, int(h), 1)

    def _pace(self, site: int, system: int, t: int) -> float:
        """Seconds the installers of a site need for one unit."""
        market = self.plan.market
        rate = market.install[site, t] / market.seconds[t]
        return float(market.racks[system] / rate) if rate > 0 else 0.0

    # -- runs -------------------------------------------------------------------------------------------------------

    def _runs(self, chip_mtbf: float) -> list[_Run]:
        market = self.plan.market
        jobs = {job.id: j for j, job in enumerate(market.scenario.jobs)}
        return [self._run(jobs[p.job], p, chip_mtbf) for p in self.plan.placements]

    def _run(self, j: int, placed: Placement, chip_mtbf: float) -> _Run:
        market = self.plan.market
        job = market.scenario.jobs[j]
        assert isinstance(job, TrainJob)
        at = self.rates.jobs.index(job.id), self.rates.systems.index(placed.system)
        size = int(np.flatnonzero(self.rates.sizes[at] == placed.chips)[0])
        speed = float(self.rates.work_per_s[at][size] / job.tokens * self.plan.draws.rate[self.draw, j])
        goodput = float(self.rates.goodput[at][size])
        stops = chip_mtbf / placed.chips if self.detail.failures else np.inf
        if np.isfinite(stops):
            speed /= goodput
        return _Run(job=j, holders=self._group(j, placed), chips=float(placed.chips), speed=speed, between=stops,
                    repair=stops * (1.0 - goodput) / goodput if np.isfinite(stops) else 0.0)

    def _group(self, j: int, placed: Placement) -> list[int]:
        """Holders a gang may draw from: those it ever uses; none for a rental, whose chips are there by contract."""
        if placed.rented:
            return []
        holders = len(self.plan.holder_owner)
        return [int(h) for h in np.flatnonzero(self.plan.use[self.draw, j, :holders].sum(axis=1) > 1e-6)]

    def _gang_there(self, run: _Run) -> bool:
        if not run.holders:
            return True
        return bool((self.state.standing[run.holders] * self.chips[run.holders]).sum() >= run.chips * (1 - 1e-6))

    def _gangs(self) -> None:
        """Start every run that has time left this month and whose gang is complete; stop those whose gang is not."""
        for r, run in enumerate(self.runs):
            there = self._gang_there(run) or not self._exact()
            if run.running and not there:
                self._stop(run)
            elif not run.running and not run.broken and there and run.quota > 1e-6 and np.isnan(run.finish):
                self._start(r, run)

    def _exact(self) -> bool:
        return self.detail.whole or self.detail.days

    def _start(self, r: int, run: _Run) -> None:
        run.running, run.since, run.epoch = True, self.state.now, run.epoch + 1
        self.state.push(self.state.now + run.quota, _PAUSE, r, run.epoch)
        if np.isfinite(run.between):
            self.state.push(self.state.now + float(self.rng.exponential(run.between)), _FAIL, r, run.epoch)

    def _stop(self, run: _Run) -> None:
        """Count what was done since the run started; note the moment it was finished."""
        ran = self.state.now - run.since
        run.running = False
        run.quota = max(run.quota - ran, 0.0)
        before, run.done = run.done, run.done + ran * run.speed
        if run.done >= 1.0 - 1e-9 and np.isnan(run.finish):
            run.finish = run.since + min((1.0 - before) / run.speed, ran)
            run.done = 1.0

    def _run_event(self, r: int, kind: int, epoch: int) -> None:
        run = self.runs[r]
        if epoch != run.epoch:
            return
        if kind == _RESUME:
            run.broken = False
            self._gangs()
            return
        self._stop(run)
        if kind == _FAIL and np.isnan(run.finish):
            down = float(self.rng.exponential(run.repair))
            run.stops, run.lost, run.broken = run.stops + 1, run.lost + down, True
            run.quota = max(run.quota - down, 0.0)
            self.state.push(self.state.now + down, _RESUME, r, run.epoch)

    # -- the month's books ------------------------------------------------------------------------------------------

    def _close(self, t: int) -> None:
        start, end = self.starts[t], self.starts[t + 1]
        for run in self.runs:
            if run.running:
                self._stop(run)
                run.epoch += 1
            if np.isnan(run.finish) and not run.broken:
                run.waited += run.quota if run.quota > _MOMENT else 0.0
            self.progress[run.job, t] = min(run.done, 1.0)
        mean = self.state.mean(start, end)
        self.installed[:, t] = self.state.standing
        self.owned[:, t] = mean * self.chips
        self._books(t, mean)

    def _books(self, t: int, mean: Floats) -> None:
        """Who used what: the plan's use, cut where fewer units stood than planned."""
        plan, n, holders = self.plan, self.draw, len(self.plan.holder_owner)
        planned = plan.installed[n, :, t]
        there = np.ones(plan.use.shape[2])
        there[:holders] = np.clip(np.divide(mean, planned, out=np.ones(holders), where=planned > 1e-9), 0.0, 1.0)
        use = plan.use[n, :, :, t] * there
        for j, job in enumerate(plan.market.scenario.jobs):
            own = plan.holder_owner == self.job_owner[j]
            self.used[own, t] += use[j, :holders][own]
            self.lent[~own, t] += use[j, :holders][~own]
            if not isinstance(job, TrainJob):
                whole = float(plan.use[n, j, :, t].sum())
                self.served[j, t] = plan.served[n, j, t] * (float(use[j].sum()) / whole if whole > 0 else 1.0)

    def _trace(self, seed: int) -> Trace:
        jobs = len(self.plan.market.scenario.jobs)
        waited, lost, stops = np.zeros(jobs), np.zeros(jobs), np.zeros(jobs, dtype=np.int64)
        finish = np.full(jobs, np.nan)
        for run in self.runs:
            j = run.job
            finish[j], waited[j], lost[j], stops[j] = run.finish, run.waited, run.lost, run.stops
        missing = self.plan.installed[self.draw] - self.owned / np.maximum(self.chips[:, None], 1.0)
        late = (missing.clip(min=0.0) * self.plan.market.seconds / _DAY).sum(axis=1)
        return Trace(draw=self.draw, seed=seed, progress=self.progress, finish=finish, waited=waited,
                     stops=stops, lost=lost, served=self.served,
                     installed=self.installed, owned=self.owned, used=self.used, lent=self.lent,
                     idle=np.maximum(self.owned - self.used - self.lent, 0.0), late=late, events=self.state.events)
