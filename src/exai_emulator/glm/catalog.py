"""The GLM models that chat. Ids are matched without regard to case."""

from exai_emulator.calls import Model

__all__ = ["MODELS", "SWAPPED_ON_CODING_ROOT", "find_model"]

_K128 = 131_072
_K200 = 204_800
_EFFORTS_52 = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_EFFORTS_53 = ("low", "high", "max")

MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("glm-5.3", 1_000_000, _K128, "always", _EFFORTS_53),
        Model("glm-5.3-flash", 1_048_576, _K128, "always", _EFFORTS_53, vision=True),
        Model("glm-5.3-flashx", 1_048_576, _K128, "always", _EFFORTS_53, vision=True),
        Model("glm-5.2", 1_000_000, _K128, "switchable", _EFFORTS_52),
        Model("glm-5.1", _K200, _K128, "switchable"),
        Model("glm-5", _K200, _K128, "switchable"),
        Model("glm-5-code", _K200, _K128, "switchable"),
        Model("glm-5-turbo", _K200, _K128, "switchable"),
        Model("glm-5v-turbo", _K200, _K128, "switchable", vision=True),
        Model("glm-4.7", _K200, _K128, "switchable"),
        Model("glm-4.7-flash", _K200, _K128, "switchable"),
        Model("glm-4.7-flashx", _K200, _K128, "switchable"),
        Model("glm-4.6", _K200, _K128, "switchable"),
        Model("glm-4.6v", _K128, 32_768, "switchable", vision=True),
        Model("glm-4.6v-flash", _K128, 32_768, "switchable", vision=True),
        Model("glm-4.6v-flashx", _K128, 32_768, "switchable", vision=True),
        Model("glm-4.5", _K128, 98_304, "switchable"),
        Model("glm-4.5-x", _K128, 98_304, "switchable"),
        Model("glm-4.5-air", _K128, 98_304, "switchable"),
        Model("glm-4.5-airx", _K128, 98_304, "switchable"),
        Model("glm-4.5-flash", _K128, 98_304, "switchable"),
        Model("glm-4.5v", 65_536, 16_384, "switchable", vision=True),
        Model("glm-4-32b-0414-128k", _K128, 32_768),
    )
}

SWAPPED_ON_CODING_ROOT = {"glm-4.6": "glm-4.7", "glm-4.5-air": "glm-4.7-flash"}
"""Asked for and answering model on the coding root; that they differ is reported, by which model is not."""


def find_model(name: str) -> Model | None:
    """The model of that name, in any case of letters."""
    return MODELS.get(name) or MODELS.get(name.lower())
