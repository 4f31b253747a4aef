"""What is installed is the whole package: it works from any folder, with no checkout near."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRY = "import sys; from exafleet.apps.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds."""
    pytest.importorskip("hatchling", reason="the build backend is a development dependency")
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_travels(installed: Path) -> None:
    source = ROOT / "src" / "exafleet"
    here = {p.relative_to(source).as_posix() for p in source.rglob("*")
            if p.is_file() and p.suffix != ".pyc" and not p.name.startswith(".")}
    there = {p.relative_to(installed / "exafleet").as_posix() for p in (installed / "exafleet").rglob("*")
             if p.is_file()}
    assert there == here
    assert {"py.typed", "data/chips.csv", "data/scenario.schema.json", "apps/templates/scenario.toml",
            "report/templates/report.html.j2"} <= there


def test_it_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """-P keeps the folder it is called in off the path; PYTHONPATH names the installed files alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    where = subprocess.run([sys.executable, "-P", "-c", "import exafleet; print(exafleet.__file__)"], cwd=tmp_path,
                           env=kept | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True)
    assert Path(where.stdout.strip()).is_relative_to(installed)
    for arguments in (["facts", "show", "gb200-nvl72"], ["scenario", "schema"], ["scenario", "new", "mine"],
                      ["scenario", "check", "mine"]):
        done = subprocess.run([sys.executable, "-P", "-c", ENTRY, *arguments], cwd=tmp_path,
                              env=kept | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine"]
