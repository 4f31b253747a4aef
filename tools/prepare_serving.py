"""Writes data/measured_serve.csv from a table of published serving points, with the role of every row.

    python tools/prepare_serving.py FOLDER      FOLDER holds serving.csv

Rows that say the same twice (one run told by two sources) are kept once; rows that cannot be compared are left out, and
counted. Roles are fixed by a written rule (docs/models/serving.md): models held out whole, else the SHA-256 of model,
system and layout.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from exafleet.facts.catalogue import load_facts
from exafleet.service.measured.run_tables import read_served
from exafleet.service.measured.runs import FILE, Served, Unread, digest, written

# Models never used for fitting, whatever their hash.
HELD_MODELS = ("mixtral-8x7b", "llama-4-maverick", "falcon-180b", "gpt-oss-20b", "qwen3-30b-a3b")


def role(row: Served) -> str:
    """ "held_out" for one group of model, system and layout in four and for whole models, "fit" for the others."""
    if row.model in HELD_MODELS:
        return "held_out"
    # One group holds nearly every AMD row: it is split by lengths, so that its kernels are known and judged.
    group = f"{row.layout_group}|{row.input_tokens:g}|{row.output_tokens:g}" if row.system.startswith("mi") \
        else row.layout_group
    return "held_out" if digest(group) % 4 == 3 else "fit"


def same(row: Served) -> tuple[object, ...]:
    """What two tellings of one run have in common."""
    times = [f"{row.given[m]:.4g}" for m in ("tpot_ms", "ttft_ms") if m in row.given]
    figures = times if len(times) == 2 else [f"{v:.4g}" for v in row.given.values()]
    return (row.layout_group, row.dtype, row.engine, row.input_tokens, row.output_tokens, row.concurrency, *figures)


def prints_throughput(row: Served | Unread) -> bool:
    """Whether a row has a throughput that its source prints."""
    derived = row.derived if isinstance(row, Served) else ()
    return "output_tok_s_per_gpu" in row.given and "output_tok_s_per_gpu" not in derived


def main() -> None:
    """Read, tell what is left out, write."""
    from dataclasses import replace

    read = read_served(Path(sys.argv[1]) / "serving.csv", load_facts(date.max))
    left = Counter(r.why for r in read if isinstance(r, Unread))
    kept: dict[tuple[object, ...], Served] = {}
    for row in sorted(read, key=prints_throughput):
        if isinstance(row, Served):
            # Of two tellings the one that prints its throughput comes last and stays.
            kept[same(row)] = replace(row, role=role(row), note="", where=row.where.rsplit("/", 1)[-1])
    rows = sorted(kept.values(), key=lambda r: r.id)
    FILE.write_text(written(rows), encoding="utf-8")
    print(f"{len(read)} rows read, {sum(left.values())} cannot be compared, {len(rows)} written:",
          dict(Counter(r.role for r in rows)))
    for why, n in left.most_common():
        print(f"{n:5d}  {why}")


if __name__ == "__main__":
    main()
