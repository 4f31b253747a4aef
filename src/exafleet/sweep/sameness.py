"""What two processes must have in common to give the same bytes: the package's files and the libraries' releases."""

from __future__ import annotations

import functools
import hashlib
import platform
from importlib import metadata
from pathlib import Path

# Their releases decide the last digits of an answer.
LIBRARIES = ("numpy", "scipy", "highspy")


@functools.cache
def sameness() -> tuple[tuple[str, str], ...]:
    """(name, value) pairs that must be equal: Python, exafleet's code and data, and the libraries that compute."""
    import exafleet

    folder = Path(exafleet.__file__).parent
    return (
        ("Python", ".".join(platform.python_version_tuple()[:2])),
        ("exafleet", exafleet.__version__),
        ("code of exafleet", _digest(folder, ".py")),
        ("data of exafleet", _digest(folder / "data", ".csv")),
        *((name, _release(name)) for name in LIBRARIES),
    )


def differences(mine: tuple[tuple[str, str], ...], theirs: tuple[tuple[str, str], ...]) -> str:
    """What differs, in words; empty when nothing does.

    >>> differences((("Python", "3.11"), ("numpy", "2.1")), (("Python", "3.11"), ("numpy", "2.2")))
    'numpy 2.1 here, 2.2 there'
    """
    there = dict(theirs)
    return ", ".join(
        f"{name} {value} here, {there.get(name, 'none')} there" for name, value in mine if there.get(name) != value
    )


def _digest(folder: Path, suffix: str) -> str:
    """Hash over names and contents of all files of one kind, in their order."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob(f"*{suffix}")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()[:12]


def _release(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
