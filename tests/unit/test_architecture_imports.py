"""The command line starts light: nothing heavy is imported before a command needs it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "exafleet"
HEAVY = ("altair", "exafleet.plan", "highspy", "jinja2", "numpy", "pandas", "pydantic", "rich", "scipy", "sqlalchemy")


def imported(statement: str) -> set[str]:
    """Modules a fresh interpreter holds after a statement."""
    code = f"import sys\nsys.path.insert(0, {str(PACKAGE.parent)!r})\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_command_line_imports_nothing_heavy() -> None:
    assert sorted(set(HEAVY) & imported("import exafleet.apps.main")) == []


def test_the_probe_sees_a_heavy_import() -> None:
    assert "numpy" in imported("import exafleet.terms.parts")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_a_file_stays_readable(path: Path) -> None:
    """One file per concept: no file grows into the place where everything goes, no function into a page."""
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {n.name: n.end_lineno - n.lineno + 1 for n in functions if n.end_lineno and n.end_lineno - n.lineno >= 90}
    assert long == {}


def test_the_data_folder_holds_only_data() -> None:
    kinds = {path.suffix for path in (PACKAGE / "data").rglob("*") if path.is_file()}
    assert kinds <= {".csv", ".json", ".toml"}  # claims are data too


def test_the_tree_names_no_machine() -> None:
    """No absolute path of a developer's machine in anything that is shipped."""
    shipped = [p for folder in ("src", "docs", "examples", "tools", "benchmarks") for p in (ROOT / folder).rglob("*")
               if p.suffix in {".py", ".csv", ".md", ".toml", ".txt", ".json", ".sh"}]
    absolute = re.compile(r"(?<![\w.-])/(?:home|Users|root|work|tmp)/")
    assert shipped
    assert [p.relative_to(ROOT).as_posix() for p in shipped if absolute.search(p.read_text(encoding="utf-8"))] == []
