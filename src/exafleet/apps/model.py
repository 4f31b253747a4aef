"""`exafleet model`: what a model is made of: parameters, work per token, cache and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.options import AsOf, Form, Format, Model

if TYPE_CHECKING:
    from exafleet.facts.architecture import Arch
    from exafleet.report.table import Table

app = typer.Typer(help="What a model is made of: parameters, work per token, cache and weights.", no_args_is_help=True)

WEIGHT_DTYPES = ("bf16", "fp8", "int8", "fp4")


@app.callback()
def root() -> None:
    """What a model is made of: parameters, work per token, cache and weights."""


@app.command()
def show(
    model: Model,
    seq: Annotated[int, typer.Option("--seq", min=1, help="Tokens in a sequence, for the work of attention.")] = 8192,
    as_of: AsOf = None,
    form: Form = Format.table,
) -> None:
    """Show parameters total and active, FLOPs per token, KV-cache bytes per token and weight bytes.

    \b
    Examples:
      exafleet model show llama-3.1-405b
      exafleet model show path/to/config.json --seq 32768
    """
    from exafleet.apps.inputs import arch_of, facts_as_of
    from exafleet.apps.output import show as print_report
    from exafleet.report.table import Report

    arch = arch_of(facts_as_of(as_of), model)
    counts = _counts(arch, seq)
    report = Report(
        title=arch.name,
        subtitle=_shape(arch),
        summary=_summary(counts, seq),
        cards=(),
        tables=(_parameter_table(counts), _bytes_table(counts)),
    )
    print_report(report, form, {"id": arch.id, "name": arch.name, **counts, "architecture": _dimensions(arch)})


def _counts(arch: Arch, seq: int) -> dict[str, Any]:
    """Every number of the answer in base units."""
    from exafleet.work import counts

    parameters = counts.parameters(arch)
    return {
        "parameters": float(parameters.total),
        "active_parameters": counts.active_parameters(arch),
        "parameters_by_part": parameters.as_dict(),
        "seq": seq,
        "flops_per_token_forward": float(counts.flops_per_token(arch, seq, train=False)),
        "flops_per_token_training": float(counts.flops_per_token(arch, seq, train=True)),
        "kv_bytes_per_token": {d: counts.kv_bytes_per_token(arch, d) for d in ("bf16", "fp8")},
        "cache_bytes_of_one_sequence": {d: float(counts.kv_bytes(arch, seq, d)) for d in ("bf16", "fp8")},
        "weight_bytes": {d: counts.weight_bytes(arch, d) for d in WEIGHT_DTYPES},
    }


def _shape(arch: Arch) -> str:
    """The architecture in one line."""
    words = [
        f"{arch.layers} layers",
        f"hidden {arch.hidden:,}",
        f"{arch.heads} heads ({arch.kv_heads} KV)",
        f"vocabulary {arch.vocab:,}",
    ]
    if arch.experts:
        words.append(f"{arch.experts} experts, {arch.topk} per token, in {arch.moe_layers} layers")
    if arch.ssm_layers:
        words.append(f"{arch.ssm_layers} state-space layers")
    if arch.delta_layers:
        words.append(f"{arch.delta_layers} gated delta-net layers")
    if arch.index_layers:
        words.append(f"attention to {arch.index_topk:,} {'entries' if arch.csa_layers else 'tokens'} an index picks")
    return ", ".join(words)


def _summary(counts: dict[str, Any], seq: int) -> tuple[str, ...]:
    from exafleet.terms import format as words

    total, active = counts["parameters"], counts["active_parameters"]
    used = "all of them" if active == total else words.short(active)
    forward, training = counts["flops_per_token_forward"], counts["flops_per_token_training"]
    work = f"{words.si(forward, 'FLOP')} forward and {words.si(training, 'FLOP')} in training"
    return (
        f"{words.short(total)} parameters ({words.count(total)}), of which a token uses {used}.",
        f"One token of a sequence of {seq:,} takes {work} (attention counted causally, nothing recomputed).",
    )


def _parameter_table(counts: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    total = counts["parameters"]
    rows = [(name, value, value / total) for name, value in counts["parameters_by_part"].items() if value]
    return Table(
        id="parameters",
        title="Parameters",
        lead="They add up to the total.",
        columns=(Column(title="part"), Column(title="parameters", kind="count"), Column(title="share", kind="share")),
        rows=(*rows, ("total", total, 1.0)),
    )


def _bytes_table(counts: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import data

    kv, cache = counts["kv_bytes_per_token"], counts["cache_bytes_of_one_sequence"]
    rows = [
        (d, data(v), data(kv[d]) if d in kv else None, data(cache[d]) if d in cache else None)
        for d, v in counts["weight_bytes"].items()
    ]
    titles = ("format", "weights", "KV cache per token", f"cache of {counts['seq']:,} tokens")
    return Table(
        id="bytes",
        title="Memory",
        lead="Weights as served: embedding, head and norms stay bf16.",
        columns=tuple(Column(title=t) for t in titles),
        rows=tuple(rows),
    )


def _dimensions(arch: Arch) -> dict[str, Any]:
    from dataclasses import asdict

    return {k: v for k, v in asdict(arch).items() if k not in ("id", "name")}
