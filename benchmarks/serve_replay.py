"""Replays of request traces, in one process: requests per CPU second, beside what other simulators took.

    python benchmarks/serve_replay.py
    python benchmarks/serve_replay.py --trace AzureLLMInferenceTrace_conv.csv --repeat 10

Without --trace the requests are made up: Poisson arrivals, log-normal lengths of 1,155 tokens in and 211 out. Of each
pool it prints requests, CPU seconds of the replay (tables of step times included, start-up not) and requests per CPU
second, best of three; then the time to read the file, or one of the same layout and size written for it.

    python benchmarks/serve_replay.py --trace FILE --agreement [--spread]

prints in its place how far the analytical answer is from the replay, at shares of the saturation rate: with the
arrivals of the file, sped up or slowed down to the rate, and with its requests in random order arriving by chance
(Poisson).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.requests.agreement import TIMES, agreement
from exafleet.service.requests.curves import curves
from exafleet.service.requests.lengths import lengths_of
from exafleet.service.requests.open_loop import open_loop
from exafleet.service.requests.pace import Pace, pace
from exafleet.service.requests.replay import Replay, replay, replay_apart
from exafleet.service.requests.trace import Trace, read_trace
from exafleet.step.serve import Machine, ServeTask, machine
from exafleet.step.serve_layouts import ServeLayouts, fixed

REPEATS = 3
# Requests per CPU second of other simulators, measured on 2026-11-23 on a shared machine of two cores.
PEERS = (("Vidur", "220 to 530", "batches, iteration by iteration"),
         ("BLIS (compiled)", "370 to 560", "batches, iteration by iteration"),
         ("AISimulate (compiled)", "2,100", "batches, iteration by iteration"),
         ("fleet-sim", "131,000", "slots in place of batches"))


def main() -> None:
    """Replay on several pools, and print what it took."""
    parser = argparse.ArgumentParser(description="requests per CPU second of the replay")
    parser.add_argument("--trace", type=Path, help="a file to replay in place of made-up requests")
    parser.add_argument("--repeat", type=int, default=1, help="play the file so many times in a row")
    parser.add_argument("--requests", type=int, default=200_000, help="made-up requests")
    parser.add_argument("--model", default="llama-3-8b")
    parser.add_argument("--system", default="hgx-h100")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--tp", type=int, default=1, help="chips of a replica")
    parser.add_argument("--agreement", action="store_true", help="print errors of the analytical answer instead")
    parser.add_argument("--spread", action="store_true", help="spread requests of one time stamp up to the next")
    parser.add_argument("--loads", type=float, nargs="+", default=[0.2, 0.5, 0.7, 0.85])
    options = parser.parse_args()
    facts = load_facts(date.max)
    trace = repeated(read_trace(options.trace), options.repeat) if options.trace else made(options.requests)
    task = ServeTask(arch=arch(facts, options.model), input_tokens=float(trace.input.mean()),
                     output_tokens=float(trace.output.mean()), ttft=1.0, tpot=0.05, dtype=options.dtype)
    on = machine(system(facts, options.system), facts)
    layout = fixed(options.tp)
    print(f"{trace.name}: {trace.count:,} requests, {options.model}, a replica {layout.words(0)} of {options.system}")
    if options.agreement:
        agree(trace.spread() if options.spread else trace, task, on, layout, options.loads)
        return
    print(f"{'pool':<42} {'batch':>6} {'CPU [s]':>8} {'requests per CPU s':>19}")
    for name, speed, run in cases(task, on, layout):
        used, found = best(run, trace.faster(speed))
        print(f"{name:<42} {found.batch:>6.1f} {used:>8.3f} {trace.count / used:>19,.0f}")
    for name, rate, what in PEERS:
        print(f"{name + ', ' + what:<57} {rate:>20}")
    print(reading(options.trace, trace))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"highest resident memory {peak / (1 << 20):.0f} MiB")


def cases(task: ServeTask, on: Machine, layout: ServeLayouts) -> list[tuple[str, float, Callable[[Trace], Replay]]]:
    """Pools: name, how much faster the trace is played, replay."""
    def table() -> Pace:
        return pace(task, on, layout)

    return [("one replica", 1.0, lambda t: replay(t, table())),
            ("one replica, twice the rate", 2.0, lambda t: replay(t, table())),
            ("8 replicas, in turn", 8.0, lambda t: replay(t, table(), replicas=8, router="turn")),
            ("8 replicas, fewest outstanding", 8.0, lambda t: replay(t, table(), replicas=8)),
            ("2 that prefill, 6 that decode", 8.0,
             lambda t: replay_apart(t, table(), table(), prefills=2, decodes=6, transfer=0.01))]


def best(run: Callable[[Trace], Replay], trace: Trace) -> tuple[float, Replay]:
    """Least CPU seconds of REPEATS runs, and the answer."""
    runs = []
    for _ in range(REPEATS):
        began = time.process_time()
        found = run(trace)
        runs.append((time.process_time() - began, found))
    return min(runs, key=lambda r: r[0])


def made(count: int) -> Trace:
    """Poisson arrivals of log-normal requests."""
    rng = np.random.default_rng(1)
    given, answer = (np.maximum(rng.lognormal(np.log(mean) - wide * wide / 2, wide, count), 1).astype(np.int64)
                     for mean, wide in ((1155.0, 0.8), (211.0, 0.7)))
    return Trace(name="made up", layout="Azure", arrival=np.cumsum(rng.exponential(1 / 5.5, count)), input=given,
                 output=answer, hit=np.zeros(count, dtype=np.int64))


def agree(trace: Trace, task: ServeTask, on: Machine, layout: ServeLayouts, loads: list[float]) -> None:
    """Errors of the analytical answer, p50, p90 and p99 of each time, at shares of the saturation rate."""
    most = float(open_loop(curves(task, on, layout, lengths_of(trace)), 1.0).saturation[0])
    table, rng = pace(task, on, layout), np.random.default_rng(1)
    order, gaps = rng.permutation(trace.count), rng.exponential(1.0, trace.count)
    chance = replace(trace, arrival=np.cumsum(gaps) / gaps.sum() * trace.span, input=trace.input[order],
                     output=trace.output[order], hit=trace.hit[order])
    print(f"saturation {most:.3g} requests/s; errors in % of p50, p90, p99; rate: mean, or changing every 10 s")
    print(f"{'arrivals':<9} {'load':>5} {'bunched':>8} {'rate':<9}" + "".join(f"{name:^22}" for name in TIMES))
    for name, requests in (("by chance", chance), ("file", trace)):
        for load in loads:
            at_load = requests.faster(load * most * trace.span / trace.count)
            found = agreement(at_load, task, on, layout, table)
            for which, rate in enumerate(("mean", "changing")):
                errors = "".join(" " * 2 + " ".join(f"{100 * e:>+6.0f}" for e in found.error(t)[which]) for t in TIMES)
                print(f"{name:<9} {load:>5.2f} {found.dispersion:>8.1f} {rate:<9}{errors}")


def repeated(trace: Trace, times: int) -> Trace:
    """The trace so many times in a row."""
    gap = trace.span + trace.span / max(trace.count, 1)
    return replace(trace, arrival=np.concatenate([trace.arrival + i * gap for i in range(times)]),
                   input=np.tile(trace.input, times), output=np.tile(trace.output, times),
                   hit=np.tile(trace.hit, times))


def reading(path: Path | None, trace: Trace) -> str:
    """How long the file takes to read, in words."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "made.csv"
            moments = np.datetime64("2024-01-01", "ns") + (trace.arrival * 1e9).astype("timedelta64[ns]")
            rows = zip(np.datetime_as_string(moments), trace.input, trace.output, strict=True)
            lines = "".join(f"{when.replace('T', ' ')},{given},{answer}\n" for when, given, answer in rows)
            path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + lines)
        began = time.process_time()
        count, size = read_trace(path).count, path.stat().st_size
        used = time.process_time() - began
    return f"reading {count:,} requests, {size / 1e6:.1f} MB: {used:.2f} CPU s, {size / 1e6 / used:.0f} MB per CPU s"


if __name__ == "__main__":
    main()
