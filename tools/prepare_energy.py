"""Chooses rows of published tables of serving energy and of MLPerf Inference for the package's own, with their roles.

    python tools/prepare_energy.py power FILE.csv  > src/exafleet/data/measured_serve_power.csv
    python tools/prepare_energy.py mlperf FILE.csv > src/exafleet/data/measured_serve_mlperf.csv

The choice and the roles are mechanical (docs/models/energy.md). FILE lies outside the repository. A row that cannot be
read is named on standard error and left out.
"""

from __future__ import annotations

import csv
import datetime
import sys
import zlib
from collections.abc import Hashable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import Facts, load_facts
from exafleet.service.measured.mlperf_tables import MlperfRow, read_mlperf
from exafleet.service.measured.power_tables import PowerRow, UnreadPower, read_power
from exafleet.step.measured.cells import Cells, cells_of
from exafleet.step.measured.training import Unread

# One group of power rows in so many is held out, and one model on one chip of submissions.
HELD_POWER, HELD_MLPERF = 7, 3
# Most rows of one group that are taken; of equal submissions it is one.
MOST = 6
ROUNDS = {"v4.1": "2024-08-28", "v5.1": "2025-09-09"}
POWER = ("case_id", "source", "where", "date", "model", "precision", "framework", "version", "accelerator", "gpus",
         "tp", "ep", "attention_dp", "disaggregated", "isl", "osl", "concurrency", "avg_gpu_board_W", "prefill_W",
         "decode_W", "J_per_output_tok", "J_per_input_tok", "J_per_total_tok", "role", "note")
MLPERF = ("row_id", "round", "submitter", "accelerator", "n_accel", "model", "scenario", "result_tokens_per_s",
          "mean_output_tokens_per_sample", "ttft_p99_ms", "ttft_p50_ms", "tpot_p99_ms", "tpot_p50_ms", "ttft_limit_ms",
          "tpot_limit_ms", "weight_precision", "software", "source", "where", "date", "role", "note")


def order(text: str) -> int:
    """CRC-32 of a name: an order that has nothing to do with what was measured."""
    return zlib.crc32(text.encode())


def role(group: str, held: int) -> str:
    """The role of every row of a group: one group in `held` is held out."""
    return "held_out" if order(group) % held == 0 else "fit"


def first_of(rows: Sequence[tuple[Hashable, str]], most: int) -> set[str]:
    """Ids of at most so many rows of each group, first in order. rows: (group, id)"""
    groups: dict[Hashable, list[str]] = {}
    for group, name in rows:
        groups.setdefault(group, []).append(name)
    return {name for names in groups.values() for name in sorted(names, key=order)[:most]}


def power(path: Path, facts: Facts) -> list[dict[str, str]]:
    """Rows of the package's table of serving energy."""
    cells = {c["case_id"]: c for _, c in cells_of(path)[1]}
    rows = [r for r in read_power(path, facts) if isinstance(r, PowerRow) or told(r)]
    kept = first_of([(r.group, r.id) for r in rows if isinstance(r, PowerRow)], MOST)
    found = []
    for row in (r for r in rows if isinstance(r, PowerRow) and r.id in kept):
        from_dump = "dump" in cells[row.id]["source"]
        note = "watts derived from joules and rate" if from_dump else ""
        found.append(taken(cells[row.id], POWER) | {
            "role": role(row.group, HELD_POWER), "source": "inferencex-dump" if from_dump else "inferencex-power",
            "where": f"id={cells[row.id]['source_location'].rpartition('id=')[2]}",
            "note": note})
    return found


def mlperf(path: Path, facts: Facts) -> list[dict[str, str]]:
    """Rows of the package's table of MLPerf submissions."""
    cells = {c["row_id"]: c for _, c in cells_of(path)[1]}
    rows = [r for r in read_mlperf(path, facts) if isinstance(r, MlperfRow) or told(r)]
    kept = first_of([((r.chip, r.chips, r.benchmark, r.scenario, r.dtype, r.round), r.id) for r in rows
                     if isinstance(r, MlperfRow)], 1)
    return [taken(cells[r.id], MLPERF) | {
        "role": role(f"{r.model}|{r.chip}", HELD_MLPERF), "source": "mlperf-inference", "where": cells[r.id]["source"],
        "date": ROUNDS[r.round], "note": r.note} for r in rows if isinstance(r, MlperfRow) and r.id in kept]


def told(row: Unread | UnreadPower) -> bool:
    """Say what cannot be read; False."""
    print(f"{row.id}: {row.why}", file=sys.stderr)
    return False


def taken(cells: Cells, columns: Sequence[str]) -> dict[str, str]:
    return {c: cells.get(c, "") for c in columns}


def main() -> None:
    """Write the chosen rows to standard output."""
    what, path = sys.argv[1:]
    columns, choose = {"power": (POWER, power), "mlperf": (MLPERF, mlperf)}[what]
    out = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    out.writeheader()
    out.writerows(choose(Path(path), load_facts(datetime.date.max)))


if __name__ == "__main__":
    main()
