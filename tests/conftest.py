"""Shared by every test: hypothesis settings, so that a run is the same everywhere unless asked to explore."""

from hypothesis import HealthCheck, settings

# No deadline and no health check on time: a slow machine must not fail a correct program.
settings.register_profile("check", derandomize=True, deadline=None, database=None, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
# pytest --hypothesis-profile=explore looks for new counter-examples.
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("check")
