"""`exafleet serve --trace FILE`: a trace of requests replayed on one deployment, beside the analytical answer."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.report.table import Report, Table
    from exafleet.service.requests.agreement import Agreement
    from exafleet.service.requests.open_loop import OpenLoop
    from exafleet.service.requests.pace import Pace
    from exafleet.service.requests.replay import Replay, Summary
    from exafleet.service.requests.trace import Trace
    from exafleet.step.serve import Machine, ServeTask
    from exafleet.step.serve_layouts import ServeLayouts

Progress = Callable[[int, int], None]
Targets = tuple[float, float]
QUANTILES = ("p50", "p90", "p99")
# Rows of the table over time: minutes, or as many minutes each as keep it this short.
ROWS = 60
# A lane whose cache was reserved to this share was full; one in steps for this share of the time had no rest.
FULL, BUSY = 0.98, 0.95
# Arrivals that vary this many times as much as by chance come in bursts.
BUNCHED = 2.0
_AXIS = re.compile(r"(TP|PP|DP|EP)([1-9]\d{0,4})", re.IGNORECASE)


def trace_figures(
    task: ServeTask,
    system: System,
    facts: Facts,
    path: Path,
    *,
    gpus: int | None = None,
    layout: str | None = None,
    replicas: int | None = None,
    router: str = "least",
    speed: float = 1.0,
    targets: Targets | None = None,
    cache_blocks: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """What became of a trace, in base units; raises FactError (file, options), NothingFits, MissingFact.

    task          the service; its lengths are taken from the trace
    gpus          accelerators; None: those of the replicas, or of one system where no layout is named
    layout        "TP8", "TP4 PP2", "TP1 DP8 EP8"; None: the best of the search at the trace's mean lengths
    replicas      None: as many as fit in `gpus`
    router        "least" (fewest outstanding) or "turn"
    speed         arrivals this many times as fast as in the file
    targets       time to first token, per output token; None: the task's                             [s]
    cache_blocks  512-token blocks in the prefix cache of a Mooncake trace; None: any number
    progress      told how many requests of how many have arrived
    """
    from exafleet.service.requests.agreement import agreement
    from exafleet.service.requests.pace import pace
    from exafleet.service.requests.trace import read_trace
    from exafleet.step.serve import machine

    _check(router, speed, targets, replicas, gpus)
    asked = None if layout is None else axes_of(layout)
    trace = read_trace(path, cache_blocks=cache_blocks).faster(speed)
    task = replace(
        task,
        input_tokens=float(trace.input.mean()),
        output_tokens=float(trace.output.mean()),
        prefix_hit=float(trace.hit.sum() / trace.input.sum()),
        ttft=targets[0] if targets else task.ttft,
        tpot=targets[1] if targets else task.tpot,
    )
    on = machine(system, facts, task.engine)
    chosen, many, chips = _deployment(task, system, facts, on, asked, gpus, replicas)
    table = pace(task, on, chosen)
    _check_room(task, system, trace, table)
    found = agreement(trace, task, on, chosen, table, replicas=many, router=router, progress=progress)
    return {
        "model": task.arch.id,
        "system": system.id,
        "gpus": chips,
        "dtype": task.dtype,
        "kv_dtype": task.kv_dtype,
        "layout": chosen.words(0),
        "replicas": many,
        "replica_gpus": int(chosen.replica[0]),
        "router": router,
        "speed": speed,
        "ttft_target": task.ttft,
        "tpot_target": task.tpot,
        "trace": _trace(trace, found),
        "replay": _replayed(found.replayed, found.summary),
        "reckoned": _reckoned(found.steady, many),
        "reckoned_changing": _reckoned(found.changing, many),
        "limit": limit(found, task.ttft, task.tpot),
        "over_time": _over_time(found.replayed),
    }


def _check(router: str, speed: float, targets: Targets | None, replicas: int | None, gpus: int | None) -> None:
    """Every option that cannot be meant; raises FactError."""
    from exafleet.service.requests.replay import ROUTERS
    from exafleet.terms.errors import FactError, Problem, raise_all

    told = []
    if router not in ROUTERS:
        told.append(Problem(where="--router", what="no such router", got=router, allowed=", ".join(ROUTERS)))
    for name, value in (("--speed", speed), *zip(("--ttft", "--tpot"), targets or (), strict=False)):
        if not (value > 0 and math.isfinite(value)):
            told.append(Problem(where=name, what="not a positive number", got=str(value)))
    told += [
        Problem(where=name, what="fewer than one", got=str(value))
        for name, value in (("--replicas", replicas), ("--gpus", gpus))
        if value is not None and value < 1
    ]
    raise_all(FactError, told)


def axes_of(words: str) -> dict[str, int]:
    """A layout as people write it: {"tp": 4, "pp": 2} of "TP4 PP2"; raises FactError."""
    from exafleet.terms.errors import FactError, Problem, raise_all

    parts = re.split(r"[\s,x]+", words.strip())
    found = [(part, _AXIS.fullmatch(part)) for part in parts]
    axes = {m[1].lower(): int(m[2]) for _, m in found if m}
    told = [
        Problem(where="--layout", what="no axis of a layout", got=repr(part), allowed='"TP8", "TP4 PP2", "TP1 DP8 EP8"')
        for part, m in found
        if not m
    ]
    if not told and len(axes) < len(parts):
        told.append(Problem(where="--layout", what="an axis is named twice", got=words))
    raise_all(FactError, told)
    return axes


def _deployment(
    task: ServeTask,
    system: System,
    facts: Facts,
    on: Machine,
    asked: dict[str, int] | None,
    gpus: int | None,
    replicas: int | None,
) -> tuple[ServeLayouts, int, int]:
    """Layout, replicas and accelerators; raises NothingFits."""
    from exafleet.service.packing import packed

    chosen = _searched(task, system, facts, gpus) if asked is None else _named(task, system, on, asked)
    each = int(chosen.replica[0])
    chips = gpus or (system.chips if asked is None and replicas is None else each * (replicas or 1))
    room = int(packed(chosen.replica, on.net.domain, chips)[0])
    if room < (replicas or 1):
        wanted = f"{replicas or 1:,} replicas of {each:,} accelerators ({chosen.words(0)})"
        near = [f"--gpus {each * (replicas or 1)}"]
        raise _nothing(f"{wanted} do not fit in {chips:,} accelerators of {system.name}", near)
    return chosen, replicas or room, chips


def _searched(task: ServeTask, system: System, facts: Facts, gpus: int | None) -> ServeLayouts:
    """The best layout at the trace's mean lengths, or the one nearest to the targets where none meets them."""
    from exafleet.service.search import search_serve
    from exafleet.step.serve_layouts import fixed
    from exafleet.terms.why import SENTENCES

    found = search_serve(task, system, gpus or system.chips, facts)
    if found.layout is None:
        asked = f"{task.arch.name} in {task.dtype} on {found.chips:,} accelerators of {system.name}"
        raise _nothing(f"{asked}: {SENTENCES[found.why]}", [])
    best = found.layout
    return fixed(best.tp, best.pp, best.dp, best.ep)


