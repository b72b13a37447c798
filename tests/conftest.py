"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# On a busy machine everything is slow, and no test asserts a time.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
