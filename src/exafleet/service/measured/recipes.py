"""How published runs were set up: which recipe of InferenceX a measured row can have come from, and what it tells.

Tables of serving points leave out what the benchmark's own repository records: how many workers prefilled and decoded,
how many tokens were drafted, in what format the cache was held. data/measured_recipes.csv holds every recipe of that
repository's history with the days it stood (tools/prepare_recipes.py). A row is matched to recipes by what it states;
what all that remain agree on is told, and what they disagree on is left open: docs/models/serving.md, "Recipes".
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from exafleet.service.measured.words import Pool
from exafleet.step.measured.cells import Cells, NotUsable, whole
from exafleet.step.measured.run_words import precision
from exafleet.terms.units import DATA

FILE = DATA / "measured_recipes.csv"
SOURCE = "SemiAnalysisAI/InferenceX"
# A run may be dated before its recipe was taken over or after it was replaced: by so many days where it names its
# release, by fewer where only the date tells the release.
NEAR, NEAR_UNNAMED = 60, 7
# A run is dated on the day it was asked for, or so many days from it.
SAME_RUN = 1
AXES = ("count", "tp", "ep", "dp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One deployment as the benchmark's repository told it to run, at some concurrencies.

    dtype         precision as the repository names it: "fp4", "fp8", "bf16", "int4"
    version       release in the tag of the container
    isl, osl      nominal lengths                                                                      [token]
    concurrency   requests kept running                                                                [1]
    prefill_*     workers that only prefill and the layout of each; None where the same chips do both
    decode_*      workers that decode (and prefill); dp > 1 is attention data parallelism over the worker
    speculation   "none", "mtp", ...
    drafts        tokens drafted a step: 0 without speculation, None where their number is not told   [token]
    kv_dtype      "fp8", "bf16", "" where not told
    chunk         most prompt tokens of a step                                                         [token]
    running       most requests running at once on an engine, or on a rank of it under attention DP    [1]
    first, last   days from which and until which the recipe stood
    runs          days on which the repository asked for it to be run; empty before December 2025, when all ran nightly
    """

    model: str
    dtype: str
    chip: str
    engine: str
    version: str
    isl: int = 0
    osl: int = 0
    concurrency: tuple[int, ...] = ()
    prefill_count: int | None = None
    prefill_tp: int | None = None
    prefill_ep: int | None = None
    prefill_dp: int | None = None
    decode_count: int = 1
    decode_tp: int = 1
    decode_ep: int = 1
    decode_dp: int = 1
    speculation: str = "none"
    drafts: int | None = None
    kv_dtype: str = ""
    chunk: int | None = None
    running: int | None = None
    first: str = ""
    last: str = ""
    runs: tuple[str, ...] = ()
    source: str = SOURCE
    where: str = ""
    note: str = ""

    @property
    def prefill(self) -> Pool | None:
        """The pool that only prefills."""
        if self.prefill_count is None:
            return None
        return Pool(count=self.prefill_count, tp=self.prefill_tp or 1, ep=self.prefill_ep or 1, dp=self.prefill_dp or 1)

    @property
    def decode(self) -> Pool:
        """The pool that decodes."""
        return Pool(count=self.decode_count, tp=self.decode_tp, ep=self.decode_ep, dp=self.decode_dp)

    @property
    def chips(self) -> int:
        """Accelerators of the deployment."""
        return self.decode.chips + (self.prefill.chips if self.prefill else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a row states of its deployment, as far as it does; None and "" where it does not.

    apart           prefill and decode run on chips of their own
    prefill_ways, decode_ways   tensor parallelism the source lists of a worker: its chips, or 1 under attention DP
    prefill, decode   (workers, chips of each) where the split is stated
    dp, ep          of a decode worker; prefill_ep of a prefill worker
    chips           of the whole deployment
    speculation     "none", "mtp" where told
    plain           kept from the benchmark's database by the number of a configuration: a source of runs without
                    speculation (of 430 such rows that recipes settle alone, 429 have none)
    """

    model: str
    chip: str
    engine: str
    dtype: str
    version: str
    isl: int
    osl: int
    concurrency: int
    date: str
    apart: bool
    prefill: tuple[int, int] | None = None
    decode: tuple[int, int] | None = None
    prefill_ways: int | None = None
    decode_ways: int | None = None
    dp: int | None = None
    ep: int | None = None
    prefill_ep: int | None = None
    chips: int | None = None
    speculation: str = ""
    plain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every recipe that a row can have come from agrees on; None and "" where they differ or tell nothing."""

    candidates: tuple[Recipe, ...]
    prefill: Pool | None
    decode: Pool | None
    speculation: str
    drafts: int | None
    kv_dtype: str
    chunk: int | None
    running: int | None


# ------------------------------------------------------------------------------------------------------- the table


def concurrency_text(values: Sequence[int]) -> str:
    """Concurrencies as a table holds them: from..to where they double, else one by one.

    >>> concurrency_text((4, 8, 16, 32)), concurrency_text((10, 15, 25)), concurrency_text((64,))
    ('4..32', '10 15 25', '64')
    """
    doubled = len(values) > 2 and all(b == 2 * a for a, b in pairwise(values))
    return f"{values[0]}..{values[-1]}" if doubled else " ".join(map(str, values))


def concurrency_of(text: str) -> tuple[int, ...]:
    """The concurrencies that `concurrency_text` wrote.

    >>> concurrency_of("4..32"), concurrency_of("10 15 25")
    ((4, 8, 16, 32), (10, 15, 25))
    """
    first, dots, last = text.partition("..")
    if not dots:
        return tuple(int(word) for word in text.split())
    found = [int(first)]
    while found[-1] < int(last):
        found.append(2 * found[-1])
    return tuple(found)


COLUMNS = tuple(f.name for f in fields(Recipe))
_NUMBERS = ("isl", "osl", *(f"{side}_{axis}" for side in ("prefill", "decode") for axis in AXES), "drafts", "chunk",
            "running")


def written(rows: Iterable[Recipe]) -> str:
    """Recipes as the package's table."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        cells = {name: getattr(row, name) for name in COLUMNS}
        cells |= {"concurrency": concurrency_text(row.concurrency), "runs": " ".join(row.runs)}
        table.writerow(["" if cells[name] is None else cells[name] for name in COLUMNS])
    return out.getvalue()


@lru_cache(maxsize=4)
def recipes(path: Path = FILE) -> tuple[Recipe, ...]:
    """Rows of the package's table, in its order."""
    with path.open(encoding="utf-8", newline="") as file:
        return tuple(_recipe(cells) for cells in csv.DictReader(file))


def _recipe(cells: dict[str, str]) -> Recipe:
    values: dict[str, Any] = {name: cells[name] for name in COLUMNS if name not in _NUMBERS}
    values |= {name: int(cells[name]) if cells[name] else None for name in _NUMBERS}
    values |= {"concurrency": concurrency_of(cells["concurrency"]), "runs": tuple(cells["runs"].split())}
    return Recipe(**values)


# ------------------------------------------------------------------------------------------------ what a row states


def told_of(cells: Cells, *, model: str, chip: str, engine: str, speculation: str = "") -> Told | None:
    """What a row of a table of serving points states of its deployment; None for one that no recipe can stand behind.

    model, chip, engine   ids the words of the row were folded to
    speculation           "none", "mtp" where the row tells, else ""

    None: not a run of the benchmark, its load or lengths not told as numbers, or a precision not known.
    """
    notes = cells.get("notes", "")
    if "inferencex" not in " ".join((cells.get("source", ""), cells.get("source_location", ""), notes)).casefold():
        return None
    try:
        isl, osl, load = (whole(cells, name) for name in ("isl", "osl", "concurrency_or_batch"))
        dtype = _precision(cells.get("weights_precision", ""))
    except NotUsable:
        return None
    if not (isl and osl and load and dtype):
        return None
    text = cells.get("disaggregated", "").casefold()
    version = cells.get("version", "").replace("nan", "")
    return Told(model=model, chip=chip, engine=engine, dtype=dtype, version=version, isl=isl, osl=osl, concurrency=load,
                date=cells.get("date", "")[:10], apart=text not in ("", "no", "false"), speculation=speculation,
                plain=bool(re.search(r"\bconfig_id=\d", notes)), **_layout_told(cells, text, notes))


def _precision(text: str) -> str:
    return "int4" if text.casefold().startswith("int4") else precision(text)[0] if text else ""


def _layout_told(cells: Cells, text: str, notes: str) -> dict[str, Any]:
    """Fields of `Told` that say how the chips are shared out."""
    tp, dp, ep, chips = (whole(cells, a) if cells.get(a) not in (None, "", "0") else None
                         for a in ("tp", "dp", "ep", "gpus"))
    split = re.search(r"prefill (\d+)x(\d+) gpus / decode (\d+)x(\d+) gpus", text)
    if split:
        one, each, many, wide = (int(n) for n in split.groups())
        return {"prefill": (one, each), "decode": (many, wide), "dp": dp, "ep": ep}
    listed = re.search(r"prefill tp=(\d+), decode tp=(\d+)", notes)
    if listed:
        named = re.search(r"_tp\d+(?:_0)?_ep(\d+)(?:_0)?_\d+$", cells.get("source_location", ""))
        return {"prefill_ways": int(listed[1]), "decode_ways": int(listed[2]),
                "prefill_ep": int(named[1]) if named else None}
    if text.startswith("unclear"):
        return {"chips": tp}  # such rows list the chips of the deployment as tensor parallelism
    if text not in ("", "no", "false"):
        return {"chips": chips}
    if tp is None and dp is None:
        return {}
    return {"decode": (1, (tp or 1) * (dp or 1)), "dp": dp or 1, "ep": ep}


# ------------------------------------------------------------------------------------------------ which a row can be


def recipe_of(told: Told, table: Sequence[Recipe] | None = None) -> tuple[Recipe, ...]:
    """Recipes that a row can have come from: all it states fits, and of those, the nearest in time.

    Model, chip, engine, precision, lengths, concurrency and apart or not must be the row's, the layout as far as it is
    stated, and the release where it is. Each of these then leaves out others only if some remain:
    - expert parallelism of the workers;
    - days between the row's and the time the recipe stood: the fewest (at most NEAR, NEAR_UNNAMED without a release);
    - days between the row's and a run that was asked for, where a run of some is at most SAME_RUN away;
    - speculation, for a row of a source that holds runs without it.
    Where no stated layout fits, chips of a worker alone do: tables list axes their source did not record.
    An empty answer: no recipe fits.
    """
    limit = NEAR if told.version else NEAR_UNNAMED
    known = _indexed().get((told.model, told.chip, told.engine), ()) if table is None else table
    run = [r for r in known if _same_run(r, told)
           and (not told.version or r.version == told.version or _night(r.version, told.version))
           and days_away(r, told.date) <= limit]
    fit = [r for r in run if _same_layout(r, told)] or [r for r in run if _same_chips(r, told)]
    for name, ways in (("decode_ep", told.ep), ("prefill_ep", told.prefill_ep)):
        fit = [r for r in fit if getattr(r, name) == ways] or fit
    nearest = min((days_away(r, told.date) for r in fit), default=0)
    fit = [r for r in fit if days_away(r, told.date) == nearest]
    fit = [r for r in fit if _ran(r, told.date)] or fit
    return tuple([r for r in fit if told.plain and r.speculation == "none"] or fit)


@lru_cache(maxsize=1)
def _indexed() -> dict[tuple[str, str, str], tuple[Recipe, ...]]:
    """The package's recipes by model, chip and engine."""
    found: dict[tuple[str, str, str], list[Recipe]] = {}
    for row in recipes():
        found.setdefault((row.model, row.chip, row.engine), []).append(row)
    return {name: tuple(rows) for name, rows in found.items()}


def _same_run(recipe: Recipe, told: Told) -> bool:
    return (recipe.model == told.model and recipe.chip == told.chip and recipe.engine == told.engine
            and recipe.dtype == told.dtype and recipe.isl == told.isl and recipe.osl == told.osl
            and told.concurrency in recipe.concurrency and (recipe.prefill_count is not None) == told.apart
            and told.speculation in ("", recipe.speculation))


def _same_layout(recipe: Recipe, told: Told) -> bool:
    first, second = recipe.prefill, recipe.decode
    return ((told.chips is None or recipe.chips == told.chips)
            and (told.dp is None or second.dp == told.dp)
            and (told.decode is None or (second.count, second.replica) == told.decode)
            and (first is None or told.prefill is None or (first.count, first.replica) == told.prefill)
            and (first is None or told.prefill_ways is None or told.decode_ways is None
                 or (_ways(first, told.prefill_ways) and _ways(second, told.decode_ways))
                 or (not told.version and told.prefill_ways == told.decode_ways == recipe.chips)))


def _night(version: str, told: str) -> bool:
    """Whether a nightly build told without its day can be this one."""
    return told.startswith("nightly") and not re.search(r"\d", told) and version.startswith(told)


def _ways(pool: Pool, listed: int) -> bool:
    """Whether a listed "tp" can mean this worker: its chips, or tensor parallelism within attention DP."""
    return listed in (pool.replica, pool.tp)


def _same_chips(recipe: Recipe, told: Told) -> bool:
    """Whether an aggregated row's chips are the recipe's, whatever axes the row lists."""
    return not told.apart and told.decode == (recipe.decode_count, recipe.decode.replica)


def day_number(text: str) -> int | None:
    """Days from a fixed day to "2026-02-10"; None for what is no day. This floor knows no dates, only how far apart.

    >>> day_number("2026-03-01") - day_number("2026-02-28"), day_number("2026-03")
    (1, None)
    """
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", text)
    if not found:
        return None
    year, month, day = (int(n) for n in found.groups())
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)  # a year of March to February
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day


