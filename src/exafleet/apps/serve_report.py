"""Figures of a deployment as sentences and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exafleet.report.table import Column, Report, Table
from exafleet.terms import format as words
from exafleet.terms.why import SENTENCES, Why

FRONT_ROWS = 10


def serve_report(name: str, d: Mapping[str, Any], facts: str) -> Report:
    """Everything the command says.

    name   of the model
    d      what `serve_figures` gives, and "as_of"
    facts  which facts these are, in words
    """
    formats = f"{d['dtype']}, cache {d['kv_dtype']}"
    formats += "" if d["weight_dtype"] == d["dtype"] else f", weights {d['weight_dtype']}"
    formats += f", {d['draft']} tokens drafted and {words.percent(d['accept'])} right" if d["draft"] else ""
    hit = f" ({words.percent(d['prefix_hit'])} of them cached)" if d["prefix_hit"] else ""
    memory = (_memory_table("memory", "Memory of one accelerator", d, d),) if "memory_parts" in d else (
        _memory_table("prefill_memory", "Memory of one accelerator of prefill", d["prefill"], d),
        _memory_table("decode_memory", "Memory of one accelerator of decode", d["decode"], d))
    cost = () if d["cost"] is None else (_cost_table(d),)
    return Report(
        title=f"Serving {name} on {d['gpus']:,} accelerators of {d['system']}",
        subtitle=f"{formats}; {d['input_tokens']:,} tokens in{hit}, {d['output_tokens']:,} out; first token within "
                 f"{words.duration(d['ttft_target'])}, each further one within {words.duration(d['tpot_target'])}; "
                 f"{facts}",
        summary=_sentences(d),
        cards=(),
        tables=(_parts_table("token", "Where the time of an output token goes", d["token_parts"]),
                _parts_table("first", "Where the time to the first token goes", d["first_parts"]),
                *memory, _power_table(d), *cost, _kinds_table(d), _front_table(d), _why_table(d)),
    )


def _sentences(d: Mapping[str, Any]) -> tuple[str, ...]:
    rate, energy = d["tokens_per_s"], d["joules_per_token"]
    each = f"{words.significant(rate / d['gpus'])} tokens/s per accelerator"
    said = [_deployed(d)]
    if d["demand"] is not None:
        units = f", {d['units']:,} units" if d["units"] > 1 else ", one unit"
        said.append(f"{d['gpus']:,} accelerators{units}, are the fewest that carry {words.token_rate(d['demand'])} of "
                    "output.")
    said += [
        (f"{words.token_rate(rate)} of output, {each}; 80 % band "
         f"{words.band(d['tokens_per_s_low'], d['tokens_per_s_high'], words.token_rate)}."),
        (f"First token after {words.duration(d['ttft'])} "
         f"({words.band(d['ttft_low'], d['ttft_high'], words.duration)}), then one every {words.duration(d['tpot'])} "
         f"({words.band(d['tpot_low'], d['tpot_high'], words.duration)})."),
        (f"It draws {words.power(d['power'])} of IT power "
         f"({words.band(d['power_low'], d['power_high'], words.power)}), {words.power(d['board_power'])} of it on each "
         f"accelerator's board."),
        (f"An output token costs {_joules(energy, 'all_over_output')} in all; of that, a token in takes "
         f"{_joules(energy, 'input')} and one out {_joules(energy, 'output')}.")]
    cost = d["cost"]
    said.append(f"No rent of an accelerator of {d['system']} is known as of {d['as_of']}; give --price for the cost."
                if cost is None else
                f"At {words.rent(cost['price_per_gpu_h'] / 3600.0)} ({cost['price_from']}) a million tokens cost "
                f"${words.significant(cost['input_per_million'])} in and "
                f"${words.significant(cost['output_per_million'])} out.")
    return tuple(said)


def _joules(energy: Mapping[str, Any], kind: str) -> str:
    """"2.1 J (1.8 to 2.5 J)"."""
    return (f"{words.significant(energy[kind])} J "
            f"({words.band(energy[f'{kind}_low'], energy[f'{kind}_high'], lambda v: f'{words.significant(v)} J')})")


def _deployed(d: Mapping[str, Any]) -> str:
    """The deployment in a sentence."""
    if "prefill" in d:
        one, other = d["prefill"], d["decode"]
        return (f"Prefill and decode apart: {_replicas(one)} for prefill, {words.percent(one['busy'])} busy; "
                f"{_replicas(other)} for decode with {other['concurrency']:,} requests at once.")
    return f"{_replicas(d)} with {d['concurrency']:,} requests at once."


def _replicas(d: Mapping[str, Any]) -> str:
    many = f"{d['replicas']:,} replicas" if d["replicas"] > 1 else "one replica"
    return f"{many} of {d['replica_gpus']:,}, {d['layout']}," if d["replicas"] == 1 else \
        f"{many} of {d['replica_gpus']:,}, each {d['layout']},"


def _parts_table(name: str, title: str, parts: Mapping[str, float]) -> Table:
    total = sum(parts.values())
    rows = [(part, s, s / total) for part, s in parts.items() if s > 0]
    return Table(
        id=name, title=title, lead="The parts add up.",
        columns=(Column(title="part"), Column(title="time", kind="time"), Column(title="share", kind="share")),
        rows=(*rows, ("total", total, 1.0)))


def _memory_table(name: str, title: str, used: Mapping[str, Any], d: Mapping[str, Any]) -> Table:
    whole = d["memory_of_chip"]
    rows = [(part, b, b / whole) for part, b in used["memory_parts"].items() if b > 0]
    return Table(
        id=name, title=title, lead=f"It has {words.data(whole)}.",
        columns=(Column(title="part"), Column(title="memory", kind="bytes"), Column(title="share", kind="share")),
        rows=(*rows, ("total", used["memory"], used["memory"] / whole)))


def _power_table(d: Mapping[str, Any]) -> Table:
    names = {"idle": "boards: at rest", "running": "boards: kernels running", "compute": "boards: products",
             "memory": "boards: memory", "links": "boards: links"}
    boards = [(names[part], watts * d["gpus"]) for part, watts in d["board_parts"].items()]
    around = [("servers around the boards", d["power_parts"]["servers"]),
              ("cluster around the servers", d["power_parts"]["cluster"])]
    apart = "in the pool for prefill" if "prefill" in d else "while it prefills"
    other = "in that for decode" if "prefill" in d else "while it decodes"
    load = "At the demand" if d["demand"] is not None else "At the most it carries"
    return Table(
        id="power", title="Where the watts go",
        lead=f"{load} the mean board draws {words.power(d['board_power'])}; {apart} "
             f"{words.power(d['prefill_board_power'])}, {other} {words.power(d['decode_board_power'])}.",
        columns=(Column(title="part"), Column(title="power", kind="power"), Column(title="share", kind="share")),
        rows=tuple((part, watts, watts / d["power"]) for part, watts in
                   (*((p, w) for p, w in (*boards, *around) if w > 0), ("total", d["power"]))))


def _cost_table(d: Mapping[str, Any]) -> Table:
    cost, energy = d["cost"], d["joules_per_token"]
    names = {"input": "in", "output": "out", "blended": "all, over tokens in and out",
             "all_over_output": "all, over tokens out"}
    rows = tuple((text, cost["share"].get(key), cost[f"{key}_per_million"], energy[key]) for key, text in names.items())
    return Table(
        id="cost", title="Cost and energy of tokens",
        lead=f"The pool costs {words.money(cost['pool_per_h'])} an hour, split by the time of its chips.",
        columns=(Column(title="tokens"), Column(title="share of the pool", kind="share"),
                 Column(title="USD per million", kind="number"), Column(title="energy", kind="energy_per_token")),
        rows=rows)


def _kinds_table(d: Mapping[str, Any]) -> Table:
    rows = tuple((k["kind"], k["layout"] or SENTENCES[Why[k["why"]]], k["gpus"], k["tokens_per_s_per_gpu"], k["ttft"],
                  k["tpot"]) for k in d["kinds"])
    return Table(
        id="kinds", title="Replicas that do both, or prefill and decode apart",
        lead="The best of each kind that was looked at.", rows=rows,
        columns=(Column(title="kind"), Column(title="deployment"), Column(title="accelerators", kind="count"),
                 Column(title="tokens/s per chip", kind="number"), Column(title="first token", kind="time"),
                 Column(title="per token", kind="time")))


def _front_table(d: Mapping[str, Any]) -> Table:
    shown = thinned(d["front"])
    rows = [(f["layout"], f["tokens_per_s_per_gpu"], f["tokens_per_s_per_user"], f["ttft"]) for f in shown]
    return Table(
        id="front", title="Throughput against speed",
        lead="No other deployment is better in both, most throughput first; first tokens in time.",
        empty="A demand was given, so no pool was searched.",
        columns=(Column(title="deployment"), Column(title="tokens/s per chip", kind="number"),
                 Column(title="tokens/s per user", kind="number"), Column(title="first token", kind="time")),
        rows=tuple(rows))


def thinned(front: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """First, last and evenly between: as many points as a terminal has room for."""
    if len(front) <= FRONT_ROWS:
        return front
    return [front[round(i * (len(front) - 1) / (FRONT_ROWS - 1))] for i in range(FRONT_ROWS)]


def _why_table(d: Mapping[str, Any]) -> Table:
    return Table(
        id="why", title="What became of the candidates",
        lead=f"{d['candidates']:,} layouts, loads and pairs of them were looked at.",
        columns=(Column(title="outcome"), Column(title="candidates", kind="count")),
        rows=tuple((SENTENCES[Why[name]], n) for name, n in d["why"].items() if n))
