"""Options of `exafleet serve`, and the question they ask; every word that is wrong is told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from exafleet.apps.options import Dtype, seconds, span

if TYPE_CHECKING:
    from exafleet.apps.serve_cost import Price
    from exafleet.facts.architecture import Arch
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.step.serve import ServeTask
    from exafleet.step.serve_layouts import ServeLimits
    from exafleet.terms.errors import Problem

T = TypeVar("T")


class Stored(StrEnum):
    """Formats weights are stored in."""

    bf16 = "bf16"
    fp8 = "fp8"
    fp6 = "fp6"
    fp4 = "fp4"
    int8 = "int8"
    int4 = "int4"


class EngineName(StrEnum):
    """Serving software whose host time counts; or another tool, whose answer is put beside."""

    trtllm = "trtllm"
    sglang = "sglang"
    vllm = "vllm"
    aiconfigurator = "aiconfigurator"


class Mode(StrEnum):
    """How prefill and decode share the accelerators."""

    aggregated = "aggregated"
    disaggregated = "disaggregated"
    both = "both"


InputTokens = Annotated[
    int, typer.Option("--isl", "--input", min=1, max=2**24, metavar="TOKENS", help="Mean tokens of a prompt.")
]
OutputTokens = Annotated[
    int, typer.Option("--osl", "--output", min=1, max=2**24, metavar="TOKENS", help="Mean tokens of an answer.")
]
FirstToken = Annotated[
    str, typer.Option("--ttft", metavar="TIME", help='Target for the time to the first token, "2 s".')
]
PerToken = Annotated[
    str, typer.Option("--tpot", metavar="TIME", help='Target for the time per further token, "50 ms".')
]
Products = Annotated[Dtype, typer.Option("--dtype", help="Number format of the matrix products.")]
KvDtype = Annotated[Dtype, typer.Option("--kv-dtype", help="Number format of the key-value cache.")]
WeightDtype = Annotated[Stored | None, typer.Option("--weight-dtype", help=(
    "Number format weights are stored in, where it is not that of the products."))]
Gpus = Annotated[int | None, typer.Option("--gpus", min=1, max=10**7, metavar="N", help=(
    "Accelerators of the service, for which the most traffic is found. Without --gpus and --rate: the fewest whole "
    "units that serve it."))]
Rate = Annotated[str | None, typer.Option("--rate", metavar="RATE", help=(
    'Demand to carry, for which the fewest accelerators are found: requests a second ("12"), or output tokens with a '
    'unit ("20 ktok/s").'))]
PrefixHit = Annotated[float, typer.Option("--prefix-hit", metavar="SHARE", help=(
    "Share of the tokens of a prompt that are found in the cache, from 0 to below 1."))]
Draft = Annotated[int, typer.Option("--draft", min=0, max=64, metavar="N", help=(
    "Tokens a draft head or model proposes in each step (MTP, EAGLE); 0 speculates on nothing."))]
Accept = Annotated[float | None, typer.Option("--accept", metavar="P", help=(
    "Probability that a proposed token is right, given that those before it were; needs --draft."))]
Engine = Annotated[EngineName | None, typer.Option("--engine", help=(
    "Serving software whose host time counts; left out, the middle of them. aiconfigurator: the middle of them, and "
    "beside the answer what that tool says of the same deployment (an extra)."))]
ModeName = Annotated[Mode, typer.Option("--mode", help=(
    "Whether replicas both prefill and decode, each does one of them, or the better of the two is taken."))]
PriceWords = Annotated[str | None, typer.Option("--price", metavar="PRICE", help=(
    'Rent of one accelerator, "2.50 USD/h". Default: the newest on-demand fact, where one is known.'))]


TraceFile = Annotated[Path | None, typer.Option("--trace", metavar="FILE", help=(
    "Replay the requests of a trace (Azure, BurstGPT or Mooncake columns) on aggregated replicas: of the layout that "
    "--tp, --pp, --dp and --ep name, else of the best at the trace's mean lengths."))]
Replicas = Annotated[int | None, typer.Option("--replicas", min=1, max=10**6, metavar="N", help=(
    "Replicas of a replay; left out, as many as --gpus holds."))]
Router = Annotated[str, typer.Option("--router", metavar="NAME", help=(
    "Who gets a request of a trace: the replica with the fewest (least), or each in turn (turn)."))]
Speed = Annotated[float, typer.Option("--speed", metavar="FACTOR", help=(
    "Requests of a trace come so many times as fast as in the file."))]
CacheBlocks = Annotated[int | None, typer.Option("--cache-blocks", min=1, metavar="N", help=(
    "Blocks of 512 tokens that the prefix cache of a Mooncake trace holds; left out, any number."))]


def ways(name: str, what: str) -> Any:
    """An option that holds an axis to a number or a range."""
    return typer.Option(name, metavar="A..B", help=f"{what}: a number, or a range such as 1..8.")


TensorWays = Annotated[str | None, ways("--tp", "Tensor-parallel ways")]
Stages = Annotated[str | None, ways("--pp", "Pipeline stages")]
Groups = Annotated[str | None, ways("--dp", "Attention groups of a replica that share its experts")]
ExpertWays = Annotated[str | None, ways("--ep", "Accelerators whole experts are spread over")]
Concurrency = Annotated[str | None, ways("--concurrency", "Requests at once on a replica (of decode, where apart)")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question of one command.

    gpus   size of the pool; None where a demand is given, or neither
    rate   demand, output tokens per second; None where none is given      [token/s]
    kinds  of deployment that are looked at
    """

    task: ServeTask
    system: System
    gpus: int | None
    rate: float | None
    kinds: tuple[str, ...]
    limits: ServeLimits
    price: Price | None


