"""Writes everything that is generated: python tools/generate_docs.py [--check] [KIND ...]

glossary   docs/glossary.md from data/terms.csv
commands   docs/commands.md from the commands and options of the CLI itself
scenario   the tables of keys in docs/scenario.md and the JSON Schema, from the records that read a scenario
report     docs/report.schema.json, the JSON Schema of a report
validation docs/validation.md from the package's tables of measured runs
claims     the tables of words in docs/claims.md, and examples/claims/*.toml as they are in the package
examples   examples/*/expected.txt from `exafleet plan` on each example, or from the commands in its commands.txt

With --check nothing is written; a stale file is shown as a diff and the exit code is 1. The tests use the same
functions, so what is generated and what is checked cannot drift apart.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exafleet.terms.term import Term

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("glossary", "commands", "scenario", "report", "validation", "claims", "examples")
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"


# ------------------------------------------------------------------------------------------------ running the CLI
def cli_environment(folder: Path) -> dict[str, str]:
    """Environment in which the CLI prints the same bytes on every machine: no colour, 100 columns, UTF-8.

    Runs are kept in `folder`, so that making or testing the docs leaves the user's own store alone.
    """
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("EXAFLEET_", "FORCE_", "CLICOLOR")) and name != "CI"}
    return kept | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUTF8": "1", "NO_COLOR": "1", "COLUMNS": "100",
                   "TERM": "dumb", "LC_ALL": "C", "EXAFLEET_STORE": str(folder / "runs.sqlite")}


def run_cli(arguments: list[str], folder: Path, timeout: float = 600.0) -> subprocess.CompletedProcess[str]:
    """`exafleet ARGUMENTS` as a fresh process with the running interpreter, in `folder`."""
    return subprocess.run([sys.executable, "-c", ENTRY, *arguments], cwd=folder, env=cli_environment(folder),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8",
                          timeout=timeout, check=False)


def copy_examples(folder: Path) -> None:
    """A copy of examples/ in `folder`, so that a run cannot change the tree."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__", "*.sqlite"))


# ------------------------------------------------------------------------------------------------------- glossary
def cell(text: str) -> str:
    """Text that cannot break a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def allowed(term: Term) -> str:
    """The range a value may lie in; dates are stored as day numbers and shown as dates."""
    if term.dimension == "date":
        return f"{date.fromordinal(int(term.low))} to {date.fromordinal(int(term.high))}"
    return f"{term.low:g} to {term.high:g}"


def glossary() -> str:
    """The glossary page: one row per term, its base unit, meaning, basis and allowed range."""
    from exafleet.terms.term import terms
    from exafleet.terms.units import base_unit, of_dimension

    lines = [
        "# Glossary",
        "",
        "Generated from `src/exafleet/data/terms.csv` by `tools/generate_docs.py`; edit that table, not this page.",
        "",
        "Every word a fact may use. Numbers are held in the base unit; sources may write any unit of the dimension.",
        "",
        "| term | base unit | meaning | basis | allowed range |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| `{t.name}` | {base_unit(t.dimension)} | {cell(t.meaning)} | {cell(t.basis)} | {allowed(t)} |"
        for t in sorted(terms().values(), key=lambda t: t.name)
    ]
    lines += ["", "## Units", "", "| dimension | units |", "|---|---|"]
    dimensions = sorted({t.dimension for t in terms().values()})
    lines += [f"| {d.replace('_', ' ')} | {cell(', '.join(f'`{u}`' for u in of_dimension(d)))} |" for d in dimensions]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------------- commands
@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One option or argument of a command: how it is written, what it means, and its default where it is shown."""

    names: tuple[str, ...]
    help: str
    is_option: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command a user can type: its words after `exafleet`, its help, its examples and its parameters."""

    words: tuple[str, ...]
    help: str
    examples: tuple[str, ...]
    parameters: tuple[Parameter, ...]


def cli_root() -> Any:
    """The CLI as a click group, whether it is written with typer or with click."""
    from exafleet.apps.main import app

    if hasattr(app, "registered_commands"):  # a Typer
        import typer

        return typer.main.get_command(app)
    return app


def commands() -> list[Command]:
    """Every visible command of the CLI, groups included, sorted by its words; the first is `exafleet` itself."""
    return sorted(_walk(cli_root(), ()), key=lambda command: command.words)


def _walk(node: Any, words: tuple[str, ...]) -> Iterator[Command]:
    said, _, shown = (node.help or "").partition("Example")
    examples = tuple(line.strip() for line in shown.splitlines() if line.strip().startswith("exafleet"))
    yield Command(words=words, help=plain(said), examples=examples, parameters=tuple(_parameters(node)))
    for name, child in getattr(node, "commands", {}).items():
        if not child.hidden:
            yield from _walk(child, (*words, name))


def _parameters(node: Any) -> Iterator[Parameter]:
    for parameter in node.params:
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        is_option = parameter.param_type_name == "option"
        written = (parameter.metavar or parameter.name.upper(),)
        names = (*parameter.opts, *parameter.secondary_opts) if is_option else written
        yield Parameter(names=names, help=plain(getattr(parameter, "help", "")), is_option=is_option)


def plain(text: str | None) -> str:
    """Help text as one line of words, without the markup meant for the terminal."""
    return " ".join(re.sub(r"\[/?[a-z ]+\]", "", (text or "").replace("\b", "")).split())


def commands_page() -> str:
    """The command reference: each command with its help and each of its options."""
    lines = ["# Commands", "", "Generated from the command line itself by `tools/generate_docs.py`.", ""]
    for command in commands():
        lines += [f"## `{' '.join(('exafleet', *command.words))}`", "", command.help, ""]
        if command.examples:
            lines += ["```text", *command.examples, "```", ""]
        if command.parameters:
            lines += ["| option or argument | meaning |", "|---|---|"]
            lines += [f"| {' '.join(f'`{n}`' for n in p.names)} | {cell(p.help)} |" for p in command.parameters]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


# ------------------------------------------------------------------------------------------------------- scenario
def scenario_files() -> list[tuple[Path, str]]:
    """The page of scenario keys, and the JSON Schema in its two places, with the text each should hold."""
    from exafleet.facts.scenario.docs import page
    from exafleet.facts.scenario.schema import schema_text
    from exafleet.facts.scenario.schema_words import SCHEMA_FILE

    written = ROOT / "docs" / "scenario.md"
    return [(written, page(written.read_text(encoding="utf-8"))), (SCHEMA_FILE, schema_text()),
            (ROOT / "docs" / SCHEMA_FILE.name, schema_text())]


# --------------------------------------------------------------------------------------------------------- report
def report_schema_text() -> str:
    """The JSON Schema of a report."""
    from exafleet.report.schema import schema

    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


# ----------------------------------------------------------------------------------------------------- validation
def validation_page() -> str:
    """Errors of the models on the package's tables of measured runs, as of its newest fact."""
    from exafleet.apps.inputs import facts_as_of
    from exafleet.report.validation.page import page

    return page(facts_as_of(None))


