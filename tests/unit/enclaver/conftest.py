"""What all tests here start from, on whatever machine and however they were started."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Machines that test are noisy: an example that once took long is no failure.
settings.register_profile("noisy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy machine")

# A run under nohup, or a script's background job, is started to ignore these signals; tests send them.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