def serve_task(arch: Arch, input_tokens: int, output_tokens: int, ttft: float, tpot: float, dtype: str,
               kv_dtype: str) -> ServeTask:
    """The service that the options every command has describe."""
    from exafleet.step.serve import ServeTask

    return ServeTask(arch=arch, input_tokens=input_tokens, output_tokens=output_tokens, ttft=ttft, tpot=tpot,
                     dtype=dtype, kv_dtype=kv_dtype)


class Mistakes:
    """Collects the problems of many words, so that all are told at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def tried(self, read: Callable[[], T], otherwise: T) -> T:
        """What `read` gives; where it refuses, its problems are kept and `otherwise` stands in."""
        from exafleet.terms.errors import FactError

        try:
            return read()
        except FactError as error:
            self.problems += error.problems
            return otherwise

    def done(self) -> None:
        """Raises FactError with every problem that was kept."""
        from exafleet.terms.errors import FactError, raise_all

        raise_all(FactError, self.problems)

    def say(self, where: str, what: str, got: str = "", allowed: str = "", remedy: str = "") -> None:
        """Keep one problem."""
        from exafleet.terms.errors import Problem

        self.problems.append(Problem(where=where, what=what, got=got, allowed=allowed, remedy=remedy))


def read(facts: Facts, arch: Arch, system: System, words: dict[str, Any]) -> Asked:
    """The question in the words of the command line; raises FactError with every word that is wrong.

    words   values by option, as `apps/serve.py` gathers them
    """
    from exafleet.apps.serve_cost import price_of

    told = Mistakes()
    ttft, tpot = (told.tried(lambda n=n: seconds(words[n], f"--{n}"), 1.0) for n in ("ttft", "tpot"))  # type: ignore[misc]
    task = replace(serve_task(arch, words["isl"], words["osl"], ttft, tpot, words["dtype"], words["kv_dtype"]),
                   weight_dtype=words["weight_dtype"], engine=words["engine"],
                   prefix_hit=_share(told, words["prefix_hit"]), draft=words["draft"],
                   accept=_accepted(told, words["draft"], words["accept"]))
    rate = None if words["rate"] is None else told.tried(lambda: demand(words["rate"], words["osl"]), 1.0)
    if words["rate"] is not None and words["gpus"] is not None:
        told.say("--gpus, --rate", "both the size and the demand are given",
                 remedy="Give --gpus for the most traffic of a pool, or --rate for the smallest pool of a demand.")
    _formats(told, task, system)
    _positions(told, task)
    limits = _limits(told, task, system, words)
    price = told.tried(lambda: price_of(facts, system.chip, words["price"]), None)
    told.done()
    kinds = ("aggregated", "disaggregated") if words["mode"] is Mode.both else (words["mode"].value,)
    return Asked(task=task, system=system, gpus=words["gpus"], rate=rate, kinds=kinds, limits=limits, price=price)


def named_layout(words: dict[str, Any]) -> str | None:
    """The layout that the axes name, "TP8 EP8", as a replay takes it; None where they name none. Raises FactError.

    words   values by option
    """
    told = Mistakes()
    named = []
    for axis in ("tp", "pp", "dp", "ep"):
        limit = told.tried(lambda n=axis: span(words[n], f"--{n}"), None)  # type: ignore[misc]
        if limit and limit[0] != limit[1]:
            told.say(f"--{axis}", "a replay runs one layout, not a range", got=words[axis])
        named += [f"{axis.upper()}{limit[0]}"] if limit else []
    for option in ("rate", "concurrency", "price"):
        if words[option] is not None:
            told.say(f"--{option}", "is not asked where a trace is replayed", remedy="Leave it out, or --trace.")
    told.done()
    return " ".join(named) or None


def demand(words: str, output_tokens: float) -> float:
    """Output tokens per second of a demand written as requests a second or as tokens. [token/s]  Raises FactError.

    >>> demand("2", 500), demand("2 requests/s", 500), demand("20 ktok/s", 500)
    (1000.0, 1000.0, 20000.0)
    """
    import math
    import re

    from exafleet.terms.errors import FactError, Problem
    from exafleet.terms.units import parse

    plain = re.fullmatch(r"\s*([-+]?[\d_.,]+(?:[eE][-+]?\d+)?)\s*(?:(?:requests?|req)/s|rps)?\s*", words)
    try:
        value = float(re.sub("[_,]", "", plain[1])) * output_tokens if plain else parse(words, "token_rate").value
    except ValueError:
        value = math.nan
    except FactError as error:
        raise FactError([replace(p, where="--rate") for p in error.problems]) from None
    if not 0.0 < value < math.inf:
        raise FactError(Problem(where="--rate", what="a demand is more than zero", got=repr(words), allowed=(
            'requests a second such as "12", or tokens such as "20 ktok/s"')))
    return value


def _share(told: Mistakes, hit: float) -> float:
    if 0.0 <= hit < 1.0:
        return hit
    told.say("--prefix-hit", "not a share", got=f"{hit:g}", allowed="from 0 to below 1")
    return 0.0


def _accepted(told: Mistakes, draft: int, accept: float | None) -> float:
    """Nobody's acceptance is assumed: it depends on the draft and on what is asked."""
    if draft and accept is None:
        told.say("--accept", "drafted tokens are given without the probability that they are right",
                 remedy="Give e.g. --accept 0.7.")
    elif accept is not None and not draft:
        told.say("--accept", "no tokens are drafted", remedy="Give --draft, or leave it out.")
    elif accept is not None and not 0.0 <= accept <= 1.0:
        told.say("--accept", "not a probability", got=f"{accept:g}", allowed="from 0 to 1")
    return accept or 0.0


