"""Errors become text and exit codes in one place."""

import errno
import os

import pytest
import typer

from exafleet.apps.errors import MOST_PROBLEMS, message, reported
from exafleet.sweep.local import Interrupted
from exafleet.terms.errors import FactError, NothingFits, Problem


def told(error, capsys):
    with pytest.raises(typer.Exit) as caught, reported():
        raise error
    return caught.value.exit_code, capsys.readouterr().err


def test_every_problem_has_a_line_of_its_own(capsys):
    code, text = told(
        FactError([Problem(where="a.toml:1", what="wrong"), Problem(where="a.toml:2", what="worse")]), capsys
    )
    assert (code, text) == (2, "error: a.toml:1: wrong\nerror: a.toml:2: worse\n")


def test_ten_thousand_problems_do_not_flood_the_terminal():
    text = message(FactError([Problem(what=str(i)) for i in range(10_000)]))
    assert len(text.splitlines()) == MOST_PROBLEMS + 1
    assert "9,900 more" in text


def test_no_answer_names_its_relaxations_and_exits_with_3(capsys):
    code, text = told(NothingFits("too big", ["--gpus 16"]), capsys)
    assert code == 3
    assert text == "error: too big\nnearest questions that have an answer:\n  - --gpus 16\n"


def test_a_full_disk_names_the_file(capsys):
    code, text = told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "plan.html"), capsys)
    assert (code, text) == (2, "error: plan.html: No space left on device. Earlier results were left as they were.\n")


def test_an_interrupt_is_one_line(capsys):
    assert told(KeyboardInterrupt(), capsys) == (130, "\nexafleet: stopped; nothing was written.\n")
    assert told(Interrupted([(0, 1)], 7), capsys) == (130, "\nexafleet: stopped; 1 of 7 were finished.\n")


def test_a_closed_pipe_is_silent(capsys):
    assert told(BrokenPipeError(), capsys) == (0, "")


def test_a_bug_stays_a_bug():
    with pytest.raises(ZeroDivisionError), reported():
        raise ZeroDivisionError


def test_debug_shows_everything():
    with pytest.raises(FactError), reported(debug=True):
        raise FactError("wrong")
