"""The glossary as a table: every word a fact may use, with its unit, its basis and the range it can lie in.

data/terms.csv is read by the fact reader, by `facts check`, by the docs (docs/glossary.md is generated from it) and by
the report; a fact whose term is not in it is refused.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass

from exafleet.terms.errors import FactError, Problem, nearest
from exafleet.terms.units import DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One word: `dimension` gives its base unit, `basis` what one of it means (per package? dense? one direction?)."""

    name: str
    dimension: str
    meaning: str
    basis: str
    low: float
    high: float


@functools.cache
def terms() -> dict[str, Term]:
    """Every term by name; low and high are in base units."""
    with (DATA / "terms.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["term"]: Term(name=row["term"], dimension=row["dimension"], meaning=row["meaning"],
                              basis=row["basis"], low=float(row["low"]), high=float(row["high"]))
            for row in csv.DictReader(file)
        }


def term(name: str) -> Term:
    """The term called `name`; raises FactError with the nearest names."""
    found = terms().get(name)
    if found is None:
        raise FactError(Problem(what=f'unknown term "{name}"', remedy=nearest(name, terms())))
    return found
