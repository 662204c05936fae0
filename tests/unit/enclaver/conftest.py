"""Machines that test are noisy: an example that once took long is no failure."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("noisy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy machine")
