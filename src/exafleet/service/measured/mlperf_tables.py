"""Published MLPerf Inference results beside the best deployment the search finds.

A submission states no layout: of an Offline row the best layout without a latency limit is compared, of a Server or
Interactive row the best one at the row's limits. Limits bind the 99th percentile, and the model knows means: a limit
is divided by what published submissions show between their 99th percentile and their median. The mean prompt of each
benchmark is a fact (data/serving.csv), the mean answer is stated by the row. Every row comes back with a reason where
it cannot be compared. docs/models/energy.md tells the rules.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from exafleet.facts.architecture import arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import System, system
from exafleet.service.measured.power_tables import engine, formats
from exafleet.service.search import ServeResult, search_serve
from exafleet.step.measured.cells import Cells, NotUsable, figure, first_figure, needed, number, rows_of, tried
from exafleet.step.measured.chip_words import holder, spoken_chip
from exafleet.step.measured.training import Unread
from exafleet.step.serve import ServeTask
from exafleet.step.serving_practice import ANY_ENGINE
from exafleet.terms.errors import ExafleetError
from exafleet.terms.units import DATA
from exafleet.terms.why import SENTENCES, Why

FILE = DATA / "measured_serve_mlperf.csv"
REQUIRED = ("row_id", "submitter", "accelerator", "n_accel", "model", "scenario", "result_tokens_per_s",
            "mean_output_tokens_per_sample", "weight_precision")
SUBJECT = "mlperf-inference"
RATE = "output_tok_s_per_gpu"
# Metric: its unit, and the column of its median.
LATENCIES = {"tpot_ms": ("ms", "tpot_p50_ms"), "ttft_ms": ("ms", "ttft_p50_ms")}
UNITS = {RATE: "token/s"} | {metric: unit for metric, (unit, _) in LATENCIES.items()}
OFFLINE, LIMITED = "offline", ("server", "interactive")
# The table of this round states the format of the weights that were downloaded, not of those that were served.
DOWNLOADED = ("v4.1",)
# What clients of a served engine add to the first token, and a load generator in its process does not.
OUTSIDE = ("request_overhead", "first_token_steps")
FP4_FAMILIES = ("Blackwell", "Blackwell Ultra", "Rubin", "CDNA4")


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfRow:
    """One submission. Base units; nan where a figure is not stated.

    benchmark      model as MLPerf calls it, without its accuracy: "llama2-70b"
    scenario       "offline", "server" or "interactive"
    ttft, tpot     limits on the 99th percentile; inf of Offline                           [s]
    rate           output tokens per second of one accelerator                             [token/s]
    ttft_p50, tpot_p50, ttft_p99, tpot_p99   as logged                                     [s]
    by             whether the maker of the accelerator submitted it, or who else
    """

    id: str
    round: str
    submitter: str
    by: str
    chip: str
    system: str
    chips: int
    benchmark: str
    model: str
    scenario: str
    dtype: str
    weight_dtype: str
    engine: str
    input_tokens: float
    output_tokens: float
    ttft: float
    tpot: float
    rate: float
    ttft_p50: float
    tpot_p50: float
    ttft_p99: float
    tpot_p99: float
    role: str
    note: str

    def measured(self, metric: str) -> float:
        """A figure in the unit of its metric; nan where it is not stated."""
        return {RATE: self.rate, "tpot_ms": 1e3 * self.tpot_p50, "ttft_ms": 1e3 * self.ttft_p50}[metric]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What a row is judged by: throughput, and the latencies it states where it has limits."""
        told = tuple(m for m in LATENCIES if self.scenario in LIMITED and math.isfinite(self.measured(m)))
        return (RATE, *told)


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfCompared:
    """A submission beside the best deployment found, or `why` there is none."""

    row: MlperfRow | Unread
    found: ServeResult | None
    why: str

    def predicted(self, metric: str) -> tuple[float, float, float]:
        """Median, low and high in the unit of the metric; nan where nothing is predicted."""
        if self.found is None:
            return math.nan, math.nan, math.nan
        f = self.found
        value = {RATE: f.rate_per_chip, "tpot_ms": 1e3 * f.tpot, "ttft_ms": 1e3 * f.ttft}[metric]
        spread = f.high / f.rate
        return value, value / spread, value * spread


