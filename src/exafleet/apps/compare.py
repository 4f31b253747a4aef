"""`exafleet compare`: one model on several systems, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from exafleet.apps.compare_words import Curve, Formats, Pools, Systems, formats_of, pools_of
from exafleet.apps.options import AsOf, Dtype, Form, Format, Model, Own, seconds, sequences
from exafleet.apps.serve import FirstToken, InputTokens, KvDtype, OutputTokens, PerToken

if TYPE_CHECKING:
    from collections.abc import Callable

    from exafleet.facts.hardware import System
    from exafleet.report.table import Table

_TRAIN_COLUMNS = {
    "system": "text",
    "layout": "text",
    "tokens/s": "token_rate",
    "80 % band": "text",
    "per chip": "number",
    "per watt": "number",
    "MFU": "share",
    "IT power": "power",
}
_SERVE_COLUMNS = {
    "system": "text",
    "layout": "text",
    "tokens/s": "token_rate",
    "80 % band": "text",
    "per chip": "number",
    "per watt": "number",
    "first token": "time",
    "per token": "time",
    "IT power": "power",
}


def compare(
    model: Model,
    systems: Systems,
    gpus: Pools,
    serve: Annotated[bool, typer.Option("--serve", help="Compare serving instead of training.")] = False,
    curve: Curve = False,
    dtype: Formats = "bf16",
    seq: Annotated[
        int, typer.Option("--seq", min=1, max=2**24, metavar="TOKENS", help="Tokens in a training sequence.")
    ] = 8192,
    batch: Annotated[
        str, typer.Option("--batch", metavar="SIZE", help=('Training sequences in a step, or "16M tokens".'))
    ] = "2048",
    input_tokens: InputTokens = 1024,
    output_tokens: OutputTokens = 1024,
    ttft: FirstToken = "2 s",
    tpot: PerToken = "50 ms",
    kv_dtype: KvDtype = Dtype.bf16,
    as_of: AsOf = None,
    own: Own = None,
    form: Form = Format.table,
) -> None:
    """Put systems side by side: speed, band, per chip and per watt, and where the time goes on each.

    \b
    Examples:
      exafleet compare llama-3.1-405b --systems hgx-h100,gb200-nvl72 --gpus 2304
      exafleet compare deepseek-v3 --systems hgx-h200,gb200-nvl72 --gpus 72 --serve --dtype fp8
      exafleet compare deepseek-v3 --systems hgx-h100,gb200-nvl72 --gpus 64,72 --dtype fp8,fp4 --curve
    """
    from exafleet.apps.inputs import arch_of, facts_as_of
    from exafleet.apps.output import show
    from exafleet.apps.serve import serve_figures, serve_task
    from exafleet.apps.train import train_figures
    from exafleet.facts.hardware import system
    from exafleet.report.table import Report
    from exafleet.step.train import TrainTask

    facts = facts_as_of(as_of, own)
    arch = arch_of(facts, model)
    machines = [system(facts, name.strip()) for name in systems.split(",") if name.strip()]
    pools, formats = pools_of(gpus, len(machines)), formats_of(dtype, len(machines))
    first, further = seconds(ttft, "--ttft"), seconds(tpot, "--tpot")
    services = [serve_task(arch, input_tokens, output_tokens, first, further, f, kv_dtype.value) for f in formats]
    if curve:
        from exafleet.apps.compare_curve import curve_answer

        show(*curve_answer(services, machines, pools, facts, form))
        return
    if serve:
        found = _each(machines, lambda i: serve_figures(services[i], machines[i], pools[i], facts))
        title = f"Serving {arch.name}: {input_tokens:,} tokens in, {output_tokens:,} out, {ttft} and {tpot}"
    else:
        each = sequences(batch, seq)
        tasks = [TrainTask(arch=arch, seq=seq, batch=each, dtype=name) for name in formats]
        found = _each(machines, lambda i: train_figures(tasks[i], machines[i], pools[i], facts))
        sizes = " and ".join(f"{n:,}" for n in dict.fromkeys(pools))
        title = f"Training {arch.name} on {sizes} accelerators: sequences of {seq:,}, {each:,} in a step"
    report = Report(
        title=f"{title}, {' and '.join(dict.fromkeys(formats))}",
        subtitle=facts.told,
        summary=_refusals(found),
        cards=(),
        tables=(_speed_table(found, serve), _parts_table(found, "token_parts" if serve else "time_parts")),
    )
    show(report, form, {"as_of": facts.as_of.isoformat(), "systems": found})


def _each(machines: list[System], figures: Callable[[int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Figures of each system; a system that lacks a fact or fits nothing says so instead. Raises FactError for none."""
    from exafleet.terms.errors import FactError, MissingFact, NoAnswer, Problem

    if not machines:
        raise FactError(
            Problem(where="--systems", what="no system is named", remedy='Write e.g. "hgx-h100,gb200-nvl72".')
        )
    found = []
    for i, machine in enumerate(machines):
        try:
            found.append(figures(i))
        except (MissingFact, NoAnswer) as error:
            found.append({"system": machine.id, "cannot": "; ".join(p.what for p in error.problems)})
    return found


def _refusals(found: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{d['system']}: {d['cannot']}." for d in found if "cannot" in d)


def _speed_table(found: list[dict[str, Any]], serve: bool) -> Table:
    from exafleet.report.table import Column, Table
    from exafleet.terms.format import band, short

    titles = _SERVE_COLUMNS if serve else _TRAIN_COLUMNS
    last = ("ttft", "tpot") if serve else ("mfu",)
    rows = tuple(
        (
            d["system"],
            d["layout"],
            d["tokens_per_s"],
            band(d["tokens_per_s_low"], d["tokens_per_s_high"], short),
            d["tokens_per_s"] / d["gpus"],
            d["tokens_per_s"] / d["power"],
            *(d[name] for name in last),
            d["power"],
        )
        for d in found
        if "cannot" not in d
    )
    return Table(
        id="systems",
        title="Side by side",
        empty="No system runs it.",
        lead="Tokens a second; per chip and per watt of IT power in tokens/s.",
        columns=tuple(Column(title=t, kind=k) for t, k in titles.items()),
        rows=rows,
    )


def _parts_table(found: list[dict[str, Any]], key: str) -> Table:
    """One column per system, one row per part."""
    from exafleet.report.table import Column, Table

    able = [d for d in found if key in d]
    names = dict.fromkeys(name for d in able for name, value in d[key].items() if value > 0)
    rows = [(name, *(d[key].get(name) or None for d in able)) for name in names]
    total = ("total", *(sum(d[key].values()) for d in able))
    return Table(
        id="parts",
        title="Where the time goes",
        lead="Exposed parts of a training step, or of one output token.",
        empty="No system runs it.",
        columns=(Column(title="part"), *(Column(title=d["system"], kind="time") for d in able)),
        rows=(*rows, total) if able else (),
    )
