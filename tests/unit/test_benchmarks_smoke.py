"""The benchmark runner measures what it says; whether exafleet meets its targets is never a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import run

BUSY = "import time\nwhile time.process_time() < {}: pass"


def run_python(code: str, folder: Path) -> run.Run:
    return run.measure([sys.executable, "-c", code], folder, run.environment())


def test_cases_have_names_of_their_own_and_known_phases() -> None:
    assert len({case.name for case in run.CASES}) == len(run.CASES)
    assert {case.phase for case in run.CASES} == set(run.PHASES)
    assert [case.name for case in run.CASES if case.cpu_target is not None and case.cpu_target <= 0] == []


def test_more_work_measures_as_more_cpu(tmp_path: Path) -> None:
    idle = run_python("import time; time.sleep(0.3)", tmp_path)
    busy = run_python(BUSY.format(0.4), tmp_path)
    assert idle.wall >= 0.3
    assert busy.cpu >= 0.4
    assert busy.cpu > idle.cpu


def test_memory_is_told_in_bytes(tmp_path: Path) -> None:
    """Measured from a small process: the kernel would count what this one holds."""
    code = f"""import sys; sys.path.insert(0, {str(run.ROOT)!r})
from benchmarks import run
held = [run.measure([sys.executable, '-c', f'held = b"x" * {{size}}'], run.Path('.'), run.environment()).memory
        for size in (1, 200 * run.MIB)]
print(held[1] - held[0])"""
    grown = int(subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True).stdout)
    assert 180 * run.MIB < grown < 220 * run.MIB


def test_a_failing_command_is_told_with_what_it_said(tmp_path: Path) -> None:
    failed = run_python("import sys; sys.stderr.write('no such thing'); sys.exit(3)", tmp_path)
    assert failed.exit_code == 3
    assert failed.errors == "no such thing"
    assert run.verdict(run.CASES[0], failed) == "failed (3)"


@pytest.mark.parametrize(("cpu", "memory", "said"), [
    (1.0, 1, "met"), (3.0, 1, "over: CPU"), (1.0, 11, "over: memory"), (3.0, 11, "over: CPU, memory"),
])
def test_targets_are_judged(cpu: float, memory: int, said: str) -> None:
    case = run.Case(name="c", phase="solve", arguments=(), measures="", cpu_target=2.0, memory_target=10)
    assert run.verdict(case, run.Run(cpu=cpu, wall=0.0, memory=memory, exit_code=0, errors="")) == said


def test_unknown_case_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown case nonsense; there are version, help"):
        run.chosen(["nonsense"], [])


def test_version_runs_end_to_end_and_is_written_as_json(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    assert run.main(["--smoke", "--case", "version", "--json", str(file)]) == 0
    [case] = json.loads(file.read_text(encoding="utf-8"))["cases"]
    assert case["arguments"] == ["--version"]
    assert 0 < case["cpu_s"] < 600
    assert case["memory_B"] > run.MIB
