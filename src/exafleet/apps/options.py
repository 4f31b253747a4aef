"""Options several commands share, and the words they are written in."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from exafleet.terms.errors import FactError, Problem

EPILOG = "Facts come with the package; docs/cli.md describes every command."


class Format(StrEnum):
    """How an answer is printed."""

    table = "table"
    json = "json"


class Language(StrEnum):
    """Languages of a report: English and simplified Chinese."""

    en = "en"
    zh = "zh"


class Dtype(StrEnum):
    """Number formats of matrix products."""

    bf16 = "bf16"
    fp8 = "fp8"
    fp4 = "fp4"
    int8 = "int8"


AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help=(
            "Use only facts published by this day (2024-12-19, 2024-12 or 2024). Default: every fact; for a scenario, "
            "its own date."
        ),
    ),
]
Own = Annotated[
    list[Path] | None,
    typer.Option(
        "--facts",
        metavar="FILE",
        help="A table of facts or subjects of your own, such as `exafleet calibrate` writes; may be given again.",
    ),
]
Form = Annotated[Format, typer.Option("--format", help="Tables for people, or JSON with base units.")]
Lang = Annotated[Language, typer.Option("--lang", help="Language of the report: English or simplified Chinese.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=("Name of a model (see `exafleet facts search model`), or the path of a Hugging Face config.json."),
    ),
]
Scenario = Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario.toml, or the folder that holds one.")]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help=(
            "Where runs are kept: a SQLite file or a database URL. Default: EXAFLEET_STORE, else a file in the user's "
            "data folder."
        ),
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="auto|HOST:PORT",
        help=(
            "Spread the many runs of this command over a running Ray cluster (docs/models/sweep.md). Default: this "
            "machine. The answer is the same to the byte."
        ),
    ),
]


def check_cluster(cluster: str | None) -> None:
    """A cluster that cannot be reached is told before long work begins. Raises ClusterError."""
    if cluster is not None:
        from exafleet.sweep.cluster import check

        check(cluster)


def span(words: str | None, option: str, least: int = 1, most: int = 2**20) -> tuple[int, int] | None:
    """A range of whole numbers as (low, high), both included; None where nothing was asked. Raises FactError.

    >>> span("8", "--tp"), span("1..16", "--tp"), span("4..", "--tp")
    ((8, 8), (1, 16), (4, 1048576))
    """
    if words is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,9})\s*(\.\.\s*(\d{1,9})?)?\s*", words)
    low = int(found[1]) if found else -1
    high = low if not (found and found[2]) else int(found[3]) if found[3] else most
    if not least <= low <= high <= most:
        raise FactError(
            Problem(
                where=option,
                what=f"not a range of whole numbers from {least} up to {most:,}",
                got=repr(words),
                allowed='a number such as "8", or a range such as "1..16"' if most > 16 else f"{least} to {most}",
            )
        )
    return low, high


def choice(words: str | None, option: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    """A choice by name, by its number from 0, or a range of numbers; "all" opens every one. Raises FactError.

    >>> choice("dualpipe", "--schedule", ("1F1B", "DualPipe")), choice("0..1", "--schedule", ("1F1B", "DualPipe"))
    ((1, 1), (0, 1))
    """
    known = {name.casefold(): i for i, name in enumerate(names)}
    if words is None or words.casefold() == "all":
        return None if words is None else (0, len(names) - 1)
    if words.casefold() in known:
        return (known[words.casefold()],) * 2
    if not re.fullmatch(r"[\d.\s]+", words):
        raise FactError(Problem(where=option, what="not one of the choices", got=repr(words),
                                allowed=", ".join(f"{i} {n}" for i, n in enumerate(names)) + ", all"))
    return span(words, option, 0, len(names) - 1)


def seconds(words: str, option: str) -> float:
    """A time written with its unit, "2 s" or "50 ms". [s] Raises UnitError."""
    return _quantity(words, option, "time")


def sequences(words: str, seq: int) -> int:
    """Sequences in a global batch written as sequences or as tokens: "1024", "1024 sequences", "16M tokens".

    Tokens that are no whole number of sequences are rounded to a number that divides well. Raises FactError.

    >>> sequences("1024", 8192), sequences("16M tokens", 8192), sequences("60M tokens", 4096)
    (1024, 2048, 14336)
    """
    from exafleet.step.train import sequences as of_tokens
    from exafleet.terms.errors import UnitError

    refused = Problem(where="--batch", what="a batch holds from one sequence to less than a thousand million",
                      got=repr(words), allowed='sequences such as "1024", or tokens such as "16M tokens"')
    plain = re.fullmatch(r"\s*(-?\d[\d_,]*)\s*(sequences?)?\s*", words)
    try:
        number = float(re.sub("[_,]", "", plain[1])) if plain else _quantity(words, "--batch", "tokens") / seq
    except UnitError:
        raise FactError(replace(refused, what="neither a whole number of sequences nor tokens")) from None
    if not 0.5 <= number < 1e9:
        raise FactError(refused)
    return round(number) if plain else of_tokens(number * seq, seq)


def _quantity(words: str, option: str, dimension: str) -> float:
    from exafleet.terms.errors import UnitError
    from exafleet.terms.units import parse

    try:
        value = parse(words, dimension).value
    except UnitError as error:
        raise UnitError([replace(p, where=option) for p in error.problems]) from None
    if value <= 0:
        raise FactError(Problem(where=option, what=f"{dimension} must be more than zero", got=repr(words)))
    return value
