"""`exafleet scenario`: check one, start a new one, print the schema editors complete it with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from exafleet.apps.options import AsOf, Scenario

app = typer.Typer(help="Check a scenario, start a new one, print its schema.", no_args_is_help=True)

TEMPLATES = Path(__file__).parent / "templates"
FILES = ("scenario.toml", "facts.csv")


@app.command()
def check(scenario: Scenario, as_of: AsOf = None) -> None:
    """Check a scenario and every table beside it; all mistakes are told at once, with file and line.

    \b
    Example:
      exafleet scenario check examples/xai-2024-12
    """
    from exafleet.apps.inputs import day
    from exafleet.facts.world import load_world
    from exafleet.terms.calendar import month_name

    world = load_world(scenario, as_of=day(as_of))
    found = world.scenario
    counts = {
        "owners": found.owners,
        "sites": found.sites,
        "holdings": found.holdings,
        "offers": found.offers,
        "open orders": found.open_orders,
        "rentals": found.rentals,
        "jobs": found.jobs,
        "loans": found.loans,
        "moves": found.moves,
        "parts of cohorts": found.sharing,
        "transfers": found.transfers,
        "swaps": found.swaps,
    }
    said = ", ".join(f"{len(many):,} {name}" for name, many in counts.items() if many)
    typer.echo(
        f"{found.name}: {month_name(found.start)} to {month_name(found.start + found.months - 1)}, "
        f"as of {world.as_of.isoformat()}: {said}. Nothing wrong was found."
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario.toml, for editors and other programs.

    \b
    Example:
      exafleet scenario schema > scenario.schema.json
    """
    from exafleet.facts.scenario.schema import schema_text

    sys.stdout.write(schema_text())


@app.command()
def new(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to make; it may exist if it is empty of these files.")
    ],
) -> None:
    """Write a small scenario that plans, with a comment on every line that you would change.

    \b
    Example:
      exafleet scenario new my-scenario
    """
    from exafleet.apps.files import write_text
    from exafleet.terms.errors import FactError, Problem, raise_all

    raise_all(
        FactError,
        [
            Problem(
                where=str(folder / name), what="exists already", remedy="Name another folder: nothing is overwritten."
            )
            for name in FILES
            if (folder / name).exists()
        ],
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        write_text(folder / name, (TEMPLATES / name).read_text(encoding="utf-8"))
    typer.echo(f"Wrote {folder / FILES[0]} and {folder / FILES[1]}. Next: exafleet plan {folder}")
