"""From measured points to facts: curves fitted, rows of a user's own table, and what could not be written and why."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from exafleet.facts.table import COLUMNS
from exafleet.terms.errors import FactError, Problem
from exafleet.terms.term import term
from exafleet.terms.units import units

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.fact import Fact
    from exafleet.ops.collective import Channel
    from exafleet.ops.efficiency import Product
    from exafleet.ops.fit import Fitted
    from exafleet.ops.measure import Machine, Point

SOURCE = "exafleet calibrate"
BEST = "best"
UNIT = {"time": "us", "bytes": "MB", "flop_rate": "TFLOP/s", "byte_rate": "GB/s", "power": "W", "number": "1"}
# A measured peak counts only from kernels of this size on; smaller ones may never have left the caches. [B]
LARGE = 8e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose curves are written, and the rates they are shares of.

    known      the package has this chip
    rates      peak by dtype, "hbm_bw" and "link_bw"; those in `best` are still to be replaced by the best measured
    given      rows the user gave, by name and qualifier
    variants   qualifiers the package has curves of products for, such as "fp8" and "fp8_train"
    """

    chip: str
    name: str
    known: bool
    rates: Mapping[str, float]
    best: frozenset[str]
    given: Mapping[tuple[str, str], float] = field(default_factory=dict)
    variants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One fact to write, in base units."""

    term: str
    value: float
    at: str = ""
    kind: str = "measured"
    note: str = ""
    system: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What is told of one fitted curve."""

    name: str
    at: str
    points: int
    spread: float
    sigma: float


@dataclass(slots=True, kw_only=True)
class Found:
    """Rows to write, the curves they come from, and what is not written with its reason."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    refused: list[Problem] = field(default_factory=list)

    def add(self, name: str, at: str, points: list[Point], fit: Callable[[], Fitted[Any]],
            values: Callable[[Any], Mapping[str, float]]) -> Any:
        """Fit one curve and note its rows, all of them or none; None where it cannot be fitted or is no sane curve.

        values  the curve's numbers, each by the name it has in the table
        """
        import numpy as np

        try:
            found = fit()
        except FactError as error:
            self.refused += [replace(p, where=f"{name} {at}".strip()) for p in error.problems]
            return None
        spread = float(np.median([p.spread for p in points]))
        note = f"{found.points} points, spread {100 * spread:.2g} %, fit error {100 * found.sigma:.2g} %"
        rows = [Row(term=word, at=at, value=value, note=note) for word, value in values(found.curve).items()]
        if len(in_range(rows, self.refused)) < len(rows):
            return None
        self.curves.append(Curve(name=name, at=at, points=found.points, spread=spread, sigma=found.sigma))
        self.rows += rows
        return found.curve


def _numbers(names: Mapping[str, str]) -> Callable[[Any], Mapping[str, float]]:
    """Reads a curve's numbers by term, from terms by field."""
    return lambda curve: {word: float(getattr(curve, number)) for number, word in names.items()}


def with_best(target: Target, points: Iterable[Point]) -> Target:
    """The target with its rates that are "best" replaced by the best that was measured."""
    points = list(points)
    rates = dict(target.rates)
    if "link_bw" in target.best:
        rates["link_bw"] = max((c.bandwidth for at in _ats(points, "collective")
                                if (c := _channel(_of(points, "collective", at), at)) is not None), default=0.0)
    for p in points:
        if p.group == "collective":
            continue
        if p.group in ("moving", "optimizer"):
            name, rate = "hbm_bw", p.sizes["nbytes"] / p.time
        else:
            name, rate = p.at if p.group in ("product", "grouped") else "bf16", p.sizes["flops"] / p.time
        large = p.sizes.get("nbytes", LARGE) >= LARGE or name in ("bf16", "fp8")
        if name in target.best and large:
            rates[name] = max(rates.get(name, 0.0), rate)
    return replace(target, rates=rates)


def _channel(many: list[Point], at: str) -> Channel | None:
    """What the link gives to very large messages of one collective; None where that cannot be told."""
    from exafleet.ops import fit
    from exafleet.ops.measure import columns

    try:
        nbytes, time = columns(many, "nbytes", "time")
        return fit.collective(nbytes, time, at, round(many[0].sizes["ranks"])).curve
    except FactError:
        return None


