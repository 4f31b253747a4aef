"""Searches of deployments, aggregated and with prefill and decode apart, beside what aiconfigurator took for the same.

    python benchmarks/serve_search.py

For 4,000 tokens in and 1,000 out, 1 s and 20 ms, on 64 accelerators. Three figures a line: layouts times batches per
CPU second (far more batches than a search needs, in blocks); a whole search of both kinds in this process; and the
command `exafleet serve` in a process of its own, start-up included. Beside it aiconfigurator 0.12.0, run on a machine
like this (two shared cores) as

    aiconfigurator cli default --model MODEL --system SYSTEM --total-gpus 64 --isl 4000 --osl 1000 --ttft 1000 --tpot 20
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.service.deploy import deploy
from exafleet.service.search import MOST_BATCH
from exafleet.service.steady import serve_step
from exafleet.step.serve import Machine, ServeTask, machine
from exafleet.step.serve_layouts import ServeLimits, layouts

ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"
SOURCE = Path(__file__).resolve().parent.parent / "src"
# Model, system, and CPU seconds of aiconfigurator, whole command.
CASES = (("qwen3-32b", "hgx-h200", "13"), ("deepseek-v3", "hgx-h200", "35 to 82"),
         ("deepseek-v3", "gb200-nvl72", "35 to 82"))
# Batches tried with every layout, and points that are timed together.
BATCHES, BLOCK = 800, 8192


def main() -> None:
    """Time every case, and print what it took."""
    parser = argparse.ArgumentParser(description="CPU seconds of the deployment search")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--cases", type=int, default=len(CASES), help="only the first so many")
    options = parser.parse_args()
    facts = load_facts(date.max)
    print(f"{'model':<12} {'system':<12} {'points':>8} {'per CPU s':>10} {'candidates':>11} {'search [s]':>10} "
          f"{'command [s]':>11} {'aiconfigurator [s]':>19}  best")
    for model, name, peer in CASES[:options.cases]:
        on, pool = system(facts, name), options.gpus
        task = ServeTask(arch=arch(facts, model), input_tokens=4000.0, output_tokens=1000.0, ttft=1.0, tpot=0.02,
                         dtype="fp8", kv_dtype="fp8")
        points, speed = points_per_second(task, machine(on, facts), pool)
        deploy(task, on, pool, facts)  # the first also pays for what is allocated once
        began = time.process_time()
        found = deploy(task, on, pool, facts)
        search = time.process_time() - began
        looked = sum(r.candidates for r in found.found.values())
        words = found.answer.layout.words if found.best and found.answer.layout else "none"
        print(f"{model:<12} {name:<12} {points:>8,} {speed:>10,.0f} {looked:>11,} {search:>10.3f} "
              f"{command(model, name, pool):>11.2f} {peer:>19}  {found.best}: {words}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"highest resident memory {peak / (1 << 20):.0f} MiB")


def points_per_second(task: ServeTask, on: Machine, pool: int) -> tuple[int, float]:
    """Layouts times batches, and how many of them a CPU second times: every layout and many batches, full or not."""
    every = layouts(task.arch, on.net.domain, pool, ServeLimits())
    ladder = np.unique(np.round(np.geomspace(1.0, MOST_BATCH, BATCHES)))
    which, batch = np.repeat(np.arange(len(every.tp)), len(ladder)), np.tile(ladder, len(every.tp))
    chosen = every.take(which)
    running = batch * chosen.dp * chosen.pp
    blocks = np.array_split(np.arange(len(which)), max(len(which) // BLOCK, 1))
    serve_step(task, on, chosen.take(blocks[0]), running[blocks[0]])
    began = time.process_time()
    for block in blocks:
        serve_step(task, on, chosen.take(block), running[block])
    return len(which), len(which) / (time.process_time() - began)


def command(model: str, name: str, pool: int) -> float:
    """CPU seconds of the command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", ENTRY, "serve", model, "--system", name, "--gpus", str(pool), "--isl", "4000",
                    "--osl", "1000", "--ttft", "1 s", "--tpot", "20 ms", "--dtype", "fp8", "--kv-dtype", "fp8"],
                   env={**os.environ, "PYTHONPATH": str(SOURCE)}, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
