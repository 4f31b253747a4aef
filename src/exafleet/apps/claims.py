"""`exafleet claims`: claims of the press checked against facts and models, and proposed from a text."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.apps.options import AsOf, Lang, Language, Own

if TYPE_CHECKING:
    from datetime import date

    from exafleet.facts.subjects import Subjects
    from exafleet.report.claims.answer import Checked
    from exafleet.report.claims.extract import Proposal
    from exafleet.report.claims.texts import Text

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
    lang: Lang = Language.en,
    out: Out = None,
) -> None:
    """Compute the verdict on every claim of a file: true, under which conditions, false, or what would decide it.

    \b
    Examples:
      exafleet claims check gb200-2024-12
      exafleet claims check gb200-2024-12 --only C19 --as-of 2024-12-19
      exafleet claims check my-claims.toml --format html --out verdicts.html
      exafleet claims check gb200-2024-12 --lang zh
    """
    from exafleet.apps.errors import INTERRUPTED
    from exafleet.apps.files import check_writable
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.output import note
    from exafleet.apps.progress import Progress
    from exafleet.report.claims.answer import check as verdicts
    from exafleet.report.claims.document import load_claims

    wanted = _ids(only)
    facts = facts_as_of(as_of, own)
    claims = load_claims(what, facts)
    if out is not None:
        check_writable(out)
    progress = Progress.to_stderr()
    with progress.phase("claims"):
        checked = verdicts(claims, facts, wanted, told=lambda name, done, total: progress.step(
            f"{name}, {done} of {total}"))
    _write(_written(checked, form, lang.value, to_file=out is not None), out)
    if checked.left:
        note(f"exafleet: stopped; not checked: {', '.join(checked.left)}.")
        raise typer.Exit(INTERRUPTED)


def _ids(only: str | None) -> tuple[str, ...]:
    """Ids of claims from the words of an option; () where it is not given. Raises FactError for one that names none."""
    from exafleet.terms.errors import FactError, Problem

    wanted = tuple(one.strip() for one in (only or "").split(",") if one.strip())
    if only is not None and not wanted:
        raise FactError(Problem(where="--only", what="names no claim", got=repr(only), allowed="ids, as C06,C19"))
    return wanted


def _written(checked: Checked, form: CheckFormat, language: str, *, to_file: bool) -> str:
    """Verdicts as text of a format, in a language."""
    from exafleet.apps.output import as_json, is_terminal, width
    from exafleet.report.claims import answer

    if form is CheckFormat.json:
        return as_json(answer.as_json(checked, language))
    if form is CheckFormat.html:
        from exafleet.report.claims.page import page

        return page(checked, language)
    from exafleet.report.terminal import text

    return text(answer.report(checked, language), width=width(), colour=is_terminal(sys.stdout) and not to_file,
                language=language)


def _write(text: str, out: Path | None) -> None:
    from exafleet.apps.files import write_text

    if out is None:
        sys.stdout.write(text)
    else:
        write_text(out, text)


class ExtractFormat(StrEnum):
    """How proposals are printed."""

    toml = "toml"
    json = "json"
    table = "table"


@app.command()
def extract(
    what: Annotated[
        str, typer.Argument(metavar="TEXT|FILE|-", help="The text itself, a file that holds it, or - for stdin."),
    ],
    form: Annotated[
        ExtractFormat,
        typer.Option("--format", help="A file of claims with blanks, JSON with spans, or a table."),
    ] = ExtractFormat.toml,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="The day the text is of: days without a year take its year."),
    ] = None,
    own: Own = None,
    out: Out = None,
) -> None:
    """Propose claims from an English or Chinese text, by rules, for a person to complete. It decides nothing.

    \b
    Examples:
      exafleet claims extract "GB200 NVL72 draws 120 kW and costs about 3 million dollars a rack."
      exafleet claims extract article.txt --as-of 2024-12-19 --out claims.toml
    """
    from exafleet.apps.errors import INTERRUPTED
    from exafleet.apps.files import check_writable
    from exafleet.apps.inputs import day, facts_as_of
    from exafleet.apps.output import is_terminal, note, width
    from exafleet.report.claims import extract as rules
    from exafleet.report.terminal import text as printed

    text = _text(what)
    if out is not None:
        check_writable(out)
    subjects = facts_as_of(None, own).subjects
    found, read = _proposed(text, subjects, made := day(as_of))
    whole = read == len(text.plain)
    nothing = () if found or not whole else ("no figure with a unit was found: nothing to propose",)
    for said in (*text.notes, *nothing):
        note(f"exafleet: {said}.")
    if form is ExtractFormat.json:
        answer = rules.as_json_text(found, text)
    elif form is ExtractFormat.toml:
        answer = rules.as_toml(found, text, made)
    else:
        answer = printed(rules.report(found, text), width=width(), colour=out is None and is_terminal(sys.stdout))
    _write(answer, out)
    if not whole:
        note(f"exafleet: stopped; read {read:,} of {len(text.plain):,} characters.")
        raise typer.Exit(INTERRUPTED)


def _proposed(text: Text, subjects: Subjects, day: date | None) -> tuple[list[Proposal], int]:
    """Proposals, and how many characters were read: fewer than the text has where Ctrl-C came."""
    from exafleet.apps.progress import Progress
    from exafleet.report.claims.extract import in_turn

    found: list[Proposal] = []
    read = 0
    progress = Progress.to_stderr()
    try:
        with progress.phase("claims"):
            for read, more in in_turn(text, subjects, day):
                found += more
                progress.step(f"{read / len(text.plain):.0%} of the text, {len(found):,} figures")
    except KeyboardInterrupt:
        pass
    return found, read


def _text(what: str) -> Text:
    """The text an argument means: stdin, a file, or itself. Raises FactError for a file that is not there."""
    import re

    from exafleet.report.claims.texts import of_bytes, of_words
    from exafleet.terms.errors import FactError, Problem

    if not what.strip():
        raise FactError(Problem(what="there is no text", allowed="a text, a file that holds one, or - for stdin"))
    if what == "-":
        return of_bytes(sys.stdin.buffer.read(), "stdin")
    path = Path(what)
    try:
        if path.is_file():
            return of_bytes(path.read_bytes(), path.name)
        folder = path.is_dir()
    except (OSError, ValueError):  # a long text is no name of a file
        folder = False
    if folder or re.fullmatch(r"[^\s，。]+\.(?:txt|md|html?|toml|csv|json|pdf|docx?)|(?:\.{0,2}/)\S+", what):
        raise FactError(Problem(where=what, what="is a folder, not a text" if folder else "no such file"))
    return of_words(what)