def curves(points: list[Point], target: Target) -> Found:
    """Every curve the points allow."""
    from exafleet.ops import fit
    from exafleet.ops.efficiency import MOVING_TERMS
    from exafleet.ops.measure import columns

    found = Found()
    for at in _ats(points, "product"):
        _product(found, points, at, target)
    for kind in ("attention", "mla"):
        if any(p.group == kind for p in points):
            _attention(found, points, kind, target)
    for at in _ats(points, "moving"):
        many = _of(points, "moving", at)
        nbytes, time = columns(many, "nbytes", "time")
        found.add("memory", at, many, _later(fit.moving, nbytes, time, hbm_bw=target.rates["hbm_bw"], what=at),
                  _numbers(MOVING_TERMS))
    for at in _ats(points, "collective"):
        _collective(found, _of(points, "collective", at), at, target)
    return found


def _later(fit: Callable[..., Any], *words: Any, **named: Any) -> Callable[[], Any]:
    return lambda: fit(*words, **named)


def _product(found: Found, points: list[Point], at: str, target: Target) -> None:
    from exafleet.ops import fit
    from exafleet.ops.efficiency import PRODUCT_TERMS
    from exafleet.ops.measure import columns

    rates = {"peak": target.rates[at], "hbm_bw": target.rates["hbm_bw"]}
    many = _of(points, "product", at)
    sizes = columns(many, "m", "n", "k", "nbytes", "time")
    names = {f: t for f, t in PRODUCT_TERMS.items() if f in fit.PRODUCT_RANGES}
    curve: Product | None = found.add("product", at, many, _later(fit.product, *sizes, **rates),
                                      _numbers(names))
    several = _of(points, "grouped", at)
    before = len(found.rows) - (0 if curve is None else len(names))
    if curve is not None and several:
        sizes = columns(several, "m", "n", "k", "nbytes", "groups", "time")
        found.add("grouped product", at, several, _later(fit.grouped, *sizes, **rates, curve=curve),
                  _numbers({"grouped": PRODUCT_TERMS["grouped"]}))
    # Training has a curve of its own in the package; these are the products that training runs, so they stand for it.
    if (training := f"{at}_train") in target.variants:
        found.rows += [replace(r, at=training, note=f"as {at}: {r.note}") for r in found.rows[before:] if r.at == at]


def _attention(found: Found, points: list[Point], kind: str, target: Target) -> None:
    from exafleet.ops import fit
    from exafleet.ops.efficiency import ATTENTION_TERMS
    from exafleet.ops.measure import columns

    many = _of(points, kind, kind)
    flops, seq, backward, time, head = columns(many, "flops", "seq", "backward", "time", "values")
    # Heads of one width say nothing of other widths.
    names = {f: t for f, t in ATTENTION_TERMS.items() if f != "width" or len(set(head.tolist())) > 1}
    found.add(kind, kind, many, _later(fit.attention, flops, seq, backward > 0, time, head, peak=target.rates["bf16"]),
              _numbers(names))


def _collective(found: Found, many: list[Point], at: str, target: Target) -> None:
    from exafleet.ops import fit
    from exafleet.ops.measure import columns

    nbytes, time = columns(many, "nbytes", "time")
    found.add("collective", at, many, _later(fit.collective, nbytes, time, at, round(many[0].sizes["ranks"])),
              lambda c: {"link_share": c.bandwidth / target.rates["link_bw"], "link_latency": c.latency,
                         "link_half": c.half})


def _of(points: Iterable[Point], group: str, at: str) -> list[Point]:
    return [p for p in points if (p.group, p.at) == (group, at)]


def _ats(points: Iterable[Point], group: str) -> list[str]:
    return list(dict.fromkeys(p.at for p in points if p.group == group))


# ------------------------------------------------------------------------------------------------- an unknown chip
def unknown_chip(target: Target, machine: Machine, found: Found, facts: Facts, chips: int) -> list[Row]:
    """Rows a chip the package does not know needs beside its curves: what was given, measured or follows."""
    rows = [Row(term="peak_flops", at=at, value=rate, **_origin(target, at))
            for at, rate in target.rates.items() if at not in ("hbm_bw", "link_bw")]
    rows += [Row(term=name, value=target.rates[name], **_origin(target, name)) for name in ("hbm_bw", "link_bw")
             if name in target.rates]
    shared = chips if machine.kind == "cpu" else 1  # processes share the memory of a processor
    rows.append(Row(term="hbm_bytes", value=machine.nbytes / shared, note="as the device tells"))
    if "link_bw" not in target.rates and chips == 1:
        rows.append(Row(term="link_bw", value=0.0, kind="inferred", note="one device: there is nothing to link"))
    rows.append(Row(term="nic_bw", value=0.0, kind="inferred", note="this machine alone: no network was measured"))
    rows += [Row(term=name, value=float(chips), system=True, note="devices that were measured together")
             for name in ("chips", "domain")]
    rows += list(_follows(found, facts))
    return rows


