"""Docstrings hold what they promise: their tables name real parameters, units and terms, and examples are run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exafleet.terms.term import terms
from exafleet.terms.units import is_unit

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "exafleet"
# A line of a docstring's table: names, two blanks or more, meaning, and in brackets the unit, the shape, or both.
_LINE = re.compile(r"^(?P<names>\w+(?:, \w+)*) {2,}(?P<meaning>\S.*?)(?P<brackets>(?: +\[[^\]]+\])*)$")
_SHAPE = re.compile(r"(?:\.\.\.|[A-Z]\d?|1)(?: (?:\.\.\.|[A-Z]\d?|1))*")


class Entry(NamedTuple):
    """One line of the table in a function's docstring."""

    function: str
    parameters: frozenset[str]
    names: tuple[str, ...]
    meaning: str
    brackets: tuple[str, ...]


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    """Every function of a file that has a docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node):
            yield node


def entries() -> list[Entry]:
    """The lines of every docstring's table, in the whole package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in functions(path):
            parameters = frozenset(a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))
            for line in (ast.get_docstring(node) or "").splitlines()[1:]:
                if m := _LINE.match(line):
                    found.append(Entry(f"{path.relative_to(PACKAGE).as_posix()}:{node.name}", parameters,
                                       tuple(m["names"].split(", ")), m["meaning"],
                                       tuple(re.findall(r"\[([^\]]+)\]", m["brackets"]))))
    return found


def test_the_lines_are_read_as_written() -> None:
    line = _LINE.match("m, n  sizes of one [sic] product   [C O]  [B/s]")
    assert line is not None
    assert (line["names"], line["meaning"], line["brackets"].split()) == (
        "m, n", "sizes of one [sic] product", ["[C", "O]", "[B/s]"])
    assert _LINE.match("A sentence of words.") is None


def test_tables_name_parameters_of_the_function() -> None:
    found = entries()
    assert len(found) >= 50
    assert [(e.function, name) for e in found for name in e.names if name not in e.parameters] == []


def test_brackets_hold_a_shape_or_a_known_unit() -> None:
    found = [(e.function, b) for e in entries() for b in e.brackets]
    assert len(found) >= 20
    assert [f for f in found if not (_SHAPE.fullmatch(f[1]) or is_unit(f[1]))] == []


def test_terms_that_are_named_exist() -> None:
    found = [(e.function, m[1]) for e in entries() for m in re.finditer(r"\bterm (\w+)", e.meaning)]
    assert found
    assert [f for f in found if f[1] not in terms()] == []


def test_formulas_below_the_waist_show_an_example() -> None:
    """Each floor of formulas has functions whose example is run as a test."""
    silent = [floor for floor in ("terms", "facts", "work", "ops", "step", "fleet", "market")
              if not any(">>>" in (ast.get_docstring(node) or "") for path in (PACKAGE / floor).rglob("*.py")
                         for node in functions(path))]
    assert silent == []
