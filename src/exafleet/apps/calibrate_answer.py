"""What a calibration leaves: the tables of facts, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exafleet.apps.options import Format
from exafleet.terms.errors import FactError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from exafleet.apps.calibrate_rows import Found, Row, Target
    from exafleet.apps.calibrate_session import Session
    from exafleet.facts.catalogue import Facts
    from exafleet.ops.measure import Machine

NOISY, ROUGH, DRIFTED = 0.10, 0.30, 0.05


def finish(session: Session, facts: Facts, files: list[Path], day: str, form: Format) -> None:
    """Fit, write and show."""
    from exafleet.apps.calibrate_rows import curves, facts_table, in_range, subjects_table, with_best
    from exafleet.apps.files import write_text
    from exafleet.apps.output import show

    machine = session.machine
    target = with_best(session.target, session.points)
    found = curves(session.points, target)
    system = f"{target.chip}-{session.ranks}"
    rows = in_range(_rows(session, facts, target, found), found.refused)
    if not found.curves:
        raise FactError([Problem(what="nothing could be fitted, so nothing was written"), *found.refused,
                         *(Problem(what=s) for s in session.skipped[:20])])
    where = calibrated_on(machine)
    written: list[Path] = []
    if files:
        texts = [facts_table(rows, target.chip, system, where, day)]
        if not target.known:
            texts.append(subjects_table(target.chip, system, machine, session.ranks))
        # Subjects first: a table of facts never names a chip that is not there yet.
        for file, text in reversed(list(zip(files, texts, strict=False))):
            write_text(file, text)
            written.insert(0, file)
    data = _data(session, target, found, rows, where, day, written)
    data["usage"] = _usage(target, system, written)
    data["lacks"] = _lacks(target, system, written)
    show(_report(session, facts, found, rows, data), form, data)


def calibrated_on(machine: Machine) -> str:
    """The place of every row: on what it was measured."""
    return f"exafleet calibrate on {machine.name}, torch {machine.torch}, driver {machine.driver}"


def _rows(session: Session, facts: Facts, target: Target, found: Found) -> list[Row]:
    """Every row to write; what the user gave replaces what was found."""
    from exafleet.apps.calibrate_rows import Row, unknown_chip
    from exafleet.facts.hardware import SYSTEM_TERMS

    rows = list(found.rows)
    if not target.known:
        rows = unknown_chip(target, session.machine, found, facts, session.ranks) + rows
    said = [Row(term=t, at=at, value=v, kind="estimate", note="given by the user", system=t in SYSTEM_TERMS)
            for (t, at), v in target.given.items() if not (target.known and t in SYSTEM_TERMS)]
    return [r for r in rows if (r.term, r.at) not in target.given] + said


def _usage(target: Target, system: str, written: list[Path]) -> str:
    if not written:
        return "Nothing was written: give --out FILE."
    named = " ".join(f"--facts {f}" for f in written)
    return f"exafleet train MODEL --system {'SYSTEM' if target.known else system} --gpus N {named}"


def _lacks(target: Target, system: str, written: list[Path]) -> list[str]:
    """What a plan with the written tables would still miss."""
    from datetime import date

    from exafleet.facts.catalogue import load_facts
    from exafleet.facts.hardware import system_gaps

    if not written or target.known:
        return []
    facts = load_facts(date.max, own=tuple(written))
    return sorted(p.what.split('"')[1].partition(".")[2] for p in system_gaps(facts, system))


def _data(session: Session, target: Target, found: Found, rows: list[Row], where: str, day: str,
          written: list[Path]) -> dict[str, Any]:
    """Everything that was measured, in base units."""
    return {
        "where": where, "as_of": day, "device": session.machine.device, "name": session.machine.name,
        "subject": target.chip, "known": target.known, "rates": dict(target.rates), "best": sorted(target.best),
        "drift": session.drift, "host_launch": session.launch, "written": [str(f) for f in written],
        "curves": [{"curve": c.name, "at": c.at, "points": c.points, "spread": c.spread, "fit_error": c.sigma}
                   for c in found.curves],
        "facts": [{"term": r.term, "at": r.at, "value": r.value, "kind": r.kind, "note": r.note} for r in rows],
        "refused": [str(p) for p in found.refused], "skipped": session.skipped,
        "points": [{"group": p.group, "at": p.at, **p.sizes, "time": p.time, "spread": p.spread, "runs": p.runs}
                   for p in session.points],
    }


def _report(session: Session, facts: Facts, found: Found, rows: list[Row], data: dict[str, Any]) -> Any:
    from exafleet.apps.calibrate_rows import cells, package_value
    from exafleet.report.table import Column, Report, Table

    curve = Table(id="curves", title="Curves", empty="No curve could be fitted.",
                  lead="Spread is of the runs of a point, fit error that of the points about the curve.",
                  columns=(Column(title="curve"), Column(title="of"), Column(title="points", kind="count"),
                           Column(title="spread", kind="share"), Column(title="fit error", kind="share")),
                  rows=tuple((c.name, c.at, c.points, c.spread, c.sigma) for c in found.curves))
    fact = Table(id="facts", title="Facts", lead="What is written, and what exafleet said of this chip before.",
                 columns=tuple(Column(title=t) for t in ("term", "of", "value", "kind", "before")),
                 rows=tuple((r.term, r.at, " ".join(cells(r)), r.kind,
                             "" if r.system else package_value(facts, session.target.chip, r)) for r in rows))
    left = Table(id="left", title="Not written", empty="Everything that was measured is written.",
                 lead="What was not measured, or makes no curve.", columns=(Column(title="what and why"),),
                 rows=tuple((text,) for text in _told(data)))
    return Report(title=f"Calibration of {session.machine.name}",
                  subtitle=f"{data['where']}; {data['as_of']}", summary=tuple(_sentences(session, found, data)),
                  cards=(), tables=(curve, fact, left))


def _told(data: dict[str, Any]) -> Iterable[str]:
    """What is not written; points left out for one reason are one line."""
    yield from data["refused"]
    many: dict[str, int] = {}
    for text in data["skipped"]:
        many[text] = many.get(text, 0) + 1
    yield from (f"{text} ({n} points)" if n > 1 else text for text, n in many.items())


def _sentences(session: Session, found: Found, data: dict[str, Any]) -> Iterable[str]:
    """What a person should know before the numbers are used."""
    from exafleet.ops.measure import columns
    from exafleet.terms import format as words

    yield f"{len(session.points)} points; the facts are of {data['subject']}."
    if data["best"]:
        yield f"Shares are of the best rate measured, not of a datasheet: {', '.join(data['best'])}."
    loud = [f"{c.name} {c.at}".strip() for c in found.curves if c.spread > NOISY]
    if loud:
        yield f"Noisy, more than {words.percent(NOISY)} from run to run: {', '.join(loud)}. Is the machine idle?"
    rough = [f"{c.name} {c.at}".strip() for c in found.curves if c.sigma > ROUGH]
    if rough:
        yield (f"Rough, points more than {words.percent(ROUGH)} off their curve: {', '.join(rough)}. "
               "Such a curve is no basis for a plan.")
    if abs(session.drift) > DRIFTED:
        yield (f"The same product took {words.percent(abs(session.drift))} {'longer' if session.drift > 0 else 'less'} "
               "at the end: the clock moved (heat, power limit, other work). Measure again with a settled clock.")
    if session.launch:
        yield f"The host hands over a tiny kernel in {words.duration(session.launch)}."
    steps = [p for p in session.points if p.group == "optimizer"]
    if steps:
        nbytes, time = columns(steps, "nbytes", "time")
        best = float((nbytes / time).max()) / data["rates"].get("hbm_bw", float("nan"))
        yield f"Fused AdamW moves its bytes at up to {words.percent(best)} of the memory bandwidth."
    if data["lacks"]:
        yield (f"To plan with it, its system still lacks {', '.join(data['lacks'])}: "
               "give them with --set, such as --set \"tdp=700 W\".")
    yield data["usage"]
