"""Runs in a process of its own, where aiconfigurator may warn and write as it likes: questions in, answers out.

It imports nothing of exafleet. Questions come as a JSON list on stdin, each the keyword arguments of `cli_estimate`.
The answers leave as a JSON list in the file named on the command line, since stdout is aiconfigurator's.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Tables measured on the chip first; where they have a hole, tables with formulas in the holes.
MODES = ("SILICON", "HYBRID")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Figures in base units, or `reason`, in aiconfigurator's own words, why there are none."""
    told: dict[str, Any] = {}
    for mode in MODES:
        told = _try(question, mode)
        if "reason" not in told:
            return told
    return told


def _try(question: dict[str, Any], mode: str) -> dict[str, Any]:
    from aiconfigurator.cli.api import cli_estimate

    about = {"version": version("aiconfigurator"), "database_mode": mode}
    try:
        found = cli_estimate(**question, database_mode=mode)
    except Exception as error:  # noqa: BLE001 - whatever it raises is its answer
        return {**about, "reason": f"{type(error).__name__}: {error}"}
    raw = found.get()
    # Apart, its concurrency counts one stage of decode, though its throughput counts all.
    stages = question.get("decode_pp_size", 1)
    grounds = {tag for step in (found.per_ops_source or {}).values() for tag in step.values()}
    return {
        **about, "backend": found.backend_name, "backend_version": str(found.backend_version),
        "ttft": float(found.ttft) / 1e3, "tpot": float(found.tpot) / 1e3,
        "tokens_per_s_per_gpu": float(raw["tokens/s/gpu"]), "concurrency": stages * float(raw["concurrency"]),
        "gpus": int(raw["num_total_gpus"]), "operators_from": sorted(str(tag) for tag in grounds),
        "warning": str(found.kv_cache_warning or ""),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps([answer(q) for q in json.load(sys.stdin)]), encoding="utf-8")
