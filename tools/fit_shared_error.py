"""Prints how much of the error of predicted throughput two systems have in common, from the `fit` rows.

    python tools/fit_shared_error.py

The low is of all pairs of rows of one model and its lengths on two systems, the high counts every such group once; the
row of data/serving.csv takes their middle. Run it after tools/fit_serving.py.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Hashable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import load_facts
from exafleet.service.measured.runs import log_errors, predict_row, read_rows
from exafleet.service.measured.shared import shared_share


def rows() -> Iterator[tuple[Hashable, str, float]]:
    """Group, system and log error of throughput of every `fit` row that has one."""
    facts = load_facts(datetime.date.max)
    for row in read_rows():
        found = predict_row(row, facts) if row.role == "fit" else None
        error = log_errors(row, found).get("rate_per_chip") if found else None
        if error is not None:
            yield (row.model, row.input_tokens, row.output_tokens), row.system, error


def main() -> None:
    """Print both shares and their middle."""
    low, high = sorted(shared_share(rows()))
    print(f"error_shared {(low + high) / 2:.2f}, low {low:.2f}, high {high:.2f}")


if __name__ == "__main__":
    main()
