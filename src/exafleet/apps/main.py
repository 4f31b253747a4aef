"""The command `exafleet`: one file per group of commands, nothing heavy imported before a command needs it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from exafleet.apps import (
    ask,
    backtest,
    calibrate,
    claims,
    compare,
    cost,
    diff,
    draws,
    explain,
    facts,
    model,
    plan,
    runs,
    scenario,
    serve,
    train,
    validate,
)
from exafleet.apps.errors import reported
from exafleet.apps.options import EPILOG


class Commands(TyperGroup):
    """The group of all commands; what goes wrong in any of them is told by errors.py."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command named in `ctx`."""
        with reported(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


# Help is plain text: rich would cost a fifth of a second before it can say anything.
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from exafleet import __version__

        sys.stdout.write(f"exafleet {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="EXAFLEET_DEBUG", help="Show tracebacks instead of messages.")
    ] = False,
) -> None:
    """Plans fleets of AI accelerators: how fast, how many watts, what it costs, what to order when.

    \b
    Example:
      exafleet plan examples/xai-2024-12 --html plan.html
    """


app.command()(plan.plan)
app.command()(backtest.backtest)
app.command()(train.train)
app.command()(serve.serve)
app.command()(compare.compare)
app.command()(plan.rates)
app.command()(draws.draws)
app.command()(explain.explain)
app.command()(diff.diff)
app.command()(calibrate.calibrate)
app.add_typer(ask.app, name="ask")
app.add_typer(facts.app, name="facts")
app.add_typer(claims.app, name="claims")
app.add_typer(model.app, name="model")
app.add_typer(scenario.app, name="scenario")
app.add_typer(runs.app, name="runs")
app.add_typer(validate.app, name="validate")
app.add_typer(cost.app, name="cost")


def main() -> None:
    """Run the command line; never returns."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that cannot show a character gets "?" instead of a traceback.
            stream.reconfigure(errors="replace")
    app(prog_name="exafleet")
