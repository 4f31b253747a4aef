"""`exafleet validate`: predictions beside published measurements, with every row accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from exafleet.apps.options import AsOf

if TYPE_CHECKING:
    from exafleet.apps.progress import Progress
    from exafleet.facts.catalogue import Facts
    from exafleet.report.table import Report

app = typer.Typer(help="Predictions beside published measurements: errors by group, worst rows.", no_args_is_help=True)

PACKAGE = "the package's table"
Row = TypeVar("Row")


class Answer(StrEnum):
    """How a validation is printed."""

    table = "table"
    json = "json"
    html = "html"


class Role(StrEnum):
    """What a row of the package's tables is for."""

    held_out = "held_out"
    band = "band"
    fit = "fit"
    searched = "searched"
    all = "all"


RowsFile = Annotated[
    Path | None,
    typer.Option(
        "--rows",
        metavar="FILE.csv",
        help="Rows of your own (docs/validation-rows.md tells the columns). Default: the package's table.",
    ),
]
Which = Annotated[
    Role | None,
    typer.Option("--role", help="Rows of this role only. Default: held_out of the package's table, all of your own."),
]
AnswerForm = Annotated[
    Answer, typer.Option("--format", help="Tables for people, JSON with one entry per row, or one HTML page.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the answer there instead of to the terminal.")
]


@app.callback()
def root() -> None:
    """Predictions beside published measurements: errors by group, and the worst rows."""


@app.command()
def training(
    rows: RowsFile = None, role: Which = None, as_of: AsOf = None, form: AnswerForm = Answer.table, out: Out = None
) -> None:
    """Compare tokens/s of published training runs with the prediction, by accelerator, precision, family and stack.

    Every row is accounted for: one without a prediction says why. Without --rows: rows the fit never saw.

    \b
    Examples:
      exafleet validate training
      exafleet validate training --rows measured.csv --format json --out errors.json
      exafleet validate training --format html --out validation.html
    """
    from exafleet.report.validation import training as told
    from exafleet.step.measured.run_tables import read_runs
    from exafleet.step.measured.training import FILE, compare, published

    def answer(asked: Asked) -> tuple[Report, dict[str, Any]]:
        read = published(FILE) if asked.path == FILE else read_runs(asked.path, asked.facts)
        kept = of_role(read, asked.role, asked.path)
        with asked.progress.phase("predicting"):
            found = compare(kept, asked.facts, told=lambda done: asked.progress.count(done, len(kept)))
        judged, picked = told.judge(found, asked.facts), told.chosen(found)
        return (told.report(judged, picked, asked.facts, asked.name, asked.rows_hash),
                told.as_json(judged, picked, asked.facts, asked.rows_hash))

    run(answer, rows, FILE, role, as_of, form, out)


@app.command()
def scaling(
    rows: RowsFile = None, role: Which = None, as_of: AsOf = None, form: AnswerForm = Answer.table, out: Out = None
) -> None:
    """Compare the throughput that runs keep as they grow (MLPerf Training series) with the prediction.

    Efficiency is tokens/s per accelerator over that at the smallest size of a series.

    \b
    Examples:
      exafleet validate scaling
      exafleet validate scaling --rows mlperf.csv --format json
    """
    from exafleet.report.validation import scaling as told
    from exafleet.step.measured.scaling import FILE, read_scaling, scaled
    from exafleet.step.measured.training import compare

    def answer(asked: Asked) -> tuple[Report, dict[str, Any]]:
        read = of_role(read_scaling(asked.path), asked.role, asked.path)
        with asked.progress.phase("predicting"):
            runs = compare([m.row for m in read], asked.facts, lambda done: asked.progress.count(done, len(read)))
        found = scaled(read, runs)
        judged = told.judge(found, asked.facts)
        return (told.report(judged, found, asked.facts, asked.name, asked.rows_hash),
                told.as_json(judged, found, asked.facts, asked.rows_hash))

    run(answer, rows, FILE, role, as_of, form, out)


@app.command()
def memory(
    rows: RowsFile = None, role: Which = None, as_of: AsOf = None, form: AnswerForm = Answer.table, out: Out = None
) -> None:
    """Compare peak memory with the prediction, and what was said to fit with what did.

    \b
    Examples:
      exafleet validate memory
      exafleet validate memory --rows jobs.csv --format json
    """
    from exafleet.report.validation import memory as told
    from exafleet.step.measured.memory_tables import compare_memory, read_memory
    from exafleet.step.measured.peaks import FILE

    def answer(asked: Asked) -> tuple[Report, dict[str, Any]]:
        read = of_role(read_memory(asked.path, asked.facts), asked.role, asked.path)
        with asked.progress.phase("predicting"):
            found = compare_memory(read, asked.facts, lambda done: asked.progress.count(done, len(read)))
            judged = told.judge(found, asked.facts)
        return (told.report(judged, found, asked.facts, asked.name, asked.rows_hash),
                told.as_json(judged, found, asked.facts, asked.rows_hash))

    run(answer, rows, FILE, role, as_of, form, out)


