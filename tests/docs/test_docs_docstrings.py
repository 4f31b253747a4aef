"""Docstrings hold what they promise: their tables name real parameters, units and terms, and examples are run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from exafleet.terms.term import terms
from exafleet.terms.units import units

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "exafleet"
# A line of a docstring's table: names, two blanks or more, meaning, and in brackets the unit, the shape, or both.
_LINE = re.compile(r"^(?P<names>\w+(?:, \w+)*) {2,}(?P<meaning>\S.*?)(?P<brackets>(?: +\[[^\]]+\])*)$")
_SHAPE = re.compile(r"(?:\.\.\.|[A-Z]\d?|1)(?:,? (?:\.\.\.|[A-Z]\d?|1))*")


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


def table(node: ast.FunctionDef, where: str) -> Iterator[Entry]:
    """The lines of the table in one docstring."""
    taken = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg)
    parameters = frozenset(a.arg for a in taken if a)
    for line in (ast.get_docstring(node) or "").splitlines()[1:]:
        if m := _LINE.match(line):
            yield Entry(where, parameters, tuple(m["names"].split(", ")), m["meaning"], _inside(m["brackets"]))


def _inside(brackets: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\[([^\]]+)\]", brackets))


def entries() -> list[Entry]:
    """The lines of every docstring's table, in the whole package."""
    return [entry for path in sorted(PACKAGE.rglob("*.py")) for node in functions(path)
            for entry in table(node, f"{path.relative_to(PACKAGE).as_posix()}:{node.name}")]


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
    assert [f for f in found if not (_SHAPE.fullmatch(f[1]) or f[1] in units())] == []


def test_the_unit_of_a_result_is_a_known_one() -> None:
    """Floors of formulas say the unit, the shape or both of what comes back at the end of the first line."""
    found = []
    for floor in ("work", "ops", "step", "fleet"):
        for path in sorted((PACKAGE / floor).glob("*.py")):
            for node in functions(path):
                first = (ast.get_docstring(node) or "").splitlines()[0]
                ending = re.search(r"\.(?P<brackets>(?:\s+\[[^\]]+\])+)$", first)
                found += [(node.name, b) for b in _inside(ending["brackets"] if ending else "")]
    assert len(found) >= 30
    assert [f for f in found if not (_SHAPE.fullmatch(f[1]) or f[1] in units())] == []


def test_terms_that_are_named_exist() -> None:
    found = [(e.function, m[1]) for e in entries() for m in re.finditer(r"\bterm (\w+)", e.meaning)]
    assert found
    assert [f for f in found if f[1] not in terms()] == []


def test_formulas_below_the_waist_show_an_example() -> None:
    """Each floor of formulas has functions whose example is run as a test."""
    silent = [floor for floor in ("terms", "facts", "work", "ops", "step", "fleet")
              if not any(">>>" in (ast.get_docstring(node) or "") for path in (PACKAGE / floor).rglob("*.py")
                         for node in functions(path))]
    assert silent == []
