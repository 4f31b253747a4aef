"""`exafleet train` asked what nobody can answer: each is told in words that name the remedy, with its exit code."""

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app

NODE = ("--system", "hgx-h100", "--gpus", "8")


def run(*words):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, ["train", "llama-3-8b", *words])


@pytest.mark.parametrize(("words", "where", "said"), [
    (("--stack", "stack-none"), "--stack", "stack-nemo"),
    (("--stack", "nemo"), "--stack", "stack-nemo"),
    (("--stack", "stack-nemo", "--release", "99.99"), "--release", "25.07"),
    (("--release", "newest"), "--release", "newest known"),
    (("--option", "grafs"), "--option", "Did you mean 'graphs'"),
    (("--option", "none", "--option", "graphs"), "--option", "none stands alone"),
    (("--recipe", "mx"), "--recipe", "bf16 has nothing to scale"),
    (("--dtype", "fp8", "--recipe", "nv"), "--recipe", "ds, cs, block, mx"),
    (("--dtype", "fp8", "--recipe", "mx"), "--recipe", "Hopper chips do not multiply blocks of 32"),
    (("--batch", "-5"), "--batch", "from one sequence"),
    (("--batch", "1e3"), "--batch", '"16M tokens"'),
    (("--batch", "16 GB"), "--batch", "neither a whole number of sequences nor tokens"),
    (("--batch", "1000000000"), "--batch", "less than a thousand million"),
    (("--gpus", "0"), "--gpus", "from 1 up to 10,000,000"),
    (("--gpus", "99999999"), "--gpus", "from 1 up to 10,000,000"),
    (("--gpus", "64..8"), "--gpus", "64..8"),
])
def test_words_nobody_knows(words, where, said):
    done = run(*NODE, *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"error: {where}: " in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_unknown_word_about_the_software_is_told_at_once():
    done = run(*NODE, "--stack", "nobody", "--option", "grafs", "--recipe", "zz", "--dtype", "fp8")
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["--stack", "--option", "--recipe"]


@pytest.mark.parametrize(("words", "said"), [
    (("--system", "dgx-a100", "--gpus", "8", "--dtype", "fp8"), "no hardware for this data type"),
    ((*NODE, "--seq", "16777216", "--batch", "8"), "does not fit in memory"),
    ((*NODE, "--tp", "3"), "--tp 3: ways divide 32 heads"),
    ((*NODE, "--tp", "16"), "8 accelerators of a scale-up domain"),
    ((*NODE, "--tp", "4", "--pp", "4"), "each leaves layouts, together none"),
    (("--system", "hgx-h100", "--gpus", "131071"), "data-parallel ways divide both"),
])
def test_questions_without_an_answer_name_the_nearest_that_have_one(words, said):
    done = run(*words)
    assert (done.exit_code, done.stdout) == (3, "")
    assert said in done.stderr
    assert "nearest questions that have an answer:\n  - " in done.stderr


@pytest.mark.parametrize("words", [("--release", ""), ("--option", "none"), ("--dtype", "fp8", "--recipe", "cs"),
                                   ("--stack", "stack-nemo", "--release", "25.07"), ("--stack", "stack-mindspeed")])
def test_what_is_known_is_taken(words):
    assert run(*NODE, *words).exit_code == 0
