"""Searches of training layouts at many sizes, in one process: what the benchmarks run as the cases search-dense, -moe.

    python benchmarks/train_search.py --model llama-3.1-405b --system hgx-h100 --gpus 8 1024 16384 131072

Prints one line for each size: legal candidates, CPU seconds of the search alone (not of start-up), candidates per CPU
second, and at the end the highest resident memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from datetime import date

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import load_facts
from exafleet.facts.hardware import system
from exafleet.step.search import search_train
from exafleet.step.train import TrainTask


def main() -> None:
    """Search every size asked for, and print what it took."""
    parser = argparse.ArgumentParser(description="candidates per CPU second of the training search")
    parser.add_argument("--model", default="llama-3.1-405b")
    parser.add_argument("--system", default="hgx-h100")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--seq", type=int, default=8192)
    parser.add_argument("--gpus", type=int, nargs="+", default=[8, 1024, 16384, 131072])
    options = parser.parse_args()
    facts = load_facts(date.max)
    model, machine = arch(facts, options.model), system(facts, options.system)
    # The first search of a process also pays for what is imported and allocated once.
    search_train(TrainTask(arch=model, seq=options.seq, batch=64, dtype=options.dtype), machine, 64, facts)
    print(f"{options.model} in {options.dtype} on {options.system}")
    print(f"{'accelerators':>12} {'candidates':>12} {'CPU [s]':>9} {'per CPU s':>12} {'runs':>12}")
    for gpus in options.gpus:
        task = TrainTask(arch=model, seq=options.seq, batch=max(2048, gpus), dtype=options.dtype)
        began = time.process_time()
        found = search_train(task, machine, gpus, facts)
        used = time.process_time() - began
        runs = sum(n for why, n in found.why.items() if why.name == "OK")
        print(f"{gpus:>12,} {found.count:>12,} {used:>9.3f} {found.count / used:>12,.0f} {runs:>12,}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"highest resident memory {peak / (1 << 20):.0f} MiB")


if __name__ == "__main__":
    main()
