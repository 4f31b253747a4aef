"""A second solver for the programme written out: OR-tools, an extra, with SCIP for whole units and GLOP for without.

It shares no code with HiGHS, so that where the two agree neither a fault of a solver nor one of the decomposition is
behind it. It takes the whole programme at once, so it is for plans of some ten thousand columns.
"""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.plan.highs import Linear, Solved, Stop
from exafleet.plan.writtenout import Answer, told, write_out
from exafleet.terms.errors import ExafleetError, Problem

if TYPE_CHECKING:
    from exafleet.plan.twostage import TwoStage

PACKAGE = "ortools"
INSTALL = "pip install 'exafleet[ortools]'"
# How far a point may break a bound or a row, or a whole number be from whole: tight, because answers are compared.
TOLERANCE = 1e-9
_LOOK = 0.1  # between two looks at whether to stop [s]


def check_second_solver(where: str) -> None:
    """Raises ExafleetError that says how to get OR-tools where it is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise ExafleetError(Problem(where=where, what="the package ortools is not installed",
                                    remedy=f"Install it with: {INSTALL}"))


def solve_second(p: TwoStage, gap: float, stop: Stop | None = None) -> Answer:
    """`solve_written_out` by OR-tools: the same programme, the same answer to within the gap."""
    problem = write_out(p)
    return told(p, problem, solve_linear(problem, gap=gap, stop=stop))


def solve_linear(problem: Linear, *, gap: float = 0.0, stop: Stop | None = None) -> Solved:
    """A linear or mixed-integer problem by OR-tools: SCIP where something is whole, GLOP where nothing is.

    In a process of its own, because SCIP as packed there writes to the terminal whenever it can be interrupted.
    """
    check_second_solver("plan")
    with tempfile.TemporaryFile() as said, subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=said, start_new_session=True,  # Ctrl-C is the caller's to hear
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as other:
        answer = _exchange(other, pickle.dumps((problem, gap)), stop)
        if other.wait():
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"OR-tools ended with {other.returncode}: {' '.join(last)}")
    found: Solved = pickle.loads(answer)
    return found


def _exchange(other: subprocess.Popen[bytes], question: bytes, stop: Stop | None) -> bytes:
    """Ask the process, and close what it reads from when it is to stop: it answers with the best it has."""
    assert other.stdin is not None
    assert other.stdout is not None
    answer: list[bytes] = []
    listen = threading.Thread(target=lambda out: answer.append(out.read()), args=(other.stdout,), daemon=True)
    listen.start()
    with suppress(BrokenPipeError):
        other.stdin.write(question)
        other.stdin.flush()
    while listen.is_alive():
        listen.join(_LOOK)
        if stop is not None and stop():
            break
    with suppress(BrokenPipeError):
        other.stdin.close()
    listen.join()
    return answer[0]


def serve() -> None:
    """The other process: one problem from standard input, its answer to standard output."""
    problem, gap = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(_solve(problem, gap)))


def _solve(problem: Linear, gap: float) -> Solved:
    """Solve, until done or until standard input ends."""
    from ortools.math_opt.python import mathopt
    from ortools.util.python.solve_interrupter import SolveInterrupter

    mixed = problem.whole is not None and bool(problem.whole.any())
    model, interrupter, asked = mathopt.Model.from_model_proto(_model(problem)), SolveInterrupter(), threading.Event()

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)
        asked.set()
        interrupter.interrupt()

    threading.Thread(target=watch, daemon=True).start()
    found = mathopt.solve(
        model, mathopt.SolverType.GSCIP if mixed else mathopt.SolverType.GLOP, params=_parameters(gap, mixed=mixed),
        interrupter=interrupter)
    return _solved(found, list(model.variables()), asked=asked.is_set())


def _model(problem: Linear) -> Any:
    """The problem as OR-tools reads it, filled from arrays."""
    from ortools.math_opt import model_pb2

    rows, made = problem.rows.tocsr().sorted_indices(), model_pb2.ModelProto()
    rows.eliminate_zeros()
    count = len(problem.cost)
    columns, lines, entries = made.variables, made.linear_constraints, made.linear_constraint_matrix
    columns.ids.extend(range(count))
    columns.lower_bounds.extend(problem.v_lower.tolist())
    columns.upper_bounds.extend(problem.v_upper.tolist())
    whole = np.zeros(count, dtype=bool) if problem.whole is None else problem.whole
    columns.integers.extend(whole.tolist())
    lines.ids.extend(range(rows.shape[0]))
    lines.lower_bounds.extend(problem.lower.tolist())
    lines.upper_bounds.extend(problem.upper.tolist())
    entries.row_ids.extend(np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)).tolist())
    entries.column_ids.extend(rows.indices.tolist())
    entries.coefficients.extend(rows.data.tolist())
    priced = np.flatnonzero(problem.cost)
    made.objective.offset = problem.offset
    made.objective.linear_coefficients.ids.extend(priced.tolist())
    made.objective.linear_coefficients.values.extend(problem.cost[priced].tolist())
    return made


def _parameters(gap: float, *, mixed: bool) -> Any:
    """One thread, a fixed seed, tight tolerances."""
    from ortools.math_opt.python import mathopt

    made = mathopt.SolveParameters(threads=1, random_seed=0)
    if mixed:
        made.relative_gap_tolerance, made.absolute_gap_tolerance = gap, 0.0
        made.gscip.real_params["numerics/feastol"] = TOLERANCE
        made.gscip.real_params["numerics/dualfeastol"] = TOLERANCE
    else:
        made.glop.primal_feasibility_tolerance = made.glop.dual_feasibility_tolerance = TOLERANCE
    return made


def _solved(found: Any, variables: list[Any], *, asked: bool) -> Solved:
    """What OR-tools answered, in the words of `highs`."""
    from ortools.math_opt.python import mathopt

    reason, empty = found.termination.reason, np.zeros(0)
    words = {mathopt.TerminationReason.OPTIMAL: "optimal", mathopt.TerminationReason.INFEASIBLE: "infeasible",
             mathopt.TerminationReason.INFEASIBLE_OR_UNBOUNDED: "infeasible"}
    status = words.get(reason, "stopped" if asked else str(reason.value))
    there = found.has_primal_feasible_solution()
    return Solved(
        status=status, value=float(found.objective_value()) if there else float("inf"),
        bound=float(found.best_objective_bound()), row_dual=empty, v_dual=empty,
        v=np.array(found.variable_values(variables)) if there else empty)
