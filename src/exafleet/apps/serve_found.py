"""The deployments a question of `exafleet serve` finds: of a pool, of the fewest whole units, or of a demand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exafleet.facts.catalogue import Facts
    from exafleet.facts.hardware import System
    from exafleet.service.deploy import Deployment
    from exafleet.step.serve import ServeTask
    from exafleet.step.serve_layouts import ServeLimits

# Where no size is named: so many whole units are tried, in this order.
UNITS = (1, 2, 4, 8, 16, 32)


def found_by(task: ServeTask, system: System, gpus: int | None, facts: Facts, *, rate: float | None,
             kinds: tuple[str, ...], limits: ServeLimits | None) -> Deployment:
    """The deployments of each kind; the arguments are those of `serve_figures`."""
    from exafleet.service.deploy import deploy, deploy_for
    from exafleet.terms.why import Why

    if rate is not None:
        return deploy_for(task, system, rate, facts, kinds=kinds, limits=limits)
    found = deploy(task, system, gpus or system.chips, facts, kinds=kinds, limits=limits)
    for units in () if gpus else UNITS[1:]:
        if found.best or found.answer.why not in (Why.HBM_FULL, Why.TOO_FEW):
            break
        found = deploy(task, system, units * system.chips, facts, kinds=kinds, limits=limits)
    return found
