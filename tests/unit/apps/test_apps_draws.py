"""`exafleet draws`: what may happen, as tables, JSON and CSV."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exafleet.apps.main import app

TINY = str(Path(__file__).parents[2] / "samples" / "tiny")


def run(*words: str) -> tuple[int, str]:
    found = CliRunner(env={"COLUMNS": "120"}).invoke(app, ["draws", TINY, *words])
    return found.exit_code, found.output


def test_tables_name_what_may_happen_and_on_whose_word() -> None:
    code, text = run("--draws", "50")
    assert code == 0
    for said in ("Arrivals", "Power of sites", "gb200-maker", "h100-ordered", "north", "rent_volatility", "assumption"):
        assert said in text
    assert run("--draws", "50")[1] == text


def test_json_has_every_table() -> None:
    code, text = run("--draws", "20", "--format", "json")
    assert code == 0
    assert {"arrivals", "prices", "power", "events", "correlation", "sources"} <= set(json.loads(text)["tables"])


def test_csv_has_every_number_of_every_draw() -> None:
    code, text = run("--draws", "4", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert code == 0
    assert {r["draw"] for r in rows} == {"0", "1", "2", "3"}
    assert {r["what"] for r in rows} >= {"lead", "price", "rent", "power", "demand", "slip"}
    assert all(float(r["value"]) == 1 for r in rows if r["draw"] == "0" and r["what"] in ("price", "rent", "power"))
    assert sum(float(r["probability"]) for r in rows if r["what"] == "slip") == pytest.approx(1.0)


def test_too_few_draws_and_no_scenario_are_told() -> None:
    assert run("--draws", "1")[0] == 2
    assert CliRunner().invoke(app, ["draws", "no/such/place"]).exit_code == 2
