"""What exafleet costs to run: CPU seconds and memory of each case, as a table and as JSON.

    python benchmarks/run.py                     every case, best of three
    python benchmarks/run.py --smoke             every case once, only to see that it still runs
    python benchmarks/run.py --case version      one case, may be repeated; --phase startup for a phase
    python benchmarks/run.py --json result.json  the same figures for a machine

Each run is a fresh process of the running interpreter. CPU seconds (user + system, children included) are compared
with the target and not wall seconds, because they hardly move with the load of the machine. A missed target is
printed and never fails: the exit code says only whether every case ran.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("startup", "search", "validate", "serve-search", "solve", "replay", "facts")
MIB = 1 << 20
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing to measure: arguments of `exafleet`, and what it should stay under (None: no target agreed yet).

    script         a file of this folder to run in place of `exafleet`
    shows          print what it says too: figures of its own
    smaller        arguments of a smoke run, where the case itself is too large for one
    cpu_target     [s]
    memory_target  highest resident memory [B]
    """

    name: str
    phase: str
    arguments: tuple[str, ...]
    measures: str
    cpu_target: float | None = None
    memory_target: int | None = None
    script: str = ""
    shows: bool = False
    smaller: tuple[str, ...] = ()

    def command(self, smoke: bool) -> list[str]:
        """The command line of a fresh process."""
        start = [str(ROOT / "benchmarks" / self.script)] if self.script else ["-c", ENTRY]
        return [sys.executable, *start, *(self.smaller if smoke and self.smaller else self.arguments)]