def _origin(target: Target, name: str) -> dict[str, Any]:
    if name in target.best:
        return {"kind": "measured", "note": "the best rate that was measured: no datasheet peak was given"}
    return {"kind": "estimate", "note": "given by the user"}


def _follows(found: Found, facts: Facts) -> Iterator[Row]:
    """Curves nobody measured here, from those that were, so that the chip can be planned with; marked as inferred."""
    import math

    known = {(r.term, r.at): r for r in found.rows}
    for (word, at), other in {("attention", "mla"): "attention", ("moving", "decode"): "elementwise"}.items():
        for row in [r for r in found.rows if r.term.startswith(f"{word}_") and r.at == other]:
            if (row.term, at) not in known:
                yield replace(row, at=at, kind="inferred", note=f"not measured: as {other}")
    yield from _as_other_collectives(found)
    told = {f.value for s in facts.subjects.of_kind("chip") for f in facts.find(s.id, "scan_compute").values()
            if f.kind == "inferred"}
    if told:
        yield Row(term="scan_compute", value=min(told), kind="inferred",
                  note="not measured: the lowest the package has of any chip")
    if found.curves:
        spread = math.sqrt(sum(c.sigma**2 for c in found.curves) / len(found.curves))
        yield Row(term="operator_sigma", value=spread, note="rms of the fit errors of all curves")


def _as_other_collectives(found: Found) -> Iterator[Row]:
    """Collectives that make no curve here are as the first one that does."""
    from exafleet.ops.collective import KINDS

    there = {r.at for r in found.rows if r.term == "link_share"}
    first = next((kind for kind in KINDS if kind in there), None)
    for kind in KINDS:
        if first is not None and kind not in there:
            yield from (replace(r, at=kind, kind="inferred", note=f"not measured: as {first}") for r in found.rows
                        if r.at == first)


# ---------------------------------------------------------------------------------------------------------- tables
def in_range(rows: Iterable[Row], refused: list[Problem]) -> list[Row]:
    """Rows the table may hold; the others are told."""
    kept = []
    for row in rows:
        word = term(row.term)
        if word.low <= row.value <= word.high:
            kept.append(row)
        else:
            refused.append(Problem(where=f"{row.term}@{row.at}" if row.at else row.term, what="out of range",
                                   got=f"{row.value:.3g}", allowed=f"{word.low:g} to {word.high:g}",
                                   remedy="Is the peak, or the bandwidth it is a share of, right?"))
    return kept


def cells(row: Row) -> tuple[str, str]:
    """Value and unit of a row as they are written."""
    unit = UNIT[term(row.term).dimension]
    return f"{row.value / units()[unit].to_base:.4g}", unit


def facts_table(rows: Iterable[Row], chip: str, system: str, where: str, day: str) -> str:
    """The text of a table of facts.

    chip, system  subject of the rows of the chip, and of those of the system
    where         device, PyTorch and driver
    day           on which it was measured
    """
    lines = []
    for row in rows:
        value, unit = cells(row)
        lines.append({"subject": system if row.system else chip, "term": row.term, "at": row.at, "value": value,
                      "unit": unit, "kind": row.kind, "source": SOURCE, "where": where, "as_of": day,
                      "note": row.note})
    return _csv(COLUMNS, lines)


def subjects_table(chip: str, system: str, machine: Machine, chips: int) -> str:
    """The text of a table of subjects with the chip and its system."""
    from exafleet.facts.subjects import COLUMNS as SUBJECT_COLUMNS

    note = "measured by exafleet calibrate"
    return _csv(SUBJECT_COLUMNS, [
        {"subject": chip, "name": machine.name, "kind": "chip", "note": note},
        {"subject": system, "name": f"machine of {chips} x {machine.name}", "kind": "system", "chip": chip,
         "note": note}])


def _csv(header: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def package_value(facts: Facts, chip: str, row: Row) -> str:
    """What the facts said before, as the row is written; empty where they said nothing."""
    fact: Fact | None = facts.find(chip, row.term).get(row.at)
    return "" if fact is None else " ".join(cells(replace(row, value=fact.value)))
