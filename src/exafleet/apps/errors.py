"""The only place where an error becomes text on stderr and an exit code.

0    done
1    a bug in exafleet, with its traceback
2    bad input, or a file that cannot be read or written
3    no feasible answer
130  stopped with Ctrl-C
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from exafleet.terms.errors import ExafleetError, NoAnswer

INPUT_OUTPUT = 2
INTERRUPTED = 130
MOST_PROBLEMS = 100


@contextmanager
def reported(debug: bool = False) -> Iterator[None]:
    """Turn what a user can mend into a message and an exit code; bugs pass through.

    debug   let the error through with its traceback instead
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        raise typer.Exit(0) from None  # the reader has what it wanted (exafleet facts search nvidia | head)
    except (ExafleetError, OSError, MemoryError) as error:
        if debug:
            raise
        sys.stderr.write(message(error))
        raise typer.Exit(exit_code(error)) from None
    except KeyboardInterrupt as error:
        if debug:
            raise
        sys.stderr.write(f"\nexafleet: stopped{_kept(error)}.\n")
        raise typer.Exit(INTERRUPTED) from None


def exit_code(error: BaseException) -> int:
    """2 for bad input and files, 3 for a question without an answer."""
    return error.exit_code if isinstance(error, ExafleetError) else INPUT_OUTPUT


def message(error: BaseException) -> str:
    """What is printed for an error: one line per problem, and the nearest questions that have an answer."""
    if isinstance(error, OSError):
        return f"error: {_file_problem(error)}\n"
    if isinstance(error, MemoryError):
        return "error: out of memory. Ask for fewer draws, jobs or months.\n"
    problems = [str(p) for p in getattr(error, "problems", ())]
    lines = [f"error: {text}" for text in problems[:MOST_PROBLEMS]]
    if len(problems) > MOST_PROBLEMS:
        lines.append(f"error: {len(problems) - MOST_PROBLEMS:,} more problems of {len(problems):,} are not shown.")
    if isinstance(error, NoAnswer) and error.relaxations:
        lines += ["nearest questions that have an answer:", *(f"  - {r}" for r in error.relaxations)]
    return "\n".join(lines) + "\n"


def _file_problem(error: OSError) -> str:
    name = error.filename if error.filename is not None else ""
    where = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) and name else ""
    return f"{where}{error.strerror or error}. Earlier results were left as they were."


def _kept(error: KeyboardInterrupt) -> str:
    """What an interrupted sweep says it had finished."""
    return f"; {error}" if str(error) else "; nothing was written"


def _forget_stdout() -> None:
    """Send what is still buffered nowhere, or Python complains about the closed pipe once more at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
