"""`exafleet ask` as a person types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app

TINY = Path(__file__).parents[2] / "samples" / "tiny"
RUN = CliRunner()
FEW = ["--draws", "2", "--fresh", "3", "--gap", "5"]


@pytest.mark.parametrize("question", ["earlier", "own", "regret", "information", "frontier", "break-even",
                                      "foresight"])
def test_every_question_has_an_answer_in_both_languages(question: str) -> None:
    said = RUN.invoke(app, ["ask", question, str(TINY), *FEW, "--format", "json"])
    assert said.exit_code == 0, said.output
    tables = json.loads(said.stdout)["tables"]
    assert tables
    assert all(table["columns"] for table in tables.values())


def test_the_second_run_gives_the_same_bytes() -> None:
    one, two = (RUN.invoke(app, ["ask", "regret", str(TINY), *FEW, "--lang", "zh"]).stdout for _ in range(2))
    assert one == two
    assert "经验做法" in one


def test_power_is_asked_of_the_plan_alone() -> None:
    said = RUN.invoke(app, ["ask", "power", str(TINY), "--draws", "1", "--format", "json"])
    assert said.exit_code == 0, said.output
    assert list(json.loads(said.stdout)["tables"]) == ["megawatt"]


@pytest.mark.parametrize(("arguments", "words"), [
    (["wait", str(TINY), "--slips", "0,x,999"], ["'x'", "'999'", "0 to 120"]),
    (["wait", str(TINY), "--next", "gb2000"], ['nobody offers "gb2000"']),
    (["regret", str(TINY / "none")], ["none"]),
])
def test_mistakes_are_told_and_end_with_two(arguments: list[str], words: list[str]) -> None:
    said = RUN.invoke(app, ["ask", *arguments])
    assert said.exit_code == 2, said.output
    assert all(word in said.output for word in words), said.output
    assert "Traceback" not in said.output
