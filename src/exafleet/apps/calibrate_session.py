"""One run of measurements: groups in turn within the time that was given, points as they come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exafleet.apps.calibrate_rows import Target
    from exafleet.ops.measure import Case, Clock, Machine, Point


class Session:
    """One run of measurements: what was asked, and the points as they come in."""

    def __init__(self, machine: Machine, target: Target, groups: list[str], quick: bool, ranks: int,
                 length: float) -> None:
        from exafleet.apps.progress import Progress

        self.machine, self.target = machine, target
        self.groups, self.quick, self.ranks = groups, quick, ranks
        self.length = length
        self.points: list[Point] = []
        self.skipped: list[str] = []
        self.drift, self.launch = 0.0, 0.0
        self.progress = Progress.to_stderr()

    def run(self) -> None:
        """Measure every group; each may take an equal part of the time that is left."""
        import time

        from exafleet.ops import measure

        began = time.monotonic()
        clock = measure.Clock(self.machine, quick=self.quick, ranks=self.ranks)
        with self.progress.phase("warming up"):
            rate = self.target.rates.get("bf16") or measure.probe(clock, "bf16")
            bandwidth = self.target.rates.get("hbm_bw") or measure.probe_memory(clock)
            before = self._reference(clock, rate)
        for i, group in enumerate(self.groups):
            now = time.monotonic()
            deadline = now + (began + self.length - now) / (len(self.groups) - i)
            with self.progress.phase(group):
                if group == "collectives":
                    self._collectives(deadline)
                else:
                    self._operators(clock, self._cases(group, rate, bandwidth), deadline)
        with self.progress.phase("cooling down"):
            self.launch = clock.launch()
            self.drift = self._reference(clock, rate) / before - 1.0

    def _reference(self, clock: Clock, rate: float) -> float:
        """Seconds of one product, the same at the beginning and at the end: a clock that throttles shows here."""
        from exafleet.ops import measure

        side = 2 * measure.middling(rate, measure.LONGEST[self.machine.kind])
        run = measure._product(side, side, side, "bf16")(clock.torch, self.machine.device)
        return clock.time(run)[0]

    def _cases(self, group: str, rate: float, bandwidth: float) -> list[Case]:
        from exafleet.ops import measure

        if group == "gemm":
            cases = measure.product_cases(self.machine, "bf16", rate, bandwidth, quick=self.quick)
            if "fp8" in self.target.rates:
                cases += measure.product_cases(self.machine, "fp8", self.target.rates["fp8"], bandwidth,
                                               quick=self.quick)
            return cases
        if group == "memory":
            return measure.memory_cases(self.machine, bandwidth, quick=self.quick)
        return [c for kind in ("attention", "mla")
                for c in measure.attention_cases(self.machine, kind, rate, bandwidth, quick=self.quick)]

    def _operators(self, clock: Clock, cases: list[Case], deadline: float) -> None:
        from exafleet.ops.measure import measure

        done: list[Case] = []

        def told(case: Case) -> None:
            done.append(case)
            self.progress.count(len(done), len(cases))

        for point in measure(clock, cases, deadline=deadline, told=told, skipped=self.skipped):
            self.points.append(point)

    def _collectives(self, deadline: float) -> None:
        from exafleet.ops.measure_net import RanksFailed, collective_points

        if self.ranks < 2:
            self.skipped.append("collectives: one device has nobody to talk to"
                                + ("; --ranks 2 starts two processes" if self.machine.kind == "cpu" else ""))
            return
        if "link_bw" not in self.target.rates and "link_bw" not in self.target.best:
            self.skipped.append('collectives: the chip has no scale-up link in the facts; give --link-bw, or "best"')
            return
        if self.machine.kind == "cuda" and self.ranks > self.machine.count:
            self.skipped.append(f"collectives: {self.ranks} ranks need as many GPUs; here are {self.machine.count}")
            return
        try:
            for point in collective_points(self.machine.kind, self.ranks, deadline=deadline, quick=self.quick):
                self.points.append(point)
                self.progress.step(f"{point.at} of {point.sizes['nbytes']:,.0f} B")
        except RanksFailed as error:
            self.skipped.append(f"collectives: {error}")
