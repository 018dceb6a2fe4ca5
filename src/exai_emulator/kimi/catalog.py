"""The Kimi models."""

from exai_emulator.calls import Model

__all__ = ["MODELS", "RETIRED", "family_of"]

_M1 = 1_048_576
_K256 = 262_144
_EFFORTS = ("low", "high", "max")

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("kimi-k3.1-pro", _M1, _M1, "always", _EFFORTS, vision=True, default_output=131_072),
        Model("kimi-k3.1-pro-highspeed", _M1, _M1, "always", _EFFORTS, vision=True, default_output=131_072),
        Model("kimi-k3", _M1, _M1, "always", _EFFORTS, vision=True, default_output=131_072),
        Model("kimi-k2.7-code", _K256, _K256, "always", vision=True, default_output=32_768),
        Model("kimi-k2.7-code-highspeed", _K256, _K256, "always", vision=True, default_output=32_768),
        Model("kimi-k2.6", _K256, _K256, "switchable", vision=True, default_output=32_768),
    )
}

RETIRED = frozenset(
    {
        "kimi-k2.5",
        "moonshot-v1-8k",
        "moonshot-v1-32k",
        "moonshot-v1-128k",
        "moonshot-v1-auto",
        "moonshot-v1-8k-vision-preview",
        "moonshot-v1-32k-vision-preview",
        "moonshot-v1-128k-vision-preview",
        "kimi-k2-0711-preview",
        "kimi-k2-0905-preview",
        "kimi-k2-turbo-preview",
        "kimi-k2-thinking",
        "kimi-k2-thinking-turbo",
        "kimi-latest",
        "kimi-thinking-preview",
    }
)
"""Names that answered once."""


def family_of(model_id: str) -> str:
    """`k3`, `k2.7`, `k2.6`, or '' for another name: what the rules of thinking and sampling depend on."""
    if model_id.startswith("kimi-k3"):
        return "k3"
    if model_id.startswith("kimi-k2.7"):
        return "k2.7"
    return "k2.6" if model_id.startswith("kimi-k2.6") else ""
