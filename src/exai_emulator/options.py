"""What an emulator is started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from exai_emulator.personas import Persona

__all__ = ["CustomDialectName", "EmulatorOptions", "KimiStreamUsage", "Strictness"]

CustomDialectName = Literal[
    "compatible",
    "openai",
    "azure",
    "openrouter",
    "deepseek",
    "minimax",
    "xai",
    "gemini",
    "ollama",
    "vllm",
]
"""The services whose habits the custom service can have."""

KimiStreamUsage = Literal["auto", "top", "choice", "extra", "none"]
"""Where a Kimi stream carries its usage.

`auto` is a further chunk when the request has `stream_options.include_usage`, and the
top level of the finish chunk otherwise. The others force one placement.
"""

Strictness = Literal["default", "recorded", "all"]
"""Which rules are on: each rule's own default, only those seen on the wire (mark W), or every rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorOptions:
    """Everything an emulator can be told before it starts. A port of 0 means any free one."""

    host: str = "127.0.0.1"
    glm_port: int = 0
    kimi_port: int = 0
    custom_port: int = 0
    control_port: int = 0

    glm_key: str = "emulated-glm-id.emulated-glm-secret"
    kimi_key: str = "sk-emulated-kimi"
    custom_key: str = "sk-emulated-custom"

    persona: Persona = field(default_factory=Persona)
    seed: int = 0
    """Changes every id; the same seed and the same requests give the same bodies."""
    starts_at: int = 1_790_000_000
    """Unix seconds that the first answer gives as `created`; each further answer is one second later."""

    strictness: Strictness = "default"
    rules: Mapping[str, bool] = field(default_factory=dict)
    """Rules switched by id, on top of `strictness`."""
    context_windows: Mapping[str, int] = field(default_factory=dict)
    """Context windows by model id in tokens, instead of the catalogue's, so that a small prompt overflows."""
    kimi_stream_usage: KimiStreamUsage = "auto"
    kimi_cache_writes: bool = False
    """Whether Kimi's usage also counts the prompt tokens that it put into its cache."""
    kimi_quota_status: Literal[403, 429] = 429
    """The status of an exhausted Kimi quota: 429 in the documentation, 403 in recordings of 2025."""
    kimi_file_content: Literal["json", "text"] = "json"
    """The content of a Kimi document: an object that holds the text, or the text itself."""
    kimi_ready_status: Literal["ready", "ok"] = "ready"
    """The status of a good Kimi file: `ready` in the newest documentation, `ok` in older examples."""

    custom_dialect: CustomDialectName = "compatible"
    """Whose habits the custom service has."""

    log_limit: int = 10_000
    """How many requests the log keeps; older ones are dropped."""
    max_body_bytes: int = 101 * 1024 * 1024
    """Largest request: a file of 100 MB and the form around it."""