# A case runs in a folder that holds a copy of examples/; it may write there.
CASES = (
    Case(name="version", phase="startup", arguments=("--version",),
         measures="start of the program", cpu_target=0.25),
    Case(name="help", phase="startup", arguments=("--help",),
         measures="start of the program with the whole command line described", cpu_target=0.25),
    Case(name="facts-check", phase="facts", arguments=("facts", "check"),
         measures="reading and checking every fact of the package"),
    Case(name="train-405b", phase="search",
         arguments=("train", "llama-3.1-405b", "--system", "gb200-nvl72", "--gpus", "2304"),
         measures="layout search of one training job", cpu_target=2.0),
    Case(name="train-405b-16k", phase="search",
         arguments=("train", "llama-3.1-405b", "--system", "hgx-h100", "--gpus", "16384"),
         measures="layout search of one large training job, start of the program included", cpu_target=1.5,
         memory_target=500 * MIB),
    Case(name="search-dense", phase="search", script="train_search.py", shows=True,
         arguments=("--model", "llama-3.1-405b", "--system", "hgx-h100", "--gpus", "8", "1024", "16384", "131072"),
         smaller=("--model", "llama-3-8b", "--gpus", "8"),
         measures="searches of a dense model from 8 to 131,072 accelerators: 1,000,000 candidates per CPU second",
         memory_target=500 * MIB),
    Case(name="search-moe", phase="search", script="train_search.py", shows=True,
         arguments=("--model", "deepseek-v3", "--system", "gb200-nvl72", "--dtype", "fp8",
                    "--gpus", "8", "1024", "16384", "131072"),
         smaller=("--model", "mixtral-8x7b", "--gpus", "8"),
         measures="searches of an MoE model from 8 to 131,072 accelerators: 500,000 candidates per CPU second",
         memory_target=500 * MIB),
    Case(name="validate-training", phase="validate", arguments=("validate", "training", "--role", "all"),
         smaller=("validate", "scaling"),
         measures="every published run of the package beside its prediction; open layouts are searched"),
    Case(name="validate-scaling", phase="validate", arguments=("validate", "scaling"),
         measures="series of runs as they grow, most of them with open axes"),
    Case(name="serve-70b", phase="serve-search", arguments=("serve", "llama-3-70b", "--system", "hgx-h100"),
         measures="layout search of one serving job"),
    Case(name="serve-32b-64", phase="serve-search",
         arguments=("serve", "qwen3-32b", "--system", "hgx-h200", "--gpus", "64", "--isl", "4000", "--osl", "1000",
                    "--ttft", "1 s", "--tpot", "20 ms", "--dtype", "fp8", "--kv-dtype", "fp8"),
         measures="both kinds of deployment of a dense model, start of the program included", cpu_target=2.0),
    Case(name="serve-moe-64", phase="serve-search",
         arguments=("serve", "deepseek-v3", "--system", "hgx-h200", "--gpus", "64", "--isl", "4000", "--osl", "1000",
                    "--ttft", "1 s", "--tpot", "20 ms", "--dtype", "fp8", "--kv-dtype", "fp8"),
         measures="the same of an MoE model on servers", cpu_target=2.0),
    Case(name="serve-moe-nvl72", phase="serve-search",
         arguments=("serve", "deepseek-v3", "--system", "gb200-nvl72", "--gpus", "64", "--isl", "4000", "--osl", "1000",
                    "--ttft", "1 s", "--tpot", "20 ms", "--dtype", "fp8", "--kv-dtype", "fp8"),
         measures="the same of an MoE model in a rack", cpu_target=2.0),
    Case(name="serve-search", phase="serve-search", script="serve_search.py", shows=True, arguments=(),
         smaller=("--cases", "1", "--gpus", "8"),
         measures="layouts times batches per CPU second (200,000), and whole searches beside aiconfigurator's"),
    Case(name="plan-xai", phase="solve", arguments=("plan", "examples/xai-2024-12", "--html", "plan.html"),
         measures="the xAI example from load to HTML: rates, draws, solve, replay, report",
         cpu_target=60.0, memory_target=1536 * MIB),
    Case(name="solve-instance", phase="solve", script="plan_instance.py",
         arguments=("--months", "30", "--systems", "7", "--sites", "4", "--owners", "2", "--jobs", "8", "--draws", "5"),
         smaller=("--months", "6", "--systems", "2", "--sites", "1", "--owners", "1", "--jobs", "2", "--draws", "2"),
         measures="the solver alone, on an invented instance"),
    Case(name="solve-large", phase="solve", script="plan_instance.py", shows=True,
         arguments=("--months", "60", "--systems", "12", "--sites", "6", "--owners", "2", "--jobs", "8",
                    "--draws", "50", "--gap", "0.01"),
         smaller=("--months", "8", "--systems", "3", "--sites", "2", "--jobs", "3", "--draws", "8",
                  "--gap", "0.01", "--evaluate", "10"),
         measures="60 months, 12 systems, 6 sites, 8 jobs, 50 draws to a gap of 1 %",
         cpu_target=90.0, memory_target=1024 * MIB),
    Case(name="serve-replay", phase="replay", script="serve_replay.py", shows=True, arguments=(),
         smaller=("--requests", "2000"),
         measures="request-level replays of made-up traces: 50,000 requests per CPU second and more"),
    Case(name="plan-university", phase="replay", arguments=("plan", "examples/university-one-node"),
         measures="the smallest example, where what is fixed in load, replay and report shows"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one fresh process used. CPU of it and its children [s], wall [s], highest resident memory [B]."""

    cpu: float
    wall: float
    memory: int
    exit_code: int
    errors: str
    says: str = ""


def measure(command: Sequence[str], folder: Path, environment: dict[str, str]) -> Run:
    """Run a command in a folder as a fresh process and read what the kernel says it used.

    Linux counts what the parent held at the start as the child's, so this file imports nothing heavy.
    """
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as says:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=says, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        text = errors.read().decode("utf-8", "replace")
        says.seek(0)
        said = says.read().decode("utf-8", "replace")
    # Linux tells the resident memory in KiB, macOS in bytes.
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(cpu=used.ru_utime + used.ru_stime, wall=wall, memory=memory,
               exit_code=process.returncode, errors=text[-2000:], says=said)


def run_case(case: Case, repeats: int, smoke: bool) -> Run:
    """The run of least CPU out of `repeats`, each in a folder of its own; a failed run ends it."""
    best: Run | None = None
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            if (ROOT / "examples").is_dir():
                shutil.copytree(ROOT / "examples", folder / "examples")
            run = measure(case.command(smoke), folder, environment())
        if run.exit_code != 0:
            return run
        best = run if best is None or run.cpu < best.cpu else best
    if best is None:
        raise ValueError("repeats must be at least 1")
    return best


def environment() -> dict[str, str]:
    """One thread per process, so that CPU seconds compare between machines of many and of few cores."""
    return os.environ | {"PYTHONPATH": str(ROOT / "src"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
                         "NO_COLOR": "1", "COLUMNS": "100"}


def verdict(case: Case, run: Run) -> str:
    """"failed", "over" the target, "met", or "-" where there is no target."""
    if run.exit_code != 0:
        return f"failed ({run.exit_code})"
    judged = (("CPU", run.cpu, case.cpu_target), ("memory", run.memory, case.memory_target))
    over = [what for what, used, target in judged if target is not None and used > target]
    if over:
        return "over: " + ", ".join(over)
    return "-" if case.cpu_target is None and case.memory_target is None else "met"


def row(case: Case, run: Run, smoke: bool) -> str:
    """One line of the table."""
    cpu_target = f"{case.cpu_target:g}" if case.cpu_target is not None else "-"
    memory_target = f"{case.memory_target / MIB:.0f}" if case.memory_target is not None else "-"
    judged = verdict(case, run) if not smoke or run.exit_code != 0 else "ran"
    return (f"{case.name:<16} {case.phase:<13} {run.cpu:>8.3f} {cpu_target:>8} {run.memory / MIB:>8.0f} "
            f"{memory_target:>8} {run.wall:>8.2f}  {judged}")


HEADER = (f"{'case':<16} {'phase':<13} {'CPU [s]':>8} {'target':>8} {'MiB':>8} {'target':>8} {'wall [s]':>8}  verdict")


def record(case: Case, run: Run) -> dict[str, object]:
    """One case as JSON; units are in the names because a file of numbers has no header."""
    return {"name": case.name, "phase": case.phase, "script": case.script, "arguments": list(case.arguments),
            "measures": case.measures,
            "cpu_s": run.cpu, "cpu_target_s": case.cpu_target, "memory_B": run.memory,
            "memory_target_B": case.memory_target, "wall_s": run.wall, "exit_code": run.exit_code,
            "verdict": verdict(case, run)}


def chosen(names: Sequence[str], phases: Sequence[str]) -> tuple[Case, ...]:
    """Cases by name and by phase; all where neither is asked for. Raises ValueError for an unknown name."""
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        raise ValueError(f"unknown case {', '.join(sorted(unknown))}; there are {', '.join(c.name for c in CASES)}")
    if not names and not phases:
        return CASES
    return tuple(case for case in CASES if case.name in names or case.phase in phases)


def write_json(path: Path, records: list[dict[str, object]]) -> None:
    """Write the figures; an earlier file stays whole until the new one is complete."""
    machine = {"python": platform.python_version(), "system": platform.system(), "processor": platform.machine(),
               "cores": os.cpu_count()}
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"machine": machine, "cases": records}, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the cases asked for; the exit code is 1 when one of them did not run."""
    parser = argparse.ArgumentParser(description="CPU seconds and memory of exafleet's commands")
    parser.add_argument("--case", action="append", default=[], metavar="NAME", help="only this case; may be repeated")
    parser.add_argument("--phase", action="append", default=[], choices=PHASES, help="only the cases of this phase")
    parser.add_argument("--smoke", action="store_true", help="run each case once and judge nothing")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each case, of which the best counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    try:
        cases = chosen(options.case, options.phase)
    except ValueError as error:
        parser.error(str(error))
    print(HEADER)
    runs = []
    for case in cases:
        run = run_case(case, 1 if options.smoke else options.repeats, options.smoke)
        runs.append(run)
        print(row(case, run, options.smoke), flush=True)
        if case.shows:
            print("".join(f"    {line}\n" for line in run.says.splitlines()), end="", flush=True)
        if run.exit_code != 0:
            print(f"    {' '.join(case.command(options.smoke))}\n{run.errors}", file=sys.stderr)
    if options.json:
        write_json(options.json, [record(case, run) for case, run in zip(cases, runs, strict=True)])
    return 1 if any(run.exit_code != 0 for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
