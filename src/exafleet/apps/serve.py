"""`exafleet serve`: how many tokens a second a system serves of a model within a latency target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Dtype, Form, Format, Model, Own, seconds
from exafleet.apps.train import SystemName

if TYPE_CHECKING:
    from exafleet.facts.architecture import Arch
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.report.table import Report, Table
    from exafleet.service.search import ServeResult
    from exafleet.step.serve import ServeTask
    from exafleet.terms.errors import NothingFits

InputTokens = Annotated[
    int, typer.Option("--input", min=1, max=2**24, metavar="TOKENS", help="Mean tokens of a prompt.")
]
OutputTokens = Annotated[
    int, typer.Option("--output", min=1, max=2**24, metavar="TOKENS", help="Mean tokens of an answer.")
]
FirstToken = Annotated[
    str, typer.Option("--ttft", metavar="TIME", help='Target for the time to the first token, "2 s".')
]
PerToken = Annotated[
    str, typer.Option("--tpot", metavar="TIME", help='Target for the time per further token, "50 ms".')
]
KvDtype = Annotated[Dtype, typer.Option("--kv-dtype", help="Number format of the key-value cache.")]


def serve(
    model: Model,
    system: SystemName,
    gpus: Annotated[
        int | None,
        typer.Option(
            "--gpus",
            min=1,
            max=10**7,
            metavar="N",
            help=("Accelerators of the service; as many replicas as fit are counted. Default: one replica."),
        ),
    ] = None,
    input_tokens: InputTokens = 1024,
    output_tokens: OutputTokens = 1024,
    ttft: FirstToken = "2 s",
    tpot: PerToken = "50 ms",
    dtype: Annotated[Dtype, typer.Option("--dtype", help="Number format of the matrix products.")] = Dtype.bf16,
    kv_dtype: KvDtype = Dtype.bf16,
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """Find the best serving layout within a latency target: throughput, latency, memory, watts and an 80 % band.

    When nothing meets the target the exit code is 3, and the nearest questions that have an answer are named.

    \b
    Examples:
      exafleet serve llama-3-70b --system hgx-h100
      exafleet serve deepseek-v3 --system gb200-nvl72 --input 2000 --output 500 --ttft "1 s" --tpot "20 ms" --dtype fp8
    """
    from exafleet.apps.inputs import arch_of, facts_as_of
    from exafleet.apps.output import show
    from exafleet.facts.hardware import system as system_of

    facts = facts_as_of(as_of, own)
    task = serve_task(
        arch_of(facts, model),
        input_tokens,
        output_tokens,
        seconds(ttft, "--ttft"),
        seconds(tpot, "--tpot"),
        dtype.value,
        kv_dtype.value,
    )
    data = {"as_of": facts.as_of.isoformat(), **serve_figures(task, system_of(facts, system), gpus, facts)}
    show(_report(task, data), form, data)


def serve_task(
    arch: Arch, input_tokens: int, output_tokens: int, ttft: float, tpot: float, dtype: str, kv_dtype: str
) -> ServeTask:
    """The service that the options describe."""
    from exafleet.step.serve import ServeTask

    return ServeTask(
        arch=arch,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        ttft=ttft,
        tpot=tpot,
        dtype=dtype,
        kv_dtype=kv_dtype,
    )


def serve_figures(task: ServeTask, system: System, gpus: int | None, facts: Facts) -> dict[str, Any]:
    """Flat figures of the best deployment, in base units; raises NothingFits, MissingFact.

    gpus   size of the service; None takes the fewest whole units (doubling) that serve it
    """
    from exafleet.service.search import search_serve
    from exafleet.terms.why import Why

    found = search_serve(task, system, gpus or system.chips, facts)
    for more in () if gpus else (2, 4, 8, 16, 32):
        if found.why is not Why.HBM_FULL:
            break
        found = search_serve(task, system, more * system.chips, facts)
    if found.why is not Why.OK or found.layout is None or found.memory is None:
        raise _nothing_serves(task, system, found, facts)
    return _figures(found, system, facts)


def _figures(found: ServeResult, system: System, facts: Facts) -> dict[str, Any]:
    from exafleet.fleet.power import Activity, power

    layout, token, first, memory = found.layout, found.token, found.first, found.memory
    assert layout is not None
    assert token is not None
    assert first is not None
    assert memory is not None
    watts = power(system, facts, Activity.SERVING, found.chips)
    return {
        "model": found.task.arch.id,
        "system": system.id,
        "gpus": found.chips,
        "dtype": found.task.dtype,
        "kv_dtype": found.task.kv_dtype,
        "input_tokens": found.task.input_tokens,
        "output_tokens": found.task.output_tokens,
        "layout": layout.words,
        "replicas": layout.replicas,
        "replica_gpus": layout.replica,
        "concurrency": layout.concurrency,
        "tokens_per_s": found.rate,
        "tokens_per_s_low": found.low,
        "tokens_per_s_high": found.high,
        "ttft": found.ttft,
        "tpot": found.tpot,
        "token_parts": token.as_dict(),
        "first_parts": first.as_dict(),
        "memory": float(memory.total),
        "memory_parts": memory.as_dict(),
        "memory_of_chip": system.chip.hbm_bytes,
        "power": float(watts.total),
        "power_parts": watts.as_dict(),
        "candidates": found.candidates,
        "why": {w.name: n for w, n in found.reasons.items()},
        "front": _front(found),
    }


def _front(found: ServeResult) -> list[dict[str, Any]]:
    """Throughput against speed per user, most throughput first."""
    front = found.front
    if front is None:
        return []
    return [
        {
            "layout": front.words[i],
            "tokens_per_s_per_gpu": float(front.rate[i]),
            "tokens_per_s_per_user": float(front.speed[i]),
            "ttft": float(front.ttft[i]),
        }
        for i in range(len(front.words))
    ]


def _report(task: ServeTask, d: dict[str, Any]) -> Report:
    from exafleet.report.table import Report
    from exafleet.terms.format import duration

    return Report(
        title=f"Serving {task.arch.name} on {d['gpus']:,} accelerators of {d['system']}",
        subtitle=f"{d['dtype']}, cache {d['kv_dtype']}, {task.input_tokens:,} tokens in, {task.output_tokens:,} out; "
        f"first token within {duration(task.ttft)}, each further one within {duration(task.tpot)}; "
        f"facts as of {d['as_of']}",
        summary=_sentences(d),
        cards=(),
        tables=(
            _parts_table("token", "Where the time of an output token goes", d["token_parts"]),
            _parts_table("first", "Where the time to the first token goes", d["first_parts"]),
            _memory_table(d),
            _front_table(d),
            _why_table(d),
        ),
    )


def _sentences(d: dict[str, Any]) -> tuple[str, ...]:
    from exafleet.terms import format as words

    replicas = (
        f"{d['replicas']:,} replicas of {d['replica_gpus']:,}"
        if d["replicas"] > 1
        else f"One replica of {d['replica_gpus']:,}"
    )
    rate, watts = d["tokens_per_s"], d["power"]
    band = words.band(d["tokens_per_s_low"], d["tokens_per_s_high"], words.token_rate)
    each = f"{words.significant(rate / d['gpus'])} tokens/s per accelerator"
    return (
        f"{replicas}, each {d['layout']} with {d['concurrency']:,} requests at once.",
        f"{words.token_rate(rate)} of output, {each}; 80 % band {band}.",
        f"First token after {words.duration(d['ttft'])}, then one every {words.duration(d['tpot'])}.",
        f"It draws {words.power(watts)} of IT power, {words.significant(watts / rate)} J per output token.",
    )


def _parts_table(name: str, title: str, parts: dict[str, float]) -> Table:
    from exafleet.report.table import Column, Table

    total = sum(parts.values())
    rows = [(part, s, s / total) for part, s in parts.items() if s > 0]
    return Table(
        id=name,
        title=title,
        lead="The parts add up.",
        columns=(Column(title="part"), Column(title="time", kind="time"), Column(title="share", kind="share")),
        rows=(*rows, ("total", total, 1.0)),
    )


def _memory_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import data

    rows = [(name, b, b / d["memory_of_chip"]) for name, b in d["memory_parts"].items() if b > 0]
    return Table(
        id="memory",
        title="Memory of one accelerator",
        lead=f"It has {data(d['memory_of_chip'])}.",
        columns=(Column(title="part"), Column(title="memory", kind="bytes"), Column(title="share", kind="share")),
        rows=(*rows, ("total", d["memory"], d["memory"] / d["memory_of_chip"])),
    )


def _front_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="front",
        title="Throughput against speed",
        lead="No other deployment is better in both, most throughput first.",
        columns=(
            Column(title="layout"),
            Column(title="tokens/s per chip", kind="number"),
            Column(title="tokens/s per user", kind="number"),
            Column(title="first token", kind="time"),
        ),
        rows=tuple(
            (f["layout"], f["tokens_per_s_per_gpu"], f["tokens_per_s_per_user"], f["ttft"]) for f in d["front"][:8]
        ),
    )


def _why_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.why import SENTENCES, Why

    return Table(
        id="why",
        title="What became of the candidates",
        lead=f"{d['candidates']:,} layouts and loads were looked at.",
        columns=(Column(title="outcome"), Column(title="candidates", kind="count")),
        rows=tuple((SENTENCES[Why[name]], n) for name, n in d["why"].items() if n),
    )


def _nothing_serves(task: ServeTask, system: System, found: ServeResult, facts: Facts) -> NothingFits:
    """The reason, the part of time or memory that limits, and questions near this one that do have an answer."""
    from exafleet.apps.relax import serve_relaxations
    from exafleet.terms.errors import NothingFits, Problem
    from exafleet.terms.why import SENTENCES, Why

    limit = f" (the largest part is {found.limit})" if found.why in (Why.HBM_FULL, Why.TOO_SLOW) else ""
    asked = f"{task.arch.name} in {task.dtype} on {found.chips:,} accelerators of {system.name}"
    what = f"{asked}: {SENTENCES[found.why]}{limit}"
    return NothingFits(Problem(what=what), relaxations=serve_relaxations(task, system, found, facts))
