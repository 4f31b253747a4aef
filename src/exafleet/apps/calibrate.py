"""`exafleet calibrate`: measures the device at hand and writes its curves as facts of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.apps.options import Form, Format
from exafleet.terms.errors import FactError, Problem, raise_all

if TYPE_CHECKING:
    from exafleet.apps.calibrate_rows import Target
    from exafleet.facts.catalogue import Facts
    from exafleet.ops.measure import Machine

GROUPS = ("gemm", "attention", "memory", "collectives")
BEST = "best"
INSTALL = 'pip install "exafleet[calibrate]", or PyTorch as pytorch.org says for your device.'

Peak = Annotated[
    str | None,
    typer.Option(
        "--peak",
        metavar="RATES",
        help='Dense peak of a chip exafleet does not know: "bf16=989 TFLOP/s,fp8=1979 TFLOP/s", or "best" to take '
        "the best measured.",
    ),
]
MemoryBandwidth = Annotated[
    str | None, typer.Option("--hbm-bw", metavar="RATE", help='Its memory bandwidth, "3.35 TB/s", or "best".')
]
LinkBandwidth = Annotated[
    str | None,
    typer.Option("--link-bw", metavar="RATE", help='Its scale-up bandwidth, one direction, "450 GB/s", or "best".'),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TERM=VALUE", help='Another fact of the chip or system, such as "tdp=700 W".'),
]
Ranks = Annotated[
    int | None,
    typer.Option("--ranks", min=1, max=64, metavar="N", help="Devices (on cpu: processes) in collectives."),
]
SubjectId = Annotated[
    str | None,
    typer.Option("--subject", metavar="ID", help="The chip this is. Default: found by the device's name."),
]


def calibrate(
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="cuda:0, mps or cpu. Default: the best one here.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the facts to this table.")] = None,
    subject: SubjectId = None,
    only: Annotated[
        str, typer.Option("--only", metavar="A,B", help=f"Measure only some of {', '.join(GROUPS)}.")
    ] = ",".join(GROUPS),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer points and runs; curves are rougher.")] = False,
    ranks: Ranks = None,
    peak: Peak = None,
    hbm_bw: MemoryBandwidth = None,
    link_bw: LinkBandwidth = None,
    given: Given = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="TIME", help="Start no measurement after this time.")
    ] = "15 min",
    day: Annotated[
        str | None, typer.Option("--date", metavar="DATE", help="Day of the facts. Default: today, in UTC.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Ctrl-C writes what was measured by then.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    form: Form = Format.table,
) -> None:
    """Measure products, attention, memory and collectives on this machine, and write their curves as facts.

    Needs PyTorch. Two runs never give the same figures; each row says its points, their spread and the fit error.

    \b
    Examples:
      exafleet calibrate --out h100.csv
      exafleet calibrate --device cpu --quick --ranks 2 --peak best --hbm-bw best --link-bw best --out cpu.csv
    """
    from exafleet.apps.calibrate_answer import finish
    from exafleet.apps.calibrate_session import Session
    from exafleet.apps.files import check_writable
    from exafleet.apps.inputs import facts_as_of
    from exafleet.apps.options import seconds

    facts, problems = facts_as_of(None), []
    groups = [g.strip() for g in only.split(",") if g.strip()]
    problems += [Problem(where="--only", what="no such group", got=repr(g), allowed=", ".join(GROUPS))
                 for g in groups if g not in GROUPS]
    files = _files(out)
    problems += [Problem(where=str(f), what="exists already", remedy="Name another file, or add --force.")
                 for f in files if f.exists() and not force]
    length, told_day = seconds(budget, "--budget"), _day(day, problems)
    here = _machine(device, problems)
    target = None
    if here is not None:
        target = _target(facts, here, subject, {"peak": peak, "hbm_bw": hbm_bw, "link_bw": link_bw}, given or [],
                         problems)
    raise_all(FactError, problems)
    assert here is not None
    assert target is not None
    for file in files[:1]:
        check_writable(file)
    session = Session(here, target, groups, quick, ranks or here.count, length)
    interrupted = False
    try:
        session.run()
    except KeyboardInterrupt:
        if not keep:
            raise
        interrupted = True
    finish(session, facts, files, told_day, form)
    if interrupted:
        raise KeyboardInterrupt(f"what was measured by then is in {files[0]}" if files else "nothing was written")


# --------------------------------------------------------------------------------------------------------- options
def _files(out: Path | None) -> list[Path]:
    """The table of facts, and beside it the table of subjects an unknown chip needs."""
    return [] if out is None else [out, out.with_name(f"{out.stem}-subjects.csv")]


def _day(words: str | None, problems: list[Problem]) -> str:
    """The day of the facts. Only here a wall clock is read: a measurement is of the day it was made on."""
    from datetime import UTC, datetime

    from exafleet.terms.calendar import published

    if words is None:
        return datetime.now(tz=UTC).date().isoformat()
    try:
        return published(words).isoformat()
    except FactError as error:
        problems += [Problem(where="--date", what=p.what, got=p.got, allowed=p.allowed) for p in error.problems]
        return ""


def _machine(device: str | None, problems: list[Problem]) -> Machine | None:
    """The device; a missing PyTorch and a missing device are problems with a remedy."""
    try:
        import torch  # noqa: F401

        from exafleet.ops.measure import machine
    except ImportError as error:
        problems.append(Problem(what="exafleet calibrate needs PyTorch", got=str(error),
                                remedy=f"Install it: {INSTALL}"))
        return None
    try:
        return machine(device)
    except ValueError as error:
        problems.append(Problem(where="--device", what="no such device here", got=repr(device), allowed=str(error)))
        return None


def _target(facts: Facts, machine: Machine, subject: str | None, rates: dict[str, str | None], given: list[str],
            problems: list[Problem]) -> Target | None:
    """The chip that is measured and its rates: from the facts where it is known, else from the options."""
    from exafleet.apps.calibrate_rows import Target
    from exafleet.ops.efficiency import PRODUCT_TERMS

    chip = _chip(facts, machine, subject, problems)
    if chip is None:
        return None
    known = chip in facts.subjects.by_id
    values = {at: fact.value for at, fact in facts.find(chip, "peak_flops").items() if at in ("bf16", "fp8")}
    values |= {t: f.value for t in ("hbm_bw", "link_bw") if (f := facts.try_get(f"{chip}.{t}")) is not None and f.value}
    best = set()
    for name, words in rates.items():
        for at, value in _rates(name, words, problems):
            (best.add(at) if value is None else values.__setitem__(at, value))
    lacking = [n for n in ("bf16", "hbm_bw") if n not in values and n not in best]
    problems += [Problem(
        where="--peak" if n == "bf16" else "--hbm-bw", what=f'{"dense bf16 peak" if n == "bf16" else "bandwidth"} of '
        f'"{machine.name}" is not known', remedy='Give it from its datasheet, or "best" to take the best measured.')
        for n in lacking]
    return Target(chip=chip, name=machine.name, known=known, rates=values, best=frozenset(best),
                  given=_given(given, problems), variants=tuple(facts.find(chip, PRODUCT_TERMS["compute"])))


def _chip(facts: Facts, machine: Machine, subject: str | None, problems: list[Problem]) -> str | None:
    """Id of the chip: asked for, or found by the device's name, or made of it."""
    from exafleet.facts.subjects import fold

    if subject is not None:
        about = facts.subjects.by_id.get(subject)
        sound = subject == subject.casefold() and not any(c in subject for c in "@ \t,;") and subject
        if (about is not None and about.kind != "chip") or not sound:
            problems.append(Problem(where="--subject", what="not the id of a chip", got=repr(subject),
                                    allowed="the id of a chip, or a new one: lower case, without spaces"))
            return None
        return subject
    found = [s.id for s in facts.subjects.by_name.get(fold(machine.name), ()) if s.kind == "chip"]
    if len(found) > 1:
        problems.append(Problem(where="--subject", what=f'"{machine.name}" can be several chips',
                                allowed=", ".join(found)))
        return None
    made = "-".join("".join(c if c.isalnum() else " " for c in machine.name.casefold()).split())
    return found[0] if found else made