@app.command()
def serving(
    rows: RowsFile = None, role: Which = None, as_of: AsOf = None, form: AnswerForm = Answer.table, out: Out = None
) -> None:
    """Compare published serving points with the prediction: time per token, to the first token, throughput.

    Every row has an entry for each figure it states; one without a prediction says why. The order of layouts, engines
    and accelerators is judged too. Without --rows: rows the fit never saw.

    \b
    Examples:
      exafleet validate serving
      exafleet validate serving --rows serving.csv --format json --out errors.json
    """
    from exafleet.report.validation import serving as told
    from exafleet.service.measured.predict import compare_served
    from exafleet.service.measured.run_tables import read_served
    from exafleet.service.measured.runs import FILE, published

    def answer(asked: Asked) -> tuple[Report, dict[str, Any]]:
        read = published(FILE) if asked.path == FILE else read_served(asked.path, asked.facts)
        kept = of_role(read, asked.role, asked.path)
        with asked.progress.phase("predicting"):
            found = compare_served(kept, asked.facts, lambda done: asked.progress.count(done, len(kept)))
        judged, order = told.judge(found, asked.facts), told.ordered(found)
        return (told.report(judged, order, asked.facts, asked.name, asked.rows_hash),
                told.as_json(judged, order, asked.facts, asked.rows_hash))

    run(answer, rows, FILE, role, as_of, form, out)


class Asked:
    """What a validation was asked for: the file, the role of its rows, facts, and where to tell progress."""

    def __init__(self, rows: Path | None, own: Path, role: Role | None, facts: Facts, progress: Progress) -> None:
        import hashlib

        self.path = own if rows is None else rows
        self.name = PACKAGE if rows is None else self.path.name
        self.rows_hash = hashlib.sha256(self.path.read_bytes()).hexdigest()
        self.role = role or (Role.held_out if rows is None else Role.all)
        self.facts, self.progress = facts, progress
        if self.role is not Role.all:
            self.name += f", {self.role.value.replace('_', '-')} rows"


def run(
    answer: Callable[[Asked], tuple[Report, dict[str, Any]]], rows: Path | None, own: Path, role: Role | None,
    as_of: str | None, form: Answer, out: Path | None,
) -> None:
    """Read, predict, and print or write in the form asked for."""
    from exafleet.apps.files import check_writable
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.progress import Progress

    if out is not None:
        check_writable(out)
    progress = Progress.to_stderr()
    with progress.phase("reading facts"):
        facts = facts_as_of(as_of)
    report, data = answer(Asked(rows, own, role, facts, progress))
    tell(report, data, form, out, progress)


def tell(report: Report, data: dict[str, Any], form: Answer, out: Path | None, progress: Progress) -> None:
    """The answer on the terminal, or whole in a file."""
    import sys

    from exafleet.apps.files import write_text
    from exafleet.apps.output import note

    text = written(report, data, form, to_file=out is not None, progress=progress)
    if out is None:
        sys.stdout.write(text)
        return
    write_text(out, text)
    note(f"Written to {out}.")


def written(report: Report, data: dict[str, Any], form: Answer, *, to_file: bool, progress: Progress) -> str:
    """The answer as text in its form."""
    import sys

    from exafleet.apps.output import as_json, is_terminal, width

    if form is Answer.json:
        return as_json(data)
    if form is Answer.html:
        from exafleet.report.html import page

        with progress.phase("drawing"):
            return page(report)
    from exafleet.report.terminal import text

    return text(report, width=width(), colour=not to_file and is_terminal(sys.stdout))


def of_role(rows: Sequence[Row], role: Role, path: Path) -> list[Row]:
    """Rows of a role (rows that could not be read have none and stay); raises FactError when nothing is left."""
    from exafleet.terms.errors import FactError, Problem

    kept = [row for row in rows if role is Role.all or getattr(row, "role", role.value) == role.value]
    if kept:
        return kept
    if not rows:
        raise FactError(Problem(where=str(path), what="holds no row", remedy="Give at least one row under the header."))
    roles = sorted({str(getattr(row, "role", "")) for row in rows})
    raise FactError(Problem(where="--role", what=f"no row of {path.name} has this role", got=role.value,
                            allowed=", ".join(["all", *filter(None, roles)])))
