"""Writes data/measured_train.csv from a folder of published measurements, with the role of every row.

    python tools/prepare_measured.py FOLDER      FOLDER holds train.csv, nanotron_h100.csv, train_vtrain_single_node.csv

Rows that are averages over a whole run (with its restarts) or second-hand headlines are left out: they do not measure a
step. Of the two tables of thousands of like jobs a sample is kept, by the hash of the job's name. Roles are fixed by a
written rule (docs/models/training.md): families held out whole, else the SHA-256 of the configuration group.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.step.measured.run_tables import read_runs
from exafleet.step.measured.training import AXES, COLUMNS, FILE, Published, Unread, config_group, written

# Families never used for fitting, whatever their hash.
HELD_FAMILIES = ("nemotron-4", "mixtral")
# The table that open tools are compared on.
HELD_SOURCES = ("Korthikanti",)
# One in so many jobs of a table of like jobs is kept.
SAMPLED = {"nanotron_h100.csv": 5, "train_vtrain_single_node.csv": 8}
# Rows of a table without dates: when the table was published.
UNDATED = "2024-09"
# A figure dated by this year alone was there when the tables were put together.
PREPARED = "2026-08"
# Source of the table whose rows name none.
UNNAMED_SOURCE = "vTrain, ground truth of single-node runs (VIA-Research/vTrain, MIT)"
NOT_A_STEP = ("run_average", "secondary")


def digest(text: str) -> int:
    """A number that any machine computes alike from a text."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def role(row: Published) -> str:
    """ "held_out" for one configuration group in four and for whole families, "fit" for the others.

    "searched" where the source does not state the layout, "regression" where the source calls the release broken. Runs
    on software that no subject stands for are held out: fitted, they would be taken for the vendor's tuned stack.
    """
    if not {"tp", "pp"} <= row.layout.keys():
        return "searched"
    if row.model.startswith("gpt-oss") and "26.06.01" in row.source:
        return "regression"
    if not row.stack or row.model.startswith(HELD_FAMILIES) or row.source.startswith(HELD_SOURCES):
        return "held_out"
    return "held_out" if digest(config_group(row)) % 4 == 3 else "fit"


def kinds(path: Path) -> dict[str, str]:
    """What each row measured, by its id."""
    with path.open(encoding="utf-8", newline="") as file:
        return {r["case_id"]: r.get("kind", "") for r in csv.DictReader(file) if "case_id" in r}


def rows(folder: Path) -> list[Published]:
    """Usable rows of every table, with their roles."""
    facts = load_facts(date(2026, 12, 31))
    return [row for name in ("train.csv", *SAMPLED) for row in usable(folder / name, facts)]


def usable(path: Path, facts: Facts) -> Iterator[Published]:
    """Rows of one table that measure a step, as the package keeps them; prints why published runs are left out."""
    kind, nameless = kinds(path), path.name == "train_vtrain_single_node.csv"
    for row in read_runs(path, facts):
        if isinstance(row, Unread):
            if path.name == "train.csv":
                print(f"{path.name} {row.id}: {row.why}")
        elif digest(row.id) % SAMPLED.get(path.name, 1) == 0 and kind.get(row.id, "") not in NOT_A_STEP \
                and "MFU under 15 %" not in row.note:
            yield replace(row, role=role(row), date=dated(row.date), source=row.source or UNNAMED_SOURCE,
                          id=f"vtrain-single-{row.id}" if nameless else row.id)


def dated(text: str) -> str:
    """Day, month or year a figure was published by, from a date as tables write it.

    >>> dated("2024-12"), dated("2023-2024 (table kept until 2025-09)")
    ('2024-12', '2024')
    """
    span = re.match(r"20\d\d-(20\d\d)", text)
    one = re.match(r"20\d\d(?:-\d\d){0,2}", text)
    found = span[1] if span else one[0] if one else UNDATED
    return PREPARED if found == PREPARED[:4] else found


def main() -> None:
    found = rows(Path(sys.argv[1]))
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(written(r) for r in found)
    roles = [r.role for r in found]
    print({name: roles.count(name) for name in dict.fromkeys(roles)}, "rows; layout open:",
          sum(not set(AXES) <= r.layout.keys() for r in found))


if __name__ == "__main__":
    main()
