"""How many examples Hypothesis tries: ``HYPOTHESIS_PROFILE=long`` for a hundred times as many."""

import os

from hypothesis import HealthCheck, settings

CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
settings.register_profile("suite", deadline=None, max_examples=100, suppress_health_check=CHECKS)
settings.register_profile("long", settings.get_profile("suite"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))