def _formats(told: Mistakes, task: ServeTask, system: System) -> None:
    """Formats the chip cannot compute in, or store for it."""
    from exafleet.work.counts import ELEMENT_BYTES

    chip = system.chip
    known = [d.value for d in Dtype if d.value in chip.peak_flops]
    if task.dtype not in chip.peak_flops:
        told.say("--dtype", f"{chip.name} has no hardware for this format", got=task.dtype, allowed=", ".join(known))
    elif ELEMENT_BYTES[task.weights] > ELEMENT_BYTES[task.dtype]:
        told.say("--weight-dtype", "weights are stored wider than they are multiplied", got=task.weights,
                 allowed=f"{task.dtype} or narrower")


def _positions(told: Mistakes, task: ServeTask) -> None:
    """Models with learned positions have only so many."""
    most, asked = task.arch.positions, task.input_tokens + task.output_tokens
    if most and asked > most:
        told.say("--isl, --osl", f"{task.arch.name} has {most:,} learned positions", got=f"{asked:,} tokens",
                 remedy="Shorten the prompt or the answer.")


def _limits(told: Mistakes, task: ServeTask, system: System, words: dict[str, Any]) -> ServeLimits:
    """Ranges of the axes; an axis no layout of this model on this system can have is told with those it can."""
    from exafleet.ops.collective import reach
    from exafleet.step.serve_layouts import ANY, ServeLimits, layouts

    axes = ("tp", "pp", "dp", "ep")
    asked = {name: told.tried(lambda n=name: span(words[n], f"--{n}"), None)  # type: ignore[misc]
             for name in (*axes, "concurrency")}
    limits = ServeLimits(**{name: limit or ANY for name, limit in asked.items()})
    pool, domain = words["gpus"] or 1024, reach(system)
    every = layouts(task.arch, domain, pool, ServeLimits())
    alone = True
    for name in axes:
        if asked[name] and not len(layouts(task.arch, domain, pool, ServeLimits(**{name: asked[name] or ANY})).tp):
            there = sorted({int(v) for v in getattr(every, name)})
            told.say(f"--{name}", f"no layout of {task.arch.name} on up to {pool:,} accelerators has it",
                     got=words[name], allowed=", ".join(map(str, there)))
            alone = False
    if alone and len(every.tp) and not len(layouts(task.arch, domain, pool, limits).tp):
        told.say(", ".join(f"--{name}" for name in axes if asked[name]),
                 f"no layout of {task.arch.name} on up to {pool:,} accelerators has all of them",
                 remedy="Experts are sliced (--ep 1) or spread over all of tp * dp; leave one of the axes free.")
    return limits
