"""How serving engines run a step: what their kernels cost over the operator curves, and what the host adds.

These are named, dated facts of two kinds of subject: `serving-engine` (any engine) and one subject per engine
(`engine-trtllm`, ...). They are fitted by tools/fit_serving.py on the `fit` rows of data/measured_serve.csv.

A factor belongs to a class of operators in one phase ("decode-moe") and may be given by number format and family of
chips ("decode-moe/fp8/hopper"): which kernel multiplies experts is an engine's choice, and kernels differ by whole
factors. The narrowest that is known counts; an engine's own wins over anybody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from exafleet.facts.catalogue import Facts
from exafleet.facts.fact import Fact
from exafleet.facts.hardware import Chip
from exafleet.terms.errors import FactError, MissingFact, Problem

ANY_ENGINE = "serving-engine"
SLOWDOWN = "serving_slowdown"
# Which class an operator's kind belongs to.
CLASS = {"gemm": "gemm", "grouped": "moe", "attention": "attention", "mla": "attention", "decode": "attention",
         "index": "attention"}
# Chips that reach each other more slowly than this over their own links are cards: PCIe, no switch.
CARD_LINK = 1e11
CARD = "card"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Time of each class of a phase over what its curves say, the fixed time of kernels apart (`launch`). [1]

    gemm         plain products (projections, dense MLPs, logits)
    moe          grouped products of experts
    attention    attention over the cache or inside a prompt
    elementwise  everything that only moves bytes, and scans
    reduction    all-reduce of tensor parallelism
    exchange     dispatch and combine of experts
    launch       fixed time of kernels: graphs and fusion hide some of it
    """

    gemm: float
    moe: float
    attention: float
    elementwise: float
    reduction: float
    exchange: float
    launch: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What a serving engine adds to the sum of the operators on one chip.

    name       "trtllm", ...; "" for any
    decode, prefill   factors by number format ("fp8", "bf16-wfp4"); "" where the format has none of its own
    overhead   host time of one step that no kernel hides                          [s]
    request    time a request spends outside the engine's steps                     [s]
    pace       time of this release's steps over those the factors are of           [1]
    oneshot    latency of a small all-reduce inside a scale-up domain                [s]
    reserve    share of the memory that weights leave which stays free               [1]
    bunching   prompts of a closed loop that one waits for, where two run             [1]
    apart      the same of a prefill pool, among the requests of one of its servers     [1]
    growth     how that grows with the others that run: as their number to this power   [1]
    waits      decode steps a first token waits for, beside those that share its prompt  [1]
    sigma      relative (log) uncertainty of predicted times, one deviation         [1]
    """

    name: str
    decode: Mapping[str, Phase]
    prefill: Mapping[str, Phase]
    overhead: float
    request: float
    pace: float
    oneshot: float
    reserve: float
    bunching: float
    apart: float
    growth: float
    waits: float
    sigma: float

    def of(self, phase: str, form: str) -> Phase:
        """Factors of "decode" or "prefill" in a number format."""
        table = self.decode if phase == "decode" else self.prefill
        return table.get(form, table[""])


def form(dtype: str, weights: str) -> str:
    """Number format of products and, where they are stored narrower, of weights.

    >>> form("fp8", "fp8"), form("bf16", "fp4")
    ('fp8', 'bf16-wfp4')
    """
    return dtype if weights == dtype else f"{dtype}-w{weights}"


def family(chip: Chip) -> str:
    """Chips whose kernels are alike: "hopper", "blackwell" (Ultra too), "cdna", ...; "card" without a fabric."""
    if 0 < chip.link_bw < CARD_LINK:
        return CARD
    return (chip.family or chip.id).casefold().split(" ")[0]


def engines(facts: Facts) -> list[str]:
    """Names of the engines that have facts of their own or a row in the table of subjects."""
    return sorted(s.id.removeprefix("engine-") for s in facts.subjects.of_kind("practice")
                  if s.id.startswith("engine-"))


def engine_of(facts: Facts, chip: Chip, name: str, release: float | None = None, *, oneshot: float,
              sigma: float) -> Engine:
    """An engine on a chip as of the facts' date. Raises FactError for an unknown one, MissingFact for missing figures.

    name     "trtllm", "sglang", "vllm", ...; "" for any
    release  year of the engine's release; None is the newest that is known
    oneshot  latency of a small all-reduce where no fact gives it    [s]
    sigma    relative error of the chip's operator times             [1]
    """
    if name and name not in engines(facts):
        raise FactError(Problem(what=f'unknown serving engine "{name}"', allowed=", ".join(engines(facts))))
    read = _Reader(facts, f"engine-{name}" if name else ANY_ENGINE, family(chip))
    measured = facts.try_value(f"{chip.id}.oneshot_latency")
    found = {
        "overhead": read("step_overhead"), "request": read("request_overhead"), "bunching": read("arrival_bunching"),
        "apart": read("arrival_bunching_apart"), "growth": read("bunching_growth"), "waits": read("first_token_steps"),
        "pace": read.pace(release), "reserve": read("memory_reserve"), "sigma": read("serving_sigma"),
    }
    decode, prefill = ({f: read.phase(phase, f) for f in sorted(read.formats())} for phase in ("decode", "prefill"))
    if read.missing:
        raise MissingFact([Problem(what=f"no serving figure as of {facts.as_of.isoformat()}", got=key,
                                   remedy="Give it in a table of your own, with its source and date.")
                           for key in dict.fromkeys(read.missing)])
    # Two independent sources of error: the operators of this chip, and what engines make of them.
    total = float(np.hypot(found.pop("sigma"), sigma))
    return Engine(name=name, decode=decode, prefill=prefill, **found, sigma=total,
                  oneshot=oneshot if measured is None else measured)


class _Reader:
    """Reads the narrowest fact there is, of the engine first, and remembers what is missing."""

    def __init__(self, facts: Facts, subject: str, kin: str) -> None:
        self.facts, self.kin = facts, kin
        self.subjects = tuple(dict.fromkeys((subject, ANY_ENGINE)))
        self.missing: list[str] = []
        self.slow = [facts.find(s, SLOWDOWN) for s in self.subjects]

    def __call__(self, term: str, default: float | None = None) -> float:
        for subject in self.subjects:
            found = self.facts.find(subject, term)
            at = next((at for at in (self.kin, "") if at in found), None)
            if at is not None:
                return found[at].value
        if default is None:
            self.missing.append(f"{ANY_ENGINE}.{term}")
        return float("nan") if default is None else default

    def pace(self, release: float | None) -> float:
        """Time of a release's steps over those of the reference: engines gain a little with every release.

        Nobody knows how fast releases outside those of the engine's measured rows are: they count as the nearest.
        """
        gain = self("serving_maturity", 0.0)
        known = {at: fact.value for subject in reversed(self.subjects)
                 for at, fact in self.facts.find(subject, "serving_release").items()}
        if not gain or not known:
            return 1.0
        year = known["newest"] if release is None else min(max(release, known["oldest"]), known["newest"])
        return float(np.exp(-gain * (year - known["reference"])))

    def formats(self) -> set[str]:
        """Number formats any factor names, and "" for the others."""
        named = {at.split("/")[1] for table in self.slow for at in table if at.count("/")}
        return {"", *named} - {self.kin}

    def phase(self, phase: str, form: str) -> Phase:
        """The factors of one phase in one format."""
        return Phase(**{f.name: self._factor(phase, f.name, form) for f in fields(Phase)})

    def _factor(self, phase: str, part: str, form: str) -> float:
        narrow = (f"{phase}-{part}/{form}/{self.kin}", f"{phase}-{part}/{form}", f"{phase}-{part}/{self.kin}",
                  f"{phase}-{part}", phase)
        for table in self.slow:
            found = _first(table, narrow)
            if found is not None:
                return found
        self.missing.append(f"{ANY_ENGINE}.{SLOWDOWN}@{phase}")
        return float("nan")


def _first(table: Mapping[str, Fact], names: tuple[str, ...]) -> float | None:
    return next((table[name].value for name in names if name in table), None)
