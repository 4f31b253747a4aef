"""Every command, option, term and public name is documented, and the generated pages are fresh."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import exafleet
from exafleet.terms.term import terms
from tools import generate_docs

ROOT = generate_docs.ROOT
FLOORS = ("apps", "store", "report", "sweep", "replay", "plan", "market", "fleet", "step", "ops", "work", "facts",
          "terms")


def words_of_docs() -> str:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_glossary_is_fresh() -> None:
    stale = generate_docs.difference(ROOT / "docs" / "glossary.md", generate_docs.glossary())
    assert not stale, f"run: python tools/generate_docs.py glossary\n{stale}"


def test_command_reference_is_fresh() -> None:
    stale = generate_docs.difference(ROOT / "docs" / "commands.md", generate_docs.commands_page())
    assert not stale, f"run: python tools/generate_docs.py commands\n{stale}"


def test_report_schema_is_fresh() -> None:
    stale = generate_docs.difference(ROOT / "docs" / "report.schema.json", generate_docs.report_schema_text())
    assert not stale, f"run: python tools/generate_docs.py report\n{stale}"


def test_every_term_has_a_meaning_and_a_place_in_the_glossary() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert terms()
    assert [t.name for t in terms().values() if len(t.meaning.split()) < 3] == []
    assert [name for name in terms() if f"| `{name}` |" not in page] == []


def test_every_command_and_option_says_what_it_does() -> None:
    silent = [" ".join(c.words) for c in generate_docs.commands() if not c.help]
    silent += [f"{' '.join(c.words)} {'/'.join(p.names)}" for c in generate_docs.commands() for p in c.parameters
               if not p.help]
    assert silent == []


def test_every_command_and_option_is_in_the_docs() -> None:
    docs = words_of_docs()
    missing = []
    for command in generate_docs.commands():
        path = " ".join(("exafleet", *command.words))
        missing += [path] if not re.search(rf"{re.escape(path)}(?![\w-])", docs) else []
        missing += [f"{path} {name}" for p in command.parameters if p.is_option for name in p.names
                    if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", docs)]
    assert missing == []


def test_every_command_that_does_something_is_shown_in_use() -> None:
    """A reference is not enough: the README or a page written by hand shows each command with its arguments."""
    pages = [p for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")] if p.name != "commands.md"]
    shown = "\n".join(p.read_text(encoding="utf-8") for p in pages)
    paths = {command.words for command in generate_docs.commands()}
    leaves = [words for words in paths if words and not any(other[:-1] == words for other in paths)]
    assert leaves
    missing = [" ".join(w) for w in sorted(leaves) if not re.search(rf"exafleet {' '.join(w)}(?![\w-])", shown)]
    assert missing == []


@pytest.mark.parametrize("floor", FLOORS)
def test_every_public_name_of_a_floor_is_documented(floor: str) -> None:
    files = sorted((ROOT / "src" / "exafleet" / floor).rglob("*.py"))
    found = [(f"{path.stem}.{name}", doc) for path in files for name, doc in public(path)]
    assert len(found) > len(files)
    assert [name for name, doc in found if len(doc.split()) < 2] == []


def public(path: Path) -> Iterator[tuple[str, str]]:
    """A file, and every public function, class and method in it, each with its docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield "__doc__", ast.get_docstring(tree) or ""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""
            methods = node.body if isinstance(node, ast.ClassDef) else ()
            yield from ((f"{node.name}.{method.name}", ast.get_docstring(method) or "") for method in methods
                        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"))


def test_version_is_told_once() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"[{exafleet.__version__}]" in changelog
    assert not re.search(r'^version\s*=\s*"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)


def test_each_decision_has_a_number_of_its_own() -> None:
    pages = sorted(Path(ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [page.name[:4] for page in pages if page.name != "README.md"]
    assert pages
    assert all(number.isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)
