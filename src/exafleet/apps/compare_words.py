"""Options of `exafleet compare` that hold one word for all systems, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from exafleet.apps.options import Dtype, span
from exafleet.terms.errors import FactError, Problem, raise_all

Systems = Annotated[str, typer.Option("--systems", metavar="A,B,C", help="Systems to compare, separated by commas.")]
Pools = Annotated[str, typer.Option("--gpus", metavar="N", help=(
    "Accelerators of each system: one number for all, or one for each (64,72). With --serve, at most so many in one "
    "replica."))]
Curve = Annotated[bool, typer.Option("--curve", help=(
    "Serving of two systems: the second over the first at this latency target and at others, and why."))]
Formats = Annotated[str, typer.Option("--dtype", metavar="|".join(Dtype), help=(
    "Number format of the matrix products: one for all systems, or one for each (fp8,fp4)."))]


def each(words: str, option: str, systems: int) -> list[str]:
    """One word for each system, from one for all or a list as long as that of the systems. Raises FactError.

    >>> each("fp8", "--dtype", 2), each("fp8, fp4", "--dtype", 2)
    (['fp8', 'fp8'], ['fp8', 'fp4'])
    """
    found = [word.strip() for word in words.split(",")]
    if len(found) == 1:
        return found * systems
    if len(found) != systems:
        raise FactError(Problem(where=option, what=f"{len(found)} words for {systems} systems", got=repr(words),
                                remedy="Write one for all systems, or one for each in their order."))
    return found


def pools_of(words: str, systems: int) -> list[int]:
    """Accelerators of each system. Raises FactError."""
    found = []
    for word in each(words, "--gpus", systems):
        low, high = span(word, "--gpus", 1, 10**7) or (0, 0)
        if low != high:
            raise FactError(Problem(where="--gpus", what="a comparison takes numbers, not ranges", got=repr(word)))
        found.append(low)
    return found


def formats_of(words: str, systems: int) -> list[str]:
    """Number format of each system. Raises FactError."""
    found: Sequence[str] = each(words, "--dtype", systems)
    known = [d.value for d in Dtype]
    raise_all(FactError, [Problem(where="--dtype", what="no such number format", got=repr(w), allowed=", ".join(known))
                          for w in dict.fromkeys(found) if w not in known])
    return list(found)
