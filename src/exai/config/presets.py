"""Groups of values under one name: for a developer's machine, a service for many, a test.

Anything that an operator sets has precedence. `docs/configuration.md` has the reason for each value.
"""

from collections.abc import Mapping

__all__ = ["PRESETS", "Value"]

Value = str | int | float

PRESETS: Mapping[str, Mapping[str, Value]] = {
    "development": {
        "server.drain_s": 3.0,
        "websocket.max_in_flight": 32,
        "sessions.grace_s": 30.0,
        "sessions.max_sessions": 50,
        "admission.global_limit": 16,
        "admission.max_queue": 64,
        "logging.format": "console",
    },
    "production": {
        "server.drain_s": 60.0,
        "websocket.max_in_flight": 256,
        "sessions.grace_s": 600.0,
        "sessions.max_sessions": 5_000,
        "admission.max_queue": 2_048,
        "logging.format": "json",
    },
    "testing": {
        "server.drain_s": 0.5,
        "websocket.max_in_flight": 8,
        "sessions.grace_s": 2.0,
        "sessions.max_sessions": 20,
        "admission.global_limit": 4,
        "admission.max_queue": 8,
        "logging.level": "warning",
    },
}
"""For each preset its values by dotted key; the other settings keep their defaults."""