# ---------------------------------------------------------------------------------------------- reading


def read_mlperf(path: Path, facts: Facts) -> list[MlperfRow | Unread]:
    """Every row of a table of submissions, in its order; raises FactError when the file is no such table."""
    return [_row(line, cells, facts) for line, cells in rows_of(path, "submissions", REQUIRED)]


def _row(line: int, cells: Cells, facts: Facts) -> MlperfRow | Unread:
    name = cells.get("row_id") or f"line-{line}"
    found = tried(lambda c: _read(name, c, facts), cells)
    if isinstance(found, MlperfRow):
        return found
    return Unread(id=name, line=line, why=str(found), measured=stated_rate(cells), unit=UNITS[RATE])


def stated_rate(cells: Cells) -> float:
    """Tokens per second of one accelerator as far as they can be read; nan when they cannot. [token/s]"""
    each, every, chips = (first_figure(cells, c) for c in
                          ("tokens_per_s_per_accel_DERIVED", "result_tokens_per_s", "n_accel"))
    return each if math.isfinite(each) else every / chips


def _read(name: str, cells: Cells, facts: Facts) -> MlperfRow:
    chip = spoken_chip(facts, cells["accelerator"])
    chips, benchmark = needed(cells, "n_accel"), named(cells["model"])
    model = arch(facts, cells["model"])
    scenario = cells["scenario"].casefold()
    if scenario not in (OFFLINE, *LIMITED):
        raise NotUsable(f'unknown scenario "{cells["scenario"]}"')
    if cells.get("valid", "VALID").upper() not in ("VALID", ""):
        raise NotUsable(f"the submission is {cells['valid']}")
    on = holder(facts, chip, chips, f"{cells['accelerator']} {cells.get('notes', '')}")
    dtype, weights, note = served_format(cells, system(facts, on))
    limits = {m: _limit(cells, m, benchmark, scenario, facts) for m in ("ttft", "tpot")}
    logged = {f"{m}_{p}": _seconds(cells, f"{m}_{p}_ms") for m in ("ttft", "tpot") for p in ("p50", "p99")}
    rate = stated_rate(cells)
    if not math.isfinite(rate):
        rate = figure(cells, "result_tokens_per_s") / chips
    return MlperfRow(
        id=name, round=cells.get("round", ""), submitter=cells["submitter"], by=_class(cells["submitter"], chip.vendor),
        chip=chip.id, system=on, chips=chips, benchmark=benchmark, model=model.id, scenario=scenario, dtype=dtype,
        weight_dtype=weights, engine=engine(cells.get("software", "")),
        input_tokens=_length(cells, "mean_input", benchmark, facts),
        output_tokens=_length(cells, "mean_output", benchmark, facts), ttft=limits["ttft"], tpot=limits["tpot"],
        rate=rate, role=cells.get("role") or "given", note=note, **logged)


def named(text: str) -> str:
    """A benchmark without its accuracy and scenario: "llama2-70b-99.9" and "llama2-70b-interactive" are "llama2-70b".

    >>> named("llama2-70b-99.9"), named("deepseek-r1")
    ('llama2-70b', 'deepseek-r1')
    """
    return re.sub(r"-(99(\.9)?|interactive)$", "", text.strip().casefold())


def served_format(cells: Cells, on: System) -> tuple[str, str, str]:
    """Formats of products and stored weights as run, and what was assumed for it.

    The table of round v4.1 says "fp16" of submissions whose weights would not fit in that: it is the format they were
    published in. They are taken as served in the narrowest format of the chip that vendors used in the round.
    """
    told = cells["weight_precision"]
    if cells.get("round") in DOWNLOADED and told.casefold() in ("fp16", "bf16"):
        taken = "fp4" if on.chip.family in FP4_FAMILIES else "fp8"
        return (*formats(taken, on.chip), f"stated {told} is the format before quantisation; taken as {taken}")
    return (*formats(told, on.chip), "")


def _class(submitter: str, vendor: str) -> str:
    """Who submitted: the accelerator's maker, a cloud, or a maker of servers."""
    if submitter.casefold() == vendor.casefold():
        return "maker"
    clouds = ("azure", "coreweave", "google", "lambda", "nebius", "oracle", "vultr", "sustainable_metal_cloud")
    return "cloud" if submitter.casefold() in clouds else "server maker"


