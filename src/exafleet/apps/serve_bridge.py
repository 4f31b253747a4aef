"""An optional bridge to aiconfigurator: the same deployment, asked of both, side by side.

The package is an extra (`pip install 'exafleet[aiconfigurator]'`) and is touched only when asked for. It runs in a
process of its own in a temporary folder, so that its imports, warnings and files stay there. What is called how in it
stands in serve_bridge.csv; what it cannot answer it says in its own words.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from exafleet.service.apart.search_apart import ApartLayout
from exafleet.terms.errors import ExafleetError, Problem, raise_all

if TYPE_CHECKING:
    from exafleet.facts.hardware import System
    from exafleet.report.table import Report, Table
    from exafleet.step.serve import ServeTask

PACKAGE = "aiconfigurator"
INSTALL = "pip install 'exafleet[aiconfigurator]'"
NAMES = Path(__file__).with_suffix(".csv")
WORKER = Path(__file__).with_name("serve_bridge_worker.py")
# Loading the tables of one chip takes some seconds; a whole batch of questions far less than this.
PATIENCE = 600.0
_LONGEST = 400


class Layout(Protocol):
    """Ways of one replica that runs prefill and decode together, as service/search.py names them."""

    @property
    def tp(self) -> int:
        """Tensor ways."""

    @property
    def pp(self) -> int:
        """Pipeline stages."""

    @property
    def dp(self) -> int:
        """Attention groups."""

    @property
    def ep(self) -> int:
        """Ways experts are spread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """A layout read from its words."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1


def ways(words: str) -> Ways:
    """The layout that words name.

    >>> ways("TP8 PP2 EP8")
    Ways(tp=8, pp=2, dp=1, ep=8)
    """
    return Ways(**{name.lower(): int(number) for name, number in re.findall(r"(TP|PP|DP|EP)(\d+)", words)})


def installed() -> str:
    """Version of aiconfigurator here; raises ExafleetError that says how to get it."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        raise ExafleetError(Problem(where="--engine aiconfigurator", what="the package aiconfigurator is not installed",
                                    remedy=f"It is an extra: {INSTALL}.")) from None


def beside(task: ServeTask, system: System, layout: Layout | ApartLayout, concurrency: float) -> dict[str, Any]:
    """What aiconfigurator says of a deployment at a load, in base units. See `beside_all`."""
    return beside_all([(task, system, layout, concurrency)])[0]


def beside_all(asked: Sequence[tuple[ServeTask, System, Layout | ApartLayout, float]]) -> list[dict[str, Any]]:
    """What aiconfigurator says of each deployment (task, system, layout, concurrency), in one process.

    The layout is of one replica, and the concurrency what runs on it; with prefill and decode apart it is that of all
    replicas, and the concurrency what runs on one of decode.

    An answer has `ttft` and `tpot` [s], `tokens_per_s_per_gpu`, the `concurrency` it took, its `version`,
    `database_mode`, `backend` and what its operator times come from; or a `reason` why it has none.

    Raises ExafleetError when it is not installed, or broke before it could answer.
    """
    here = installed()
    questions = [question(*one) for one in asked]
    able = [q for q in questions if "reason" not in q]
    told = iter(_run(able) if able else [])
    return [{"version": here, **q} if "reason" in q else _shortened(next(told)) for q in questions]


def question(task: ServeTask, system: System, layout: Layout | ApartLayout, concurrency: float) -> dict[str, Any]:
    """Keyword arguments of aiconfigurator's estimate; or `reason` where it has no name for something."""
    model, weights = task.arch.id, task.weights
    stored = task.dtype if weights == task.dtype else f"{weights}@{task.dtype}"
    found = {
        "model_path": _name("model", model), "system_name": _name("chip", system.chip.id),
        "backend_name": _name("engine", task.engine), "kvcache_quant_mode": _name("cache", task.kv_dtype),
        "gemm_quant_mode": _name("product", f"{stored}@{model}", stored),
    }
    if task.arch.experts:
        found["moe_quant_mode"] = _name("expert", f"{stored}@{model}", stored)
    missing = [key for key, name in found.items() if name is None]
    if missing:
        said = {"model_path": f"model {model}", "system_name": f"chip {system.chip.id}",
                "backend_name": f"engine {task.engine}", "kvcache_quant_mode": f"a cache in {task.kv_dtype}",
                "gemm_quant_mode": f"products in {stored}", "moe_quant_mode": f"experts in {stored}"}
        return {"reason": "it has no " + ", no ".join(said[key] for key in missing)}
    lengths = {"isl": round(task.input_tokens), "osl": round(task.output_tokens),
               "prefix": round(task.input_tokens - task.fresh_tokens)}
    return {**found, **lengths, **_deployment(bool(task.arch.experts), layout, concurrency)}


def _deployment(experts: bool, layout: Layout | ApartLayout, concurrency: float) -> dict[str, Any]:
    """Arguments of the layout and the load; the batch is that of one attention group of one stage."""
    if not isinstance(layout, ApartLayout):
        return {**_ways("", layout, experts), "batch_size": _batch(layout, concurrency)}
    first, second = ways(layout.prefill), ways(layout.decode)
    return {"mode": "disagg", **_ways("prefill_", first, experts), **_ways("decode_", second, experts),
            "prefill_batch_size": 1, "prefill_num_workers": layout.prefill_count,
            "decode_batch_size": _batch(second, concurrency), "decode_num_workers": layout.decode_count}


