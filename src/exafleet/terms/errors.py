"""The error tree: fix the data (exit code 2), or fix the question (exit code 3).

Every error a user can cause is an `ExafleetError` holding one `Problem` per mistake, so that all mistakes of an
input are reported at once. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake, told so that its reader can mend it.

    where    file, line and key, e.g. "scenario.toml:41 sites[0].power"; empty when there is no place
    what     the mistake in one clause
    got      the offending value as it was written
    allowed  what would have been accepted
    remedy   what to write or do instead
    """

    what: str
    where: str = ""
    got: str = ""
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.got:
            text += f"; got {self.got}"
        if self.allowed:
            text += f"; allowed: {self.allowed}"
        if self.remedy:
            text += f". {self.remedy}"
        return text


class ExafleetError(Exception):
    """Root of every error a user can mend; `problems` lists each mistake separately."""

    exit_code = 2

    def __init__(self, problems: Problem | str | Iterable[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(what=problems)
        if isinstance(problems, Problem):
            problems = (problems,)
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...]]]:
        return (type(self), (self.problems,))


class FactError(ExafleetError):
    """The data is wrong: fix a fact, a scenario or a file."""


class UnitError(FactError):
    """A quantity has no unit, an unknown one, or one of the wrong dimension."""


class MissingFact(FactError):
    """A number the answer needs is not known as of the date asked; it is never invented."""


class OutOfRange(FactError):
    """A number outside the range its term allows."""


class ScenarioError(FactError):
    """A scenario file that cannot be understood as a whole."""


class NoAnswer(ExafleetError):
    """The question has no feasible answer; `relaxations` name the nearest questions that have one."""

    exit_code = 3

    def __init__(self, problems: Problem | str | Iterable[Problem], relaxations: Sequence[str] = ()) -> None:
        super().__init__(problems)
        self.relaxations: tuple[str, ...] = tuple(relaxations)

    def __reduce__(self) -> tuple[type, tuple[tuple[Problem, ...], tuple[str, ...]]]:  # type: ignore[override]
        return (type(self), (self.problems, self.relaxations))


class NothingFits(NoAnswer):
    """No layout of this job runs on this system at this size."""


class NoPlan(NoAnswer):
    """No plan keeps every rule of the scenario."""


def raise_all(kind: type[ExafleetError], problems: Sequence[Problem]) -> None:
    """Raise `kind` with every problem found, or return when there is none."""
    if problems:
        raise kind(problems)


def nearest(word: str, known: Iterable[str], n: int = 3) -> str:
    """The known words closest to a misspelt one, as 'did you mean ...?'; empty when none is close."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=n, cutoff=0.5)
    return f"Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