# --------------------------------------------------------------------------------------------------------- claims
def claims_files() -> list[tuple[Path, str]]:
    """The page on claims, and the claims of the package where readers of the examples look for them."""
    from exafleet.report.claims.docs import page
    from exafleet.report.claims.document import FOLDER

    written = ROOT / "docs" / "claims.md"
    copies = [(ROOT / "examples" / "claims" / p.name, p.read_text(encoding="utf-8")) for p in sorted(FOLDER.iterdir())]
    return [(written, page(written.read_text(encoding="utf-8"))), *copies]


# ------------------------------------------------------------------------------------------------------- examples
def examples() -> list[Path]:
    """Folders of the examples, sorted; every folder in examples/ is one."""
    return sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != "__pycache__")


def plans() -> list[Path]:
    """The examples that are scenarios; the others hold commands.txt."""
    return [path for path in examples() if not (path / "commands.txt").exists()]


def example_output(folder: Path) -> str:
    """What an example prints, planned or command by command, in a fresh folder; RuntimeError when one fails."""
    with tempfile.TemporaryDirectory() as temporary:
        if folder in plans():
            return planned(folder.name, Path(temporary)).stdout
        return "".join(f"$ {line}\n\n{run_example(line, Path(temporary))}" for line in example_commands(folder))


def example_commands(folder: Path) -> list[str]:
    """The commands of an example's commands.txt as they are typed; a line ended by a backslash goes on."""
    text = (folder / "commands.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    return [" ".join(line.split()) for line in text.splitlines() if line.startswith("./exafleet ")]


def run_example(command: str, folder: Path) -> str:
    """What one command of commands.txt prints; raises RuntimeError when it does not exit with 0."""
    if "examples/" in command and not (folder / "examples").exists():
        copy_examples(folder)
    done = run_cli(shlex.split(command)[1:], folder)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def planned(name: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`exafleet plan examples/NAME OPTIONS` in a copy of the examples in `folder`; RuntimeError when it fails."""
    copy_examples(folder)
    done = run_cli(["plan", f"examples/{name}", *options], folder)
    if done.returncode != 0:
        raise RuntimeError(f"exafleet plan examples/{name}: exit code {done.returncode}\n{done.stderr}")
    return done


# ------------------------------------------------------------------------------------------------------------ main
def generated(kinds: list[str]) -> Iterator[tuple[Path, str]]:
    """Each generated file of the kinds asked for, with the text it should hold."""
    if "glossary" in kinds:
        yield ROOT / "docs" / "glossary.md", glossary()
    if "commands" in kinds:
        yield ROOT / "docs" / "commands.md", commands_page()
    if "scenario" in kinds:
        yield from scenario_files()
    if "report" in kinds:
        yield ROOT / "docs" / "report.schema.json", report_schema_text()
    if "validation" in kinds:
        yield ROOT / "docs" / "validation.md", validation_page()
    if "claims" in kinds:
        yield from claims_files()
    if "examples" in kinds:
        for folder in examples():
            yield folder / "expected.txt", example_output(folder)


def difference(path: Path, wanted: str) -> str:
    """A unified diff from the file to the text it should hold; empty when it holds it byte for byte."""
    held = path.read_bytes().decode("utf-8") if path.exists() else ""
    if path.exists() and held == wanted:
        return ""
    name = path.relative_to(ROOT).as_posix()
    lines = difflib.unified_diff(held.splitlines(keepends=True), wanted.splitlines(keepends=True), name, "generated")
    return "".join(lines) or f"{name} does not exist or is empty\n"


def main(arguments: list[str] | None = None) -> int:
    """Write, or with --check compare, the generated files; returns the exit code."""
    parser = argparse.ArgumentParser(description="write the generated pages and files, or check that they are fresh")
    parser.add_argument("kinds", nargs="*", metavar="|".join(KINDS), help="all of them by default")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    stale = False
    for path, wanted in generated(options.kinds or list(KINDS)):
        found = difference(path, wanted)
        if found and options.check:
            stale = True
            sys.stdout.write(found)
        elif found:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted.encode("utf-8"))
            print(f"wrote {path.relative_to(ROOT).as_posix()}")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "src"))
    sys.exit(main())