def _named(task: ServeTask, system: System, on: Machine, axes: dict[str, int]) -> ServeLayouts:
    """The layout asked for, if the model divides by it."""
    from exafleet.step.serve_layouts import ServeLimits, fixed, layouts

    tp, pp, dp, ep = (axes.get(a, 1) for a in ("tp", "pp", "dp", "ep"))
    exact = ServeLimits(tp=(tp, tp), pp=(pp, pp), dp=(dp, dp), ep=(ep, ep), replica=(1, 1 << 30))
    if not len(layouts(task.arch, on.net.domain, tp * pp * dp, exact).tp):
        words = fixed(tp, pp, dp, ep).words(0)
        raise _nothing(f"{task.arch.name} cannot be laid out as {words} on {system.name}", ["leave --layout out"])
    return fixed(tp, pp, dp, ep)


def _nothing(what: str, near: list[str]) -> Exception:
    from exafleet.terms.errors import NothingFits, Problem

    return NothingFits(Problem(what=what), relaxations=near)


def _check_room(task: ServeTask, system: System, trace: Trace, table: Pace) -> None:
    """The chip computes in the format, the weights leave room, and at least one request fits; raises NothingFits."""
    asked = f"{task.arch.name} in {task.dtype} on {system.name}"
    if not np.isfinite(table.linear[-1]):
        raise _nothing(f"{asked}: the chip has no hardware for this data type", [])
    if table.capacity < 1:
        raise _nothing(f"{asked}: weights and working space leave no memory for the cache", ["a larger layout"])
    needed = table.held(trace.input + trace.output)
    if (needed > table.capacity).all():
        raise _nothing(
            f"{asked}: the cache of one replica holds {table.capacity:,.0f} tokens, and the shortest request of the "
            f"trace needs {needed.min():,.0f}",
            ["a larger layout", "a narrower --kv-dtype"],
        )


