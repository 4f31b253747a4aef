"""Measured power of serving runs beside what the model says: joules per token, and watts of an accelerator's board.

The package's own table is data/measured_serve_power.csv; a user's own may have its columns or those published with
InferenceX (docs/validation-rows.md). Every row comes back: one that cannot be compared says why. `fit` rows set the
coefficients of a board (tools/fit_power.py), `held_out` rows judge them; docs/models/energy.md tells the rule. What a
run of InferenceX leaves out (layout, cache, release, drafts) its recipe may tell (recipes.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from exafleet.facts.architecture import Arch, arch
from exafleet.facts.catalogue import Facts
from exafleet.facts.hardware import Chip, system
from exafleet.service.apart.disaggregated import serve_apart
from exafleet.service.energy import Pool, TokenEnergy, energy_per_token, split_energy
from exafleet.service.measured.predict import RELEASES, ROUNDS
from exafleet.service.measured.recipes import Setup, Told, resolve
from exafleet.service.measured.words import USUAL_DRAFT, cache_format, mean_share
from exafleet.service.steady import full, serve_step
from exafleet.step.measured import run_words as words
from exafleet.step.measured.cells import Cells, NotUsable, first_figure, needed, number, rows_of, tried, whole
from exafleet.step.measured.chip_words import holder, spoken_chip
from exafleet.step.serve import Machine, ServeTask, machine
from exafleet.step.serve_layouts import ServeLayouts, ServeLimits, fixed, layouts
from exafleet.step.serve_memory import memory
from exafleet.step.serving_practice import ANY_ENGINE
from exafleet.terms.errors import ExafleetError
from exafleet.terms.units import DATA
from exafleet.terms.why import SENTENCES, Why

FILE = DATA / "measured_serve_power.csv"
REQUIRED = ("case_id", "model", "precision", "framework", "accelerator", "gpus", "isl", "osl", "concurrency",
            "avg_gpu_board_W", "J_per_output_tok", "J_per_input_tok", "J_per_total_tok")
# Metric: its column and its unit.
METRICS = {"j_per_output_tok": ("J_per_output_tok", "J/token"), "j_per_input_tok": ("J_per_input_tok", "J/token"),
           "j_per_total_tok": ("J_per_total_tok", "J/token"), "avg_gpu_board_W": ("avg_gpu_board_W", "W")}
# Engines by words that sources use for them; the first that occurs counts.
ENGINES = (("trtllm", ("trt", "tensorrt")), ("sglang", ("sglang", "sgl")), ("vllm", ("vllm",)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRow:
    """One measured run. Base units; figures that are not stated are missing from `figures`.

    release     year the engine's release is of; None where the source tells neither date nor version
    layout      (tp, pp, dp, ep) of a replica; None where the source states none
    ran         the same as far as it is known: as stated, else as the run's recipe has it
    draft       tokens proposed in a step, by the recipe                                       [token]
    prefill     chips of the prefill pool; 0 where the same chips do both
    decode      chips of the decode pool, or of the one pool
    figures     measured value by metric
    prefill_power, decode_power   of a board of each pool; nan where not stated                [W]
    """

    id: str
    model: str
    system: str
    dtype: str
    weight_dtype: str
    kv_dtype: str
    engine: str
    release: float | None
    layout: tuple[int, int, int, int] | None
    ran: tuple[int, int, int, int] | None
    draft: int
    prefill: int
    decode: int
    input_tokens: float
    output_tokens: float
    concurrency: float
    figures: dict[str, float]
    prefill_power: float
    decode_power: float
    role: str
    source: str

    @property
    def chips(self) -> int:
        """Accelerators of the run."""
        return self.prefill + self.decode

    @property
    def rate(self) -> float:
        """Output tokens per second of all chips, from the measured watts and joules; nan where one is missing."""
        power, joules = (self.figures.get(m, math.nan) for m in ("avg_gpu_board_W", "j_per_output_tok"))
        return power * self.chips / joules

    @property
    def group(self) -> str:
        """Model, system, format and layout: what the split into roles is made by."""
        ways = "open" if self.layout is None else "-".join(map(str, self.layout))
        return f"{self.model}|{self.system}|{self.weight_dtype or self.dtype}|{ways}|{self.prefill}+{self.decode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadPower:
    """A row that cannot be compared, why, and the figures that could be read of it by metric."""

    id: str
    line: int
    why: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCompared:
    """A run beside its prediction: `energy` of one candidate, or `why` there is none."""

    row: PowerRow | UnreadPower
    energy: TokenEnergy | None
    why: str
    layout: str = ""

    def predicted(self, metric: str) -> tuple[float, float, float]:
        """Median, low and high of a metric; nan where nothing is predicted. Base units."""
        if self.energy is None:
            return math.nan, math.nan, math.nan
        e = self.energy
        value = {"j_per_output_tok": e.output, "j_per_input_tok": e.input, "j_per_total_tok": e.every,
                 "avg_gpu_board_W": e.power}[metric][0]
        spread = e.power_spread[0] if metric == "avg_gpu_board_W" else e.high[0] / e.output[0]
        return float(value), float(value / spread), float(value * spread)


# ---------------------------------------------------------------------------------------------- reading


def read_power(path: Path, facts: Facts) -> list[PowerRow | UnreadPower]:
    """Every row of a table of serving runs with power, in its order; raises FactError when it is no such table."""
    return [_row(line, cells, facts) for line, cells in rows_of(path, "serving power", REQUIRED)]


def _row(line: int, cells: Cells, facts: Facts) -> PowerRow | UnreadPower:
    name = cells.get("case_id") or f"line-{line}"
    found = tried(lambda c: _read(name, c, facts), cells)
    if isinstance(found, PowerRow):
        return found
    stated = {m: value for m, (column, _) in METRICS.items() if math.isfinite(value := first_figure(cells, column))}
    return UnreadPower(id=name, line=line, why=str(found), figures=stated)


def _read(name: str, cells: Cells, facts: Facts) -> PowerRow:
    chip = spoken_chip(facts, cells["accelerator"])
    model = arch(facts, cells["model"])
    prefill, decode = pools(cells)
    layout = stated_layout(cells)
    if layout is not None and not prefill and decode % (layout[0] * layout[1] * layout[2]):
        raise NotUsable(f"TP{layout[0]} PP{layout[1]} DP{layout[2]} does not divide {decode} accelerators")
    on = holder(facts, chip, decode, cells["accelerator"])
    board = system(facts, on).chip
    dtype, weights = formats(cells["precision"], board)
    setup = recipe(cells, Told(
        model=model.id, chip=chip.id, engine=engine(cells["framework"]), dtype=weights or dtype,
        version=cells.get("version", ""), isl=needed(cells, "isl"), osl=needed(cells, "osl"),
        concurrency=needed(cells, "concurrency"), date=day(cells), apart=bool(prefill), chips=prefill + decode,
        decode=None if prefill else (1, decode), plain="dump" in cells.get("source", "")))
    kept = cells.get("kv_precision", "") or (setup.kv_dtype if setup else "")
    share, name_of = mean_share(cells.get("source", ""), cells.get("notes", "")), engine(cells["framework"])
    figures = {m: value for m, (column, _) in METRICS.items() if (value := number(cells, column)) is not None}
    return PowerRow(
        id=name, model=model.id, system=on, dtype=dtype, weight_dtype=weights, engine=name_of,
        release=released(cells.get("date", ""), cells.get("version", ""), setup),
        kv_dtype=cache_format(kept, dtype, weights, name_of, "fp4" in board.peak_flops), layout=layout,
        ran=layout or _deployed(setup, prefill), draft=_drafts(setup), prefill=prefill, decode=decode,
        input_tokens=share * needed(cells, "isl"),
        output_tokens=share * needed(cells, "osl"), concurrency=needed(cells, "concurrency"), figures=figures,
        prefill_power=first_figure(cells, "prefill_W"), decode_power=first_figure(cells, "decode_W"),
        role=cells.get("role") or "given", source=cells.get("source", ""))


def recipe(cells: Cells, told: Told) -> Setup | None:
    """What the published recipe of a run says of it; None where it is no run of InferenceX or none is known."""
    if "inferencex" not in cells.get("source", "").casefold():
        return None
    found = resolve(told)
    return found if found.candidates else None


def day(cells: Cells) -> str:
    """The day of a run; "" where only a day is told that it was before ("<=2026-07-20")."""
    text = cells.get("date", "")
    return "" if text.startswith("<") else text[:10]


def _deployed(setup: Setup | None, prefill: int) -> tuple[int, int, int, int] | None:
    """(tp, pp, dp, ep) of a recipe's one pool."""
    if setup is None or setup.decode is None or prefill:
        return None
    return setup.decode.tp, setup.decode.pp, setup.decode.dp, setup.decode.ep