def _rates(option: str, words: str | None, problems: list[Problem]) -> list[tuple[str, float | None]]:
    """Rates by name as an option gives them; None is the best that will be measured."""
    from exafleet.terms.units import parse

    if words is None:
        return []
    if words.strip() == BEST:
        return [("bf16" if option == "peak" else option, None)]
    found: list[tuple[str, float | None]] = []
    for part in words.split(",") if option == "peak" else [words]:
        name, _, value = part.partition("=") if option == "peak" else (option, "", part)
        if option == "peak" and name.strip() not in ("bf16", "fp8"):
            problems.append(Problem(where="--peak", what="not a rate by number format", got=repr(part),
                                    allowed='"bf16=989 TFLOP/s,fp8=1979 TFLOP/s", or "best"'))
            continue
        try:
            rate = None if value.strip() == BEST else parse(
                value, "flop_rate" if option == "peak" else "byte_rate").value
        except FactError as error:
            problems += [Problem(where=f"--{option.replace('_', '-')}", what=p.what, got=p.got, allowed=p.allowed,
                                 remedy=p.remedy) for p in error.problems]
            continue
        if rate is not None and rate <= 0.0:
            problems.append(Problem(where=f"--{option.replace('_', '-')}", what="not above zero", got=repr(value)))
            continue
        found.append((name.strip(), rate))
    return found


def _given(words: list[str], problems: list[Problem]) -> dict[tuple[str, str], float]:
    """Facts of --set by term and qualifier."""
    from exafleet.facts.hardware import CHIP_TERMS, SYSTEM_TERMS
    from exafleet.terms.term import term
    from exafleet.terms.units import parse

    found = {}
    for one in words:
        key, _, value = one.partition("=")
        name, _, at = key.strip().partition("@")
        if name not in (*CHIP_TERMS, *SYSTEM_TERMS):
            problems.append(Problem(where="--set", what="not a term of a chip or system", got=repr(one),
                                    allowed=", ".join((*CHIP_TERMS, *SYSTEM_TERMS))))
            continue
        try:
            found[(name, at)] = parse(value, term(name).dimension).value
        except FactError as error:
            problems += [Problem(where=f"--set {name}", what=p.what, got=p.got, allowed=p.allowed, remedy=p.remedy)
                         for p in error.problems]
    return found
