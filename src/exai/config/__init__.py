"""Settings: where they come from, what they may be, and the typed tree that the rest of EXAI reads.

The sections are imported when they are first used: `exai --help` does without pydantic.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exai.config.settings import (
        Admission,
        Auth,
        Breaker,
        Chain,
        Conversations,
        CustomModel,
        CustomProvider,
        Database,
        Files,
        GlmProvider,
        Idempotency,
        Issuer,
        KimiProvider,
        Logging,
        Models,
        Providers,
        Retry,
        Server,
        Sessions,
        Settings,
        Timeouts,
        ToolLoop,
        WebSocket,
    )

__all__ = [
    "Admission",
    "Auth",
    "Breaker",
    "Chain",
    "Conversations",
    "CustomModel",
    "CustomProvider",
    "Database",
    "Files",
    "GlmProvider",
    "Idempotency",
    "Issuer",
    "KimiProvider",
    "Logging",
    "Models",
    "Providers",
    "Retry",
    "Server",
    "Sessions",
    "Settings",
    "Timeouts",
    "ToolLoop",
    "WebSocket",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("exai.config.settings"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