def _drafts(setup: Setup | None) -> int:
    """Tokens proposed in a step; 0 where no recipe tells of any."""
    if setup is None or setup.speculation in ("", "none"):
        return 0
    return int(setup.drafts or USUAL_DRAFT)


def pools(cells: Cells) -> tuple[int, int]:
    """Chips that prefill and chips that decode: "yes: prefill 8 / decode 32 GPUs" of 40; (0, all) of one pool."""
    gpus, told = needed(cells, "gpus"), cells.get("disaggregated", "").casefold()
    if not told.startswith("yes"):
        return 0, gpus
    named = re.search(r"prefill (\d+) / decode (\d+)", told)
    if named is None:
        raise NotUsable("disaggregated, and how many chips prefill is not stated")
    first, second = int(named[1]), int(named[2])
    if first + second != gpus or not first or not second:
        raise NotUsable(f"{first} chips that prefill and {second} that decode are not {gpus}")
    return first, second


def stated_layout(cells: Cells) -> tuple[int, int, int, int] | None:
    """(tp, pp, dp, ep) as stated; with attention data parallelism each of the tp chips is a group of its own."""
    tp = whole(cells, "tp")
    if tp is None:
        return None
    spread = whole(cells, "ep") or 1
    if cells.get("attention_dp", "").casefold() in ("true", "yes", "1"):
        return 1, whole(cells, "pp") or 1, tp, spread
    return tp, whole(cells, "pp") or 1, 1, spread


