"""`exafleet compare --curve`: one system's serving over another's, at a latency target and along the curve, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from exafleet.apps.options import Format

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.fact import Fact
    from exafleet.facts.hardware import System
    from exafleet.report.table import Cell, Column, Report, Table
    from exafleet.service.curve import ServePoint
    from exafleet.service.split import Side
    from exafleet.step.serve import ServeTask

# Times per token along the curve [s], and factors on the time to the first token; inf is no limit.
TPOTS = (0.020, 0.030, 0.050, 0.075, 0.100, 0.150, 0.200, math.inf)
LONGER = (2.0, math.inf)
# What each piece of service/split.py moves from the first system to the second.
_PIECES = {
    "memory": "HBM: its size and bandwidth",
    "chip": "the rest of the chip: FLOP/s, links, kernels",
    "domain": "scale-up domain",
    "format": "number format",
}


def curve_answer(tasks: Sequence[ServeTask], systems: Sequence[System], pools: Sequence[int], facts: Facts,
                 form: Format) -> tuple[Report, Format, dict[str, Any]]:
    """Report, format and flat figures of the second system over the first. Raises FactError unless there are two.

    tasks, systems, pools   the service, the system and its accelerators, of each side
    """
    from exafleet.service.split import Side
    from exafleet.terms.errors import FactError, Problem

    if len(systems) != 2:
        raise FactError(Problem(where="--systems", what="a curve takes two systems: the base, and the one over it",
                                got=f"{len(systems)}", remedy='Write e.g. "hgx-h100,gb200-nvl72".'))
    base, over = (Side(task=t, system=s, chips=n) for t, s, n in zip(tasks, systems, pools, strict=True))
    data = curve_figures(base, over, facts)
    return _report(base, over, data, facts), form, data


def curve_figures(base: Side, over: Side, facts: Facts) -> dict[str, Any]:
    """Flat figures in base units; a rate is per chip, and None where no deployment meets the target."""
    from exafleet.service.curve import shared_error
    from exafleet.service.split import split

    task, shared = base.task, shared_error(facts)
    tpots = tuple(sorted({*TPOTS, task.tpot}))
    later = [(tuple(replace(s, task=replace(s.task, ttft=task.ttft * f)) for s in (base, over)), tpot)
             for f, tpot in (*((f, task.tpot) for f in LONGER), (math.inf, math.inf))]
    point, *curve = _ratios(base, over, facts, (task.tpot, *tpots), shared)
    return {
        "as_of": facts.as_of.isoformat(),
        "model": task.arch.id,
        "input_tokens": task.input_tokens,
        "output_tokens": task.output_tokens,
        "ttft": task.ttft,
        "tpot": task.tpot,
        "error_shared": shared,
        "sides": [_side(base, point["base"], facts), _side(over, point["over"], facts)],
        "point": point,
        "curve": curve,
        "later": [point, *(_ratios(b, o, facts, (tpot,), shared)[0] for (b, o), tpot in later)],
        "pools": _pools(base, facts),
        "split": [{"piece": p.name, "factor": p.factor, "low": p.low, "high": p.high}
                  for p in split(base, over, facts, task.tpot)],
        "shapes": _shapes(base, over, facts),
        "published": [{"key": f.key, "value": f.value, "kind": f.kind, "source": f.source, "note": f.note}
                      for f in published(base, over, facts)],
    }


def _ratios(base: Side, over: Side, facts: Facts, tpots: Sequence[float], shared: float) -> list[dict[str, Any]]:
    """Both sides and their ratio at each time per token."""
    from exafleet.service.curve import band, rates_by_error, ratio_band, serve_curve

    both = [(serve_curve(s.task, s.system, s.chips, facts, tpots),
             rates_by_error(s.task, s.system, s.chips, facts, tpots)) for s in (base, over)]
    rows = []
    for i, tpot in enumerate(tpots):
        (below, low), (above, high) = ((points[i], rates[:, i]) for points, rates in both)
        rows.append({
            "ttft": base.task.ttft, "tpot": tpot, "base": _point(below, band(low)), "over": _point(above, band(high)),
            "ratio": above.rate / below.rate if below and above else None,
            "ratio_band": ratio_band(high, low, shared),
        })
    return rows


def _point(point: ServePoint | None, within: tuple[float, float] | None) -> dict[str, Any]:
    """A deployment as flat figures; None where there is none."""
    found = {"tokens_per_s_per_gpu": point.rate, "layout": point.words, "ttft": point.ttft, "tpot": point.tpot} \
        if point else dict.fromkeys(("tokens_per_s_per_gpu", "layout", "ttft", "tpot"))
    return found | ({"low": within[0], "high": within[1]} if within else {})


def _side(side: Side, point: dict[str, Any], facts: Facts) -> dict[str, Any]:
    """The best deployment at the target, or why there is none; energy counts all IT power of its chips."""
    from exafleet.fleet.power import Activity, power
    from exafleet.service.deploy import deploy
    from exafleet.terms.why import SENTENCES, Why

    task, rate = side.task, point["tokens_per_s_per_gpu"]
    joules = float(power(side.system, facts, Activity.SERVING, 1.0).total) / rate if rate else None
    why = Why.OK if rate else deploy(task, side.system, side.chips, facts).answer.why
    share = task.output_tokens / (task.input_tokens + task.output_tokens)
    return {"system": side.system.id, "dtype": task.dtype, "kv_dtype": task.kv_dtype, "gpus": side.chips,
            "why": SENTENCES[why], **point,
            "j_per_output_token": joules, "j_per_token": joules * share if joules else None}


def _pools(base: Side, facts: Facts) -> list[dict[str, Any]]:
    """The base at every doubling of its unit up to its pool: what scaling out buys it."""
    from exafleet.service.curve import serve_curve

    sizes = [base.system.chips << i for i in range(24) if base.system.chips << i < base.chips]
    pools = [replace(base, chips=chips) for chips in (*sizes, base.chips)]
    points = [serve_curve(s.task, s.system, s.chips, facts, [s.task.tpot])[0] for s in pools]
    return [_side(side, _point(point, None), facts) for side, point in zip(pools, points, strict=True)]


def _shapes(base: Side, over: Side, facts: Facts) -> list[dict[str, Any]]:
    """The ratio of each other shape the model could have; [] where its shape is known, or was given in a file."""
    from exafleet.service.curve import serve_curve
    from exafleet.work.shapes import shapes

    if base.task.arch.id not in facts.subjects.by_id:
        return []
    rows = []
    for words, arch in shapes(facts, base.task.arch.id).items():
        below, above = (serve_curve(replace(s.task, arch=arch), s.system, s.chips, facts, [base.task.tpot])[0]
                        for s in (base, over))
        rows.append({"shape": words, "base": below.rate if below else None, "over": above.rate if above else None,
                     "ratio": above.rate / below.rate if below and above else None})
    return rows


def published(base: Side, over: Side, facts: Facts) -> list[Fact]:
    """What others said of this model's serving, and of any model's on these two systems."""
    terms, pair = ("rate_ratio", "decode_rate", "energy_per_token"), f"{over.system.id}:{base.system.id}:"
    return [f for f in facts if f.term in terms
            and (f.subject == base.task.arch.id or (f.term == "rate_ratio" and f.at.startswith(pair)))]


def _report(base: Side, over: Side, d: dict[str, Any], facts: Facts) -> Report:
    from exafleet.report.table import Report
    from exafleet.terms.format import duration

    task = base.task
    return Report(
        title=f"Serving {task.arch.name}: {over.system.name} over {base.system.name}",
        subtitle=f"{task.input_tokens:,} tokens in, {task.output_tokens:,} out; first token within "
                 f"{duration(task.ttft)}, each further one within {duration(task.tpot)}; {facts.told}",
        summary=_sentences(base, d),
        cards=(),
        tables=(_sides_table(d), _curve_table(d), _later_table(d), _pools_table(base, d),
                _split_table(d), _shapes_table(d), _published_table(base, over, facts)),
    )


def _sentences(base: Side, d: dict[str, Any]) -> tuple[str, ...]:
    from exafleet.terms.format import significant

    point = d["point"]
    within = f"80 % band {_ratio_band(point)}"
    if point["ratio"] is None:
        cannot = "; ".join(f"{s['system']} in {s['dtype']}: {s['why']}" for s in d["sides"] if s["layout"] is None)
        return (f"No ratio at the target. {cannot}. Of the ratio, {within}.",)
    above, below = (significant(point[k]["tokens_per_s_per_gpu"]) for k in ("over", "base"))
    more = f"It has no upper end: in more than a tenth of all cases {base.system.id} cannot meet the target at all."
    return (
        f"{_times(point['ratio'])} the output tokens per second and accelerator: {above} against {below}; {within}.",
        *((more,) if math.isinf(point["ratio_band"][1]) else ()),
    )


def _times(value: float | None) -> str:
    from exafleet.terms.format import significant

    if value is None or math.isnan(value):
        return "–"
    return "unlimited" if math.isinf(value) else f"{significant(value)}x"


def _band(point: dict[str, Any]) -> str:
    from exafleet.terms.format import band, significant

    return band(point["low"], point["high"], significant)


def _ratio_band(row: dict[str, Any]) -> str:
    """The band in words; it has no upper end where the base may serve nothing."""
    from exafleet.terms.format import band

    low, high = row["ratio_band"]
    return f"{_times(low)} or more" if low < high == math.inf else band(low, high, _times)


def _limit(seconds: float) -> str:
    from exafleet.terms.format import duration

    return "none" if math.isinf(seconds) else duration(seconds)


def _columns(*titles: str, **kinds: str) -> tuple[Column, ...]:
    """Columns of these titles; text, unless the title is given a kind."""
    from exafleet.report.table import Column

    return tuple(Column(title=title, kind=kinds.get(title.replace(" ", "_"), "text")) for title in titles)


def _names(d: dict[str, Any]) -> tuple[str, str]:
    """Both systems, told apart by their formats where they are the same."""
    base, over = d["sides"]
    if base["system"] != over["system"]:
        return base["system"], over["system"]
    return f"{base['system']} {base['dtype']}", f"{over['system']} {over['dtype']}"


def _sides_table(d: dict[str, Any]) -> Table:
    """One column per side, one row per figure."""
    from exafleet.report.table import Table
    from exafleet.terms import format as words

    forms: dict[str, tuple[str, Callable[[Any], str]]] = {
        "number format": ("dtype", str), "accelerators": ("gpus", words.count), "deployment": ("layout", str),
        "output tokens/s per accelerator": ("tokens_per_s_per_gpu", words.significant),
        "first token": ("ttft", words.duration), "per token": ("tpot", words.duration),
        "J per output token": ("j_per_output_token", words.significant),
        "J per token in or out": ("j_per_token", words.significant)}
    rows: list[tuple[Cell, ...]] = [
        (title, *(None if s[key] is None else form(s[key]) for s in d["sides"]))
        for title, (key, form) in forms.items()]
    rows.insert(4, ("80 % band", *(_band(s) for s in d["sides"])))
    return Table(id="sides", title="At the target", rows=tuple(rows), columns=_columns("figure", *_names(d)),
                 lead="Best deployment of each; joules are of all IT power.")


def _curve_table(d: dict[str, Any]) -> Table:
    return _ratios_table("curve", "Along the latency curve", d["curve"], d,
                         "Limits on the first token and on each further one; tokens/s per accelerator. A dash: "
                         "no deployment meets them.")


def _later_table(d: dict[str, Any]) -> Table:
    return _ratios_table("later", "As the first token may take longer", d["later"], d,
                         "Time per token as asked; in the last row neither is limited.")


def _ratios_table(name: str, title: str, found: list[dict[str, Any]], d: dict[str, Any], lead: str) -> Table:
    """Rates, bands and ratio at each pair of targets."""
    from exafleet.report.table import Column, Table

    rows: list[tuple[Cell, ...]] = [
        (_limit(r["ttft"]), _limit(r["tpot"]), r["base"]["tokens_per_s_per_gpu"], _band(r["base"]),
         r["over"]["tokens_per_s_per_gpu"], _band(r["over"]), _times(r["ratio"]), _ratio_band(r)) for r in found]
    rates = [(Column(title=side, kind="number"), Column(title="band")) for side in _names(d)]
    columns = (*_columns("first", "each"), *rates[0], *rates[1], *_columns("ratio", "ratio band"))
    return Table(id=name, title=title, lead=lead, columns=columns, rows=tuple(rows))


def _pools_table(base: Side, d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="pools", title=f"{base.system.id} scaled out", lead="The base at each size of its pool, at the target.",
        columns=(*_columns("GPUs", GPUs="count"), Column(title="tokens/s", kind="number"),
                 *_columns("layout", "outcome")),
        rows=tuple((p["gpus"], p["tokens_per_s_per_gpu"], p["layout"], p["why"]) for p in d["pools"]),
    )


def _split_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Table

    whole = math.prod(p["factor"] for p in d["split"])
    rows: list[tuple[Cell, ...]] = [
        (_PIECES[p["piece"]], _times(p["factor"]), f"{_times(p['low'])} to {_times(p['high'])}") for p in d["split"]]
    return Table(
        id="split", title="What the ratio is made of",
        lead="Each moved from the first system to the second, in every order that serves at every step; the shares "
             "multiply to the ratio.",
        empty="No order of moving serves at every step.",
        columns=_columns("moved", "share", "by order"),
        rows=(*rows, ("all of it", _times(whole), "")) if rows else (),
    )


def _shapes_table(d: dict[str, Any]) -> Table:
    from exafleet.report.table import Column, Table

    return Table(
        id="shapes", title="If the model has another shape",
        lead="Each inferred dimension at its low and high, with as many blocks as keep the parameters.",
        empty="Its shape is published.",
        columns=(*_columns("shape"), *(Column(title=side, kind="number") for side in _names(d)), *_columns("ratio")),
        rows=tuple((s["shape"], s["base"], s["over"], _times(s["ratio"])) for s in d["shapes"]),
    )


def _published_table(base: Side, over: Side, facts: Facts) -> Table:
    from exafleet.report.table import Table
    from exafleet.terms.format import written
    from exafleet.terms.term import term

    rows: list[tuple[Cell, ...]] = []
    for f in published(base, over, facts):
        value = _times(f.value) if term(f.term).dimension == "number" else written(f.value, f.unit)
        rows.append((f.subject, f.at, value, f.kind, f.source, f.note))
    return Table(
        id="published", title="What others say",
        lead="Facts beside the answer; none of them enters it. A ratio's name: system, base, tokens/s of a user.",
        empty="Nothing is known of this model or of these two systems.",
        columns=_columns("model", "of", "value", "kind", "source", "conditions"),
        rows=tuple(rows),
    )
