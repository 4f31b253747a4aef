"""The one place that talks to HiGHS: arrays in, arrays out, one thread, a fixed seed, and a polite way to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from exafleet.market.market import Bools, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix, csr_matrix

Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """minimise cost.v + offset with lower <= rows v <= upper, v_lower <= v <= v_upper, v whole where `whole`."""

    rows: csr_matrix
    lower: Floats
    upper: Floats
    v_lower: Floats
    v_upper: Floats
    cost: Floats
    whole: Bools | None = None
    offset: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """status: "optimal", "infeasible", "stopped" or another of the solver's words; values may be empty."""

    status: str
    value: float
    bound: float
    v: Floats
    row_dual: Floats
    v_dual: Floats


class Solver:
    """A HiGHS instance that keeps its basis between solves."""

    def __init__(self, problem: Linear, *, stop: Stop | None = None, **options: float | str | bool) -> None:
        import highspy

        self._highs: Any = _quiet()
        self._word = {highspy.HighsModelStatus.kOptimal: "optimal", highspy.HighsModelStatus.kInfeasible: "infeasible",
                      highspy.HighsModelStatus.kInterrupt: "stopped",
                      highspy.HighsModelStatus.kUnboundedOrInfeasible: "infeasible",
                      highspy.HighsModelStatus.kSolutionLimit: "stopped",
                      highspy.HighsModelStatus.kIterationLimit: "stopped"}
        fixed = {"output_flag": False, "threads": 1, "random_seed": 0, "parallel": "off"}
        for name, value in {**fixed, **options}.items():
            self._highs.setOptionValue(name, value)
        self._pass(problem)
        self._told = {"rows": (problem.lower.copy(), problem.upper.copy()), "cost": (problem.cost.copy(),),
                      "columns": (problem.v_lower.copy(), problem.v_upper.copy())}
        self._mixed = problem.whole is not None and bool(problem.whole.any())
        if stop is not None:
            self._listen(stop)

    def _pass(self, problem: Linear) -> None:
        rows = problem.rows.tocsr()
        whole = np.zeros(len(problem.cost)) if problem.whole is None else problem.whole
        self._highs.passModel(
            len(problem.cost), rows.shape[0], rows.nnz, 2, 1, problem.offset, problem.cost, problem.v_lower,
            problem.v_upper, problem.lower, problem.upper, rows.indptr.astype(np.int32),
            rows.indices.astype(np.int32), rows.data, np.asarray(whole).astype(np.int32))

    def _listen(self, stop: Stop) -> None:
        def ask(event: Any) -> None:
            event.data_in.user_interrupt = stop()

        self._highs.cbSimplexInterrupt += ask
        self._highs.cbMipInterrupt += ask

    def change_rows(self, lower: Floats, upper: Floats) -> None:
        """New bounds of every row."""
        self._tell("rows", self._highs.changeRowsBounds, 0, lower, upper)

    def change_columns(self, lower: Floats, upper: Floats, first: int = 0) -> None:
        """New bounds of every column from `first` on."""
        self._tell("columns", self._highs.changeColsBounds, first, lower, upper)

    def change_cost(self, cost: Floats) -> None:
        """New cost of every column."""
        self._tell("cost", self._highs.changeColsCost, 0, cost)

    def _tell(self, what: str, change: Callable[..., object], first: int, *new: Floats) -> None:
        """Only what differs from what the solver holds: telling it everything takes a twentieth of a hot solve."""
        held = [values[first:] for values in self._told[what]]
        at = np.flatnonzero(np.any([a != b for a, b in zip(new, held, strict=True)], axis=0))
        if len(at):
            change(len(at), (first + at).astype(np.int32), *(values[at] for values in new))
            for values, fresh in zip(held, new, strict=True):
                values[at] = fresh[at]

    def _extend(self, what: str, *more: Floats) -> None:
        self._told[what] = tuple(np.concatenate(pair) for pair in zip(self._told[what], more, strict=True))

    def add_rows(self, rows: csr_matrix, lower: Floats, upper: Floats) -> None:
        """Rows added at the end; the basis is kept."""
        self._highs.addRows(rows.shape[0], lower, upper, rows.nnz, rows.indptr[:-1].astype(np.int32),
                            rows.indices.astype(np.int32), rows.data)
        self._extend("rows", lower, upper)

    def add_columns(self, columns: csc_matrix, cost: Floats, lower: Floats, upper: Floats) -> None:
        """Columns added at the end; the basis is kept."""
        self._highs.addCols(columns.shape[1], cost, lower, upper, columns.nnz, columns.indptr[:-1].astype(np.int32),
                            columns.indices.astype(np.int32), columns.data)
        self._extend("columns", lower, upper)
        self._extend("cost", cost)

    def basis(self) -> Any:
        """The basis, to be given back to `start_from`."""
        return self._highs.getBasis()

    def start_from(self, basis: Any) -> None:
        """Start the next solve from this basis."""
        self._highs.setBasis(basis)

    def start_from_part(self, basis: Any, rows: Ints, new_rows: Ints, columns: Ints, new_columns: Ints) -> None:
        """Start from a basis of a part of this problem: what is new begins with its columns at a bound, its rows basic.

        rows, columns are those of the part, new_rows, new_columns those of this problem, in one numbering.
        """
        import highspy

        status = highspy.HighsBasisStatus
        made = highspy.HighsBasis()
        row = dict(zip(rows.tolist(), basis.row_status, strict=True))
        column = dict(zip(columns.tolist(), basis.col_status, strict=True))
        made.row_status = [row.get(i, status.kBasic) for i in new_rows.tolist()]
        made.col_status = [column.get(i, status.kLower) for i in new_columns.tolist()]
        made.valid, made.alien = True, False
        self._highs.setBasis(made)

    def suggest(self, v: Floats, columns: Ints | None = None) -> None:
        """A point for a mixed-integer solve to start from, or some columns of one; ignored where it is not feasible."""
        at = np.arange(len(v)) if columns is None else columns
        self._highs.setSolution(len(v), at.astype(np.int32), v)

    def solve(self) -> Solved:
        """Run, and read whatever came of it."""
        self._highs.run()
        info, solution = self._highs.getInfo(), self._highs.getSolution()
        status = self._word.get(self._highs.getModelStatus(), str(self._highs.getModelStatus()))
        found = info.primal_solution_status == 2 or status == "optimal"
        empty = np.zeros(0)
        return Solved(
            status=status,
            value=float(info.objective_function_value) if found else float("inf"),
            bound=float(info.mip_dual_bound if self._mixed else info.objective_function_value),
            v=np.array(solution.col_value) if found else empty,
            row_dual=empty if self._mixed else np.array(solution.row_dual),
            v_dual=empty if self._mixed else np.array(solution.col_dual))


def _quiet() -> Any:
    """A HiGHS instance that says nothing, not even its name: it greets as soon as callbacks are switched on."""
    import highspy

    class Quiet(highspy.Highs):
        def enableCallbacks(self) -> None:  # noqa: N802
            self.silent()
            super().enableCallbacks()  # type: ignore[no-untyped-call]

    made: Any = Quiet
    return made()


@contextmanager
def stoppable(stop: Stop | None) -> Iterator[Stop]:
    """A question that turns true when the caller says stop, or at Ctrl-C (in the main thread) instead of raising."""
    asked = threading.Event()
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, lambda *_: asked.set()) if here else None
    try:
        yield lambda: asked.is_set() or (stop is not None and stop())
    finally:
        if here and before is not None:
            signal.signal(signal.SIGINT, before)