def formats(text: str, chip: Chip) -> tuple[str, str]:
    """Format of the products and of stored weights: a chip without the hardware widens narrower weights to bf16."""
    low = text.casefold()
    told = next((name for name, marks in (("int4", ("int4", "w4a16", "awq", "gptq")), ("int8", ("int8", "w8a8")))
                 if any(m in low for m in marks)), None) or words.precision(text)[0]
    return (told, "") if told in chip.peak_flops else ("bf16", told)


def released(when: str, version: str, setup: Setup | None = None) -> float | None:
    """Year of an engine's release: that of the version, else the first day of its recipe, else the day of the run; None
    where nothing tells.

    >>> released("2026-04", ""), released("<=2026-07-20", "")
    (2026.25, None)
    """
    known = next((year for name, year in RELEASES.items() if version.startswith(name)), None)
    first = min((r.first for r in setup.candidates), default="") if setup and version else ""
    told = re.match(r"(20\d\d)-([01]\d)", first or when)
    return known or (int(told[1]) + (int(told[2]) - 1) / 12.0 if told else None)


def engine(text: str) -> str:
    """The serving engine a source names; "" (their middle) where it names none we know."""
    low = text.casefold()
    return next((name for name, marks in ENGINES if any(m in low for m in marks)), "")


# ---------------------------------------------------------------------------------------------- comparing


def compare_power(rows: Iterable[PowerRow | UnreadPower], facts: Facts,
                  told: Callable[[int], None] = lambda done: None) -> list[PowerCompared]:
    """Every row beside its prediction, in order.

    told   is called with the number of rows done
    """
    found = []
    for row in rows:
        found.append(_compared(row, facts))
        told(len(found))
    return found


def _compared(row: PowerRow | UnreadPower, facts: Facts) -> PowerCompared:
    if isinstance(row, UnreadPower):
        return PowerCompared(row=row, energy=None, why=row.why)
    try:
        return predict_power(row, facts)
    except ExafleetError as error:
        return PowerCompared(row=row, energy=None, why="; ".join(dict.fromkeys(p.what for p in error.problems)))


def predict_power(row: PowerRow, facts: Facts) -> PowerCompared:
    """The model's answer for a row: its rate first, then its energy. Raises MissingFact."""
    on, task = machine(system(facts, row.system), facts, row.engine, row.release), task_of(row, facts)
    if row.prefill:
        return _split(row, task, on, facts)
    ways = candidates(row, task.arch, on, row.decode)
    if not len(ways.tp):
        return PowerCompared(row=row, energy=None, why=SENTENCES[Why.NOT_DIVISIBLE])
    replicas = row.decode / ways.replica
    step = serve_step(task, on, ways, running(task, on, ways, row.concurrency / replicas))
    fits = step.why == Why.OK
    if not fits.any():
        return PowerCompared(row=row, energy=None, why=SENTENCES[Why(int(step.why[0]))])
    at = [int(np.argmax(np.where(fits, step.rate * replicas, -1.0)))]
    energy = energy_per_token(task, on, ways.take(at), step.concurrency[at], step.rate[at], facts)
    return PowerCompared(row=row, energy=energy, why="", layout=ways.words(at[0]))


