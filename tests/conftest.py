"""Shared by every test: hypothesis settings, so that a run is the same everywhere, and the sample scenario planned."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parent.parent

# No deadline and no health check on time: a slow machine must not fail a correct program.
settings.register_profile("check", derandomize=True, deadline=None, database=None, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
# pytest --hypothesis-profile=explore looks for new counter-examples.
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("check")


@pytest.fixture(scope="session", autouse=True)
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the store of whoever runs it, nor does a process that a test starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXAFLEET_STORE", str(tmp_path_factory.mktemp("store") / "runs.sqlite"))
        yield


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """The sample scenario, rated, solved and lived through once: world, rates, plan, trace."""
    from exafleet.facts.world import load_world
    from exafleet.fleet.build import rates
    from exafleet.market.futures import draw
    from exafleet.market.market import market
    from exafleet.plan.solve import solve_market
    from exafleet.replay.live import replay

    world = load_world(ROOT / "tests" / "samples" / "tiny")
    found = rates(world)
    sold = market(world, found)
    plan = solve_market(sold, found, draw(sold, world.scenario.risk.draws, world.scenario.risk.seed, rates=found))
    return SimpleNamespace(world=world, rates=found, plan=plan, trace=replay(plan, found))
