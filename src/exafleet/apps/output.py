"""How an answer leaves: tables on the terminal, or JSON with raw values in base units."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exafleet.apps.options import Format

if TYPE_CHECKING:
    from exafleet.report.table import Report

_WIDTH_OF_A_FILE = 120


def show(report: Report, form: Format, data: Mapping[str, Any] | None = None, language: str = "en") -> None:
    """Print a report as tables, or as JSON; `data` replaces the report's own JSON where a flat answer is handier."""
    if form is Format.json:
        sys.stdout.write(as_json(report.as_json(language) if data is None else data))
        return
    from exafleet.report.terminal import text

    sys.stdout.write(text(report, width=width(), colour=is_terminal(sys.stdout), language=language))


def as_json(data: Mapping[str, Any]) -> str:
    """JSON text of plain data; a number JSON cannot write (infinite, not a number) becomes null."""
    import json

    return json.dumps(_plain(data), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """Mappings, sequences, numbers and NumPy values as what JSON knows."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


def width() -> int:
    """Columns to write in: those of the terminal, or of COLUMNS, else enough for a file."""
    import os
    import shutil

    if not is_terminal(sys.stdout) and not os.environ.get("COLUMNS"):
        return _WIDTH_OF_A_FILE
    return max(40, shutil.get_terminal_size((_WIDTH_OF_A_FILE, 24)).columns)


def is_terminal(stream: Any) -> bool:
    """Whether a person is watching."""
    try:
        return bool(stream.isatty())
    except ValueError:  # closed
        return False


def note(text: str) -> None:
    """One line beside the answer, on stderr, so that the answer can be piped."""
    sys.stderr.write(f"{text}\n")
