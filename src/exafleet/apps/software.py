"""Options that name the software of a training run, and what is told of words nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from exafleet.terms.errors import FactError, Problem, nearest, raise_all

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System

Stack = Annotated[str, typer.Option("--stack", metavar="ID", help=(
    "Software stack, e.g. stack-nemo or stack-pytorch; left out, the tuned one of the vendor."))]
Release = Annotated[str | None, typer.Option("--release", metavar="YY.MM", help=(
    "Release of the stack; left out, the newest known."))]
Told = Annotated[list[str] | None, typer.Option("--option", metavar="NAME", help=(
    "What the software is told to do, any number of times: graphs, partial-graphs, token-drop, hidden-dispatch, "
    "one-sided, or none; left out, what users of the stack usually switch on."))]
Scaling = Annotated[str, typer.Option("--recipe", metavar="NAME", help=(
    "Scaling of fp8: ds, cs, block or mx; left out, the usual one of the chip."))]
NONE = "none"


def told_options(words: Sequence[str] | None) -> tuple[str, ...] | None:
    """Options as a task takes them: None leaves the usual ones on, "none" switches all off."""
    return None if words is None else tuple(o for o in words if o != NONE)


def check_software(facts: Facts, system: System, dtype: str, *, stack: str, release: str | None,
                   options: Sequence[str], recipe: str) -> None:
    """Raises FactError with every word about the software that nobody knows, or that contradicts another."""
    from exafleet.step.practice import known_stack, stack_of
    from exafleet.work.recipes import known_recipe

    named = stack_of(stack, system.chip.vendor)
    checks: dict[str, Callable[[], object]] = {
        "--stack": partial(known_stack, facts, named), "--release": partial(_known_release, facts, named, release),
        "--option": partial(_known_options, options),
        "--recipe": partial(known_recipe, dtype, system.chip.family, recipe)}
    problems: list[Problem] = []
    for where, check in checks.items():
        try:
            check()
        except FactError as error:
            problems += (replace(p, where=where) for p in error.problems)
    raise_all(FactError, problems)


def _known_release(facts: Facts, stack: str, release: str | None) -> None:
    """Raises FactError for a release of a known stack that no measurement tells from others."""
    from exafleet.step.practice import is_stack

    known = sorted({*facts.find(stack, "release_speed"), *facts.find(stack, "release_moe_speed")})
    if release and release not in known and is_stack(facts, stack):
        raise FactError(Problem(what=f"no measurement of this release of {stack}", got=repr(release),
                                allowed=", ".join(known), remedy="Leave it out for the newest known."))


def _known_options(options: Sequence[str]) -> None:
    """Raises FactError for an unknown option, and for "none" beside others."""
    from exafleet.step.practice import OPTIONS

    known = (*OPTIONS, NONE)
    problems = [Problem(what="unknown option of the software", got=repr(o), allowed=", ".join(known),
                        remedy=nearest(o, OPTIONS)) for o in options if o not in known]
    if NONE in options and len(set(options)) > 1:
        problems.append(Problem(what="none stands alone", got=", ".join(options),
                                remedy="Leave out none or the others."))
    raise_all(FactError, problems)