# ----------------------------------------------------------------------------------------------------- figures


def _spread(values: np.ndarray[Any, np.dtype[Any]]) -> dict[str, float]:
    p50, p99 = np.quantile(values, (0.5, 0.99))
    return {"mean": float(values.mean()), "p50": float(p50), "p99": float(p99), "most": float(values.max())}


def _trace(trace: Trace, found: Agreement) -> dict[str, Any]:
    return {
        "file": trace.name,
        "layout": trace.layout,
        "requests": trace.count,
        "unanswered": trace.unanswered,
        "span": trace.span,
        "rate": trace.count / trace.span if trace.span else None,
        "dispersion": found.dispersion if math.isfinite(found.dispersion) else None,
        "input": _spread(trace.input),
        "output": _spread(trace.output),
        "prefix_hit": float(trace.hit.sum() / trace.input.sum()),
    }


def _listed(values: np.ndarray[Any, np.dtype[Any]]) -> list[float | None]:
    """Quantiles as JSON holds them: None where there is none, or where it grows without end."""
    return [float(v) if math.isfinite(v) else None for v in values]


def _replayed(found: Replay, told: Summary) -> dict[str, Any]:
    return {
        "finished": int(found.finished.sum()),
        "refused": int(found.refused.sum()),
        "partial": found.partial,
        "ttft": _listed(told.ttft),
        "tpot": _listed(told.tpot),
        "e2e": _listed(told.e2e),
        "good": told.good,
        "requests_per_s": told.requests,
        "goodput": told.goodput,
        "tokens_per_s": told.tokens,
        "span": found.span,
        "lanes": found.lanes,
        "batch": found.batch,
        "utilisation": found.utilisation,
        "prompts": found.prompts / found.busy if found.busy else 0.0,
        "cache_peak": found.peak,
    }


def _reckoned(found: OpenLoop, replicas: int) -> dict[str, Any]:
    return {
        "stable": bool(found.stable[0]),
        "saturation": float(found.saturation[0]) * replicas,
        "batch": float(found.batch[0]),
        "ttft": _listed(found.ttft[0]),
        "tpot": _listed(found.tpot[0]),
        "e2e": _listed(found.e2e[0]),
        "good": float(found.good[0]),
    }


def limit(found: Agreement, ttft: float, tpot: float) -> str:
    """What keeps requests from their targets, in words; "" where 99 % of them meet both."""
    run, told = found.replayed, found.summary
    if told.good >= 0.99:
        return ""
    if run.refused.mean() > 1 - told.good - 0.01:
        return "requests longer than the cache of a replica"
    if found.rate > found.steady.saturation[0]:
        return "more requests than the engines can work off"
    if run.peak >= FULL:
        return "the key-value cache, which was full"
    late = {"first": np.nanmean(run.ttft > ttft), "token": np.nanmean(run.tpot > tpot)}
    if run.utilisation < BUSY and (late["first"] > late["token"] or found.dispersion > BUNCHED):
        return "bursts of prompts, with engines idle at other times"
    if late["first"] > late["token"]:
        return "waiting for other prompts"
    # Where the middle request is in time, decoding is fast enough, and it is prompts that delay the others.
    prompts = told.tpot[0] <= tpot or run.prompts > run.busy / 3
    return "prompts of others between two tokens" if prompts else "the size of the decode batch"


