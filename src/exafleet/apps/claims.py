"""`exafleet claims`: claims of the press checked against facts and models, and proposed from a text."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.apps.options import AsOf, Own

if TYPE_CHECKING:
    from exafleet.report.claims.answer import Checked

app = typer.Typer(help="Claims of the press: checked against facts and models, or proposed from a text.",
                  no_args_is_help=True)


class CheckFormat(StrEnum):
    """How verdicts are printed."""

    table = "table"
    json = "json"
    html = "html"


Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the answer to a file, whole or not at all, instead of printing."),
]


@app.command()
def check(
    what: Annotated[
        str,
        typer.Argument(metavar="FILE|NAME", help=(
            "A file of claims (docs/claims.md says how to write one), or the name of claims of the package: "
            "gb200-2024-12.")),
    ],
    form: Annotated[
        CheckFormat,
        typer.Option("--format", help="Tables for people, JSON with base units, or one HTML file that opens offline."),
    ] = CheckFormat.table,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="IDS", help=(
            "Only these claims, as C06,C19; of three or fewer every step, reading and fact is shown.")),
    ] = None,
    as_of: AsOf = None,
    own: Own = None,
    out: Out = None,
) -> None:
    """Compute the verdict on every claim of a file: true, under which conditions, false, or what would decide it.

    \b
    Examples:
      exafleet claims check gb200-2024-12
      exafleet claims check gb200-2024-12 --only C19 --as-of 2024-12-19
      exafleet claims check my-claims.toml --format html --out verdicts.html
    """
    from exafleet.apps.errors import INTERRUPTED
    from exafleet.apps.files import check_writable
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import note
    from exafleet.apps.progress import Progress
    from exafleet.report.claims.answer import check as verdicts
    from exafleet.report.claims.document import load_claims

    facts = facts_as_of(as_of, own)
    claims = load_claims(what, facts)
    if out is not None:
        check_writable(out)
    progress = Progress.to_stderr()
    wanted = tuple(one.strip() for one in (only or "").split(",") if one.strip())
    with progress.phase("claims"):
        checked = verdicts(claims, facts, wanted, told=lambda name, done, total: progress.step(
            f"{name}, {done} of {total}"))
    _write(_written(checked, form, to_file=out is not None), out)
    if checked.left:
        note(f"exafleet: stopped; not checked: {', '.join(checked.left)}.")
        raise typer.Exit(INTERRUPTED)


def _written(checked: Checked, form: CheckFormat, *, to_file: bool) -> str:
    """Verdicts as text of a format."""
    from exafleet.apps.output import as_json, is_terminal, width
    from exafleet.report.claims import answer

    if form is CheckFormat.json:
        return as_json(answer.as_json(checked))
    if form is CheckFormat.html:
        from exafleet.report.claims.page import page

        return page(checked)
    from exafleet.report.terminal import text

    return text(answer.report(checked), width=width(), colour=is_terminal(sys.stdout) and not to_file)


def _write(text: str, out: Path | None) -> None:
    from exafleet.apps.files import write_text

    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)
