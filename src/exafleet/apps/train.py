"""`exafleet train`: how fast a model trains on a system, where the time and the memory go, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Dtype, Form, Format, Model, Own, choice, sequences, span
from exafleet.apps.software import Release, Scaling, Stack, Told, check_software, told_options
from exafleet.terms.layout import CP_KIND, OFFLOAD, RECOMPUTE, SCHEDULE, ZERO

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.report.table import Table
    from exafleet.step.limits import Limits
    from exafleet.step.search import TrainResult
    from exafleet.step.train import Steps, TrainTask
    from exafleet.terms.errors import NothingFits

SystemName = Annotated[
    str,
    typer.Option(
        "--system",
        metavar="SYSTEM",
        help=("Id or name of a system, such as gb200-nvl72 or hgx-h100 (see `exafleet facts search system`)."),
    ),
]
_RANGE = "A..B"


def _ways(name: str, what: str) -> Any:
    return typer.Option(name, metavar=_RANGE, help=f"{what}: a number, or a range such as 1..8.")


def _pick(name: str, what: str, names: tuple[str, ...]) -> Any:
    listed = ", ".join(f"{i} {n}" for i, n in enumerate(names))
    return typer.Option(name, metavar="CHOICE", help=f"{what}: {listed}; a name, a number, a range, or all.")


def train(
    model: Model,
    system: SystemName,
    gpus: Annotated[
        str,
        typer.Option("--gpus", metavar="N", help=(
            "Accelerators the run takes; a range such as 8..16384 tries sizes in it and lists the fastest of each.")),
    ],
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Number format of the matrix products.")] = Dtype.bf16,
    seq: Annotated[int, typer.Option("--seq", min=1, max=2**24, metavar="TOKENS", help="Tokens in a sequence.")] = 8192,
    batch: Annotated[
        str,
        typer.Option(
            "--batch",
            metavar="SIZE",
            help=(
                'Sequences in a step, or "16M tokens"; tokens are rounded by up to 5 % to a number that layouts '
                "can divide."
            ),
        ),
    ] = "2048",
    tp: Annotated[str | None, _ways("--tp", "Tensor-parallel ways")] = None,
    pp: Annotated[str | None, _ways("--pp", "Pipeline stages")] = None,
    cp: Annotated[str | None, _ways("--cp", "Context-parallel ways")] = None,
    ep: Annotated[str | None, _ways("--ep", "Expert-parallel ways")] = None,
    vpp: Annotated[str | None, _ways("--vpp", "Model chunks on each stage (interleaving)")] = None,
    dp: Annotated[str | None, _ways("--dp", "Data-parallel ways")] = None,
    mbs: Annotated[str | None, _ways("--mbs", "Sequences in a micro-batch")] = None,
    etp: Annotated[str | None, _ways("--etp", "Ways one expert is split")] = None,
    zero: Annotated[str | None, _pick("--zero", "What data-parallel ranks share out", ZERO)] = None,
    recompute: Annotated[str | None, _pick("--recompute", "Recomputation of activations", RECOMPUTE)] = None,
    schedule: Annotated[str | None, _pick("--schedule", "Schedule of the pipeline, 1F1B left out", SCHEDULE)] = None,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar=_RANGE, help=(
            "Ranks among which ZeRO shares out (hybrid sharding), 0 for all; left open, all and those of one "
            "scale-up domain are tried, a range tries every divisor.")),
    ] = None,
    cp_kind: Annotated[str | None, _pick("--cp-kind", "How context-parallel ranks exchange", CP_KIND)] = None,
    offload: Annotated[
        str | None, _pick("--offload", "What lies in host memory; left open, nothing", OFFLOAD)
    ] = None,
    stack: Stack = "",
    release: Release = None,
    option: Told = None,
    recipe: Scaling = "",
    as_of: AsOf = None,
    own: Own = None,
    top: Annotated[int, typer.Option("--top", min=1, metavar="N", help="Layouts to list, fastest first.")] = 5,
    form: Form = Format.table,
) -> None:
    """Find the best training layout; show the parts of the step, memory, MFU, watts and an 80 % band.

    When nothing fits the exit code is 3, and the nearest questions that have an answer are named.

    \b
    Examples:
      exafleet train llama-3.1-405b --system gb200-nvl72 --gpus 2304
      exafleet train path/to/config.json --system hgx-h100 --gpus 512 --dtype fp8 --batch "4M tokens" --tp 1..8
      exafleet train llama-3-70b --system hgx-h100 --gpus 64..1024 --schedule all --offload all
    """
    from exafleet.apps.inputs import arch_of, facts_as_of
    from exafleet.apps.output import show
    from exafleet.facts.hardware import system as system_of
    from exafleet.step.search import search_train
    from exafleet.step.train import TrainTask

    ways = {"tp": tp, "pp": pp, "cp": cp, "ep": ep, "etp": etp, "vpp": vpp, "dp": dp, "mbs": mbs}
    picks = {"zero": (zero, ZERO), "recompute": (recompute, RECOMPUTE), "schedule": (schedule or SCHEDULE[0], SCHEDULE),
             "cp_kind": (cp_kind, CP_KIND), "offload": (offload, OFFLOAD)}
    limits = _limits(ways, picks, group)
    facts = facts_as_of(as_of, own)
    machine = system_of(facts, system)
    sizes = _sizes(machine, gpus)
    check_software(facts, machine, dtype.value, stack=stack, release=release, options=option or (), recipe=recipe)
    task = TrainTask(arch=arch_of(facts, model), seq=seq, batch=sequences(batch, seq), dtype=dtype.value,
                     recipe=recipe, stack=stack, release=release, options=told_options(option))
    tried = {n: search_train(task, machine, n, facts, limits=limits) for n in sizes}
    runs = {n: found.best for n, found in tried.items() if found.best is not None}
    if not runs:
        raise _nothing_fits(task, machine, sizes[-1], facts, limits, tried[sizes[-1]])
    size = min(runs, key=lambda n: float(runs[n].time.total[0]))
    report, form, data = _answer(task, machine, size, facts, tried[size], runs[size], top, form)
    if len(sizes) > 1:
        data["sizes"] = [_sized(n, runs[n]) for n in _front(runs)]
        report = replace(report, tables=(_sizes_table(data), *report.tables))
    show(report, form, data)


def _sizes(system: System, words: str) -> tuple[int, ...]:
    """One size, or the ends of a range and sizes between them in steps of at most 1.5."""
    from itertools import takewhile

    from exafleet.apps.relax import sizes_above

    low, high = span(words, "--gpus", 1, 10**7) or (1, 1)
    return tuple(dict.fromkeys((low, *takewhile(lambda n: n < high, sizes_above(system, low)), high)))


def _front(runs: dict[int, Steps]) -> list[int]:
    """Sizes that no smaller one beats in time, smallest first."""
    kept: list[int] = []
    for size in sorted(runs):
        if not kept or runs[size].time.total[0] < runs[kept[-1]].time.total[0]:
            kept.append(size)
    return kept


def _sized(size: int, best: Steps) -> dict[str, Any]:
    """The fastest layout on some accelerators."""
    rate, memory = float(best.tokens_per_s[0]), float(best.memory.total[0])
    return {
        "gpus": size,
        "layout": best.layouts.words()[0],
        "step_time": float(best.time.total[0]),
        "tokens_per_s": rate,
        "tokens_per_s_each": rate / size,
        "mfu": float(best.mfu[0]),
        "memory_headroom": best.usable - memory,
    }


def _sizes_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    keys = ("gpus", "layout", "step_time", "tokens_per_s", "mfu", "memory_headroom")
    return Table(
        id="sizes",
        title="Time against accelerators",
        lead="The fastest layout of each size; sizes that a smaller one beats are left out.",
        columns=(
            Column(title="accelerators", kind="count"),
            Column(title="layout"),
            Column(title="step", kind="time"),
            Column(title="tokens/s", kind="token_rate"),
            Column(title="MFU", kind="share"),
            Column(title="memory left", kind="bytes"),
        ),
        rows=tuple(tuple(size[key] for key in keys) for size in d["sizes"]),
    )


def _limits(
    ways: dict[str, str | None], picks: dict[str, tuple[str | None, tuple[str, ...]]], group: str | None
) -> Limits:
    """Ranges of the axes as written; raises FactError with every one that is not understood."""
    from exafleet.step.limits import Limits
    from exafleet.terms.errors import FactError, Problem, raise_all

    read = {axis: partial(span, words, f"--{axis}") for axis, words in ways.items()}
    read |= {a: partial(choice, words, f"--{a.replace('_', '-')}", names) for a, (words, names) in picks.items()}
    read["group"] = partial(span, group, "--group", 0)
    found: dict[str, tuple[int, int] | None] = {}
    problems: list[Problem] = []
    for axis, reader in read.items():
        try:
            found[axis] = reader()
        except FactError as error:
            problems += error.problems
    raise_all(FactError, problems)
    return Limits(**found)


def _answer(
    task: TrainTask, system: System, gpus: int, facts: Facts, found: TrainResult, best: Steps, top: int, form: Format
) -> tuple[Any, Format, dict[str, Any]]:
    """Report, form and flat JSON of a search that found something."""
    from exafleet.report.table import Report

    data = figures(task, system, gpus, facts, best)
    data |= {
        "as_of": facts.as_of.isoformat(),
        "candidates": found.count,
        "why": {w.name: n for w, n in found.why.items()},
        "pareto": [_listed(found, i) for i in range(_count(found, top))],
    }
    report = Report(
        title=f"Training {task.arch.name} on {gpus:,} accelerators of {system.name}",
        subtitle=f"{task.dtype}, sequences of {task.seq:,}, {task.batch:,} in a step; "
        f"{facts.told}",
        summary=_sentences(data),
        cards=(),
        tables=(_time_table(data), _memory_table(data), _list_table(data), _why_table(data)),
    )
    return report, form, data


def figures(task: TrainTask, system: System, gpus: int, facts: Facts, best: Steps) -> dict[str, Any]:
    """The best layout in flat figures and base units."""
    from exafleet.fleet.power import Activity, power, rated_power

    watts = power(system, facts, Activity.TRAINING, gpus)
    time, memory = best.time.at(0), best.memory.at(0)
    return {
        "model": task.arch.id,
        "system": system.id,
        "gpus": gpus,
        "dtype": task.dtype,
        "seq": task.seq,
        "batch_sequences": task.batch,
        "layout": best.layouts.words()[0],
        "step_time": float(time.total),
        "time_parts": time.as_dict(),
        "hidden_time": best.shadow.at(0).as_dict(),
        "memory": float(memory.total),
        "memory_parts": memory.as_dict(),
        "memory_usable": best.usable,
        "tokens_per_s": float(best.tokens_per_s[0]),
        "tokens_per_s_low": float(best.low[0]),
        "tokens_per_s_high": float(best.high[0]),
        "mfu": float(best.mfu[0]),
        "power": float(watts.total),
        "power_parts": watts.as_dict(),
        "power_rated": float(rated_power(system, facts).total) * gpus,
    }


def train_figures(task: TrainTask, system: System, gpus: int, facts: Facts) -> dict[str, Any]:
    """Flat figures of the best layout; raises NothingFits, and MissingFact for what is not known of the system."""
    from exafleet.step.limits import Limits
    from exafleet.step.search import search_train

    found = search_train(task, system, gpus, facts)
    if found.best is None:
        raise _nothing_fits(task, system, gpus, facts, Limits(), found, tried=False)
    return figures(task, system, gpus, facts, found.best)


def _count(found: TrainResult, top: int) -> int:
    return 0 if found.pareto is None else min(top, len(found.pareto.tokens_per_s))


def _listed(found: TrainResult, i: int) -> dict[str, Any]:
    steps = found.pareto
    assert steps is not None
    return {
        "layout": steps.layouts.words()[i],
        "step_time": float(steps.time.total[i]),
        "memory": float(steps.memory.total[i]),
        "tokens_per_s": float(steps.tokens_per_s[i]),
        "mfu": float(steps.mfu[i]),
    }


def _sentences(d: dict[str, Any]) -> tuple[str, ...]:
    from exafleet.terms import format as words

    rate, watts = d["tokens_per_s"], d["power"]
    band = words.band(d["tokens_per_s_low"], d["tokens_per_s_high"], words.token_rate)
    each = f"{words.power(watts / d['gpus'])} per accelerator, network included; rated {words.power(d['power_rated'])}"
    mfu = f"MFU is {words.percent(d['mfu'])} of the dense {d['dtype']} peak"
    return (
        f"Best layout: {d['layout']}.",
        f"{words.token_rate(rate)}, {words.significant(rate / d['gpus'])} tokens/s per accelerator; 80 % band {band}.",
        f"A step takes {words.duration(d['step_time'])}; {mfu}.",
        f"It draws {words.power(watts)} of IT power ({each}), {words.significant(watts / rate)} J/token.",
        "Failures are not taken off here; `exafleet rates` does.",
    )


def _time_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    rows = [(name, s, s / d["step_time"]) for name, s in d["time_parts"].items() if s > 0]
    hidden = [(f"{name} (hidden, not added)", s, None) for name, s in d["hidden_time"].items() if s > 0]
    return Table(
        id="step",
        title="Where the step goes",
        lead="Exposed time: what the step waits for. The parts add up.",
        columns=(Column(title="part"), Column(title="time", kind="time"), Column(title="share", kind="share")),
        rows=(*rows, ("total", d["step_time"], 1.0), *hidden),
    )


def _memory_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import data

    rows = [(name, b, b / d["memory_usable"]) for name, b in d["memory_parts"].items() if b > 0]
    return Table(
        id="memory",
        title="Memory of the fullest accelerator",
        lead=f"{data(d['memory_usable'])} can be used.",
        columns=(
            Column(title="part"),
            Column(title="memory", kind="bytes"),
            Column(title="share of usable", kind="share"),
        ),
        rows=(*rows, ("total", d["memory"], d["memory"] / d["memory_usable"])),
    )


def _list_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="layouts",
        title="Fast layouts and what they need",
        lead="No other layout is both faster and needs less memory (Pareto), fastest first.",
        columns=(
            Column(title="layout"),
            Column(title="step", kind="time"),
            Column(title="tokens/s", kind="token_rate"),
            Column(title="MFU", kind="share"),
            Column(title="memory", kind="bytes"),
        ),
        rows=tuple((p["layout"], p["step_time"], p["tokens_per_s"], p["mfu"], p["memory"]) for p in d["pareto"]),
    )


def _why_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.why import SENTENCES, Why

    return Table(
        id="why",
        title="What became of the candidates",
        lead=f"{d['candidates']:,} legal layouts were weighed.",
        columns=(Column(title="outcome"), Column(title="layouts", kind="count")),
        rows=tuple((SENTENCES[Why[name]], n) for name, n in d["why"].items()),
    )


def _nothing_fits(
    task: TrainTask, system: System, gpus: int, facts: Facts, limits: Limits, found: TrainResult, *, tried: bool = True
) -> NothingFits:
    """The reasons, and (when `tried`) questions near this one that were tried and do have an answer."""
    from exafleet.apps.relax import train_relaxations
    from exafleet.step.refusal import refusals
    from exafleet.terms.errors import NothingFits, Problem
    from exafleet.terms.why import SENTENCES, Why

    told = {w: n for w, n in found.why.items() if w is not Why.OK}
    # What the ranges rule out is told axis by axis; else what became of the layouts they leave.
    refused = refusals(task.arch, system, task.seq, int(task.batch), gpus, limits)
    reasons = "; ".join(refused or (f"{SENTENCES[w]} ({n:,} layouts)" for w, n in told.items()))
    asked = f"{task.arch.name} in {task.dtype} on {gpus:,} accelerators of {system.name}"
    return NothingFits(
        Problem(what=f"no layout trains {asked}: {reasons}"),
        relaxations=train_relaxations(task, system, gpus, facts, limits) if tried else (),
    )
