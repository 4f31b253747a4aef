"""Published serving measurements as records: the deployment, the load, and every figure its source gives.

The package's own table is data/measured_serve.csv: `fit` rows set the factors of engines and, left out in turn, the
band; `held_out` rows judge both and are never fitted. The rule that splits them is told in docs/models/serving.md.
Tables of a user's own are read by run_tables.py.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from exafleet.service.measured.words import Pool
from exafleet.terms.units import DATA

FILE = DATA / "measured_serve.csv"
# Figures of a row: name in tables and answers, and what turns it into base units (s, token/s).
METRICS = {"tpot_ms": 1e-3, "ttft_ms": 1e-3, "e2e_ms": 1e-3, "output_tok_s_per_gpu": 1.0}
# The unit each is told in.
UNITS = {"tpot_ms": "ms", "ttft_ms": "ms", "e2e_ms": "ms", "output_tok_s_per_gpu": "token/s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One published point of one deployment and load. Base units; a figure that is not given is missing from `given`.

    prefill       replicas that only prefill; None where the same chips do both
    decode        replicas that decode (and prefill, where `prefill` is None)
    phase         "" a whole service, "decode" or "prefill": the source measured that pool alone
    weight_dtype  format of stored weights where narrower than `dtype`; else ""
    input_tokens, output_tokens   mean lengths (nominal times the share that was drawn)               [token]
    concurrency   requests kept running; inf where all were queued at once                             [1]
    requests      requests sent in all; nan where not told                                             [1]
    draft         tokens proposed in a step by speculation, 0 for none; nan where not told            [token]
    given         metric of METRICS -> measured value in base units
    derived       metrics the source does not print itself
    role          "fit", "held_out" or "given" (a user's own row)
    """

    id: str
    model: str
    system: str
    dtype: str
    weight_dtype: str
    kv_dtype: str
    engine: str
    version: str
    prefill: Pool | None
    decode: Pool
    phase: str
    input_tokens: float
    output_tokens: float
    concurrency: float
    requests: float
    draft: float
    given: dict[str, float]
    derived: tuple[str, ...]
    source: str
    where: str
    date: str
    role: str
    note: str

    @property
    def chips(self) -> int:
        """Accelerators of the whole deployment."""
        return self.decode.chips + (self.prefill.chips if self.prefill else 0)

    @property
    def layout_group(self) -> str:
        """Model, system and layout: what the split of the package's table keeps together."""
        return "|".join((self.model, self.system, pool_text(self.prefill), pool_text(self.decode)))

    @property
    def group(self) -> str:
        """The deployment: the same with formats and engine."""
        return "|".join((self.layout_group, self.dtype, self.weight_dtype, self.engine, self.version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A row that cannot be compared, and why; the figures as far as they could be read."""

    id: str
    line: int
    why: str
    given: dict[str, float]


_NAMES = ("id", "model", "system", "dtype", "weight_dtype", "kv_dtype", "engine", "version")
_TOLD = ("source", "where", "date", "role", "note")
_NUMBERS = ("input_tokens", "output_tokens", "concurrency", "requests", "draft")
COLUMNS = (*_NAMES, "prefill", "decode", "phase", *_NUMBERS, *METRICS, "derived", *_TOLD)


def digest(text: str) -> int:
    """A number that any machine computes alike from a text: what rows are split by."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def pool_text(pool: Pool | None) -> str:
    """"4 x TP1 PP1 DP8 EP8"; "" for none."""
    return "" if pool is None else f"{pool.count} x TP{pool.tp} PP{pool.pp} DP{pool.dp} EP{pool.ep}"


def pool_of(text: str) -> Pool | None:
    """The pool `pool_text` wrote.

    >>> pool_of("4 x TP1 PP1 DP8 EP8").chips
    32
    """
    if not text:
        return None
    count, _, axes = text.partition(" x ")
    tp, pp, dp, ep = (int(word[2:]) for word in axes.split())
    return Pool(count=int(count), tp=tp, pp=pp, dp=dp, ep=ep)


def published(path: Path = FILE) -> list[Served]:
    """Rows of the package's table, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return [_row(cells) for cells in csv.DictReader(file)]


def _row(cells: dict[str, str]) -> Served:
    decode = pool_of(cells["decode"])
    assert decode is not None
    text: dict[str, Any] = {name: cells[name] for name in (*_NAMES, "phase", *_TOLD)}
    numbers: dict[str, Any] = {name: float(cells[name] or math.nan) for name in _NUMBERS}
    return Served(
        **text, **numbers, prefill=pool_of(cells["prefill"]), decode=decode, derived=tuple(cells["derived"].split()),
        given={metric: float(cells[metric]) * unit for metric, unit in METRICS.items() if cells[metric]})


def written(rows: Iterable[Served]) -> str:
    """Rows as the package's table."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        cells = {f.name: getattr(row, f.name) for f in fields(row)}
        cells |= {"prefill": pool_text(row.prefill), "decode": pool_text(row.decode), "derived": " ".join(row.derived)}
        cells |= {metric: f"{row.given[metric] / unit:.6g}" if metric in row.given else ""
                  for metric, unit in METRICS.items()}
        cells |= {name: "" if math.isnan(getattr(row, name)) else f"{getattr(row, name):.6g}" for name in _NUMBERS}
        table.writerow([cells[column] for column in COLUMNS])
    return out.getvalue()


def year(row: Served, releases: Mapping[str, float]) -> float | None:
    """When the software of a row was current, as a year: its date, else that of its version; None where untold.

    releases  version (or how it begins) -> year
    """
    told = re.match(r"(20\d\d)-([01]\d)(?:-([0-3]\d))?", row.date)
    if told:
        return int(told[1]) + (int(told[2]) - 1) / 12.0 + (int(told[3] or 15) - 1) / 365.0
    named = [y for version, y in releases.items() if row.version.startswith(version)]
    return named[0] if named else (int(row.date[:4]) + 0.5 if row.date else None)