def _ways(side: str, layout: Layout, experts: bool) -> dict[str, int]:
    found = {"tp_size": layout.tp, "pp_size": layout.pp, "attention_dp_size": layout.dp}
    if experts:
        found |= {"moe_ep_size": layout.ep, "moe_tp_size": max(layout.tp * layout.dp // layout.ep, 1)}
    return {side + name: number for name, number in found.items()}


def _batch(layout: Layout, concurrency: float) -> int:
    return max(1, round(concurrency / (layout.dp * layout.pp)))


@lru_cache(maxsize=1)
def names() -> Mapping[tuple[str, str], str]:
    """aiconfigurator's name by kind and by our id."""
    with NAMES.open(encoding="utf-8", newline="") as file:
        return {(row["kind"], row["exafleet"]): row["aiconfigurator"] for row in csv.DictReader(file)}


def _name(kind: str, *keys: str) -> str | None:
    """The first of the keys that has a name."""
    return next((names()[kind, key] for key in keys if (kind, key) in names()), None)


def _run(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answers.json"
        quiet = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "TMPDIR"), folder)
        try:
            done = subprocess.run([sys.executable, str(WORKER), str(out)], input=json.dumps(list(questions)), text=True,
                                  cwd=folder, env={**os.environ, **quiet}, capture_output=True, timeout=PATIENCE,
                                  check=False)
        except subprocess.TimeoutExpired:
            raise ExafleetError(f"aiconfigurator gave no answer in {PATIENCE:.0f} s") from None
        if done.returncode or not out.exists():
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise_all(ExafleetError, [Problem(where="--engine aiconfigurator", what="aiconfigurator broke", got=last,
                                              remedy=f"Install it anew: {INSTALL}.")])
        found: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
        return found


def _shortened(told: dict[str, Any]) -> dict[str, Any]:
    """An answer whose reason is one line of readable length."""
    if "reason" not in told:
        return told
    words = " ".join(str(told["reason"]).split())
    return {**told, "reason": words if len(words) <= _LONGEST else words[:_LONGEST] + " ..."}


def with_beside(report: Report, figures: Mapping[str, Any], task: ServeTask,
                system: System) -> tuple[Report, dict[str, Any]]:
    """Report and figures of `exafleet serve`, and what aiconfigurator says of the deployment found.

    Rates are per accelerator that the deployment uses: a pool's idle rest is left out, which aiconfigurator never sees.
    """
    layout, concurrency, used = _found(figures)
    theirs = beside(task, system, layout, concurrency)
    ours = {"ttft": figures["ttft"], "tpot": figures["tpot"], "tokens_per_s_per_gpu": figures["tokens_per_s"] / used,
            "concurrency": concurrency * (layout.decode_count if isinstance(layout, ApartLayout) else 1)}
    return replace(report, tables=(bridge_table(ours, theirs), *report.tables)), {**figures, PACKAGE: theirs}


def _found(figures: Mapping[str, Any]) -> tuple[Layout | ApartLayout, float, int]:
    """Layout, load of one replica (of decode, where apart), and accelerators in use."""
    if "prefill" not in figures:
        return ways(figures["layout"]), figures["concurrency"], figures["replicas"] * figures["replica_gpus"]
    first, second = figures["prefill"], figures["decode"]
    layout = ApartLayout(
        prefill=first["layout"], prefill_chips=first["replica_gpus"], prefill_count=first["replicas"],
        decode=second["layout"], decode_chips=second["replica_gpus"], decode_count=second["replicas"],
        concurrency=second["concurrency"])
    return layout, layout.concurrency, sum(s["replicas"] * s["replica_gpus"] for s in (first, second))


def bridge_table(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Table:
    """exafleet | aiconfigurator | ratio, of the same deployment.

    ours    ttft, tpot, tokens_per_s_per_gpu, concurrency
    theirs  an answer of `beside`
    """
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import duration, significant

    forms = {"ttft": ("time to first token", duration), "tpot": ("time per output token", duration),
             "tokens_per_s_per_gpu": ("tokens/s per accelerator", significant),
             "concurrency": ("requests at once", significant)}
    rows = () if "reason" in theirs else tuple(
        (title, form(ours[key]), form(theirs[key]), significant(ours[key] / theirs[key]))
        for key, (title, form) in forms.items())
    return Table(
        id="aiconfigurator", title="Beside aiconfigurator", lead=_lead(theirs),
        empty=f"{_lead(theirs)} It has no answer: {theirs.get('reason', '')}",
        columns=tuple(Column(title=title) for title in ("figure", "exafleet", "aiconfigurator", "ratio")), rows=rows,
    )


def _lead(theirs: Mapping[str, Any]) -> str:
    mode = f", database mode {theirs['database_mode']}" if "database_mode" in theirs else ""
    about = f"aiconfigurator {theirs['version']}{mode}"
    if "reason" in theirs:
        return f"{about}."
    grounds = ", ".join(theirs["operators_from"]) or "not told"
    warning = f" It warns: {theirs['warning']}" if theirs["warning"] else ""
    return f"{about}, {theirs['backend']} {theirs['backend_version']}; operator times: {grounds}.{warning}"