def _over_time(run: Replay) -> list[dict[str, Any]]:
    """Load and times by minute of arrival (or by as many minutes as make ROWS rows)."""
    trace = run.trace
    end = float(np.nanmax(trace.arrival + run.e2e)) if run.finished.any() else trace.span
    width = 60.0 * max(1, math.ceil(end / 60.0 / ROWS))
    ends = trace.arrival + np.where(run.finished, run.e2e, np.inf)
    which = (trace.arrival / width).astype(np.int64)
    rows = []
    for i in range(int(end // width) + 1):
        here = run.finished & (which == i)
        at = (i + 1) * width
        told = (ends >= at - width) & (ends < at)
        first = np.quantile(run.ttft[here], (0.5, 0.99)) if here.any() else (None, None)
        rows.append({
            "from": i * width,
            "arrivals": int((which == i).sum()),
            "in_system": int(((trace.arrival < at) & (ends >= at) & ~run.refused).sum()),
            "answered_tokens_per_s": float(trace.output[told].sum() / width),
            "ttft_p50": None if first[0] is None else float(first[0]),
            "ttft_p99": None if first[1] is None else float(first[1]),
        })
    return rows


# ------------------------------------------------------------------------------------------------------ report


def trace_report(d: dict[str, Any], facts: str = "") -> Report:
    """The figures of `trace_figures` for people; `facts` says which facts they rest on."""
    from exafleet.report.table import Report
    from exafleet.terms.format import duration, significant

    trace = d["trace"]
    fast = "" if d["speed"] == 1 else f", {significant(d['speed'])} times as fast"
    dates = f"; {facts}" if facts else ""
    first, each = duration(d["ttft_target"]), duration(d["tpot_target"])
    return Report(
        title=f"{trace['file']} on {d['replicas']:,} replicas of {d['model']}, {d['layout']} on {d['system']}",
        subtitle=f"{d['dtype']}, cache {d['kv_dtype']}; {trace['requests']:,} requests in "
        f"{duration(trace['span'])}{fast}; first token within {first}, each further one within {each}{dates}",
        summary=_sentences(d),
        cards=(),
        tables=(_times_table(d), _trace_table(trace), _time_table(d)),
    )


def _sentences(d: dict[str, Any]) -> tuple[str, ...]:
    from exafleet.terms import format as words

    run, trace, steady = d["replay"], d["trace"], d["reckoned"]
    good, busy, prompts, peak = (words.percent(run[k]) for k in ("good", "utilisation", "prompts", "cache_peak"))
    met, all_, most = (words.significant(v) for v in (run["goodput"], run["requests_per_s"], steady["saturation"]))
    rate = words.token_rate(run["tokens_per_s"])
    told = [
        f"{good} of the requests meet both targets: {met} a second of {all_}; {rate} of output.",
        (
            f"Engines are in a step {busy} of the time, {prompts} of it on prompts; {words.significant(run['batch'])} "
            f"sequences decode at once on each of {run['lanes']:,} lanes; the fullest cache was reserved to {peak}."
        ),
        f"What limits: {d['limit']}." if d["limit"] else "Nothing limits: at least 99 % meet both targets.",
        f"By reckoning it saturates at {most} requests a second; the trace sends {_sends(trace)}.",
    ]
    if run["partial"]:
        told.insert(0, f"Interrupted: only {run['finished']:,} of {trace['requests']:,} requests were answered.")
    if run["refused"]:
        told.append(f"{run['refused']:,} requests need more cache than a replica has and were refused.")
    if trace["unanswered"]:
        none = f"{trace['unanswered']:,} requests of the file have no answer"
        told.append(f"{none} (0 output tokens); they are not replayed.")
    if (trace["dispersion"] or 0) > BUNCHED:
        told.append(
            f"Arrivals bunch (variance over mean in a second {words.significant(trace['dispersion'])}, by chance 1): "
            "trust the replay, not the reckoning."
        )
    return tuple(told)


def _sends(trace: dict[str, Any]) -> str:
    from exafleet.terms.format import significant

    return significant(trace["rate"]) if trace["rate"] else "all of them at once"


def _times_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    names = (("ttft", "time to first token"), ("tpot", "time per output token"), ("e2e", "time to last token"))
    rows = tuple(
        (f"{name}, {q}", d["replay"][key][i], d["reckoned"][key][i], d["reckoned_changing"][key][i])
        for key, name in names
        for i, q in enumerate(QUANTILES)
    )
    return Table(
        id="times",
        title="Replayed and reckoned",
        lead="A dash is a time that grows for as long as the trace lasts.",
        columns=(
            Column(title="time"),
            Column(title="replayed", kind="time"),
            Column(title="reckoned, mean rate", kind="time"),
            Column(title="reckoned, changing rate", kind="time"),
        ),
        rows=rows,
    )


def _trace_table(trace: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="lengths",
        title="Lengths of the requests",
        lead=f"{trace['prefix_hit']:.1%} of the prompt tokens were in the prefix cache.",
        columns=(Column(title="tokens"), *(Column(title=n, kind="count") for n in ("mean", "p50", "p99", "most"))),
        rows=tuple((key, *(trace[key][n] for n in ("mean", "p50", "p99", "most"))) for key in ("input", "output")),
    )


def _time_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="over_time",
        title="Load over time",
        lead="By time of arrival; answers count where they end.",
        columns=(
            Column(title="from", kind="time"),
            Column(title="arrivals", kind="count"),
            Column(title="in the system after", kind="count"),
            Column(title="answered", kind="token_rate"),
            Column(title="first token, p50", kind="time"),
            Column(title="p99", kind="time"),
        ),
        rows=tuple(tuple(row.values()) for row in d["over_time"]),
    )