def task_of(row: PowerRow, facts: Facts) -> ServeTask:
    """The service of a run, without latency targets, in the closed loop benchmarks keep."""
    return ServeTask(arch=arch(facts, row.model), input_tokens=row.input_tokens, output_tokens=row.output_tokens,
                     ttft=math.inf, tpot=math.inf, dtype=row.dtype, weight_dtype=row.weight_dtype,
                     kv_dtype=row.kv_dtype, engine=row.engine, closed=True, draft=row.draft,
                     accept=facts.value(f"{ANY_ENGINE}.draft_acceptance") if row.draft else 0.0)


def candidates(row: PowerRow, model: Arch, on: Machine, chips: int) -> ServeLayouts:
    """The layout as far as it is known. Where it is not, all chips share every product, as engines start unless told
    otherwise; of a model whose heads that does not divide, every layout of as many chips. [C]
    """
    if row.ran is not None:
        return fixed(*row.ran)
    if (model.heads or model.ssm_heads) % chips == 0 and chips <= max(on.net.domain, 1):
        return fixed(chips)
    return layouts(model, max(on.net.domain, 1), chips, ServeLimits(replica=(chips, chips)))


def running(task: ServeTask, on: Machine, ways: ServeLayouts, asked: float | np.typing.NDArray[np.float64],
            ) -> np.typing.NDArray[np.float64]:
    """Sequences that run at once on a replica: those asked for, or as many as fit beside the weights. [C]"""
    groups = ways.dp * ways.pp
    most = np.broadcast_to(np.asarray(asked, dtype=np.float64), ways.tp.shape)

    def fits(batch: np.typing.NDArray[np.float64]) -> np.typing.NDArray[np.bool_]:
        used = memory(task.arch, ways, batch, task.weights, task.kv_dtype, task.context, task.chunk)
        return ~full(used, on)

    low, high = np.ones_like(most), np.maximum(most / groups, 1.0)
    low = np.where(fits(high), high, low)
    for _ in range(24):
        middle = (low + high) / 2.0
        good = fits(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.asarray(np.minimum(np.floor(low + 1e-9) * groups, most))


def _split(row: PowerRow, task: ServeTask, on: Machine, facts: Facts) -> PowerCompared:
    """Prefill in one pool, decode in the other, as many replicas of the stated layout as each pool holds."""
    prefill, decode = (pool_of(row, task.arch, on, chips) for chips in (row.prefill, row.decode))
    if prefill is None or decode is None:
        return PowerCompared(row=row, energy=None, why=SENTENCES[Why.NOT_DIVISIBLE])
    found = serve_apart(task, on, on, prefill.layouts, prefill.replicas, decode.layouts, decode.replicas,
                        [row.concurrency], rounds=ROUNDS)
    if found.why[0] != Why.OK:
        return PowerCompared(row=row, energy=None, why=SENTENCES[Why(int(found.why[0]))])
    energy = split_energy(task, prefill, decode, found.running, found.rate, facts)
    return PowerCompared(row=row, energy=energy, why="",
                         layout=f"{prefill.layouts.words(0)} and {decode.layouts.words(0)}")


def pool_of(row: PowerRow, model: Arch, on: Machine, chips: int) -> Pool | None:
    """One pool of a split row: replicas of the stated layout, or one of all its chips where that does not divide them.

    None where nothing runs on so many chips.
    """
    ways = candidates(row, model, on, chips)
    if row.ran is not None and chips % ways.replica[0]:
        ways = candidates(replace(row, ran=None), model, on, chips)
    if not len(ways.tp):
        return None
    at = ways.take([0])
    return Pool(on=on, layouts=at, replicas=chips / at.replica[0])


def of_groups(rows: Sequence[PowerRow]) -> dict[str, list[PowerRow]]:
    """Rows by model, system and layout."""
    found: dict[str, list[PowerRow]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return found