def _limit(cells: Cells, metric: str, benchmark: str, scenario: str, facts: Facts) -> float:
    """Limit of the 99th percentile: the row's, else the rules'. [s]"""
    if scenario == OFFLINE:
        return math.inf
    stated = _seconds(cells, f"{metric}_limit_ms")
    ruled = facts.try_value(f"{SUBJECT}.{metric}_limit@{benchmark}:{scenario}")
    if math.isfinite(stated):
        return stated
    if ruled is None:
        raise NotUsable(f"the {metric} limit of {benchmark} {scenario} is not stated and not known")
    return float(ruled)


def _length(cells: Cells, term: str, benchmark: str, facts: Facts) -> float:
    """Mean tokens of a prompt or an answer: the row's, else the data set's."""
    stated = number(cells, f"{term}_tokens_per_sample")
    known = facts.try_value(f"{SUBJECT}.{term}@{benchmark}")
    if stated is None and known is None:
        what = "prompt" if term == "mean_input" else "answer"
        raise NotUsable(f"the mean {what} of {benchmark} in MLPerf is not known")
    return float(known or 0.0) if stated is None else stated


def _seconds(cells: Cells, column: str) -> float:
    return first_figure(cells, column) / 1e3


# ---------------------------------------------------------------------------------------------- comparing


def compare_mlperf(rows: Iterable[MlperfRow | Unread], facts: Facts,
                   told: Callable[[int], None] = lambda done: None) -> list[MlperfCompared]:
    """Every row beside its prediction, in order; rows that ask the same are searched once.

    told   is called with the number of rows done
    """
    found: list[MlperfCompared] = []
    known: dict[MlperfRow, MlperfCompared] = {}
    for row in rows:
        if isinstance(row, Unread):
            found.append(MlperfCompared(row=row, found=None, why=row.why))
        else:
            key = replace(row, id="", round="", submitter="", by="", role="", note="", rate=0.0, ttft_p50=0.0,
                          tpot_p50=0.0, ttft_p99=0.0, tpot_p99=0.0)
            if key not in known:
                known[key] = _compared(key, facts)
            found.append(replace(known[key], row=row))
        told(len(found))
    return found


def _compared(row: MlperfRow, facts: Facts) -> MlperfCompared:
    try:
        found = search_serve(task_of(row, facts), system(facts, row.system), row.chips, in_process(row, facts))
    except ExafleetError as error:
        return MlperfCompared(row=row, found=None, why="; ".join(dict.fromkeys(p.what for p in error.problems)))
    if found.why is not Why.OK:
        return MlperfCompared(row=row, found=None, why=SENTENCES[found.why])
    return MlperfCompared(row=row, found=found, why="")


def in_process(row: MlperfRow, facts: Facts) -> Facts:
    """The facts with an engine whose requests come in its own process, as the benchmark's load generator sends them: no
    time outside its steps, and a prompt joins the next one.
    """
    for subject in (ANY_ENGINE, *([f"engine-{row.engine}"] if row.engine else [])):
        for term in OUTSIDE:
            if facts.try_get(f"{subject}.{term}") is not None:
                facts = facts.with_fact(f"{subject}.{term}", 0.0)
    return facts


def task_of(row: MlperfRow, facts: Facts) -> ServeTask:
    """The service a submission ran: its lengths, formats, and limits as means. Caches are as narrow as products are.

    Raises MissingFact where nothing is known of percentiles.
    """
    ttft, tpot = (limit if math.isinf(limit) else limit / tail(metric, row.scenario, facts)
                  for metric, limit in (("ttft", row.ttft), ("tpot", row.tpot)))
    return ServeTask(arch=arch(facts, row.model), input_tokens=row.input_tokens, output_tokens=row.output_tokens,
                     ttft=ttft, tpot=tpot, dtype=row.dtype, weight_dtype=row.weight_dtype,
                     kv_dtype="bf16" if row.dtype == "bf16" else "fp8", engine=row.engine)


def tail(metric: str, scenario: str, facts: Facts) -> float:
    """99th percentile over median in published submissions of a scenario. [1]   Raises MissingFact."""
    return float(facts.value(f"{SUBJECT}.tail_ratio@{metric}:{scenario}"))