def days_away(recipe: Recipe, day: str) -> int:
    """Days between a day and the time a recipe stood; 0 within it, and where the row has no day.

    On its last day a recipe had been replaced: that is one day away, unless it stood for this day only.
    """
    at, first, last = day_number(day), day_number(recipe.first), day_number(recipe.last)
    if at is None or first is None or last is None:
        return 0
    return max(first - at, 0 if at == first else at - last + 1, 0)


def _ran(recipe: Recipe, day: str) -> bool:
    """Whether a run of the recipe was asked for about that day."""
    at, runs = day_number(day), [day_number(run) for run in recipe.runs]
    return at is not None and any(run is not None and abs(run - at) <= SAME_RUN for run in runs)


def agreed(candidates: Iterable[Recipe], name: str) -> Any:
    """The value of a field that all candidates share; None where they differ or there is none.

    >>> agreed((), "drafts") is None
    True
    """
    found = {getattr(r, name) for r in candidates}
    return found.pop() if len(found) == 1 else None


def resolve(told: Told, table: Sequence[Recipe] | None = None) -> Setup:
    """What the recipes a row can have come from agree on."""
    found = recipe_of(told, table)
    return Setup(candidates=found, prefill=agreed(found, "prefill"), decode=agreed(found, "decode"),
                 speculation=agreed(found, "speculation") or "", drafts=agreed(found, "drafts"),
                 kv_dtype=agreed(found, "kv_dtype") or "", chunk=agreed(found, "chunk"),
                 running=agreed(found, "running"))
